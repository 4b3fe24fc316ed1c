#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/encode.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	const char *name;
	const char *in;
	const char *want;
};

static void
expect(const char *name, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("%s: got \"%s\", not \"%s\"", name, got, want);
}

/* ---- encoded words ---- */

static const struct {
	const char *in;
	bool want;
} words[] = {
	{ "=?utf-8?Q?J=C3=B6rg?=", true },
	{ "=?ISO-8859-1*de?b?SsO2cmc=?=", true },
	{ "=?utf-8?q?\?=", true },
	{ "=?utf-8?x?a?=", false },
	{ "=?utf-8?QQ?a?=", false },
	{ "=??Q?a?=", false },
	{ "=?utf-8?Q?a b?=", false },
	{ "=?utf-8?Q?a\xc3?=", false },
	{ "=?utf-8?Q?a?b?=", false },
	{ "=?utf-8?Q?a?", false },
	{ "=?utf-8?Q?a", false },
	{ "=?utf-8?Q?a?=x", false },
	{ "x=?utf-8?Q?a?=", false },
	{ "=?=", false },
	{ "=", false },
	{ "", false },
};

static void
test_encoded_word_is_known(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (encoded_word_is(span_of(words[i].in)) != words[i].want)
			fail_msg("%s", words[i].in);
}

static const struct row texts[] = {
	{ "nothing", "", "" },
	{ "mostly ASCII", "J\xc3\xb6rg", "=?utf-8?Q?J=C3=B6rg?=" },
	{ "blank and specials", "J\xc3\xb6rg (x), <a_b@c>",
	    "=?utf-8?Q?J=C3=B6rg_=28x=29=2C_=3Ca=5Fb=40c=3E?=" },
	{ "mostly not ASCII",
	    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
	    "=?utf-8?B?0J/RgNC40LLQtdGC?=" },
	{ "one octet over", "\xc3\xb6", "=?utf-8?B?w7Y=?=" },
	{ "two octets over", "\xf0\x9f\x98\x80", "=?utf-8?B?8J+YgA==?=" },
	{ "Latin-1", "J\xf6rg", "=?unknown-8bit?Q?J=F6rg?=" },
	{ "control characters", "abcdef\x01\x7f", "=?utf-8?Q?abcdef=01=7F?=" },
	{ "two words",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xb6",
	    "=?utf-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa?="
	    " =?utf-8?Q?=C3=B6?=" },
};

static void
test_encoded_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(
		    encoded_words_write(&b, span_of(texts[i].in)), 0);
		expect(texts[i].name, b.s, texts[i].want);
		buf_done(&b);
	}
}

/* Each word is whole, at most 75 characters, and of whole characters: the
 * second is seen from what follows "?Q?", which is never a continuation. */
static void
assert_words(const char *s)
{
	while (*s != '\0') {
		size_t len = strcspn(s, " ");

		assert_true(len <= 75);
		assert_true(encoded_word_is((struct span){ s, len }));
		if (strncmp(s, "=?utf-8?Q?=", 11) == 0)
			assert_null(strchr("89AB", s[11]));
		s += len;
		if (*s == ' ')
			s++;
	}
}

static void
test_characters_are_not_divided(void **state)
{
	static const char *const chars[] = { "\xc3\xb6", "\xe2\x82\xac",
		"\xf0\x9f\x98\x80", "a\xc3\xb6g", "\xe9" };

	(void)state;
	for (size_t shift = 0; shift < 8; shift++) {
		for (size_t i = 0; i < N_ELEMENTS(chars); i++) {
			struct buf text;
			struct buf b;

			buf_init(&text, 10000);
			buf_init(&b, 100000);
			(void)buf_add(&text, "xxxxxxxx", shift);
			for (size_t n = 0; n < 200; n++)
				(void)buf_puts(&text, chars[i]);
			assert_int_equal(
			    encoded_words_write(&b, buf_view(&text)), 0);
			assert_words(b.s);
			buf_done(&text);
			buf_done(&b);
		}
	}
}

static const struct row subjects[] = {
	{ "ASCII stays", "a  b\tc", "a  b\tc" },
	{ "nothing", "", "" },
	{ "one word", "a J\xc3\xb6rg b", "a =?utf-8?Q?J=C3=B6rg?= b" },
	{ "a run of words", "x J\xc3\xb6rg M\xc3\xbcller y",
	    "x =?utf-8?Q?J=C3=B6rg_M=C3=BCller?= y" },
	{ "first and last", "\xc3\xb6hm a \xc3\xb6hm",
	    "=?utf-8?Q?=C3=B6hm?= a =?utf-8?Q?=C3=B6hm?=" },
	{ "old encoded word stays", "a =?utf-8?Q?x?= b", "a =?utf-8?Q?x?= b" },
	{ "behind an old one the blank goes inside",
	    "=?utf-8?Q?x?= J\xc3\xb6rg",
	    "=?utf-8?Q?x?= =?utf-8?Q?_J=C3=B6rg?=" },
	{ "before an old one too", "J\xc3\xb6rg =?utf-8?Q?x?=",
	    "=?utf-8?Q?J=C3=B6rg_?= =?utf-8?Q?x?=" },
	{ "Latin-1", "J\xf6rg", "=?unknown-8bit?Q?J=F6rg?=" },
};

static void
test_unstructured(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(subjects); i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(
		    encode_unstructured(&b, span_of(subjects[i].in)), 0);
		expect(subjects[i].name, b.s, subjects[i].want);
		buf_done(&b);
	}
}

