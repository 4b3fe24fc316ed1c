/* The second half of a session: see session.h. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/clock.h"
#include "core/spill.h"
#include "mail/address.h"
#include "mail/dsn.h"
#include "smtp/client.h"
#include "smtp/session.h"
#include "smtp/stream.h"

enum {
	/* In outcome.code while the status is pending. */
	RCPT_TAKEN = 250,
	RCPT_PUT_OFF = 452,
	/* RFC 2920 3.1: more answers than the two socket buffers hold would
	 * stop both sides for ever.  100 of them fit the smallest buffers. */
	FLIGHT_MAX = 100,
	/* A larger message waits for the answers to RCPT: the round trip is
	 * nothing beside it, and it may be refused. */
	EARLY_BODY_MAX = 1024 * 1024,
	DSN_MAX = DSN_ENVID_SIZE + 64, /* of its parameters */
	BLOCK = 32 * 1024,
	CLOSING = 421 /* RFC 5321 3.8: the server is about to close */
};

struct transaction {
	struct smtp *c;
	const struct smtp_mail *mail;
	struct outcome *outcomes;
	size_t *batch; /* indexes of the recipients of this transaction */
	size_t count;
	size_t answered; /* how many of them have their reply */
	size_t accepted; /* how many are waiting for the end of data */
	size_t put_off;  /* how many are left for the next transaction */
	bool is_mail_answered;
	struct trouble refusal; /* of MAIL; kind NONE: it was accepted */
};

/* ---- outcomes ---- */

/* The enhanced code of a failure that brought none. */
static const char *
general_dsn(const struct outcome *o)
{
	if (o->kind == FAILURE_CONFIG)
		return "4.3.5";
	return o->status == OUTCOME_REFUSED ? "5.0.0" : "4.0.0";
}

static void
set_outcome(struct outcome *o, const struct trouble *t)
{
	o->status =
	    t->failure.kind == FAILURE_PEER || t->failure.kind == FAILURE_DATA
	    ? OUTCOME_REFUSED
	    : OUTCOME_LATER;
	o->scope = t->scope;
	o->kind = t->failure.kind;
	o->code = t->code;
	o->is_uncertain = t->is_uncertain;
	memcpy(o->dsn, t->failure.dsn, sizeof(o->dsn));
	if (o->dsn[0] == '\0')
		(void)snprintf(o->dsn, sizeof(o->dsn), "%s", general_dsn(o));
	o->text = xstrdup(t->failure.text);
}

void
outcomes_set(struct outcome *outcomes, size_t count, const struct trouble *t)
{
	for (size_t i = 0; i < count; i++)
		if (outcomes[i].status == OUTCOME_PENDING)
			set_outcome(&outcomes[i], t);
}

void
outcomes_done(struct outcome *outcomes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(outcomes[i].text);
		free(outcomes[i].relay);
		outcomes[i].text = NULL;
		outcomes[i].relay = NULL;
	}
}

void
outcomes_set_relay(struct outcome *outcomes, size_t count, const char *relay)
{
	for (size_t i = 0; i < count; i++)
		if (outcomes[i].status != OUTCOME_PENDING &&
		    outcomes[i].relay == NULL)
			outcomes[i].relay = xstrdup(relay);
}

static struct outcome *
outcome_of(const struct transaction *x, size_t i)
{
	return &x->outcomes[x->batch[i]];
}

/* All recipients that no RCPT reply has settled get the same trouble. */
static void
settle_batch(const struct transaction *x, const struct trouble *t)
{
	for (size_t i = 0; i < x->count; i++)
		if (outcome_of(x, i)->status == OUTCOME_PENDING)
			set_outcome(outcome_of(x, i), t);
}

