/*
 * permit - whose address may stand in From, and whose is worth a reply
 */
#ifndef MAIL_PERMIT_H
#define MAIL_PERMIT_H

#include <stdbool.h>

struct mailbox;
struct rewrite_policy;

/* m is the account itself, or send_as allows it; a bare name is neither. */
bool permit_allows(
    const struct rewrite_policy *policy, const struct mailbox *m);

/* The domain is never in the public DNS: a literal, one word, or a name that
 * is kept for private use, such as web1.lan. */
bool permit_is_private(const char *domain);

/*
 * Mail from anywhere in the world may reach m, and m is not the account: it
 * has a public domain that is neither this host's nor below it.
 */
bool permit_is_foreign(
    const struct rewrite_policy *policy, const struct mailbox *m);

#endif
