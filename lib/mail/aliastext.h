/*
 * aliastext - aliases as people write them: names, lists, aliases(5) files
 *
 * file  = *(entry / comment / blank line)
 * entry = name [blanks] ":" list     ; lines that begin with a blank go on
 * list  = member *("," member)       ; a comma in quotes or () is none
 * name  = 1*(atext / ".") / DQUOTE 1*(any but DQUOTE and "\") DQUOTE
 *
 * For aliases.c, which knows what it all means.
 */
#ifndef MAIL_ALIASTEXT_H
#define MAIL_ALIASTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

struct failure;
struct mailbox;

enum {
	ALIASTEXT_PROBLEM_SIZE = 400 /* enough for "NAME" is skipped: why */
};

/* Find the name at the start of s, and take its quotes off.  Returns how many
 * bytes it has with them, or 0 if there is none. */
size_t aliastext_scan_name(struct span s, struct span *name);

/* Check that all of s is a name that recipients can have, and find it as
 * above.  Returns what is wrong, a constant, or NULL. */
const char *aliastext_check_name(struct span s, struct span *name);

enum member_kind {
	MEMBER_NOTHING, /* between two commas */
	MEMBER_ADDRESS, /* or a name, or what is neither */
	MEMBER_FINAL,   /* \name: not to be looked up again */
	MEMBER_PIPE,
	MEMBER_FILE,
	MEMBER_INCLUDE,
	MEMBER_INSTRUCTION /* ":fail: sorry", and all behind it */
};

/* Cut the next member off *rest, which is NULL behind the last one.  False:
 * there is none. */
bool aliastext_cut_member(
    const char **rest, struct span *member, enum member_kind *kind);

/*
 * Parse a member, not MEMBER_NOTHING, as an address or a name without domain.
 * On success *out is the caller's to mailbox_done().  FAILURE_DATA: it is none;
 * the text is about "it", the alias.
 */
int aliastext_parse_member(struct span member, enum member_kind kind,
    struct mailbox *out, struct failure *f);

/* Check that list has members, and all of them are addresses or names.
 * FAILURE_DATA, in the words of aliastext_parse_member(). */
int aliastext_check_list(const char *list, struct failure *f);

/* What aliastext_read() finds.  name and list point into its text, have no
 * control characters but tabs, and list is one line and not empty. */
struct aliastext_events {
	void (*entry)(void *user, int line, const char *name, const char *list);
	void (*problem)(void *user, int line, const char *problem);
};

/* Read what is in *text, the contents of a file; it is cut into strings where
 * it stands.  An entry that has a problem is left out. */
void aliastext_read(
    struct buf *text, const struct aliastext_events *events, void *user);

#endif
