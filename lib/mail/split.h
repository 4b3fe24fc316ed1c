/*
 * split - a message as it comes, into a clean header and a clean body
 *
 * The one place at which lines.h and the header reader work together.  The
 * rules of the header end with the header, and not with the block in which it
 * ends.
 */
#ifndef MAIL_SPLIT_H
#define MAIL_SPLIT_H

#include "core/buf.h"
#include "mail/header.h"
#include "mail/lines.h"

struct failure;

enum {
	SPLIT_BLOCK = 64 * 1024 /* what one write takes at most */
};

struct split {
	struct lines lines;
	struct header_reader reader; /* is_done: its header is complete */
	struct buf line;
	struct buf body; /* clean; whoever uses it up resets it */
};

/* Prepare for the start of a message. */
void split_init(struct split *s);

/* Release everything; done twice is fine. */
void split_done(struct split *s);

/*
 * Take the next bytes, at most SPLIT_BLOCK.  What of them is body is appended
 * to s->body, which must be reset before more than one and a half blocks have
 * been written.  FAILURE_DATA: the header is too long.
 */
int split_write(struct split *s, struct span data, struct failure *f);

/* All is written: the header is complete whatever came, and the last line of
 * the body is. */
int split_finish(struct split *s, struct failure *f);

#endif
