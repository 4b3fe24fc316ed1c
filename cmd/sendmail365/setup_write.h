/*
 * setup_write - a new configuration and its secret on disk, both or neither
 *
 * The rename of the configuration is the moment at which everything counts:
 * a secret that replaces one in use gets another name, so that until then,
 * and for the old configuration afterwards, the old one is there.
 */
#ifndef SENDMAIL365_SETUP_WRITE_H
#define SENDMAIL365_SETUP_WRITE_H

#include <sys/stat.h>

#include <signal.h>
#include <stdbool.h>

#include "core/buf.h"

struct config;
struct failure;

/* Where it goes. */
struct setup_place {
	char *path;        /* of the configuration */
	char *directory;   /* that it is in */
	const char *name;  /* a part of path */
	bool is_taken;     /* there is a configuration */
	struct stat found; /* it, if so */
	mode_t mode;       /* that it is to have */
	gid_t group;       /* (gid_t)-1: as it comes */
	/* Of setup_place_lock(); -1: not locked. */
	int directory_fd;
	int lock_fd;
	bool made_directory;
	sigset_t before; /* which signals waited */
};

/*
 * Find the place: path, or the effective user's own.  The caller
 * setup_place_done()s it in any case.  FAILURE_USAGE: one is there, and
 * replaces is not set; FAILURE_AUTH: this user cannot write there.
 */
int setup_place_find(const char *path, bool replaces, struct setup_place *out,
    struct failure *f);

/* Give the new one the mode and the group of the one that is there, from which
 * it takes values over. */
void setup_place_keep_mode(struct setup_place *p);

/* Release the contents; done twice is fine. */
void setup_place_done(struct setup_place *p);

/*
 * From here to setup_place_unlock() nobody else writes there by setup, and
 * signals that end the program wait.  The directory is made if need be.  On
 * failure nothing is locked: FAILURE_LATER somebody else is writing, or the
 * system fails, FAILURE_AUTH not allowed, FAILURE_CONFIG the directory is not
 * safe, FAILURE_USAGE somebody else has written since setup_place_find().
 */
int setup_place_lock(struct setup_place *p, struct failure *f);

/* A directory that was made, and is still empty, goes away again. */
void setup_place_unlock(struct setup_place *p);

/*
 * What the secret's file is to be called in the configuration, beginning with
 * kind ("client-secret"): "secrets/client-secret", or another name where that
 * one holds something else.  Of those that old names, the configuration that
 * is there (NULL: none), none is touched.  For the caller to free().
 */
char *setup_secret_name(const struct setup_place *p, const struct config *old,
    const char *kind, struct span secret);

/* What is to be written. */
struct setup_files {
	struct span text;        /* of the configuration */
	const char *secret_name; /* of setup_secret_name(); NULL: no secret */
	struct span secret;
};

/*
 * Write them to a place that is locked, since before the secret got its name.
 * What was there before stays as NAME.old.  On failure nothing has changed:
 * FAILURE_LATER, FAILURE_AUTH not allowed, FAILURE_CONFIG a directory is not
 * safe, FAILURE_USAGE somebody else has written one.
 */
int setup_write(const struct setup_place *p, const struct setup_files *files,
    struct failure *f);

#endif
