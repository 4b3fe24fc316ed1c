#include "smtp/verdict.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "advice/advice.h"
#include "core/buf.h"
#include "smtp/reply.h"

enum {
	REPLY_SHOWN = 400 /* of a reply in a failure's text */
};

static const struct {
	const char *name;
	enum scope scope; /* unless the table of advice knows better */
} phases[] = {
	[PHASE_CONNECT] = { "connect", SCOPE_HOST },
	[PHASE_BANNER] = { "greeting", SCOPE_HOST },
	[PHASE_EHLO] = { "EHLO", SCOPE_HOST },
	[PHASE_STARTTLS] = { "STARTTLS", SCOPE_HOST },
	[PHASE_TLS] = { "TLS handshake", SCOPE_HOST },
	[PHASE_EHLO_TLS] = { "EHLO", SCOPE_HOST },
	[PHASE_AUTH] = { "AUTH", SCOPE_ACCOUNT },
	[PHASE_MAIL] = { "MAIL FROM", SCOPE_MESSAGE },
	[PHASE_RCPT] = { "RCPT TO", SCOPE_RECIPIENT },
	[PHASE_DATA] = { "DATA", SCOPE_MESSAGE },
	[PHASE_BODY] = { "message", SCOPE_MESSAGE },
	[PHASE_END] = { "end of data", SCOPE_MESSAGE },
	[PHASE_RSET] = { "RSET", SCOPE_HOST },
};

static_assert(
    sizeof(phases) / sizeof(phases[0]) == PHASE_COUNT, "a phase has no row");

static enum scope
scope_of(enum smtp_phase phase, int code, const struct advice *advice)
{
	/* RFC 5321 4.2.1: 421 in answer to anything means "I am going". */
	enum scope scope = code == 421 ? SCOPE_HOST : phases[phase].scope;

	/* Before there is a message, only host and account can be meant. */
	if (advice == NULL || phase < PHASE_AUTH)
		return scope;
	switch (advice->scope) {
	case ADVICE_SCOPE_NONE:
		return scope;
	case ADVICE_SCOPE_RECIPIENT:
		return SCOPE_RECIPIENT;
	case ADVICE_SCOPE_MESSAGE:
		return SCOPE_MESSAGE;
	case ADVICE_SCOPE_ACCOUNT:
		return SCOPE_ACCOUNT;
	case ADVICE_SCOPE_HOST:
		return SCOPE_HOST;
	}
	return scope;
}

/*
 * Only what was said about this message or recipient, for good, is for good.
 * What is wrong with the account or the host holds the mail, whatever the
 * first digit.
 */
static enum failure_kind
kind_of(enum smtp_phase phase, const struct reply *reply, enum scope scope)
{
	bool is_permanent = reply_class(reply) == 5;

	if (is_permanent && scope == SCOPE_ACCOUNT &&
	    (phase == PHASE_AUTH || reply->code == 530 || reply->code == 535))
		return FAILURE_AUTH;
	if (is_permanent &&
	    (scope == SCOPE_RECIPIENT || scope == SCOPE_MESSAGE))
		return FAILURE_PEER;
	return FAILURE_LATER;
}

/*
 * "Credentials" (X.7.8) and "configuration" (X.3.5) are statements about this
 * host, which another makes of its own: they become the general code.
 */
static void
blur_dsn(struct failure *f)
{
	const char *detail = f->dsn + 1;

	if (strcmp(detail, ".3.5") == 0 || strcmp(detail, ".7.8") == 0)
		f->dsn[4] = '0';
}

int
verdict_reply(enum smtp_phase phase, const struct reply *reply,
    const char *relay, struct trouble *t)
{
	const struct advice *advice =
	    advice_smtp(reply->code, reply->dsn, reply->text.s);
	enum scope scope = scope_of(phase, reply->code, advice);
	enum failure_kind kind = kind_of(phase, reply, scope);
	struct buf said;

	buf_init(&said, REPLY_TOTAL_MAX + REPLY_SHOWN);
	/* Has room for any reply that the parser lets through. */
	(void)reply_write(reply, &said);
	(void)failure_set(&t->failure, kind,
	    "%s said: %.*s (in reply to %s)%s%s%s%s", relay, REPLY_SHOWN,
	    said.s, phases[phase].name, advice != NULL ? "; " : "",
	    advice != NULL ? advice->meaning : "", advice != NULL ? ": " : "",
	    advice != NULL ? advice->cure : "");
	buf_done(&said);
	t->scope = scope;
	t->code = reply->code;
	t->is_uncertain = false;
	memcpy(t->reply_dsn, reply->dsn, sizeof(t->reply_dsn));
	if (kind == FAILURE_AUTH)
		(void)failure_dsn(&t->failure, "4.7.8");
	else if (reply->dsn[0] != '\0')
		(void)failure_dsn(&t->failure, reply->dsn);
	else
		(void)failure_dsn(
		    &t->failure, reply_class(reply) == 5 ? "5.0.0" : "4.0.0");
	/* A refusal that holds the mail must not look final to the caller. */
	if (kind == FAILURE_LATER)
		t->failure.dsn[0] = '4';
	if (kind != FAILURE_AUTH)
		blur_dsn(&t->failure);
	return -1;
}

int
verdict_host(enum smtp_phase phase, struct trouble *t)
{
	t->scope = SCOPE_HOST;
	t->code = 0;
	t->is_uncertain = false;
	t->reply_dsn[0] = '\0';
	if (t->failure.kind != FAILURE_CONFIG)
		t->failure.kind = FAILURE_LATER;
	if (t->failure.dsn[0] == '\0')
		(void)failure_dsn(&t->failure, "4.4.2");
	return failure_at(&t->failure, "%s", phases[phase].name);
}
