#include "route/deliver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/spill.h"
#include "mail/address.h"
#include "mail/encode.h"
#include "mail/message.h"
#include "route/direct.h"
#include "route/fallback.h"
#include "route/partial.h"
#include "route/submission.h"
#include "smtp/client.h"

enum {
	QP_BLOCK = 16 * 1024,
	NAMED_MAX = 3 /* recipients that a summary names */
};

/* The first outcome of the status; NULL if there is none. */
static const struct outcome *
first_of(const struct delivery *d, enum outcome_status status)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++)
		if (d->outcomes[i].status == status)
			return &d->outcomes[i];
	return NULL;
}

/* ---- the message as it goes out ---- */

static int
encode_body(const struct spill *body, struct spill *out, struct failure *f)
{
	char block[QP_BLOCK];
	struct buf encoded;
	uint64_t offset = 0;
	struct qp qp;
	ssize_t n;
	int r = 0;

	qp_init(&qp);
	buf_init(&encoded, sizeof(block) * 4 + 16);
	do {
		n = spill_read(body, offset, block, sizeof(block), f);
		if (n == -1) {
			r = -1;
			break;
		}
		offset += (uint64_t)n;
		buf_reset(&encoded);
		r = n > 0
		    ? qp_write(&qp, (struct span){ block, (size_t)n }, &encoded)
		    : qp_finish(&qp, &encoded);
		/* encoded has the room that qp_write() asks for. */
		assert(r == 0);
		r = spill_write(out, encoded.s, encoded.len, f);
	} while (n > 0 && r == 0);
	buf_done(&encoded);
	return r;
}

const struct spill *
delivery_content(const struct delivery *d, const struct message *message,
    struct buf *header, struct spill *encoded, struct failure *f)
{
	if (rewrite_write_header(&d->plan, &message->header, header) == -1) {
		(void)failure_set(f, FAILURE_DATA,
		    "the rewritten header is larger than %d octets",
		    DELIVERY_HEADER_MAX);
		return NULL;
	}
	if (!d->plan.encodes_body)
		return &message->body;
	return encode_body(&message->body, encoded, f) == 0 ? encoded : NULL;
}

/* ---- sending ---- */

/* What one attempt needs at every step. */
struct attempt {
	const struct config *config;
	struct delivery *d;
	struct submission *submission;
	struct smtp_mail mail;
	const char *held_because; /* or NULL */
};

/* Send on a session of the submission's; what fails before there is one is
 * the outcome of all. */
static void
submit_once(const struct attempt *a)
{
	struct delivery *d = a->d;
	struct trouble t;

	if (submission_open(
		a->submission, a->config, d->account, &d->user, &t) == -1)
		outcomes_set(d->outcomes, d->plan.recipients.count, &t);
	else
		smtp_send(submission_session(a->submission), &a->mail,
		    d->account->recipients_per_message, d->outcomes);
}

/*
 * The connection broke before the server said a word about the message.  On a
 * session that has been idle that says nothing but that the server had tired
 * of it: make those recipients pending again.  A server that has answered MAIL
 * was awake, and may have the message.
 */
static bool
has_lost_idle_session(const struct attempt *a, const bool *was_pending)
{
	struct outcome *outcomes = a->d->outcomes;
	size_t count = a->d->plan.recipients.count;

	if (!submission_is_reused(a->submission) ||
	    smtp_has_answered(submission_session(a->submission)))
		return false;
	for (size_t i = 0; i < count; i++)
		if (was_pending[i] &&
		    (outcomes[i].status != OUTCOME_LATER ||
			outcomes[i].scope != SCOPE_HOST ||
			outcomes[i].code != 0))
			return false;
	for (size_t i = 0; i < count; i++)
		if (was_pending[i]) {
			outcomes_done(&outcomes[i], 1);
			outcomes[i] = (struct outcome){ .text = NULL };
		}
	return true;
}

static void
submit(const struct attempt *a)
{
	struct delivery *d = a->d;
	size_t count = d->plan.recipients.count;
	bool *was_pending = xcalloc(count, sizeof(*was_pending));

	for (size_t i = 0; i < count; i++)
		was_pending[i] = d->outcomes[i].status == OUTCOME_PENDING;
	submit_once(a);
	if (has_lost_idle_session(a, was_pending)) {
		submission_close(a->submission);
		submit_once(a);
	}
	free(was_pending);
	outcomes_set_relay(d->outcomes, count, submission_relay(a->submission));
}

