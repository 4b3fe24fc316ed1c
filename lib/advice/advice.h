/*
 * advice - what Microsoft's codes mean, and what to do about them
 *
 * One table: SMTP replies of Exchange Online by reply code, enhanced code and
 * a piece of text, and Entra's AADSTS numbers.
 */
#ifndef ADVICE_ADVICE_H
#define ADVICE_ADVICE_H

#include <stddef.h>

enum advice_scope {
	ADVICE_SCOPE_NONE, /* the table does not know better */
	ADVICE_SCOPE_RECIPIENT,
	ADVICE_SCOPE_MESSAGE,
	ADVICE_SCOPE_ACCOUNT,
	ADVICE_SCOPE_HOST
};

struct advice {
	const char *meaning; /* one sentence, no full stop */
	const char *cure; /* what to do, the exact command where there is one */
	enum advice_scope scope;
};

/*
 * Advice for an SMTP reply: code such as 535, dsn such as "5.7.139" or "",
 * text the rest of the reply.  NULL if the table has none.
 */
const struct advice *advice_smtp(int code, const char *dsn, const char *text);

/* Advice for an AADSTS number; NULL if the table has none. */
const struct advice *advice_aadsts(unsigned long number);

#endif
