#include "route/direct.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "mail/complete.h"
#include "route/memory.h"
#include "route/mx.h"
#include "smtp/client.h"
#include "smtp/tls.h"

enum {
	/* A change at Microsoft takes half an hour, one in a firewall less. */
	REFUSED_SECONDS = 60 * 60,
	UNREACHABLE_SECONDS = 10 * 60,
	KEY_MAX = 1024
};

static const char memory_kind[] = "closed";

/* Recipients of one domain on their way. */
struct group {
	const struct config *config;
	int timeout;
	const char *domain;
	struct smtp_mail mail;      /* of these recipients only */
	struct mailbox *recipients; /* borrowed contents */
	struct outcome *outcomes;
	size_t *indexes; /* of these recipients in the whole message */
};

/* ---- what is remembered ---- */

/* What the way depends on: another MX in the configuration is another way. */
static void
make_key(const struct config *config, const char *domain, struct buf *key)
{
	const struct direct_send *d = &config->direct_send;

	buf_init(key, KEY_MAX);
	(void)buf_printf(key, "%s %s %u %d", domain, d->mx != NULL ? d->mx : "",
	    (unsigned)d->port, (int)d->tls);
	for (size_t i = 0; i < key->len; i++)
		key->s[i] = ascii_lower(key->s[i]);
}

enum fallback_direct
direct_state(const struct config *config, const char *domain, struct buf *why)
{
	struct buf key, text;
	bool is_closed;

	if (!config->direct_send.is_enabled)
		return FALLBACK_OFF;
	make_key(config, domain, &key);
	buf_init(&text, MEMORY_TEXT_MAX);
	is_closed = memory_recall(
	    config->state_directory, memory_kind, buf_view(&key), &text);
	if (is_closed && why != NULL)
		(void)buf_span(why, buf_view(&text));
	buf_done(&text);
	buf_done(&key);
	return is_closed ? FALLBACK_CLOSED : FALLBACK_OPEN;
}

static void
remember_closed(const struct group *g, const struct outcome *o)
{
	int seconds = o->code >= 500 ? REFUSED_SECONDS : UNREACHABLE_SECONDS;
	char until[CLOCK_DATE_SIZE];
	struct buf key, text;

	clock_date(time(NULL) + seconds, until);
	make_key(g->config, g->domain, &key);
	buf_init(&text, MEMORY_TEXT_MAX);
	(void)buf_printf(&text,
	    "closed for %s, and not tried again before %s: %s", g->domain,
	    until, o->text);
	log_debug("%s", text.s);
	memory_keep(g->config->state_directory, memory_kind, buf_view(&key),
	    buf_view(&text), seconds);
	buf_done(&text);
	buf_done(&key);
}

/* ---- the hosts ---- */

/* Leave the hosts of Exchange Online. */
static int
keep_exchange(const char *domain, struct mx_list *list, struct failure *f)
{
	size_t kept = 0;

	(void)failure_set(f, FAILURE_LATER,
	    "the MX of %s is %s, which is no host of Exchange Online; if it is "
	    "right, set mx in [direct_send]",
	    domain, list->hosts[0]);
	(void)failure_dsn(f, "4.4.4");
	for (size_t i = 0; i < list->count; i++) {
		if (mx_is_exchange(list->hosts[i]))
			list->hosts[kept++] = list->hosts[i];
		else
			free(list->hosts[i]);
	}
	list->count = kept;
	return kept > 0 ? 0 : -1;
}

static int
find_hosts(const struct group *g, struct mx_list *out, struct failure *f)
{
	const char *mx = g->config->direct_send.mx;

	*out = (struct mx_list){ NULL, 0 };
	if (mx != NULL) {
		out->hosts = xcalloc(1, sizeof(*out->hosts));
		out->hosts[out->count++] = xstrdup(mx);
		return 0;
	}
	if (mx_lookup(g->domain, out, f) == -1)
		return -1;
	return keep_exchange(g->domain, out, f);
}

/* ---- sending ---- */

/* Another host may do what this one could not. */
static bool
is_for_next_host(const struct outcome *o)
{
	return o->status == OUTCOME_LATER && o->scope == SCOPE_HOST &&
	    !o->is_uncertain && o->code < 500;
}

