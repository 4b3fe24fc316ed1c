/*
 * backlog - the messages of the queue, as the service has them in memory
 *
 * Some 50 octets for each.  A lane is what is scheduled together: messages
 * that leave through one account.  Lane 0 is for those of which that is not
 * known yet.  A call costs at most the logarithm of the number of messages,
 * however many there are, unless it says more.
 */
#ifndef QUEUE_BACKLOG_H
#define QUEUE_BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "queue/spool.h"

struct backlog;

enum {
	BACKLOG_LANES_MAX = 1000
};

#define BACKLOG_SAME_DUE INT64_MIN

/* How much there is. */
struct backlog_usage {
	size_t messages;
	uint64_t bytes;
};

/* The caller backlog_free()s it. */
struct backlog *backlog_new(void);

/* Accepts a pointer to NULL, sets it to NULL. */
void backlog_free(struct backlog **backlog);

/* Add a message, or take over its present status.  One that is out stays
 * so, and one that was known keeps its lane. */
void backlog_put(
    struct backlog *b, struct spool_id id, const struct spool_status *status);

/* The message is gone; nothing happens if it is not there. */
void backlog_drop(struct backlog *b, struct spool_id id);

/* Between the two, every message is put that there is; those that were not
 * are dropped, unless they are out. */
void backlog_begin_scan(struct backlog *b);
void backlog_end_scan(struct backlog *b);

/* The time at which the first message of a lane is due, INT64_MAX if none
 * is; *out is that message. */
int64_t backlog_first(
    const struct backlog *b, unsigned lane, struct spool_id *out);

/* The message is out: whoever has it brings it back or drops it. */
void backlog_take(struct backlog *b, struct spool_id id);

/* It is back, in this lane, and due then, or when it was due before.  Nothing
 * happens if it is gone. */
void backlog_return(
    struct backlog *b, struct spool_id id, unsigned lane, int64_t due_ms);

/*
 * Move what arrived before then, and waits in a lane that is chosen, to
 * another one, whenever it is due.  This looks at every message there is.
 */
void backlog_set_apart(struct backlog *b, int64_t before_ms,
    bool (*is_chosen)(const void *context, unsigned lane), const void *context,
    unsigned lane);

/* How often the message has brought down who had it, with this time. */
unsigned backlog_count_crash(struct backlog *b, struct spool_id id);

/* It is there. */
bool backlog_has(const struct backlog *b, struct spool_id id);

/* All of it, and what is one user's. */
struct backlog_usage backlog_total(const struct backlog *b);
struct backlog_usage backlog_of_user(const struct backlog *b, uint32_t uid);

#endif
