/*
 * address - mailboxes as messages and command lines write them (RFC 5322 3.4)
 *
 * The only place at which text becomes a struct mailbox.
 */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "mail/mailbox.h"

struct failure;

enum {
	ADDRESS_MAX = 254 /* "local@domain" in octets, RFC 5321 4.5.3.1.3 */
};

/*
 * Parse exactly one mailbox: "a@x", "<a@x>", "Name <a@x>", "a@x (Name)" or
 * "a".  "" and "<>" are refused: see mailbox_parse_sender().  Refused by name
 * are pipes, files, ":include:" and what looks like an option.  On success
 * *out is the caller's to mailbox_done().  Kind: FAILURE_DATA; the text quotes
 * the input in a printable and shortened form.
 */
int mailbox_parse(struct span text, struct mailbox *out, struct failure *f);

/* The same, but "" and "<>" are the null sender: local is NULL. */
int mailbox_parse_sender(
    struct span text, struct mailbox *out, struct failure *f);

/* What mailbox_list_parse() met beside mailboxes. */
struct mailbox_list_notes {
	size_t skipped; /* entries that are no mailbox */
	bool has_group; /* "friends: a@x;" was there */
	struct span first_skipped;
	const char *first_reason; /* what is wrong with it, a constant */
};

/*
 * Append the mailboxes of an unfolded address list to *list, at most until it
 * has max of them: commas, groups, comments, empty entries, ';' outside a
 * group as a separator, and addresses with only blanks between them, as real
 * callers write them.  What is no mailbox is counted and left out; a CR, LF or
 * NUL spoils the whole text.  notes may be NULL.  FAILURE_DATA only if there
 * are more than max.
 */
int mailbox_list_parse(struct span text, size_t max, struct mailbox_list *list,
    struct mailbox_list_notes *notes, struct failure *f);

#endif
