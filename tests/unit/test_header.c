#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/failure.h"
#include "mail/header.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static void
expect(const char *name, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("%s: got \"%s\", not \"%s\"", name, got, want);
}

/* ---- reading ---- */

struct read_row {
	const char *name;
	const char *in;
	const char *fields; /* as header_write() writes them */
	const char *body;   /* what is left */
};

static const struct read_row reads[] = {
	{ "nothing", "", "", "" },
	{ "two fields and a body", "A: 1\r\nB: 2\r\n\r\nx\r\n",
	    "A: 1\r\nB: 2\r\n", "x\r\n" },
	{ "no body", "A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n", "" },
	{ "empty body", "A: 1\r\n\r\n", "A: 1\r\n", "" },
	{ "no header", "\r\nx\r\n", "", "x\r\n" },
	{ "text from the start", "hello\r\nworld\r\n", "",
	    "hello\r\nworld\r\n" },
	{ "fold", "A: 1\r\n 2\r\n\t3\r\nB: 4\r\n\r\n",
	    "A: 1\r\n 2\r\n\t3\r\nB: 4\r\n", "" },
	{ "line of blanks is a fold", "A: 1\r\n \r\nB: 2\r\n\r\nx\r\n",
	    "A: 1\r\n \r\nB: 2\r\n", "x\r\n" },
	{ "fold as the first line is body", " x\r\nA: 1\r\n", "",
	    " x\r\nA: 1\r\n" },
	{ "bad line ends the header", "S: 1\r\ngarbage\r\nX: 2\r\n\r\nb\r\n",
	    "S: 1\r\n", "garbage\r\nX: 2\r\n\r\nb\r\n" },
	{ "blank in a name ends the header", "A: 1\r\nB c: 2\r\n", "A: 1\r\n",
	    "B c: 2\r\n" },
	{ "8-bit in a name ends the header", "A: 1\r\n\xc3\xb6: 2\r\n",
	    "A: 1\r\n", "\xc3\xb6: 2\r\n" },
	{ "no name", "A: 1\r\n: 2\r\n", "A: 1\r\n", ": 2\r\n" },
	{ "blanks before the colon", "To : a@x\r\nCc\t :b@x\r\n\r\n",
	    "To: a@x\r\nCc:b@x\r\n", "" },
	{ "no blank behind the colon", "A:1\r\n\r\n", "A:1\r\n", "" },
	{ "no value", "A:\r\nB: \r\n\r\n", "A:\r\nB: \r\n", "" },
	{ "mbox line", "From me Mon Jan 1\r\nS: 1\r\n\r\nFrom b\r\n",
	    "S: 1\r\n", "From b\r\n" },
	{ "several mbox lines",
	    "From a b\r\n>From c d\r\n>>From e f\r\nS: 1\r\n\r\n", "S: 1\r\n",
	    "" },
	{ "mbox line behind a field", "S: 1\r\nFrom me now\r\n\r\n", "S: 1\r\n",
	    "From me now\r\n\r\n" },
	{ "mbox line and then a fold", "From a b\r\n c\r\n", "", " c\r\n" },
	{ "mbox line and no header", "From a b\r\nhello\r\n", "", "hello\r\n" },
	{ "From with a blank before the colon", "From : a@x\r\n\r\n",
	    "From: a@x\r\n", "" },
	{ ">From with a colon is a field", ">From: a@x\r\n\r\n",
	    ">From: a@x\r\n", "" },
	{ "not an mbox line", "Fromage is good\r\n", "",
	    "Fromage is good\r\n" },
};

/* Read in pieces; header and rest of the text are left in the buffers. */
static void
read_pieces(struct span in, size_t size, struct buf *fields, struct buf *body)
{
	struct header_reader r;
	struct failure f;
	size_t i = 0;

	header_reader_init(&r);
	while (i < in.len && !r.is_done) {
		size_t n = size < in.len - i ? size : in.len - i;
		long taken =
		    header_reader_feed(&r, (struct span){ in.s + i, n }, &f);

		assert_true(taken >= 0);
		assert_true(r.is_done || (size_t)taken == n);
		i += (size_t)taken;
	}
	if (!r.is_done)
		header_reader_finish(&r);
	assert_true(r.is_done);
	assert_int_equal(header_write(&r.header, fields), 0);
	assert_int_equal(buf_span(body, buf_view(&r.spill)), 0);
	assert_int_equal(buf_add(body, in.s + i, in.len - i), 0);
	header_reader_done(&r);
}

