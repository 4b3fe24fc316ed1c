/* Lanes and delivery processes: see manager.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "delivery.h"
#include "manager.h"
#include "queue/backlog.h"
#include "settle.h"

enum {
	/* A session is kept that long without work; Exchange's patience is
	 * some minutes. */
	IDLE_MS = 45 * 1000,
	EXTRA_IDLE_MS = 5 * 1000,
	NO_LANE_DELAY_MS = 5 * 1000,
	BAD_FILE_DELAY_MS = 60 * 60 * 1000,
	LONG_WAIT_MS = 2 * 60 * 1000,
	EXPIRY_MS = 5 * 1000, /* between two looks for what is too old */
	/* Of what is too old and held, for a process to put an end to. */
	LANE_LATE = BACKLOG_LANES_MAX - 1,
	MS_PER_SECOND = 1000
};

/* ---- lanes ---- */

/* Does nothing wait in this lane, is nothing on its way, and nothing known of
 * its account that matters? */
static bool
is_spare(const struct manager *m, unsigned lane)
{
	const struct lane *l = &m->lanes[lane];
	struct spool_id id;

	for (size_t i = 0; i < MANAGER_WORKERS; i++) {
		const struct worker *w = &m->workers[i];

		if (w->child.pid != 0 &&
		    (w->lane == lane ||
			(w->child.is_busy && w->job_lane == lane)))
			return false;
	}
	return l->circuit.failures == 0 && l->blocked_ms <= clock_ms() &&
	    backlog_first(m->backlog, lane, &id) == INT64_MAX;
}

/* The place of a lane that nobody needs; 0: there is none.  Where each sender
 * signs in for itself, there are as many as senders. */
static unsigned
reuse_lane(struct manager *m)
{
	for (unsigned i = 1; i < m->lane_count; i++)
		if (is_spare(m, i)) {
			free(m->lanes[i].name);
			free(m->lanes[i].why);
			return i;
		}
	return 0;
}

/* The lane of that name, a new one if need be; 0 if there are too many. */
static unsigned
find_lane(struct manager *m, const struct ipc *said)
{
	struct lane *lane;
	bool is_new;
	unsigned i;

	if (m->lane_count == 0)
		m->lane_count = 1;
	for (i = 1; i < m->lane_count; i++)
		if (strcmp(m->lanes[i].name, said->text) == 0)
			break;
	is_new = i == m->lane_count;
	if (is_new && i == LANE_LATE)
		i = reuse_lane(m);
	else
		m->lane_count += is_new;
	if (i == 0)
		return 0;
	lane = &m->lanes[i];
	if (is_new)
		*lane = (struct lane){ .name = xstrdup(said->text) };
	lane->max_connections = said->u.lane.max_connections;
	return i;
}

/* How many processes are bound to a lane, each with a connection or about to
 * have one. */
static unsigned
count_bound(const struct manager *m, unsigned lane)
{
	unsigned n = 0;

	for (size_t i = 0; i < MANAGER_WORKERS; i++)
		n += m->workers[i].child.pid != 0 && m->workers[i].lane == lane;
	return n;
}

/* How many of them stay. */
static unsigned
count_staying(const struct manager *m, unsigned lane)
{
	unsigned n = 0;

	for (size_t i = 0; i < MANAGER_WORKERS; i++)
		n += m->workers[i].child.fd != -1 && m->workers[i].lane == lane;
	return n;
}

/* When a lane may be tried, as clock_ms(); INT64_MAX: not before something
 * comes back. */
static int64_t
open_ms(const struct lane *lane)
{
	int64_t at = circuit_admits_ms(&lane->circuit);

	return at > lane->blocked_ms ? at : lane->blocked_ms;
}

/* ---- processes ---- */

static bool
is_idle(const struct worker *w)
{
	return w->child.pid != 0 && w->child.fd != -1 && !w->child.is_busy &&
	    !w->child.is_retired;
}

static unsigned
most_workers(const struct manager *m)
{
	unsigned n = 0;

	for (size_t i = 0; i < m->config->account_count; i++)
		n += m->config->accounts[i].max_connections;
	/* Where each sender signs in for itself, one account is many. */
	if (m->lane_count > m->config->account_count + 1)
		n *= 4;
	return n < MANAGER_WORKERS ? n : MANAGER_WORKERS;
}

static struct worker *
start_worker(struct manager *m, unsigned most)
{
	struct worker *none = NULL;
	unsigned count = 0;

	for (size_t i = 0; i < MANAGER_WORKERS; i++) {
		if (m->workers[i].child.pid != 0)
			count++;
		else if (none == NULL)
			none = &m->workers[i];
	}
	if (none == NULL || count >= most)
		return NULL;
	*none = (struct worker){ .child = { .fd = -1 } };
	if (manager_start(m, &none->child, delivery_process, "s365-delivery") ==
	    -1)
		return NULL;
	return none;
}

