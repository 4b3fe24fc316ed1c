#include "queue/schedule.h"

#include <sys/random.h>

#include <string.h>

#include "smtp/client.h"

enum {
	JITTER_PARTS = 5,          /* one of so many parts is chance */
	DOUBLINGS_MAX = 30,        /* beyond that everything is the longest */
	THROTTLE_FIRST_MS = 5000,  /* Exchange: "try again later" */
	TOO_MANY_CONNECTIONS = 432 /* its code for that, RFC 5248 */
};

/* ---- outcomes ---- */

static bool
is_throttle(const struct outcome *o)
{
	return o->code == TOO_MANY_CONNECTIONS || strcmp(o->dsn, "4.3.2") == 0;
}

/* A temporary outcome, by whom it concerns. */
static enum schedule_action
judge_scope(enum scope scope)
{
	switch (scope) {
	case SCOPE_ACCOUNT:
		return ACTION_ACCOUNT;
	case SCOPE_HOST:
		return ACTION_HOST;
	case SCOPE_NONE:
	case SCOPE_RECIPIENT:
	case SCOPE_MESSAGE:
		break;
	}
	return ACTION_RETRY;
}

enum schedule_action
schedule_judge(const struct outcome *o)
{
	if (o->status == OUTCOME_ACCEPTED)
		return ACTION_DONE;
	if (o->status == OUTCOME_REFUSED)
		return ACTION_FAIL;
	if (is_throttle(o))
		return ACTION_THROTTLE;
	switch (o->kind) {
	case FAILURE_AUTH:
	case FAILURE_CONFIG:
		/* Nothing of the kind is one message's fault. */
		return ACTION_ACCOUNT;
	case FAILURE_BUG:
		return ACTION_KEEP;
	case FAILURE_NONE:
	case FAILURE_USAGE:
	case FAILURE_DATA:
	case FAILURE_PEER:
	case FAILURE_LATER:
		break;
	}
	return judge_scope(o->scope);
}

/* ---- times ---- */

static int64_t
delay(int64_t first, int64_t longest, unsigned failures, uint32_t chance)
{
	unsigned doublings = failures > 0 ? failures - 1 : 0;
	int64_t ms = longest;

	if (doublings < DOUBLINGS_MAX && first < longest >> doublings)
		ms = first << doublings;
	return ms - (int64_t)((uint64_t)ms / JITTER_PARTS * chance >> 32);
}

int64_t
schedule_delay(
    const struct schedule_policy *policy, unsigned failures, uint32_t chance)
{
	return delay(policy->first_ms, policy->longest_ms, failures, chance);
}

uint32_t
schedule_chance(void)
{
	uint32_t n = 0;

	/* Without it everything is late by the same time. */
	(void)!getrandom(&n, sizeof(n), 0);
	return n;
}

int64_t
schedule_due_ms(const struct schedule_policy *policy, int64_t arrival_ms,
    int64_t now_ms, int64_t delay_ms)
{
	int64_t due_ms = now_ms + delay_ms;
	int64_t end_ms = arrival_ms + policy->lifetime_ms + 1;

	return now_ms < end_ms && end_ms < due_ms ? end_ms : due_ms;
}

bool
schedule_is_expired(
    const struct schedule_policy *policy, int64_t arrival_ms, int64_t now_ms)
{
	return now_ms - arrival_ms > policy->lifetime_ms;
}

/* ---- the circuit ---- */

int64_t
circuit_admits_ms(const struct circuit *c)
{
	if (c->failures == 0)
		return 0;
	return c->has_probe ? INT64_MAX : c->until_ms;
}

void
circuit_enter(struct circuit *c)
{
	c->has_probe = c->failures > 0;
}

bool
circuit_fail(struct circuit *c, const struct schedule_policy *policy,
    bool is_throttled, bool was_probe, int64_t now_ms, uint32_t chance)
{
	int64_t first = policy->first_ms;
	bool is_new = c->failures == 0;

	if (!is_new && !was_probe)
		return false;
	if (is_throttled && first > THROTTLE_FIRST_MS)
		first = THROTTLE_FIRST_MS;
	c->has_probe = false;
	c->failures++;
	c->until_ms =
	    now_ms + delay(first, policy->longest_ms, c->failures, chance);
	return is_new;
}

bool
circuit_close(struct circuit *c)
{
	bool was_open = c->failures > 0;

	*c = (struct circuit){ 0 };
	return was_open;
}

void
circuit_forget_probe(struct circuit *c)
{
	c->has_probe = false;
}

void
circuit_hurry(struct circuit *c)
{
	c->until_ms = 0;
}