static size_t
reopen_for_next_host(struct group *g)
{
	size_t reopened = 0;

	for (size_t i = 0; i < g->mail.recipient_count; i++) {
		if (!is_for_next_host(&g->outcomes[i]))
			continue;
		outcomes_done(&g->outcomes[i], 1);
		g->outcomes[i] = (struct outcome){ .status = OUTCOME_PENDING };
		reopened++;
	}
	return reopened;
}

static void
send_to_host(struct group *g, const struct smtp_target *target)
{
	size_t count = g->mail.recipient_count;
	struct smtp *session = NULL;
	struct trouble t = { .scope = SCOPE_HOST };

	if (smtp_open(target, &session, &t) == -1) {
		outcomes_set(g->outcomes, count, &t);
		outcomes_set_relay(g->outcomes, count, target->host);
		return;
	}
	smtp_send(session, &g->mail, DIRECT_RECIPIENTS_MAX, g->outcomes);
	outcomes_set_relay(g->outcomes, count, smtp_relay(session));
	smtp_close(&session);
}

static void
send_to_hosts(struct group *g, const struct mx_list *hosts, SSL_CTX *tls)
{
	char *host_name = complete_host_name(0);
	struct smtp_target target = {
		.port = g->config->direct_send.port,
		.tls = tls,
		.ehlo_name = host_name,
		.timeout = g->timeout,
		.is_ipv4_first = true,
	};

	for (size_t i = 0; i < hosts->count; i++) {
		if (i > 0 && reopen_for_next_host(g) == 0)
			break;
		target.host = hosts->hosts[i];
		send_to_host(g, &target);
	}
	free(host_name);
}

static void
send_group(struct group *g)
{
	const struct direct_send *d = &g->config->direct_send;
	struct trouble t = { .scope = SCOPE_HOST };
	struct mx_list hosts = { NULL, 0 };
	SSL_CTX *tls = NULL;
	int r = find_hosts(g, &hosts, &t.failure);

	if (r == 0)
		r = config_check_ca_file(d->ca_file, &t.failure);
	if (r == 0)
		r = tls_context_new(d->ca_file, &tls, &t.failure);
	if (r == 0 && d->tls == DIRECT_TLS_ENCRYPT)
		tls_context_trust_anyone(tls);
	if (r == 0)
		send_to_hosts(g, &hosts, tls);
	else
		outcomes_set(g->outcomes, g->mail.recipient_count, &t);
	tls_context_free(&tls);
	mx_list_done(&hosts);
}

/* ---- one group for each domain ---- */

/* Collect the pending recipients that share the domain of recipient first. */
static void
begin_group(struct group *g, const struct smtp_mail *mail,
    const struct outcome *outcomes, size_t first)
{
	size_t count = 0;

	g->domain = mail->recipients[first].domain;
	g->recipients = xcalloc(mail->recipient_count, sizeof(*g->recipients));
	g->indexes = xcalloc(mail->recipient_count, sizeof(*g->indexes));
	for (size_t i = first; i < mail->recipient_count; i++) {
		const struct mailbox *m = &mail->recipients[i];

		if (outcomes[i].status != OUTCOME_PENDING ||
		    !span_is_nocase(span_of(m->domain), g->domain))
			continue;
		g->recipients[count] = *m;
		g->indexes[count++] = i;
	}
	g->outcomes = xcalloc(count, sizeof(*g->outcomes));
	g->mail = *mail;
	g->mail.recipients = g->recipients;
	g->mail.recipient_count = count;
}

/* Give the outcomes to the whole message. */
static void
end_group(struct group *g, struct outcome *outcomes)
{
	const struct outcome *closed = NULL;

	for (size_t i = 0; i < g->mail.recipient_count; i++) {
		if (closed == NULL && fallback_is_closed(&g->outcomes[i]))
			closed = &g->outcomes[i];
		outcomes[g->indexes[i]] = g->outcomes[i];
	}
	if (closed != NULL)
		remember_closed(g, closed);
	free(g->outcomes);
	free(g->recipients);
	free(g->indexes);
}

void
direct_send(const struct config *config, const struct smtp_mail *mail,
    int timeout, struct outcome *outcomes)
{
	for (size_t i = 0; i < mail->recipient_count; i++) {
		struct group g = { .config = config, .timeout = timeout };

		if (outcomes[i].status != OUTCOME_PENDING)
			continue;
		begin_group(&g, mail, outcomes, i);
		send_group(&g);
		end_group(&g, outcomes);
	}
}