/* Without a host to submit to, or an account, Direct Send has to do. */
static void
submit_nothing(const struct attempt *a)
{
	struct delivery *d = a->d;
	struct trouble t = { .scope = SCOPE_HOST };

	if (a->held_because != NULL)
		t.scope = SCOPE_ACCOUNT;
	(void)failure_set(&t.failure, FAILURE_LATER, "%s",
	    a->held_because != NULL ? a->held_because
				    : "there is no host to submit to");
	(void)failure_dsn(&t.failure, "4.4.4");
	outcomes_set(d->outcomes, d->plan.recipients.count, &t);
}

/* ---- Direct Send in the place of submission ---- */

/* Recipients of one domain mostly stand together: ask once. */
struct route_state {
	const char *domain;
	enum fallback_direct state;
	struct buf why;
};

static void
look_up_state(
    const struct config *config, const char *domain, struct route_state *s)
{
	if (s->domain != NULL && span_is_nocase(span_of(domain), s->domain))
		return;
	buf_reset(&s->why);
	s->domain = domain;
	s->state = direct_state(config, domain, &s->why);
}

static void
set_closed(const struct route_state *s, struct outcome *out)
{
	struct trouble t = { .scope = SCOPE_HOST };

	(void)failure_set(&t.failure, FAILURE_LATER, "%s", s->why.s);
	(void)failure_dsn(&t.failure, "4.4.4");
	outcomes_set(out, 1, &t);
}

/*
 * Choose whom Direct Send is to try, and tell those who must wait for it why.
 * direct[i] stays pending for the first, and is marked accepted where nothing
 * is to do.  Returns how many it concerns.
 */
static size_t
choose_direct(const struct attempt *a, bool *is_direct, struct outcome *direct)
{
	const struct delivery *d = a->d;
	struct route_state s = { .domain = NULL };
	size_t concerned = 0;

	buf_init(&s.why, FAILURE_TEXT_SIZE);
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const char *domain = d->plan.recipients.items[i].domain;
		bool is_internal =
		    domain != NULL && config_is_internal(a->config, domain);
		enum fallback next;

		if (is_internal)
			look_up_state(a->config, domain, &s);
		next = fallback_decide(&d->outcomes[i], is_internal, s.state);
		is_direct[i] = next != FALLBACK_STANDS;
		concerned += is_direct[i];
		if (next == FALLBACK_STANDS)
			direct[i].status = OUTCOME_ACCEPTED;
		else if (next == FALLBACK_WAITS)
			set_closed(&s, &direct[i]);
	}
	buf_done(&s.why);
	return concerned;
}

/* What is known of the account must not be lost with what Direct Send
 * replaces. */
static void
keep_account(const struct attempt *a, const struct outcome *o)
{
	struct outcome *kept = &a->d->lost;

	if (kept->text != NULL || a->held_because != NULL ||
	    a->d->account->host == NULL)
		return;
	*kept = *o;
	kept->relay = NULL;
	kept->text = xstrdup(o->text);
}

static void
fall_back(const struct attempt *a)
{
	struct delivery *d = a->d;
	size_t count = d->plan.recipients.count;
	struct outcome *direct = xcalloc(count, sizeof(*direct));
	bool *is_direct = xcalloc(count, sizeof(*is_direct));

	if (choose_direct(a, is_direct, direct) > 0)
		direct_send(
		    a->config, &a->mail, (int)d->account->timeout, direct);
	for (size_t i = 0; i < count; i++) {
		if (!is_direct[i])
			continue;
		keep_account(a, &d->outcomes[i]);
		fallback_merge(
		    &d->outcomes[i], &direct[i], d->account->host != NULL);
		d->is_direct_left |= a->held_because != NULL &&
		    d->outcomes[i].status == OUTCOME_LATER;
	}
	free(is_direct);
	free(direct);
}

bool
delivery_can_go_direct(const struct config *config, const struct delivery *d)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const char *domain = d->plan.recipients.items[i].domain;

		if (d->outcomes[i].status == OUTCOME_PENDING &&
		    domain != NULL && config_is_internal(config, domain))
			return config->direct_send.is_enabled;
	}
	return false;
}

static void
send_content(struct attempt *a)
{
	if (a->d->account->host != NULL && a->held_because == NULL)
		submit(a);
	else
		submit_nothing(a);
	if (a->config->direct_send.is_enabled)
		fall_back(a);
}

