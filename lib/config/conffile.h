/*
 * conffile - lines of an INI file, read strictly, through libinih
 *
 * libinih knows no line numbers, cuts what does not fit its buffers, and lets
 * through what nobody means (continued lines, "key: value", text behind a
 * section).  So it is fed line by line, and each line is looked at before.
 */
#ifndef CONFIG_CONFFILE_H
#define CONFIG_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

struct failure;

enum {
	CONFFILE_MAX_BYTES = 256 * 1024,
	CONFFILE_LINE_MAX = 190 /* libinih: 200, with line end and NUL */
};

/*
 * What is called for each section and key, in the order of the file.  The
 * strings are valid for the call; a value is never empty.  On failure the
 * callback sets the whole text, file and line included.
 */
struct conffile_events {
	int (*section)(
	    void *user, int line, struct span title, struct failure *f);
	int (*key)(void *user, int line, const char *key, const char *value,
	    struct failure *f);
};

/*
 * Read the whole file into text, a secret buffer that is initialised here and
 * is the caller's to buf_done() in any case.  *out_is_private: no one but
 * owner and group can read it.  FAILURE_CONFIG: missing, unreadable, too
 * large, or others can write to it.
 */
int conffile_read(const char *path, struct buf *text, bool *out_is_private,
    struct failure *f);

/* Report all of text; name stands for it in messages.  FAILURE_CONFIG. */
int conffile_parse(const char *name, struct span text,
    const struct conffile_events *events, void *user, struct failure *f);

#endif