static void
test_header_is_read_in_pieces_of_any_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(reads); i++) {
		struct span in = span_of(reads[i].in);

		for (size_t size = 1; size <= in.len + 1; size++) {
			struct buf fields;
			struct buf body;

			buf_init(&fields, 4096);
			buf_init(&body, 4096);
			read_pieces(in, size, &fields, &body);
			expect(reads[i].name, fields.s, reads[i].fields);
			expect(reads[i].name, body.s, reads[i].body);
			buf_done(&fields);
			buf_done(&body);
		}
	}
}

static void
test_line_that_is_not_complete_at_the_end(void **state)
{
	struct header_reader r;
	struct failure f;

	(void)state;
	header_reader_init(&r);
	assert_int_equal(
	    header_reader_feed(&r, span_of("A: 1\r\nB: 2"), &f), 10);
	header_reader_finish(&r);
	assert_int_equal(r.header.count, 2);
	assert_true(span_is(field_value(&r.header.fields[1]), "2"));
	header_reader_done(&r);
}

/* Overwrite what is at `to` with the characters of s. */
static void
put(char *to, const char *s)
{
	while (*s != '\0')
		*to++ = *s++;
}

/* "X: aaa...\r\n", n octets in all. */
static char *
long_field(size_t n)
{
	char *s = xmalloc(n + 1);

	memset(s, 'a', n);
	put(s, "X: ");
	memcpy(s + n - 2, "\r\n", 3);
	return s;
}

static void
test_header_limit(void **state)
{
	(void)state;
	for (size_t n = HEADER_MAX_BYTES; n <= HEADER_MAX_BYTES + 1; n++) {
		char *text = long_field(n);
		struct header_reader r;
		struct failure f = { 0 };
		long taken;

		header_reader_init(&r);
		taken = header_reader_feed(&r, span_of(text), &f);
		if (n == HEADER_MAX_BYTES) {
			assert_int_equal(taken, n);
			assert_int_equal(
			    header_reader_feed(&r, span_of("\r\n"), &f), 2);
			assert_true(r.is_done);
		} else {
			assert_int_equal(taken, -1);
			assert_int_equal(f.kind, FAILURE_DATA);
			assert_string_equal(f.text,
			    "the header has a line larger than 1048576 bytes");
		}
		header_reader_done(&r);
		free(text);
	}
}

static void
test_header_limit_for_many_fields(void **state)
{
	struct header_reader r;
	struct failure f = { 0 };
	struct span field = span_of("A: 123\r\n");

	(void)state;
	header_reader_init(&r);
	for (size_t n = 0; n < HEADER_MAX_BYTES / field.len; n++)
		assert_int_equal(header_reader_feed(&r, field, &f), field.len);
	assert_int_equal(header_reader_feed(&r, field, &f), -1);
	assert_string_equal(f.text, "the header is larger than 1048576 bytes");
	header_reader_done(&r);
}

/* A body without a header and without a line end must not be collected. */
static void
test_long_text_is_no_name(void **state)
{
	(void)state;
	for (size_t n = HEADER_NAME_MAX; n <= HEADER_NAME_MAX + 1; n++) {
		char text[HEADER_NAME_MAX + 10];
		struct header_reader r;
		struct failure f;

		memset(text, 'a', sizeof(text));
		text[n] = ':';
		header_reader_init(&r);
		assert_true(header_reader_feed(
				&r, (struct span){ text, n + 1 }, &f) > 0);
		assert_int_equal(r.is_done, n > HEADER_NAME_MAX);
		if (r.is_done)
			assert_int_equal(r.spill.len, HEADER_NAME_MAX + 1);
		header_reader_done(&r);
	}
}

/* A long fold and a long mbox line are known by their start. */
static void
test_long_lines_of_the_header(void **state)
{
	static const char *const starts[] = { "A: 1\r\n ", "From " };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(starts); i++) {
		char text[3000];
		struct header_reader r;
		struct failure f;

		memset(text, 'a', sizeof(text));
		header_reader_init(&r);
		(void)header_reader_feed(&r, span_of(starts[i]), &f);
		assert_int_equal(header_reader_feed(&r,
				     (struct span){ text, sizeof(text) }, &f),
		    sizeof(text));
		assert_false(r.is_done);
		header_reader_done(&r);
	}
}

