#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/failure.h"
#include "mail/message.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

/* A string with the NULs that are in it. */
#define TEXT(s)                  \
	{                        \
		s, sizeof(s) - 1 \
	}

#define EURO "\xe2\x82\xac"
#define FACE "\xf0\x9f\x98\x80"

struct row {
	const char *name;
	struct span in;
	const char *header;
	struct span body;
	struct body_facts facts;
};

static const struct row rows[] = {
	{ "nothing", TEXT(""), "", TEXT(""), { false, false, true, 0 } },
	{ "plain", TEXT("A: 1\nB: 2\n\nab\r\nc"), "A: 1\r\nB: 2\r\n",
	    TEXT("ab\r\nc\r\n"), { false, false, true, 2 } },
	{ "no header", TEXT("hello\nx\n"), "", TEXT("hello\r\nx\r\n"),
	    { false, false, true, 5 } },
	{ "bad line in the header", TEXT("A: 1\nbad\n\0\rx\n"), "A: 1\r\n",
	    TEXT("bad\r\n\0\r\nx\r\n"), { false, true, true, 3 } },
	{ "no body", TEXT("A: 1"), "A: 1\r\n", TEXT(""),
	    { false, false, true, 0 } },
	{ "mbox line", TEXT("From a b\nA: 1\n\nFrom b\n"), "A: 1\r\n",
	    TEXT("From b\r\n"), { false, false, true, 6 } },
	{ "the header has no facts", TEXT("A: \xff\0\n\nx\n"), "A: \xff\r\n",
	    TEXT("x\r\n"), { false, false, true, 1 } },
	{ "UTF-8", TEXT("\nJ\xc3\xb6rg " EURO " " FACE "\n"), "",
	    TEXT("J\xc3\xb6rg " EURO " " FACE "\r\n"),
	    { true, false, true, 14 } },
	{ "UTF-8 and nothing else", TEXT("\n" FACE FACE EURO), "",
	    TEXT(FACE FACE EURO "\r\n"), { true, false, true, 11 } },
	{ "Latin-1", TEXT("\nJ\xf6rg\n"), "", TEXT("J\xf6rg\r\n"),
	    { true, false, false, 4 } },
	{ "UTF-8 on one line, Latin-1 on another",
	    TEXT("\n" EURO "\n\xf6\n" EURO "\n"), "",
	    TEXT(EURO "\r\n\xf6\r\n" EURO "\r\n"), { true, false, false, 3 } },
	{ "character cut by a line end", TEXT("\n\xe2\x82\n\xac\n"), "",
	    TEXT("\xe2\x82\r\n\xac\r\n"), { true, false, false, 2 } },
	{ "character cut by the end", TEXT("\na\xe2\x82"), "",
	    TEXT("a\xe2\x82\r\n"), { true, false, false, 3 } },
	{ "surrogate", TEXT("\n\xed\xa0\x80\n"), "", TEXT("\xed\xa0\x80\r\n"),
	    { true, false, false, 3 } },
	{ "too many continuations", TEXT("\n" EURO "\x80\n"), "",
	    TEXT(EURO "\x80\r\n"), { true, false, false, 4 } },
	{ "NUL", TEXT("\na\0b\n"), "", TEXT("a\0b\r\n"),
	    { false, true, true, 3 } },
	{ "longest line in the middle", TEXT("\na\nlonger\nb\n"), "",
	    TEXT("a\r\nlonger\r\nb\r\n"), { false, false, true, 6 } },
	{ "empty lines", TEXT("\n\n\n"), "", TEXT("\r\n\r\n"),
	    { false, false, true, 0 } },
};

/* Overwrite what is at `to` with the characters of s. */
static void
put(char *to, const char *s)
{
	while (*s != '\0')
		*to++ = *s++;
}

static void
read_body(const struct message *m, struct buf *b)
{
	char block[1000];
	struct failure f = { 0 };
	uint64_t offset = 0;
	ssize_t n;

	while (
	    (n = spill_read(&m->body, offset, block, sizeof(block), &f)) > 0) {
		assert_int_equal(buf_add(b, block, (size_t)n), 0);
		offset += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_true(offset == m->body.size);
}

static void
check_facts(const char *name, const struct body_facts *got,
    const struct body_facts *want)
{
	if (got->has_8bit != want->has_8bit || got->has_nul != want->has_nul ||
	    got->is_utf8 != want->is_utf8 ||
	    got->longest_line != want->longest_line)
		fail_msg("%s: 8bit %d, nul %d, utf8 %d, longest %zu", name,
		    got->has_8bit, got->has_nul, got->is_utf8,
		    got->longest_line);
}

/* Written in one piece of `first` octets and then in pieces of `size`. */
static void
check_message(const struct row *row, size_t first, size_t size)
{
	struct failure f = { 0 };
	struct message m;
	struct buf b;
	size_t n = first;

	message_init(&m);
	buf_init(&b, 2000);
	for (size_t i = 0; i < row->in.len; i += n, n = size) {
		if (n > row->in.len - i)
			n = row->in.len - i;
		assert_int_equal(
		    message_write(&m, (struct span){ row->in.s + i, n }, &f),
		    0);
	}
	assert_int_equal(message_finish(&m, &f), 0);
	assert_int_equal(header_write(&m.header, &b), 0);
	if (strcmp(b.s, row->header) != 0)
		fail_msg("%s: header \"%s\"", row->name, b.s);
	buf_reset(&b);
	read_body(&m, &b);
	if (!span_equal(buf_view(&b), row->body))
		fail_msg("%s: body \"%s\"", row->name, b.s);
	check_facts(row->name, &m.facts, &row->facts);
	message_done(&m);
	message_done(&m);
	buf_done(&b);
}

static void
test_message_in_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		check_message(&rows[i], 1, 1);
		check_message(&rows[i], 2, 2);
		for (size_t n = 1; n <= rows[i].in.len; n++)
			check_message(&rows[i], n, rows[i].in.len);
	}
}

