#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

/* "name|local|domain", with "-" for what is NULL. */
static void
show(struct buf *b, const struct mailbox *m)
{
	assert_int_equal(
	    buf_printf(b, "%s|%s|%s", m->name != NULL ? m->name : "-",
		m->local != NULL ? m->local : "-",
		m->domain != NULL ? m->domain : "-"),
	    0);
}

/* All mailboxes of a list, one after another, and what was left out. */
static void
show_list(struct buf *b, const struct mailbox_list *list,
    const struct mailbox_list_notes *notes)
{
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			assert_int_equal(buf_puts(b, " ; "), 0);
		show(b, &list->items[i]);
	}
	if (notes->skipped > 0)
		assert_int_equal(buf_printf(b, " !%zu", notes->skipped), 0);
	if (notes->has_group)
		assert_int_equal(buf_puts(b, " group"), 0);
}

static void
expect(const char *name, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("%s: got \"%s\", not \"%s\"", name, got, want);
}

struct parse_row {
	const char *name;
	const char *in;
	const char *want; /* as show() writes it, or what the failure says */
};

static const struct parse_row good_mailboxes[] = {
	{ "plain", "a@x", "-|a|x" },
	{ "in angle brackets", "<a@x>", "-|a|x" },
	{ "blanks around", " \t a@x ", "-|a|x" },
	{ "with a name", "Foo Bar <a@x>", "Foo Bar|a|x" },
	{ "bare name", "root", "-|root|-" },
	{ "bare name in brackets", "<root>", "-|root|-" },
	{ "cron's From", "root (Cron Daemon)", "Cron Daemon|root|-" },
	{ "name in a comment", "a@x (Jane (J.) Doe)", "Jane (J.) Doe|a|x" },
	{ "comment before", "(Jane) a@x", "Jane|a|x" },
	{ "comment after brackets", "<a@x> (Jane)", "Jane|a|x" },
	{ "comment beside a name", "Jane (work) <a@x>", "Jane|a|x" },
	{ "comments everywhere", "a(1)@(2)x(3)", "1|a|x" },
	{ "quoted pair in a comment", "a@x (a\\)b)", "a)b|a|x" },
	{ "parentheses in a quoted name", "\"(Cron Daemon)\" <x>",
	    "(Cron Daemon)|x|-" },
	{ "dots in a name", "J. R. Doe <a@x>", "J. R. Doe|a|x" },
	{ "quoted name", "\"Doe, Jane \\\"J\\\"\" <a@x>",
	    "Doe, Jane \"J\"|a|x" },
	{ "blanks in a name become one", "Foo  \t Bar<a@x>", "Foo Bar|a|x" },
	{ "words without a blank between", "Foo\"bar\" <a@x>", "Foobar|a|x" },
	{ "encoded word stays", "=?utf-8?Q?J=C3=B6rg?= D <a@x>",
	    "=?utf-8?Q?J=C3=B6rg?= D|a|x" },
	{ "encoded word with a comma", "=?utf-8?Q?Doe,_J?= <a@x>",
	    "=?utf-8?Q?Doe,_J?=|a|x" },
	{ "8-bit name", "J\xc3\xb6rg <a@x>", "J\xc3\xb6rg|a|x" },
	{ "Latin-1 name", "J\xf6rg <a@x>", "J\xf6rg|a|x" },
	{ "UTF-8 address", "j\xc3\xb6rg@b\xc3\xbc.de",
	    "-|j\xc3\xb6rg|b\xc3\xbc.de" },
	{ "address as its own name", "a@x <a@x>", "a@x|a|x" },
	{ "address of another as a name", "b@y <a@x>", "b@y|a|x" },
	{ "odd characters in a name", "[T] CORP\\u) <a@x>",
	    "[T] CORP\\u)|a|x" },
	{ "empty quoted name", "\"\" <a@x>", "-|a|x" },
	{ "blank before the address", "Jane< a@x >", "Jane|a|x" },
	{ "blanks around @", "a @ x", "-|a|x" },
	{ "quoted local part", "\"john doe\"@x", "-|\"john doe\"|x" },
	{ "needless quotes go", "\"a.b\"@x", "-|a.b|x" },
	{ "wanted quotes come", "a..b@x", "-|\"a..b\"|x" },
	{ "dot before @", "a.@x", "-|\"a.\"|x" },
	{ "backslash in quotes", "\"a\\\\b\\\"\"@x", "-|\"a\\\\b\\\"\"|x" },
	{ "@ in quotes", "\"a@b\"@x", "-|\"a@b\"|x" },
	{ "all of atext", "!#$%&'*+-/=?^_`{|}~@x", "-|!#$%&'*+-/=?^_`{|}~|x" },
	{ "domain literal", "a@[192.0.2.1]", "-|a|[192.0.2.1]" },
	{ "IPv6 literal", "a@[IPv6:2001:db8::1]", "-|a|[IPv6:2001:db8::1]" },
	{ "last dot of a domain goes", "a@x.example.", "-|a|x.example" },
	{ "underscore in a domain", "a@my_host", "-|a|my_host" },
	{ "source route is dropped", "<@a,@b:c@d>", "-|c|d" },
	{ "source route with a name", "C <@a.x:c@d>", "C|c|d" },
	{ "comma behind", "a@x,", "-|a|x" },
};

