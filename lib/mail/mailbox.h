/*
 * mailbox - a name, a local part and a domain; lists of them
 *
 * A struct mailbox comes only from mailbox_parse() and its siblings
 * (address.h), or is a copy of one that did, so whoever holds one knows that
 * its local part and domain hold no control character, no blank outside
 * quotes, and fit a command line.  A name without a domain, such as "root",
 * is a mailbox too.
 */
#ifndef MAIL_MAILBOX_H
#define MAIL_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct span;

enum {
	MAILBOX_NAME_MAX = 998 /* a longer display name is left out */
};

struct mailbox {
	char *name;  /* display name without quotes, encoded words as they
	                 came (RFC 2047), or NULL */
	char *local; /* quoted where RFC 5321 wants quotes; NULL: null sender */
	char *domain; /* or NULL: a bare name */
};

struct mailbox_list {
	struct mailbox *items;
	size_t count;
};

/* Append a copy of m. */
void mailbox_list_add(struct mailbox_list *list, const struct mailbox *m);

/* Append m itself: what it holds is the list's then. */
void mailbox_list_take(struct mailbox_list *list, struct mailbox m);

/* Remove later duplicates (mailbox_equal), keeping the order. */
void mailbox_list_unique(struct mailbox_list *list);

/* Release all mailboxes and the array; done twice is fine. */
void mailbox_list_done(struct mailbox_list *list);

/* A copy, for the caller to mailbox_done(). */
struct mailbox mailbox_copy(const struct mailbox *m);

/* Release the strings; the null sender remains. */
void mailbox_done(struct mailbox *m);

/*
 * Give m a display name from outside (a command line, gecos), or with NULL or
 * "" take it away: control characters and blanks at the ends are left out.
 */
void mailbox_set_name(struct mailbox *m, const char *name);

/* It is the null sender, "<>". */
bool mailbox_is_null(const struct mailbox *m);

/* The same address, without regard to case (Exchange ignores it in both
 * parts) and to the display name. */
bool mailbox_equal(const struct mailbox *a, const struct mailbox *b);

/*
 * It is a name of this host: without a domain, or with host_name (NULL: not
 * known), the first label of that, "localhost" or "localhost.localdomain".
 */
bool mailbox_is_local(const struct mailbox *m, const char *host_name);

/* Give a bare name this domain; others, and the null sender, stay. */
void mailbox_qualify(struct mailbox *m, const char *domain);

/* Append "local@domain", or "local", or nothing for the null sender. */
int mailbox_write_address(struct buf *b, const struct mailbox *m);

/*
 * Append the header form: "Name <local@domain>", or the address alone where
 * there is no name.  The name is quoted where it must be (RFC 5322 specials,
 * '@' among them), encoded words stay as they are, 8-bit names become encoded
 * words.
 */
int mailbox_write(struct buf *b, const struct mailbox *m);

/* Append s as a quoted string. */
int mailbox_write_quoted(struct buf *b, struct span s);

/* May stand in an address without quotes (atext, RFC 5322 3.2.3), octets of
 * UTF-8 (RFC 6532) included. */
bool mailbox_is_atext(char c);

#endif
