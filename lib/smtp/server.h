/*
 * server - the end of local SMTP that receives mail (RFC 5321, 3030)
 *
 * Speaks to programs of this host over a Unix socket or a pipe; the other end
 * is usually our own sendmail, which writes all of a message at once
 * (PIPELINING, BDAT).  Addresses without a domain are taken: what they mean
 * is policy, and decided later.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include <stdint.h>

#include "core/buf.h"
#include "mail/dsn.h"
#include "mail/mailbox.h"

struct failure;
struct message;
struct stream;

enum {
	SERVER_RECIPIENTS_MAX = 10000
};

struct server_envelope {
	struct mailbox sender; /* null: "<>" */
	struct mailbox_list recipients;
	char delivery; /* of XDELIVER: 'b', 'i' or 'q' as in -od; or NUL */
	struct dsn dsn;
};

/*
 * What is done with a complete message.  Returns 0 with *text set to what
 * follows "250 ", or -1 with the reason in *f; kind and dsn become the reply.
 */
typedef int server_deliver(void *context,
    const struct server_envelope *envelope, const struct message *message,
    struct buf *text, struct failure *f);

/*
 * Instead of that, where a message goes as it comes, without being held: begin
 * it, write it in pieces, and end it with *text and the reason as above.
 * Whatever was begun and has not ended is forgotten.
 */
struct server_sink {
	int (*begin)(void *context, const struct server_envelope *envelope,
	    struct failure *f);
	int (*write)(void *context, struct span piece, struct failure *f);
	int (*end)(void *context, struct buf *text, struct failure *f);
	void (*forget)(void *context);
};

/*
 * A command that SMTP does not have, with the words behind its name.  Returns
 * 0 if it has written its whole answer to stream, else -1 with the reason in
 * *f, which becomes the answer.
 */
typedef int server_extra(
    void *context, struct span words, struct stream *stream, struct failure *f);

struct server {
	const char *host_name;
	uint64_t size_max; /* of a message in octets */
	/* Seconds that the caller may be silent; 0: any time, because its
	 * end is seen as the end of the connection. */
	int timeout;
	server_deliver *deliver;
	const struct server_sink *sink; /* in the place of deliver, or NULL */
	server_extra *queue;            /* XQUEUE, or NULL */
	void *context;
};

/*
 * Serve one connection until QUIT or its end.  An unfinished message is
 * forgotten.  Returns 0, or -1 if the connection failed.
 */
int server_run(
    const struct server *server, struct stream *stream, struct failure *f);

/*
 * Instead of serving: greet with the reason why nothing can be served, so
 * that the caller can tell its user.
 */
void server_turn_away(struct stream *stream, const struct failure *reason);

#endif