static void
accept_batch(const struct transaction *x, const struct reply *reply)
{
	struct buf text;

	buf_init(&text, REPLY_TOTAL_MAX + 32);
	(void)reply_write(reply, &text);
	for (size_t i = 0; i < x->count; i++) {
		struct outcome *o = outcome_of(x, i);

		if (o->status != OUTCOME_PENDING || o->code != RCPT_TAKEN)
			continue;
		o->code = reply->code;
		o->status = OUTCOME_ACCEPTED;
		(void)snprintf(o->dsn, sizeof(o->dsn), "%s",
		    reply->dsn[0] != '\0' ? reply->dsn : "2.0.0");
		o->text = xstrdup(text.s);
	}
	buf_done(&text);
}

/* ---- the envelope ---- */

static bool
mailbox_has_8bit(const struct mailbox *m)
{
	return (m->local != NULL && ascii_has_8bit(span_of(m->local))) ||
	    (m->domain != NULL && ascii_has_8bit(span_of(m->domain)));
}

static bool
envelope_has_8bit(const struct transaction *x)
{
	bool has = mailbox_has_8bit(x->mail->sender);

	for (size_t i = 0; i < x->count && !has; i++)
		has = mailbox_has_8bit(&x->mail->recipients[x->batch[i]]);
	return has;
}

static uint64_t
message_size(const struct smtp_mail *mail)
{
	return mail->header.len + mail->body->size;
}

static void
write_path(const struct mailbox *m, struct buf *b)
{
	/* A mailbox never exceeds ADDRESS_MAX, for which b has room. */
	(void)mailbox_write_address(b, m);
}

static bool
wants_dsn(const struct transaction *x)
{
	return x->mail->dsn != NULL && (x->c->extensions & EXT_DSN) != 0;
}

static int
write_mail(struct transaction *x, struct trouble *t)
{
	const struct smtp_mail *mail = x->mail;
	unsigned ext = x->c->extensions;
	const char *body = "";
	struct buf path, dsn;
	char size[32] = "";
	int r;

	if (mail->is_binary && (ext & EXT_BINARYMIME) && (ext & EXT_CHUNKING))
		body = " BODY=BINARYMIME";
	else if (mail->has_8bit && (ext & EXT_8BITMIME))
		body = " BODY=8BITMIME";
	if (ext & EXT_SIZE)
		(void)snprintf(size, sizeof(size), " SIZE=%llu",
		    (unsigned long long)message_size(mail));
	buf_init(&path, ADDRESS_MAX);
	buf_init(&dsn, DSN_MAX);
	write_path(mail->sender, &path);
	if (wants_dsn(x))
		(void)dsn_write_mail(mail->dsn, &dsn);
	session_enter(x->c, PHASE_MAIL);
	r = session_command(x->c, t, "MAIL FROM:<%s>%s%s%s%s", path.s, size,
	    body, envelope_has_8bit(x) ? " SMTPUTF8" : "", dsn.s);
	buf_done(&dsn);
	buf_done(&path);
	return r;
}

static int
write_recipient(struct transaction *x, size_t i, struct trouble *t)
{
	struct buf path, dsn;
	int r;

	buf_init(&path, ADDRESS_MAX);
	buf_init(&dsn, DSN_MAX);
	write_path(&x->mail->recipients[x->batch[i]], &path);
	if (wants_dsn(x))
		(void)dsn_write_rcpt(x->mail->dsn, &dsn);
	r = session_command(x->c, t, "RCPT TO:<%s>%s", path.s, dsn.s);
	buf_done(&dsn);
	buf_done(&path);
	return r;
}

static int
read_mail_answer(struct transaction *x, struct trouble *t)
{
	session_enter(x->c, PHASE_MAIL);
	x->is_mail_answered = true;
	if (session_reply(x->c, t) == -1)
		return -1;
	if (reply_class(&x->c->reply) != 2)
		(void)verdict_reply(
		    PHASE_MAIL, &x->c->reply, x->c->relay, &x->refusal);
	return 0;
}

/*
 * Enough recipients for one transaction: 452 4.5.3, or what Exchange says
 * above a mailbox's own limit, 550 5.5.3, once it has taken some.
 */
static bool
is_too_many(const struct transaction *x, const struct reply *reply)
{
	if (reply->dsn[0] == '\0' || strcmp(reply->dsn + 1, ".5.3") != 0)
		return false;
	return reply->code == RCPT_PUT_OFF || x->accepted > 0;
}

