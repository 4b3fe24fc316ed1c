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
#include "mail/aliases.h"
#include "mail/aliastext.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	MAX = 10000,
	SHOWN_MAX = 1024 * 1024
};

static void
expect(const char *name, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fail_msg("%s: got \"%s\", not \"%s\"", name, got, want);
}

/* "LINE PROBLEM", one after another; those of other files with the file. */
static void
add_report(void *context, const char *file, int line, const char *problem)
{
	struct buf *b = context;

	assert_false(ascii_has_control(span_of(problem)));
	if (strcmp(file, "f") != 0)
		assert_int_equal(buf_printf(b, "%s:", file), 0);
	assert_int_equal(buf_printf(b, "%d %s; ", line, problem), 0);
}

/* Add the contents of a file "f". */
static void
add_text(struct aliases *a, struct span text, struct buf *reports)
{
	struct buf b;

	buf_init(&b, ALIASES_FILE_MAX);
	assert_int_equal(buf_span(&b, text), 0);
	aliases_add_file(
	    a, "f", &b, reports != NULL ? add_report : NULL, reports);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

/* Add "NAME=LIST" lines of a configuration "c", which end in a line feed. */
static void
configure(struct aliases *a, const char *text)
{
	struct failure f = { 0 };
	int line = 0;

	for (const char *end; *text != '\0'; text = end + 1) {
		const char *sign = strchr(text, '=');
		char *name = xstrndup(text, (size_t)(sign - text));
		char *list;
		int r;

		line++;
		end = strchr(text, '\n');
		list = xstrndup(sign + 1, (size_t)(end - sign) - 1);
		if (strcmp(name, "default") == 0)
			r = aliases_set_default(a, "c", line, list, &f);
		else
			r = aliases_add(a, "c", line, name, list, &f);
		if (r == -1)
			fail_msg("%s: %s", name, f.text);
		free(name);
		free(list);
	}
}

static struct aliases *
make(const char *configuration, const char *file)
{
	struct aliases *a = aliases_new();

	configure(a, configuration);
	if (file != NULL)
		add_text(a, span_of(file), NULL);
	return a;
}

static void
expand(const struct aliases *a, const char *recipient, size_t max,
    struct alias_expansion *out)
{
	struct failure f = { 0 };
	struct mailbox m;

	if (mailbox_parse(span_of(recipient), &m, &f) == -1)
		fail_msg("%s", f.text);
	aliases_expand(a, &m, max, out);
	mailbox_done(&m);
}

/* The recipients, and each refusal behind a "!". */
static void
show(struct buf *b, const struct alias_expansion *e)
{
	for (size_t i = 0; i < e->recipients.count; i++) {
		if (i > 0)
			assert_int_equal(buf_putc(b, ' '), 0);
		assert_int_equal(
		    mailbox_write_address(b, &e->recipients.items[i]), 0);
	}
	for (size_t i = 0; i < e->refusal_count; i++)
		assert_int_equal(
		    buf_printf(b, " ! %s", e->refusals[i].text), 0);
}

static void
expect_expansion(const char *name, const struct aliases *a,
    const char *recipient, const char *want)
{
	struct alias_expansion e = { 0 };
	struct buf got;

	buf_init(&got, SHOWN_MAX);
	expand(a, recipient, MAX, &e);
	show(&got, &e);
	expect(name, got.s, want);
	buf_done(&got);
	alias_expansion_done(&e);
}

/* ---- what a recipient stands for ---- */

struct row {
	const char *name;
	const char *configuration;
	const char *file;
	const char *recipient;
	const char *want;
};

static void
run_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct aliases *a = make(rows[i].configuration, rows[i].file);

		expect_expansion(
		    rows[i].name, a, rows[i].recipient, rows[i].want);
		aliases_free(&a);
	}
}