static void
test_mailbox_is_parsed(void **state)
{
	struct failure f;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good_mailboxes); i++) {
		const struct parse_row *row = &good_mailboxes[i];
		struct mailbox m;
		struct buf got;

		buf_init(&got, 4096);
		assert_int_equal(mailbox_parse(span_of(row->in), &m, &f), 0);
		show(&got, &m);
		expect(row->name, got.s, row->want);
		mailbox_done(&m);
		buf_done(&got);
	}
}

static const struct parse_row bad_mailboxes[] = {
	{ "empty", "", "bad address \"\": it is empty" },
	{ "blanks", " \t", "bad address \" \\x09\": it is empty" },
	{ "only a comment", "(x)", "bad address \"(x)\": it is empty" },
	{ "null sender", "<>", "bad address \"<>\": it is no address" },
	{ "null with a name", "A <>",
	    "bad address \"A <>\": it is no address" },
	{ "no domain behind @", "user@",
	    "bad address \"user@\": the domain is missing" },
	{ "no local part", "@x",
	    "bad address \"@x\": nothing is before the @" },
	{ "empty quoted local part", "\"\"@x",
	    "bad address \"\"\"@x\": nothing is before the @" },
	{ "option", "-x@y", "bad address \"-x@y\": it looks like an option" },
	{ "option in quotes", "\"-x\"@y",
	    "bad address \"\"-x\"@y\": it looks like an option" },
	{ "option with a name", "Foo <-oQ/tmp@y>",
	    "bad address \"Foo <-oQ/tmp@y>\": it looks like an option" },
	{ "pipe", "|/bin/true",
	    "bad address \"|/bin/true\": mail to programs and files is not "
	    "supported (|, /, :include:)" },
	{ "quoted pipe", "\"|sh -c id\"",
	    "bad address \"\"|sh -c id\"\": mail to programs and files is not "
	    "supported (|, /, :include:)" },
	{ "pipe with a domain", "\"|id\"@x",
	    "bad address \"\"|id\"@x\": mail to programs and files is not "
	    "supported (|, /, :include:)" },
	{ "file", "/tmp/x",
	    "bad address \"/tmp/x\": mail to programs and files is not "
	    "supported (|, /, :include:)" },
	{ "include", ":include:/etc/list",
	    "bad address \":include:/etc/list\": mail to programs and files "
	    "is not supported (|, /, :include:)" },
	{ "quoted include", "\":INCLUDE:/etc/list\"@x",
	    "bad address \"\":INCLUDE:/etc/list\"@x\": mail to programs and "
	    "files is not supported (|, /, :include:)" },
	{ "two", "a@x, b@x",
	    "bad address \"a@x, b@x\": it is more than one address" },
	{ "two without comma", "a@x b@x",
	    "bad address \"a@x b@x\": it is more than one address" },
	{ "group", "friends: a@x;",
	    "bad address \"friends: a@x;\": it is a group" },
	{ "words", "not an address",
	    "bad address \"not an address\": it is no address" },
	{ "quoted words", "\"John Doe\"",
	    "bad address \"\"John Doe\"\": it is no address" },
	{ "two @", "a@b@c", "bad address \"a@b@c\": nothing is before the @" },
	{ "piece of an encoded word", "=?utf-8?Q?Foo",
	    "bad address \"=?utf-8?Q?Foo\": it is no address" },
	{ "line feed", "a@x\nBcc: y@x",
	    "bad address \"a@x\\x0aBcc: y@x\": a line end or NUL is in it" },
	{ "carriage return", "a\r@x",
	    "bad address \"a\\x0d@x\": a line end or NUL is in it" },
	{ "control character", "a\x01@x",
	    "bad address \"a\\x01@x\": a control character is in it, or a "
	    "quote or parenthesis is not closed" },
	{ "control character in quotes", "\"a\x1b\"@x",
	    "bad address \"\"a\\x1b\"@x\": a control character is in it, or a "
	    "quote or parenthesis is not closed" },
	{ "escaped control character", "\"a\\\x1b\"@x",
	    "bad address \"\"a\\\\x1b\"@x\": a control character is in it" },
	{ "tab in a local part", "\"a\tb\"@x",
	    "bad address \"\"a\\x09b\"@x\": a control character is in it" },
	{ "control character in a name", "\"A\x07\" <a@x>",
	    "bad address \"\"A\\x07\" <a@x>\": a control character is in it, "
	    "or a quote or parenthesis is not closed" },
	{ "open quote", "\"a@x",
	    "bad address \"\"a@x\": a control character is in it, or a quote "
	    "or parenthesis is not closed" },
	{ "open comment", "a@x (b",
	    "bad address \"a@x (b\": a control character is in it, or a quote "
	    "or parenthesis is not closed" },
	{ "open angle", "A <a@x", "bad address \"A <a@x\": a < is not closed" },
	{ "open route", "<@a,@b:c@d",
	    "bad address \"<@a,@b:c@d\": a < is not closed" },
	{ "lone >", "a@x>", "bad address \"a@x>\": a > is not expected" },
	{ "angle in angle", "<<a@x>>",
	    "bad address \"<<a@x>>\": a < is not closed" },
	{ "two in one angle", "<a@x b@x>",
	    "bad address \"<a@x b@x>\": it is no address" },
	{ "route without address", "<@a:>",
	    "bad address \"<@a:>\": it is no address" },
	{ "invalid UTF-8 in the local part", "\xff@x",
	    "bad address \"\\xff@x\": it is neither ASCII nor UTF-8" },
	{ "invalid UTF-8 in the domain", "a@\xc3x",
	    "bad address \"a@\\xc3x\": it is neither ASCII nor UTF-8" },
	{ "wrong character in the domain", "a@x/y",
	    "bad address \"a@x/y\": the domain has a wrong character" },
	{ "empty label", "a@x..y",
	    "bad address \"a@x..y\": the domain is malformed" },
	{ "dot as a domain", "a@.",
	    "bad address \"a@.\": the domain is malformed" },
	{ "domain like an option", "a@-x",
	    "bad address \"a@-x\": the domain is malformed" },
	{ "empty literal", "a@[]",
	    "bad address \"a@[]\": the domain is empty" },
	{ "open literal", "a@[1.2.3.4",
	    "bad address \"a@[1.2.3.4\": the domain is missing" },
	{ "blank in a literal", "a@[1 2]",
	    "bad address \"a@[1 2]\": the domain is missing" },
	{ "quoted domain", "a@\"x\"",
	    "bad address \"a@\"x\"\": the domain is missing" },
	{ "backslash", "\\root", "bad address \"\\root\": it is no address" },
};

