#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static void
assert_contents(const struct buf *b, const char *want)
{
	assert_string_equal(b->s, want);
	assert_int_equal(b->len, strlen(want));
	assert_int_equal(b->s[b->len], '\0');
}

static void
test_new_buffer_is_an_empty_string(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 0);
	assert_contents(&b, "");
	buf_reset(&b);
	buf_truncate(&b, 0);
	buf_consume(&b, 0);
	assert_contents(&b, "");
	assert_int_equal(buf_add(&b, "", 0), 0);
	buf_done(&b);
	buf_done(&b);
	assert_contents(&b, "");
}

static void
test_every_way_to_append(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_add(&b, "abc", 2), 0);
	assert_int_equal(buf_puts(&b, "cd"), 0);
	assert_int_equal(buf_putc(&b, 'e'), 0);
	assert_int_equal(buf_span(&b, (struct span){ "fgh", 2 }), 0);
	assert_int_equal(buf_printf(&b, "%d-%s", 42, "x"), 0);
	assert_contents(&b, "abcdefg42-x");
	buf_done(&b);
}

/* At every maximum: what fits is there, what does not leaves b unchanged. */
static void
test_maximum(void **state)
{
	(void)state;
	for (size_t max = 0; max < 300; max++) {
		struct buf b;

		buf_init(&b, max);
		for (size_t i = 0; i < max; i++)
			assert_int_equal(buf_putc(&b, 'x'), 0);
		assert_int_equal(buf_putc(&b, 'y'), -1);
		assert_int_equal(buf_puts(&b, "y"), -1);
		assert_int_equal(buf_add(&b, "yz", 2), -1);
		assert_int_equal(buf_span(&b, span_of("y")), -1);
		assert_int_equal(buf_printf(&b, "%d", 1), -1);
		assert_int_equal(buf_add(&b, "y", SIZE_MAX), -1);
		assert_int_equal(buf_puts(&b, ""), 0);
		assert_int_equal(b.len, max);
		assert_int_equal(strspn(b.s, "x"), max);
		buf_done(&b);
	}
}

static void
test_growth_keeps_the_contents(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_printf(&b, "%04d", i), 0);
	assert_int_equal(b.len, 40000);
	assert_memory_equal(b.s, "000000010002", 12);
	assert_memory_equal(b.s + 20000, "5000", 4);
	assert_string_equal(b.s + 39996, "9999");
	buf_done(&b);
}

static void
test_consume_and_truncate(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_puts(&b, "abcdef"), 0);
	buf_consume(&b, 2);
	assert_contents(&b, "cdef");
	buf_truncate(&b, 3);
	assert_contents(&b, "cde");
	buf_truncate(&b, 3);
	buf_consume(&b, 3);
	assert_contents(&b, "");
	assert_int_equal(buf_puts(&b, "again"), 0);
	assert_contents(&b, "again");
	buf_reset(&b);
	assert_contents(&b, "");
	buf_done(&b);
}

static void
test_take(void **state)
{
	struct buf b;
	char *s;

	(void)state;
	buf_init(&b, 100);
	s = buf_take(&b);
	assert_string_equal(s, "");
	free(s);
	assert_int_equal(buf_puts(&b, "abc"), 0);
	s = buf_take(&b);
	assert_string_equal(s, "abc");
	free(s);
	assert_contents(&b, "");
	assert_int_equal(buf_puts(&b, "next"), 0);
	assert_contents(&b, "next");
	buf_done(&b);
}

static void
test_nul_is_a_byte_like_others(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_add(&b, "a\0b", 3), 0);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.s, "a\0b\0", 4);
	buf_done(&b);
}

/* What can be seen of wiping without reading memory that was freed. */
static void
test_secret_is_wiped_in_place(void **state)
{
	struct buf b;

	(void)state;
	buf_init_secret(&b, 1000);
	assert_int_equal(buf_puts(&b, "password"), 0);
	buf_truncate(&b, 4);
	assert_memory_equal(b.s, "pass\0\0\0\0", 8);
	buf_reset(&b);
	assert_memory_equal(b.s, "\0\0\0\0", 4);
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_puts(&b, "password"), 0);
	assert_int_equal(b.len, 800);
	assert_memory_equal(b.s + 792, "password", 9);
	buf_done(&b);
}

static void
test_secret_that_is_consumed_leaves_nothing(void **state)
{
	struct buf b;

	(void)state;
	buf_init_secret(&b, 100);
	assert_int_equal(buf_puts(&b, "secret!"), 0);
	buf_consume(&b, 6);
	assert_memory_equal(b.s, "!\0\0\0\0\0\0", 7);
	buf_done(&b);
}

static const struct {
	const char *in;
	const char *want;
} trims[] = {
	{ "", "" },
	{ " \t\r\n", "" },
	{ "a", "a" },
	{ " a b\t", "a b" },
	{ "\r\na\r\n", "a" },
	{ "\va\v", "\va\v" },
};

static void
test_span_trim(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(trims); i++)
		assert_true(
		    span_is(span_trim(span_of(trims[i].in)), trims[i].want));
}

static const struct {
	const char *a;
	const char *b;
	bool is_same;
	bool is_same_nocase;
} pairs[] = {
	{ "", "", true, true },
	{ "a", "a", true, true },
	{ "a", "A", false, true },
	{ "aB[", "Ab{", false, false },
	{ "a", "ab", false, false },
	{ "ab", "a", false, false },
	{ "\xc3\xb6", "\xc3\x96", false, false },
};

static void
test_span_comparison(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
		struct span a = span_of(pairs[i].a);
		struct span b = span_of(pairs[i].b);

		assert_int_equal(span_equal(a, b), pairs[i].is_same);
		assert_int_equal(span_is(a, pairs[i].b), pairs[i].is_same);
		assert_int_equal(
		    span_is_nocase(a, pairs[i].b), pairs[i].is_same_nocase);
	}
}

static void
test_span_with_nul_is_no_string(void **state)
{
	(void)state;
	assert_false(span_is((struct span){ "a\0b", 3 }, "a"));
	assert_false(span_is_nocase((struct span){ "a\0b", 3 }, "a"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_buffer_is_an_empty_string),
		cmocka_unit_test(test_every_way_to_append),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_growth_keeps_the_contents),
		cmocka_unit_test(test_consume_and_truncate),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_nul_is_a_byte_like_others),
		cmocka_unit_test(test_secret_is_wiped_in_place),
		cmocka_unit_test(test_secret_that_is_consumed_leaves_nothing),
		cmocka_unit_test(test_span_trim),
		cmocka_unit_test(test_span_comparison),
		cmocka_unit_test(test_span_with_nul_is_no_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
