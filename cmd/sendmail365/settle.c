#include "settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"
#include "notify.h"
#include "queue/journal.h"
#include "route/deliver.h"
#include "smtp/client.h"

enum {
	MS_PER_SECOND = 1000,
	SECONDS_PER_HOUR = 3600,
	TROUBLE_DELAY_MS = 60 * 1000, /* the disk is full, or broken */
	REFUSED_CODE = 554
};

struct schedule_policy
settle_policy(const struct config *config)
{
	return (struct schedule_policy){
		.first_ms = (int64_t)config->queue_retry_first * MS_PER_SECOND,
		.longest_ms =
		    (int64_t)config->queue_retry_longest * MS_PER_SECOND,
		.lifetime_ms = (int64_t)config->queue_lifetime * MS_PER_SECOND,
	};
}

bool
settle_is_expired(const struct config *config, struct spool_id id)
{
	const struct schedule_policy policy = settle_policy(config);

	return schedule_is_expired(
	    &policy, spool_arrival_ms(id), clock_epoch_ms());
}

/* ---- what the journal knows ---- */

static char *
address_text(const struct mailbox *m)
{
	struct buf b;
	char *text;

	buf_init(&b, ADDRESS_MAX);
	(void)mailbox_write_address(&b, m);
	text = buf_take(&b);
	buf_done(&b);
	return text;
}

void
settle_prepare(struct journal *journal, struct delivery *d)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		struct outcome *o = &d->outcomes[i];
		char *address = address_text(&d->plan.recipients.items[i]);
		const struct journal_entry *e = journal_find(journal, address);

		free(address);
		if (e == NULL || e->status == JOURNAL_DEFERRED)
			continue;
		free(o->text);
		*o = (struct outcome){
			.status = e->status == JOURNAL_SENT ? OUTCOME_ACCEPTED
							    : OUTCOME_REFUSED,
		};
	}
}

/* ---- what the outcomes mean ---- */

struct summary {
	size_t deferred;
	bool is_attempt; /* one that counts */
	bool is_long;    /* wait as long as it goes */
	enum ipc_circuit circuit;
	const struct outcome *reason;  /* that decides, or NULL */
	const struct outcome *account; /* why that fails, or NULL */
};

static enum journal_status
status_of(enum schedule_action action)
{
	if (action == ACTION_DONE)
		return JOURNAL_SENT;
	return action == ACTION_FAIL ? JOURNAL_FAILED : JOURNAL_DEFERRED;
}

/* What an outcome says of the account. */
static void
judge_account(
    struct summary *s, enum schedule_action action, const struct outcome *o)
{
	switch (action) {
	case ACTION_DONE:
	case ACTION_FAIL:
	case ACTION_RETRY:
		/* A server that judges recipients serves the account. */
		if (o->code != 0 && s->circuit == CIRCUIT_UNKNOWN)
			s->circuit = CIRCUIT_WORKS;
		return;
	case ACTION_HOST:
	case ACTION_ACCOUNT:
		s->circuit = CIRCUIT_FAILED;
		break;
	case ACTION_THROTTLE:
		s->circuit = CIRCUIT_THROTTLED;
		break;
	case ACTION_KEEP:
		return;
	}
	if (s->account == NULL)
		s->account = o;
}

/* What one recipient's outcome adds to the whole. */
static void
sum_up(struct summary *s, enum schedule_action action, const struct outcome *o)
{
	judge_account(s, action, o);
	if (action == ACTION_RETRY || action == ACTION_HOST)
		s->is_attempt = true;
	if (action == ACTION_KEEP)
		s->is_attempt = s->is_long = true;
	if (status_of(action) == JOURNAL_DEFERRED)
		s->deferred++;
	if (s->reason == NULL || s->reason->status == OUTCOME_ACCEPTED)
		s->reason = o;
}

static struct summary
take_outcomes(const struct settlement *s, const struct delivery *d)
{
	struct summary sum = { .circuit = CIRCUIT_UNKNOWN,
		.is_attempt = d->is_direct_left };

	/* Whatever Direct Send has reached says nothing of the account. */
	if (d->lost.text != NULL)
		judge_account(&sum, schedule_judge(&d->lost), &d->lost);
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const struct outcome *o = &d->outcomes[i];
		enum schedule_action action;
		char *address;

		if (o->text == NULL)
			continue;
		action = schedule_judge(o);
		sum_up(&sum, action, o);
		address = address_text(&d->plan.recipients.items[i]);
		journal_set(
		    s->journal, address, status_of(action), o->dsn, o->text);
		free(address);
	}
	return sum;
}

