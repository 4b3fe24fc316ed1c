#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "mail/lines.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

/* A string with the NULs that are in it. */
#define TEXT(s)                  \
	{                        \
		s, sizeof(s) - 1 \
	}

struct row {
	const char *name;
	bool is_header;
	struct span in;
	struct span want;
};

static const struct row rows[] = {
	{ "nothing", false, TEXT(""), TEXT("") },
	{ "LF", false, TEXT("a\nb\n"), TEXT("a\r\nb\r\n") },
	{ "CRLF", false, TEXT("a\r\nb\r\n"), TEXT("a\r\nb\r\n") },
	{ "mixture", false, TEXT("a\nb\r\nc\n"), TEXT("a\r\nb\r\nc\r\n") },
	{ "no last line end", false, TEXT("a\nb"), TEXT("a\r\nb\r\n") },
	{ "empty lines", false, TEXT("\n\r\n\n"), TEXT("\r\n\r\n\r\n") },
	{ "several CRs before LF", false, TEXT("a\r\r\r\nb\r\r\n"),
	    TEXT("a\r\nb\r\n") },
	{ "CRs alone end lines", false, TEXT("a\rb\r\rc"),
	    TEXT("a\r\nb\r\n\r\nc\r\n") },
	{ "CR at the end", false, TEXT("a\r"), TEXT("a\r\n") },
	{ "CRs at the end", false, TEXT("a\r\r"), TEXT("a\r\n\r\n") },
	{ "only CRs", false, TEXT("\r\r"), TEXT("\r\n\r\n") },
	{ "LF CR", false, TEXT("a\n\rb\n\r"), TEXT("a\r\n\r\nb\r\n\r\n") },
	{ "NULs stay in the body", false, TEXT("a\0b\0\n\0"),
	    TEXT("a\0b\0\r\n\0\r\n") },
	{ "CR NUL LF in the body", false, TEXT("a\r\0\n"),
	    TEXT("a\r\n\0\r\n") },
	/* SMTP smuggling: each of these was an end of data to somebody. */
	{ "LF dot LF", false, TEXT("a\n.\nb\n"), TEXT("a\r\n.\r\nb\r\n") },
	{ "CR dot CR", false, TEXT("a\r.\rb\n"), TEXT("a\r\n.\r\nb\r\n") },
	{ "LF dot CRLF", false, TEXT("a\n.\r\nb\n"), TEXT("a\r\n.\r\nb\r\n") },
	{ "CRLF dot LF", false, TEXT("a\r\n.\nb\n"), TEXT("a\r\n.\r\nb\r\n") },
	{ "CRLF dot CR", false, TEXT("a\r\n.\rb\n"), TEXT("a\r\n.\r\nb\r\n") },
	{ "header: LF", true, TEXT("A: 1\nB: 2\n\nx\n"),
	    TEXT("A: 1\r\nB: 2\r\n\r\nx\r\n") },
	{ "header: several CRs before LF", true, TEXT("A: 1\r\r\nB: 2\r\n"),
	    TEXT("A: 1\r\nB: 2\r\n") },
	{ "header: CR alone makes no field", true,
	    TEXT("A: 1\rBcc: x@y\r\rC\n"), TEXT("A: 1 Bcc: x@y  C\r\n") },
	{ "header: CR at the end", true, TEXT("A: 1\r"), TEXT("A: 1\r\n") },
	{ "header: NULs are left out", true,
	    TEXT("A\0: \0\0"
		 "1\n\0B: 2\0\n"),
	    TEXT("A: 1\r\nB: 2\r\n") },
	{ "header: CR NUL LF", true, TEXT("A: 1\r\0\nB: 2\n"),
	    TEXT("A: 1\r\nB: 2\r\n") },
	{ "header: line of NULs ends it", true, TEXT("A: 1\n\0\n\0\n"),
	    TEXT("A: 1\r\n\r\n\0\r\n") },
	{ "header: body has its own rules", true, TEXT("A: 1\n\nx\ry\0\n"),
	    TEXT("A: 1\r\n\r\nx\r\ny\0\r\n") },
	{ "header: empty with CRs", true, TEXT("A: 1\r\n\r\r\nx\ry"),
	    TEXT("A: 1\r\n\r\nx\r\ny\r\n") },
	{ "header: empty from the start", true, TEXT("\nx\ry"),
	    TEXT("\r\nx\r\ny\r\n") },
	{ "header: no last line end", true, TEXT("A: 1"), TEXT("A: 1\r\n") },
};

