#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/failure.h"
#include "smtp/reply.h"

static const struct {
	const char *name;
	const char *lines[4];
	int want; /* of the last line */
	const char *written;
} cases[] = {
	{ "one line", { "250 2.1.0 Sender OK" }, 1, "250 2.1.0 Sender OK" },
	{ "no text", { "250" }, 1, "250" },
	{ "code and blank only", { "334 " }, 1, "334" },
	{ "no enhanced code", { "354 Start mail input" }, 1,
	    "354 Start mail input" },
	{ "several lines become one", { "550-5.1.1 No such", "550 5.1.1 user" },
	    1, "550 5.1.1 No such user" },
	{ "more lines follow", { "250-SIZE 100" }, 0, "250 SIZE 100" },
	{ "the reply code counts, not the enhanced class",
	    { "450 5.7.1 later" }, 1, "450 4.7.1 later" },
	{ "three digits in an enhanced code", { "554 5.2.252 SendAsDenied" }, 1,
	    "554 5.2.252 SendAsDenied" },
	{ "four digits are no enhanced code", { "554 5.2.2520 x" }, 1,
	    "554 5.2.2520 x" },
	{ "an enhanced code ends at a blank", { "554 5.2.2x" }, 1,
	    "554 5.2.2x" },
	{ "an enhanced code alone", { "221 2.0.0" }, 1, "221 2.0.0" },
	{ "a tab is text", { "250 a\tb" }, 1, "250 a\tb" },
	{ "8-bit is text", { "250 \xc3\xa9" }, 1, "250 \xc3\xa9" },
	{ "code changes", { "250-a", "251 b" }, -1, NULL },
	{ "no digits", { "hello" }, -1, NULL },
	{ "two digits", { "25" }, -1, NULL },
	{ "four digits", { "2500 x" }, -1, NULL },
	{ "class 1", { "150 x" }, -1, NULL },
	{ "class 6", { "650 x" }, -1, NULL },
	{ "second digit 6", { "260 x" }, -1, NULL },
	{ "no separator", { "250x" }, -1, NULL },
	{ "empty line", { "" }, -1, NULL },
	{ "escape character", { "250 \033[2J" }, -1, NULL },
	{ "carriage return", { "250 a\rb" }, -1, NULL },
	{ "a comma for a dot", { "554 5,7,1 x" }, 1, "554 5,7,1 x" },
};

static void
test_shapes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply reply;
		struct failure f;
		struct buf text;
		int r = 0;

		print_message("# %s\n", cases[i].name);
		reply_init(&reply);
		buf_init(&text, 1000);
		for (size_t k = 0; k < 4 && cases[i].lines[k] != NULL; k++)
			r = reply_feed(&reply, span_of(cases[i].lines[k]), &f);
		assert_int_equal(r, cases[i].want);
		if (r == -1) {
			assert_int_equal(f.kind, FAILURE_LATER);
			assert_string_equal(f.dsn, "4.5.0");
		} else {
			assert_int_equal(reply_write(&reply, &text), 0);
			assert_string_equal(text.s, cases[i].written);
		}
		buf_done(&text);
		reply_done(&reply);
	}
}

static void
test_nul_is_refused(void **state)
{
	static const char line[] = "250 a\0b";
	struct reply reply;
	struct failure f;

	(void)state;
	reply_init(&reply);
	assert_int_equal(
	    reply_feed(&reply, (struct span){ line, sizeof(line) - 1 }, &f),
	    -1);
	assert_string_equal(
	    f.text, "the server's answer is no SMTP reply: \"250 a\\x00b\"");
	reply_done(&reply);
}

static void
test_a_reply_without_end_is_refused(void **state)
{
	struct reply reply;
	struct failure f;
	int lines = 0;

	(void)state;
	reply_init(&reply);
	while (reply_feed(&reply, span_of("250-more"), &f) == 0)
		lines++;
	assert_int_equal(lines, REPLY_LINES_MAX);
	assert_string_equal(f.text, "the server's answer does not end");
	reply_done(&reply);
}

static void
test_a_reply_has_a_total_maximum(void **state)
{
	static char line[REPLY_LINE_MAX];
	struct reply reply;
	struct failure f;
	int lines = 0;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "250-", 4);
	reply_init(&reply);
	while (reply_feed(&reply, (struct span){ line, sizeof(line) }, &f) == 0)
		lines++;
	assert_int_equal(lines, REPLY_TOTAL_MAX / (REPLY_LINE_MAX - 4));
	assert_true(reply.text.len <= REPLY_TOTAL_MAX);
	reply_done(&reply);
}

static void
test_reset_forgets_all(void **state)
{
	struct reply reply;
	struct failure f;

	(void)state;
	reply_init(&reply);
	assert_int_equal(reply_feed(&reply, span_of("550-5.1.1 a"), &f), 0);
	reply_reset(&reply);
	assert_int_equal(reply_feed(&reply, span_of("250 b"), &f), 1);
	assert_int_equal(reply_class(&reply), 2);
	assert_string_equal(reply.dsn, "");
	assert_string_equal(reply.text.s, "b");
	reply_done(&reply);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_a_reply_without_end_is_refused),
		cmocka_unit_test(test_a_reply_has_a_total_maximum),
		cmocka_unit_test(test_reset_forgets_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