static void
test_mailbox_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(bad_mailboxes); i++) {
		const struct parse_row *row = &bad_mailboxes[i];
		struct failure f = { 0 };
		struct mailbox m;

		assert_int_equal(mailbox_parse(span_of(row->in), &m, &f), -1);
		expect(row->name, f.text, row->want);
		assert_int_equal(f.kind, FAILURE_DATA);
		assert_string_equal(f.dsn, "5.1.3");
	}
}

static void
test_nul_is_refused(void **state)
{
	struct failure f = { 0 };
	struct mailbox m;

	(void)state;
	assert_int_equal(
	    mailbox_parse((struct span){ "a\0b@x", 5 }, &m, &f), -1);
	assert_string_equal(
	    f.text, "bad address \"a\\x00b@x\": a line end or NUL is in it");
}

/* What whoever holds a mailbox relies on. */
static void
assert_fits_a_command(const struct mailbox *m)
{
	struct span local = span_of(m->local);

	assert_false(ascii_has_control(local));
	assert_false(ascii_has_control(span_of(m->domain)));
	assert_null(strchr(m->domain, ' '));
	if (local.s[0] != '"')
		assert_null(strpbrk(local.s, " \"(),:;<>@[\\]"));
	assert_true(local.s[0] != '-');
}

static void
check_octets(struct span in)
{
	struct failure f;
	struct mailbox m;

	if (mailbox_parse(in, &m, &f) == 0) {
		assert_fits_a_command(&m);
		mailbox_done(&m);
	}
}

