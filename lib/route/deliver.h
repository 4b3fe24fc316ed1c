/*
 * deliver - one message on its way: plan, account, session, outcomes
 *
 * The layer that knows all others.  plan.c finds out who sends, through which
 * account and to whom; deliver.c carries it out: submission first, then
 * Direct Send where fallback.h says so.
 */
#ifndef ROUTE_DELIVER_H
#define ROUTE_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/failure.h"
#include "mail/aliases.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "mail/rewrite.h"
#include "mail/rule.h"
#include "smtp/client.h"

struct account;
struct config;
struct message;
struct submission;

enum {
	/* What a rewritten header may have: what came, what was added, and
	 * folding. */
	DELIVERY_HEADER_MAX = 4 * HEADER_MAX_BYTES,
	DELIVERY_HOPS_MAX = 50 /* Received fields: more are a loop */
};

/* A message as the caller gave it; all borrowed. */
struct delivery_input {
	const struct mailbox *sender; /* may be null */
	const struct mailbox_list *recipients;
	const struct message *message;
	const char *user;      /* login name of the caller; NULL: none */
	const struct dsn *dsn; /* or NULL: nothing was asked for */
	/* Whoever asks keeps the outcomes, and tries only what is left. */
	bool is_kept;
	/* Why the account is not to be used now: Direct Send is all there
	 * is.  NULL: it is. */
	const char *held_because;
};

struct delivery {
	const struct account *account; /* of the configuration */
	struct mailbox user; /* who signs in, or sends; null: nobody may,
	                        and there is nothing to send */
	struct rule_match rewrite_rule; /* of the configuration, too */
	struct rule_match route_rule;
	struct mailbox appointed; /* by rewrite_rule, or null */
	struct dsn dsn;           /* of the input */
	struct alias_expansion expansion;
	struct aliases *aliases;
	struct rewrite_plan plan;
	struct outcome *outcomes; /* one for each recipient of the plan */
	struct failure refusal;   /* of the message; kind NONE: there is none */
	struct outcome lost; /* how the account or its host has failed where
	                        Direct Send took its place; without a text:
	                        it has not */
	bool is_direct_left; /* the account is held, and Direct Send has to
	                        be tried again */
	int64_t started_ms;  /* clock_ms() */
};

/*
 * Decide what would be sent and how, without sending.  *out is the caller's
 * to delivery_done().  Recipients that nobody can deliver have their outcome
 * already.
 */
void delivery_plan(const struct config *config,
    const struct delivery_input *input, struct delivery *out);

/*
 * Send it; afterwards every outcome is set.  What fails before there is a
 * session is the outcome of every recipient.  Where nobody keeps outcomes, a
 * recipient that an earlier attempt at the very same message has reached is not
 * sent to again.  The submission's session is used, and kept open for the next
 * message: the caller submission_settle()s it; NULL: one for this message
 * alone.
 */
void delivery_run(const struct config *config,
    const struct delivery_input *input, struct delivery *d,
    struct submission *submission);

/* Is a recipient pending that Direct Send may reach? */
bool delivery_can_go_direct(
    const struct config *config, const struct delivery *d);

/*
 * The header and the body as they go out.  The body is the message's own, or,
 * where the plan encodes it, a new one in *encoded, which the caller
 * spill_init()ed and spill_done()s.  NULL: FAILURE_LATER.
 */
const struct spill *delivery_content(const struct delivery *d,
    const struct message *message, struct buf *header, struct spill *encoded,
    struct failure *f);

/*
 * Sum up: 0 if every recipient was accepted (*text: the server's answer),
 * else -1 with the failure that decides and whom it concerns.  Waiting
 * recipients decide over refused ones, since for them it is worth to try
 * again.
 */
int delivery_summary(
    const struct delivery *d, struct buf *text, struct failure *f);

/* 0, or -1 with why the message, or else the first of the recipients, cannot
 * be sent as the plan stands. */
int delivery_refusal(const struct delivery *d, struct failure *f);

/* How many recipients have no outcome yet. */
size_t delivery_count_pending(const struct delivery *d);

/* Release the contents; done twice is fine. */
void delivery_done(struct delivery *d);

#endif
