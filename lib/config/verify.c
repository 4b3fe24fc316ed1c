#include "config/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/suggest.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/rule.h"

/* ---- accounts that rules name ---- */

/* "user" of an account, for the caller to free(). */
static char *
user_of(const struct account *a)
{
	struct buf address;

	if (a->is_sender)
		return xstrdup("{sender}");
	buf_init(&address, ADDRESS_MAX);
	(void)mailbox_write_address(&address, &a->user);
	return buf_take(&address);
}

static bool
account_is(const struct account *a, const char *target)
{
	char *user;
	bool is_it;

	if (a->name[0] != '\0' && strcmp(a->name, target) == 0)
		return true;
	user = user_of(a);
	is_it = span_is_nocase(span_of(target), user);
	free(user);
	return is_it;
}

/* How a rule best names an account, for the caller to free(). */
static char *
target_for(const struct account *a)
{
	return a->name[0] != '\0' ? xstrdup(a->name) : user_of(a);
}

static int
refuse_account(const struct config *c, const char *target, struct failure *f)
{
	const char **known = xcalloc(c->account_count, sizeof(*known));
	char problem[256];
	size_t count = 0;

	for (size_t i = 0; i < c->account_count; i++)
		if (c->accounts[i].name[0] != '\0')
			known[count++] = c->accounts[i].name;
	(void)snprintf(problem, sizeof(problem),
	    "\"%s\" is neither the name nor the user of an account", target);
	if (count > 0)
		(void)suggest_refuse(problem, span_of(target), known, count, f);
	else
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s; give one a name: [account NAME]", problem);
	free(known);
	return -1;
}

/* Look up the account that a rule leads to. */
static int
find_account(const struct config *c, struct rule *rule, struct failure *f)
{
	for (size_t i = 0; i < c->account_count; i++) {
		if (account_is(&c->accounts[i], rule->target)) {
			rule->account = i;
			return 0;
		}
	}
	return refuse_account(c, rule->target, f);
}

/* The account of all mail that no rule means. */
static int
find_default(struct config *c, struct failure *f)
{
	struct rule *rule = &c->route_default;

	if (rule->target != NULL)
		return find_account(c, rule, f) == 0 ? 0
						     : failure_at(f, "default");
	while (rule->account < c->account_count &&
	    c->accounts[rule->account].name[0] != '\0')
		rule->account++;
	if (rule->account < c->account_count)
		return 0;
	rule->account = 0;
	if (c->account_count == 1)
		return 0;
	rule->line = c->accounts[1].line;
	return failure_set(f, FAILURE_CONFIG,
	    "there are several accounts; say which one sends what no rule "
	    "means: default = NAME in [route]");
}

static int
find_accounts(struct config *c, int *line, struct failure *f)
{
	for (size_t i = 0; i < c->route_rules.count; i++) {
		*line = c->route_rules.items[i].line;
		if (find_account(c, &c->route_rules.items[i], f) == -1)
			return failure_at(f, "rule");
	}
	if (find_default(c, f) == 0)
		return 0;
	*line = c->route_default.line;
	return -1;
}

static bool
has_rule(const struct config *c, size_t account)
{
	for (size_t i = 0; i < c->route_rules.count; i++)
		if (c->route_rules.items[i].account == account)
			return true;
	return false;
}

static int
refuse_unreached(const struct account *a, int *line, struct failure *f)
{
	char *title = config_account_title(a);
	char *target = target_for(a);

	*line = a->line;
	(void)failure_set(f, FAILURE_CONFIG,
	    "%s: nothing leads to this account; add a rule to [route], such "
	    "as: rule = @DOMAIN %s",
	    title, target);
	free(target);
	free(title);
	return -1;
}

/* A rule for all mail leaves nothing to the default. */
static int
check_default(const struct config *c, int *line, struct failure *f)
{
	const struct pattern all = { .kind = PATTERN_ANY };
	const struct rule *rule =
	    rule_find_covering(&c->route_rules, c->route_rules.count, &all);
	char *title;

	if (rule == NULL || has_rule(c, c->route_default.account))
		return 0;
	*line = rule->line;
	title = config_account_title(&c->accounts[c->route_default.account]);
	(void)failure_set(f, FAILURE_CONFIG,
	    "rule: \"*\" leaves nothing to %s, which sends what no rule means; "
	    "write default = %s in the place of this rule",
	    title, rule->target);
	free(title);
	return -1;
}

