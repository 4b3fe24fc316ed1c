/*
 * schedule - what follows from an outcome, and when
 *
 * Pure functions of outcomes and times.  The one place that maps scope and
 * persistence to what is done with the message and with its account.
 */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct outcome;

enum schedule_action {
	ACTION_DONE,     /* the recipient has it */
	ACTION_FAIL,     /* the recipient never gets it */
	ACTION_RETRY,    /* the message waits: an attempt that counts */
	ACTION_HOST,     /* the same, and the account's circuit opens */
	ACTION_ACCOUNT,  /* the circuit opens; no attempt of the message */
	ACTION_THROTTLE, /* the same, for a short time at first */
	ACTION_KEEP      /* a fault of ours: the message waits long */
};

struct schedule_policy {
	int64_t first_ms;    /* from the first failure to the second attempt */
	int64_t longest_ms;  /* between two attempts */
	int64_t lifetime_ms; /* of a message that cannot be delivered */
};

/* What is done about one recipient's outcome. */
enum schedule_action schedule_judge(const struct outcome *o);

/*
 * How long to wait after the given number of failures, 1 or more: doubled
 * each time up to the longest, less up to a fifth by chance, so that what
 * failed together does not come back together.
 */
int64_t schedule_delay(
    const struct schedule_policy *policy, unsigned failures, uint32_t chance);

/* Chance for schedule_delay() and circuit_fail(). */
uint32_t schedule_chance(void);

/*
 * When a message is tried again that is put off now.  Its last attempt is no
 * later than it expires.
 */
int64_t schedule_due_ms(const struct schedule_policy *policy,
    int64_t arrival_ms, int64_t now_ms, int64_t delay_ms);

/* The message has been there for longer than it may be. */
bool schedule_is_expired(
    const struct schedule_policy *policy, int64_t arrival_ms, int64_t now_ms);

/* ---- the circuit of an account ---- */

/*
 * Closed: mail flows.  Open: it waits, until one message is let through as a
 * probe, whose outcome decides.  Times are of the monotonic clock.
 */
struct circuit {
	unsigned failures; /* in a row; 0: closed */
	bool has_probe;    /* one message is on its way */
	int64_t until_ms;  /* of the next probe */
};

/* From when on a message may be tried; INT64_MAX: not before the probe that
 * is on its way has come back. */
int64_t circuit_admits_ms(const struct circuit *c);

/* A message is tried now, which was admitted. */
void circuit_enter(struct circuit *c);

/*
 * A message that was tried while the circuit was closed, or as its probe,
 * failed for the account's or the host's sake.  Returns true if the circuit
 * has just opened.  What was on its way when it opened does not count again.
 */
bool circuit_fail(struct circuit *c, const struct schedule_policy *policy,
    bool is_throttle, bool was_probe, int64_t now_ms, uint32_t chance);

/* The account works.  Returns true if the circuit has just closed. */
bool circuit_close(struct circuit *c);

/* The probe ended and says nothing of the account: the next may be one. */
void circuit_forget_probe(struct circuit *c);

/* Somebody has mended something: probe at once. */
void circuit_hurry(struct circuit *c);

#endif
