/*
 * spool - messages on disk, from "being written" to "gone"
 *
 * A directory with incoming/, queue/, failed/ and journal/.  A message is one
 * file that is written once: a line with sizes, the envelope as tagged lines,
 * an end mark, and the message as it was given.  It is complete or it is not
 * in queue/.  What changes later is in its name's neighbours: the time of the
 * next attempt is the file's modification time, "held" is its mode, and the
 * rest is in the journal (journal.h); so a start reads no file at all.
 */
#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "queue/envelope.h"
#include "queue/spoolid.h"

struct failure;
struct spool;

enum spool_place {
	SPOOL_QUEUE,
	SPOOL_FAILED,
	SPOOL_JOURNALS /* for spool_list() only */
};

/* What the directory says of a message. */
struct spool_status {
	int64_t due_ms; /* of the next attempt, since the epoch */
	uint64_t size;  /* octets of the file */
	bool is_held;
};

/* A message that is being written. */
struct spool_writer {
	struct spool *spool;
	struct spool_id id;
	int fd;          /* -1: none is open */
	struct buf head; /* the first octets, until they are too many */
	bool is_flushed; /* head is in the file */
	size_t envelope_size;
	uint64_t content_size;
};

/* A message that was opened. */
struct spool_message {
	struct spool_id id;
	struct spool_envelope envelope;
	struct spool_status status;
	int fd;
	uint64_t content_at; /* its offset in the file */
	uint64_t content_size;
};

/*
 * Open the directory; creates what is missing, the directory itself only
 * where is_ours.  On success *out is the caller's to spool_free().
 * FAILURE_CONFIG: missing, another's, or others can write to it.
 */
int spool_open(
    const char *directory, bool is_ours, struct spool **out, struct failure *f);

/* Accepts a pointer to NULL, sets it to NULL. */
void spool_free(struct spool **spool);

/* Whoever serves the queue locks it, until the spool is closed.
 * FAILURE_LATER: another process does already. */
int spool_lock(struct spool *spool, struct failure *f);

/* In a process that was forked from the one with the lock: let go of it. */
void spool_unlock(struct spool *spool);

/* Who owns the directory, and so all files in it. */
uid_t spool_owner(const struct spool *spool);

/* The descriptor of queue/, to be watched. */
int spool_queue_fd(const struct spool *spool);

/* The descriptor of journal/. */
int spool_journal_fd(const struct spool *spool);

/* ---- writing ---- */

/* Begin a message of a user.  The caller spool_commit()s or
 * spool_abandon()s it.  FAILURE_LATER. */
int spool_begin(struct spool *spool, uint32_t uid,
    const struct spool_envelope *envelope, struct spool_writer *w,
    struct failure *f);

/* Append to the message.  FAILURE_LATER: no room. */
int spool_write(struct spool_writer *w, struct span data, struct failure *f);

/*
 * Make it safe: fsync, rename into queue/, fsync of the directory.  due_ms is
 * the time of the first attempt, 0: now.  Only after 0 it may be said to be
 * queued; it is gone after -1: FAILURE_LATER.
 */
int spool_commit(struct spool_writer *w, int64_t due_ms, struct failure *f);

/* Forget it; harmless after spool_commit(). */
void spool_abandon(struct spool_writer *w);

/* ---- reading ---- */

/*
 * Open a message and read its envelope.  The caller spool_message_done()s it.
 * FAILURE_USAGE: there is none; FAILURE_DATA: the file is none of ours, or
 * torn; FAILURE_LATER.
 */
int spool_read(const struct spool *spool, enum spool_place place,
    struct spool_id id, struct spool_message *out, struct failure *f);

/* Release it. */
void spool_message_done(struct spool_message *m);

/* The next octets of the content from an offset: how many, 0 at the end, -1:
 * FAILURE_LATER. */
ssize_t spool_content(const struct spool_message *m, uint64_t offset,
    void *data, size_t size, struct failure *f);

/* Without opening it.  FAILURE_USAGE: there is none; FAILURE_DATA: the file
 * is none of ours. */
int spool_stat(const struct spool *spool, enum spool_place place,
    struct spool_id id, struct spool_status *out, struct failure *f);

/* What spool_scan() calls for each message, or for each file that is none:
 * then status is NULL and why says what is wrong with name. */
typedef void spool_found(void *context, struct spool_id id,
    const struct spool_status *status, const char *name, const char *why);

/* Look at every name in a place.  FAILURE_LATER. */
int spool_scan(const struct spool *spool, enum spool_place place,
    spool_found *found, void *context, struct failure *f);

/* Call found() for every name in a place that has the form of a message's,
 * without looking at the file.  FAILURE_LATER. */
int spool_list(const struct spool *spool, enum spool_place place,
    void (*found)(void *context, struct spool_id id), void *context,
    struct failure *f);

/* ---- changing ---- */

/* When it is tried next. */
int spool_set_due(const struct spool *spool, struct spool_id id, int64_t due_ms,
    struct failure *f);

/* Hold or release it. */
int spool_set_held(const struct spool *spool, struct spool_id id, bool is_held,
    struct failure *f);

/* Delete it and its journal. */
int spool_remove(const struct spool *spool, enum spool_place place,
    struct spool_id id, struct failure *f);

/* Move it from one place to the other. */
int spool_move(const struct spool *spool, enum spool_place from,
    enum spool_place to, struct spool_id id, struct failure *f);

/* Delete what writers that died have left in incoming/, and journals of
 * messages that are gone. */
void spool_clean(const struct spool *spool);

#endif
