/*
 * session - the inside of an SMTP session, shared by its two halves
 *
 * client.c brings a session to the point where mail can be sent,
 * transaction.c sends it.  Nobody else includes this.
 */
#ifndef SMTP_SESSION_H
#define SMTP_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "smtp/reply.h"
#include "smtp/verdict.h"

struct stream;

enum extension {
	EXT_PIPELINING = 1 << 0,
	EXT_CHUNKING = 1 << 1,
	EXT_8BITMIME = 1 << 2,
	EXT_BINARYMIME = 1 << 3,
	EXT_SMTPUTF8 = 1 << 4,
	EXT_STARTTLS = 1 << 5,
	EXT_SIZE = 1 << 6,
	EXT_DSN = 1 << 7
};

struct smtp {
	struct stream *stream;
	char *relay; /* "host[address]:port" */
	char *host;
	int64_t end;           /* of it all, clock_ms() */
	int timeout;           /* cap in seconds, or 0 */
	enum smtp_phase phase; /* changed by session_enter() only */
	unsigned extensions;   /* of the last EHLO: enum extension */
	uint64_t size_max;     /* of SIZE; 0: no limit was told */
	struct buf mechanisms; /* of AUTH, each with a blank in front */
	bool is_verified;      /* the peer is who it should be */
	bool is_exchange;      /* takes a long initial response */
	bool is_broken;        /* nothing can be sent any more */
	bool needs_reset;      /* RSET before the next MAIL */
	bool has_answered;     /* since it was opened or renewed */
	struct reply reply;    /* the last one */
};

/* Seconds to wait in a phase, at most cap if that is not 0. */
int session_timeout(enum smtp_phase phase, int cap);

/* Change the phase and begin its time-out. */
void session_enter(struct smtp *c, enum smtp_phase phase);

/* t->failure is set: complete *t; the session is at its end.  Returns -1. */
int session_failed(struct smtp *c, struct trouble *t);

/* Buffer one command line; it goes out when a reply is read. */
int session_command(struct smtp *c, struct trouble *t, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Read one reply of any kind into c->reply. */
int session_reply(struct smtp *c, struct trouble *t);

/* The same; a reply of another class (2, 3) is a failure. */
int session_expect(struct smtp *c, int class, struct trouble *t);

#endif
