#include "smtp/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "smtp/tls.h"

enum {
	IN_SIZE = 16 * 1024, /* one TLS record */
	OUT_SIZE = 64 * 1024
};

struct stream {
	int read_fd;
	int write_fd; /* may equal read_fd */
	char *peer;
	SSL *ssl; /* NULL in the clear */
	int64_t deadline;
	struct failure failure; /* the first one; kind NONE until then */
	struct buf out;         /* may hold credentials */
	char in[IN_SIZE];
	size_t in_start;
	size_t in_end;
};

static void
set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	/* Without it only the deadlines are less exact. */
	if (flags != -1)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

struct stream *
stream_new(int *read_fd, int *write_fd, const char *peer)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->read_fd = *read_fd;
	s->write_fd = *write_fd;
	*read_fd = -1;
	*write_fd = -1;
	set_nonblocking(s->read_fd);
	if (s->write_fd != s->read_fd)
		set_nonblocking(s->write_fd);
	s->peer = xstrdup(peer);
	s->deadline = INT64_MAX;
	buf_init_secret(&s->out, OUT_SIZE);
	return s;
}

void
stream_free(struct stream **stream)
{
	struct stream *s = *stream;

	if (s == NULL)
		return;
	/* Without that word the session could not be resumed. */
	if (s->ssl != NULL)
		SSL_set_shutdown(
		    s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(s->ssl);
	if (s->write_fd != s->read_fd)
		fd_close(&s->write_fd);
	fd_close(&s->read_fd);
	buf_done(&s->out);
	free(s->peer);
	explicit_bzero(s->in, sizeof(s->in));
	free(s);
	*stream = NULL;
}

void
stream_set_deadline(struct stream *s, int64_t deadline)
{
	s->deadline = deadline;
}

const char *
stream_tls_version(const struct stream *s)
{
	return s->ssl != NULL ? SSL_get_version(s->ssl) : "in the clear";
}

bool
stream_is_resumed(const struct stream *s)
{
	return s->ssl != NULL && SSL_session_reused(s->ssl) == 1;
}

bool
stream_has_input(const struct stream *s)
{
	return s->in_start < s->in_end;
}

bool
stream_is_quiet(struct stream *s)
{
	struct pollfd p = { .fd = s->read_fd, .events = POLLIN };
	char c;
	int n;

	if (s->failure.kind != FAILURE_NONE || stream_has_input(s))
		return false;
	if (s->ssl == NULL)
		return poll(&p, 1, 0) == 0;
	/* What is there to read may be TLS's own, such as a ticket. */
	ERR_clear_error();
	n = SSL_peek(s->ssl, &c, 1);
	return n <= 0 && SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_READ;
}

/* Keep the first failure and give the caller a copy. */
static int
fail(struct stream *s, struct failure *f)
{
	if (f->dsn[0] == '\0')
		(void)failure_dsn(f, "4.4.2");
	s->failure = *f;
	return -1;
}

static int
repeat_failure(const struct stream *s, struct failure *f)
{
	if (s->failure.kind == FAILURE_NONE)
		return 0;
	*f = s->failure;
	return -1;
}

/* Wait until fd is ready for events, at most until the deadline. */
static int
wait_ready(struct stream *s, int fd, short events, struct failure *f)
{
	struct pollfd p = { .fd = fd, .events = events };
	int left;
	int n;

	do {
		left =
		    s->deadline == INT64_MAX ? -1 : clock_left_ms(s->deadline);
		n = poll(&p, 1, left);
	} while (n == -1 && errno == EINTR);
	if (n > 0)
		return 0;
	if (n == 0)
		(void)failure_set(
		    f, FAILURE_LATER, "%s does not answer (time-out)", s->peer);
	else
		(void)failure_os(f, FAILURE_LATER, errno, "poll");
	return fail(s, f);
}

/*
 * What to do after an SSL call returned r: 0 once it is worth calling again,
 * 1 at the end of input, -1 if the connection is lost.
 */
static int
after_ssl(struct stream *s, int r, struct failure *f)
{
	int saved = errno;

	switch (SSL_get_error(s->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return wait_ready(s, s->read_fd, POLLIN, f);
	case SSL_ERROR_WANT_WRITE:
		return wait_ready(s, s->write_fd, POLLOUT, f);
	case SSL_ERROR_ZERO_RETURN:
		return 1;
	case SSL_ERROR_SYSCALL:
		if (saved == 0)
			return 1;
		(void)failure_os(
		    f, FAILURE_LATER, saved, "connection to %s lost", s->peer);
		return fail(s, f);
	default:
		/* A peer that closes without close_notify is no news. */
		if (ERR_GET_REASON(ERR_peek_error()) ==
		    SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return 1;
		(void)tls_failure(s->ssl, s->peer, f);
		return fail(s, f);
	}
}

static int
closed_by_peer(struct stream *s, struct failure *f)
{
	(void)failure_set(
	    f, FAILURE_LATER, "%s closed the connection", s->peer);
	return fail(s, f);
}

int
stream_start_tls(
    struct stream *s, SSL_CTX *tls, const char *host, struct failure *f)
{
	int r;

	if (repeat_failure(s, f) == -1)
		return -1;
	if (stream_has_input(s)) {
		(void)failure_set(f, FAILURE_LATER,
		    "%s sent data in the clear after STARTTLS: somebody on the "
		    "network interferes",
		    s->peer);
		(void)failure_dsn(f, "4.7.5");
		return fail(s, f);
	}
	s->ssl = tls_new(tls, s->read_fd, host);
	for (;;) {
		ERR_clear_error();
		errno = 0;
		r = SSL_connect(s->ssl);
		if (r == 1)
			break;
		r = after_ssl(s, r, f);
		if (r == 1)
			r = closed_by_peer(s, f);
		if (r == -1)
			return -1;
	}
	if (tls_check(s->ssl, s->peer, f) == -1)
		return fail(s, f);
	return 0;
}

/* One write of at least one byte. */
static int
write_some(struct stream *s, struct span *data, struct failure *f)
{
	ssize_t n;

	for (;;) {
		errno = 0;
		if (s->ssl != NULL) {
			int size =
			    data->len > OUT_SIZE ? OUT_SIZE : (int)data->len;

			ERR_clear_error();
			n = SSL_write(s->ssl, data->s, size);
		} else {
			n = write(s->write_fd, data->s, data->len);
		}
		if (n > 0) {
			data->s += n;
			data->len -= (size_t)n;
			return 0;
		}
		if (s->ssl != NULL) {
			int r = after_ssl(s, (int)n, f);

			if (r == 1)
				return closed_by_peer(s, f);
			if (r == -1)
				return -1;
		} else if (errno == EAGAIN) {
			if (wait_ready(s, s->write_fd, POLLOUT, f) == -1)
				return -1;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return closed_by_peer(s, f);
		} else if (errno != EINTR) {
			(void)failure_os(f, FAILURE_LATER, errno,
			    "connection to %s lost", s->peer);
			return fail(s, f);
		}
	}
}

static int
write_all(struct stream *s, struct span data, struct failure *f)
{
	while (data.len > 0)
		if (write_some(s, &data, f) == -1)
			return -1;
	return 0;
}

int
stream_flush(struct stream *s, struct failure *f)
{
	int r;

	if (repeat_failure(s, f) == -1)
		return -1;
	r = write_all(s, buf_view(&s->out), f);
	buf_reset(&s->out);
	return r;
}

int
stream_write(struct stream *s, struct span data, struct failure *f)
{
	if (repeat_failure(s, f) == -1)
		return -1;
	if (buf_span(&s->out, data) == 0)
		return 0;
	if (stream_flush(s, f) == -1)
		return -1;
	if (buf_span(&s->out, data) == 0)
		return 0;
	return write_all(s, data, f);
}

/* One read; bytes, 0 at the end of input, -1. */
static ssize_t
read_some(struct stream *s, void *data, size_t size, struct failure *f)
{
	ssize_t n;

	if (s->out.len > 0 && stream_flush(s, f) == -1)
		return -1;
	for (;;) {
		errno = 0;
		if (s->ssl != NULL) {
			int r;

			ERR_clear_error();
			r = SSL_read(
			    s->ssl, data, size > IN_SIZE ? IN_SIZE : (int)size);
			if (r > 0)
				return r;
			r = after_ssl(s, r, f);
			if (r != 0)
				return r == 1 ? 0 : -1;
			continue;
		}
		n = read(s->read_fd, data, size);
		if (n >= 0)
			return n;
		if (errno == EAGAIN) {
			if (wait_ready(s, s->read_fd, POLLIN, f) == -1)
				return -1;
		} else if (errno == ECONNRESET) {
			return 0;
		} else if (errno != EINTR) {
			(void)failure_os(f, FAILURE_LATER, errno,
			    "connection to %s lost", s->peer);
			return fail(s, f);
		}
	}
}

/* Make sure that input is buffered.  1, 0 at the end of input, -1. */
static int
fill(struct stream *s, struct failure *f)
{
	ssize_t n;

	if (stream_has_input(s))
		return 1;
	n = read_some(s, s->in, sizeof(s->in), f);
	if (n <= 0)
		return (int)n;
	s->in_start = 0;
	s->in_end = (size_t)n;
	return 1;
}

int
stream_read_line(struct stream *s, size_t max, struct buf *b, struct failure *f)
{
	size_t first = b->len;
	bool is_too_long = false;

	if (repeat_failure(s, f) == -1)
		return -1;
	for (;;) {
		const char *start, *end;
		size_t n;
		int r = fill(s, f);

		if (r != 1)
			return r;
		start = s->in + s->in_start;
		n = s->in_end - s->in_start;
		end = memchr(start, '\n', n);
		if (end != NULL)
			n = (size_t)(end - start) + 1;
		is_too_long = is_too_long || b->len - first + n > max + 2 ||
		    buf_add(b, start, n) == -1;
		s->in_start += n;
		if (end != NULL)
			break;
	}
	if (is_too_long) {
		buf_truncate(b, first);
		return failure_set(f, FAILURE_DATA,
		    "%s sent a line of more than %zu octets", s->peer, max);
	}
	/* The line end: LF, or any CRs and LF. */
	do
		buf_truncate(b, b->len - 1);
	while (b->len > first && b->s[b->len - 1] == '\r');
	return 1;
}

ssize_t
stream_read(struct stream *s, void *data, size_t size, struct failure *f)
{
	size_t n = s->in_end - s->in_start;

	if (repeat_failure(s, f) == -1)
		return -1;
	if (n == 0)
		return read_some(s, data, size, f);
	n = n < size ? n : size;
	memcpy(data, s->in + s->in_start, n);
	s->in_start += n;
	return (ssize_t)n;
}
