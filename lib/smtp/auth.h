/*
 * auth - the client's side of SASL (RFC 4422), through libsasl2
 *
 * XOAUTH2 is a plug-in of our own in this process; LOGIN and PLAIN are the
 * packaged modules.  Only the one that is used is loaded, and no other file,
 * whatever lies in the module directory or stands in the environment.
 */
#ifndef SMTP_AUTH_H
#define SMTP_AUTH_H

#include "core/buf.h"

struct auth;
struct failure;

/*
 * Begin an exchange with the one mechanism named: "XOAUTH2", "LOGIN", "PLAIN".
 * user is any text without control characters; blanks at its ends are dropped.
 * secret is a token or a password.  FAILURE_CONFIG: the mechanism's module is
 * not installed.
 */
int auth_new(struct span mechanism, const char *host, const char *user,
    struct span secret, struct auth **out, struct failure *f);

/* Its name; a constant. */
const char *auth_mechanism(const struct auth *a);

/*
 * Append the initial response in base64 to b, a secret buffer; nothing if the
 * mechanism has none.  FAILURE_AUTH.
 */
int auth_start(struct auth *a, struct buf *b, struct failure *f);

/* Append the answer to a challenge, both in base64.  FAILURE_AUTH. */
int auth_step(
    struct auth *a, struct span challenge, struct buf *b, struct failure *f);

/* Accepts a pointer to NULL, sets it to NULL. */
void auth_free(struct auth **auth);

#endif
