/*
 * verdict - what a failure on the way to a server means (design: scope)
 *
 * The one place that decides, from the phase and the reply, whom a failure
 * concerns and whether time can mend it.
 */
#ifndef SMTP_VERDICT_H
#define SMTP_VERDICT_H

#include <stdbool.h>

#include "core/failure.h"

struct reply;

enum scope {
	SCOPE_NONE,
	SCOPE_RECIPIENT, /* that recipient fails, the others go on */
	SCOPE_MESSAGE,   /* the message as a whole was judged */
	SCOPE_ACCOUNT,   /* all of the account's mail waits */
	SCOPE_HOST       /* another address or another time may do */
};

enum smtp_phase {
	PHASE_CONNECT,
	PHASE_BANNER,
	PHASE_EHLO,
	PHASE_STARTTLS,
	PHASE_TLS,
	PHASE_EHLO_TLS,
	PHASE_AUTH,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA, /* the command, until 354 */
	PHASE_BODY, /* the octets, until they are sent */
	PHASE_END,  /* the answer to the message */
	PHASE_RSET,
	PHASE_COUNT
};

struct trouble {
	struct failure failure;
	enum scope scope;
	int code;           /* of the SMTP reply, or 0 */
	char reply_dsn[12]; /* its enhanced code, or "" */
	bool is_uncertain;  /* the answer to a whole message was lost */
};

/*
 * Judge a reply that is not what the phase wants.  relay names the server.
 * The text quotes the reply and adds meaning and cure where they are known.
 * Returns -1.
 */
int verdict_reply(enum smtp_phase phase, const struct reply *reply,
    const char *relay, struct trouble *t);

/* A failure without a reply: t->failure is set; it concerns the host. */
int verdict_host(enum smtp_phase phase, struct trouble *t);

#endif