/* Property: no octet gets into an address that must not be there. */
static void
test_every_octet_in_an_address(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char inputs[3][7] = { "a.@x.y", "\"a.\"@x", "a@x.yy" };

		inputs[0][1] = inputs[1][2] = inputs[2][3] = (char)c;
		for (size_t i = 0; i < N_ELEMENTS(inputs); i++)
			check_octets((struct span){ inputs[i], 6 });
	}
}

/* local@domain with a local part of n octets. */
static char *
long_address(size_t n)
{
	char *s = xmalloc(n + 3);

	memset(s, 'a', n);
	memcpy(s + n, "@x", 3);
	return s;
}

static void
test_length_limit(void **state)
{
	static const struct {
		size_t length;
		int want;
	} rows[] = { { 252, 0 }, { 253, -1 }, { 254, -1 }, { 255, -1 },
		{ 5000, -1 } };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char *text = long_address(rows[i].length);
		struct mailbox m = { NULL, NULL, NULL };
		struct failure f = { 0 };

		assert_int_equal(
		    mailbox_parse(span_of(text), &m, &f), rows[i].want);
		if (rows[i].want == -1) {
			assert_non_null(
			    strstr(f.text, "...\": it is too long"));
			assert_true(strlen(f.text) < 200);
		}
		mailbox_done(&m);
		free(text);
	}
}

static void
test_quotes_count_for_the_limit(void **state)
{
	char text[300];
	struct failure f = { 0 };
	struct mailbox m;

	(void)state;
	memset(text, ' ', sizeof(text));
	text[0] = 'a';
	(void)snprintf(text + 250, 50, "b\"@xyz");
	memmove(text + 1, text, 255);
	text[0] = '"';
	assert_int_equal(mailbox_parse(span_of(text), &m, &f), -1);
	assert_non_null(strstr(f.text, "it is too long"));
}

static void
test_long_name_is_left_out(void **state)
{
	(void)state;
	for (size_t n = MAILBOX_NAME_MAX; n <= MAILBOX_NAME_MAX + 1; n++) {
		char text[MAILBOX_NAME_MAX + 20];
		struct failure f = { 0 };
		struct mailbox m;

		memset(text, 'n', n);
		memcpy(text + n, " <a@x>", 7);
		assert_int_equal(mailbox_parse(span_of(text), &m, &f), 0);
		if (n == MAILBOX_NAME_MAX)
			assert_int_equal(strlen(m.name), MAILBOX_NAME_MAX);
		else
			assert_null(m.name);
		assert_string_equal(m.local, "a");
		mailbox_done(&m);
	}
}

static void
test_comment_depth(void **state)
{
	(void)state;
	for (size_t depth = 100; depth <= 101; depth++) {
		char text[300] = "a@x ";
		struct mailbox m = { NULL, NULL, NULL };
		struct failure f;

		memset(text + 4, '(', depth);
		memset(text + 4 + depth, ')', depth);
		assert_int_equal(mailbox_parse(span_of(text), &m, &f),
		    depth == 100 ? 0 : -1);
		mailbox_done(&m);
	}
}

static void
test_null_sender(void **state)
{
	static const char *const rows[] = { "", " ", "<>", " < > ", "<\t>" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct failure f = { 0 };
		struct mailbox m;
		struct buf b;

		assert_int_equal(
		    mailbox_parse_sender(span_of(rows[i]), &m, &f), 0);
		assert_true(mailbox_is_null(&m));
		buf_init(&b, 100);
		assert_int_equal(mailbox_write_address(&b, &m), 0);
		assert_int_equal(mailbox_write(&b, &m), 0);
		assert_string_equal(b.s, "");
		buf_done(&b);
		mailbox_done(&m);
	}
}

