/*
 * attempt - send a message within the limits of its account
 *
 * The one way from a plan to Exchange, for the service and for the
 * foreground.
 */
#ifndef SENDMAIL365_ATTEMPT_H
#define SENDMAIL365_ATTEMPT_H

#include <stdint.h>

#include "queue/limits.h"

struct config;
struct delivery;
struct failure;
struct limits;
struct message;

enum {
	ATTEMPT_LANE_SIZE = 400
};

/* What the account of a plan is called: whatever has the same limits has the
 * same name. */
void attempt_lane(const struct delivery *d, char out[static ATTEMPT_LANE_SIZE]);

/* The limits of the plan's account; as limits_open(). */
int attempt_limits(const struct config *config, const struct delivery *d,
    struct limits **out, struct failure *f);

/*
 * Wait until the deadline for the account to have room for the recipients that
 * are pending, and count them, as limits_take(): *out_wait_ms is when there
 * may be.  What cannot be counted is taken, too.
 */
enum limits_answer attempt_enter(const struct delivery *d,
    struct limits *limits, int64_t deadline, int64_t *out_wait_ms);

/* Give every pending recipient the outcome that the limits allow no more
 * now. */
void attempt_put_off(struct delivery *d, int64_t wait_ms);

#endif