/* Nobody waits any longer: what is deferred has failed. */
static void
expire(const struct settlement *s, const char *id)
{
	unsigned hours = s->config->queue_lifetime / SECONDS_PER_HOUR;

	log_info("%s: not delivered within %u hours: given up", id, hours);
	for (size_t i = 0; i < s->journal->count; i++) {
		const struct journal_entry *e = &s->journal->entries[i];
		char *address, *text;

		if (e->status != JOURNAL_DEFERRED)
			continue;
		address = xstrdup(e->address);
		text = xasprintf(
		    "not delivered within %u hours: %s", hours, e->text);
		journal_set(s->journal, address, JOURNAL_FAILED, "5.4.7", text);
		free(address);
		free(text);
	}
}

/* ---- where the message goes ---- */

static void
set_reply(struct ipc *out, int code, const char *dsn, const char *text)
{
	out->u.result.code = code;
	(void)snprintf(out->u.result.dsn, sizeof(out->u.result.dsn), "%s", dsn);
	(void)snprintf(out->text, sizeof(out->text), "%s", text);
}

static void
log_if(const char *id, int r, const struct failure *f)
{
	if (r == -1)
		log_error("%s: %s", id, f->text);
}

/* It stays in the queue; what Exchange has said of the account counts. */
static void
put_off(struct ipc *out)
{
	out->u.result.verdict = VERDICT_DEFERRED;
	out->u.result.due_ms = clock_epoch_ms() + TROUBLE_DELAY_MS;
}

/* Where it cannot be deleted it must not be sent again. */
static void
finish_sent(const struct settlement *s, const char *id, struct ipc *out)
{
	struct failure f;

	out->u.result.verdict = VERDICT_SENT;
	if (spool_remove(s->spool, SPOOL_QUEUE, s->entry->id, &f) == 0 ||
	    f.kind == FAILURE_USAGE)
		return;
	log_error("%s: it was sent and cannot be deleted: %s", id, f.text);
	log_if(id, journal_append(s->spool, s->entry->id, s->journal, &f), &f);
	put_off(out);
}

static void
finish(const struct settlement *s, const char *id, struct ipc *out)
{
	struct failure f;
	int r;

	if (journal_count(s->journal, JOURNAL_FAILED) == 0) {
		finish_sent(s, id, out);
		return;
	}
	out->u.result.verdict = VERDICT_FAILED;
	r = journal_append(s->spool, s->entry->id, s->journal, &f);
	log_if(id, r, &f);
	/* Its sender is told first: it must not be forgotten. */
	if (notify_failure(s, id, &f) == -1) {
		put_off(out);
		return;
	}
	r = spool_move(s->spool, SPOOL_QUEUE, SPOOL_FAILED, s->entry->id, &f);
	log_if(id, r, &f);
}

static void
defer(const struct settlement *s, const struct summary *sum, const char *id,
    struct ipc *out)
{
	const struct schedule_policy policy = settle_policy(s->config);
	int64_t delay = 0;
	struct failure f;
	int64_t due;
	int r;

	s->journal->attempts += sum->is_attempt;
	if (sum->is_long)
		delay = policy.longest_ms;
	else if (sum->is_attempt)
		delay = schedule_delay(
		    &policy, s->journal->attempts, schedule_chance());
	due = schedule_due_ms(
	    &policy, spool_arrival_ms(s->entry->id), clock_epoch_ms(), delay);
	r = journal_append(s->spool, s->entry->id, s->journal, &f);
	log_if(id, r, &f);
	/* What the account holds keeps its place. */
	if (sum->is_attempt)
		r = spool_set_due(s->spool, s->entry->id, due, &f);
	log_if(id, r, &f);
	out->u.result.verdict = VERDICT_DEFERRED;
	out->u.result.due_ms = due;
}

void
settle_outcomes(
    const struct settlement *s, const struct delivery *d, struct ipc *out)
{
	struct summary sum = take_outcomes(s, d);
	char id[SPOOL_ID_SIZE];

	spool_id_text(s->entry->id, id);
	*out = (struct ipc){ .kind = IPC_RESULT, .id = s->entry->id };
	out->u.result.circuit = sum.circuit;
	if (sum.reason != NULL)
		set_reply(out,
		    sum.reason->status == OUTCOME_REFUSED ? REFUSED_CODE
							  : sum.reason->code,
		    sum.reason->dsn, sum.reason->text);
	if (sum.account != NULL)
		(void)snprintf(
		    out->why, sizeof(out->why), "%s", sum.account->text);
	if (sum.deferred > 0 && settle_is_expired(s->config, s->entry->id)) {
		expire(s, id);
		sum.deferred = 0;
	}
	if (sum.deferred > 0)
		defer(s, &sum, id, out);
	else
		finish(s, id, out);
}

void
settle_later(
    struct spool_id id, const char *why, int64_t delay_ms, struct ipc *out)
{
	*out = (struct ipc){ .kind = IPC_RESULT, .id = id };
	out->u.result.verdict = VERDICT_DEFERRED;
	out->u.result.due_ms = clock_epoch_ms() + delay_ms;
	set_reply(out, 0, "4.3.0", why);
}
