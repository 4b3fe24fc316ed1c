#include "route/deliver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/spill.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "mail/encode.h"
#include "mail/message.h"
#include "oauth/token.h"
#include "smtp/client.h"
#include "smtp/tls.h"

enum {
	QP_BLOCK = 16 * 1024,
	SECRET_MAX = TOKEN_MAX_BYTES,
	NAMED_MAX = 3 /* recipients that a summary names */
};

/* ---- planning ---- */

/* The first outcome of the status; NULL if there is none. */
static const struct outcome *
first_of(const struct delivery *d, enum outcome_status status)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++)
		if (d->outcomes[i].status == status)
			return &d->outcomes[i];
	return NULL;
}

/* A recipient that is a bare name, and no domain for it is configured. */
static void
refuse_bare_recipients(struct delivery *d)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const struct mailbox *m = &d->plan.recipients.items[i];
		struct trouble t = { .scope = SCOPE_RECIPIENT };

		if (m->domain != NULL)
			continue;
		(void)failure_set(&t.failure, FAILURE_DATA,
		    "recipient \"%s\" has no domain; set \"domain\" in "
		    "[rewrite]",
		    m->local);
		(void)failure_dsn(&t.failure, "5.1.3");
		outcomes_set(&d->outcomes[i], 1, &t);
	}
}

void
delivery_plan(const struct config *config, const struct delivery_input *input,
    struct delivery *out)
{
	const struct account *account = &config->accounts[0];
	char *mail_name = complete_host_name(1);
	char *host_name = complete_host_name(0);
	const struct rewrite_policy policy = {
		.account = &account->user,
		.send_as = account->send_as,
		.origin = config->rewrite_domain != NULL
		    ? config->rewrite_domain
		    : mail_name,
		.recipient_domain = config->rewrite_domain,
		.host_name = host_name,
	};
	const struct rewrite_input message = {
		.sender = input->sender,
		.recipients = input->recipients,
		.header = &input->message->header,
		.facts = &input->message->facts,
	};

	*out = (struct delivery){
		.account = account,
		.relay = xstrdup("none"),
		.started_ms = clock_ms(),
	};
	rewrite_plan(&policy, &message, &out->plan);
	out->outcomes =
	    xcalloc(out->plan.recipients.count, sizeof(*out->outcomes));
	refuse_bare_recipients(out);
	free(mail_name);
	free(host_name);
}

void
delivery_done(struct delivery *d)
{
	if (d->outcomes != NULL)
		outcomes_done(d->outcomes, d->plan.recipients.count);
	free(d->outcomes);
	free(d->relay);
	d->outcomes = NULL;
	d->relay = NULL;
	rewrite_plan_done(&d->plan);
}

/* ---- the message as it goes out ---- */

static int
encode_body(const struct spill *body, struct spill *out, struct failure *f)
{
	char block[QP_BLOCK];
	struct buf encoded;
	uint64_t offset = 0;
	struct qp qp;
	ssize_t n;
	int r = 0;

	qp_init(&qp);
	buf_init(&encoded, sizeof(block) * 4 + 16);
	do {
		n = spill_read(body, offset, block, sizeof(block), f);
		if (n == -1) {
			r = -1;
			break;
		}
		offset += (uint64_t)n;
		buf_reset(&encoded);
		r = n > 0
		    ? qp_write(&qp, (struct span){ block, (size_t)n }, &encoded)
		    : qp_finish(&qp, &encoded);
		/* encoded has the room that qp_write() asks for. */
		assert(r == 0);
		r = spill_write(out, encoded.s, encoded.len, f);
	} while (n > 0 && r == 0);
	buf_done(&encoded);
	return r;
}

const struct spill *
delivery_content(const struct delivery *d, const struct message *message,
    struct buf *header, struct spill *encoded, struct failure *f)
{
	if (rewrite_write_header(&d->plan, &message->header, header) == -1) {
		(void)failure_set(f, FAILURE_DATA,
		    "the rewritten header is larger than %d octets",
		    DELIVERY_HEADER_MAX);
		return NULL;
	}
	if (!d->plan.encodes_body)
		return &message->body;
	return encode_body(&message->body, encoded, f) == 0 ? encoded : NULL;
}

/* ---- signing in ---- */