/* A process for a message of this lane; NULL if none is to be had now. */
static struct worker *
find_worker(struct manager *m, unsigned lane)
{
	struct worker *unbound = NULL;
	struct worker *other = NULL;
	struct worker *w;

	for (size_t i = 0; i < MANAGER_WORKERS; i++) {
		w = &m->workers[i];
		if (!is_idle(w))
			continue;
		if (w->lane == lane && lane != 0)
			return w;
		if (w->lane == 0)
			unbound = w;
		else
			other = w;
	}
	/* Of a message nothing is known: most leave through one account, and a
	 * session is there. */
	if (lane == 0 && other != NULL)
		return other;
	if (lane != 0 && count_bound(m, lane) >= m->lanes[lane].max_connections)
		return NULL;
	if (unbound != NULL)
		return unbound;
	w = start_worker(m, most_workers(m));
	/* Others keep their session for nothing while this one waits. */
	if (w == NULL && other != NULL)
		manager_retire(&other->child);
	return w;
}

/* ---- giving out ---- */

void
dispatch_lose(struct manager *m, struct worker *w)
{
	const struct schedule_policy policy = settle_policy(m->config);
	char id[SPOOL_ID_SIZE];
	unsigned crashes;

	fd_close(&w->child.fd);
	if (!w->child.is_busy)
		return;
	w->child.is_busy = false;
	crashes = backlog_count_crash(m->backlog, w->job);
	spool_id_text(w->job, id);
	log_error("%s: its delivery process has ended without a result", id);
	if (w->has_gone && w->is_probe)
		circuit_forget_probe(&m->lanes[w->job_lane].circuit);
	backlog_return(m->backlog, w->job, w->job_lane,
	    clock_epoch_ms() +
		schedule_delay(&policy, crashes, schedule_chance()));
	manager_check_hold(m, w->job);
}

static void
give(struct manager *m, struct worker *w, unsigned lane, struct spool_id id)
{
	const struct ipc job = { .kind = IPC_JOB, .id = id };

	backlog_take(m->backlog, id);
	w->child.is_busy = true;
	w->job = id;
	w->job_lane = lane;
	w->has_gone = w->is_probe = w->is_held = false;
	if (ipc_send(w->child.fd, &job, -1) == -1)
		dispatch_lose(m, w);
}

/* Messages of a lane that were given out and not let through yet: a circuit
 * that is open wants no more than one of them. */
static bool
is_asking(const struct manager *m, unsigned lane)
{
	for (size_t i = 0; i < MANAGER_WORKERS; i++)
		if (m->workers[i].child.is_busy && !m->workers[i].has_gone &&
		    m->workers[i].job_lane == lane)
			return true;
	return false;
}

static void
run_lane(struct manager *m, unsigned lane, int64_t now_ms)
{
	struct lane *l = &m->lanes[lane];
	struct spool_id id = { 0, 0 };

	while (backlog_first(m->backlog, lane, &id) <= now_ms &&
	    open_ms(l) <= clock_ms()) {
		struct worker *w;

		if (l->circuit.failures > 0 && is_asking(m, lane))
			return;
		w = find_worker(m, lane);
		if (w == NULL)
			return;
		give(m, w, lane, id);
	}
}

/* ---- what is held for too long ---- */

/*
 * Does mail of this lane wait, and not just for a moment?  One failure may be
 * a mishap: what is old after a long downtime has another chance if there is
 * one soon.
 */
static bool
is_held(const struct lane *lane, bool is_once)
{
	const struct circuit *c = &lane->circuit;
	bool is_soon = !is_once && c->failures == 1 &&
	    c->until_ms - clock_ms() < LONG_WAIT_MS;

	return (c->failures > 0 && !is_soon) ||
	    (lane->is_spent && lane->blocked_ms > clock_ms());
}

static bool
is_held_lane(const void *context, unsigned lane)
{
	const struct manager *m = context;

	return is_held(&m->lanes[lane], m->is_once);
}

static bool
is_late(const struct manager *m, const struct lane *lane, struct spool_id id)
{
	return is_held(lane, m->is_once) && settle_is_expired(m->config, id);
}

static void
find_late(struct manager *m)
{
	const struct schedule_policy policy = settle_policy(m->config);
	unsigned lane = 1;

	while (lane < m->lane_count && !is_held_lane(m, lane))
		lane++;
	if (lane == m->lane_count) {
		m->expiry_ms = 0;
		return;
	}
	if (clock_ms() < m->expiry_ms)
		return;
	m->expiry_ms = clock_ms() + EXPIRY_MS;
	backlog_set_apart(m->backlog, clock_epoch_ms() - policy.lifetime_ms,
	    is_held_lane, m, LANE_LATE);
}