static void
test_sender_with_address(void **state)
{
	struct failure f = { 0 };
	struct mailbox m;

	(void)state;
	assert_int_equal(mailbox_parse_sender(span_of("Foo <s@x>"), &m, &f), 0);
	assert_string_equal(m.local, "s");
	assert_string_equal(m.name, "Foo");
	mailbox_done(&m);
	assert_int_equal(mailbox_parse_sender(span_of("<-f@x>"), &m, &f), -1);
	assert_int_equal(mailbox_parse_sender(span_of("a@"), &m, &f), -1);
}

static const struct parse_row lists[] = {
	{ "empty", "", "" },
	{ "commas", " , ,,", "" },
	{ "two", "a@x,b@x", "-|a|x ; -|b|x" },
	{ "name with a comma", "b@x, \"X, Y\" <c@x>", "-|b|x ; X, Y|c|x" },
	{ "blank between", "a@x b@x", "-|a|x ; -|b|x" },
	{ "blank between, three", "a@x\tb@x c@x", "-|a|x ; -|b|x ; -|c|x" },
	{ "angles side by side", "<a@x> <b@x>c@x", "-|a|x ; -|b|x ; -|c|x" },
	{ "semicolons", "a@x; b@x;", "-|a|x ; -|b|x" },
	{ "empty group", "undisclosed-recipients:;", " group" },
	{ "empty group with a blank", "undisclosed-recipients: ;", " group" },
	{ "group", "friends: a@x, b@x;, c@x", "-|a|x ; -|b|x ; -|c|x group" },
	{ "group behind a group", "A:a@x;B:;c@x", "-|a|x ; -|c|x group" },
	{ "group without end", "friends: a@x, b@x", "-|a|x ; -|b|x group" },
	{ "comments", "a@x (comment), <b@x>, N <c@x>",
	    "comment|a|x ; -|b|x ; N|c|x" },
	{ "quoted local parts", "\"john doe\"@x, <\"a b\"@x>",
	    "-|\"john doe\"|x ; -|\"a b\"|x" },
	{ "bad ones are left out", "a@x, not an address, @x", "-|a|x !2" },
	{ "bare names", "root, jdoe", "-|root|- ; -|jdoe|-" },
	{ "bare name behind an address", "a@x root", "-|a|x !1" },
	{ "two domains", "a@x@y, b@x", "-|b|x !1" },
	{ "two domains, a blank between", "a@x @y, b@x", "-|b|x !1" },
	{ "blanks in a domain", "a @ x . com, b@x", "-|b|x !1" },
	{ "blank behind a dot of a domain", "a@x. com, b@x", "-|b|x !1" },
	{ "quotes behind a domain", "a@x\"y\"@z, b@x", "-|b|x !1" },
	{ "bracket behind a domain", "a@x[y], b@x", "-|b|x !1" },
	{ "bare name behind an angle", "<a@x> root", "-|a|x !1" },
	{ "name behind an address", "a@x John Doe <b@x>", "a@x John Doe|b|x" },
	{ "empty angle", "<>, a@x", "-|a|x !1" },
	{ "encoded word with a comma", "=?utf-8?Q?Doe,_J?= <a@x>, b@x",
	    "=?utf-8?Q?Doe,_J?=|a|x ; -|b|x" },
	{ "open angle does not swallow the next", "A <a@x, B <b@x>",
	    "B|b|x !1" },
	{ "pipe among others", "|/bin/sh, a@x", "-|a|x !1" },
	{ "include among others", ":include:/etc/l, a@x", "-|a|x !1" },
	{ "control character spoils its entry", "a@x, b\x01@x, c@x",
	    "-|a|x ; -|c|x !1" },
	{ "line end spoils all", "a@x\nBcc: y@x", " !1" },
};

static void
test_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(lists); i++) {
		struct mailbox_list list = { NULL, 0 };
		struct mailbox_list_notes notes;
		struct failure f;
		struct buf got;

		buf_init(&got, 4096);
		assert_int_equal(mailbox_list_parse(span_of(lists[i].in), 100,
				     &list, &notes, &f),
		    0);
		show_list(&got, &list, &notes);
		expect(lists[i].name, got.s, lists[i].want);
		buf_done(&got);
		mailbox_list_done(&list);
	}
}