static int
check_accounts_are_reached(const struct config *c, int *line, struct failure *f)
{
	for (size_t i = 0; i < c->account_count; i++)
		if (i != c->route_default.account && !has_rule(c, i))
			return refuse_unreached(&c->accounts[i], line, f);
	return check_default(c, line, f);
}

/* ---- rules that are never reached ---- */

static int
check_order(const struct rule_list *rules, int *line, struct failure *f)
{
	const struct rule *wide;
	const struct rule *narrow = rule_find_unreachable(rules, &wide);

	if (narrow == NULL)
		return 0;
	*line = narrow->line;
	return failure_set(f, FAILURE_CONFIG,
	    "rule: \"%s\" is never reached, because line %d has \"%s\" and the "
	    "first match counts; put it before that, or remove it",
	    narrow->pattern.text, wide->line, wide->pattern.text);
}

/* May what a rule of [rewrite] makes of a sender be one that this pattern
 * means? */
static bool
may_become(const struct mailbox *to, const struct pattern *pattern)
{
	/* Any domain may be the name of the host that this runs on. */
	struct pattern_subject subject = {
		.address = to,
		.host_name = to->domain,
	};
	struct pattern domain = { .kind = PATTERN_ADDRESS, .domain = NULL };
	char any[] = "*";

	if (to->local != NULL)
		return pattern_matches(pattern, &subject);
	if (to->domain == NULL || pattern->kind != PATTERN_ADDRESS)
		return true;
	domain.local = any;
	domain.domain = pattern->domain;
	subject.address = &(const struct mailbox){ NULL, any, to->domain };
	return pattern_matches(&domain, &subject);
}

/*
 * [route] sees senders as [rewrite] leaves them: a rule for senders that all
 * become someone else means nobody.
 */
static const struct rule *
find_rewriting(const struct config *c, const struct rule *route)
{
	const struct rule *hiding;

	if (route->pattern.kind == PATTERN_ANY ||
	    route->pattern.kind == PATTERN_USER)
		return NULL;
	hiding = rule_find_covering(
	    &c->rewrite_rules, c->rewrite_rules.count, &route->pattern);
	for (size_t i = 0; i < c->rewrite_rules.count && hiding != NULL; i++)
		if (may_become(&c->rewrite_rules.items[i].to, &route->pattern))
			hiding = NULL;
	return hiding;
}

static int
check_rewriting(const struct config *c, int *line, struct failure *f)
{
	for (size_t i = 0; i < c->route_rules.count; i++) {
		const struct rule *route = &c->route_rules.items[i];
		const struct rule *rewrite = find_rewriting(c, route);

		if (rewrite == NULL)
			continue;
		*line = route->line;
		return failure_set(f, FAILURE_CONFIG,
		    "rule: \"%s\" is never reached, because [rewrite] in line "
		    "%d makes these senders %s before; route that address",
		    route->pattern.text, rewrite->line, rewrite->target);
	}
	return 0;
}

/* ---- addresses that an account may use ---- */

static bool
account_allows(const struct account *a, const struct mailbox *m)
{
	const struct pattern_subject subject = { .address = m };

	return (!a->is_sender && mailbox_equal(&a->user, m)) ||
	    pattern_list_matches(&a->send_as, &subject);
}

static const struct account *
find_allowing(const struct config *c, const struct mailbox *m)
{
	for (size_t i = 0; i < c->account_count; i++)
		if (account_allows(&c->accounts[i], m))
			return &c->accounts[i];
	return NULL;
}

/*
 * Can mail from m come to an account that may send as m?  Rules for users and
 * for names of this host may apply or not; any other decides.
 */
static bool
is_routed_well(const struct config *c, const struct mailbox *m)
{
	const struct pattern_subject subject = { .address = m };

	for (size_t i = 0; i < c->route_rules.count; i++) {
		const struct rule *rule = &c->route_rules.items[i];
		bool is_open = rule->pattern.kind == PATTERN_USER ||
		    rule->pattern.kind == PATTERN_NAME;
		bool is_allowed;

		if (!is_open && !pattern_matches(&rule->pattern, &subject))
			continue;
		is_allowed = account_allows(&c->accounts[rule->account], m);
		if (is_allowed || !is_open)
			return is_allowed;
	}
	return account_allows(&c->accounts[c->route_default.account], m);
}

/* May any account send as anybody of this domain? */
static bool
has_senders_in(const struct config *c, const struct mailbox *domain)
{
	for (size_t i = 0; i < c->account_count; i++) {
		const struct account *a = &c->accounts[i];

		if (a->user.domain != NULL &&
		    span_is_nocase(span_of(domain->domain), a->user.domain))
			return true;
		for (size_t j = 0; j < a->send_as.count; j++)
			if (may_become(domain, &a->send_as.items[j]))
				return true;
	}
	return false;
}