/* They need no connection, but a process: one more than those that are busy
 * with an account that does not answer. */
static void
run_late(struct manager *m)
{
	struct spool_id id = { 0, 0 };

	while (backlog_first(m->backlog, LANE_LATE, &id) != INT64_MAX) {
		struct worker *w = find_worker(m, 0);

		if (w == NULL)
			w = start_worker(m, most_workers(m) + 1);
		if (w == NULL)
			return;
		give(m, w, 0, id);
	}
}

/* ---- all of it ---- */

void
dispatch_run(struct manager *m)
{
	int64_t now_ms = clock_epoch_ms();

	if (m->is_stopping)
		return;
	find_late(m);
	run_late(m);
	/* What was tried before goes before what nobody knows. */
	for (unsigned lane = 1; lane < m->lane_count; lane++)
		run_lane(m, lane, now_ms);
	run_lane(m, 0, now_ms);
}

int64_t
dispatch_wait_ms(const struct manager *m)
{
	int64_t now_ms = clock_epoch_ms();
	int64_t mono_ms = clock_ms();
	int64_t wait = -1;

	for (unsigned i = 0; i < m->lane_count || i == 0; i++) {
		struct spool_id id;
		int64_t due = backlog_first(m->backlog, i, &id);
		int64_t open = open_ms(&m->lanes[i]);
		int64_t left = due - now_ms;

		if (due == INT64_MAX || open == INT64_MAX)
			continue;
		if (open - mono_ms > left)
			left = open - mono_ms;
		/* What is due already waits for a process, not for time. */
		if (left > 0 && (wait == -1 || left < wait))
			wait = left;
	}
	return wait;
}

/* ---- what they say ---- */

static const char spent[] =
    "the account has reached recipients_per_day; see sendmail365.conf(5)";

static void
answer_lane(struct manager *m, struct worker *w, const struct ipc *said)
{
	struct ipc answer = { .kind = IPC_NO, .id = w->job };
	unsigned i = find_lane(m, said);
	struct lane *lane = &m->lanes[i];

	w->job_lane = i;
	if (i != 0 && !m->is_stopping && open_ms(lane) <= clock_ms() &&
	    (w->lane == i ||
		(w->lane == 0 && count_bound(m, i) < lane->max_connections))) {
		answer.kind = IPC_GO;
		w->lane = i;
		w->has_gone = true;
		w->is_probe = lane->circuit.failures > 0;
		circuit_enter(&lane->circuit);
	} else if (i != 0 && !m->is_stopping) {
		w->is_held =
		    lane->why != NULL && m->config->direct_send.is_enabled;
		answer.kind = w->is_held ? IPC_HELD : IPC_NO;
		answer.u.leave.is_late = is_late(m, lane, w->job);
		(void)snprintf(answer.text, sizeof(answer.text), "%s",
		    lane->why != NULL ? lane->why : spent);
	}
	if (ipc_send(w->child.fd, &answer, -1) == -1)
		dispatch_lose(m, w);
}

/* The circuit has opened: what waits for the account may have another way,
 * and is looked at again. */
static void
hold_lane(struct manager *m, unsigned i, const char *why)
{
	struct lane *lane = &m->lanes[i];
	struct spool_id id;

	log_warning("all mail of account %s waits: %s", lane->name, why);
	free(lane->why);
	lane->why = xstrdup(why);
	if (!m->config->direct_send.is_enabled)
		return;
	while (backlog_first(m->backlog, i, &id) != INT64_MAX) {
		backlog_take(m->backlog, id);
		backlog_return(m->backlog, id, 0, BACKLOG_SAME_DUE);
	}
}

static void
resume_lane(struct lane *lane)
{
	log_info("account %s works again", lane->name);
	free(lane->why);
	lane->why = NULL;
}

/* Say once that an account is held, and once that it is not. */
static void
judge_lane(struct manager *m, struct worker *w, const struct ipc *result)
{
	const struct schedule_policy policy = settle_policy(m->config);
	struct lane *lane = &m->lanes[w->job_lane];
	enum ipc_circuit circuit = result->u.result.circuit;

	/* What fails with a configuration that has been replaced since may
	 * have been mended by that. */
	if (w->child.is_retired && circuit != CIRCUIT_WORKS)
		circuit = CIRCUIT_UNKNOWN;
	switch (circuit) {
	case CIRCUIT_UNKNOWN:
		if (w->is_probe)
			circuit_forget_probe(&lane->circuit);
		break;
	case CIRCUIT_WORKS:
		if (circuit_close(&lane->circuit))
			resume_lane(lane);
		break;
	case CIRCUIT_FAILED:
	case CIRCUIT_THROTTLED:
		if (circuit_fail(&lane->circuit, &policy,
			circuit == CIRCUIT_THROTTLED, w->is_probe, clock_ms(),
			schedule_chance()))
			hold_lane(m, w->job_lane, result->why);
		break;
	}
}

