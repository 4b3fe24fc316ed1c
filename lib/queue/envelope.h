/*
 * envelope - the head of a message's file in the spool
 *
 * A pure function of bytes, in both directions.  A first line of fixed length
 * has the sizes of head and content, so that a file that is not whole is
 * known; lines with a tag follow, one for each fact, and an end mark:
 *
 *	sendmail365 spool 1 00000080 0000000000000173
 *	U 1000                 the user who handed it in
 *	S alerts@contoso.com   the sender; empty for the null sender
 *	O notice               an option, if there is one
 *	R boss@contoso.com     each recipient
 *	E
 *
 * No address can be mistaken for a line: mailbox.h says what is in one.
 */
#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "mail/address.h"
#include "mail/dsn.h"
#include "mail/mailbox.h"

enum {
	ENVELOPE_FIRST_LINE = 46, /* octets of it, with LF */
	ENVELOPE_RECIPIENTS_MAX = 10000,
	/* of the whole head */
	ENVELOPE_MAX = (ENVELOPE_RECIPIENTS_MAX + 8) * (ADDRESS_MAX + 4)
};

struct spool_envelope {
	struct mailbox sender; /* may be null */
	struct mailbox_list recipients;
	struct dsn dsn; /* what the sender wants to be told */
	bool is_notice; /* a report of ours: never answered by another */
};

/* Append the head, with sizes of 0; -1 if b is full. */
int envelope_write(
    struct buf *b, uint32_t uid, const struct spool_envelope *envelope);

/* The first line with these sizes, and NUL. */
void envelope_write_sizes(
    size_t head, uint64_t content, char out[static ENVELOPE_FIRST_LINE + 1]);

/*
 * The sizes of the first line, which has ENVELOPE_FIRST_LINE octets.  Returns
 * NULL, or what is wrong with it or with a file of that size, a constant.
 */
const char *envelope_parse_sizes(const char *line, uint64_t file_size,
    size_t *out_head, uint64_t *out_content);

/*
 * What stands behind the first line, which must be of this user.  Returns
 * NULL, or what is wrong with it, a constant.  *out is the caller's to
 * envelope_done() in either case.
 */
const char *envelope_parse(
    struct span text, uint32_t uid, struct spool_envelope *out);

/* Release it; done twice is fine. */
void envelope_done(struct spool_envelope *envelope);

#endif
