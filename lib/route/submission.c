#include "route/submission.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/service.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "oauth/token.h"
#include "smtp/client.h"
#include "smtp/tls.h"

enum {
	SECRET_MAX = TOKEN_MAX_BYTES,
	USER_MAX = 256, /* of an address, or a user name */
	/* For a message that is on its way when the token ends. */
	SPARE_SECONDS = 60,
	MS_PER_SECOND = 1000
};

struct submission {
	struct smtp *session;
	char *name; /* who is signed in, and where; NULL: nobody yet */
	char *relay;
	int64_t end_ms; /* of what it is signed in with, as clock_ms() */
	bool is_reused;
	SSL_CTX *tls; /* of ca_file; it knows sessions to resume */
	char *ca_file;
};

/* Who signs in, and what is to be had of it. */
struct sign_in {
	struct submission *submission;
	const struct config *config;
	const struct account *account;
	struct buf user;
};

/* How long a session may be used whose token ends then: not until its last
 * moment, but for half of its life at least. */
static int64_t
session_end(int64_t token_end)
{
	int64_t left = token_end - (int64_t)time(NULL);
	int64_t spare = left / 2 < SPARE_SECONDS ? left / 2 : SPARE_SECONDS;

	return clock_ms() + (left - spare) * MS_PER_SECOND;
}

static int
get_secret(const struct sign_in *s, const struct buf *refused, struct buf *out,
    struct trouble *t)
{
	const struct account *account = s->account;
	const struct span view = buf_view(refused);
	int64_t token_end = 0;
	int r = 0;

	buf_reset(out);
	*t = (struct trouble){ .scope = SCOPE_ACCOUNT };
	s->submission->end_ms = INT64_MAX;
	switch (account->auth) {
	case AUTH_CLIENT_SECRET:
		r = token_get(account, s->config->state_directory,
		    refused->len > 0 ? &view : NULL, out, &token_end,
		    &t->failure);
		s->submission->end_ms = session_end(token_end);
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

/* What the service reads is a copy of the file that is to be corrected. */
static void
say_restart(const struct account *account, struct failure *f)
{
	size_t len = strlen(f->text);

	if (account->auth == AUTH_PASSWORD && f->kind == FAILURE_AUTH &&
	    config_credential_name(account->password_file) != NULL)
		(void)snprintf(f->text + len, sizeof(f->text) - len,
		    " (when password_file is right, %s)",
		    service_how_to_restart());
}

static int
authenticate(const struct sign_in *s, struct smtp *session,
    const struct buf *secret, struct trouble *t)
{
	const char *mechanisms = NULL;
	int r;

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
	r = smtp_authenticate(
	    session, mechanisms, s->user.s, buf_view(secret), t);
	if (r == -1)
		say_restart(s->account, &t->failure);
	return r;
}

/* TLS settings for the account: those of the last session if they are the
 * same. */
static int
use_tls(struct submission *s, const struct account *account, struct failure *f)
{
	const char *ca_file = account->ca_file != NULL ? account->ca_file : "";

	if (s->tls != NULL && strcmp(s->ca_file, ca_file) == 0)
		return 0;
	tls_context_free(&s->tls);
	free(s->ca_file);
	s->ca_file = xstrdup(ca_file);
	if (config_check_ca_file(account->ca_file, f) == -1)
		return -1;
	return tls_context_new(account->ca_file, &s->tls, f);
}

/* Connect and sign in with this secret. */
static int
open_session(
    const struct sign_in *s, const struct buf *secret, struct trouble *t)
{
	struct submission *own = s->submission;
	char *host_name = complete_host_name(0);
	struct smtp_target target = {
		.host = s->account->host,
		.port = s->account->port,
		.ehlo_name = host_name,
		.timeout = (int)s->account->timeout,
	};
	int r;

	t->scope = SCOPE_ACCOUNT;
	r = use_tls(own, s->account, &t->failure);
	target.tls = own->tls;
	if (r == 0)
		r = smtp_open(&target, &own->session, t);
	if (r == 0) {
		free(own->relay);
		own->relay = xstrdup(smtp_relay(own->session));
		r = authenticate(s, own->session, secret, t);
		if (r == -1)
			smtp_close(&own->session);
	}
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
sign_in(const struct sign_in *s, struct trouble *t)
{
	struct buf secret, refused;
	int r;

	buf_init_secret(&secret, SECRET_MAX);
	buf_init_secret(&refused, SECRET_MAX);
	r = get_secret(s, &refused, &secret, t);
	if (r == 0)
		r = open_session(s, &secret, t);
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
			r = open_session(s, &secret, t);
		}
	}
	buf_done(&refused);
	buf_done(&secret);
	return r;
}

struct submission *
submission_new(void)
{
	struct submission *s = xcalloc(1, sizeof(*s));

	s->relay = xstrdup("none");
	return s;
}

void
submission_free(struct submission **submission)
{
	struct submission *s = *submission;

	if (s == NULL)
		return;
	submission_close(s);
	tls_context_free(&s->tls);
	free(s->ca_file);
	free(s->name);
	free(s->relay);
	free(s);
	*submission = NULL;
}

void
submission_close(struct submission *s)
{
	smtp_close(&s->session);
}

void
submission_settle(struct submission *s)
{
	if (s->session != NULL && !smtp_renew(s->session))
		submission_close(s);
}

bool
submission_is_open(const struct submission *s)
{
	return s->session != NULL;
}

struct smtp *
submission_session(const struct submission *s)
{
	return s->session;
}

bool
submission_is_reused(const struct submission *s)
{
	return s->is_reused;
}

const char *
submission_relay(const struct submission *s)
{
	return s->relay;
}

/* "alerts@contoso.com smtp.office365.com:587": who is signed in, and where. */
static char *
name_session(const struct sign_in *s)
{
	return xasprintf("%s %s:%u", s->user.s, s->account->host,
	    (unsigned)s->account->port);
}

/* Is the session that is there one for this user?  Else it is closed. */
static bool
can_reuse(struct submission *s, const char *name)
{
	/* Its token may end, and a new session is signed in with a new one. */
	if (s->session != NULL && strcmp(s->name, name) == 0 &&
	    clock_ms() < s->end_ms && smtp_renew(s->session))
		return true;
	submission_close(s);
	return false;
}

int
submission_open(struct submission *s, const struct config *config,
    const struct account *account, const struct mailbox *user,
    struct trouble *t)
{
	struct sign_in who = {
		.submission = s,
		.config = config,
		.account = account,
	};
	char *name;
	int r = 0;

	buf_init(&who.user, USER_MAX);
	if (account->login != NULL)
		(void)buf_puts(&who.user, account->login);
	else
		(void)mailbox_write_address(&who.user, user);
	name = name_session(&who);
	s->is_reused = can_reuse(s, name);
	if (!s->is_reused)
		r = sign_in(&who, t);
	if (r == 0 && !s->is_reused) {
		free(s->name);
		s->name = xstrdup(name);
	}
	free(name);
	buf_done(&who.user);
	return r;
}
