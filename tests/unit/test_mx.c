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
#include "route/mx.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

#define DOMAIN   "contoso.com"
#define EXCHANGE "contoso-com.mail.protection.outlook.com"

enum {
	A = 1,
	CNAME = 5,
	MX = 15,
	TXT = 16,
	/* header flags: response, recursion desired and available */
	ANSWER = 0x8180,
	TRUNCATED = 0x0200,
	SERVFAIL = 2,
	NXDOMAIN = 3,
	REFUSED = 5,
	MESSAGE_MAX = 65535,
	QDCOUNT_AT = 4,
	QUESTION_AT = 12,
	RECORD_AT = QUESTION_AT + 13 + 4 /* behind the question for DOMAIN */
};

/* A record; DOMAIN as its owner is written as a pointer to the question. */
struct record {
	unsigned type;
	unsigned preference; /* of MX */
	const char *owner;
	const char *target;
};

/* ---- answers are written here, and read nowhere but in mx.c ---- */

static void
put16(struct buf *b, size_t n)
{
	assert_int_equal(buf_putc(b, (char)(unsigned char)(n >> 8 & 0xff)), 0);
	assert_int_equal(buf_putc(b, (char)(unsigned char)(n & 0xff)), 0);
}

static void
put_name(struct buf *b, const char *name)
{
	while (*name != '\0') {
		size_t len = strcspn(name, ".");

		assert_int_equal(buf_putc(b, (char)len), 0);
		assert_int_equal(buf_add(b, name, len), 0);
		name += len + (name[len] == '.');
	}
	assert_int_equal(buf_putc(b, '\0'), 0);
}

/* An answer to a question, with count records to come. */
static void
begin(struct buf *b, unsigned flags, const char *name, unsigned type,
    size_t count)
{
	buf_init(b, MESSAGE_MAX);
	put16(b, 0x1234);
	put16(b, flags);
	put16(b, 1);
	put16(b, count);
	put16(b, 0);
	put16(b, 0);
	put_name(b, name);
	put16(b, type);
	put16(b, 1);
}

/* The head of a record with len octets of data to come. */
static void
put_head(struct buf *b, const char *owner, unsigned type, size_t len)
{
	if (strcmp(owner, DOMAIN) == 0)
		put16(b, 0xc000 | QUESTION_AT);
	else
		put_name(b, owner);
	put16(b, type);
	put16(b, 1);
	put16(b, 0);
	put16(b, 300);
	put16(b, len);
}

static void
put_record(struct buf *b, const struct record *r)
{
	struct buf name;

	buf_init(&name, 300);
	put_name(&name, r->target);
	put_head(b, r->owner, r->type, name.len + (r->type == MX ? 2 : 0));
	if (r->type == MX)
		put16(b, r->preference);
	assert_int_equal(buf_span(b, buf_view(&name)), 0);
	buf_done(&name);
}

/* An answer about the MX of DOMAIN; records end with one without a type. */
static void
answer_with(struct buf *b, unsigned flags, const struct record *records)
{
	size_t count = 0;

	while (records[count].type != 0)
		count++;
	begin(b, flags, DOMAIN, MX, count);
	for (size_t i = 0; i < count; i++)
		put_record(b, &records[i]);
}

/* ---- checks ---- */

/* Parse a copy that ends where the memory ends, for the sanitizer. */
static int
parse(const struct buf *b, size_t len, struct mx_list *out, struct failure *f)
{
	char *copy = xmalloc(len);
	int r;

	memcpy(copy, b->s, len);
	r = mx_parse((struct span){ copy, len }, DOMAIN, out, f);
	free(copy);
	return r;
}

