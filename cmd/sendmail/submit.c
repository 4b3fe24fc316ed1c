#include "submit.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <sysexits.h>

#include "child.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "mail/intake.h"
#include "replies.h"

enum {
	CHUNK = 64 * 1024,
	/* The header, two blocks, and a RCPT command for each recipient. */
	OUT_MAX = 16 * 1024 * 1024,
	READ_SIZE = 16 * 1024,
	/* Far beyond any time-out of the program that we talk to. */
	SILENCE_MAX_MS = 30 * 60 * 1000
};

struct dialogue {
	const struct submission *submission;
	struct child child;
	bool is_started;
	struct buf out;      /* commands and chunks, not yet written */
	struct buf pending;  /* of the message, not yet in a chunk */
	size_t chunks;       /* announced so far */
	bool is_write_ended; /* the peer takes no more */
	bool is_read_ended;  /* the peer says no more */
	struct replies replies;
};

/* ---- moving bytes in both directions ---- */

static bool
is_passing(int e)
{
	return e == EAGAIN || e == EINTR;
}

static void
write_some(struct dialogue *d)
{
	ssize_t n = send(
	    d->child.fd, d->out.s, d->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		buf_consume(&d->out, (size_t)n);
	else if (!is_passing(errno))
		d->is_write_ended = true;
}

static void
read_some(struct dialogue *d)
{
	char data[READ_SIZE];
	ssize_t n = recv(d->child.fd, data, sizeof(data), MSG_DONTWAIT);

	if (n > 0)
		replies_feed(&d->replies, (struct span){ data, (size_t)n });
	else if (n == 0 || !is_passing(errno))
		d->is_read_ended = true;
}

/* Wait until something moves, and move it.  Silence is an end, too. */
static void
exchange(struct dialogue *d)
{
	bool has_output = d->out.len > 0 && !d->is_write_ended;
	struct pollfd p = { .fd = d->child.fd, .events = POLLIN };

	if (has_output)
		p.events |= POLLOUT;
	if (poll(&p, 1, SILENCE_MAX_MS) == 0)
		d->is_read_ended = true;
	if (has_output && (p.revents & (POLLOUT | POLLERR | POLLHUP)) != 0)
		write_some(d);
	if ((p.revents & (POLLIN | POLLERR | POLLHUP)) != 0)
		read_some(d);
}

static bool
is_over(const struct dialogue *d)
{
	return d->is_read_ended || replies_are_decided(&d->replies);
}

/*
 * Write all that is queued, reading replies meanwhile: a peer that waits for
 * us to read them would not read what we write.  Where it takes no more, what
 * it said before is read to the end: there is the reason.
 */
static void
flush(struct dialogue *d)
{
	while (d->out.len > 0 && !is_over(d))
		exchange(d);
}

static void
wait_for_outcome(struct dialogue *d)
{
	while (!is_over(d))
		exchange(d);
}

/* ---- what is said ---- */

static int
queue_path(struct buf *b, const char *verb, const struct mailbox *m)
{
	if (buf_printf(b, "%s:<", verb) == -1 ||
	    mailbox_write_address(b, m) == -1)
		return -1;
	return buf_putc(b, '>');
}

static int
queue_envelope(struct dialogue *d, const struct mailbox_list *recipients)
{
	const struct submission *s = d->submission;
	char delivery[] = " XDELIVER=b";

	delivery[sizeof(delivery) - 2] = s->delivery;
	/* Who delivers in the foreground has no other way. */
	if (s->delivery == '\0' || d->child.pid != 0)
		delivery[0] = '\0';
	if (buf_puts(&d->out, "EHLO localhost\r\n") == -1 ||
	    queue_path(&d->out, "MAIL FROM", s->sender) == -1 ||
	    dsn_write_mail(s->dsn, &d->out) == -1 ||
	    buf_printf(&d->out, "%s\r\n", delivery) == -1)
		return -1;
	for (size_t i = 0; i < recipients->count; i++)
		if (queue_path(&d->out, "RCPT TO", &recipients->items[i]) ==
			-1 ||
		    dsn_write_rcpt(s->dsn, &d->out) == -1 ||
		    buf_puts(&d->out, "\r\n") == -1)
			return -1;
	return 0;
}

static int
queue_chunk(struct dialogue *d, size_t size, bool is_last)
{
	if (buf_printf(&d->out, "BDAT %zu%s\r\n", size,
		is_last ? " LAST" : "") == -1 ||
	    buf_add(&d->out, d->pending.s, size) == -1)
		return -1;
	buf_consume(&d->pending, size);
	if (is_last)
		replies_expect_last(&d->replies, d->chunks);
	d->chunks++;
	return 0;
}

static int
too_large(struct failure *f)
{
	return failure_set(
	    f, FAILURE_BUG, "the message does not fit into a buffer");
}

/*
 * Not before there is a chunk to send: the output of a job that runs for
 * hours comes slowly, and the peer would tire of waiting.
 */
static int
start(struct dialogue *d, const struct mailbox_list *recipients,
    struct failure *f)
{
	const struct submission *s = d->submission;

	if (d->is_started)
		return 0;
	/* A configuration of the caller's own is nothing to the service. */
	if ((s->config_file != NULL || child_connect(&d->child) == -1) &&
	    child_start(&d->child, s->config_file, s->is_verbose, f) == -1)
		return -1;
	d->is_started = true;
	return queue_envelope(d, recipients) == -1 ? too_large(f) : 0;
}

/* Send what is more than a last chunk may hold. */
static int
send_full_chunks(struct dialogue *d, const struct mailbox_list *recipients,
    struct failure *f)
{
	while (d->pending.len > CHUNK && !is_over(d)) {
		if (start(d, recipients, f) == -1)
			return -1;
		if (queue_chunk(d, CHUNK, false) == -1)
			return too_large(f);
		flush(d);
	}
	return 0;
}

static int
send_last_chunk(struct dialogue *d, const struct mailbox_list *recipients,
    struct failure *f)
{
	if (start(d, recipients, f) == -1)
		return -1;
	if (queue_chunk(d, d->pending.len, true) == -1 ||
	    buf_puts(&d->out, "QUIT\r\n") == -1)
		return too_large(f);
	wait_for_outcome(d);
	return 0;
}

/* Envelope and message; stops early if the answers say that it is useless. */
static int
send_all(struct dialogue *d, struct intake *in, struct failure *f)
{
	struct span block;

	if (header_write(&in->header, &d->pending) == -1 ||
	    buf_puts(&d->pending, "\r\n") == -1)
		return too_large(f);
	do {
		if (intake_body(in, &block, f) == -1)
			return -1;
		if (buf_span(&d->pending, block) == -1)
			return too_large(f);
		if (send_full_chunks(d, &in->recipients, f) == -1)
			return -1;
	} while (block.len > 0 && !is_over(d));
	return is_over(d) ? 0 : send_last_chunk(d, &in->recipients, f);
}

int
submit_message(struct intake *in, const struct submission *s, struct failure *f)
{
	struct dialogue d = { .submission = s };
	int status;

	buf_init(&d.out, OUT_MAX);
	buf_init(&d.pending, OUT_MAX);
	replies_init(&d.replies, &in->recipients);
	if (send_all(&d, in, f) == -1)
		status = failure_exit_status(f);
	else
		status = replies_outcome(&d.replies, f);
	replies_done(&d.replies);
	buf_done(&d.pending);
	buf_done(&d.out);
	if (d.is_started)
		child_stop(&d.child);
	return status;
}
