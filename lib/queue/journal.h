/*
 * journal - what has become of a message so far
 *
 * A small file beside the message, to which lines are appended:
 *
 *	A COUNT               an attempt that counts has failed
 *	R INDEX S|F|D DSN TEXT  the latest of one recipient: sent, failed,
 *	                      deferred
 *
 * A last line that is torn is ignored; so is any line that is not
 * understood.
 */
#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/spool.h"

struct failure;

enum journal_status {
	JOURNAL_PENDING, /* nothing is known yet */
	JOURNAL_DEFERRED,
	JOURNAL_SENT,
	JOURNAL_FAILED
};

struct journal_recipient {
	enum journal_status status;
	char dsn[12];
	char *text; /* the reason, or NULL */
};

struct journal {
	unsigned attempts;
	struct journal_recipient *recipients;
	size_t count;
};

/* Read the journal of a message with this many recipients; one that is not
 * there is empty.  The caller journal_done()s it.  FAILURE_LATER. */
int journal_read(const struct spool *spool, struct spool_id id,
    size_t recipient_count, struct journal *out, struct failure *f);

/* Release it. */
void journal_done(struct journal *j);

/* Change one recipient in memory. */
void journal_set(struct journal *j, size_t recipient,
    enum journal_status status, const char *dsn, const char *text);

/* That many recipients have this status. */
size_t journal_count(const struct journal *j, enum journal_status status);

/*
 * Append the present state of recipients [0..count) that changed[i] names,
 * and the number of attempts, in one write, and make it safe.
 * FAILURE_LATER.
 */
int journal_append(const struct spool *spool, struct spool_id id,
    const struct journal *j, const bool *changed, struct failure *f);

#endif
