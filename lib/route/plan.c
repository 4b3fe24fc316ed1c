/* The first half of a delivery: see deliver.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "mail/intake.h"
#include "mail/message.h"
#include "mail/permit.h"
#include "route/deliver.h"
#include "smtp/client.h"

/* What planning knows beside its result. */
struct planner {
	const struct config *config;
	const struct delivery_input *input;
	struct delivery *d;
	struct mailbox author; /* the first of From, or null */
	char *mail_name;
	char *host_name;
	const char *origin; /* what completes names without a domain */
	struct mailbox_list recipients;
	struct trouble
	    trouble; /* why nothing can be sent; kind NONE: nothing */
	struct trouble aliases_trouble; /* the same for names of this host */
};

/* ---- who sends ---- */

static struct rule_senders
senders_of(const struct planner *p)
{
	return (struct rule_senders){
		.author = &p->author,
		.envelope = p->input->sender,
		.user = p->input->user,
		.origin = p->origin,
		.host_name = p->host_name,
	};
}

/* The address that a rule of [rewrite] gives to the sender that it means. */
static void
appoint(struct planner *p)
{
	const struct rule_match *match = &p->d->rewrite_rule;
	const struct mailbox *to;
	bool is_author =
	    !mailbox_is_null(&p->author) && match->reason != RULE_BY_ENVELOPE;

	if (match->rule == NULL)
		return;
	to = &match->rule->to;
	if (to->local != NULL) {
		p->d->appointed = mailbox_copy(to);
		return;
	}
	p->d->appointed =
	    mailbox_copy(is_author ? &p->author : p->input->sender);
	mailbox_set_name(&p->d->appointed, NULL);
	if (mailbox_is_null(&p->d->appointed))
		return;
	if (to->domain != NULL) {
		free(p->d->appointed.domain);
		p->d->appointed.domain = xstrdup(to->domain);
	}
	mailbox_qualify(&p->d->appointed, p->origin);
}

/* Apply the rules: first whose address it is, then through which account. */
static void
apply_rules(struct planner *p)
{
	const struct config *c = p->config;
	struct rule_senders senders = senders_of(p);
	const struct rule *route;

	p->d->rewrite_rule = rule_find(&c->rewrite_rules, &senders);
	appoint(p);
	if (!mailbox_is_null(&p->d->appointed)) {
		senders.author = &p->d->appointed;
		senders.envelope = NULL;
	}
	p->d->route_rule = rule_find(&c->route_rules, &senders);
	route = p->d->route_rule.rule;
	p->d->account = &c->accounts[route != NULL ? route->account
						   : c->route_default.account];
}

/* ---- who signs in ---- */

/* May m sign in, with an account that lets each sender do so? */
static bool
may_sign_in(const struct planner *p, const struct mailbox *m)
{
	const struct pattern_subject subject = { .address = m };

	return !mailbox_is_null(m) && m->domain != NULL &&
	    pattern_list_matches(&p->d->account->send_as, &subject);
}

/* Nobody can sign in for a message from m, which may be null. */
static void
refuse_sender(struct planner *p, const struct mailbox *m)
{
	char *title = config_account_title(p->d->account);
	struct buf who;

	buf_init(&who, ADDRESS_MAX);
	(void)mailbox_write_address(&who, m);
	p->trouble.scope = SCOPE_MESSAGE;
	(void)failure_set(&p->trouble.failure, FAILURE_CONFIG,
	    "<%s> is not in send_as of %s, so that no mailbox can sign in for "
	    "this message; add it there, or say in [rewrite] who sends such "
	    "mail: rule = * ADDRESS",
	    who.s, title);
	(void)failure_dsn(&p->trouble.failure, "4.3.5");
	buf_done(&who);
	free(title);
}

/* user = {sender}: whom a rule has appointed, or the author, or the
 * envelope's sender, whoever comes first and may. */
static void
find_user(struct planner *p)
{
	struct mailbox given[] = { mailbox_copy(&p->d->appointed),
		mailbox_copy(&p->author), mailbox_copy(p->input->sender) };
	size_t count = sizeof(given) / sizeof(given[0]);
	size_t last = mailbox_is_null(&given[0]) ? count : 1;
	size_t first = 0;

	while (first + 1 < last && mailbox_is_null(&given[first]))
		first++;
	for (size_t i = first; i < last; i++) {
		mailbox_qualify(&given[i], p->origin);
		if (mailbox_is_null(&p->d->user) && may_sign_in(p, &given[i]))
			p->d->user = mailbox_copy(&given[i]);
	}
	mailbox_set_name(&p->d->user, NULL);
	if (mailbox_is_null(&p->d->user))
		refuse_sender(p, &given[first]);
	for (size_t i = 0; i < count; i++)
		mailbox_done(&given[i]);
}

