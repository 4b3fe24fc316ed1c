/*
 * direct - Direct Send: internal recipients through the tenant's own MX
 *
 * Port 25, no credentials, and nobody signs in.  Where the organization or
 * the network closes this way it is remembered for a while, so that not every
 * message tries again.
 */
#ifndef ROUTE_DIRECT_H
#define ROUTE_DIRECT_H

#include <stddef.h>

#include "route/fallback.h"

struct buf;
struct config;
struct outcome;
struct smtp_mail;

enum {
	DIRECT_RECIPIENTS_MAX = 200 /* Exchange's limit at the MX */
};

/*
 * May Direct Send be tried to this domain?  FALLBACK_CLOSED: *why, if not
 * NULL, gets the reason that is remembered, and until when.
 */
enum fallback_direct direct_state(
    const struct config *config, const char *domain, struct buf *why);

/*
 * Send to every recipient of mail whose outcome is pending: afterwards each
 * has one, and says who decided it.  All of them have a domain.  timeout is
 * the longest wait for one answer in seconds; 0: as smtp_target.
 */
void direct_send(const struct config *config, const struct smtp_mail *mail,
    int timeout, struct outcome *outcomes);

#endif