static void
test_list_notes_the_first_bad_one(void **state)
{
	struct mailbox_list list = { NULL, 0 };
	struct mailbox_list_notes notes;
	struct failure f;

	(void)state;
	assert_int_equal(mailbox_list_parse(span_of("a@x, user@ , -b@x"), 100,
			     &list, &notes, &f),
	    0);
	assert_int_equal(notes.skipped, 2);
	assert_true(span_is(notes.first_skipped, "user@"));
	assert_string_equal(notes.first_reason, "the domain is missing");
	mailbox_list_done(&list);
}

static void
test_list_maximum(void **state)
{
	struct mailbox_list list = { NULL, 0 };
	struct failure f = { 0 };

	(void)state;
	assert_int_equal(
	    mailbox_list_parse(span_of("a@x,b@x"), 3, &list, NULL, &f), 0);
	assert_int_equal(
	    mailbox_list_parse(span_of("c@x"), 3, &list, NULL, &f), 0);
	assert_int_equal(
	    mailbox_list_parse(span_of("bad@"), 3, &list, NULL, &f), 0);
	assert_int_equal(
	    mailbox_list_parse(span_of("d@x"), 3, &list, NULL, &f), -1);
	assert_string_equal(f.text, "more than 3 addresses");
	assert_int_equal(list.count, 3);
	mailbox_list_done(&list);
}

/* Each of these once made a parser of this kind take minutes. */
static void
test_hostile_lists_take_linear_time(void **state)
{
	static const char *const pieces[] = { "(", ")", "\"", ",", "<", ">",
		"@", ":", ";", "=?", "=?a?q?", "[", "\\", "a ", "a@x(", "<@a,",
		"\"(", "<a@x>(c)", "a@x ", "(a)" };
	enum {
		SIZE = 1024 * 1024
	};
	char *text = xmalloc(SIZE);

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(pieces); i++) {
		size_t len = strlen(pieces[i]);
		struct mailbox_list list = { NULL, 0 };
		struct failure f;

		for (size_t k = 0; k < SIZE; k++)
			text[k] = pieces[i][k % len];
		/* Quadratic work would take minutes: nobody would miss it. */
		assert_int_equal(mailbox_list_parse((struct span){ text, SIZE },
				     SIZE, &list, NULL, &f),
		    0);
		mailbox_list_done(&list);
	}
	free(text);
}

static void
test_list_without_duplicates(void **state)
{
	struct mailbox_list list = { NULL, 0 };
	struct mailbox_list_notes notes = { 0 };
	struct failure f;
	struct buf got;

	(void)state;
	buf_init(&got, 4096);
	mailbox_list_unique(&list);
	assert_int_equal(
	    mailbox_list_parse(span_of("b@x, A <a@x>, B@X, root, a@y, \"a\"@x,"
				       " ROOT, root@x, b@x"),
		100, &list, NULL, &f),
	    0);
	mailbox_list_unique(&list);
	show_list(&got, &list, &notes);
	assert_string_equal(
	    got.s, "-|b|x ; A|a|x ; -|root|- ; -|a|y ; -|root|x");
	assert_int_equal(
	    mailbox_list_parse(span_of("c@x, d@x"), 100, &list, NULL, &f), 0);
	assert_int_equal(list.count, 7);
	buf_done(&got);
	mailbox_list_done(&list);
}

static void
test_unique_of_many(void **state)
{
	struct mailbox_list list = { NULL, 0 };
	char local[20];

	(void)state;
	for (size_t i = 0; i < 20000; i++) {
		struct mailbox m = { NULL, local, NULL };

		(void)snprintf(local, sizeof(local), "u%zu", i % 10000);
		mailbox_list_add(&list, &m);
	}
	mailbox_list_unique(&list);
	assert_int_equal(list.count, 10000);
	assert_string_equal(list.items[9999].local, "u9999");
	mailbox_list_done(&list);
}

static const struct {
	const char *a;
	const char *b;
	bool want;
} pairs[] = {
	{ "a@x", "a@x", true },
	{ "a@x", "A@X", true },
	{ "Foo <a@x>", "a@x (Bar)", true },
	{ "\"a\"@x", "a@x", true },
	{ "a@x", "a@y", false },
	{ "a@x", "a", false },
	{ "a", "A", true },
	{ "a@x", "aa@x", false },
	{ "<>", "<>", true },
	{ "<>", "a", false },
};