static int
read_recipient_answer(struct transaction *x, struct trouble *t)
{
	const struct reply *reply = &x->c->reply;
	struct outcome *o = outcome_of(x, x->answered);
	struct trouble refusal;

	session_enter(x->c, PHASE_RCPT);
	if (session_reply(x->c, t) == -1)
		return -1;
	x->answered++;
	/* Answers to what followed a refused MAIL say nothing. */
	if (x->refusal.failure.kind != FAILURE_NONE)
		return 0;
	if (reply_class(reply) == 2) {
		x->accepted++;
		o->code = RCPT_TAKEN;
	} else if (is_too_many(x, reply)) {
		/* Enough for this transaction: the next one takes it. */
		x->put_off++;
		o->code = RCPT_PUT_OFF;
	} else {
		(void)verdict_reply(PHASE_RCPT, reply, x->c->relay, &refusal);
		set_outcome(o, &refusal);
		/* No more answers come, and the message is not taken. */
		if (reply->code == CLOSING) {
			*t = refusal;
			return -1;
		}
	}
	return 0;
}

/* Read the answers to MAIL and to the first `written` recipients. */
static int
read_answers(struct transaction *x, size_t written, struct trouble *t)
{
	if (!x->is_mail_answered && read_mail_answer(x, t) == -1)
		return -1;
	while (x->answered < written)
		if (read_recipient_answer(x, t) == -1)
			return -1;
	return 0;
}

/*
 * Write MAIL and RCPT; answers to the last flight are still owed afterwards,
 * so that the message can go with it.
 */
static int
write_envelope(struct transaction *x, struct trouble *t)
{
	size_t flight = x->c->extensions & EXT_PIPELINING ? FLIGHT_MAX : 0;

	if (write_mail(x, t) == -1 ||
	    (flight == 0 && read_answers(x, 0, t) == -1))
		return -1;
	for (size_t i = 0; i < x->count; i++) {
		if (i - x->answered >= flight && read_answers(x, i, t) == -1)
			return -1;
		if (write_recipient(x, i, t) == -1)
			return -1;
	}
	return 0;
}

/* ---- the message ---- */

/*
 * Dot-stuffing (RFC 5321 4.5.2) for clean CRLF lines: a dot at the start of a
 * line is doubled.
 */
static int
write_stuffed(
    struct smtp *c, struct span data, bool *at_line_start, struct trouble *t)
{
	while (data.len > 0) {
		const char *end = memchr(data.s, '\n', data.len);
		struct span line = data;

		if (end != NULL)
			line.len = (size_t)(end - data.s) + 1;
		if ((*at_line_start && line.s[0] == '.' &&
			stream_write(c->stream, span_of("."), &t->failure) ==
			    -1) ||
		    stream_write(c->stream, line, &t->failure) == -1)
			return -1;
		*at_line_start = end != NULL;
		data.s += line.len;
		data.len -= line.len;
	}
	return 0;
}

/* Write header and body; the deadline begins anew with each block. */
static int
write_content(struct transaction *x, bool is_stuffed, struct trouble *t)
{
	char block[BLOCK];
	struct span data = x->mail->header;
	bool at_line_start = true;
	uint64_t offset = 0;
	ssize_t n;
	int r;

	for (;;) {
		session_enter(x->c, PHASE_BODY);
		r = is_stuffed ? write_stuffed(x->c, data, &at_line_start, t)
			       : stream_write(x->c->stream, data, &t->failure);
		if (r == -1)
			return session_failed(x->c, t);
		n = spill_read(
		    x->mail->body, offset, block, sizeof(block), &t->failure);
		if (n == -1)
			return session_failed(x->c, t);
		if (n == 0)
			return 0;
		offset += (uint64_t)n;
		data = (struct span){ block, (size_t)n };
	}
}

