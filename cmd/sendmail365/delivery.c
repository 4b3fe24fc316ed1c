#include "delivery.h"

#include <sys/file.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/log.h"
#include "ipc.h"
#include "mail/complete.h"
#include "mail/message.h"
#include "queue/journal.h"
#include "queue/limits.h"
#include "queue/spool.h"
#include "record.h"
#include "route/deliver.h"
#include "route/submission.h"
#include "settle.h"
#include "smtp/client.h"

enum {
	BLOCK = 64 * 1024,
	BUSY_DELAY_MS = 5000,     /* another process has the message */
	TROUBLE_DELAY_MS = 60000, /* this host has no memory, no file ... */
	MS_PER_DAY = 24 * 60 * 60 * 1000
};

static const char too_large[] =
    "it has more recipients than recipients_per_day has left; see "
    "sendmail365.conf(5)";

struct worker {
	const struct config *config;
	struct spool *spool;
	int channel;
	char lane[ATTEMPT_LANE_SIZE]; /* of limits */
	struct limits *limits;
	struct submission *submission;
};

/* ---- the message ---- */

static int
read_content(const struct spool_message *entry, struct message *message,
    struct failure *f)
{
	char *block = xmalloc(BLOCK);
	uint64_t at = 0;
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = spool_content(entry, at, block, BLOCK, f)) != 0) {
		if (n > 0)
			r = message_write(
			    message, (struct span){ block, (size_t)n }, f);
		else
			r = -1;
		at += (uint64_t)n;
	}
	free(block);
	return r == 0 ? message_finish(message, f) : -1;
}

/* ---- the manager's leave ---- */

/* Say through which account it goes, and wait for the answer. */
static void
ask_for_lane(const struct worker *w, const struct delivery *d,
    const struct spool_message *entry, struct ipc *answer)
{
	struct ipc question = { .kind = IPC_LANE, .id = entry->id };

	question.u.lane.max_connections = d->account->max_connections;
	attempt_lane(d, question.text);
	if (ipc_send(w->channel, &question, -1) == -1 ||
	    ipc_await(w->channel, -1, answer, NULL) != 1)
		/* Nobody is there, and nothing follows for the message. */
		*answer = (struct ipc){ .kind = IPC_NO };
}

/* The limits of the account, kept from message to message: they hold its
 * connection. */
static void
use_limits(struct worker *w, const struct delivery *d)
{
	char lane[ATTEMPT_LANE_SIZE];
	struct failure f;

	attempt_lane(d, lane);
	if (w->limits != NULL && strcmp(lane, w->lane) == 0)
		return;
	limits_free(&w->limits);
	memcpy(w->lane, lane, sizeof(lane));
	if (attempt_limits(w->config, d, &w->limits, &f) == -1)
		log_warning("%s", f.text);
}

/*
 * Where the outcome cannot be written, nobody would know afterwards that the
 * message was sent.  Of a single recipient its absence says that.
 */
static int
prepare_spool(const struct worker *w, const struct spool_message *entry,
    size_t count, struct failure *f)
{
	if (spool_set_due(w->spool, entry->id, entry->status.due_ms, f) == -1)
		return -1;
	return count > 1 ? journal_reserve(w->spool, entry->id, count, f) : 0;
}

static void
set_verdict(struct ipc *out, struct spool_id id, enum ipc_verdict verdict)
{
	*out = (struct ipc){ .kind = IPC_RESULT, .id = id };
	out->u.result.verdict = verdict;
}

/* ---- one message ---- */

/* Its time is up while it may not be tried: that is its last outcome. */
static void
give_up(struct delivery *d, const char *why)
{
	struct trouble t = { .scope = SCOPE_MESSAGE };

	(void)failure_set(&t.failure, FAILURE_LATER, "%s", why);
	(void)failure_dsn(&t.failure, "4.4.7");
	outcomes_set(d->outcomes, d->plan.recipients.count, &t);
}