/* Where a line is too long for a field's name the rules of the body begin, at
 * the same octet whatever the pieces. */
static void
test_long_first_line_in_pieces(void **state)
{
	char text[1500];
	struct row row = { .name = "long first line",
		.in = { text, sizeof(text) },
		.header = "" };

	(void)state;
	memset(text, 'a', sizeof(text));
	text[900] = '\0';
	text[901] = '\r';
	text[1200] = '\0';
	text[1201] = '\r';
	row.facts = (struct body_facts){ false, true, true, 1200 };
	for (size_t n = 1; n < sizeof(text); n += 7) {
		char want[sizeof(text) + 4];

		memcpy(want, text, 900);
		want[900] = ' ';
		memcpy(want + 901, text + 902, 1201 - 902);
		put(want + 1200, "\r\n");
		memset(want + 1202, 'a', 298);
		put(want + 1500, "\r\n");
		row.body = (struct span){ want, 1502 };
		check_message(&row, n, n);
	}
}

/* Characters across the borders of the blocks that message_write() makes. */
static void
test_utf8_across_blocks(void **state)
{
	enum {
		SIZE = 3 * SPLIT_BLOCK
	};
	char *text = xmalloc(SIZE + 2);

	(void)state;
	for (size_t shift = 0; shift < 4; shift++) {
		struct failure f = { 0 };
		struct message m;
		size_t len = 2 + shift;

		memset(text, '\n', 2);
		memset(text + 2, 'a', shift);
		for (; len + 4 <= SIZE; len += 4)
			put(text + len, FACE);
		message_init(&m);
		assert_int_equal(
		    message_write(&m, (struct span){ text, len }, &f), 0);
		assert_int_equal(message_finish(&m, &f), 0);
		assert_true(m.facts.is_utf8);
		assert_int_equal(m.facts.longest_line, len - 2);
		message_done(&m);
	}
	free(text);
}

/* A wrong octet at every place near a border is found. */
static void
test_bad_utf8_across_blocks(void **state)
{
	char *text = xmalloc(SPLIT_BLOCK + 20);

	(void)state;
	for (size_t at = SPLIT_BLOCK - 8; at < SPLIT_BLOCK + 8; at++) {
		struct failure f = { 0 };
		struct message m;

		text[0] = '\n';
		for (size_t i = 1; i + 4 <= SPLIT_BLOCK + 20; i += 4)
			put(text + i, FACE);
		text[at] = 'x';
		message_init(&m);
		assert_int_equal(
		    message_write(
			&m, (struct span){ text, SPLIT_BLOCK + 17 }, &f),
		    0);
		assert_int_equal(message_finish(&m, &f), 0);
		assert_false(m.facts.is_utf8);
		message_done(&m);
	}
	free(text);
}

static void
test_header_that_is_too_long(void **state)
{
	char *text = xmalloc(HEADER_MAX_BYTES + 10);
	struct failure f = { 0 };
	struct message m;

	(void)state;
	memset(text, 'a', HEADER_MAX_BYTES + 10);
	put(text, "X: ");
	message_init(&m);
	assert_int_equal(
	    message_write(&m, (struct span){ text, HEADER_MAX_BYTES + 10 }, &f),
	    -1);
	assert_int_equal(f.kind, FAILURE_DATA);
	message_done(&m);
	free(text);
}

static void
test_large_body_is_complete(void **state)
{
	enum {
		LINES = 100000
	};
	struct failure f = { 0 };
	struct message m;
	struct buf body;

	(void)state;
	message_init(&m);
	assert_int_equal(message_write(&m, span_of("A: 1\n\n"), &f), 0);
	for (size_t i = 0; i < LINES; i++)
		assert_int_equal(
		    message_write(&m, span_of("0123456789abcdef\n"), &f), 0);
	assert_int_equal(message_finish(&m, &f), 0);
	assert_true(m.body.size == 18ULL * LINES);
	/* Memory does not grow with it. */
	assert_true(m.body.fd != -1);
	assert_true(m.split.body.size <= (size_t)8 * SPLIT_BLOCK);
	buf_init(&body, (size_t)18 * LINES);
	read_body(&m, &body);
	for (size_t i = 0; i < LINES; i++)
		assert_memory_equal(
		    body.s + 18 * i, "0123456789abcdef\r\n", 18);
	buf_done(&body);
	message_done(&m);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_in_pieces),
		cmocka_unit_test(test_long_first_line_in_pieces),
		cmocka_unit_test(test_utf8_across_blocks),
		cmocka_unit_test(test_bad_utf8_across_blocks),
		cmocka_unit_test(test_header_that_is_too_long),
		cmocka_unit_test(test_large_body_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
