/*
 * A configuration of any bytes is taken whole or refused with a place: it
 * never crashes, and what is taken is complete.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/config.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/display_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* "fuzz.conf:LINE: ", or "fuzz.conf: " where it is about the whole file. */
static void
check_refusal(const struct config *c, const struct failure *f)
{
	static const char name[] = "fuzz.conf:";
	const char *line = f->text + sizeof(name) - 1;

	assert(c == NULL);
	assert(f->kind == FAILURE_CONFIG);
	assert(strncmp(f->text, name, sizeof(name) - 1) == 0);
	assert(*line == ' ' || (ascii_is_digit(*line) && *line != '0'));
	assert(!ascii_has_control(span_of(f->text)));
}

static void
check_user(const struct account *a)
{
	if (a->is_sender) {
		assert(a->user.local == NULL && a->user.domain == NULL);
		assert(a->auth == AUTH_CLIENT_SECRET && a->send_as.count > 0);
	} else {
		assert(a->user.local != NULL && a->user.domain != NULL);
	}
}

static void
check_account(const struct config *c, const struct account *a)
{
	assert(a->name != NULL && a->line > 0);
	check_user(a);
	assert(a->authority != NULL && a->scope != NULL);
	assert(a->port > 0 && a->recipients_per_message > 0);
	assert(a->login == NULL || a->auth == AUTH_PASSWORD);
	switch (a->auth) {
	case AUTH_NONE:
		assert(a->host != NULL || c->direct_send.is_enabled);
		break;
	case AUTH_PASSWORD:
		assert(a->host != NULL && a->password_file[0] == '/');
		break;
	case AUTH_CLIENT_SECRET:
		assert(a->host != NULL && a->client_secret_file[0] == '/');
		assert(strpbrk(a->tenant, "/?#@: ") == NULL);
		assert(a->client_id != NULL);
		break;
	}
}

/* Each is whole, and some message can meet it. */
static void
check_rules(const struct config *c, const struct rule_list *rules)
{
	const struct rule *wide;

	for (size_t i = 0; i < rules->count; i++) {
		const struct rule *rule = &rules->items[i];

		assert(rule->line > 0 && rule->target != NULL);
		assert(rule->pattern.text != NULL);
		assert(rule->account < c->account_count);
		assert(rule->to.local == NULL || rule->to.domain != NULL);
	}
	assert(rule_find_unreachable(rules, &wide) == NULL);
}

/* Some message can go through the account. */
static void
check_is_reached(const struct config *c, size_t account)
{
	bool is_reached = c->route_default.account == account;

	for (size_t i = 0; i < c->route_rules.count; i++)
		is_reached |= c->route_rules.items[i].account == account;
	assert(is_reached);
}

static void
check_aliases(const struct config *c)
{
	struct aliases *a = NULL;
	struct failure f;
	int line;

	assert(config_own_aliases(c, &line, &a, &f) == 0);
	assert(aliases_check(a, NULL, NULL, NULL) == 0);
	aliases_free(&a);
}

static void
check_complete(const struct config *c)
{
	struct failure f;

	assert(c->account_count > 0);
	assert(c->route_default.account < c->account_count);
	for (size_t i = 0; i < c->account_count; i++) {
		check_account(c, &c->accounts[i]);
		check_is_reached(c, i);
	}
	check_rules(c, &c->rewrite_rules);
	check_rules(c, &c->route_rules);
	check_aliases(c);
	assert(!c->direct_send.is_enabled ||
	    c->direct_send.internal_domains.count > 0);
	assert(c->display_name == NULL ||
	    display_name_check(span_of(c->display_name), &f) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct config *c = NULL;
	struct failure f = { 0 };

	if (config_parse("fuzz.conf", "/etc", text, &c, &f) == -1)
		check_refusal(c, &f);
	else
		check_complete(c);
	config_free(&c);
	return 0;
}
