/*
 * spooldir - the directory of the spool, and its folders
 *
 * Whose it is, that it is closed to others, and what to do where it cannot be
 * written.  Of what the files in it mean this module knows nothing: spool.h.
 */
#ifndef QUEUE_SPOOLDIR_H
#define QUEUE_SPOOLDIR_H

#include <sys/types.h>

#include <stdbool.h>

struct failure;

enum spooldir_folder {
	SPOOLDIR_QUEUE,
	SPOOLDIR_FAILED,
	SPOOLDIR_JOURNAL,
	SPOOLDIR_INCOMING,
	SPOOLDIR_FOLDERS /* that many there are */
};

struct spooldir {
	char *path;
	int fd;
	int folders[SPOOLDIR_FOLDERS]; /* a descriptor of each */
	uid_t owner;
	gid_t group;
};

/*
 * Open the directory; creates what is missing, the directory itself only where
 * is_ours.  On success *out is the caller's to spooldir_done().
 * FAILURE_CONFIG: missing, another's, or others can write to it.
 */
int spooldir_open(
    const char *path, bool is_ours, struct spooldir *out, struct failure *f);

/* Release it; done twice is fine. */
void spooldir_done(struct spooldir *d);

/* Be the only one to serve it, until d->fd and its copies in other processes
 * are closed.  FAILURE_LATER: another process does already. */
int spooldir_lock(const struct spooldir *d, struct failure *f);

/* Something could not be written, with this errno: FAILURE_LATER, -1. */
int spooldir_cannot_write(const struct spooldir *d, int e, struct failure *f);

/* What an administrator does about an errno, a constant. */
const char *spooldir_cure(int e);

/* What spooldir_each() calls for every name: 0, or an errno that keeps the
 * whole from being known. */
typedef int spooldir_found(void *context, int folder_fd, const char *name);

/* Look at every name of a folder, "." and ".." included.  FAILURE_LATER: not
 * all could be seen. */
int spooldir_each(const struct spooldir *d, enum spooldir_folder folder,
    spooldir_found *found, void *context, struct failure *f);

#endif
