/*
 * mx - the mail exchangers of a domain, from DNS
 *
 * Names come from MX records and are never made from the name of a domain:
 * nothing says that contoso.com's mail goes to
 * contoso-com.mail.protection.outlook.com, and who finds that name free may
 * take it.
 *
 * Whatever goes wrong concerns the way and not the message, so the kind is
 * always FAILURE_LATER.  dsn 4.4.3: DNS gave no answer, or none that makes
 * sense; 4.4.4: DNS says that there is no way to the domain.
 */
#ifndef ROUTE_MX_H
#define ROUTE_MX_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

struct failure;

enum {
	MX_HOSTS_MAX = 5 /* the most preferred ones are kept */
};

struct mx_list {
	char **hosts; /* host names in lower case, without a dot at the end */
	size_t count; /* at least 1 after success */
};

/*
 * Ask the system's resolver for the mail exchangers of domain, a DNS name as
 * a checked configuration has it: search lists do not apply.  The most
 * preferred one comes first.  *out is the caller's to mx_list_done().  Takes
 * at most 30 seconds, whatever the servers do.
 */
int mx_lookup(const char *domain, struct mx_list *out, struct failure *f);

/*
 * The same from the answer of a DNS server.  Aliases (CNAME) of the domain
 * are followed within the answer; the records of other names do not count,
 * and neither do records that name no host.
 */
int mx_parse(struct span answer, const char *domain, struct mx_list *out,
    struct failure *f);

/* Is below mail.protection.outlook.com or mx.microsoft, where Exchange Online
 * keeps its mail exchangers; without a dot at the end. */
bool mx_is_exchange(const char *host);

/* Release the contents; done twice is fine. */
void mx_list_done(struct mx_list *list);

#endif