static void
test_reading_takes_linear_time(void **state)
{
	static const char *const lines[] = { "A: 1\r\n", " x\r\n", "A:\r\n",
		"From x y\r\n", " \r\n" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(lines); i++) {
		struct span line = span_of(lines[i]);
		struct header_reader r;
		struct failure f;

		header_reader_init(&r);
		(void)header_reader_feed(&r, span_of("A: 1\r\n"), &f);
		for (size_t n = 0; n < HEADER_MAX_BYTES / line.len - 3; n++)
			(void)header_reader_feed(&r, line, &f);
		header_reader_finish(&r);
		header_reader_done(&r);
	}
}

/* ---- fields ---- */

static struct header
header_of(const char *text)
{
	struct header_reader r;
	struct failure f;
	struct header h;

	header_reader_init(&r);
	assert_true(header_reader_feed(&r, span_of(text), &f) >= 0);
	header_reader_finish(&r);
	h = r.header;
	r.header = (struct header){ NULL, 0 };
	header_reader_done(&r);
	return h;
}

static const struct {
	const char *name;
	const char *field;
	const char *value;
	const char *unfolded;
} values[] = {
	{ "plain", "A: 1\r\n", "1", "1" },
	{ "blanks around", "A: \t 1 \r\n", "1", "1" },
	{ "empty", "A:\r\n", "", "" },
	{ "only blanks", "A:  \r\n  \r\n", "", "" },
	{ "fold", "A: 1\r\n 2\r\n\t3\r\n", "1\r\n 2\r\n\t3", "1 2\t3" },
	{ "fold first", "A:\r\n 1\r\n", "1", "1" },
	{ "colon in it", "A: b: c\r\n", "b: c", "b: c" },
};

static void
test_field_value(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(values); i++) {
		struct header h = header_of(values[i].field);
		struct span value = field_value(&h.fields[0]);
		struct buf b;

		assert_int_equal(h.count, 1);
		assert_true(span_is(field_name(&h.fields[0]), "A"));
		if (!span_is(value, values[i].value))
			fail_msg("%s: got \"%.*s\"", values[i].name,
			    (int)value.len, value.s);
		buf_init(&b, 100);
		assert_int_equal(field_unfold(&h.fields[0], &b), 0);
		expect(values[i].name, b.s, values[i].unfolded);
		buf_done(&b);
		header_done(&h);
	}
}

static void
test_unfold_into_a_full_buffer(void **state)
{
	struct header h = header_of("A: 12\r\n 3\r\n");
	struct buf b;

	(void)state;
	for (size_t max = 0; max < 4; max++) {
		buf_init(&b, max);
		assert_int_equal(field_unfold(&h.fields[0], &b), -1);
		buf_done(&b);
	}
	header_done(&h);
}

static void
test_find(void **state)
{
	struct header h = header_of("To: a\r\nto: b\r\nTom: c\r\nTO : d\r\n");

	(void)state;
	assert_int_equal(header_find(&h, "To", 0), 0);
	assert_int_equal(header_find(&h, "tO", 1), 1);
	assert_int_equal(header_find(&h, "To", 2), 3);
	assert_int_equal(header_find(&h, "To", 4), 4);
	assert_int_equal(header_find(&h, "To", 40), 4);
	assert_int_equal(header_find(&h, "T", 0), 4);
	assert_true(header_has(&h, "tom"));
	assert_false(header_has(&h, "Cc"));
	header_done(&h);
}

static void
test_add_and_remove(void **state)
{
	static const char *const names[] = { "bcc", "X" };
	struct header h = header_of("A: 1\r\nBcc: x\r\nB: 2\r\nBCC: y\r\n");
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	header_add(&h, "X", "9");
	header_remove(&h, 0);
	assert_int_equal(header_write(&h, &b), 0);
	assert_string_equal(b.s, "Bcc: x\r\nB: 2\r\nBCC: y\r\nX: 9\r\n");
	buf_reset(&b);
	header_remove_named(&h, names, N_ELEMENTS(names));
	header_add(&h, "C", "3\r\n 4");
	assert_int_equal(header_write(&h, &b), 0);
	assert_string_equal(b.s, "B: 2\r\nC: 3\r\n 4\r\n");
	buf_done(&b);
	buf_init(&b, 15);
	assert_int_equal(header_write(&h, &b), -1);
	buf_done(&b);
	header_remove(&h, 1);
	header_remove(&h, 0);
	assert_int_equal(h.count, 0);
	header_done(&h);
	header_done(&h);
}