/*
 * The day has room for others, and they go first; but for a day only, or there
 * would always be some.  Sent in parts it would take all the room that is left,
 * and they would wait for it after all.  false: it is its turn.
 */
static bool
let_others_go(
    const struct settlement *s, size_t count, int64_t wait_ms, struct ipc *out)
{
	const struct schedule_policy policy = settle_policy(s->config);
	int64_t arrival_ms = spool_arrival_ms(s->entry->id);
	int64_t now_ms = clock_epoch_ms();
	char id[SPOOL_ID_SIZE];

	if (now_ms - arrival_ms > MS_PER_DAY)
		return false;
	spool_id_text(s->entry->id, id);
	log_info("%s: has to wait: %zu recipients are more than "
		 "recipients_per_day has left; others go first",
	    id, count);
	wait_ms =
	    schedule_due_ms(&policy, arrival_ms, now_ms, wait_ms) - now_ms;
	settle_later(s->entry->id, too_large, wait_ms, out);
	out->u.result.verdict = VERDICT_TOO_LARGE;
	return true;
}

/* The limits do not allow it now.  true: its time is up, and that is its last
 * outcome; false: *out. */
static bool
put_off(const struct settlement *s, struct delivery *d,
    enum limits_answer answer, int64_t wait_ms, struct ipc *out)
{
	if (answer == LIMITS_TOO_LARGE &&
	    settle_is_expired(s->config, s->entry->id)) {
		give_up(d, too_large);
		return true;
	}
	if (answer == LIMITS_TOO_LARGE &&
	    let_others_go(s, delivery_count_pending(d), wait_ms, out))
		return false;
	set_verdict(out, s->entry->id,
	    answer == LIMITS_WAIT ? VERDICT_LIMITED : VERDICT_SPENT);
	out->u.result.wait_ms = wait_ms;
	return false;
}

/* Send it if the manager and the limits allow that.  false: *out. */
static bool
run(struct worker *w, const struct settlement *s,
    const struct delivery_input *input, struct delivery *d, struct ipc *out)
{
	const size_t count = delivery_count_pending(d);
	struct delivery_input held = *input;
	enum limits_answer entry;
	int64_t wait_ms = 0;
	struct ipc answer;
	struct failure f;
	bool is_held;

	if (count == 0)
		return true;
	ask_for_lane(w, d, s->entry, &answer);
	is_held =
	    answer.kind == IPC_HELD && delivery_can_go_direct(w->config, d);
	if (answer.kind != IPC_GO && !is_held && answer.u.leave.is_late) {
		give_up(d, answer.text);
		return true;
	}
	if (answer.kind != IPC_GO && !is_held) {
		set_verdict(out, s->entry->id, VERDICT_REFUSED);
		return false;
	}
	if (prepare_spool(w, s->entry, count, &f) == -1) {
		log_error("%s", f.text);
		settle_later(s->entry->id, f.text, TROUBLE_DELAY_MS, out);
		return false;
	}
	if (is_held) {
		held.held_because = answer.text;
		delivery_run(w->config, &held, d, w->submission);
		return true;
	}
	use_limits(w, d);
	entry = attempt_enter(d, w->limits, clock_ms(), &wait_ms);
	if (entry != LIMITS_TAKEN)
		return put_off(s, d, entry, wait_ms, out);
	delivery_run(w->config, input, d, w->submission);
	return true;
}

/* Where the server has hung up, another may have the connection. */
static void
settle_session(struct worker *w)
{
	limits_finish(w->limits);
	submission_settle(w->submission);
	if (!submission_is_open(w->submission))
		limits_disconnect(w->limits);
}

/* The login name of who handed the message in; it is in *user. */
static const char *
user_name(uid_t uid, struct mailbox *user)
{
	complete_user(uid, user);
	return user->local;
}