static void
test_equality(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
		struct mailbox a;
		struct mailbox b;
		struct failure f;

		assert_int_equal(
		    mailbox_parse_sender(span_of(pairs[i].a), &a, &f), 0);
		assert_int_equal(
		    mailbox_parse_sender(span_of(pairs[i].b), &b, &f), 0);
		assert_int_equal(mailbox_equal(&a, &b), pairs[i].want);
		assert_int_equal(mailbox_equal(&b, &a), pairs[i].want);
		mailbox_done(&a);
		mailbox_done(&b);
	}
}

static const struct parse_row qualified[] = {
	{ "bare name", "root", "root@h.example" },
	{ "bare name with name", "Foo <root>", "root@h.example" },
	{ "with domain", "a@x", "a@x" },
	{ "null sender", "<>", "" },
};

static void
test_names_of_this_host(void **state)
{
	static const char host[] = "web1.contoso.com";
	static const struct {
		const char *address;
		const char *host_name;
		bool want;
	} rows[] = {
		{ "root", host, true },
		{ "root", NULL, true },
		{ "<>", host, false },
		{ "<>", NULL, false },
		{ "root@web1.contoso.com", host, true },
		{ "root@WEB1.Contoso.Com", host, true },
		{ "root@web1", host, true },
		{ "root@Web1", host, true },
		{ "root@localhost", host, true },
		{ "root@LOCALHOST.localdomain", NULL, true },
		{ "root@localhost", NULL, true },
		{ "root@web1.contoso.com.", host, true },
		{ "root@web1", NULL, false },
		{ "root@web1.contoso.com", NULL, false },
		{ "root@contoso.com", host, false },
		{ "root@web", host, false },
		{ "root@web11", host, false },
		{ "root@web1.", host, true },
		{ "root@web1.contoso.co", host, false },
		{ "root@web1.contoso.com.evil.org", host, false },
		{ "root@a.web1.contoso.com", host, false },
		{ "root@web1.fabrikam.example", host, false },
		{ "root@localhost.contoso.com", host, false },
		{ "root@localdomain", host, false },
		{ "root@[127.0.0.1]", host, false },
		{ "root@web1", "web1", true },
		{ "root@web1.contoso.com", "web1", false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct mailbox m;
		struct failure f;

		assert_int_equal(
		    mailbox_parse_sender(span_of(rows[i].address), &m, &f), 0);
		if (mailbox_is_local(&m, rows[i].host_name) != rows[i].want)
			fail_msg("%s at %s: not %d", rows[i].address,
			    rows[i].host_name != NULL ? rows[i].host_name
						      : "no host",
			    rows[i].want);
		mailbox_done(&m);
	}
}

static void
test_qualify(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(qualified); i++) {
		struct mailbox m;
		struct failure f;
		struct buf b;

		buf_init(&b, 100);
		assert_int_equal(
		    mailbox_parse_sender(span_of(qualified[i].in), &m, &f), 0);
		mailbox_qualify(&m, "h.example");
		assert_int_equal(mailbox_write_address(&b, &m), 0);
		expect(qualified[i].name, b.s, qualified[i].want);
		mailbox_done(&m);
		buf_done(&b);
	}
}

static const struct parse_row written[] = {
	{ "address alone", "<a@x>", "a@x" },
	{ "bare name", "root", "root" },
	{ "comment becomes a name", "root (Cron Daemon)",
	    "Cron Daemon <root>" },
	{ "words", "Foo Bar <a@x>", "Foo Bar <a@x>" },
	{ "dot", "J. Doe <a@x>", "\"J. Doe\" <a@x>" },
	{ "comma", "\"Doe, Jane (x)\" <a@x>", "\"Doe, Jane (x)\" <a@x>" },
	{ "address as a name", "a@x <a@x>", "\"a@x\" <a@x>" },
	{ "quote and backslash", "\"a\\\"b\\\\c\" <a@x>",
	    "\"a\\\"b\\\\c\" <a@x>" },
	{ "8-bit", "J\xc3\xb6rg Doe <a@x>", "=?utf-8?Q?J=C3=B6rg_Doe?= <a@x>" },
	{ "8-bit in quotes", "\"Doe, J\xc3\xb6rg\" <a@x>",
	    "=?utf-8?Q?Doe=2C_J=C3=B6rg?= <a@x>" },
	{ "Latin-1", "J\xf6rg <a@x>", "=?unknown-8bit?Q?J=F6rg?= <a@x>" },
	{ "encoded word", "=?utf-8?Q?J=C3=B6rg?= <a@x>",
	    "=?utf-8?Q?J=C3=B6rg?= <a@x>" },
	{ "encoded word among others", "Dr. =?utf-8?Q?J=C3=B6rg?= Doe <a@x>",
	    "\"Dr.\" =?utf-8?Q?J=C3=B6rg?= Doe <a@x>" },
	{ "encoded word with a special is quoted", "=?utf-8?Q?a<b@c>?= <a@x>",
	    "\"=?utf-8?Q?a<b@c>?=\" <a@x>" },
	{ "two encoded words", "=?utf-8?Q?a?= =?utf-8?Q?b?= <a@x>",
	    "=?utf-8?Q?a?= =?utf-8?Q?b?= <a@x>" },
	{ "quoted local part", "\"john doe\"@x", "\"john doe\"@x" },
};

