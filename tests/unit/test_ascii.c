#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/ascii.h"
#include "core/buf.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static bool
is_in(const char *set, int c)
{
	return c != 0 && strchr(set, c) != NULL;
}

/* For every octet, against the sets written out. */
static void
test_classes(void **state)
{
	static const char digits[] = "0123456789";
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	(void)state;
	for (int i = 0; i < 256; i++) {
		char c = (char)i;

		assert_int_equal(ascii_is_digit(c), is_in(digits, i));
		assert_int_equal(ascii_is_alpha(c), is_in(letters, i));
		assert_int_equal(
		    ascii_is_alnum(c), is_in(digits, i) || is_in(letters, i));
		assert_int_equal(ascii_is_space(c), is_in(" \t\r\n", i));
		assert_int_equal(ascii_is_control(c), i < 32 || i == 127);
		assert_int_equal(ascii_is_8bit(c), i > 127);
		assert_int_equal((unsigned char)ascii_lower(c),
		    i >= 'A' && i <= 'Z' ? i + 32 : i);
	}
}

static void
test_class_of_a_text(void **state)
{
	(void)state;
	assert_false(ascii_has_control(span_of("")));
	assert_false(ascii_has_control(span_of("a \xff")));
	assert_true(ascii_has_control(span_of("a\tb")));
	assert_true(ascii_has_control(span_of("\x7f")));
	assert_true(ascii_has_control((struct span){ "a\0b", 3 }));
	assert_false(ascii_has_8bit(span_of("")));
	assert_false(ascii_has_8bit(span_of("a~\x7f")));
	assert_true(ascii_has_8bit(span_of("ab\x80")));
}

static void
test_comparison_without_case(void **state)
{
	(void)state;
	assert_true(ascii_equal_nocase("aBc@[", "AbC@[", 5));
	assert_true(ascii_equal_nocase("abX", "abY", 2));
	assert_true(ascii_equal_nocase("", "x", 0));
	assert_false(ascii_equal_nocase("@", "`", 1));
	assert_false(ascii_equal_nocase("[", "{", 1));
}

static const struct {
	const char *name;
	const char *in;
	bool want;
} texts[] = {
	{ "empty", "", true },
	{ "ASCII", "abc\x7f", true },
	{ "two octets", "\xc2\x80\xdf\xbf", true },
	{ "three octets", "\xe0\xa0\x80\xef\xbf\xbf", true },
	{ "below the surrogates", "\xed\x9f\xbf", true },
	{ "above the surrogates", "\xee\x80\x80", true },
	{ "four octets", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", true },
	{ "lone continuation", "\x80", false },
	{ "overlong slash", "\xc0\xaf", false },
	{ "overlong, last of its kind", "\xc1\xbf", false },
	{ "overlong in three", "\xe0\x9f\xbf", false },
	{ "overlong in four", "\xf0\x8f\xbf\xbf", false },
	{ "first surrogate", "\xed\xa0\x80", false },
	{ "last surrogate", "\xed\xbf\xbf", false },
	{ "beyond U+10FFFF", "\xf4\x90\x80\x80", false },
	{ "five octets", "\xf8\x88\x80\x80\x80", false },
	{ "FE", "\xfe", false },
	{ "FF", "\xff", false },
	{ "cut after one of two", "a\xc3", false },
	{ "cut after two of three", "\xe2\x82", false },
	{ "cut after three of four", "\xf0\x9f\x98", false },
	{ "ASCII instead of a continuation", "\xe2\x82x", false },
	{ "Latin-1", "J\xf6rg", false },
};

static void
test_utf8(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(texts); i++)
		if (utf8_is_valid(texts[i].in, strlen(texts[i].in)) !=
		    texts[i].want)
			fail_msg("%s", texts[i].name);
}

static const struct {
	const char *in;
	uint64_t max;
	int want;
	uint64_t value;
} numbers[] = {
	{ "0", 0, 0, 0 },
	{ "1", 0, -1, 0 },
	{ "10", 10, 0, 10 },
	{ "11", 10, -1, 0 },
	{ "007", 10, 0, 7 },
	{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
	{ "18446744073709551616", UINT64_MAX, -1, 0 },
	{ "99999999999999999999", UINT64_MAX, -1, 0 },
	{ "9", 5, -1, 0 },
	{ "", 10, -1, 0 },
	{ "-1", 10, -1, 0 },
	{ "+1", 10, -1, 0 },
	{ " 1", 10, -1, 0 },
	{ "1 ", 10, -1, 0 },
	{ "0x1", 10, -1, 0 },
	{ "1.0", 100, -1, 0 },
};

static void
test_numbers_are_all_or_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(numbers); i++) {
		uint64_t got = 12345;

		if (parse_u64(span_of(numbers[i].in), numbers[i].max, &got) !=
		    numbers[i].want)
			fail_msg("\"%s\"", numbers[i].in);
		assert_true(
		    got == (numbers[i].want == 0 ? numbers[i].value : 12345));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_class_of_a_text),
		cmocka_unit_test(test_comparison_without_case),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_numbers_are_all_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