/* "@DOMAIN" or "{sender}". */
static int
check_open_target(
    const struct config *c, const struct rule *rule, struct failure *f)
{
	if (rule->to.domain == NULL || has_senders_in(c, &rule->to))
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "rule: no account may send as anybody %s; add addresses of that "
	    "domain to send_as of one, and give that mailbox Send As in "
	    "Exchange",
	    rule->target);
}

static int
check_target(const struct config *c, const struct rule *rule, struct failure *f)
{
	const struct account *allowing;
	char *target;

	if (rule->to.local == NULL)
		return check_open_target(c, rule, f);
	if (is_routed_well(c, &rule->to))
		return 0;
	allowing = find_allowing(c, &rule->to);
	if (allowing == NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "rule: no account may send as %s; add it to send_as of "
		    "one, and give that mailbox Send As in Exchange",
		    rule->target);
	target = target_for(allowing);
	(void)failure_set(f, FAILURE_CONFIG,
	    "rule: mail from %s goes through an account that may not send as "
	    "it; begin [route] with: rule = %s %s",
	    rule->target, rule->target, target);
	free(target);
	return -1;
}

static int
check_targets(const struct config *c, int *line, struct failure *f)
{
	for (size_t i = 0; i < c->rewrite_rules.count; i++) {
		*line = c->rewrite_rules.items[i].line;
		if (check_target(c, &c->rewrite_rules.items[i], f) == -1)
			return -1;
	}
	return 0;
}

/* ---- Direct Send ---- */

/* A mailbox's own domain belongs to the tenant. */
static void
complete_internal_domains(struct config *c)
{
	struct string_list *own = &c->direct_send.internal_domains;

	if (own->count > 0)
		return;
	for (size_t i = 0; i < c->account_count; i++) {
		const char *domain = c->accounts[i].user.domain;

		if (domain == NULL || config_is_internal(c, domain))
			continue;
		own->items = xgrow(own->items, own->count, sizeof(*own->items));
		own->items[own->count++] = xstrdup(domain);
	}
}

static int
check_direct_send(struct config *c, int *line, struct failure *f)
{
	for (size_t i = 0; i < c->account_count; i++) {
		if (c->accounts[i].host != NULL || c->direct_send.is_enabled)
			continue;
		*line = c->accounts[i].line;
		return failure_set(f, FAILURE_CONFIG,
		    "auth = none, but nothing can be sent: set host to a relay "
		    "that wants no sign-in, or enabled = yes in [direct_send]");
	}
	if (!c->direct_send.is_enabled)
		return 0;
	complete_internal_domains(c);
	if (c->direct_send.internal_domains.count > 0)
		return 0;
	*line = c->accounts[0].line;
	return failure_set(f, FAILURE_CONFIG,
	    "Direct Send is enabled, but no account tells which domains are "
	    "the tenant's own; set internal_domains in [direct_send]");
}

/* ---- aliases ---- */

struct first_problem {
	int line; /* 0: none yet */
	struct failure *f;
};

/* aliases_report */
static void
note_problem(void *context, const char *file, int line, const char *problem)
{
	struct first_problem *p = context;

	(void)file;
	if (p->line != 0)
		return;
	p->line = line;
	/* Each list was looked at before: it is a loop. */
	(void)failure_set(p->f, FAILURE_CONFIG,
	    "%s; write an address in the place of one of these names", problem);
}

static int
check_aliases(const struct config *c, int *line, struct failure *f)
{
	struct first_problem first = { .f = f };
	struct aliases *a;

	if (config_own_aliases(c, line, &a, f) == -1)
		return -1;
	(void)aliases_check(a, NULL, note_problem, &first);
	aliases_free(&a);
	if (first.line == 0)
		return 0;
	*line = first.line;
	return -1;
}

int
verify_config(const char *name, struct config *config, struct failure *f)
{
	int line = 0;

	if (find_accounts(config, &line, f) == -1 ||
	    check_accounts_are_reached(config, &line, f) == -1 ||
	    check_order(&config->rewrite_rules, &line, f) == -1 ||
	    check_order(&config->route_rules, &line, f) == -1 ||
	    check_rewriting(config, &line, f) == -1 ||
	    check_targets(config, &line, f) == -1 ||
	    check_direct_send(config, &line, f) == -1 ||
	    check_aliases(config, &line, f) == -1)
		return failure_at(f, "%s:%d", name, line);
	return 0;
}
