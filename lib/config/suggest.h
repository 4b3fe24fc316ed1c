/*
 * suggest - the word that was probably meant
 */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>

#include "core/buf.h"

struct failure;

/*
 * The known word nearest to the one that was written, or NULL if none is near
 * enough to be worth a mention: a few slips of the finger (letters missing,
 * added, wrong or swapped), or the one contains the other.
 */
const char *suggest_nearest(
    struct span word, const char *const *known, size_t count);

/*
 * Fail with FAILURE_CONFIG: the problem, then what was probably meant, else
 * all known words.  Returns -1.
 */
int suggest_refuse(const char *problem, struct span word,
    const char *const *known, size_t count, struct failure *f);

#endif