static void
deliver(struct worker *w, const struct settlement *s, struct ipc *out)
{
	const struct spool_envelope *envelope = &s->entry->envelope;
	struct mailbox user;
	const struct delivery_input input = {
		.sender = &envelope->sender,
		.recipients = &envelope->recipients,
		.message = s->message,
		.user = user_name(s->entry->id.uid, &user),
		.dsn = &envelope->dsn,
		.is_kept = true,
	};
	char id[SPOOL_ID_SIZE];
	struct delivery d;

	spool_id_text(s->entry->id, id);
	delivery_plan(w->config, &input, &d);
	settle_prepare(s->journal, &d);
	if (run(w, s, &input, &d, out)) {
		/* First what must not be lost: whoever is killed before that
		 * sends the message again.  Then what is to be read. */
		settle_outcomes(s, &d, out);
		settle_session(w);
		if (s->journal->attempts <= 1)
			record_message(id, s->entry->id.uid, &d, &input);
		record_outcomes(id, &d);
		if (out->u.result.verdict != VERDICT_DEFERRED)
			log_info("%s: removed", id);
	}
	delivery_done(&d);
	mailbox_done(&user);
}

/* A message that cannot be read as one: nobody will ever be able to. */
static void
refuse(const struct settlement *s, const struct failure *why, struct ipc *out)
{
	const struct delivery_input input = {
		.sender = &s->entry->envelope.sender,
		.recipients = &s->entry->envelope.recipients,
		.message = s->message,
	};
	const struct trouble t = { .failure = *why, .scope = SCOPE_MESSAGE };
	struct delivery d;

	delivery_plan(s->config, &input, &d);
	settle_prepare(s->journal, &d);
	outcomes_set(d.outcomes, d.plan.recipients.count, &t);
	settle_outcomes(s, &d, out);
	delivery_done(&d);
}

static void
try_entry(struct worker *w, const struct spool_message *entry, struct ipc *out)
{
	struct message message;
	struct journal journal = { 0 };
	const struct settlement s = {
		.config = w->config,
		.spool = w->spool,
		.entry = entry,
		.message = &message,
		.journal = &journal,
	};
	struct failure f;
	int r;

	message_init(&message);
	r = journal_read(w->spool, entry->id, &journal, &f);
	if (r == 0)
		r = read_content(entry, &message, &f);
	if (r == 0)
		deliver(w, &s, out);
	else if (f.kind == FAILURE_DATA)
		refuse(&s, &f, out);
	else
		settle_later(entry->id, f.text, TROUBLE_DELAY_MS, out);
	if (r == -1)
		log_error("%s", f.text);
	journal_done(&journal);
	message_done(&message);
}

static void
do_job(struct worker *w, struct spool_id id, struct ipc *out)
{
	struct spool_message entry;
	struct failure f;

	if (spool_read(w->spool, SPOOL_QUEUE, id, &entry, &f) == -1) {
		if (f.kind == FAILURE_USAGE)
			set_verdict(out, id, VERDICT_GONE);
		else if (f.kind == FAILURE_DATA)
			set_verdict(out, id, VERDICT_BAD);
		else
			settle_later(id, f.text, TROUBLE_DELAY_MS, out);
		if (f.kind != FAILURE_USAGE)
			log_error("%s", f.text);
		return;
	}
	/* A delivery process whose manager has died finishes what it had. */
	if (flock(entry.fd, LOCK_EX | LOCK_NB) == -1)
		settle_later(
		    id, "another process delivers it", BUSY_DELAY_MS, out);
	else
		try_entry(w, &entry, out);
	spool_message_done(&entry);
}

void
delivery_process(const struct config *config, struct spool *spool, int channel)
{
	struct worker w = {
		.config = config,
		.spool = spool,
		.channel = channel,
		.submission = submission_new(),
	};
	struct ipc m;

	while (ipc_await(channel, -1, &m, NULL) == 1) {
		struct ipc result;

		if (m.kind != IPC_JOB)
			continue;
		do_job(&w, m.id, &result);
		if (ipc_send(channel, &result, -1) == -1)
			break;
	}
	submission_free(&w.submission);
	limits_free(&w.limits);
}
