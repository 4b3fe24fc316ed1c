/*
 * limits - what an account may do, kept across processes and restarts
 *
 * One file for each account in the state directory: the times of the latest
 * messages, and the recipients of each hour of a day.  A connection is a lock
 * on one octet of it, which ends with its process whatever happens to that.
 */
#ifndef QUEUE_LIMITS_H
#define QUEUE_LIMITS_H

#include <stdint.h>

struct failure;
struct limits;

enum {
	LIMITS_MESSAGES_MAX = 10000 /* in one window */
};

struct limits_policy {
	unsigned connections;
	unsigned messages; /* in any window */
	int64_t window_ms;
	uint64_t recipients_per_day;
};

/*
 * Open the file of the account that name stands for.  On success *out is the
 * caller's to limits_free(); it is NULL where there is no directory to keep
 * anything in, and then nothing is limited.  FAILURE_LATER, FAILURE_CONFIG.
 */
int limits_open(const char *directory, const char *name,
    const struct limits_policy *policy, struct limits **out, struct failure *f);

/* Accepts a pointer to NULL, sets it to NULL; lets the connection go. */
void limits_free(struct limits **limits);

/* Take one of the connections, waiting for it until the deadline.  Nothing
 * happens if this process has one.  FAILURE_LATER, dsn 4.3.2. */
int limits_connect(struct limits *limits, int64_t deadline, struct failure *f);

/* Let it go. */
void limits_disconnect(struct limits *limits);

enum limits_answer {
	LIMITS_FAILED = -1,
	LIMITS_TAKEN,
	LIMITS_WAIT,     /* it is not yet time for a message */
	LIMITS_SPENT,    /* the day has no room for a recipient */
	LIMITS_TOO_LARGE /* it has, but not for so many */
};

/*
 * Count messages that are about to be sent, and their recipients.  Where it is
 * not yet time, *out_wait_ms is how long to wait.  With no messages nothing is
 * counted, and the answer is for the next one.  NULL limits nothing.
 * FAILURE_LATER.
 */
enum limits_answer limits_take(struct limits *limits, unsigned messages,
    uint64_t recipients, int64_t *out_wait_ms, struct failure *f);

/*
 * What was counted last is sent, or will not be.  Exchange has counted the
 * message at some time since limits_take(), however long ago that was: until
 * now nothing takes its place, and the window is kept from here on.
 */
void limits_finish(struct limits *limits);

#endif
