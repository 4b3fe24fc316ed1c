/*
 * store - an account's token and its last failure, on disk, for all processes
 *
 * One file for each (authority, tenant, client, scope) in the state
 * directory, and a lock beside it.  Without a directory that is ours alone
 * there is no store, which is NULL and does nothing; that is no failure, but
 * every process then asks Entra for itself.
 */
#ifndef OAUTH_STORE_H
#define OAUTH_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/failure.h"

struct account;
struct store;

/* Times are seconds since 1970. */
struct store_entry {
	struct buf token; /* secret; empty: none */
	int64_t requested_at;
	int64_t expires_at;
	bool is_forced; /* requested because the one before was refused */
	struct failure failure; /* of the last request; or FAILURE_NONE */
	int64_t failed_at;
	int64_t not_before; /* Entra is not asked again until then; or 0 */
};

/* An empty entry. */
void store_entry_init(struct store_entry *entry);

/* Wipe and release; done twice is fine. */
void store_entry_done(struct store_entry *entry);

/*
 * The account's store in this directory, which is created (mode 0700) where
 * it is missing.  The result is the caller's to store_free(); NULL if the
 * directory cannot be used, is another user's, or is open to others.
 */
struct store *store_open(const char *directory, const struct account *account);

/* Unlocks too.  Accepts a pointer to NULL; sets the pointer to NULL. */
void store_free(struct store **store);

/*
 * Keep other processes out until store_unlock().  *out_waited: another one
 * was in.  Returns 0 (also where locks do not work), or -1 if the deadline, a
 * moment on clock_ms(), has passed.
 */
int store_lock(struct store *store, int64_t deadline, bool *out_waited);

/* Let the others in. */
void store_unlock(struct store *store);

/*
 * Read into an initialised entry, which is emptied first.  A file that is
 * missing, torn, too large, not ours or not private leaves it empty.
 */
void store_read(const struct store *store, struct store_entry *entry);

/* Write it, whole or not at all.  Kind: FAILURE_LATER. */
int store_write(const struct store *store, const struct store_entry *entry,
    struct failure *f);

#endif