/* Nobody knows whether those have the message who were to get it now. */
static void
settle_uncertain(const struct transaction *x, const struct trouble *t)
{
	struct trouble lost = *t;

	if (x->refusal.failure.kind != FAILURE_NONE)
		return;
	lost.is_uncertain = true;
	(void)failure_at(
	    &lost.failure, "it may have been delivered all the same");
	for (size_t i = 0; i < x->count; i++) {
		struct outcome *o = outcome_of(x, i);

		if (o->status == OUTCOME_PENDING && o->code != RCPT_PUT_OFF)
			set_outcome(o, &lost);
	}
}

/*
 * The message is written: read the answers that are owed, its own last.
 * Until that one is read nobody knows whether the message was taken.
 */
static int
read_end(struct transaction *x, struct trouble *t)
{
	int r = read_answers(x, x->count, t);

	if (r == 0) {
		session_enter(x->c, PHASE_END);
		r = session_reply(x->c, t);
	}
	if (r == -1 && t->code != CLOSING)
		settle_uncertain(x, t);
	return r;
}

/* The message is not taken: so much for those who wait for its end. */
static void
judge_refusal(const struct transaction *x)
{
	struct trouble t;

	if (x->refusal.failure.kind != FAILURE_NONE || x->accepted == 0)
		return;
	/* Those who were put off would hear the same of this message. */
	(void)verdict_reply(x->c->phase, &x->c->reply, x->c->relay, &t);
	settle_batch(x, &t);
}

/* The answer to the whole message: only here it can be taken. */
static void
judge_end(const struct transaction *x)
{
	bool has_message =
	    x->refusal.failure.kind == FAILURE_NONE && x->accepted > 0;

	if (has_message && reply_class(&x->c->reply) == 2) {
		accept_batch(x, &x->c->reply);
		x->c->needs_reset = false;
	} else {
		judge_refusal(x);
	}
}

static int
send_chunk(struct transaction *x, struct trouble *t)
{
	bool is_early = (x->c->extensions & EXT_PIPELINING) != 0 &&
	    message_size(x->mail) <= EARLY_BODY_MAX;

	if (!is_early && read_answers(x, x->count, t) == -1)
		return -1;
	if (!is_early && x->accepted == 0)
		return 0;
	if (session_command(x->c, t, "BDAT %llu LAST",
		(unsigned long long)message_size(x->mail)) == -1 ||
	    write_content(x, false, t) == -1 || read_end(x, t) == -1)
		return -1;
	judge_end(x);
	return 0;
}

static int
send_data(struct transaction *x, struct trouble *t)
{
	bool is_pipelined = (x->c->extensions & EXT_PIPELINING) != 0;

	if (!is_pipelined && x->accepted == 0)
		return 0;
	if (session_command(x->c, t, "DATA") == -1 ||
	    read_answers(x, x->count, t) == -1)
		return -1;
	session_enter(x->c, PHASE_DATA);
	if (session_reply(x->c, t) == -1)
		return -1;
	if (reply_class(&x->c->reply) != 3) {
		judge_refusal(x);
		return 0;
	}
	/* RFC 2920 3.1: 354 though nobody was accepted: an empty message. */
	if (x->accepted > 0 && write_content(x, true, t) == -1)
		return -1;
	if (stream_write(x->c->stream, span_of(".\r\n"), &t->failure) == -1)
		return session_failed(x->c, t);
	if (read_end(x, t) == -1)
		return -1;
	judge_end(x);
	return 0;
}

/* ---- transactions ---- */

static int
reset(struct smtp *c, struct trouble *t)
{
	session_enter(c, PHASE_RSET);
	if (session_command(c, t, "RSET") == -1 || session_reply(c, t) == -1)
		return -1;
	c->needs_reset = false;
	return 0;
}

static int
run(struct transaction *x, struct trouble *t)
{
	if (x->c->needs_reset && reset(x->c, t) == -1)
		return -1;
	x->c->needs_reset = true;
	if (write_envelope(x, t) == -1)
		return -1;
	if (x->c->extensions & EXT_CHUNKING)
		return send_chunk(x, t);
	if ((x->c->extensions & EXT_PIPELINING) == 0 &&
	    read_answers(x, x->count, t) == -1)
		return -1;
	return send_data(x, t);
}