/* The answer gives these hosts, blanks between them. */
static void
check_hosts(const char *name, const struct buf *b, const char *want)
{
	struct failure f = { .kind = FAILURE_NONE };
	struct mx_list list;
	struct buf got;

	if (parse(b, b->len, &list, &f) == -1)
		fail_msg("%s: %s", name, f.text);
	buf_init(&got, 4096);
	for (size_t i = 0; i < list.count; i++)
		assert_int_equal(
		    buf_printf(&got, "%s%s", i > 0 ? " " : "", list.hosts[i]),
		    0);
	if (strcmp(got.s, want) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", name, got.s, want);
	buf_done(&got);
	mx_list_done(&list);
	mx_list_done(&list);
	assert_null(list.hosts);
	assert_int_equal(list.count, 0);
}

/* The answer gives no host, for a reason that has this word in its text. */
static void
check_refused(
    const char *name, const struct buf *b, const char *dsn, const char *word)
{
	struct failure f = { .kind = FAILURE_NONE };
	struct mx_list list;

	if (parse(b, b->len, &list, &f) == 0)
		fail_msg("%s: gives %s", name, list.hosts[0]);
	assert_null(list.hosts);
	assert_int_equal(list.count, 0);
	if (f.kind != FAILURE_LATER || strcmp(f.dsn, dsn) != 0 ||
	    strstr(f.text, word) == NULL || strstr(f.text, DOMAIN) == NULL)
		fail_msg("%s: %d, %s, %s", name, (int)f.kind, f.dsn, f.text);
}

/* Rows of a table: the answer's records, and the hosts it gives. */
struct hosts_row {
	const char *name;
	struct record records[12];
	const char *want;
};

static void
check_rows(const struct hosts_row *rows, size_t count)
{
	struct buf b;

	for (size_t i = 0; i < count; i++) {
		answer_with(&b, ANSWER, rows[i].records);
		check_hosts(rows[i].name, &b, rows[i].want);
		buf_done(&b);
	}
}

static void
test_order(void **state)
{
	static const struct hosts_row rows[] = {
		{ "one", { { MX, 0, DOMAIN, EXCHANGE } }, EXCHANGE },
		{ "a lower preference comes first",
		    { { MX, 20, DOMAIN, "c.example" },
			{ MX, 5, DOMAIN, "a.example" },
			{ MX, 10, DOMAIN, "b.example" } },
		    "a.example b.example c.example" },
		{ "equal preferences stay in order",
		    { { MX, 10, DOMAIN, "z.example" },
			{ MX, 10, DOMAIN, "y.example" },
			{ MX, 0, DOMAIN, "first.example" },
			{ MX, 10, DOMAIN, "x.example" } },
		    "first.example z.example y.example x.example" },
		{ "preferences have 16 bits",
		    { { MX, 65535, DOMAIN, "last.example" },
			{ MX, 256, DOMAIN, "second.example" },
			{ MX, 255, DOMAIN, "first.example" } },
		    "first.example second.example last.example" },
		{ "names become small",
		    { { MX, 0, "Contoso.COM", "MX.Example" } }, "mx.example" },
	};

	(void)state;
	check_rows(rows, N_ELEMENTS(rows));
}

static void
test_duplicates_and_the_maximum(void **state)
{
	static const struct hosts_row rows[] = {
		{ "duplicates count once",
		    { { MX, 10, DOMAIN, "a.example" },
			{ MX, 10, DOMAIN, "A.example" },
			{ MX, 20, DOMAIN, "b.example" },
			{ MX, 20, DOMAIN, "a.example" } },
		    "a.example b.example" },
		{ "duplicates have their best place",
		    { { MX, 10, DOMAIN, "a.example" },
			{ MX, 20, DOMAIN, "b.example" },
			{ MX, 30, DOMAIN, "c.example" },
			{ MX, 5, DOMAIN, "b.example" } },
		    "b.example a.example c.example" },
		{ "five are kept",
		    { { MX, 1, DOMAIN, "a" }, { MX, 1, DOMAIN, "b" },
			{ MX, 1, DOMAIN, "c" }, { MX, 1, DOMAIN, "d" },
			{ MX, 1, DOMAIN, "e" }, { MX, 1, DOMAIN, "f" } },
		    "a b c d e" },
		{ "the best five are kept",
		    { { MX, 7, DOMAIN, "g" }, { MX, 6, DOMAIN, "f" },
			{ MX, 5, DOMAIN, "e" }, { MX, 4, DOMAIN, "d" },
			{ MX, 3, DOMAIN, "c" }, { MX, 2, DOMAIN, "b" },
			{ MX, 1, DOMAIN, "a" } },
		    "a b c d e" },
		{ "a duplicate among five pushes nobody out",
		    { { MX, 1, DOMAIN, "a" }, { MX, 2, DOMAIN, "b" },
			{ MX, 3, DOMAIN, "c" }, { MX, 4, DOMAIN, "d" },
			{ MX, 5, DOMAIN, "e" }, { MX, 0, DOMAIN, "e" },
			{ MX, 0, DOMAIN, "c" }, { MX, 9, DOMAIN, "a" } },
		    "e c a b d" },
	};

	(void)state;
	check_rows(rows, N_ELEMENTS(rows));
}

static void
test_whose_records_count(void **state)
{
	static const struct hosts_row rows[] = {
		{ "an alias",
		    { { CNAME, 0, DOMAIN, "fabrikam.example" },
			{ MX, 0, "fabrikam.example", "mx.example" } },
		    "mx.example" },
		{ "aliases in any order",
		    { { MX, 0, "c.example", "mx.example" },
			{ CNAME, 0, "b.example", "C.example" },
			{ CNAME, 0, "a.example", "B.example" },
			{ CNAME, 0, DOMAIN, "A.example" } },
		    "mx.example" },
		{ "eight aliases in a row",
		    { { CNAME, 0, DOMAIN, "a1" }, { CNAME, 0, "a1", "a2" },
			{ CNAME, 0, "a2", "a3" }, { CNAME, 0, "a3", "a4" },
			{ CNAME, 0, "a4", "a5" }, { CNAME, 0, "a5", "a6" },
			{ CNAME, 0, "a6", "a7" }, { CNAME, 0, "a7", "a8" },
			{ MX, 0, "a8", "mx.example" } },
		    "mx.example" },
		{ "another owner does not count",
		    { { MX, 0, "evil.example", "evil.example" },
			{ MX, 0, "www." DOMAIN, "evil.example" },
			{ MX, 0, "com", "evil.example" },
			{ MX, 10, DOMAIN, "mx.example" } },
		    "mx.example" },
		{ "an alias has no records beside it",
		    { { MX, 0, DOMAIN, "evil.example" },
			{ CNAME, 0, DOMAIN, "fabrikam.example" },
			{ MX, 0, "fabrikam.example", "mx.example" } },
		    "mx.example" },
		{ "another type does not count",
		    { { A, 0, DOMAIN, "evil" },
			{ MX, 10, DOMAIN, "mx.example" } },
		    "mx.example" },
		{ "what names no host is skipped",
		    { { MX, 0, DOMAIN, "under_score.example" },
			{ MX, 1, DOMAIN, "bl ank.example" },
			{ MX, 2, DOMAIN, "-a.example" },
			{ MX, 3, DOMAIN, "a-.example" },
			{ MX, 4, DOMAIN, "a.b-" },
			{ MX, 5, DOMAIN, "192.0.2.1" },
			{ MX, 6, DOMAIN, "new\nline.example" },
			{ MX, 7, DOMAIN, "caf\xc3\xa9.example" },
			{ MX, 8, DOMAIN, "back\\slash.example" },
			{ MX, 9, DOMAIN, "" },
			{ MX, 10, DOMAIN, "fine-1.4x" } },
		    "fine-1.4x" },
	};

	(void)state;
	check_rows(rows, N_ELEMENTS(rows));
}

static void
test_no_host(void **state)
{
	static const struct {
		const char *name;
		unsigned flags;
		struct record records[12];
		const char *dsn;
		const char *word;
	} rows[] = {
		{ "no such domain", ANSWER | NXDOMAIN, { { 0, 0, NULL, NULL } },
		    "4.4.4", "check internal_domains in [direct_send]" },
		{ "an alias of no such domain", ANSWER | NXDOMAIN,
		    { { CNAME, 0, DOMAIN, "gone.example" } }, "4.4.4",
		    "does not exist" },
		{ "records in spite of no such domain", ANSWER | NXDOMAIN,
		    { { MX, 0, DOMAIN, "evil.example" } }, "4.4.4",
		    "does not exist" },
		{ "no data", ANSWER, { { 0, 0, NULL, NULL } }, "4.4.4",
		    "set mx in [direct_send]" },
		{ "an alias without data", ANSWER,
		    { { CNAME, 0, DOMAIN, "fabrikam.example" } }, "4.4.4",
		    "no MX record" },
		{ "records of another owner only", ANSWER,
		    { { MX, 0, "evil.example", "evil.example" } }, "4.4.4",
		    "no MX record" },
		{ "no name that a host can have", ANSWER,
		    { { MX, 0, DOMAIN, "_" } }, "4.4.4", "names a host" },
		{ "null MX", ANSWER, { { MX, 0, DOMAIN, "" } }, "4.4.4",
		    "takes no mail" },
		{ "server failure", ANSWER | SERVFAIL, { { 0, 0, NULL, NULL } },
		    "4.4.3", "/etc/resolv.conf and the network" },
		{ "refused", ANSWER | REFUSED, { { 0, 0, NULL, NULL } },
		    "4.4.3", "does not answer" },
		{ "records in spite of a server failure", ANSWER | SERVFAIL,
		    { { MX, 0, DOMAIN, "evil.example" } }, "4.4.3",
		    "does not answer" },
		{ "an alias of itself", ANSWER,
		    { { CNAME, 0, DOMAIN, DOMAIN },
			{ MX, 0, DOMAIN, "mx.example" } },
		    "4.4.3", "loop" },
		{ "a loop of two aliases", ANSWER,
		    { { CNAME, 0, DOMAIN, "b.example" },
			{ CNAME, 0, "b.example", DOMAIN } },
		    "4.4.3", "loop" },
		{ "nine aliases in a row", ANSWER,
		    { { CNAME, 0, DOMAIN, "a1" }, { CNAME, 0, "a1", "a2" },
			{ CNAME, 0, "a2", "a3" }, { CNAME, 0, "a3", "a4" },
			{ CNAME, 0, "a4", "a5" }, { CNAME, 0, "a5", "a6" },
			{ CNAME, 0, "a6", "a7" }, { CNAME, 0, "a7", "a8" },
			{ CNAME, 0, "a8", "a9" },
			{ MX, 0, "a9", "mx.example" } },
		    "4.4.3", "loop" },
		{ "truncated", ANSWER | TRUNCATED,
		    { { MX, 0, DOMAIN, "mx.example" } }, "4.4.3", "torn" },
		{ "a question", ANSWER & 0x7fff,
		    { { MX, 0, DOMAIN, "mx.example" } }, "4.4.3", "forged" },
		{ "another operation", ANSWER | 0x2800,
		    { { MX, 0, DOMAIN, "mx.example" } }, "4.4.3", "forged" },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		answer_with(&b, rows[i].flags, rows[i].records);
		check_refused(rows[i].name, &b, rows[i].dsn, rows[i].word);
		buf_done(&b);
	}
}

static void
test_answer_to_another_question(void **state)
{
	static const struct record mx = { MX, 0, DOMAIN, "mx.example" };
	static const struct {
		const char *name;
		unsigned type;
	} rows[] = {
		{ "evil.example", MX },
		{ "mx." DOMAIN, MX },
		{ "com", MX },
		{ DOMAIN, A },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		begin(&b, ANSWER, rows[i].name, rows[i].type, 1);
		put_record(&b, &mx);
		check_refused(rows[i].name, &b, "4.4.3", "forged");
		buf_done(&b);
	}
	begin(&b, ANSWER, "CONTOSO.com", MX, 1);
	put_record(&b, &mx);
	check_hosts("case does not matter", &b, "mx.example");
	b.s[QDCOUNT_AT + 1] = 0;
	check_refused("no question", &b, "4.4.3", "forged");
	buf_done(&b);
	begin(&b, ANSWER, DOMAIN, MX, 1);
	put_name(&b, "evil.example");
	put16(&b, MX);
	put16(&b, 1);
	put_record(&b, &mx);
	b.s[QDCOUNT_AT + 1] = 2;
	check_refused("two questions", &b, "4.4.3", "forged");
	buf_done(&b);
}

/* Every beginning of an answer is refused, and read no further than it is. */
static void
test_torn_at_every_length(void **state)
{
	static const struct record records[] = {
		{ CNAME, 0, DOMAIN, "fabrikam.example" },
		{ MX, 10, "fabrikam.example", "a.example" },
		{ MX, 20, "fabrikam.example", "b.example" },
		{ 0, 0, NULL, NULL },
	};
	struct failure f;
	struct mx_list list;
	struct buf b;

	(void)state;
	answer_with(&b, ANSWER, records);
	for (size_t len = 0; len < b.len; len++) {
		if (parse(&b, len, &list, &f) == 0)
			fail_msg("%zu octets are enough", len);
		assert_int_equal(f.kind, FAILURE_LATER);
		assert_string_equal(f.dsn, "4.4.3");
		assert_null(list.hosts);
	}
	check_hosts("the whole answer", &b, "a.example b.example");
	assert_int_equal(buf_putc(&b, 'x'), 0);
	check_refused("an octet too many", &b, "4.4.3", "torn");
	buf_done(&b);
}

static void
test_data_of_a_record(void **state)
{
	static const struct {
		const char *name;
		unsigned type;
		struct span data;
		const char *want; /* NULL: refused */
	} rows[] = {
		{ "a name", MX, { "\0\1\1a\1b", 7 }, "a.b" },
		{ "a pointer", MX, { "\0\1\2mx\xc0\x0c", 7 }, "mx." DOMAIN },
		{ "no data", MX, { "", 0 }, NULL },
		{ "half a preference", MX, { "\1", 1 }, NULL },
		{ "a preference alone", MX, { "\0\1", 2 }, NULL },
		{ "a name without its end", MX, { "\0\1\1a\1b", 6 }, NULL },
		{ "something behind the name", MX, { "\0\1\1a\0x", 6 }, NULL },
		{ "half a pointer", MX, { "\0\1\xc0", 3 }, NULL },
		{ "a pointer to itself", MX, { "\0\1\xc0\x2b", 4 }, NULL },
		{ "a pointer into a loop", MX, { "\0\1\1a\xc0\x2b", 6 }, NULL },
		{ "a pointer to the end", MX, { "\0\1\xc0\x2d", 4 }, NULL },
		{ "a pointer far away", MX, { "\0\1\xff\xff", 4 }, NULL },
		{ "a label of an unknown kind", MX, { "\0\1\x41x\0", 5 },
		    NULL },
		{ "a dot in a label", MX, { "\0\1\3a.b\1c", 9 }, "" },
		{ "a NUL in a label", MX, { "\0\1\3a\0b\1c", 9 }, "" },
		{ "an alias without a name", CNAME, { "", 0 }, NULL },
		{ "an alias that points to itself", CNAME, { "\xc0\x29", 2 },
		    NULL },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		begin(&b, ANSWER, DOMAIN, MX, 1);
		put_head(&b, DOMAIN, rows[i].type, rows[i].data.len);
		assert_int_equal(b.len, RECORD_AT + 12); /* 0x29 */
		assert_int_equal(buf_span(&b, rows[i].data), 0);
		if (rows[i].want == NULL)
			check_refused(rows[i].name, &b, "4.4.3", "no sense");
		else if (rows[i].want[0] == '\0')
			check_refused(rows[i].name, &b, "4.4.4", "no MX");
		else
			check_hosts(rows[i].name, &b, rows[i].want);
		buf_done(&b);
	}
}

static void
test_another_class(void **state)
{
	static const struct record records[] = {
		{ MX, 0, DOMAIN, "mx.example" }, { 0, 0, NULL, NULL }
	};
	struct buf b;

	(void)state;
	answer_with(&b, ANSWER, records);
	b.s[RECORD_AT + 5] = 3;
	check_refused("of the record", &b, "4.4.4", "no MX");
	b.s[RECORD_AT + 5] = 1;
	b.s[RECORD_AT - 1] = 3;
	check_refused("of the question", &b, "4.4.3", "forged");
	b.s[RECORD_AT - 1] = 1;
	check_hosts("of neither", &b, "mx.example");
	buf_done(&b);
}

/* The longest name that DNS can carry, in the longest answer. */
static void
test_largest(void **state)
{
	static char filler[MESSAGE_MAX];
	char host[254];
	char want[512];
	struct buf b;

	(void)state;
	memset(host, 'a', 253);
	host[63] = host[127] = host[191] = '.';
	host[253] = '\0';
	begin(&b, ANSWER, DOMAIN, MX, 2802);
	for (unsigned i = 0; i < 2800; i++) {
		char target[16];

		(void)snprintf(target, sizeof(target), "h%04u.x", i);
		put_record(&b, &(struct record){ MX, 9, DOMAIN, target });
	}
	put_record(&b, &(struct record){ MX, 8, DOMAIN, host });
	put_head(&b, DOMAIN, TXT, MESSAGE_MAX - b.len - 12);
	assert_int_equal(buf_add(&b, filler, MESSAGE_MAX - b.len), 0);
	(void)snprintf(
	    want, sizeof(want), "%s h0000.x h0001.x h0002.x h0003.x", host);
	check_hosts("65535 octets", &b, want);
	buf_done(&b);
}

static void
test_longer_than_an_answer_can_be(void **state)
{
	static char data[MESSAGE_MAX + 1];
	struct failure f;
	struct mx_list list;

	(void)state;
	assert_int_equal(
	    mx_parse((struct span){ data, sizeof(data) }, DOMAIN, &list, &f),
	    -1);
	assert_int_equal(f.kind, FAILURE_LATER);
	assert_null(list.hosts);
}

static void
test_is_exchange(void **state)
{
	static const struct {
		const char *host;
		bool want;
	} rows[] = {
		{ EXCHANGE, true },
		{ "CONTOSO-com.Mail.Protection.OUTLOOK.com", true },
		{ "contoso-com.x.mail.protection.outlook.com", true },
		{ "contoso-com.k-v1.mx.microsoft", true },
		{ "a.mx.microsoft", true },
		{ "A.MX.MICROSOFT", true },
		{ "", false },
		{ ".", false },
		{ "mail.protection.outlook.com", false },
		{ ".mail.protection.outlook.com", false },
		{ "mx.microsoft", false },
		{ ".mx.microsoft", false },
		{ "microsoft", false },
		{ "a.mx.microsoft.", false },
		{ EXCHANGE ".", false },
		{ "a..mx.microsoft", false },
		{ "mail.protection.outlook.com.evil.example", false },
		{ EXCHANGE ".evil.example", false },
		{ "xmail.protection.outlook.com", false },
		{ "evilmx.microsoft", false },
		{ "a.evilmx.microsoft", false },
		{ "a-mx.microsoft", false },
		{ "a.mx-microsoft", false },
		{ "a.mx.microsoft.com", false },
		{ "evil.outlook.com", false },
		{ "evil.protection.outlook.com", false },
		{ "evil.example/.mx.microsoft", false },
		{ "evil.example .mx.microsoft", false },
		{ "evil.example\n.mx.microsoft", false },
		{ "evil@a.mx.microsoft", false },
		{ "*.mx.microsoft", false },
		{ "a\\.mx.microsoft", false },
		{ "-.mx.microsoft", false },
		{ "127.0.0.1", false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (mx_is_exchange(rows[i].host) != rows[i].want)
			fail_msg("\"%s\"", rows[i].host);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_duplicates_and_the_maximum),
		cmocka_unit_test(test_whose_records_count),
		cmocka_unit_test(test_no_host),
		cmocka_unit_test(test_answer_to_another_question),
		cmocka_unit_test(test_torn_at_every_length),
		cmocka_unit_test(test_data_of_a_record),
		cmocka_unit_test(test_another_class),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_longer_than_an_answer_can_be),
		cmocka_unit_test(test_is_exchange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
