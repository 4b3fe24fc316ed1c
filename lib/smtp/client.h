/*
 * client - an SMTP session with a submission host (RFC 5321, 3207, 4954)
 *
 * Always STARTTLS, always verified.  A message goes out in one flight: MAIL,
 * RCPT..., BDAT together, then the answers in order (RFC 2920, 3030); DATA
 * where the server has no CHUNKING.  Every recipient ends in exactly one of
 * accepted, refused, later.
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "core/buf.h"
#include "smtp/verdict.h"

struct dsn;
struct mailbox;
struct smtp;
struct spill;

struct smtp_target {
	const char *host; /* its certificate must name it */
	uint16_t port;
	SSL_CTX *tls;
	const char *ehlo_name;
	/* The longest wait for one answer in seconds; 0: as RFC 5321 4.5.3.2
	 * recommends. */
	int timeout;
	bool is_ipv4_first; /* and IPv6 only where no IPv4 address answers */
};

/* A message ready to go; all borrowed. */
struct smtp_mail {
	const struct mailbox *sender;
	const struct mailbox *recipients;
	size_t recipient_count;
	struct span header; /* with the empty line */
	const struct spill *body;
	const struct dsn *dsn; /* passed on where it is offered; or NULL */
	bool has_8bit;
	bool is_binary; /* NUL, or lines over 998 octets (RFC 3030) */
};

enum outcome_status {
	OUTCOME_PENDING,
	OUTCOME_ACCEPTED,
	OUTCOME_REFUSED, /* for good */
	OUTCOME_LATER
};

/* What became of one recipient. */
struct outcome {
	enum outcome_status status;
	enum scope scope;       /* unless accepted */
	enum failure_kind kind; /* unless accepted */
	int code;               /* of the SMTP reply, or 0 */
	char dsn[12];
	bool is_uncertain; /* later, and it may have been delivered */
	char *text;        /* the reply, or what failed; owned */
	char *relay; /* who said so, as smtp_relay(); NULL: nobody; owned */
};

/*
 * Connect to the host, one address after the other, and go as far as EHLO
 * under TLS.  On success *out is the caller's to smtp_close().  -1: *t.
 */
int smtp_open(
    const struct smtp_target *target, struct smtp **out, struct trouble *t);

/*
 * Can a further message be sent?  The server has not hung up, as it may at any
 * time.  The session has as long for that message as a new one.
 */
bool smtp_renew(struct smtp *c);

/* Since it was opened or renewed the server has answered something. */
bool smtp_has_answered(const struct smtp *c);

/* "host[address]:port", for logs. */
const char *smtp_relay(const struct smtp *c);

/*
 * Sign in with the first of the mechanisms that the server offers; they are
 * known to auth.h and separated by blanks ("LOGIN PLAIN").  user and secret as
 * there.  -1: *t; code is the server's, if it was the server that refused.
 */
int smtp_authenticate(struct smtp *c, const char *mechanisms, const char *user,
    struct span secret, struct trouble *t);

/*
 * Send a message in as many transactions as recipients_per_message demands.
 * Sets every pending outcome of outcomes[0..mail->recipient_count).
 */
void smtp_send(struct smtp *c, const struct smtp_mail *mail,
    size_t recipients_per_message, struct outcome *outcomes);

/* Say QUIT without waiting for the answer; NULL is fine; sets NULL. */
void smtp_close(struct smtp **session);

/* Say of all outcomes that do not know it yet who decided them. */
void outcomes_set_relay(
    struct outcome *outcomes, size_t count, const char *relay);

/* Give every pending outcome this trouble. */
void outcomes_set(
    struct outcome *outcomes, size_t count, const struct trouble *t);

/* Release what they own; done twice is fine. */
void outcomes_done(struct outcome *outcomes, size_t count);

#endif