static void
choose_user(struct planner *p)
{
	if (p->d->account->is_sender)
		find_user(p);
	else
		p->d->user = mailbox_copy(&p->d->account->user);
}

/* ---- to whom ---- */

static bool
has_own_name(const struct planner *p)
{
	for (size_t i = 0; i < p->input->recipients->count; i++)
		if (mailbox_is_local(
			&p->input->recipients->items[i], p->host_name))
			return true;
	return false;
}

/* A name without domain, or with a name of this host that an alias has or
 * that nobody else can mean: then m loses its domain. */
static bool
is_own_name(const struct planner *p, struct mailbox *m)
{
	if (m->domain == NULL)
		return true;
	if (!mailbox_is_local(m, p->host_name))
		return false;
	/* Where the aliases cannot be read, any name may be in them. */
	if (p->d->aliases != NULL && !permit_is_private(m->domain) &&
	    !aliases_has(p->d->aliases, m->local))
		return false;
	free(m->domain);
	m->domain = NULL;
	return true;
}

static void
expand_recipients(struct planner *p)
{
	struct alias_expansion *e = &p->d->expansion;

	for (size_t i = 0; i < p->input->recipients->count; i++) {
		struct mailbox m =
		    mailbox_copy(&p->input->recipients->items[i]);

		if (is_own_name(p, &m) && p->d->aliases != NULL)
			aliases_expand(
			    p->d->aliases, &m, INTAKE_RECIPIENTS_MAX, e);
		else
			mailbox_list_add(&e->recipients, &m);
		mailbox_done(&m);
	}
}

/* Names of this host become addresses; the aliases are read only for them. */
static void
find_recipients(struct planner *p)
{
	if (has_own_name(p) &&
	    config_load_aliases(p->config, NULL, NULL, &p->d->aliases,
		&p->aliases_trouble.failure) == -1) {
		p->aliases_trouble.scope = SCOPE_RECIPIENT;
		(void)failure_dsn(&p->aliases_trouble.failure, "4.3.5");
	}
	expand_recipients(p);
}

/* How many refusals from number i on are of one alias. */
static size_t
count_refusals(const struct alias_expansion *e, size_t i)
{
	size_t n = 1;

	while (i + n < e->refusal_count &&
	    strcmp(e->refusals[i].name, e->refusals[i + n].name) == 0)
		n++;
	return n;
}

/* An alias of which something is refused is a recipient, once. */
static void
add_refused(struct planner *p)
{
	const struct alias_expansion *e = &p->d->expansion;

	for (size_t i = 0; i < e->refusal_count; i += count_refusals(e, i))
		mailbox_list_take(&p->d->plan.recipients,
		    (struct mailbox){ .local = xstrdup(e->refusals[i].name) });
}

/* Say why, for the next alias that add_refused() has added. */
static void
explain_refused(
    const struct alias_expansion *e, size_t *next, struct failure *f)
{
	const char *text = e->refusals[*next].text;
	size_t n = count_refusals(e, *next);

	*next += n;
	if (n == 1)
		(void)failure_set(f, FAILURE_DATA, "%s", text);
	else
		(void)failure_set(f, FAILURE_DATA,
		    "%s (and %zu more like that in this alias)", text, n - 1);
	(void)failure_dsn(f, "5.1.3");
}

/* Why no server can be asked to take m; false: one can. */
static bool
is_unreachable(
    const struct planner *p, const struct mailbox *m, struct trouble *t)
{
	if (m->domain == NULL &&
	    p->aliases_trouble.failure.kind != FAILURE_NONE) {
		*t = p->aliases_trouble;
		return true;
	}
	t->scope = SCOPE_RECIPIENT;
	if (m->domain == NULL) {
		(void)failure_set(&t->failure, FAILURE_DATA,
		    "recipient \"%s\" has no domain; set \"domain\" in "
		    "[rewrite], or \"%s\" or \"default\" in [aliases]",
		    m->local, m->local);
		(void)failure_dsn(&t->failure, "5.1.3");
		return true;
	}
	if (p->d->account->host != NULL ||
	    config_is_internal(p->config, m->domain))
		return false;
	(void)failure_set(&t->failure, FAILURE_PEER,
	    "%s is not one of internal_domains, and Direct Send reaches no "
	    "others; set up an account that signs in",
	    m->domain);
	(void)failure_dsn(&t->failure, "5.7.1");
	return true;
}

