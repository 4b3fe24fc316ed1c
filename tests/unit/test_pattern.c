/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

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

static void
test_what_is_no_pattern_is_refused(void **state)
{
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
		{ "|cat", "|cat" },
		{ "/tmp/x", "/tmp/x" },
		{ "-oQ@x.org", "-oQ" },
		{ "Bob <b@x.org>", "is not a domain" },
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_pattern_means),
		cmocka_unit_test(
		    test_a_user_is_matched_whatever_address_it_uses),
		cmocka_unit_test(test_what_is_no_pattern_is_refused),
		cmocka_unit_test(test_one_pattern_covers_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
