/*
 * stream - a connection, in the clear or over TLS, with a deadline
 *
 * Protocol code never sees a time-out: it sets a deadline for a phase, and
 * every wait uses what is left of it.  The first failure stays: all later
 * calls return it again.  Output is buffered; reading writes it out first.
 */
#ifndef SMTP_STREAM_H
#define SMTP_STREAM_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

struct buf;
struct failure;
struct span;
struct stream;

/*
 * Take over a descriptor for reading and one for writing, which may be the
 * same, and make them non-blocking; sets the caller's variables to -1.
 * peer names the other side in failures and is copied.
 */
struct stream *stream_new(int *read_fd, int *write_fd, const char *peer);

/* Close without ceremony.  Accepts a pointer to NULL, sets it to NULL. */
void stream_free(struct stream **stream);

/* Every wait from now on ends at this moment (clock.h). */
void stream_set_deadline(struct stream *s, int64_t deadline);

/*
 * Turn a connection in the clear into TLS with a verified peer called host.
 * What the peer sent in the clear and nobody has read is an attack:
 * FAILURE_LATER, as for every other failure here, with dsn 4.7.5.
 */
int stream_start_tls(
    struct stream *s, SSL_CTX *tls, const char *host, struct failure *f);

/* "TLSv1.3", or "in the clear"; a constant. */
const char *stream_tls_version(const struct stream *s);

/* The handshake went on from an earlier connection's. */
bool stream_is_resumed(const struct stream *s);

/* Buffer bytes for the peer.  All below fail with FAILURE_LATER: time-out,
 * connection lost, closed by the peer. */
int stream_write(struct stream *s, struct span data, struct failure *f);

/* Send what is buffered. */
int stream_flush(struct stream *s, struct failure *f);

/*
 * Read one line up to LF and append it to b without the line end.  Returns 1,
 * 0 at the end of input (an unfinished last line is dropped), -1.  A line
 * longer than max, or than b can take, is FAILURE_DATA; it is skipped then if
 * the caller goes on reading, and the stream stays usable.
 */
int stream_read_line(
    struct stream *s, size_t max, struct buf *b, struct failure *f);

/* Read at most size bytes.  Returns how many, 0 at the end of input, -1. */
ssize_t stream_read(
    struct stream *s, void *data, size_t size, struct failure *f);

/*
 * Between two requests: the connection stands, and the peer has said nothing
 * that nobody asked for.  Does not wait.
 */
bool stream_is_quiet(struct stream *s);

/* Input is buffered that nobody has read yet. */
bool stream_has_input(const struct stream *s);

#endif