/* The limits of the account allow nothing for that long. */
static void
block_lane(struct lane *lane, bool is_spent, int64_t wait_ms)
{
	long long seconds = (wait_ms + MS_PER_SECOND - 1) / MS_PER_SECOND;

	if (is_spent)
		log_warning("account %s has reached recipients_per_day: its "
			    "mail waits for %lld seconds at least",
		    lane->name, seconds);
	else
		log_debug("account %s: its limits allow nothing for %lld "
			  "seconds",
		    lane->name, seconds);
	lane->blocked_ms = clock_ms() + wait_ms;
	lane->is_spent = is_spent;
}

/* Where the message goes in the backlog: out of it, or when it is due again. */
static void
return_job(struct manager *m, const struct worker *w, const struct ipc *result)
{
	int64_t now = clock_epoch_ms();
	int64_t due = result->u.result.due_ms;
	unsigned lane = w->job_lane;

	switch (result->u.result.verdict) {
	case VERDICT_SENT:
	case VERDICT_FAILED:
	case VERDICT_GONE:
		backlog_drop(m->backlog, w->job);
		return;
	case VERDICT_LIMITED:
	case VERDICT_SPENT:
		due = BACKLOG_SAME_DUE;
		break;
	case VERDICT_TOO_LARGE:
		/* A limit that was replaced since is not asked again. */
		if (w->child.is_retired)
			due = BACKLOG_SAME_DUE;
		break;
	case VERDICT_REFUSED:
		/* Lane 0: there are too many accounts at once. */
		due = lane != 0 ? BACKLOG_SAME_DUE : now + NO_LANE_DELAY_MS;
		break;
	case VERDICT_DEFERRED:
		/* What Direct Send is to try again does not wait for the
		 * account. */
		if (w->is_held && due > now)
			lane = 0;
		break;
	case VERDICT_BAD:
		due = now + BAD_FILE_DELAY_MS;
		break;
	}
	backlog_return(m->backlog, w->job, lane, due);
}

static void
take_result(struct manager *m, struct worker *w, const struct ipc *result)
{
	const enum ipc_verdict verdict = result->u.result.verdict;
	bool is_limited =
	    verdict == VERDICT_LIMITED || verdict == VERDICT_SPENT;

	if (w->has_gone)
		judge_lane(m, w, result);
	if (is_limited && !w->child.is_retired)
		block_lane(&m->lanes[w->job_lane], verdict == VERDICT_SPENT,
		    result->u.result.wait_ms);
	return_job(m, w, result);
	/* It may have been put on hold, or deleted, meanwhile. */
	if (verdict != VERDICT_BAD && backlog_has(m->backlog, w->job))
		manager_check_hold(m, w->job);
	if (!is_limited && verdict != VERDICT_REFUSED)
		reception_tell(m, result);
	w->child.is_busy = false;
	w->child.idle_ms = clock_ms();
	if (w->child.is_retired)
		manager_retire(&w->child);
}

void
dispatch_hear(struct manager *m, struct worker *w)
{
	struct ipc said;
	int r;

	while ((r = ipc_receive(w->child.fd, &said, NULL)) == 1) {
		if (said.kind == IPC_LANE)
			answer_lane(m, w, &said);
		else if (said.kind == IPC_RESULT)
			take_result(m, w, &said);
		if (w->child.fd == -1)
			return;
	}
	if (r == 0 || errno != EAGAIN)
		dispatch_lose(m, w);
}

void
dispatch_hurry(struct manager *m)
{
	for (unsigned i = 1; i < m->lane_count; i++) {
		circuit_hurry(&m->lanes[i].circuit);
		m->lanes[i].blocked_ms = 0;
	}
}

void
dispatch_retire_idle(struct manager *m)
{
	int64_t before_ms = clock_ms() - IDLE_MS;

	for (size_t i = 0; i < MANAGER_WORKERS; i++) {
		struct worker *w = &m->workers[i];
		int64_t limit_ms = before_ms;

		if (!is_idle(w))
			continue;
		/* One stays for each account; the others' connections are
		 * wanted elsewhere, perhaps. */
		if (count_staying(m, w->lane) > 1)
			limit_ms += IDLE_MS - EXTRA_IDLE_MS;
		if (w->child.idle_ms < limit_ms)
			manager_retire(&w->child);
	}
	/* The first few stay, for the next caller's sake. */
	for (size_t i = 4; i < MANAGER_INGESTS; i++) {
		struct child *c = &m->ingests[i].child;

		if (c->pid != 0 && !c->is_busy && c->idle_ms < before_ms)
			manager_retire(c);
	}
}