static void
test_header_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(written); i++) {
		struct mailbox m;
		struct failure f;
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(
		    mailbox_parse(span_of(written[i].in), &m, &f), 0);
		assert_int_equal(mailbox_write(&b, &m), 0);
		expect(written[i].name, b.s, written[i].want);
		mailbox_done(&m);
		buf_done(&b);
	}
}

static void
test_write_into_a_full_buffer(void **state)
{
	struct mailbox m = { xstrdup("A, \"B\" =?u?q?x?= J\xc3\xb6"),
		xstrdup("a"), xstrdup("x") };
	struct buf b;
	size_t full;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(mailbox_write(&b, &m), 0);
	full = b.len;
	buf_done(&b);
	for (size_t max = 0; max < full; max++) {
		buf_init(&b, max);
		assert_int_equal(mailbox_write(&b, &m), -1);
		buf_done(&b);
	}
	mailbox_done(&m);
}

static const struct parse_row names[] = {
	{ "plain", "Jane Doe", "Jane Doe" },
	{ "blanks around", "  Jane ", "Jane" },
	{ "line end", "Jane\r\nBcc: x@y", "JaneBcc: x@y" },
	{ "control characters", "\x1b[1mJ\x7f", "[1mJ" },
	{ "tab", "Jane\tDoe", "Jane Doe" },
	{ "8-bit stays", "J\xc3\xb6rg", "J\xc3\xb6rg" },
	{ "empty", "", NULL },
	{ "only control characters", "\x01\x02", NULL },
};

static void
test_name_from_outside(void **state)
{
	struct mailbox m = { NULL, NULL, NULL };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		mailbox_set_name(&m, names[i].in);
		if (names[i].want == NULL)
			assert_null(m.name);
		else
			assert_string_equal(m.name, names[i].want);
	}
	mailbox_set_name(&m, "x");
	mailbox_set_name(&m, NULL);
	assert_null(m.name);
}

static void
test_copy_is_independent(void **state)
{
	struct mailbox a;
	struct mailbox b;
	struct failure f;

	(void)state;
	assert_int_equal(mailbox_parse(span_of("N <a@x>"), &a, &f), 0);
	b = mailbox_copy(&a);
	mailbox_done(&a);
	mailbox_done(&a);
	assert_string_equal(b.name, "N");
	assert_string_equal(b.local, "a");
	assert_string_equal(b.domain, "x");
	mailbox_done(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mailbox_is_parsed),
		cmocka_unit_test(test_mailbox_is_refused),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_every_octet_in_an_address),
		cmocka_unit_test(test_length_limit),
		cmocka_unit_test(test_quotes_count_for_the_limit),
		cmocka_unit_test(test_long_name_is_left_out),
		cmocka_unit_test(test_comment_depth),
		cmocka_unit_test(test_null_sender),
		cmocka_unit_test(test_sender_with_address),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_notes_the_first_bad_one),
		cmocka_unit_test(test_list_maximum),
		cmocka_unit_test(test_hostile_lists_take_linear_time),
		cmocka_unit_test(test_list_without_duplicates),
		cmocka_unit_test(test_unique_of_many),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_names_of_this_host),
		cmocka_unit_test(test_qualify),
		cmocka_unit_test(test_header_form),
		cmocka_unit_test(test_write_into_a_full_buffer),
		cmocka_unit_test(test_name_from_outside),
		cmocka_unit_test(test_copy_is_independent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