/* Recipients that no server can be asked to take. */
static void
refuse_recipients(struct planner *p)
{
	struct rewrite_plan *plan = &p->d->plan;
	size_t addresses = plan->recipients.count;
	size_t next = 0;

	add_refused(p);
	p->d->outcomes =
	    xcalloc(plan->recipients.count, sizeof(*p->d->outcomes));
	for (size_t i = 0; i < addresses; i++) {
		struct trouble t = { .scope = SCOPE_RECIPIENT };

		if (is_unreachable(p, &plan->recipients.items[i], &t))
			outcomes_set(&p->d->outcomes[i], 1, &t);
	}
	for (size_t i = addresses; i < plan->recipients.count; i++) {
		struct trouble t = { .scope = SCOPE_RECIPIENT };

		explain_refused(&p->d->expansion, &next, &t.failure);
		outcomes_set(&p->d->outcomes[i], 1, &t);
	}
}

/* ---- the message ---- */

static bool
has_no_reply_to(const struct planner *p)
{
	const struct pattern_list *list = &p->config->no_reply_to;
	const struct rule_senders s = senders_of(p);
	struct pattern_subject subject = {
		.address = s.author,
		.user = s.user,
		.origin = s.origin,
		.host_name = s.host_name,
	};

	if (pattern_list_matches(list, &subject))
		return true;
	subject.address = s.envelope;
	return pattern_list_matches(list, &subject);
}

static void
rewrite(struct planner *p)
{
	struct delivery *d = p->d;
	struct rewrite_policy policy = {
		.account = &d->user,
		.origin = p->origin,
		.recipient_domain = p->config->rewrite_domain,
		.host_name = p->host_name,
		.user = p->input->user,
		.display_name = p->config->display_name,
		.no_reply_to = has_no_reply_to(p),
		.no_original = !p->config->keeps_original,
		.marks_automatic = p->config->marks_automatic,
	};
	const struct rewrite_input message = {
		.sender = p->input->sender,
		.recipients = &d->expansion.recipients,
		.header = &p->input->message->header,
		.facts = &p->input->message->facts,
	};

	/* Names stay bare, and are refused, where one may be an alias. */
	if (p->aliases_trouble.failure.kind != FAILURE_NONE)
		policy.recipient_domain = NULL;
	/* With {sender} they say who signs in, which nobody does for others. */
	if (!d->account->is_sender)
		policy.send_as = d->account->send_as;
	if (permit_allows(&policy, &d->appointed))
		policy.appointed = &d->appointed;
	rewrite_plan(&policy, &message, &d->plan);
}

/* RFC 5321 6.3: a message with that many Received fields goes in a circle. */
static void
check_hops(struct planner *p)
{
	const struct header *header = &p->input->message->header;
	size_t hops = 0;

	for (size_t i = 0; i < header->count; i++)
		hops += field_is(&header->fields[i], "Received");
	if (hops <= DELIVERY_HOPS_MAX)
		return;
	p->trouble.scope = SCOPE_MESSAGE;
	(void)failure_set(&p->trouble.failure, FAILURE_DATA,
	    "the message has %zu Received fields and goes round in a circle; "
	    "look at forwarding and inbox rules of its recipients",
	    hops);
	(void)failure_dsn(&p->trouble.failure, "5.4.6");
}

void
delivery_plan(const struct config *config, const struct delivery_input *input,
    struct delivery *out)
{
	struct planner p = {
		.config = config,
		.input = input,
		.d = out,
		.mail_name = complete_host_name(1),
		.host_name = complete_host_name(0),
	};

	*out = (struct delivery){ .started_ms = clock_ms() };
	if (input->dsn != NULL)
		out->dsn = *input->dsn;
	p.origin = config->rewrite_domain != NULL ? config->rewrite_domain
						  : p.mail_name;
	(void)rewrite_find_author(&input->message->header, &p.author);
	apply_rules(&p);
	choose_user(&p);
	check_hops(&p);
	find_recipients(&p);
	rewrite(&p);
	refuse_recipients(&p);
	if (p.trouble.failure.kind != FAILURE_NONE)
		outcomes_set(
		    out->outcomes, out->plan.recipients.count, &p.trouble);
	out->refusal = p.trouble.failure;
	mailbox_done(&p.author);
	free(p.mail_name);
	free(p.host_name);
}

void
delivery_done(struct delivery *d)
{
	if (d->outcomes != NULL)
		outcomes_done(d->outcomes, d->plan.recipients.count);
	free(d->outcomes);
	d->outcomes = NULL;
	outcomes_done(&d->lost, 1);
	rewrite_plan_done(&d->plan);
	alias_expansion_done(&d->expansion);
	aliases_free(&d->aliases);
	mailbox_done(&d->appointed);
	mailbox_done(&d->user);
}
