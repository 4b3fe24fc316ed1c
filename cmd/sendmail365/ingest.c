#include "ingest.h"

#include <sys/socket.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/confine.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "ipc.h"
#include "mail/complete.h"
#include "queue/spool.h"
#include "queueing.h"
#include "smtp/server.h"
#include "smtp/stream.h"

enum {
	/* A caller's job may be slow; a user's connections are few. */
	CALLER_TIMEOUT = 30 * 60,
	ANSWER_WAIT_MS = 30 * 1000, /* of "interactive" */
	LISTING_TIMEOUT = 60,       /* for a reader that does not read */
	MS_PER_SECOND = 1000
};

struct reception {
	const struct config *config;
	struct spool *spool;
	int channel;
	char *host_name;
	/* of the present connection */
	struct ipc connection;
	bool has_queued; /* a message */
	struct spool_writer writer;
	char delivery; /* of the present message: 'b', 'i', 'q' */
};

/* ---- a message into the spool ---- */

/* How the service answers this message. */
static char
delivery_of(const struct reception *r, const struct server_envelope *envelope)
{
	switch (r->config->service_delivery) {
	case DELIVERY_INTERACTIVE:
		return 'i';
	case DELIVERY_CALLER:
		if (envelope->delivery == 'i' || envelope->delivery == 'q')
			return envelope->delivery;
		break;
	case DELIVERY_BACKGROUND:
		break;
	}
	return 'b';
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Other connections of this user have queued since this one began.  Of its own
 * messages the manager may not know the last one yet.
 */
static int
ask_for_room(struct reception *r)
{
	const struct ipc question = { .kind = IPC_ROOM };
	struct ipc *c = &r->connection;
	struct ipc m;

	if (ipc_send(r->channel, &question, -1) == -1)
		return -1;
	do
		if (ipc_await(r->channel, -1, &m, NULL) != 1)
			return -1;
	while (m.kind != IPC_ROOM);
	c->u.connection.messages =
	    least(c->u.connection.messages, m.u.connection.messages);
	c->u.connection.bytes =
	    least(c->u.connection.bytes, m.u.connection.bytes);
	return 0;
}

static int
over_limit(const struct reception *r, struct failure *f)
{
	(void)failure_set(f, FAILURE_LATER,
	    "the queue has no room for more of user %" PRIu32
	    "; see max_size and per_user_limit in sendmail365.conf(5)",
	    r->connection.u.connection.uid);
	return failure_dsn(f, "4.3.1");
}

/* What a caller is told of the spool is more for the administrator. */
static int
logged(int r, const struct failure *f)
{
	if (r == -1)
		log_error("%s", f->text);
	return r;
}

static int
begin_message(
    void *context, const struct server_envelope *envelope, struct failure *f)
{
	struct reception *r = context;
	const struct spool_envelope e = {
		.sender = envelope->sender,
		.recipients = envelope->recipients,
		.dsn = envelope->dsn,
	};

	r->delivery = delivery_of(r, envelope);
	if (r->has_queued && ask_for_room(r) == -1)
		return failure_set(f, FAILURE_LATER, "the service stops");
	if (r->connection.u.connection.messages == 0)
		return over_limit(r, f);
	return logged(spool_begin(r->spool, r->connection.u.connection.uid, &e,
			  &r->writer, f),
	    f);
}

static int
write_piece(void *context, struct span piece, struct failure *f)
{
	struct reception *r = context;

	if (r->writer.content_size + piece.len >
	    r->connection.u.connection.bytes)
		return over_limit(r, f);
	return logged(spool_write(&r->writer, piece, f), f);
}

static void
forget_message(void *context)
{
	struct reception *r = context;

	spool_abandon(&r->writer);
}

/* ---- its answer ---- */

/*
 * Wait for what becomes of the message.  1: *text is Exchange's answer; 0:
 * nothing is known yet; -1: *f says why it has failed.
 */
static int
await_outcome(const struct reception *r, struct buf *text, struct failure *f)
{
	const int64_t deadline = clock_ms() + ANSWER_WAIT_MS;
	struct ipc m;

	while (ipc_await(r->channel, clock_left_ms(deadline), &m, NULL) == 1) {
		if (m.kind != IPC_ANSWER || m.id.number != r->writer.id.number)
			continue;
		if (m.u.result.verdict == VERDICT_SENT)
			return buf_puts(text, m.text) == 0 ? 1 : 0;
		if (m.u.result.verdict != VERDICT_FAILED)
			return 0;
		(void)failure_set(f, FAILURE_PEER, "%s", m.text);
		return failure_dsn(f, m.u.result.dsn);
	}
	return 0;
}

static int64_t
first_attempt_ms(const struct reception *r)
{
	if (r->delivery != 'q')
		return 0;
	/* As if an attempt had failed: until the next run of the queue. */
	return ((int64_t)time(NULL) + r->config->queue_retry_longest) *
	    MS_PER_SECOND;
}

static int
end_message(void *context, struct buf *text, struct failure *f)
{
	struct reception *r = context;
	uint64_t size = r->writer.content_size;
	const struct ipc wait = { .kind = IPC_WAIT, .id = r->writer.id };
	char id[SPOOL_ID_SIZE];
	int known = 0;

	/* Said before the message is there, it cannot be too late. */
	if (r->delivery == 'i')
		(void)ipc_send(r->channel, &wait, -1);
	if (logged(spool_commit(&r->writer, first_attempt_ms(r), f), f) == -1)
		return -1;
	spool_id_text(r->writer.id, id);
	r->has_queued = true;
	r->connection.u.connection.messages--;
	r->connection.u.connection.bytes -= size;
	log_info("%s: uid=%" PRIu32 " size=%" PRIu64 " queued", id,
	    r->connection.u.connection.uid, size);
	if (r->delivery == 'i')
		known = await_outcome(r, text, f);
	if (known != 0)
		return known == 1 ? 0 : -1;
	return buf_printf(text, "2.0.0 Ok: queued as %s", id);
}

/* ---- the queue, for its owners ---- */

/* Where a listing goes: a reply of SMTP with many lines. */
struct listing {
	struct reception *r;
	struct stream *stream;
	struct failure *f;
};

static int
write_line(void *context, const char *text)
{
	const struct listing *l = context;

	stream_set_deadline(l->stream, clock_deadline(LISTING_TIMEOUT));
	if (stream_write(l->stream, span_of("250-"), l->f) == -1 ||
	    stream_write(l->stream, span_of(text), l->f) == -1)
		return -1;
	return stream_write(l->stream, span_of("\r\n"), l->f);
}

static void
touch(void *context, struct spool_id id)
{
	const struct listing *l = context;
	const struct ipc m = { .kind = IPC_TOUCH, .id = id };

	(void)ipc_send(l->r->channel, &m, -1);
}

static int
answer_queue(
    void *context, struct span words, struct stream *stream, struct failure *f)
{
	struct reception *r = context;
	struct listing l = { r, stream, f };
	const struct queueing q = {
		.spool = r->spool,
		.uid = r->connection.u.connection.uid,
		.is_admin = r->connection.u.connection.is_admin,
		.line = write_line,
		.touch = touch,
		.context = &l,
	};
	const struct ipc hurry = { .kind = IPC_HURRY };
	struct span rest = words;

	if (queueing_run(&q, words, f) == -1)
		return -1;
	if (q.is_admin && span_is_nocase(span_cut_word(&rest), "RETRY"))
		(void)ipc_send(r->channel, &hurry, -1);
	return stream_write(stream, span_of("250 2.0.0 Ok\r\n"), f);
}

/* ---- connections ---- */

/* For the signal's handler: the connection that is served, or -1. */
static volatile sig_atomic_t served_fd = -1;

/* Of a socket that is open this does not fail, and leaves errno alone. */
static void
end_reading(int number)
{
	(void)number;
	if (served_fd != -1)
		(void)shutdown(served_fd, SHUT_RD);
}

static void
serve(struct reception *r, int fd)
{
	static const struct server_sink sink = { begin_message, write_piece,
		end_message, forget_message };
	const struct server server = {
		.host_name = r->host_name,
		.size_max = r->config->service_max_message_size,
		.timeout = CALLER_TIMEOUT,
		.sink = &sink,
		.queue = answer_queue,
		.context = r,
	};
	char peer[32];
	int write_fd = fd;
	struct stream *stream;
	struct failure f;

	r->has_queued = false;
	(void)snprintf(peer, sizeof(peer), "user %" PRIu32,
	    r->connection.u.connection.uid);
	served_fd = fd;
	stream = stream_new(&fd, &write_fd, peer);
	if (server_run(&server, stream, &f) == -1)
		log_debug("%s", f.text);
	served_fd = -1;
	stream_free(&stream);
}

void
ingest_process(const struct config *config, struct spool *spool, int channel)
{
	struct reception r = {
		.config = config,
		.spool = spool,
		.channel = channel,
		.host_name = complete_host_name(0),
		.writer = { .fd = -1 },
	};
	struct ipc idle = { .kind = IPC_IDLE };
	int fd;

	(void)signal(INGEST_SIGNAL_END, end_reading);
	tzset();
	confine_to_directory(config->queue_directory);
	while (ipc_await(channel, -1, &r.connection, &fd) == 1) {
		if (r.connection.kind != IPC_CONNECTION || fd == -1) {
			fd_close(&fd);
			continue;
		}
		serve(&r, fd);
		if (ipc_send(channel, &idle, -1) == -1)
			break;
	}
	free(r.host_name);
}
