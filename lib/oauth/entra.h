/*
 * entra - what the token endpoint of Entra is asked and what it answers
 *
 * Pure functions: bytes in, bytes or a failure out.  See the Microsoft
 * identity platform, "client credentials grant" and "error codes"; the
 * `error` of an answer decides, the AADSTS number only where it says more.
 */
#ifndef OAUTH_ENTRA_H
#define OAUTH_ENTRA_H

#include <stdbool.h>

#include "core/buf.h"

struct account;
struct failure;
struct http_answer;

enum {
	ENTRA_FORM_MAX = 64 * 1024,
	ENTRA_URL_MAX = 4 * 1024,
	ENTRA_LIFETIME_UNKNOWN = 300,  /* seconds, where the answer is silent */
	ENTRA_LIFETIME_MAX = 24 * 3600 /* the longest a policy can set */
};

/*
 * Append the address of the account's token endpoint.  0, or -1: no room, or
 * authority is not "https://HOST...".
 */
int entra_token_url(const struct account *account, struct buf *out);

/*
 * Append the form of a client credentials request to *out, a secret buffer.
 * 0, or -1: no room.
 */
int entra_client_secret_request(
    const struct account *account, struct span secret, struct buf *out);

/* Can this stand behind "Bearer "?  Printable US-ASCII without blank and
 * comma, not empty, not above TOKEN_MAX_BYTES. */
bool entra_is_token(struct span token);

/*
 * Take an access token from an answer: append it to *out_token, a secret
 * buffer, and set *out_lifetime to the seconds it is good for, never 0.
 * Kinds: FAILURE_AUTH (the sign-in is refused), FAILURE_CONFIG (tenant,
 * client, scope), FAILURE_LATER (429, 5xx, an answer that is not Entra's).
 * The text holds number, meaning, cure, and Entra's ids for its support.
 */
int entra_parse_answer(const struct account *account,
    const struct http_answer *answer, struct buf *out_token, int *out_lifetime,
    struct failure *f);

#endif
