/*
 * pattern - which senders a rule means
 *
 *	*             everybody
 *	user:NAME     what runs as this user, whatever address it uses
 *	LOCAL@DOMAIN  an address; @DOMAIN is all of a domain
 *	NAME          a name without a domain, or with this host's own
 *
 * One '*' in LOCAL, DOMAIN or NAME stands for any text.  Only one: a match is
 * then two comparisons, and no address can make it slow.
 */
#ifndef MAIL_PATTERN_H
#define MAIL_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

struct failure;
struct mailbox;

enum pattern_kind {
	PATTERN_ANY,
	PATTERN_USER,
	PATTERN_ADDRESS,
	PATTERN_NAME
};

struct pattern {
	char *text; /* as it was written */
	enum pattern_kind kind;
	char *local;  /* of an address, a name, or the user's name */
	char *domain; /* of an address */
	/* for pattern_covers(): a hash of each half, and ones where that half
	 * has no '*' and must be met */
	uint64_t key;
	uint64_t mask;
};

struct pattern_list {
	struct pattern *items;
	size_t count;
};

/* Who sends; all borrowed.  What is NULL matches no pattern that asks for
 * it. */
struct pattern_subject {
	const struct mailbox *address;
	const char *user;      /* login name of the caller */
	const char *origin;    /* the domain that bare names get */
	const char *host_name; /* of this host */
};

/*
 * Parse one pattern.  On success *out is the caller's to pattern_done().
 * FAILURE_CONFIG: the text says what is wrong with it.
 */
int pattern_parse(struct span text, struct pattern *out, struct failure *f);

/* Does the pattern mean this sender?  The null sender is nobody's but '*'s. */
bool pattern_matches(
    const struct pattern *p, const struct pattern_subject *subject);

/* Does one of the list mean this sender? */
bool pattern_list_matches(
    const struct pattern_list *list, const struct pattern_subject *subject);

/*
 * Whatever the narrow pattern means, the wide one means too, as far as the
 * two texts tell: a rule with narrow behind one with wide is never reached.
 */
bool pattern_covers(const struct pattern *wide, const struct pattern *narrow);

/* Release the contents; done twice is fine. */
void pattern_done(struct pattern *p);

/* Release all of them and the array; done twice is fine. */
void pattern_list_done(struct pattern_list *list);

#endif