static void
test_removing_many_takes_linear_time(void **state)
{
	static const char *const names[] = { "Bcc" };
	struct header h = { NULL, 0 };

	(void)state;
	for (size_t i = 0; i < 100000; i++)
		header_add(&h, i % 2 == 0 ? "Bcc" : "A", "x");
	header_remove_named(&h, names, 1);
	assert_int_equal(h.count, 50000);
	header_done(&h);
}

/* ---- folding ---- */

#define A10 "aaaaaaaaaa"
#define A30 A10 A10 A10
#define A60 A30 A30

static const struct {
	const char *name;
	const char *in;
	size_t used;
	const char *want;
} folds[] = {
	{ "empty", "", 4, "" },
	{ "short", "a b", 4, "a b" },
	{ "blanks around go", " a b\r\n ", 4, "a b" },
	{ "fits exactly", A60 " " A10, 7, A60 " " A10 },
	{ "one too long", A60 " " A10, 8, A60 "\r\n " A10 },
	{ "one word is never divided", A60 A60, 4, A60 A60 },
	{ "first word too long for its line", A60 A10 " b", 20,
	    A60 A10 "\r\n b" },
	{ "behind a comma first", A30 ", " A10 " " A10 " " A10 ", b", 20,
	    A30 ",\r\n " A10 " " A10 " " A10 ", b" },
	{ "at blanks where a comma is too far", A30 " " A30 " " A30 ", b", 4,
	    A30 " " A30 "\r\n " A30 ", b" },
	{ "no blank behind the comma", A60 "," A60, 4, A60 "," A60 },
	{ "several blanks stay", A60 "   " A30, 4, A60 "\r\n   " A30 },
	{ "old folds are made anew", "a\r\n b\r\n\tc", 4, "a b\tc" },
	{ "old fold at a better place", A60 " b\r\n " A30, 4,
	    A60 " b\r\n " A30 },
};

static void
test_fold(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(folds); i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(
		    header_fold(&b, span_of(folds[i].in), folds[i].used), 0);
		expect(folds[i].name, b.s, folds[i].want);
		buf_done(&b);
	}
}

/* 150 addresses on one line (section 20, 33): no address is divided. */
static void
test_fold_a_long_list(void **state)
{
	struct buf list;
	struct buf folded;
	struct buf field;
	struct header h;
	size_t line = strlen("To: ");

	(void)state;
	buf_init(&list, 100000);
	buf_init(&folded, 100000);
	buf_init(&field, 100000);
	for (size_t i = 0; i < 150; i++)
		assert_int_equal(buf_printf(&list, "%suser%zu@example.com",
				     i > 0 ? ", " : "", i),
		    0);
	assert_int_equal(header_fold(&folded, buf_view(&list), line), 0);
	for (size_t i = 0; i < folded.len; i++) {
		line = folded.s[i] == '\n' ? 0 : line + 1;
		assert_true(line <= 78 + 1); /* the CR counts here */
		if (folded.s[i] == '\r')
			assert_true(folded.s[i - 1] == ',');
	}
	assert_int_equal(buf_printf(&field, "To: %s\r\n", folded.s), 0);
	h = header_of(field.s);
	buf_reset(&field);
	assert_int_equal(field_unfold(&h.fields[0], &field), 0);
	assert_string_equal(field.s, list.s);
	header_done(&h);
	buf_done(&list);
	buf_done(&folded);
	buf_done(&field);
}

static void
test_fold_into_a_full_buffer(void **state)
{
	struct span value = span_of(A60 " " A30 ", b");
	struct buf b;
	size_t full;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(header_fold(&b, value, 4), 0);
	full = b.len;
	buf_done(&b);
	for (size_t max = 0; max < full; max++) {
		buf_init(&b, max);
		assert_int_equal(header_fold(&b, value, 4), -1);
		buf_done(&b);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_is_read_in_pieces_of_any_size),
		cmocka_unit_test(test_line_that_is_not_complete_at_the_end),
		cmocka_unit_test(test_header_limit),
		cmocka_unit_test(test_header_limit_for_many_fields),
		cmocka_unit_test(test_long_text_is_no_name),
		cmocka_unit_test(test_long_lines_of_the_header),
		cmocka_unit_test(test_reading_takes_linear_time),
		cmocka_unit_test(test_field_value),
		cmocka_unit_test(test_unfold_into_a_full_buffer),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_add_and_remove),
		cmocka_unit_test(test_removing_many_takes_linear_time),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_fold_a_long_list),
		cmocka_unit_test(test_fold_into_a_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
