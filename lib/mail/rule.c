#include "mail/rule.h"

#include <stdlib.h>

static bool
means(const struct rule *rule, const struct rule_senders *senders,
    const struct mailbox *address)
{
	const struct pattern_subject subject = {
		.address = address,
		.user = senders->user,
		.origin = senders->origin,
		.host_name = senders->host_name,
	};

	return pattern_matches(&rule->pattern, &subject);
}

static enum rule_reason
reason_of(const struct rule *rule, const struct rule_senders *senders)
{
	if (rule->pattern.kind == PATTERN_ANY)
		return RULE_BY_ANY;
	if (rule->pattern.kind == PATTERN_USER)
		return means(rule, senders, NULL) ? RULE_BY_USER
						  : RULE_NO_MATCH;
	if (means(rule, senders, senders->author))
		return RULE_BY_AUTHOR;
	if (means(rule, senders, senders->envelope))
		return RULE_BY_ENVELOPE;
	return RULE_NO_MATCH;
}

struct rule_match
rule_find(const struct rule_list *rules, const struct rule_senders *senders)
{
	struct rule_match match = { NULL, RULE_NO_MATCH };

	for (size_t i = 0; i < rules->count && match.rule == NULL; i++) {
		match.reason = reason_of(&rules->items[i], senders);
		if (match.reason != RULE_NO_MATCH)
			match.rule = &rules->items[i];
	}
	return match;
}

const struct rule *
rule_find_covering(
    const struct rule_list *rules, size_t count, const struct pattern *narrow)
{
	for (size_t i = 0; i < count; i++)
		if (pattern_covers(&rules->items[i].pattern, narrow))
			return &rules->items[i];
	return NULL;
}

const struct rule *
rule_find_unreachable(
    const struct rule_list *rules, const struct rule **out_wide)
{
	for (size_t i = 1; i < rules->count; i++) {
		const struct rule *wide =
		    rule_find_covering(rules, i, &rules->items[i].pattern);

		if (wide == NULL)
			continue;
		*out_wide = wide;
		return &rules->items[i];
	}
	return NULL;
}

void
rule_list_done(struct rule_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		pattern_done(&list->items[i].pattern);
		mailbox_done(&list->items[i].to);
		free(list->items[i].target);
	}
	free(list->items);
	*list = (struct rule_list){ NULL, 0 };
}
