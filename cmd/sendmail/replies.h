/*
 * replies - the answers to a pipelined submission, in order
 *
 * Greeting, EHLO, MAIL, one RCPT for each recipient, one BDAT for each chunk:
 * the position of a reply says what it answers.  Fed with bytes in any
 * portions; keeps what decides the outcome and forgets the rest.
 */
#ifndef SENDMAIL_REPLIES_H
#define SENDMAIL_REPLIES_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

struct failure;
struct mailbox_list;

struct answer {
	int code;        /* 0: none */
	char dsn[12];    /* enhanced code, or "" */
	struct buf text; /* the lines without codes, joined with blanks */
};

struct replies {
	const struct mailbox_list *recipients;
	struct buf line;        /* one that is not complete yet */
	struct answer current;  /* a reply that is not complete yet */
	struct answer decisive; /* ends the submission, well or badly */
	struct answer refusal;  /* of the first refused recipient */
	struct buf refused;     /* names of refused recipients */
	size_t refused_count;
	size_t count;      /* of complete replies */
	size_t last;       /* position of the final one, once it is known */
	bool is_malformed; /* the peer does not speak SMTP */
};

/* recipients is borrowed. */
void replies_init(struct replies *r, const struct mailbox_list *recipients);

/* Release the memory. */
void replies_done(struct replies *r);

/* The chunk that was just announced, the nth from 0, is the last. */
void replies_expect_last(struct replies *r, size_t chunk);

/* What was read, complete lines or not. */
void replies_feed(struct replies *r, struct span data);

/* Nothing that is still to come can change the outcome. */
bool replies_are_decided(const struct replies *r);

/*
 * The exit status.  Unless it is EX_OK, f->text is the line for the caller.
 */
int replies_outcome(const struct replies *r, struct failure *f);

#endif