/* What comes of pieces of at most `size` bytes, the first of `first`. */
static void
check_pieces(const struct row *row, size_t first, size_t size)
{
	struct lines l;
	struct buf out;
	size_t n = first;

	lines_init(&l, row->is_header);
	buf_init(&out, 4096);
	for (size_t i = 0; i < row->in.len; i += n, n = size) {
		if (n > row->in.len - i)
			n = row->in.len - i;
		assert_int_equal(
		    lines_clean(&l, (struct span){ row->in.s + i, n }, &out),
		    0);
	}
	assert_int_equal(lines_finish(&l, &out), 0);
	if (!span_equal(buf_view(&out), row->want))
		fail_msg(
		    "%s, divided at %zu: got \"%s\"", row->name, first, out.s);
	buf_done(&out);
}

static void
test_lines_become_crlf(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		check_pieces(&rows[i], rows[i].in.len, 1);
}

static void
test_every_division_gives_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		check_pieces(&rows[i], 1, 1);
		for (size_t n = 1; n < rows[i].in.len; n++)
			check_pieces(&rows[i], n, rows[i].in.len);
	}
}

/* Property: CR and LF only as CRLF, whatever came in. */
static void
assert_clean(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.s[i] == '\r')
			assert_true(i + 1 < s.len && s.s[i + 1] == '\n');
		if (s.s[i] == '\n')
			assert_true(i > 0 && s.s[i - 1] == '\r');
	}
	assert_true(s.len == 0 || s.s[s.len - 1] == '\n');
}

/* All texts of six characters out of six, and in two pieces. */
static void
test_output_is_clean_for_all_short_inputs(void **state)
{
	static const char alphabet[] = { 'a', '.', '\r', '\n', '\0', ' ' };
	enum {
		LENGTH = 6,
		COUNT = 6 * 6 * 6 * 6 * 6 * 6
	};

	(void)state;
	for (size_t code = 0; code < COUNT; code++) {
		char in[LENGTH];
		struct buf out;
		struct lines l;

		for (size_t i = 0, rest = code; i < LENGTH; i++, rest /= 6)
			in[i] = alphabet[rest % 6];
		buf_init(&out, 100);
		lines_init(&l, code % 2 == 0);
		assert_int_equal(
		    lines_clean(&l, (struct span){ in, 3 }, &out), 0);
		assert_int_equal(
		    lines_clean(&l, (struct span){ in + 3, 3 }, &out), 0);
		assert_int_equal(lines_finish(&l, &out), 0);
		assert_clean(buf_view(&out));
		buf_done(&out);
	}
}

/* What waits for LF is bounded, and so is what comes out at once. */
static void
test_many_crs_are_not_held_back(void **state)
{
	enum {
		COUNT = 10 * LINES_CR_MAX
	};
	char *crs = xmalloc(COUNT);
	struct lines l;
	struct buf out;

	(void)state;
	memset(crs, '\r', COUNT);
	buf_init(&out, 2 * COUNT + 2 * LINES_CR_MAX);
	lines_init(&l, false);
	assert_int_equal(lines_clean(&l, (struct span){ crs, COUNT }, &out), 0);
	assert_true(l.pending_cr <= LINES_CR_MAX);
	assert_int_equal(lines_finish(&l, &out), 0);
	assert_int_equal(out.len, 2 * COUNT);
	assert_clean(buf_view(&out));
	buf_done(&out);
	free(crs);
}

static void
test_crs_up_to_the_limit_belong_to_the_line_end(void **state)
{
	(void)state;
	for (size_t n = LINES_CR_MAX; n <= LINES_CR_MAX + 1; n++) {
		char in[LINES_CR_MAX + 2];
		struct lines l;
		struct buf out;

		memset(in, '\r', n);
		in[n] = '\n';
		buf_init(&out, 10000);
		lines_init(&l, false);
		assert_int_equal(
		    lines_clean(&l, (struct span){ in, n + 1 }, &out), 0);
		assert_int_equal(
		    out.len, n == LINES_CR_MAX ? 2 : 2 * (LINES_CR_MAX + 2));
		buf_done(&out);
	}
}

static void
test_full_buffer_is_reported(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		for (size_t max = 0; max < rows[i].want.len; max++) {
			struct lines l;
			struct buf out;
			int r;

			lines_init(&l, rows[i].is_header);
			buf_init(&out, max);
			r = lines_clean(&l, rows[i].in, &out);
			if (r == 0)
				r = lines_finish(&l, &out);
			assert_int_equal(r, -1);
			buf_done(&out);
		}
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_become_crlf),
		cmocka_unit_test(test_every_division_gives_the_same),
		cmocka_unit_test(test_output_is_clean_for_all_short_inputs),
		cmocka_unit_test(test_many_crs_are_not_held_back),
		cmocka_unit_test(
		    test_crs_up_to_the_limit_belong_to_the_line_end),
		cmocka_unit_test(test_full_buffer_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
