/*
 * fallback - when Direct Send stands in for submission, and what it decides
 *
 * Pure functions of outcomes: the one place that knows the policy.  What
 * Exchange has said about a message or a recipient stands; what is wrong with
 * the account or the host may be got round, for internal recipients.
 */
#ifndef ROUTE_FALLBACK_H
#define ROUTE_FALLBACK_H

#include <stdbool.h>

struct outcome;

enum fallback_direct {
	FALLBACK_OFF,   /* Direct Send is not configured */
	FALLBACK_OPEN,  /* it may be tried */
	FALLBACK_CLOSED /* the tenant or the network refuses it for now */
};

enum fallback {
	FALLBACK_STANDS, /* the outcome of submission is the last word */
	FALLBACK_WAITS,  /* Direct Send would do, but is closed */
	FALLBACK_TAKES   /* Direct Send is to try */
};

/* What follows for one recipient from the outcome of submission. */
enum fallback fallback_decide(const struct outcome *submission,
    bool is_internal, enum fallback_direct direct);

/*
 * This outcome of Direct Send says that the way is closed, for other messages
 * too and for a while: the organization, a connector or a block list refuses
 * this host, or nobody answers on port 25.
 */
bool fallback_is_closed(const struct outcome *direct);

/*
 * Put together what became of a recipient: *submission becomes the last word,
 * *direct is used up.  Direct Send that failed refuses nobody that submission
 * may still reach; both reasons are in the text then.  Without a host to
 * submit to, what Direct Send says is all there is, and while the way is
 * closed the recipient waits.
 */
void fallback_merge(
    struct outcome *submission, struct outcome *direct, bool has_submission);

#endif
