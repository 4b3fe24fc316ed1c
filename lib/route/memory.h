/*
 * memory - what one process tells the next: small facts that end by themselves
 *
 * Files in the state directory.  Without a directory that is ours alone
 * nothing is kept, and everything works all the same: who forgets tries
 * again.
 */
#ifndef ROUTE_MEMORY_H
#define ROUTE_MEMORY_H

#include <stdbool.h>

#include "core/buf.h"

enum {
	MEMORY_TEXT_MAX = 4 * 1024 * 1024,
	MEMORY_SECONDS_MAX = 5 * 24 * 3600
};

/*
 * Append what is kept under this key to text.  false: nothing is, or its time
 * is over.  kind is a short word of small letters; directory may be NULL.
 */
bool memory_recall(
    const char *directory, const char *kind, struct span key, struct buf *text);

/* Keep text for some seconds, at most MEMORY_SECONDS_MAX.  One that is longer
 * than MEMORY_TEXT_MAX is not kept, and what was before is forgotten. */
void memory_keep(const char *directory, const char *kind, struct span key,
    struct span text, int seconds);

/* Keep it no longer. */
void memory_forget(const char *directory, const char *kind, struct span key);

/* Is anything of this kind kept?  What is over is removed on the way. */
bool memory_has(const char *directory, const char *kind);

#endif