static void
test_look_up(void **state)
{
	static const struct row rows[] = {
		{ "in the configuration", "root=a@x\n", "", "root", "a@x" },
		{ "in the file", "", "root: a@x\n", "root", "a@x" },
		{ "nowhere", "root=a@x\n", "jdoe: a@x\n", "www", "www" },
		{ "nothing at all", "", NULL, "root", "root" },
		{ "an empty file", "", "", "root", "root" },
		{ "the configuration wins over the file", "root=a@x\n",
		    "root: b@x\n", "root", "a@x" },
		{ "the first in the file wins", "", "root: a@x\nroot: b@x\n",
		    "root", "a@x" },
		{ "case of the recipient", "root=a@x\n", "", "ROOT", "a@x" },
		{ "case of the name", "", "MAILER-Daemon: a@x\n",
		    "mailer-daemon", "a@x" },
		{ "only case is ignored", "", "a[: a@x\na{: b@x\n", "a{",
		    "b@x" },
		{ "the beginning of a name is none", "", "root: a@x\n", "roo",
		    "roo" },
		{ "not even in the same slot of the table", "", "rootak: a@x\n",
		    "root", "root" },
		{ "more than a name is none", "", "root: a@x\n", "rootx",
		    "rootx" },
		{ "a recipient with a domain", "root=a@x\n", "", "root@y",
		    "root@y" },
		{ "a name in UTF-8", "", "j\xc3\xb6rg: a@x\n", "j\xc3\xb6rg",
		    "a@x" },
		{ "all characters of an atom", "",
		    "a!#$%&'*+-/=?^_`{|}~.b: a@x\n", "a!#$%&'*+-/=?^_`{|}~.b",
		    "a@x" },
		{ "a quoted name", "", "\"root\": a@x\n", "root", "a@x" },
		{ "a quoted name in the configuration", "\"root\"=a@x\n", "",
		    "root", "a@x" },
		{ "a quoted recipient", "", "root: a@x\n", "\"root\"", "a@x" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

static void
test_lists(void **state)
{
	static const struct row rows[] = {
		{ "several", "", "r: a@x, b@x,c@x\n", "r", "a@x b@x c@x" },
		{ "names are looked up again", "www=root\n",
		    "root: jdoe, ops@x\njdoe: j@x\n", "www", "j@x ops@x" },
		{ "the file refers to the configuration", "jdoe=j@x\n",
		    "root: jdoe\n", "root", "j@x" },
		{ "names that are nowhere stay", "", "r: jdoe, a@x\n", "r",
		    "jdoe a@x" },
		{ "what has a domain is no name", "", "r: jdoe@x\njdoe: a@x\n",
		    "r", "jdoe@x" },
		{ "display names and comments", "",
		    "r: The \"Boss, Big\" <a@x>, b@x (Bo, B.), <c@x>\n", "r",
		    "a@x b@x c@x" },
		{ "names in brackets", "", "r: <jdoe>, www (web)\njdoe: a@x\n",
		    "r", "a@x www" },
		{ "quoted local part", "", "r: \"a, b\"@x, c@x\n", "r",
		    "\"a, b\"@x c@x" },
		{ "an escaped quote", "", "r: \"a\\\", b\"@x, c@x\n", "r",
		    "\"a\\\", b\"@x c@x" },
		{ "an escaped parenthesis", "", "r: a@x (b\\), c), d@x\n", "r",
		    "a@x d@x" },
		{ "a quote in a comment", "", "r: a@x (the \"), b@x\n", "r",
		    "a@x b@x" },
		{ "a parenthesis in quotes", "", "r: \"a(b\"@x, c@x\n", "r",
		    "\"a(b\"@x c@x" },
		{ "quoted name", "", "r: \"jdoe\"\njdoe: a@x\n", "r", "a@x" },
		{ "quoted name that is no address", "",
		    "r: \"J. Doe\", b@x\n\"j. doe\": a@x\n", "r", "a@x b@x" },
		{ "quoted name that is no alias either", "",
		    "r: \"J. Doe\", b@x\n", "r",
		    "b@x ! alias \"r\" (f:1): bad address \"\"J. Doe\"\": it "
		    "is no address" },
		{ "empty members", "", "r: , a@x,, b@x ,\n", "r", "a@x b@x" },
		{ "nothing but commas", "", "r: , ,\n", "r",
		    " ! alias \"r\" (f:1): it has no address" },
		{ "an alias that two lead to", "",
		    "r: a, b\na: c, a@x\nb: c, b@x\nc: c@x\n", "r",
		    "c@x a@x b@x" },
		{ "an address that two lead to", "", "r: a, a@x\na: a@x\n", "r",
		    "a@x a@x" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

static void
test_final_names(void **state)
{
	static const struct row rows[] = {
		{ "backslash", "", "r: \\jdoe, a@x\njdoe: b@x\n", "r",
		    "jdoe a@x" },
		{ "backslash in quotes", "", "r: \"\\jdoe\"\njdoe: b@x\n", "r",
		    "jdoe" },
		{ "backslash before an address", "", "r: \\jdoe@x\n", "r",
		    "jdoe@x" },
		{ "backslash before nothing", "", "r: \\, a@x\n", "r",
		    "a@x ! alias \"r\" (f:1): bad address \"\": it is empty" },
		{ "backslash in the configuration", "r=\\r\n", "", "r", "r" },
		{ "an alias that names itself", "", "root: root, boss@x\n",
		    "root", "root boss@x" },
		{ "in another case", "", "root: Root, boss@x\n", "ROOT",
		    "Root boss@x" },
		{ "in brackets", "", "root: <root>\n", "root", "root" },
		{ "in the configuration", "root=root, boss@x\n", "", "root",
		    "root boss@x" },
		{ "by another alias", "", "www: root\nroot: root, boss@x\n",
		    "www", "root boss@x" },
		{ "a quoted one, which cannot stay", "",
		    "r: \"a b\"\n\"a b\": \"a b\", a@x\n", "r",
		    "a@x ! alias \"a b\" (f:2): bad address \"\"a b\"\": it is "
		    "no address" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

static void
test_default(void **state)
{
	static const struct row rows[] = {
		{ "for a name that is nowhere", "default=d@x\n", "r: a@x\n",
		    "www", "d@x" },
		{ "not for an alias", "default=d@x\n", "r: a@x\n", "r", "a@x" },
		{ "not for an address", "default=d@x\n", "", "www@y", "www@y" },
		{ "for a member", "default=d@x, e@x\n", "r: www, a@x\n", "r",
		    "a@x d@x e@x" },
		{ "once for several", "default=d@x\n", "r: www, ftp\n", "r",
		    "d@x" },
		{ "for a backslash", "default=d@x\n", "r: \\www\nwww: a@x\n",
		    "r", "d@x" },
		{ "for an alias that names itself", "default=d@x\n",
		    "root: root, boss@x\n", "root", "boss@x d@x" },
		{ "a star in the file", "", "r: a@x\n*: d@x\n", "www", "d@x" },
		{ "a quoted star", "", "\"*\": d@x\n", "www", "d@x" },
		{ "a star that is the recipient", "", "*: d@x\n", "*", "d@x" },
		{ "the first star counts", "", "*: d@x\n*: e@x\n", "www",
		    "d@x" },
		{ "the configuration wins over a star", "default=d@x\n",
		    "*: e@x\n", "www", "d@x" },
		{ "it may be a name", "default=root\n", "root: a@x\n", "www",
		    "a@x" },
		{ "a name that is nowhere stays", "default=jdoe\n", "", "www",
		    "jdoe" },
		{ "itself, too", "default=jdoe\n", "", "jdoe", "jdoe" },
		{ "a name that it leads to stays", "default=root\n",
		    "root: jdoe\n", "www", "jdoe" },
		{ "wherever one begins", "default=root\n", "root: jdoe\n",
		    "root", "jdoe" },
		{ "an alias that names itself is the default", "default=root\n",
		    "root: root, boss@x\n", "www", "root boss@x" },
		{ "wherever one begins, again", "default=root\n",
		    "root: root, boss@x\n", "root", "boss@x root boss@x" },
		{ "it is refused what all are", "", "*: |cat\n", "www",
		    " ! alias \"*\" (f:1): it leads to a pipe; nothing is run "
		    "here: name an address instead" },
		{ "an alias may be called so", "", "default: a@x\n", "default",
		    "a@x" },
		{ "and is not the default", "", "default: a@x\n", "www",
		    "www" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

#define PIPE "it leads to a pipe; nothing is run here: name an address instead"
#define TO_FILE                                                         \
	"it leads to a file; nothing is written here: name an address " \
	"instead"
#define INCLUDE                                                             \
	"it leads to a list in a file (:include:); that is not read: name " \
	"its addresses instead"
#define INSTRUCTION                                                        \
	"it leads to an instruction such as :fail:, which has no meaning " \
	"here: name an address instead"

static void
test_refused_members(void **state)
{
	static const struct row rows[] = {
		{ "a pipe", "", "\nlogs: |/bin/cat\n", "logs",
		    " ! alias \"logs\" (f:2): " PIPE },
		{ "a quoted pipe", "", "l: \"|/bin/cat a, b\"\n", "l",
		    " ! alias \"l\" (f:1): " PIPE },
		{ "a pipe with quotes in it", "", "l: |\"cat a, b\", a@x\n",
		    "l", "a@x ! alias \"l\" (f:1): " PIPE },
		{ "a pipe with escaped quotes in it", "",
		    "l: \"|cat \\\"a\\\", b\", a@x\n", "l",
		    "a@x ! alias \"l\" (f:1): " PIPE },
		{ "a blank before the pipe", "", "l: \" |cat\"\n", "l",
		    " ! alias \"l\" (f:1): " PIPE },
		{ "a file", "", "l: /var/log/mail\n", "l",
		    " ! alias \"l\" (f:1): " TO_FILE },
		{ "a quoted file", "", "l: \"/var/a b\"\n", "l",
		    " ! alias \"l\" (f:1): " TO_FILE },
		{ "an include", "", "l: :include:/etc/list\n", "l",
		    " ! alias \"l\" (f:1): " INCLUDE },
		{ "a quoted include", "", "l: \":INCLUDE:/etc/list\", a@x\n",
		    "l", "a@x ! alias \"l\" (f:1): " INCLUDE },
		{ "an instruction, and the text of it", "",
		    "l: :fail: sorry, jdoe, left\n", "l",
		    " ! alias \"l\" (f:1): " INSTRUCTION },
		{ "the other members count", "", "l: a@x, |cat, b@x, /f\n", "l",
		    "a@x b@x ! alias \"l\" (f:1): " PIPE
		    " ! alias \"l\" (f:1): " TO_FILE },
		{ "the alias that is named is the one with the member", "",
		    "root: logs, a@x\nlogs: |cat\n", "root",
		    "a@x ! alias \"logs\" (f:2): " PIPE },
		{ "no address", "", "l: a b, a@x\n", "l",
		    "a@x ! alias \"l\" (f:1): bad address \"a b\": it is no "
		    "address" },
		{ "an option", "", "l: -oQ/tmp@x\n", "l",
		    " ! alias \"l\" (f:1): bad address \"-oQ/tmp@x\": it "
		    "looks like an option" },
		{ "a comment behind the list", "", "l: a@x # the boss\n", "l",
		    " ! alias \"l\" (f:1): a comment needs a line of its own: "
		    "bad address \"a@x # the boss\": it is no address" },
		{ "an open quote reaches to the end", "",
		    "l: a@x, \"|cat, b@x\n", "l",
		    "a@x ! alias \"l\" (f:1): " PIPE },
		{ "an open comment reaches to the end", "",
		    "l: a@x, b@x (c, d@x\n", "l",
		    "a@x ! alias \"l\" (f:1): bad address \"b@x (c, d@x\": a "
		    "control character is in it, or a quote or parenthesis is "
		    "not closed" },
		{ "a lone quote", "", "l: \"\n", "l",
		    " ! alias \"l\" (f:1): bad address \"\"\": a control "
		    "character is in it, or a quote or parenthesis is not "
		    "closed" },
		{ "not UTF-8", "", "l: \xff@x\n", "l",
		    " ! alias \"l\" (f:1): bad address \"\\xff@x\": it is "
		    "neither ASCII nor UTF-8" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

static void
test_loops(void **state)
{
	static const struct row rows[] = {
		{ "of two", "", "a: b\nb: a\n", "a",
		    " ! alias loop: a -> b -> a (f:2)" },
		{ "from the other end", "", "a: b\nb: a\n", "b",
		    " ! alias loop: b -> a -> b (f:1)" },
		{ "from outside", "", "r: a, r@x\na: b\nb: A, b@x\n", "r",
		    "b@x r@x ! alias loop: a -> b -> a (f:3)" },
		{ "of three, in the configuration", "a=b\nb=c\nc=a\n", "", "a",
		    " ! alias loop: a -> b -> c -> a (c:3)" },
		{ "through both", "a=b\n", "b: a\n", "a",
		    " ! alias loop: a -> b -> a (f:1)" },
		{ "of eight", "",
		    "a: b\nb: c\nc: d\nd: e\ne: f\nf: g\ng: h\nh: a\n", "a",
		    " ! alias loop: a -> b -> c -> d -> e -> f -> g -> h -> a "
		    "(f:8)" },
		{ "of nine", "",
		    "a: b\nb: c\nc: d\nd: e\ne: f\nf: g\ng: h\nh: i\ni: a\n",
		    "a",
		    " ! alias loop: a -> b -> c -> d -> ... -> f -> g -> h -> "
		    "i -> a (f:9)" },
		{ "two in one list", "", "a: b, c\nb: a\nc: a, c@x\n", "a",
		    "c@x ! alias loop: a -> b -> a (f:2) ! alias loop: a -> c "
		    "-> a (f:3)" },
		{ "in the default", "default=a\n", "a: b\nb: a\n", "www",
		    " ! alias loop: a -> b -> a (f:2)" },
		{ "none where two ways meet", "", "a: b, c\nb: c\nc: c@x\n",
		    "a", "c@x" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

static void
test_hosts(void **state)
{
	static const struct {
		const char *recipient;
		const char *want;
	} rows[] = {
		{ "root@localhost", "a@y web boss" },
		{ "root@WEB.Contoso.com", "a@y web boss" },
		{ "root@contoso.com", "root@contoso.com" },
		{ "ftp@localhost", "ftp" },
		{ "self@localhost", "self" },
		{ "\"a b\"@localhost", "\"a b\"@localhost" },
		{ "\"root\"@localhost", "a@y web boss" },
		{ "=?root@localhost", "=?root@localhost" },
	};
	struct aliases *a = aliases_new();

	(void)state;
	aliases_add_host(a, "localhost");
	aliases_add_host(a, "web.contoso.com");
	configure(a, "self=self@localhost\n");
	add_text(a,
	    span_of("root: jdoe@localhost, web@web.contoso.com, \\boss\n"
		    "jdoe: a@y\nboss: b@y\n"),
	    NULL);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		expect_expansion(
		    rows[i].recipient, a, rows[i].recipient, rows[i].want);
	aliases_free(&a);
}

/* ---- files ---- */

static void
test_file_syntax(void **state)
{
	static const struct row rows[] = {
		{ "as Debian writes it", "",
		    "# See man 5 aliases for format\npostmaster:    root\n"
		    "root: a@x\n",
		    "postmaster", "a@x" },
		{ "blanks and tabs", "", "root \t:\ta@x \t,\tb@x\t \n", "root",
		    "a@x b@x" },
		{ "no blank", "", "root:a@x\n", "root", "a@x" },
		{ "no line end at the end", "", "root: a@x", "root", "a@x" },
		{ "CRLF", "", "root: a@x,\r\n b@x\r\n\r\n# c\r\nr: c@x\r\n",
		    "root", "a@x b@x" },
		{ "CRLF, the last line", "", "root: a@x\r\nr: c@x\r", "r",
		    "c@x" },
		{ "continued", "", "root: a@x,\n\tb@x,\n  c@x\nr: d@x\n",
		    "root", "a@x b@x c@x" },
		{ "the list on the next line", "", "root:\n a@x\n", "root",
		    "a@x" },
		{ "a line end is a blank", "", "root: The\n Boss\n <a@x>\n",
		    "root", "a@x" },
		{ "comments between continued lines", "",
		    "root: a@x,\n# no\n  # b@x,\n\n \t\n c@x\n", "root",
		    "a@x c@x" },
		{ "comments and blank lines", "",
		    "\n#root: no@x\n \t# no: a@x\n \nroot: a@x\n", "root",
		    "a@x" },
		{ "a comment with control characters", "",
		    "# \x01\x1b\nroot: a@x\n", "root", "a@x" },
		{ "a name with a colon", "", "r: \"a: b\"\n\"a: b\" : a@x\n",
		    "r", "a@x" },
		{ "byte order mark", "", "\xef\xbb\xbfroot: a@x\n", "root",
		    "a@x" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

static void
expect_reports(const char *name, struct span text, const char *want)
{
	struct aliases *a = aliases_new();
	struct buf got;

	buf_init(&got, SHOWN_MAX);
	add_text(a, text, &got);
	expect(name, got.s, want);
	expect_expansion(name, a, "good", "good@x");
	buf_done(&got);
	aliases_free(&a);
}

#define SKIPPED " is skipped: "

static const struct problem_row {
	const char *name;
	const char *text; /* "good: good@x" stands before and behind */
	const char *want;
} problems[] = {
	{ "no colon", "root a@x\n",
	    "2 \"root a@x\"" SKIPPED
	    "there is no colon; write NAME: ADDRESS, ...; " },
	{ "NIS", "+\n",
	    "2 \"+\"" SKIPPED "there is no colon; write NAME: ADDRESS, ...; " },
	{ "its other lines are not looked at", "root a@x\n b@x\n c\n",
	    "2 \"root a@x\"" SKIPPED
	    "there is no colon; write NAME: ADDRESS, ...; " },
	{ "no address", "root:\n", "2 \"root\"" SKIPPED "it has no address; " },
	{ "nothing but blanks", "root: \t\n  \n# a@x\nr: a@x\n",
	    "2 \"root\"" SKIPPED "it has no address; " },
	{ "no name", ": a@x\n", "2 \"\"" SKIPPED "it is empty; " },
	{ "no name in quotes", "\"\": a@x\n",
	    "2 \"\"" SKIPPED "it is empty; " },
	{ "a domain", "web@x.org: a@x\n",
	    "2 \"web@x.org\"" SKIPPED
	    "only names without a domain are looked up here; " },
	{ "only a domain", "@x.org: a@x\n",
	    "2 \"@x.org\"" SKIPPED
	    "only names without a domain are looked up here; " },
	{ "a domain in quotes", "\"a@b\": a@x\n",
	    "2 \"a@b\"" SKIPPED
	    "only names without a domain are looked up here; " },
	{ "two words", "John Doe: a@x\n",
	    "2 \"John Doe\"" SKIPPED
	    "a name with blanks or special characters needs quotes; " },
	{ "a backslash", "\\root: a@x\n",
	    "2 \"\\root\"" SKIPPED
	    "a name with blanks or special characters needs quotes; " },
	{ "a backslash in quotes", "\"a\\\\b\": a@x\n",
	    "2 \"a\\\\b\"" SKIPPED "a backslash is in it; " },
	{ "a tab in quotes", "\"a\tb\": a@x\n",
	    "2 \"a\\x09b\"" SKIPPED "a tab is in it; " },
	{ "an open quote", "\"root: a@x\n",
	    "2 \"\"root\"" SKIPPED
	    "a name with blanks or special characters needs quotes; " },
	{ "an option", "-t: a@x\n",
	    "2 \"-t\"" SKIPPED "no address begins so; " },
	{ "a pipe", "|cat: a@x\n",
	    "2 \"|cat\"" SKIPPED "no address begins so; " },
	{ "not UTF-8", "j\xf6rg: a@x\n",
	    "2 \"j\\xf6rg\"" SKIPPED "it is neither ASCII nor UTF-8; " },
	{ "a control character in the list", "root: a@x\x1b\n b@x\n",
	    "2 \"root\"" SKIPPED "a control character is in it; " },
	{ "in a continued line", "root: a@x,\n b@x\x7f\n c@x\n",
	    "3 \"root\"" SKIPPED "a control character is in it; " },
	{ "a CR within a line", "root: a@x\rr: b@x\n",
	    "2 \"root\"" SKIPPED "a control character is in it; " },
	{ "a control character in a name", "\"a\x01\": a@x\n",
	    "2 \"a\\x01\"" SKIPPED "a control character is in it; " },
	{ "a second entry", "Good: a@x\nr: b@x\nr: c@x\n",
	    "2 \"good\"" SKIPPED
	    "it is in line 1 already, and the first counts; "
	    "4 \"r\"" SKIPPED
	    "it is in line 3 already, and the first counts; " },
	{ "a second default", "*: a@x\n*: b@x\n",
	    "3 \"*\"" SKIPPED
	    "it is in line 2 already, and the first counts; " },
};

static void
test_file_problems(void **state)
{
	static const char good[] = "good: good@x\n";

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(problems); i++) {
		const struct problem_row *row = &problems[i];
		char *text = xasprintf("%s%s#", good, row->text);

		expect_reports(row->name, span_of(text), row->want);
		free(text);
		text = xasprintf("\n%s%s", row->text, good);
		if (strstr(row->text, "Good") == NULL)
			expect_reports(row->name, span_of(text), row->want);
		free(text);
	}
}

static void
test_file_begins_with_a_blank(void **state)
{
	(void)state;
	expect_reports("reported once",
	    span_of("# r: a@x\n\n a@x,\n  b@x\ngood: good@x\n"),
	    "3 \"a@x,\" is skipped: the line begins with a blank, but "
	    "continues no alias; ");
}

static void
test_file_with_nul(void **state)
{
	static const char text[] = "good: good@x\nroot: a@x\0, b@x\n"
				   "r\0: a@x\n\0\n \0\n#\0\nr: a@x\n";

	(void)state;
	expect_reports("in a list, a name, a line, a comment",
	    (struct span){ text, sizeof(text) - 1 },
	    "2 \"root\"" SKIPPED "a control character is in it; "
	    "3 \"r\\x00\"" SKIPPED
	    "a name with blanks or special characters needs quotes; "
	    "4 \"\\x00\"" SKIPPED
	    "there is no colon; write NAME: ADDRESS, ...; ");
}

static void
test_longest_name(void **state)
{
	char name[ADDRESS_MAX + 1];
	struct buf text;
	struct buf got;
	struct aliases *a;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	buf_init(&text, SHOWN_MAX);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(
	    buf_printf(&text, "%s: a@x\n%s: b@x\n", name + 1, name), 0);
	a = aliases_new();
	add_text(a, buf_view(&text), &got);
	expect_expansion("the longest", a, name + 1, "a@x");
	assert_int_equal(strncmp(got.s, "2 \"nnn", 6), 0);
	assert_non_null(strstr(got.s, "...\" is skipped: it is too long; "));
	aliases_free(&a);
	buf_done(&text);
	buf_done(&got);
}

/* Each octet, in a name, in a quoted name, and in a list: it is kept, or its
 * entry is reported, and no other entry suffers. */
static void
test_every_octet_in_a_file(void **state)
{
	static const size_t places[] = { 1, 2, 5 };

	(void)state;
	for (int c = 0; c < 256; c++) {
		char texts[3][32] = { "a.b: a@x\n#\ngood: good@x\n",
			"\"a.b\": a@x\n#\ngood: good@x\n",
			"r: \"a.b\"@x\n#\ngood: good@x\n" };

		for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
			struct span text = span_of(texts[i]);
			struct aliases *a = aliases_new();
			struct buf got;

			buf_init(&got, SHOWN_MAX);
			texts[i][places[i]] = (char)c;
			add_text(a, text, &got);
			expect_expansion("after it", a, "good", "good@x");
			if (ascii_is_control((char)c) && c != '\t' && c != '\n')
				assert_true(got.len > 0);
			if (ascii_is_alnum((char)c))
				assert_int_equal(got.len, 0);
			aliases_free(&a);
			buf_done(&got);
		}
	}
}

/* A file that ends anywhere: what is whole counts, the rest does no harm. */
static void
test_torn_file(void **state)
{
	static const char text[] = "\xef\xbb\xbf# c\r\nroot: \\root, "
				   "\"a b\"@x,\n\t(c \\) d) <e@x>,\r\n # f\n"
				   " :include:/g\n\"h i\" \t: \"|j k\"\n*: l";

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		/* Of its own size, for the address sanitizer. */
		char *copy = xmalloc(len + 1);
		struct alias_expansion e = { 0 };
		struct aliases *a = aliases_new();
		struct buf got;

		buf_init(&got, SHOWN_MAX);
		memcpy(copy, text, len);
		add_text(a, (struct span){ copy, len }, &got);
		expand(a, "root", MAX, &e);
		assert_true(e.recipients.count + e.refusal_count > 0);
		if (len == sizeof(text) - 1)
			assert_int_equal(got.len, 0);
		(void)aliases_check(a, NULL, add_report, &got);
		alias_expansion_done(&e);
		aliases_free(&a);
		buf_done(&got);
		free(copy);
	}
}

static void
test_several_files(void **state)
{
	struct aliases *a = aliases_new();
	struct buf got;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	configure(a, "c=c@x\n");
	add_text(a, span_of("a: a@x\nc: d@x\n*: d@x\n"), &got);
	add_text(a, span_of("a: b@x\nb: b@x\n*: e@x\n"), &got);
	expect("hidden entries are no problem", got.s, "");
	expect_expansion("the first file wins", a, "a", "a@x");
	expect_expansion("the second adds", a, "b", "b@x");
	expect_expansion("the configuration wins", a, "c", "c@x");
	expect_expansion("the first default wins", a, "www", "d@x");
	aliases_free(&a);
	buf_done(&got);
}

/* ---- the configuration ---- */

static void
test_configuration_is_refused(void **state)
{
	static const struct {
		const char *name; /* NULL: the default */
		const char *list;
		const char *want;
	} rows[] = {
		{ "", "a@x", "this is no alias: it is empty" },
		{ "a@x", "a@x",
		    "this is no alias: only names without a domain are looked "
		    "up here" },
		{ "*", "a@x",
		    "this is no alias: write default = LIST for all other "
		    "names" },
		{ "a b", "a@x",
		    "this is no alias: a name with blanks or special "
		    "characters needs quotes" },
		{ "\"a", "a@x",
		    "this is no alias: a name with blanks or special "
		    "characters needs quotes" },
		{ "\"a\"b", "a@x",
		    "this is no alias: a name with blanks or special "
		    "characters needs quotes" },
		{ "a\x01", "a@x",
		    "this is no alias: a control character is in it" },
		{ "/a", "a@x", "this is no alias: no address begins so" },
		{ "a", "", "nothing stands before or behind a comma" },
		{ "a", "a@x,", "nothing stands before or behind a comma" },
		{ "a", "a@x,,b@x", "nothing stands before or behind a comma" },
		{ "a", "a@x, a b", "bad address \"a b\": it is no address" },
		{ "a", "a@x, |cat", PIPE },
		{ "a", "\"|cat\"", PIPE },
		{ "a", "/dev/null", TO_FILE },
		{ "a", ":include:/f", INCLUDE },
		{ "a", ":fail: no", INSTRUCTION },
		{ "a", "a@x\n", "a control character is in it" },
		{ "ROOT", "a@x", "\"root\" is in line 1 already" },
		{ NULL, "a@x", "\"default\" is in line 2 already" },
		{ NULL, "a@", "bad address \"a@\": the domain is missing" },
		{ NULL, "/f", TO_FILE },
	};
	struct aliases *a = make("root=root@x\ndefault=d@x\n", NULL);

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct failure f = { 0 };
		int r = rows[i].name == NULL
		    ? aliases_set_default(a, "c", 3, rows[i].list, &f)
		    : aliases_add(a, "c", 3, rows[i].name, rows[i].list, &f);

		assert_int_equal(r, -1);
		assert_int_equal(f.kind, FAILURE_CONFIG);
		expect(rows[i].list, f.text, rows[i].want);
	}
	expect_expansion("what was there stays", a, "root", "root@x");
	expect_expansion("the default, too", a, "a", "d@x");
	aliases_free(&a);
}

static void
test_configuration_is_taken(void **state)
{
	static const struct row rows[] = {
		{ "tabs", "r=a@x,\tb@x\n", "", "r", "a@x b@x" },
		{ "names", "r=jdoe, \\www\n", "", "r", "jdoe www" },
		{ "quotes", "\"a b\"=\"a, b\"@x\n", "r: \"A B\"\n", "r",
		    "\"a, b\"@x" },
	};

	(void)state;
	run_rows(rows, N_ELEMENTS(rows));
}

/* ---- check ---- */

static void
test_check(void **state)
{
	static const struct {
		const char *name;
		const char *configuration;
		const char *file;
		const char *of; /* file to be checked, or NULL */
		const char *want;
	} rows[] = {
		{ "nothing", "", "", NULL, "" },
		{ "nothing wrong", "a=b, c@x\ndefault=a\n",
		    "b: b@x, b, www\n*: |cat\n", NULL, "" },
		{ "all that is refused", "", "a: |cat, a@x, /f\nb: b b\n", NULL,
		    "1 alias \"a\": " PIPE "; 1 alias \"a\": " TO_FILE
		    "; 2 alias \"b\": bad address \"b b\": it is no "
		    "address; " },
		{ "once, however many lead to it", "x=z\n",
		    "y: z\nz: |cat, y@x\n", NULL, "2 alias \"z\": " PIPE "; " },
		{ "a loop, once", "", "a: b\nb: c\nc: a\n", NULL,
		    "3 alias loop: a -> b -> c -> a; " },
		{ "the place is where the loop closes", "a=b\n", "b: a\n", NULL,
		    "1 alias loop: a -> b -> a; " },
		{ "the default", "", "*: |cat\n", NULL,
		    "1 alias \"*\": " PIPE "; " },
		{ "no address", "", "a: ,\n", NULL,
		    "1 alias \"a\": it has no address; " },
		{ "only the configuration", "a=a@x\n", "b: |cat\n", "c", "" },
		{ "and what it leads to", "a=b\n", "b: |cat\nc: |cat\n", "c",
		    "1 alias \"b\": " PIPE "; " },
		{ "only the file", "a=b\nb=a\n", "c: |cat\n", "f",
		    "1 alias \"c\": " PIPE "; " },
		{ "in the configuration", "a=b\nb=a\n", "", NULL,
		    "c:2 alias loop: a -> b -> a; " },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct aliases *a = make(rows[i].configuration, rows[i].file);
		struct buf got;
		size_t count;

		buf_init(&got, SHOWN_MAX);
		count = aliases_check(a, rows[i].of, add_report, &got);
		expect(rows[i].name, got.s, rows[i].want);
		assert_int_equal(
		    aliases_check(a, rows[i].of, NULL, NULL), count);
		assert_int_equal(count > 0, got.len > 0);
		buf_done(&got);
		aliases_free(&a);
	}
}

/* ---- one expansion for several recipients ---- */

static void
test_recipients_gather(void **state)
{
	struct aliases *a = make(
	    "default=d@x\n", "root: jdoe, a@x\njdoe: j@x\nlogs: |cat, jdoe\n");
	struct alias_expansion e = { 0 };
	struct buf got;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	expand(a, "jdoe", MAX, &e);
	expand(a, "root", MAX, &e);
	expand(a, "root", MAX, &e);
	expand(a, "logs", MAX, &e);
	expand(a, "www", MAX, &e);
	expand(a, "ftp", MAX, &e);
	expand(a, "x@y", MAX, &e);
	show(&got, &e);
	expect("each alias once", got.s,
	    "j@x a@x d@x x@y ! alias \"logs\" (f:3): " PIPE);
	assert_string_equal(e.refusals[0].name, "logs");
	assert_false(e.is_full);
	buf_done(&got);
	alias_expansion_done(&e);
	alias_expansion_done(&e);
	assert_int_equal(e.recipients.count, 0);
	aliases_free(&a);
	aliases_free(&a);
}

static void
test_steps(void **state)
{
	struct aliases *a = make("default=ops\nroot=jdoe,  www\n",
	    "www: x@y,\n# c\n\tz@y \njdoe: j@x\nops: o@x\n");
	struct alias_expansion e = { 0 };
	struct buf got;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	expand(a, "ROOT", MAX, &e);
	expand(a, "a@x", MAX, &e);
	expand(a, "ftp", MAX, &e);
	expand(a, "root", MAX, &e);
	for (size_t i = 0; i < e.step_count; i++)
		assert_int_equal(
		    buf_printf(&got, "%s %s:%d %s; ", e.steps[i].name,
			e.steps[i].file, e.steps[i].line, e.steps[i].list),
		    0);
	expect("in the order of look-up", got.s,
	    "root c:2 jdoe,  www; jdoe f:4 j@x; www f:1 x@y,     \tz@y; "
	    "default c:1 ops; ops f:5 o@x; ");
	buf_done(&got);
	alias_expansion_done(&e);
	aliases_free(&a);
}

static void
test_display_name_stays(void **state)
{
	struct aliases *a = make("r=Jane Doe <j@x>\n", NULL);
	struct alias_expansion e = { 0 };

	(void)state;
	expand(a, "r", MAX, &e);
	assert_string_equal(e.recipients.items[0].name, "Jane Doe");
	alias_expansion_done(&e);
	aliases_free(&a);
}

/* ---- bounds ---- */

static void
test_too_many_recipients(void **state)
{
	static const struct {
		const char *name;
		size_t max;
		const char *want;
		const char *last; /* refusal's name */
	} rows[] = {
		{ "as many as there may be", 5,
		    "a@x b@x d@x ! alias \"r\" (f:1): " PIPE
		    " ! alias \"s\" (f:2): " TO_FILE,
		    "s" },
		{ "one too many", 4,
		    "a@x b@x ! alias \"r\" (f:1): " PIPE
		    " ! alias \"s\" (f:2): " TO_FILE
		    " ! more than 4 recipients; the others are left out",
		    "default" },
		{ "a refusal too many", 3,
		    "a@x b@x ! alias \"r\" (f:1): " PIPE
		    " ! more than 3 recipients; the others are left out",
		    "s" },
		{ "the second recipient", 1,
		    "a@x ! more than 1 recipients; the others are left out",
		    "r" },
		{ "none", 0,
		    " ! more than 0 recipients; the others are left out", "r" },
	};
	struct aliases *a =
	    make("default=d@x\n", "r: a@x, |cat, s\ns: b@x, /f, www\n");

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct alias_expansion e = { 0 };
		struct buf got;

		buf_init(&got, SHOWN_MAX);
		expand(a, "r", rows[i].max, &e);
		expand(a, "s", rows[i].max, &e);
		expand(a, "r", rows[i].max, &e);
		show(&got, &e);
		expect(rows[i].name, got.s, rows[i].want);
		assert_int_equal(e.is_full, rows[i].max < 5);
		assert_string_equal(
		    e.refusals[e.refusal_count - 1].name, rows[i].last);
		buf_done(&got);
		alias_expansion_done(&e);
	}
	aliases_free(&a);
}

static void
test_too_many_addresses(void **state)
{
	struct alias_expansion e = { 0 };
	struct aliases *a = aliases_new();

	(void)state;
	expand(a, "x@y", 1, &e);
	assert_false(e.is_full);
	expand(a, "z@y", 1, &e);
	expand(a, "z@y", 1, &e);
	assert_true(e.is_full);
	assert_int_equal(e.recipients.count, 1);
	assert_int_equal(e.refusal_count, 1);
	assert_string_equal(e.refusals[0].name, "z");
	alias_expansion_done(&e);
	aliases_free(&a);
}

/* Each level names the next one twice: 2^30 ways, 31 entries. */
static void
test_exponential_fan_out(void **state)
{
	enum {
		LEVELS = 30
	};
	struct alias_expansion e = { 0 };
	struct aliases *a = aliases_new();
	struct buf text;

	(void)state;
	buf_init(&text, SHOWN_MAX);
	for (int i = 0; i < LEVELS; i++)
		assert_int_equal(
		    buf_printf(&text, "n%d: n%d, n%d\n", i, i + 1, i + 1), 0);
	assert_int_equal(buf_printf(&text, "n%d: a@x\n", LEVELS), 0);
	add_text(a, buf_view(&text), NULL);
	expand(a, "n0", MAX, &e);
	assert_int_equal(e.recipients.count, 1);
	assert_int_equal(e.step_count, LEVELS + 1);
	assert_int_equal(aliases_check(a, NULL, NULL, NULL), 0);
	alias_expansion_done(&e);
	aliases_free(&a);
	buf_done(&text);
}

/* A chain, and at its end a loop through all of it. */
static void
test_long_chain(void **state)
{
	enum {
		LENGTH = 10000
	};
	struct alias_expansion e = { 0 };
	struct aliases *a = aliases_new();
	struct buf text;
	struct buf got;

	(void)state;
	buf_init(&text, SHOWN_MAX);
	buf_init(&got, SHOWN_MAX);
	for (int i = 1; i < LENGTH; i++)
		assert_int_equal(buf_printf(&text, "n%d: n%d\n", i, i + 1), 0);
	assert_int_equal(buf_printf(&text, "n%d: n1, a@x\n", LENGTH), 0);
	add_text(a, buf_view(&text), NULL);
	expand(a, "n1", MAX, &e);
	assert_int_equal(e.step_count, LENGTH);
	show(&got, &e);
	expect("both ends of the loop are shown", got.s,
	    "a@x ! alias loop: n1 -> n2 -> n3 -> n4 -> ... -> n9997 -> n9998 "
	    "-> n9999 -> n10000 -> n1 (f:10000)");
	assert_int_equal(aliases_check(a, NULL, NULL, NULL), 1);
	alias_expansion_done(&e);
	aliases_free(&a);
	buf_done(&text);
	buf_done(&got);
}

/* More entries than the size of the file lets one expect: the table grows. */
static void
test_many_short_entries(void **state)
{
	enum {
		COUNT = 20000
	};
	struct alias_expansion e = { 0 };
	struct aliases *a = aliases_new();
	struct buf text;
	struct buf got;

	(void)state;
	buf_init(&text, SHOWN_MAX);
	buf_init(&got, SHOWN_MAX);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(buf_printf(&text, "%x:%x@x\n", i, i), 0);
	add_text(a, buf_view(&text), &got);
	expect("all are taken", got.s, "");
	for (unsigned i = 0; i < COUNT; i++) {
		char name[20];

		(void)snprintf(name, sizeof(name), "%X", i);
		expand(a, name, COUNT, &e);
		assert_int_equal(e.recipients.count, i + 1);
		assert_int_equal(
		    strtoull(e.recipients.items[i].local, NULL, 16), i);
	}
	alias_expansion_done(&e);
	aliases_free(&a);
	buf_done(&text);
	buf_done(&got);
}

/* Without a table, with one, and with one that does not have all of them. */
static void
test_the_first_of_a_name_counts_however_it_is_found(void **state)
{
	enum {
		NAMES = 50
	};
	struct aliases *a = aliases_new();
	struct buf text;

	(void)state;
	configure(a, "n0=c@x\n");
	buf_init(&text, SHOWN_MAX);
	for (int i = 0; i < NAMES; i++)
		assert_int_equal(
		    buf_printf(
			&text, "n%d: first%d@x\nN%d: second%d@x\n", i, i, i, i),
		    0);
	assert_int_equal(buf_puts(&text, "*: star@x\n*: other@x\n"), 0);
	add_text(a, buf_view(&text), NULL);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < NAMES; i++) {
			struct alias_expansion e = { 0 };
			char *name = xasprintf("N%d", i);
			char *want =
			    i > 0 ? xasprintf("first%d", i) : xstrdup("c");

			expand(a, name, MAX, &e);
			assert_int_equal(e.recipients.count, 1);
			assert_string_equal(e.recipients.items[0].local, want);
			alias_expansion_done(&e);
			free(name);
			free(want);
		}
		assert_false(aliases_has(a, "*"));
		assert_false(aliases_has(a, "default"));
		assert_false(aliases_has(a, "n"));
		/* More, which the table does not have yet. */
		add_text(a, span_of("n1: late@x\nlate: n1\n"), NULL);
		assert_true(aliases_has(a, "late"));
	}
	aliases_free(&a);
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look_up),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_final_names),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_refused_members),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_file_syntax),
		cmocka_unit_test(test_file_problems),
		cmocka_unit_test(test_file_begins_with_a_blank),
		cmocka_unit_test(test_file_with_nul),
		cmocka_unit_test(test_longest_name),
		cmocka_unit_test(test_every_octet_in_a_file),
		cmocka_unit_test(test_torn_file),
		cmocka_unit_test(test_several_files),
		cmocka_unit_test(test_configuration_is_refused),
		cmocka_unit_test(test_configuration_is_taken),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_recipients_gather),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_display_name_stays),
		cmocka_unit_test(test_too_many_recipients),
		cmocka_unit_test(test_too_many_addresses),
		cmocka_unit_test(test_exponential_fan_out),
		cmocka_unit_test(test_long_chain),
		cmocka_unit_test(test_many_short_entries),
		cmocka_unit_test(
		    test_the_first_of_a_name_counts_however_it_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