/* Those who were put off stay pending if others got through. */
static void
settle_put_off(struct transaction *x)
{
	struct trouble t = { .scope = SCOPE_HOST, .code = 452 };

	if (x->put_off == 0 || x->accepted > 0)
		return;
	(void)failure_set(&t.failure, FAILURE_LATER,
	    "%s takes no recipient now (452 4.5.3)", x->c->relay);
	(void)failure_dsn(&t.failure, "4.5.3");
	settle_batch(x, &t);
}

static size_t
collect_batch(const struct smtp_mail *mail, const struct outcome *outcomes,
    size_t limit, size_t *batch)
{
	size_t count = 0;

	for (size_t i = 0; i < mail->recipient_count && count < limit; i++)
		if (outcomes[i].status == OUTCOME_PENDING)
			batch[count++] = i;
	return count;
}

/* What can be refused without asking.  -1: *t. */
static int
check_limits(
    const struct smtp *c, const struct transaction *x, struct trouble *t)
{
	uint64_t size = message_size(x->mail);

	*t = (struct trouble){ .scope = SCOPE_MESSAGE };
	if (c->size_max > 0 && size > c->size_max) {
		(void)failure_set(&t->failure, FAILURE_PEER,
		    "the message has %llu octets, and %s takes at most %llu",
		    (unsigned long long)size, c->relay,
		    (unsigned long long)c->size_max);
		return failure_dsn(&t->failure, "5.3.4");
	}
	return 0;
}

/* Refuse the addresses that the server cannot be told: the recipient's own,
 * or, for all of them, the sender's. */
static void
refuse_8bit(const struct smtp *c, const struct smtp_mail *mail,
    struct outcome *outcomes)
{
	bool has_sender = mailbox_has_8bit(mail->sender);
	struct trouble t = {
		.scope = has_sender ? SCOPE_MESSAGE : SCOPE_RECIPIENT,
	};

	if (c->extensions & EXT_SMTPUTF8)
		return;
	(void)failure_set(&t.failure, FAILURE_PEER,
	    "%s does not take addresses with non-ASCII letters", c->relay);
	(void)failure_dsn(&t.failure, "5.6.7");
	for (size_t i = 0; i < mail->recipient_count; i++)
		if (has_sender || mailbox_has_8bit(&mail->recipients[i]))
			outcomes_set(&outcomes[i], 1, &t);
}

void
smtp_send(struct smtp *c, const struct smtp_mail *mail,
    size_t recipients_per_message, struct outcome *outcomes)
{
	size_t *batch = xcalloc(recipients_per_message, sizeof(*batch));
	struct transaction x;
	struct trouble t = { .scope = SCOPE_NONE };
	int r = 0;

	assert(recipients_per_message > 0);
	refuse_8bit(c, mail, outcomes);
	do {
		x = (struct transaction){
			.c = c,
			.mail = mail,
			.outcomes = outcomes,
			.batch = batch,
			.count = collect_batch(
			    mail, outcomes, recipients_per_message, batch),
		};
		if (x.count == 0)
			break;
		r = check_limits(c, &x, &t);
		if (r == -1)
			settle_batch(&x, &t);
		else
			r = run(&x, &t);
		if (x.refusal.failure.kind != FAILURE_NONE)
			settle_batch(&x, &x.refusal);
		settle_put_off(&x);
	} while (r == 0 && !c->is_broken);
	if (c->is_broken && r == 0) {
		/* 421 came after a verdict: what is left waits. */
		(void)failure_set(&t.failure, FAILURE_LATER,
		    "%s ended the session", c->relay);
		(void)verdict_host(c->phase, &t);
		r = -1;
	}
	if (r == -1)
		outcomes_set(outcomes, mail->recipient_count, &t);
	free(batch);
	for (size_t i = 0; i < mail->recipient_count; i++)
		assert(outcomes[i].status != OUTCOME_PENDING);
}
