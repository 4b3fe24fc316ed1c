/*
 * spill - bytes kept in memory while they are few, in a file when many
 *
 * Small messages never touch the disk, so a report that the disk is full can
 * still be sent.  Larger ones go to a file without a name, which is gone when
 * the process is.  Written once from beginning to end, then read as often as
 * wanted.
 */
#ifndef CORE_SPILL_H
#define CORE_SPILL_H

#include <sys/types.h>

#include <stdint.h>

#include "core/buf.h"

struct failure;

enum {
	SPILL_MEMORY = 256 * 1024 /* what is kept in memory */
};

struct spill {
	struct buf memory;
	int fd;                /* -1 while all is in memory */
	const char *directory; /* of the file */
	uint64_t size;
};

/* Empty, in memory. */
void spill_init(struct spill *s);

/* Release memory and file; done twice is fine. */
void spill_done(struct spill *s);

/*
 * Append.  FAILURE_LATER: no directory for the file, or no room in it; the
 * spill is of no use then.  The file is in /var/tmp or, failing that, /tmp,
 * whatever the environment says.
 */
int spill_write(
    struct spill *s, const void *data, size_t len, struct failure *f);

/*
 * Read at most size bytes at an offset.  Returns how many, 0 at the end, -1:
 * FAILURE_LATER.
 */
ssize_t spill_read(const struct spill *s, uint64_t offset, void *data,
    size_t size, struct failure *f);

#endif
