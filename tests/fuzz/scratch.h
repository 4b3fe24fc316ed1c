/*
 * scratch - a spool in memory for fuzz targets, gone at their end
 */
#ifndef FUZZ_SCRATCH_H
#define FUZZ_SCRATCH_H

#include <assert.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/failure.h"
#include "core/file.h"
#include "queue/spool.h"

static struct {
	char path[64];
	struct spool *spool;
} scratch;

static inline int
scratch_delete(
    const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
scratch_end(void)
{
	spool_free(&scratch.spool);
	(void)nftw(scratch.path, scratch_delete, 8, FTW_DEPTH | FTW_PHYS);
}

/* The one spool of this process. */
static inline struct spool *
scratch_spool(void)
{
	struct failure f;

	if (scratch.spool != NULL)
		return scratch.spool;
	(void)snprintf(
	    scratch.path, sizeof(scratch.path), "/dev/shm/fuzz.XXXXXX");
	if (mkdtemp(scratch.path) == NULL) {
		(void)snprintf(
		    scratch.path, sizeof(scratch.path), "/tmp/fuzz.XXXXXX");
		assert(mkdtemp(scratch.path) != NULL);
	}
	assert(spool_open(scratch.path, true, &scratch.spool, &f) == 0);
	assert(atexit(scratch_end) == 0);
	return scratch.spool;
}

/* Make this the contents of a file in one of its folders. */
static inline void
scratch_write(const char *folder, struct spool_id id, struct span data)
{
	char name[SPOOL_NAME_SIZE];
	char path[128];
	int fd;

	spool_name(id, name);
	(void)scratch_spool();
	(void)snprintf(
	    path, sizeof(path), "%s/%s/%s", scratch.path, folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert(fd != -1 && fd_write_all(fd, data.s, data.len) == 0);
	fd_close(&fd);
}

#endif
