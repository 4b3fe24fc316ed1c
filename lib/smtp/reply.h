/*
 * reply - SMTP replies: shape first, meaning later (RFC 5321 4.2, RFC 3463)
 *
 * A pure function of lines; it knows nothing of phases and does no I/O.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include <stddef.h>

#include "core/buf.h"

struct failure;

enum {
	/* RFC 5321 4.5.3.1.5 says 512; a challenge of RFC 4954 may have
	 * 12288.  Total and count bound a server that never ends. */
	REPLY_LINE_MAX = 12288 + 16,
	REPLY_TOTAL_MAX = 64 * 1024,
	REPLY_LINES_MAX = 256
};

struct reply {
	int code;     /* 200 to 599 */
	char dsn[12]; /* enhanced code of the first line, or "" */
	size_t lines;
	struct buf text; /* of all lines without codes, '\n' between them */
};

/* Prepare for the first line. */
void reply_init(struct reply *r);

/* Forget all, for the next reply. */
void reply_reset(struct reply *r);

/* Release the text, wiped. */
void reply_done(struct reply *r);

/*
 * Take one line without its line end.
 *
 *	Reply-line = *( code "-" [ textstring ] CRLF ) code [ SP textstring ]
 *	code       = %x32-35 %x30-35 %x30-39
 *
 * Returns 1 when the reply is complete, 0 when more lines follow, -1 if it
 * is none: FAILURE_LATER, with the line in a shortened and escaped form.
 */
int reply_feed(struct reply *r, struct span line, struct failure *f);

/* The first digit: 2, 3, 4 or 5. */
int reply_class(const struct reply *r);

/*
 * Append "550 5.1.1 text" on one line: enhanced codes that lines repeat are
 * left out, control characters cannot be there.
 */
int reply_write(const struct reply *r, struct buf *b);

#endif
