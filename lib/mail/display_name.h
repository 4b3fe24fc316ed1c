/*
 * display_name - how the account names the author it speaks for
 */
#ifndef MAIL_DISPLAY_NAME_H
#define MAIL_DISPLAY_NAME_H

struct failure;
struct mailbox;
struct rewrite_policy;
struct span;

/*
 * The display name of From where another address stands in for the author's,
 * by the policy's template; NULL: none, or it would be longer than
 * MAILBOX_NAME_MAX.  The caller free()s it.
 */
char *display_name_make(
    const struct rewrite_policy *policy, const struct mailbox *author);

/*
 * Is this a template?  {name} in it becomes what would stand there without a
 * template, or the local part where that is nothing; {address} the author's
 * address, {user} the calling user, {host} this host.  FAILURE_CONFIG.
 */
int display_name_check(struct span text, struct failure *f);

#endif
