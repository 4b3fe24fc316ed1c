/*
 * submission - a session with an account's host, signed in and ready to send
 *
 * It can outlive a message: the next one of the same user costs one round
 * trip.  Which session it is decides nothing but the cost.
 */
#ifndef ROUTE_SUBMISSION_H
#define ROUTE_SUBMISSION_H

#include <stdbool.h>

struct account;
struct config;
struct mailbox;
struct smtp;
struct submission;
struct trouble;

/* Without a session yet.  The caller submission_free()s it. */
struct submission *submission_new(void);

/* Say goodbye and release it.  Accepts a pointer to NULL, sets it to NULL. */
void submission_free(struct submission **submission);

/* There is a session, as far as is known. */
bool submission_is_open(const struct submission *s);

/*
 * Have a session with the account's host that is signed in as user: the one
 * that is there if it is of this user, its token does not end soon and the
 * server has not hung up, else a new one, with a new token once where the
 * server refuses one for reasons that it may mend.  -1: *t; the scope is the
 * account or the host.
 */
int submission_open(struct submission *s, const struct config *config,
    const struct account *account, const struct mailbox *user,
    struct trouble *t);

/* The session, after 0 from submission_open(); it stays the submission's. */
struct smtp *submission_session(const struct submission *s);

/* It was there before: the server may have tired of it. */
bool submission_is_reused(const struct submission *s);

/* What smtp_relay() said of the last host that was spoken to; "none". */
const char *submission_relay(const struct submission *s);

/* After a message: close the session if nothing more can be sent on it. */
void submission_settle(struct submission *s);

/* Close it in any case. */
void submission_close(struct submission *s);

#endif