static void
test_words_into_a_full_buffer(void **state)
{
	static const char *const inputs[] = { "a J\xc3\xb6rg", "a \xc3\xb6",
		"=?u?q?x?= \xc3\xb6" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(inputs); i++) {
		struct buf b;
		size_t full;

		buf_init(&b, 1000);
		assert_int_equal(
		    encode_unstructured(&b, span_of(inputs[i])), 0);
		full = b.len;
		buf_done(&b);
		for (size_t max = 0; max < full; max++) {
			buf_init(&b, max);
			assert_int_equal(
			    encode_unstructured(&b, span_of(inputs[i])), -1);
			buf_done(&b);
		}
	}
}

/* ---- quoted-printable ---- */

#define X10 "xxxxxxxxxx"
#define X70 X10 X10 X10 X10 X10 X10 X10

static const struct row printables[] = {
	{ "nothing", "", "" },
	{ "plain lines", "a b\r\nc.\r\n", "a b\r\nc.\r\n" },
	{ "equals sign", "a=b\r\n", "a=3Db\r\n" },
	{ "8-bit", "J\xc3\xb6rg\r\n", "J=C3=B6rg\r\n" },
	{ "control characters", "\x01\x7f\r\n", "=01=7F\r\n" },
	{ "blank at the end of a line", "a \r\nb\t\r\n", "a=20\r\nb=09\r\n" },
	{ "blanks at the end of a line", "a  \r\n", "a =20\r\n" },
	{ "blank line", " \r\n", "=20\r\n" },
	{ "tab within a line", "a\tb\r\n", "a\tb\r\n" },
	{ "no last line end", "a ", "a=20" },
	{ "empty lines", "\r\n\r\n", "\r\n\r\n" },
	{ "lone CR", "a\rb\r\n", "a=0Db\r\n" },
	{ "lone LF", "a\nb\r\n", "a=0Ab\r\n" },
	{ "CR CR LF", "a\r\r\n", "a=0D\r\n" },
	{ "CR at the end", "a \r", "a =0D" },
	{ "75 characters", X70 "12345\r\n", X70 "12345\r\n" },
	{ "76 characters", X70 "123456\r\n", X70 "12345=\r\n6\r\n" },
	{ "code does not fit", X70 "123=\r\n", X70 "123=\r\n=3D\r\n" },
	{ "code fits", X70 "12=\r\n", X70 "12=3D\r\n" },
	{ "blank at the limit", X70 "1234 6\r\n", X70 "1234 =\r\n6\r\n" },
	{ "blank to protect at the limit", X70 "1234 \r\n",
	    X70 "1234=\r\n=20\r\n" },
};

static void
check_qp(const struct row *row, size_t first)
{
	struct span in = span_of(row->in);
	struct qp qp;
	struct buf b;

	qp_init(&qp);
	buf_init(&b, 1000);
	assert_int_equal(qp_write(&qp, (struct span){ in.s, first }, &b), 0);
	assert_int_equal(
	    qp_write(&qp, (struct span){ in.s + first, in.len - first }, &b),
	    0);
	assert_int_equal(qp_finish(&qp, &b), 0);
	expect(row->name, b.s, row->want);
	buf_done(&b);
}

static void
test_quoted_printable_in_two_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(printables); i++)
		for (size_t n = 0; n <= strlen(printables[i].in); n++)
			check_qp(&printables[i], n);
}

static void
test_quoted_printable_octet_by_octet(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(printables); i++) {
		const char *in = printables[i].in;
		struct qp qp;
		struct buf b;

		qp_init(&qp);
		buf_init(&b, 1000);
		for (; *in != '\0'; in++) {
			struct buf room;

			/* The promise: 4 times the data and 16. */
			buf_init(&room, 4 + 16);
			assert_int_equal(
			    qp_write(&qp, (struct span){ in, 1 }, &room), 0);
			assert_int_equal(buf_span(&b, buf_view(&room)), 0);
			buf_done(&room);
		}
		assert_int_equal(qp_finish(&qp, &b), 0);
		expect(printables[i].name, b.s, printables[i].want);
		buf_done(&b);
	}
}

static void
test_quoted_printable_into_a_full_buffer(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(printables); i++) {
		size_t full = strlen(printables[i].want);

		for (size_t max = 0; max < full; max++) {
			struct qp qp;
			struct buf b;
			int r;

			qp_init(&qp);
			buf_init(&b, max);
			r = qp_write(&qp, span_of(printables[i].in), &b);
			if (r == 0)
				r = qp_finish(&qp, &b);
			assert_int_equal(r, -1);
			buf_done(&b);
		}
	}
}

static void
test_quoted_printable_lines_are_short(void **state)
{
	struct qp qp;
	struct buf b;
	size_t line = 0;

	(void)state;
	qp_init(&qp);
	buf_init(&b, 100000);
	for (int c = 0; c < 10000; c++) {
		char octet = (char)(c * 7);

		assert_int_equal(
		    qp_write(&qp, (struct span){ &octet, 1 }, &b), 0);
	}
	assert_int_equal(qp_finish(&qp, &b), 0);
	for (size_t i = 0; i < b.len; i++) {
		assert_true(b.s[i] == '\r' || b.s[i] == '\n' ||
		    b.s[i] == '\t' || (b.s[i] >= ' ' && b.s[i] < 0x7f));
		line = b.s[i] == '\n' ? 0 : line + 1;
		assert_true(line <= 76 + 1); /* the CR counts here */
	}
	buf_done(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encoded_word_is_known),
		cmocka_unit_test(test_encoded_words),
		cmocka_unit_test(test_characters_are_not_divided),
		cmocka_unit_test(test_unstructured),
		cmocka_unit_test(test_words_into_a_full_buffer),
		cmocka_unit_test(test_quoted_printable_in_two_pieces),
		cmocka_unit_test(test_quoted_printable_octet_by_octet),
		cmocka_unit_test(test_quoted_printable_into_a_full_buffer),
		cmocka_unit_test(test_quoted_printable_lines_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
