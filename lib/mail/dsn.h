/*
 * dsn - what the sender wants to be told about delivery (RFC 3461)
 *
 * One request for the whole message: -N, -R and -V of sendmail(8) know no
 * other, and aliases make other recipients of those that were given.
 */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include <stdbool.h>

#include "core/buf.h"

enum {
	DSN_ENVID_TEXT = 100, /* RFC 3461 4.4: of an envelope id */
	DSN_ENVID_SIZE = 3 * DSN_ENVID_TEXT + 1
};

enum dsn_notify {
	DSN_NEVER = 1 << 0, /* alone */
	DSN_SUCCESS = 1 << 1,
	DSN_FAILURE = 1 << 2,
	DSN_DELAY = 1 << 3
};

/* All zero: nothing was asked for. */
struct dsn {
	unsigned notify;            /* enum dsn_notify */
	char ret;                   /* 'F' FULL, 'H' HDRS, or NUL */
	char envid[DSN_ENVID_SIZE]; /* as xtext, or "" */
};

/*
 * Take "never", or "success,delay" and the like in any case; "full" or "hdrs";
 * an envelope id as a person writes it, or as xtext.  Each returns 0, or -1
 * with *d unchanged.
 */
int dsn_take_notify(struct dsn *d, struct span text);
int dsn_take_ret(struct dsn *d, struct span text);
int dsn_take_envid(struct dsn *d, struct span text);
int dsn_take_xtext(struct dsn *d, struct span text);

/* Take what "RET=...", "ENVID=..." or "NOTIFY=..." says; other words are
 * nothing to this module. */
void dsn_take_parameter(struct dsn *d, struct span word);

/* Does the sender want to be told that a message has failed?  Unless it said
 * what it wants, it does. */
bool dsn_wants_failure(const struct dsn *d);

/* Append " RET=HDRS ENVID=...", what goes behind MAIL, or nothing. */
int dsn_write_mail(const struct dsn *d, struct buf *b);

/* Append " NOTIFY=...", what goes behind RCPT, or nothing. */
int dsn_write_rcpt(const struct dsn *d, struct buf *b);

#endif