static int
get_secret(const struct config *config, const struct account *account,
    const struct buf *refused, struct buf *out, struct trouble *t)
{
	const struct span view = buf_view(refused);
	int r = -1;

	buf_reset(out);
	*t = (struct trouble){ .scope = SCOPE_ACCOUNT };
	switch (account->auth) {
	case AUTH_CLIENT_SECRET:
		r = token_get(account, config->state_directory,
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

static const char *
mechanism_of(const struct account *account)
{
	switch (account->auth) {
	case AUTH_CLIENT_SECRET:
		return "XOAUTH2";
	case AUTH_PASSWORD:
	case AUTH_NONE:
		break;
	}
	return "LOGIN";
}

/* Connect and sign in with this secret. */
static int
open_session(const struct account *account, const struct buf *secret,
    struct delivery *d, struct smtp **out, struct trouble *t)
{
	char *host_name = complete_host_name(0);
	struct smtp_target target = {
		.host = account->host,
		.port = account->port,
		.ehlo_name = host_name,
		.timeout = (int)account->timeout,
	};
	struct buf user;
	int r;

	buf_init(&user, ADDRESS_MAX);
	(void)mailbox_write_address(&user, &account->user);
	t->scope = SCOPE_ACCOUNT;
	r = tls_context_new(account->ca_file, &target.tls, &t->failure);
	if (r == 0)
		r = smtp_open(&target, out, t);
	if (r == 0) {
		free(d->relay);
		d->relay = xstrdup(smtp_relay(*out));
		r = smtp_authenticate(
		    *out, mechanism_of(account), user.s, buf_view(secret), t);
		if (r == -1)
			smtp_close(out);
	}
	tls_context_free(&target.tls);
	buf_done(&user);
	free(host_name);
	return r;
}

/*
 * 535 5.7.3 says nothing about the reason: the token may have been revoked.
 * Other 535s name a reason that no new token mends.
 */
static bool
may_be_old_token(const struct account *account, const struct trouble *t)
{
	return account->auth == AUTH_CLIENT_SECRET && t->code == 535 &&
	    strcmp(t->reply_dsn, "5.7.139") != 0;
}

static int
sign_in(const struct config *config, struct delivery *d, struct smtp **out,
    struct trouble *t)
{
	struct buf secret, refused;
	int r;

	buf_init_secret(&secret, SECRET_MAX);
	buf_init_secret(&refused, SECRET_MAX);
	r = get_secret(config, d->account, &refused, &secret, t);
	if (r == 0)
		r = open_session(d->account, &secret, d, out, t);
	if (r == -1 && may_be_old_token(d->account, t)) {
		const struct trouble refusal = *t;

		/* Of the same size as secret: it fits. */
		(void)buf_span(&refused, buf_view(&secret));
		r = get_secret(config, d->account, &refused, &secret, t);
		if (r == 0 &&
		    span_equal(buf_view(&secret), buf_view(&refused))) {
			*t = refusal;
			r = -1;
		} else if (r == 0) {
			r = open_session(d->account, &secret, d, out, t);
		}
	}
	buf_done(&refused);
	buf_done(&secret);
	return r;
}

/* ---- sending ---- */

static void
send_content(
    struct smtp *session, const struct message *message, struct delivery *d)
{
	struct trouble t = { .scope = SCOPE_MESSAGE };
	const struct spill *body;
	struct spill encoded;
	struct buf header;

	buf_init(&header, DELIVERY_HEADER_MAX);
	spill_init(&encoded);
	body = delivery_content(d, message, &header, &encoded, &t.failure);
	if (body == NULL) {
		outcomes_set(d->outcomes, d->plan.recipients.count, &t);
	} else {
		const struct smtp_mail mail = {
			.sender = &d->plan.sender,
			.recipients = d->plan.recipients.items,
			.recipient_count = d->plan.recipients.count,
			.header = buf_view(&header),
			.body = body,
			.has_8bit = (message->facts.has_8bit &&
					!d->plan.encodes_body) ||
			    ascii_has_8bit(buf_view(&header)),
			.is_binary = !d->plan.encodes_body &&
			    (message->facts.has_nul ||
				message->facts.longest_line > LINES_MAX_OCTETS),
		};

		smtp_send(session, &mail, d->account->recipients_per_message,
		    d->outcomes);
	}
	spill_done(&encoded);
	buf_done(&header);
}

void
delivery_run(const struct config *config, const struct message *message,
    struct delivery *d)
{
	struct smtp *session = NULL;
	struct trouble t;

	if (first_of(d, OUTCOME_PENDING) == NULL)
		return;
	if (sign_in(config, d, &session, &t) == -1)
		outcomes_set(d->outcomes, d->plan.recipients.count, &t);
	else
		send_content(session, message, d);
	smtp_close(&session);
}

/* ---- summing up ---- */

int
delivery_refusal(const struct delivery *d, struct failure *f)
{
	const struct outcome *refused = first_of(d, OUTCOME_REFUSED);

	if (refused == NULL)
		return 0;
	(void)failure_set(f, refused->kind, "%s", refused->text);
	return failure_dsn(f, refused->dsn);
}

/* "a@x, b@x, c@x and 4 more": those who were not reached. */
static size_t
name_failed(const struct delivery *d, struct buf *b)
{
	size_t failed = 0;

	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		if (d->outcomes[i].status == OUTCOME_ACCEPTED)
			continue;
		if (failed++ >= NAMED_MAX)
			continue;
		if (failed > 1)
			(void)buf_puts(b, ", ");
		(void)mailbox_write_address(b, &d->plan.recipients.items[i]);
	}
	if (failed > NAMED_MAX)
		(void)buf_printf(b, " and %zu more", failed - NAMED_MAX);
	return failed;
}

int
delivery_summary(const struct delivery *d, struct buf *text, struct failure *f)
{
	const struct outcome *worst = first_of(d, OUTCOME_LATER);
	size_t count = d->plan.recipients.count;
	struct buf names;
	size_t failed;

	if (worst == NULL)
		worst = first_of(d, OUTCOME_REFUSED);
	if (worst == NULL) {
		/* Cut short if it is longer than the caller wants. */
		if (buf_puts(text, d->outcomes[0].text) == -1)
			(void)buf_puts(text, "2.0.0 Ok");
		return 0;
	}
	(void)failure_set(f, worst->kind, "%s", worst->text);
	(void)memcpy(f->dsn, worst->dsn, sizeof(f->dsn));
	if (count == 1)
		return -1;
	buf_init(&names, (ADDRESS_MAX + 2) * NAMED_MAX + 32);
	failed = name_failed(d, &names);
	if (failed == count)
		(void)failure_at(
		    f, "not accepted for any of %zu recipients", count);
	else
		(void)failure_at(f, "sent to %zu of %zu recipients, not to %s",
		    count - failed, count, names.s);
	buf_done(&names);
	(void)memcpy(f->dsn, worst->dsn, sizeof(f->dsn));
	return -1;
}