static void
run(struct attempt a, const struct message *message)
{
	struct delivery *d = a.d;
	struct trouble t = { .scope = SCOPE_MESSAGE };
	const struct spill *body;
	struct spill encoded;
	struct buf header;

	buf_init(&header, DELIVERY_HEADER_MAX);
	spill_init(&encoded);
	body = delivery_content(d, message, &header, &encoded, &t.failure);
	a.mail = (struct smtp_mail){
		.sender = &d->plan.sender,
		.recipients = d->plan.recipients.items,
		.recipient_count = d->plan.recipients.count,
		.body = body,
		.dsn = &d->dsn,
		.header = buf_view(&header),
		.has_8bit =
		    (message->facts.has_8bit && !d->plan.encodes_body) ||
		    ascii_has_8bit(buf_view(&header)),
		.is_binary = !d->plan.encodes_body &&
		    (message->facts.has_nul ||
			message->facts.longest_line > LINES_MAX_OCTETS),
	};
	if (body != NULL)
		send_content(&a);
	else
		outcomes_set(d->outcomes, d->plan.recipients.count, &t);
	spill_done(&encoded);
	buf_done(&header);
}

void
delivery_run(const struct config *config, const struct delivery_input *input,
    struct delivery *d, struct submission *submission)
{
	struct submission *own = NULL;

	if (submission == NULL)
		submission = own = submission_new();
	if (!input->is_kept)
		partial_recall(config, input, d);
	if (first_of(d, OUTCOME_PENDING) != NULL) {
		run((struct attempt){ config, d, submission, { 0 },
			input->held_because },
		    input->message);
		if (!input->is_kept)
			partial_keep(config, input, d);
	}
	outcomes_set_relay(d->outcomes, d->plan.recipients.count, "none");
	submission_free(&own);
}

/* ---- summing up ---- */

size_t
delivery_count_pending(const struct delivery *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->plan.recipients.count; i++)
		n += d->outcomes[i].status == OUTCOME_PENDING;
	return n;
}

int
delivery_refusal(const struct delivery *d, struct failure *f)
{
	const struct outcome *refused = first_of(d, OUTCOME_REFUSED);

	if (d->refusal.kind != FAILURE_NONE) {
		*f = d->refusal;
		return -1;
	}
	if (refused == NULL)
		refused = first_of(d, OUTCOME_LATER);
	if (refused == NULL)
		return 0;
	(void)failure_set(f, refused->kind, "%s", refused->text);
	return failure_dsn(f, refused->dsn);
}

/* "a@x, b@x, c@x and 4 more": those who were not reached. */
static size_t
name_failed(const struct delivery *d, struct buf *b)
{
	size_t failed = 0;

	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		if (d->outcomes[i].status == OUTCOME_ACCEPTED)
			continue;
		if (failed++ >= NAMED_MAX)
			continue;
		if (failed > 1)
			(void)buf_puts(b, ", ");
		(void)mailbox_write_address(b, &d->plan.recipients.items[i]);
	}
	if (failed > NAMED_MAX)
		(void)buf_printf(b, " and %zu more", failed - NAMED_MAX);
	return failed;
}

int
delivery_summary(const struct delivery *d, struct buf *text, struct failure *f)
{
	const struct outcome *worst = first_of(d, OUTCOME_LATER);
	size_t count = d->plan.recipients.count;
	struct buf names;
	size_t failed;

	if (worst == NULL)
		worst = first_of(d, OUTCOME_REFUSED);
	if (worst == NULL) {
		/* Cut short if it is longer than the caller wants. */
		if (buf_puts(text, d->outcomes[0].text) == -1)
			(void)buf_puts(text, "2.0.0 Ok");
		return 0;
	}
	(void)failure_set(f, worst->kind, "%s", worst->text);
	(void)failure_dsn(f, worst->dsn);
	/* Where a part is done, or may be, it is the caller's turn to try the
	 * rest; the code must not say otherwise. */
	if (worst->status == OUTCOME_LATER && worst->kind != FAILURE_LATER &&
	    (first_of(d, OUTCOME_ACCEPTED) != NULL || worst->is_uncertain)) {
		f->kind = FAILURE_LATER;
		(void)failure_dsn(f, "4.0.0");
	}
	if (count == 1)
		return -1;
	buf_init(&names, (ADDRESS_MAX + 2) * NAMED_MAX + 32);
	failed = name_failed(d, &names);
	if (failed == count)
		(void)failure_at(
		    f, "not accepted for any of %zu recipients", count);
	else
		(void)failure_at(f, "sent to %zu of %zu recipients, not to %s",
		    count - failed, count, names.s);
	buf_done(&names);
	return -1;
}
