/*
 * submission - a session with an account's host, signed in and ready to send
 */
#ifndef ROUTE_SUBMISSION_H
#define ROUTE_SUBMISSION_H

struct account;
struct config;
struct mailbox;
struct smtp;
struct trouble;

/*
 * Connect and sign in as user, with a new token once where the server refuses
 * one for reasons that it may mend.  On success *out is the caller's to
 * smtp_close().  *relay is replaced by what smtp_relay() says of the host as
 * soon as there is one.  -1: *t; the scope is the account or the host.
 */
int submission_open(const struct config *config, const struct account *account,
    const struct mailbox *user, struct smtp **out, char **relay,
    struct trouble *t);

#endif
