/* The second half of values.h: lists, rules, templates. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/values.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/display_name.h"
#include "mail/pattern.h"
#include "mail/rule.h"

/* ---- lists ---- */

/* Cut the first of several values that commas separate off *rest. */
static int
cut_item(struct span *rest, struct span *out, struct failure *f)
{
	const char *comma = memchr(rest->s, ',', rest->len);
	struct span item = *rest;

	if (comma != NULL)
		item.len = (size_t)(comma - rest->s);
	*out = span_trim(item);
	rest->len -= item.len + (comma != NULL);
	rest->s += item.len + (comma != NULL);
	if (out->len == 0 || (comma != NULL && span_trim(*rest).len == 0))
		return failure_set(f, FAILURE_CONFIG,
		    "nothing stands before or behind a comma");
	return 0;
}

/* A pattern that means addresses wherever they come from. */
static int
parse_address_pattern(struct span s, struct pattern *out, struct failure *f)
{
	struct span domain;

	if (pattern_parse(s, out, f) == -1)
		return -1;
	if (out->kind == PATTERN_ANY)
		return 0;
	if (out->kind == PATTERN_NAME)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%.*s\" has no domain; write the whole address",
		    (int)s.len, s.s);
	if (out->kind == PATTERN_USER)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%.*s\" is a user; what the mailbox may send as goes by "
		    "address: write that, or @DOMAIN",
		    (int)s.len, s.s);
	domain = span_of(out->domain);
	if (memchr(domain.s, '*', domain.len) == NULL &&
	    !value_is_domain(domain))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%.*s\" is not a domain such as contoso.com",
		    (int)domain.len, domain.s);
	return 0;
}

typedef int parse_pattern(
    struct span s, struct pattern *out, struct failure *f);

static int
parse_patterns(struct span rest, parse_pattern *parse,
    struct pattern_list *list, struct failure *f)
{
	struct span item;

	while (rest.len > 0) {
		struct pattern p = { NULL };

		if (cut_item(&rest, &item, f) == -1)
			return -1;
		if (parse(item, &p, f) == -1) {
			pattern_done(&p);
			return -1;
		}
		list->items = xgrow(list->items, list->count, sizeof(p));
		list->items[list->count++] = p;
	}
	return 0;
}

int
value_patterns(const struct value *v, void *field, struct failure *f)
{
	return parse_patterns(
	    span_of(v->text), parse_address_pattern, field, f);
}

int
value_domains(const struct value *v, void *field, struct failure *f)
{
	struct string_list *list = field;
	struct span rest = span_of(v->text);
	struct span item;

	while (rest.len > 0) {
		if (cut_item(&rest, &item, f) == -1)
			return -1;
		if (!value_is_domain(item))
			return failure_set(f, FAILURE_CONFIG,
			    "\"%.*s\" is not a domain such as contoso.com",
			    (int)item.len, item.s);
		list->items =
		    xgrow(list->items, list->count, sizeof(*list->items));
		list->items[list->count++] = xstrndup(item.s, item.len);
	}
	return 0;
}

/* "original", or "never" for all or for some senders. */
int
value_reply_to(const struct value *v, void *field, struct failure *f)
{
	struct span rest = span_of(v->text);
	struct span word = span_cut_word(&rest);

	rest = span_trim(rest);
	if (span_is(word, "original") && rest.len == 0)
		return 0;
	if (!span_is(word, "never"))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not a known value; known are: original, never, "
		    "never PATTERN, ...",
		    v->text);
	return parse_patterns(
	    rest.len > 0 ? rest : span_of("*"), pattern_parse, field, f);
}

/* ---- rules ---- */

/* Cut "PATTERN TARGET" in two. */
static int
begin_rule(const struct value *v, const char *target, struct rule *out,
    struct failure *f)
{
	struct span rest = span_of(v->text);
	struct span pattern = span_cut_word(&rest);

	*out = (struct rule){ .line = v->line };
	rest = span_trim(rest);
	if (rest.len == 0 || memchr(rest.s, ' ', rest.len) != NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is no rule; write a pattern, a blank and %s",
		    v->text, target);
	out->target = xstrndup(rest.s, rest.len);
	return pattern_parse(pattern, &out->pattern, f);
}

static int
end_rule(int r, struct rule rule, struct rule_list *list)
{
	list->items = xgrow(list->items, list->count, sizeof(rule));
	list->items[list->count++] = rule;
	return r;
}

/* The target of a rewriting rule: see struct rule. */
static int
parse_new_sender(const char *text, struct mailbox *out, struct failure *f)
{
	struct span s;

	assert(text != NULL);
	s = span_of(text);
	if (strcmp(text, "{sender}") == 0)
		return 0;
	if (text[0] != '@')
		return value_parse_address(s, out, f);
	if (!value_is_domain(span_of(text + 1)))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not a domain such as contoso.com", text + 1);
	out->domain = xstrdup(text + 1);
	return 0;
}

int
value_rewrite_rule(const struct value *v, void *field, struct failure *f)
{
	struct rule rule;
	int r = begin_rule(
	    v, "the address to send as, @DOMAIN or {sender}", &rule, f);

	if (r == 0)
		r = parse_new_sender(rule.target, &rule.to, f);
	return end_rule(r, rule, field);
}

int
value_route_rule(const struct value *v, void *field, struct failure *f)
{
	struct rule rule;

	return end_rule(
	    begin_rule(v, "the name of an account", &rule, f), rule, field);
}

int
value_route_default(const struct value *v, void *field, struct failure *f)
{
	struct rule *rule = field;

	(void)f;
	rule->target = xstrdup(v->text);
	rule->line = v->line;
	return 0;
}

int
value_alias_default(const struct value *v, void *field, struct failure *f)
{
	struct alias_setting *s = field;

	(void)f;
	s->list = xstrdup(v->text);
	s->line = v->line;
	return 0;
}

/* ---- templates ---- */

int
value_display_name(const struct value *v, void *field, struct failure *f)
{
	char **out = field;

	if (strcmp(v->text, "keep") == 0)
		return 0;
	if (display_name_check(span_of(v->text), f) == -1)
		return -1;
	*out = xstrdup(v->text);
	return 0;
}
