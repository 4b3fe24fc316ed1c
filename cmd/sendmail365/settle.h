/*
 * settle - a queued message after an attempt: journal, notice, next place
 */
#ifndef SENDMAIL365_SETTLE_H
#define SENDMAIL365_SETTLE_H

#include <stdbool.h>

#include "ipc.h"
#include "queue/schedule.h"

struct config;
struct delivery;
struct journal;
struct message;
struct spool;
struct spool_message;

/* A message that was opened, with all that is known of it; borrowed. */
struct settlement {
	const struct config *config;
	struct spool *spool;
	const struct spool_message *entry;
	const struct message *message;
	struct journal *journal;
};

/* The times of this configuration. */
struct schedule_policy settle_policy(const struct config *config);

/* Has the message been there for longer than it may be? */
bool settle_is_expired(const struct config *config, struct spool_id id);

/*
 * Give every recipient of a plan that the journal has as settled its outcome,
 * without a text, so that it is not tried again.
 */
void settle_prepare(struct journal *journal, struct delivery *d);

/*
 * Every outcome is set: write down what is new, and leave the message where it
 * belongs: nowhere, in failed/ after a notice, or in the queue with the time
 * of its next attempt.  *out is an IPC_RESULT.
 */
void settle_outcomes(
    const struct settlement *s, const struct delivery *d, struct ipc *out);

/* The message could not be tried for a reason of this host. */
void settle_later(
    struct spool_id id, const char *why, int64_t delay_ms, struct ipc *out);

#endif
