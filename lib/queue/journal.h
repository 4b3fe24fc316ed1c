/*
 * journal - what has become of a message so far
 *
 * A small file beside the message, to which lines are appended:
 *
 *	A COUNT                      that many attempts have failed
 *	R S|F|D DSN SIZE ADDRESS TEXT  the latest of one recipient: sent,
 *	                             failed, deferred
 *
 * Addresses are those at which the message is delivered, so that it does not
 * matter when the configuration changes what leads there.  A last line that
 * is torn is ignored; so is any line that is not understood.
 */
#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "queue/spool.h"

struct failure;

enum journal_status {
	JOURNAL_DEFERRED,
	JOURNAL_SENT,
	JOURNAL_FAILED
};

struct journal_entry {
	char *address;
	enum journal_status status;
	char dsn[12];
	char *text;      /* the answer or the reason */
	bool is_changed; /* not in the file yet */
};

struct journal {
	unsigned attempts;
	struct journal_entry *entries;
	size_t count;
	size_t found; /* where the last search ended */
	size_t size;  /* of the file as it was read */
};

/* Read the journal of a message; one that is not there is empty.  The caller
 * journal_done()s it.  FAILURE_LATER. */
int journal_read(const struct spool *spool, struct spool_id id,
    struct journal *out, struct failure *f);

/* Release it. */
void journal_done(struct journal *j);

/* The entry of an address, or NULL; valid until the next journal_set(). */
const struct journal_entry *journal_find(
    struct journal *j, const char *address);

/* Set an entry in memory.  Where the file is long, another reason for the same
 * status does not count as a change. */
void journal_set(struct journal *j, const char *address,
    enum journal_status status, const char *dsn, const char *text);

/* That many entries have this status. */
size_t journal_count(const struct journal *j, enum journal_status status);

/* Append the attempts and all changed entries in one write, and make it safe.
 * FAILURE_LATER. */
int journal_append(const struct spool *spool, struct spool_id id,
    struct journal *j, struct failure *f);

/*
 * Before an attempt: have room for so many more entries, so that a full disk
 * does not make us forget who has got the message.  FAILURE_LATER.
 */
int journal_reserve(const struct spool *spool, struct spool_id id, size_t count,
    struct failure *f);

#endif
