/*
 * file - descriptors and files, whole or not at all
 */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include <sys/types.h>

#include <stddef.h>

struct buf;
struct failure;
struct span;

/* Close *fd if it is open and set it to -1.  For what was only read. */
void fd_close(int *fd);

/* Write all of it, whatever signals and short writes come.  0, or -1 with
 * errno. */
int fd_write_all(int fd, const void *data, size_t len);

/* read(2) without EINTR. */
ssize_t fd_read(int fd, void *data, size_t size);

/*
 * Append a whole regular file to b.  Returns 0, or -1 with errno: EFBIG if it
 * has more than b can take, EISDIR or EINVAL if it is no regular file.
 */
int file_read(int fd, struct buf *b);

/*
 * Replace dirfd/name by data, mode 0600: written under a temporary name,
 * fsynced, renamed, directory fsynced.  A reader sees the old or the new
 * contents.  Kind: FAILURE_LATER.
 */
int file_replace(
    int dirfd, const char *name, struct span data, struct failure *f);

/*
 * Open a directory that is the effective user's and closed to all others, and
 * make it (mode 0700, as those above it) where it is missing.  path may be
 * NULL.  Returns the descriptor, or -1 with the reason at the debug level.
 */
int directory_open_private(const char *path);

#endif
