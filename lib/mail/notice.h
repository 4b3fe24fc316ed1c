/*
 * notice - the report that a message could not be delivered (RFC 3464)
 */
#ifndef MAIL_NOTICE_H
#define MAIL_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

struct failure;
struct header;
struct mailbox;

enum {
	NOTICE_MAX = 32 * 1024 * 1024
};

/* A recipient that was not reached. */
struct notice_recipient {
	const char *address;
	const char *dsn;
	const char *text; /* the server's answer, one printable line */
};

/* All of it borrowed. */
struct notice {
	const struct mailbox *to;
	const char *host; /* this host's name */
	const char *id;   /* of the message in the queue */
	int64_t arrival_ms;
	const struct header *header; /* of the message */
	const struct notice_recipient *recipients;
	size_t recipient_count;
	bool is_last; /* for some time */
};

/*
 * Append the whole message to b, with CRLF lines: a text for people, the
 * report for programs, and the header of the message.  FAILURE_DATA: b is
 * full; FAILURE_LATER.
 */
int notice_write(const struct notice *n, struct buf *b, struct failure *f);

#endif
