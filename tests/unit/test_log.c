#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/ascii.h"
#include "core/buf.h"
#include "core/log.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

/* A string with the NULs that are in it. */
#define TEXT(s)                  \
	{                        \
		s, sizeof(s) - 1 \
	}

static const struct {
	const char *name;
	size_t size; /* of the output */
	struct span in;
	const char *want;
} rows[] = {
	{ "empty", 100, TEXT(""), "" },
	{ "plain", 100, TEXT("a b~"), "a b~" },
	{ "line ends", 100, TEXT("a\r\nb"), "a\\x0d\\x0ab" },
	{ "NUL", 100, TEXT("a\0b"), "a\\x00b" },
	{ "tab and DEL", 100, TEXT("\t\x7f"), "\\x09\\x7f" },
	{ "terminal sequence", 100, TEXT("\x1b]0;x\x07"), "\\x1b]0;x\\x07" },
	{ "UTF-8", 100, TEXT("J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80"),
	    "J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "C1 control as UTF-8", 100,
	    TEXT("\xc2\x9b"
		 "1m"),
	    "\\xc2\\x9b1m" },
	{ "first after the C1 controls", 100, TEXT("\xc2\xa0"), "\xc2\xa0" },
	{ "before the separators and changes of direction", 100,
	    TEXT("\xe2\x80\xa7"), "\xe2\x80\xa7" },
	{ "the first of them", 100, TEXT("\xe2\x80\xa8"), "\\xe2\\x80\\xa8" },
	{ "right to left", 100, TEXT("\xe2\x80\xaetxt"), "\\xe2\\x80\\xaetxt" },
	{ "behind them", 100, TEXT("\xe2\x80\xaf"), "\xe2\x80\xaf" },
	{ "before the isolates", 100, TEXT("\xe2\x81\xa5"), "\xe2\x81\xa5" },
	{ "isolates", 100, TEXT("\xe2\x81\xa6\xe2\x81\xa9"),
	    "\\xe2\\x81\\xa6\\xe2\\x81\\xa9" },
	{ "behind the isolates", 100, TEXT("\xe2\x81\xaa"), "\xe2\x81\xaa" },
	{ "Latin-1", 100, TEXT("J\xf6rg"), "J\\xf6rg" },
	{ "cut UTF-8", 100, TEXT("a\xe2\x82"), "a\\xe2\\x82" },
	{ "a backslash is itself", 100, TEXT("\\x0a"), "\\x0a" },
	{ "longest that fits", 8, TEXT("abcd"), "abcd" },
	{ "one more", 8, TEXT("abcde"), "abcd..." },
	{ "no half escapes", 8, TEXT("a\n"), "a..." },
	{ "no half characters", 8, TEXT("abc\xc3\xb6"), "abc..." },
	{ "smallest", 4, TEXT("abc"), "..." },
};

static void
test_escape(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char out[100];

		memset(out, '#', sizeof(out));
		log_escape(out, rows[i].size, rows[i].in.s, rows[i].in.len);
		if (strcmp(out, rows[i].want) != 0)
			fail_msg("%s: got \"%s\"", rows[i].name, out);
		if (rows[i].size < sizeof(out))
			assert_int_equal(out[rows[i].size], '#');
	}
}

/* Property: whatever two octets come in, what comes out can be shown. */
static void
test_escape_of_every_pair(void **state)
{
	(void)state;
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			const char in[2] = { (char)a, (char)b };
			char out[20];

			log_escape(out, sizeof(out), in, sizeof(in));
			assert_false(ascii_has_control(span_of(out)));
			assert_true(utf8_is_valid(out, strlen(out)));
		}
	}
}

/* What log_warning() of text writes to stderr. */
static void
capture(const char *text, char *out, size_t size)
{
	int saved = dup(STDERR_FILENO);
	int ends[2];
	ssize_t n;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
	errno = ERANGE;
	log_warning("%s", text);
	assert_int_equal(errno, ERANGE);
	assert_true(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
	assert_int_equal(close(saved), 0);
	assert_int_equal(close(ends[1]), 0);
	n = read(ends[0], out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	assert_int_equal(close(ends[0]), 0);
}

static void
test_one_line_per_event(void **state)
{
	char got[4000];

	(void)state;
	log_open("test", LOG_TO_STDERR, LOG_LEVEL_WARNING);
	capture("two\nlines\x1b", got, sizeof(got));
	assert_string_equal(got, "test: two\\x0alines\\x1b\n");
}

static void
test_long_line_is_cut(void **state)
{
	char text[3000];
	char got[4000];

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_open("test", LOG_TO_STDERR, LOG_LEVEL_WARNING);
	capture(text, got, sizeof(got));
	assert_int_equal(strlen(got), strlen("test: ") + 1003 + 1);
	assert_string_equal(got + strlen(got) - 6, "aa...\n");
}

static void
test_level(void **state)
{
	char got[100];

	(void)state;
	log_open("test", LOG_TO_STDERR, LOG_LEVEL_ERROR);
	assert_true(log_is_on(LOG_LEVEL_ERROR));
	assert_false(log_is_on(LOG_LEVEL_WARNING));
	capture("hidden", got, sizeof(got));
	assert_string_equal(got, "");
	log_open("test", LOG_TO_STDERR, LOG_LEVEL_DEBUG);
	assert_true(log_is_on(LOG_LEVEL_DEBUG));
	capture("shown", got, sizeof(got));
	assert_string_equal(got, "test: shown\n");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_escape_of_every_pair),
		cmocka_unit_test(test_one_line_per_event),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
