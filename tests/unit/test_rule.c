/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/rule.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	MANY = 1000
};

static void
add_rule(struct rule_list *list, struct span pattern)
{
	struct rule rule = { .line = (int)list->count + 1 };
	struct failure f = { 0 };

	if (pattern_parse(pattern, &rule.pattern, &f) == -1)
		fail_msg("%s", f.text);
	list->items = xgrow(list->items, list->count, sizeof(rule));
	list->items[list->count++] = rule;
}

/* Patterns with blanks between them. */
static struct rule_list
rules_of(const char *patterns)
{
	struct rule_list list = { NULL, 0 };
	struct span rest = span_of(patterns);
	struct span word = span_cut_word(&rest);

	for (; word.len > 0; word = span_cut_word(&rest))
		add_rule(&list, word);
	return list;
}

/* ---- the first rule that means a message ---- */

struct find_row {
	const char *name;
	const char *rules;
	const char *author;   /* NULL: From names nobody */
	const char *envelope; /* NULL: not known; "": the null sender */
	const char *user;
	int want; /* which rule, from 1; 0: none */
	enum rule_reason reason;
};

#define X "a@x.org"
#define Y "b@y.org"

static const struct find_row find_rows[] = {
	{ "no rules", "", X, Y, "u", 0, RULE_NO_MATCH },
	{ "nobody is meant", "c@x.org @z.org root user:v", X, Y, "u", 0,
	    RULE_NO_MATCH },
	{ "the author", X, X, Y, "u", 1, RULE_BY_AUTHOR },
	{ "the author's domain", "@x.org", X, Y, "u", 1, RULE_BY_AUTHOR },
	{ "part of the author's name", "a*", "abc", NULL, NULL, 1,
	    RULE_BY_AUTHOR },
	{ "the envelope's sender", Y, X, Y, "u", 1, RULE_BY_ENVELOPE },
	{ "the author before the envelope's sender", "*@*.org", X, Y, "u", 1,
	    RULE_BY_AUTHOR },
	{ "the first rule, not the better one", "@y.org " X, X, Y, "u", 1,
	    RULE_BY_ENVELOPE },
	{ "the narrow before the wide", X " @x.org *", X, Y, "u", 1,
	    RULE_BY_AUTHOR },
	{ "the wide for the others", "c@x.org @x.org *", X, Y, "u", 2,
	    RULE_BY_AUTHOR },
	{ "the last of many", "c@x.org d@x.org @z.org " X, X, Y, "u", 4,
	    RULE_BY_AUTHOR },
	{ "the user", "user:u", X, Y, "u", 1, RULE_BY_USER },
	{ "the user beside the author", "user:u " X, X, Y, "u", 1,
	    RULE_BY_USER },
	{ "another user", "user:u", X, Y, "v", 0, RULE_NO_MATCH },
	{ "a user in other letters", "user:u", X, Y, "U", 0, RULE_NO_MATCH },
	{ "no user", "user:u", X, Y, NULL, 0, RULE_NO_MATCH },
	{ "a user is no address", "user:root", "root", "root", "u", 0,
	    RULE_NO_MATCH },
	{ "any", "*", X, Y, "u", 1, RULE_BY_ANY },
	{ "any, without a sender", "*", NULL, NULL, NULL, 1, RULE_BY_ANY },
	{ "any, with the null sender", "*", NULL, "", NULL, 1, RULE_BY_ANY },
	{ "the null sender is nobody else's", "*@* user:v", NULL, "", "u", 0,
	    RULE_NO_MATCH },
	{ "the author of a message from the null sender", X " *", X, "", NULL,
	    1, RULE_BY_AUTHOR },
	{ "the envelope's sender where there is no author", Y " *", NULL, Y,
	    NULL, 1, RULE_BY_ENVELOPE },
	{ "only an author", Y " " X, X, NULL, NULL, 2, RULE_BY_AUTHOR },
	{ "a name of this host", "root", "root", Y, "u", 1, RULE_BY_AUTHOR },
	{ "a name with this host's name", "root", X, "root@web1", "u", 1,
	    RULE_BY_ENVELOPE },
	{ "a name of another host", "root", "root@web2", Y, "u", 0,
	    RULE_NO_MATCH },
	{ "a name that is completed", "root@contoso.com", "root", Y, "u", 1,
	    RULE_BY_AUTHOR },
	{ "a name at this host", "@web1.fabrikam.example", "root", Y, "u", 1,
	    RULE_BY_AUTHOR },
	{ "without regard to case", "A@X.ORG", "a@X.org", Y, "u", 1,
	    RULE_BY_AUTHOR },
};

/* *out is what borrowed points to, or NULL where text is. */
static const struct mailbox *
sender_of(const char *text, struct mailbox *out)
{
	struct failure f;

	*out = (struct mailbox){ NULL };
	if (text == NULL)
		return NULL;
	assert_int_equal(mailbox_parse_sender(span_of(text), out, &f), 0);
	return out;
}

static void
check_find(const struct find_row *row)
{
	struct rule_list rules = rules_of(row->rules);
	struct mailbox author, envelope;
	const struct rule_senders senders = {
		.author = sender_of(row->author, &author),
		.envelope = sender_of(row->envelope, &envelope),
		.user = row->user,
		.origin = "contoso.com",
		.host_name = "web1.fabrikam.example",
	};
	struct rule_match match = rule_find(&rules, &senders);
	int got = match.rule != NULL ? match.rule->line : 0;

	if (got != row->want || match.reason != row->reason)
		fail_msg("%s: rule %d, reason %d", row->name, got,
		    (int)match.reason);
	mailbox_done(&author);
	mailbox_done(&envelope);
	rule_list_done(&rules);
}

