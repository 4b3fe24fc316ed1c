/*
 * rule - "PATTERN TARGET": which sender gets which address or account
 *
 * Of a list the first rule that means the sender counts.  A message has up to
 * two senders, the author in From and the envelope's: a rule means the
 * message if it means either of them, or the user that sends it.
 */
#ifndef MAIL_RULE_H
#define MAIL_RULE_H

#include <stddef.h>

#include "mail/mailbox.h"
#include "mail/pattern.h"

struct rule {
	struct pattern pattern;
	char *target; /* as it was written */
	int line;     /* of the configuration */
	/* of [rewrite]: the new address; without a local part only the domain
	 * changes; without both the sender stays */
	struct mailbox to;
	size_t account; /* of [route]: an index */
};

struct rule_list {
	struct rule *items;
	size_t count;
};

/* Who sends a message; all borrowed, and NULL where it is not known. */
struct rule_senders {
	const struct mailbox *author;   /* the first of From */
	const struct mailbox *envelope; /* may be null */
	const char *user;               /* login name of the caller */
	const char *origin;             /* the domain that bare names get */
	const char *host_name;          /* of this host */
};

enum rule_reason {
	RULE_NO_MATCH,
	RULE_BY_AUTHOR,
	RULE_BY_ENVELOPE,
	RULE_BY_USER,
	RULE_BY_ANY
};

/* The first rule that means the message. */
struct rule_match {
	const struct rule *rule; /* NULL: none does */
	enum rule_reason reason;
};

/* Find it; what is before it in the list was tried and does not match. */
struct rule_match rule_find(
    const struct rule_list *rules, const struct rule_senders *senders);

/* Of the first count rules the first one that means whatever narrow does, as
 * pattern_covers(); NULL: there is none. */
const struct rule *rule_find_covering(
    const struct rule_list *rules, size_t count, const struct pattern *narrow);

/*
 * The first rule that is never reached because one before it means whatever
 * it does.  Returns it, and that other in *out_wide; NULL: there is none.
 */
const struct rule *rule_find_unreachable(
    const struct rule_list *rules, const struct rule **out_wide);

/* Release all of them and the array; done twice is fine. */
void rule_list_done(struct rule_list *list);

#endif
