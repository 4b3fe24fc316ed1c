/*
 * lines - one kind of line end, made at the edge
 *
 * Whatever comes in (LF, CRLF, several CRs before LF, mixtures, no last line
 * end) goes on as CRLF lines.  This is where message smuggling would live, so
 * it is one small state machine that works byte by byte across any division
 * into blocks: the output holds CR and LF only as CRLF pairs.
 *
 * A CR that no LF follows ends a line too, in the body; in the header it
 * becomes a blank, because there a new line would be a new field that the
 * caller did not write.  NULs are left out of the header.
 */
#ifndef MAIL_LINES_H
#define MAIL_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

enum {
	LINES_CR_MAX = 1000 /* CRs in a row beyond which LF is not waited for */
};

enum {
	LINES_MAX_OCTETS = 998 /* of one line without CRLF, RFC 5322 2.1.1 */
};

struct lines {
	size_t pending_cr;  /* CRs seen whose meaning the next byte decides */
	bool at_line_start; /* nothing of the present line is out yet */
	bool is_header;     /* header rules until the first empty line; whoever
	                       finds that the header has ended otherwise may
	                       set it to false */
};

/* Begin, with is_header under the rules of the header. */
void lines_init(struct lines *l, bool is_header);

/*
 * Append the clean form of data to out.  Nothing is held back but CRs.  out
 * must have room for twice the data plus twice LINES_CR_MAX; -1 otherwise.
 */
int lines_clean(struct lines *l, struct span data, struct buf *out);

/* End of input: completes the last line if there is one. */
int lines_finish(struct lines *l, struct buf *out);

#endif