static void
test_the_first_rule_that_means_the_message_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(find_rows); i++)
		check_find(&find_rows[i]);
}

/* ---- rules that are never reached ---- */

static void
test_unreachable_rules(void **state)
{
	static const struct {
		const char *rules;
		int narrow; /* from 1; 0: all are reached */
		int wide;
	} rows[] = {
		{ "", 0, 0 },
		{ "*", 0, 0 },
		{ "a@x.org @x.org root user:u *", 0, 0 },
		{ "a@x.org a@y.org b@x.org", 0, 0 },
		{ "a@x.org a@x.org", 2, 1 },
		{ "a@x.org A@X.Org", 2, 1 },
		{ "<a@x.org> a@x.org", 2, 1 },
		{ "@x.org a@x.org", 2, 1 },
		{ "@x.org *@x.org", 2, 1 },
		{ "@*.x.org @web1.x.org", 2, 1 },
		{ "@web1.x.org @*.x.org", 0, 0 },
		{ "a*@x.org ab*@x.org", 2, 1 },
		{ "* a@x.org", 2, 1 },
		{ "* user:u", 2, 1 },
		{ "user:u user:u", 2, 1 },
		{ "user:u user:U", 0, 0 },
		{ "user:root root", 0, 0 },
		{ "root root", 2, 1 },
		{ "r* root", 2, 1 },
		{ "root root@web1", 0, 0 },
		/* the first of each, whatever else there is */
		{ "b@x.org a@x.org @x.org a@x.org b@x.org", 4, 2 },
		{ "@x.org * a@x.org", 3, 1 },
		{ "c@x.org * *", 3, 2 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct rule_list rules = rules_of(rows[i].rules);
		const struct rule *wide = NULL;
		const struct rule *narrow =
		    rule_find_unreachable(&rules, &wide);
		int got = narrow != NULL ? narrow->line : 0;

		if (got != rows[i].narrow)
			fail_msg("\"%s\": rule %d", rows[i].rules, got);
		assert_int_equal(wide != NULL ? wide->line : 0, rows[i].wide);
		rule_list_done(&rules);
		assert_null(rules.items);
		rule_list_done(&rules);
	}
}

/* Of a thousand rules, each that repeats another is found. */
static void
test_a_repeated_rule_among_many_is_found(void **state)
{
	(void)state;
	for (size_t repeated = 0; repeated < MANY; repeated += MANY / 7) {
		struct rule_list rules = { NULL, 0 };
		const struct rule *wide = NULL;
		const struct rule *narrow;
		char *text;

		for (size_t i = 0; i < MANY; i++) {
			text = xasprintf("app%zu@web%zu.x.org", i, i % 10);
			add_rule(&rules, span_of(text));
			free(text);
		}
		assert_null(rule_find_unreachable(&rules, &wide));
		text =
		    xasprintf("APP%zu@WEB%zu.x.org", repeated, repeated % 10);
		add_rule(&rules, span_of(text));
		free(text);
		narrow = rule_find_unreachable(&rules, &wide);
		assert_ptr_equal(narrow, &rules.items[MANY]);
		assert_ptr_equal(wide, &rules.items[repeated]);
		rule_list_done(&rules);
	}
}

/* Only those of the first rules are asked. */
static void
test_a_covering_rule_is_looked_for_among_the_first(void **state)
{
	struct rule_list rules = rules_of("a@x.org @x.org *");
	const struct pattern *narrow = &rules.items[0].pattern;

	(void)state;
	assert_null(rule_find_covering(&rules, 0, narrow));
	assert_ptr_equal(
	    rule_find_covering(&rules, 3, narrow), &rules.items[0]);
	narrow = &rules.items[1].pattern;
	assert_null(rule_find_covering(&rules, 1, narrow));
	assert_ptr_equal(
	    rule_find_covering(&rules, 3, narrow), &rules.items[1]);
	narrow = &rules.items[2].pattern;
	assert_null(rule_find_covering(&rules, 2, narrow));
	rule_list_done(&rules);
}

/* An address that is nearly what every rule means, at either end. */
static void
test_hostile_addresses_take_no_time(void **state)
{
	enum {
		RULES = 200,
		MESSAGES = 1000,
		HALF = 60,
		LOCAL = 250
	};
	char half[HALF + 1], local[LOCAL + 1];
	char domain[] = "a.org";
	const struct mailbox m = { NULL, local, domain };
	const struct rule_senders senders = {
		.author = &m, .envelope = &m, .user = "u"
	};
	struct rule_list rules = { NULL, 0 };

	(void)state;
	memset(half, 'a', HALF);
	half[HALF] = '\0';
	memset(local, 'a', LOCAL);
	local[LOCAL] = '\0';
	for (size_t i = 0; i < RULES; i++) {
		char *text = xasprintf("%s*b%s@*.%zu.org", half, half, i);

		add_rule(&rules, span_of(text));
		free(text);
	}
	/* Going back and forth in it would take minutes. */
	for (size_t i = 0; i < MESSAGES; i++)
		assert_null(rule_find(&rules, &senders).rule);
	rule_list_done(&rules);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_the_first_rule_that_means_the_message_counts),
		cmocka_unit_test(test_unreachable_rules),
		cmocka_unit_test(test_a_repeated_rule_among_many_is_found),
		cmocka_unit_test(
		    test_a_covering_rule_is_looked_for_among_the_first),
		cmocka_unit_test(test_hostile_addresses_take_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
