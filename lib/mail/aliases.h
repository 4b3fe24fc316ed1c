/*
 * aliases - names of this host that stand for other addresses
 *
 * The names come from the configuration and from files in the form of
 * aliases(5).  A recipient without a domain is looked up, what its list names
 * without a domain is looked up again, and so on.  Nobody has a mailbox on
 * this host: a name that no alias has, "\name", and a name in its own list
 * ("root: root, boss@contoso.com") go to the default.  If there is none, and
 * where the default itself leads to such a name, the name stays bare for the
 * caller to complete or to refuse.  Programs, files and ":include:" are
 * refused by name; the rest of such a list still counts.
 *
 * Names are compared without regard to case.  Of several entries of a name
 * the first counts: add the configuration's before any file.
 *
 * Pure functions of bytes; lists are parsed only when their alias is needed.
 */
#ifndef MAIL_ALIASES_H
#define MAIL_ALIASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mail/mailbox.h"

struct aliases;
struct buf;
struct failure;

enum {
	ALIASES_FILE_MAX = 4 * 1024 * 1024 /* bytes of one file */
};

/* Something in an entry that ends up at nobody; problem is one line that does
 * not repeat the place.  All strings are valid for the call. */
typedef void aliases_report(
    void *context, const char *file, int line, const char *problem);

/* No aliases yet; the caller's to aliases_free(). */
struct aliases *aliases_new(void);

/* Accepts a pointer to NULL; sets the pointer to NULL. */
void aliases_free(struct aliases **a);

/*
 * Add "NAME = LIST" of the configuration; nothing is kept of the arguments.
 * FAILURE_CONFIG: not a name, a name that is there already, or a list with
 * anything but addresses and names; the text does not repeat the place.
 */
int aliases_add(struct aliases *a, const char *file, int line, const char *name,
    const char *list, struct failure *f);

/* The same for the names that have no alias.  It counts before "*" of a
 * file, too, if it is there first. */
int aliases_set_default(struct aliases *a, const char *file, int line,
    const char *list, struct failure *f);

/* An address at this domain, a name of this host, is as good as one without
 * domain.  Nothing is kept of the argument. */
void aliases_add_host(struct aliases *a, const char *domain);

/* Is there an alias of this name, the default not counted? */
bool aliases_has(const struct aliases *a, const char *name);

/*
 * Take what is in *text, the contents of a file, at most ALIASES_FILE_MAX
 * bytes; *text is empty then.  An entry that has a problem is reported, if
 * report is not NULL, and left out.  "*" is the default, as for dma.
 */
void aliases_add_file(struct aliases *a, const char *file, struct buf *text,
    aliases_report *report, void *context);

/*
 * Walk all entries, or those of one file and what they lead to, and report
 * what cannot be delivered: loops, refused members, members that are no
 * address.  Returns the number of reports.  For use when everything has been
 * added, since every name is looked up.
 */
size_t aliases_check(const struct aliases *a, const char *file,
    aliases_report *report, void *context);

/* An alias that was looked up, borrowed from the aliases. */
struct alias_step {
	const char *name;
	const char *file;
	const char *list; /* one line, as it was written; no control characters
	                     but tabs, not always UTF-8 */
	int line;
};

/* What cannot be delivered, each a string of its own. */
struct alias_refusal {
	char *name; /* the alias in whose list it stands, or m itself */
	char *text; /* why, in one line, with the place */
};

/* What recipients stand for.  All zero before the first use. */
struct alias_expansion {
	/* with a domain, or bare and final; the same may be here twice */
	struct mailbox_list recipients;
	struct alias_refusal *refusals;
	size_t refusal_count;
	struct alias_step *steps; /* in the order of look-up */
	size_t step_count;
	bool is_full;     /* more than max: something was left out, and
	                     the last refusal says so */
	uint32_t *states; /* of aliases.c: which entries were expanded */
};

/*
 * Add what recipient m (not the null sender) stands for, which is m itself if
 * it has a domain, or neither an alias nor a default.  Every m ends in at
 * least one recipient or refusal.  *out gathers over several calls with the
 * same aliases, which must not change in between: an alias is expanded once
 * (and once more if the default leads to it), so a second recipient adds only
 * what the first did not.  There are at most max recipients and refusals, not
 * counting the one that says that there are more.  Done with *out, the caller
 * calls alias_expansion_done().
 */
void aliases_expand(const struct aliases *a, const struct mailbox *m,
    size_t max, struct alias_expansion *out);

/* Release the memory; *out is all zero then. */
void alias_expansion_done(struct alias_expansion *out);

#endif
