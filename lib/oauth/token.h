/*
 * token - access tokens for an account, from the store or from Entra
 *
 * Tokens are kept in the state directory, one file for each (authority,
 * tenant, client, scope), and asked for by one process at a time: the others
 * wait for its answer.  Where the directory cannot be written a token is
 * asked for each time.
 */
#ifndef OAUTH_TOKEN_H
#define OAUTH_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"

struct account;
struct failure;

enum {
	TOKEN_MAX_BYTES = 64 * 1024,
	TOKEN_MARGIN_SECONDS = 600 /* a token that ends sooner is renewed */
};

/*
 * Append an access token to *out, a secret buffer; *out_end, if not NULL, is
 * when it ends, in seconds since the epoch.  refused, if not NULL, is
 * a token that the server has refused: a new one is requested unless another
 * process has done so meanwhile.  The result is the refused one only where
 * that was itself requested for this reason within five minutes: asking once
 * more would not help.
 * Kinds: FAILURE_CONFIG (wrong tenant, client or scope, no secret in its
 * file), FAILURE_AUTH (Entra refuses the sign-in: wrong or expired secret, no
 * consent), FAILURE_LATER (network, TLS, 429, 5xx).  AADSTS number and cure
 * are in the text.
 */
int token_get(const struct account *account, const char *state_directory,
    const struct span *refused, struct buf *out, int64_t *out_end,
    struct failure *f);

#endif
