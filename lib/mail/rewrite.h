/*
 * rewrite - who sends a message, so that Exchange takes it
 *
 * A pure function: (policy, envelope, header, facts of the body) -> envelope
 * and header edits, each with its reason.  It touches no file and no network,
 * so that "explain" and "--dry-run" show exactly what sending would do.
 *
 * By default the envelope sender and From become the account's own address,
 * unless send_as allows the original: Exchange refuses anything else after
 * the body (554 5.2.252 SendAsDenied).
 */
#ifndef MAIL_REWRITE_H
#define MAIL_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "mail/mailbox.h"
#include "mail/pattern.h"

struct body_facts;
struct failure;
struct header;

/* What of the configuration decides; all borrowed. */
struct rewrite_policy {
	const struct mailbox *account; /* the address of who signs in */
	/* a rule says that this one sends, and the account may; or NULL */
	const struct mailbox *appointed;
	/* addresses that may stay in From */
	struct pattern_list send_as;
	/* for addresses without a domain: senders and header fields */
	const char *origin;
	/* the same for recipients; NULL: they stay bare, and nobody can
	 * deliver them */
	const char *recipient_domain;
	/* this host's own names: mail there is no foreign address */
	const char *host_name;
	const char *user; /* login name of the caller; NULL: not known */
	/* template for the name of who stands in for the author (see
	 * display_name_check()); NULL: the author's stays */
	const char *display_name;
	bool no_reply_to;     /* replies are not directed to the author */
	bool no_original;     /* no X-Original-From */
	bool marks_automatic; /* Auto-Submitted where there is none */
};

/* The message as the caller gave it; all borrowed. */
struct rewrite_input {
	const struct mailbox *sender; /* of the envelope; may be null */
	const struct mailbox_list *recipients;
	const struct header *header;
	const struct body_facts *facts;
};

enum edit_kind {
	EDIT_REMOVE,  /* field `index` goes */
	EDIT_REPLACE, /* field `index` becomes name: value */
	EDIT_ADD      /* name: value is added at the end */
};

struct edit {
	enum edit_kind kind;
	size_t index;
	char *name;         /* of the field */
	char *value;        /* new value, folded; NULL with EDIT_REMOVE */
	const char *reason; /* a constant */
};

/*
 * Edits of fields come first, at most one for each field and in the order of
 * the fields; what is added follows.
 */
struct rewrite_plan {
	struct mailbox sender;          /* of the envelope, after */
	const char *sender_reason;      /* NULL: it stays */
	struct mailbox_list recipients; /* qualified, each once */
	struct edit *edits;
	size_t edit_count;
	bool encodes_body; /* send the body as quoted-printable */
};

/*
 * The author that the first From field with a valid address names, as it is
 * written there, for the caller to mailbox_done(); false: there is none.
 */
bool rewrite_find_author(const struct header *header, struct mailbox *out);

/* Compute the plan; the caller rewrite_plan_done()s it. */
void rewrite_plan(const struct rewrite_policy *policy,
    const struct rewrite_input *input, struct rewrite_plan *out);

/* Release the contents; done twice is fine. */
void rewrite_plan_done(struct rewrite_plan *plan);

/*
 * Append the header as it goes out: fields, CRLFs, and the empty line.
 * header is the one that the plan was made for.  -1 if b is full.
 */
int rewrite_write_header(const struct rewrite_plan *plan,
    const struct header *header, struct buf *b);

#endif
