/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/pattern.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static struct pattern
pattern_of(const char *text)
{
	struct failure f = { 0 };
	struct pattern p = { NULL };

	if (pattern_parse(span_of(text), &p, &f) == -1)
		fail_msg("%s: %s", text, f.text);
	assert_string_equal(p.text, text);
	return p;
}

static bool
matches(const char *pattern, const char *address, const char *user)
{
	struct pattern p = pattern_of(pattern);
	struct mailbox m = { NULL };
	struct failure f;
	const struct pattern_subject subject = {
		.address = &m,
		.user = user,
		.origin = "contoso.com",
		.host_name = "web1.fabrikam.example",
	};
	bool is_match;

	assert_int_equal(mailbox_parse_sender(span_of(address), &m, &f), 0);
	is_match = pattern_matches(&p, &subject);
	mailbox_done(&m);
	pattern_done(&p);
	return is_match;
}

static void
test_what_a_pattern_means(void **state)
{
	static const struct {
		const char *pattern;
		const char *address;
		bool want;
	} rows[] = {
		{ "*", "a@x.org", true },
		{ "*", "root", true },
		{ "*", "<>", true },
		{ "a@x.org", "a@x.org", true },
		{ "a@x.org", "A@X.ORG", true },
		{ "A@x.Org", "a@x.org", true },
		{ "a@x.org", "b@x.org", false },
		{ "a@x.org", "a@y.org", false },
		{ "a@x.org", "aa@x.org", false },
		{ "a@x.org", "<>", false },
		{ "<a@x.org>", "a@x.org", true },
		{ "\"a b\"@x.org", "\"a b\"@x.org", true },
		{ "@x.org", "any.one@x.org", true },
		{ "@x.org", "a@sub.x.org", false },
		{ "@x.org", "a@xx.org", false },
		{ "*@x.org", "a@x.org", true },
		{ "@*.x.org", "a@sub.x.org", true },
		{ "@*.x.org", "a@a.b.x.org", true },
		{ "@*.x.org", "a@x.org", false },
		{ "@web*", "root@web17", true },
		{ "@web*", "root@mail", false },
		{ "cron-*@x.org", "cron-daily@x.org", true },
		{ "cron-*@x.org", "cron@x.org", false },
		{ "*-bounces@x.org", "list-bounces@x.org", true },
		{ "a*a@x.org", "a@x.org", false },
		{ "a*a@x.org", "aa@x.org", true },
		/* names of this host */
		{ "root", "root", true },
		{ "root", "ROOT", true },
		{ "root", "root@web1.fabrikam.example", true },
		{ "root", "root@web1", true },
		{ "root", "root@localhost", true },
		{ "root", "root@localhost.localdomain", true },
		{ "root", "root@web2", false },
		{ "root", "root@contoso.com", false },
		{ "root", "<>", false },
		{ "db-*", "db-backup", true },
		/* a bare name is completed, or is at this host */
		{ "root@contoso.com", "root", true },
		{ "@contoso.com", "root", true },
		{ "root@web1.fabrikam.example", "root", true },
		{ "root@web2", "root", false },
		{ "user:www-data", "a@x.org", false },
		/* nothing but '*' and letters is more than itself */
		{ "a?@x.org", "ab@x.org", false },
		{ "a.c@x.org", "abc@x.org", false },
		{ "@x.org", "\"@x.org\"@y.org", false },
		{ "a@x.org", "\"a\"@x.org", true },
		{ "\"a\"@x.org", "a@x.org", true },
		{ "j\303\266rg@x.org", "j\303\266rg@x.org", true },
		{ "@b\303\274cher.example", "a@b\303\274cher.example", true },
		{ "@x_y.org", "a@x_y.org", true },
		{ "a@x.org", "*@x.org", false },
		{ "*@x.org", "*@x.org", true },
		{ "root", "root@web1.fabrikam.example.evil.org", false },
		{ "@x.org", "a@x.org.evil.org", false },
		{ "a@x.org", "a@[192.0.2.1]", false },
		{ "@*", "a@[192.0.2.1]", true },
		{ "@*", "root", true },
		{ "@*", "<>", false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (matches(rows[i].pattern, rows[i].address, "root") !=
		    rows[i].want)
			fail_msg("%s and %s: not %d", rows[i].pattern,
			    rows[i].address, rows[i].want);
}

static void
test_a_user_is_matched_whatever_address_it_uses(void **state)
{
	(void)state;
	assert_true(matches("user:www-data", "a@x.org", "www-data"));
	assert_true(matches("user:www-data", "<>", "www-data"));
	assert_false(matches("user:www-data", "www-data", "root"));
	assert_false(matches("user:www-data", "a@x.org", "WWW-DATA"));
	assert_false(matches("user:www-data", "a@x.org", NULL));
}

/* Who does not know its own name knows no name with a domain as its own. */
static void
test_what_is_not_known_matches_nothing(void **state)
{
	static const struct {
		const char *pattern;
		const char *address;
		bool want;
	} rows[] = {
		{ "*", "root", true },
		{ "root", "root", true },
		{ "root", "root@localhost", true },
		{ "root", "root@web1", false },
		{ "root@contoso.com", "root", false },
		{ "@*", "root", false },
		{ "@*", "root@web1", true },
		{ "user:root", "root", false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct pattern p = pattern_of(rows[i].pattern);
		struct pattern_subject subject = { NULL };
		struct mailbox m = { NULL };
		struct failure f;

		assert_int_equal(
		    pattern_matches(&p, &subject), p.kind == PATTERN_ANY);
		assert_int_equal(
		    mailbox_parse(span_of(rows[i].address), &m, &f), 0);
		subject.address = &m;
		if (pattern_matches(&p, &subject) != rows[i].want)
			fail_msg("%s and %s: not %d", rows[i].pattern,
			    rows[i].address, rows[i].want);
		mailbox_done(&m);
		pattern_done(&p);
	}
}

static void
test_names_of_users(void **state)
{
	static const char *const names[] = { "www-data", "_apt", "host$", "a.b",
		"a+b", "Root", "0" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		char *text = xasprintf("user:%s", names[i]);

		assert_true(matches(text, "<>", names[i]));
		free(text);
	}
}

static void
test_what_is_no_pattern_is_refused(void **state)
{
#define NO_ADDRESS                                                       \
	"\" is no address; write LOCAL@DOMAIN, @DOMAIN, a name such as " \
	"root, user:NAME or *"
	static const struct {
		const char *text;
		const char *want;
	} rows[] = {
		{ "@", "\"\" is not a domain such as contoso.com" },
		{ "a@", "\"\" is not a domain such as contoso.com" },
		{ "a@x..org",
		    "\"x..org\" is not a domain such as "
		    "contoso.com" },
		{ "a@.x", "\".x\" is not a domain such as contoso.com" },
		{ "a@x.", "\"x.\" is not a domain such as contoso.com" },
		{ "a@b c", "\"b c\" is not a domain such as contoso.com" },
		{ "a*b*@x.org", "\"a*b*@x.org\" has more than one \"*\"" },
		{ "a@*.x.*", "\"a@*.x.*\" has more than one \"*\"" },
		{ "user:", "\"user:\" names no user" },
		{ "user:a b", "\"user:a b\" names no user" },
		{ "user:*", "\"user:*\" names no user" },
		{ "|cat", "\"|cat" NO_ADDRESS },
		{ "/tmp/x", "\"/tmp/x" NO_ADDRESS },
		{ "-oQ@x.org", "\"-oQ@x.org" NO_ADDRESS },
		{ "Bob <b@x.org>", "is not a domain" },
		{ "", "\"" NO_ADDRESS },
		{ "<>", "\"<>" NO_ADDRESS },
		{ "Bob <b", "\"Bob <b" NO_ADDRESS },
		{ "<b@x.org", "\"<b@x.org" NO_ADDRESS },
		{ "a b@x.org", "\"a b@x.org" NO_ADDRESS },
		{ "a,b@x.org", "\"a,b@x.org" NO_ADDRESS },
		{ "a@y.org,b@x.org", "\"a@y.org,b@x.org" NO_ADDRESS },
		{ "a@y.org,@x.org", "\"a@y.org,@x.org" NO_ADDRESS },
		{ "us:b@x.org", "\"us:b@x.org" NO_ADDRESS },
		{ "User:www-data", "\"User:www-data" NO_ADDRESS },
		{ "a@@x.org", "\"a@@x.org" NO_ADDRESS },
		{ "(c)a@x.org", "is more than an address; leave the name out" },
		{ "a@[192.0.2.1]", "\"[192.0.2.1]\" is not a domain" },
		{ "**", "\"**\" has more than one \"*\"" },
		{ "user:CONTOSO\\jdoe", "names no user" },
		{ "user:j\303\266rg", "names no user" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct failure f = { 0 };
		struct pattern p = { NULL };

		if (pattern_parse(span_of(rows[i].text), &p, &f) == 0)
			fail_msg("%s: accepted", rows[i].text);
		assert_int_equal(f.kind, FAILURE_CONFIG);
		if (strstr(f.text, rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].text, f.text);
		assert_null(p.text);
	}
}

static void
test_one_pattern_covers_another(void **state)
{
	static const struct {
		const char *wide;
		const char *narrow;
		bool want;
	} rows[] = {
		{ "*", "a@x.org", true },
		{ "*", "user:www-data", true },
		{ "*", "root", true },
		{ "*", "*", true },
		{ "a@x.org", "*", false },
		{ "a@x.org", "A@x.org", true },
		{ "@x.org", "a@x.org", true },
		{ "@x.org", "*@x.org", true },
		{ "a@x.org", "@x.org", false },
		{ "@*.org", "@x.org", true },
		{ "@*.x.org", "@*.y.x.org", true },
		{ "@*.y.x.org", "@*.x.org", false },
		{ "a*@x.org", "ab*c@x.org", true },
		{ "ab*c@x.org", "a*@x.org", false },
		{ "user:a", "user:a", true },
		{ "user:a", "user:b", false },
		{ "root", "root", true },
		{ "r*", "root", true },
		{ "root", "root@web1", false },
		{ "@web1", "root", false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct pattern wide = pattern_of(rows[i].wide);
		struct pattern narrow = pattern_of(rows[i].narrow);

		if (pattern_covers(&wide, &narrow) != rows[i].want)
			fail_msg("%s and %s: not %d", rows[i].wide,
			    rows[i].narrow, rows[i].want);
		pattern_done(&wide);
		pattern_done(&narrow);
	}
}

/* ---- covering, as the meaning of patterns demands it ---- */

enum {
	HALVES_MAX = 32,
	HALF_SIZE = 8,
	TEXT_MAX = 4 /* letters; a half has at most two beside its '*' */
};

/* The next string over "abc", in the order of their lengths. */
static void
next_text(char text[static HALF_SIZE])
{
	size_t i = 0;

	while (text[i] == 'c')
		text[i++] = 'a';
	if (text[i] == '\0')
		text[i] = 'a';
	else
		text[i] = text[i] == 'a' ? 'b' : 'c';
}

/* All texts of up to two letters of "ab", whole or with a '*' somewhere. */
static size_t
make_halves(char out[static HALVES_MAX][HALF_SIZE])
{
	static const char *const letters[] = { "", "a", "b", "aa", "ab", "ba",
		"bb" };
	size_t count = 0;

	for (size_t i = 0; i < N_ELEMENTS(letters); i++) {
		const char *s = letters[i];
		size_t len = strlen(s);

		if (len > 0)
			(void)snprintf(out[count++], HALF_SIZE, "%s", s);
		for (size_t k = 0; k <= len; k++)
			(void)snprintf(out[count++], HALF_SIZE, "%.*s*%s",
			    (int)k, s, s + k);
	}
	return count;
}

/* Does one of all short texts belong to narrow only? */
static bool
has_own_text(
    const struct pattern *wide, const struct pattern *narrow, bool is_domain)
{
	char text[HALF_SIZE] = "a";
	char other[] = "a";
	const struct mailbox m = {
		.local = is_domain ? other : text,
		.domain = is_domain ? text : other,
	};
	const struct pattern_subject subject = { .address = &m };

	for (; strlen(text) <= TEXT_MAX; next_text(text))
		if (pattern_matches(narrow, &subject) &&
		    !pattern_matches(wide, &subject))
			return true;
	return false;
}

static void
check_pair(const char *wide, const char *narrow, bool is_domain)
{
	struct pattern p[2];
	bool is_covered;

	for (int i = 0; i < 2; i++) {
		const char *half = i == 0 ? wide : narrow;
		char *text = is_domain ? xasprintf("a@%s", half)
				       : xasprintf("%s@a", half);

		p[i] = pattern_of(text);
		free(text);
	}
	is_covered = pattern_covers(&p[0], &p[1]);
	if (is_covered == has_own_text(&p[0], &p[1], is_domain))
		fail_msg("%s and %s: covered %d", wide, narrow, is_covered);
	pattern_done(&p[0]);
	pattern_done(&p[1]);
}

static void
test_covering_is_meaning_all_that_the_other_means(void **state)
{
	char halves[HALVES_MAX][HALF_SIZE];
	size_t count = make_halves(halves);

	(void)state;
	assert_int_equal(count, 23);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < count; k++) {
			check_pair(halves[i], halves[k], false);
			check_pair(halves[i], halves[k], true);
		}
	}
}

static void
test_lists_are_released_twice(void **state)
{
	struct pattern_list list = { NULL, 0 };

	(void)state;
	list.items = xgrow(list.items, list.count, sizeof(*list.items));
	list.items[list.count++] = pattern_of("a@x.org");
	pattern_list_done(&list);
	assert_int_equal(list.count, 0);
	pattern_list_done(&list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_pattern_means),
		cmocka_unit_test(
		    test_a_user_is_matched_whatever_address_it_uses),
		cmocka_unit_test(test_what_is_not_known_matches_nothing),
		cmocka_unit_test(test_names_of_users),
		cmocka_unit_test(test_what_is_no_pattern_is_refused),
		cmocka_unit_test(test_one_pattern_covers_another),
		cmocka_unit_test(
		    test_covering_is_meaning_all_that_the_other_means),
		cmocka_unit_test(test_lists_are_released_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
