#include "route/submission.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "oauth/token.h"
#include "smtp/client.h"
#include "smtp/tls.h"

enum {
	SECRET_MAX = TOKEN_MAX_BYTES,
	USER_MAX = 256 /* of an address, or a user name */
};

/* Who signs in, and what is known of the way. */
struct sign_in {
	const struct config *config;
	const struct account *account;
	struct buf user;
	char **relay;
};

static int
get_secret(const struct sign_in *s, const struct buf *refused, struct buf *out,
    struct trouble *t)
{
	const struct account *account = s->account;
	const struct span view = buf_view(refused);
	int r = 0;

	buf_reset(out);
	*t = (struct trouble){ .scope = SCOPE_ACCOUNT };
	switch (account->auth) {
	case AUTH_CLIENT_SECRET:
		r = token_get(account, s->config->state_directory,
		    refused->len > 0 ? &view : NULL, out, &t->failure);
		break;
	case AUTH_PASSWORD:
		r = config_read_secret(
		    account->password_file, out, &t->failure);
		break;
	case AUTH_NONE:
		break;
	}
	return r;
}

static int
authenticate(const struct sign_in *s, struct smtp *session,
    const struct buf *secret, struct trouble *t)
{
	const char *mechanisms = NULL;

	switch (s->account->auth) {
	case AUTH_CLIENT_SECRET:
		mechanisms = "XOAUTH2";
		break;
	case AUTH_PASSWORD:
		mechanisms = "LOGIN PLAIN";
		break;
	case AUTH_NONE:
		return 0;
	}
	return smtp_authenticate(
	    session, mechanisms, s->user.s, buf_view(secret), t);
}

/* Connect and sign in with this secret. */
static int
open_session(const struct sign_in *s, const struct buf *secret,
    struct smtp **out, struct trouble *t)
{
	char *host_name = complete_host_name(0);
	struct smtp_target target = {
		.host = s->account->host,
		.port = s->account->port,
		.ehlo_name = host_name,
		.timeout = (int)s->account->timeout,
	};
	int r;

	t->scope = SCOPE_ACCOUNT;
	r = tls_context_new(s->account->ca_file, &target.tls, &t->failure);
	if (r == 0)
		r = smtp_open(&target, out, t);
	if (r == 0) {
		free(*s->relay);
		*s->relay = xstrdup(smtp_relay(*out));
		r = authenticate(s, *out, secret, t);
		if (r == -1)
			smtp_close(out);
	}
	tls_context_free(&target.tls);
	free(host_name);
	return r;
}

/*
 * 535 5.7.3 says nothing about the reason: the token may have been revoked.
 * Other 535s name a reason that no new token mends.  High Volume Email wants
 * a token that does not end soon (501 5.5.127).
 */
static bool
may_be_old_token(const struct account *account, const struct trouble *t)
{
	if (account->auth != AUTH_CLIENT_SECRET)
		return false;
	if (t->code == 535)
		return strcmp(t->reply_dsn, "5.7.139") != 0;
	return t->code == 501 && strcmp(t->reply_dsn, "5.5.127") == 0;
}

static int
sign_in(const struct sign_in *s, struct smtp **out, struct trouble *t)
{
	struct buf secret, refused;
	int r;

	buf_init_secret(&secret, SECRET_MAX);
	buf_init_secret(&refused, SECRET_MAX);
	r = get_secret(s, &refused, &secret, t);
	if (r == 0)
		r = open_session(s, &secret, out, t);
	if (r == -1 && may_be_old_token(s->account, t)) {
		const struct trouble refusal = *t;

		/* Of the same size as secret: it fits. */
		(void)buf_span(&refused, buf_view(&secret));
		r = get_secret(s, &refused, &secret, t);
		if (r == 0 &&
		    span_equal(buf_view(&secret), buf_view(&refused))) {
			*t = refusal;
			r = -1;
		} else if (r == 0) {
			r = open_session(s, &secret, out, t);
		}
	}
	buf_done(&refused);
	buf_done(&secret);
	return r;
}

int
submission_open(const struct config *config, const struct account *account,
    const struct mailbox *user, struct smtp **out, char **relay,
    struct trouble *t)
{
	struct sign_in s = {
		.config = config,
		.account = account,
		.relay = relay,
	};
	int r;

	buf_init(&s.user, USER_MAX);
	if (account->login != NULL)
		(void)buf_puts(&s.user, account->login);
	else
		(void)mailbox_write_address(&s.user, user);
	r = sign_in(&s, out, t);
	buf_done(&s.user);
	return r;
}
