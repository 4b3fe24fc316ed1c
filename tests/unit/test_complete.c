#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "mail/header.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static void
complete(struct header *h, const char *from)
{
	struct failure f = { 0 };
	struct mailbox m;

	assert_int_equal(mailbox_parse(span_of(from), &m, &f), 0);
	assert_int_equal(complete_header(h, &m, &f), 0);
	mailbox_done(&m);
}

static void
assert_digits(const char *s, size_t len, const char *set)
{
	assert_true(strspn(s, set) >= len);
}

/* <YYYYMMDDHHMMSS.24 hexadecimal digits@host> */
static void
test_message_id(void **state)
{
	char *host = complete_host_name(0);
	struct header h = { NULL, 0 };
	struct header other = { NULL, 0 };
	const char *id;

	(void)state;
	complete(&h, "a@x");
	complete(&other, "a@x");
	assert_true(field_is(&h.fields[0], "Message-ID"));
	id = h.fields[0].text + strlen("Message-ID: ");
	assert_int_equal(id[0], '<');
	assert_digits(id + 1, 14, "0123456789");
	assert_memory_equal(id + 1, "20", 2);
	assert_int_equal(id[15], '.');
	assert_digits(id + 16, 24, "0123456789abcdef");
	assert_int_equal(id[40], '@');
	assert_int_equal(strncmp(id + 41, host, strlen(host)), 0);
	assert_string_equal(id + 41 + strlen(host), ">");
	assert_string_not_equal(h.fields[0].text, other.fields[0].text);
	header_done(&h);
	header_done(&other);
	free(host);
}

static void
test_date(void **state)
{
	struct header h = { NULL, 0 };
	struct span date;

	(void)state;
	complete(&h, "a@x");
	assert_true(field_is(&h.fields[1], "Date"));
	date = field_value(&h.fields[1]);
	assert_int_equal(date.s[3], ',');
	assert_true(date.s[date.len - 5] == '+' || date.s[date.len - 5] == '-');
	header_done(&h);
}

/* Overwrite what is at `to` with the characters of s. */
static void
put(char *to, const char *s)
{
	while (*s != '\0')
		*to++ = *s++;
}

/* A name of the largest size, 8-bit throughout, in lines of mail. */
static void
test_long_from_is_folded(void **state)
{
	char text[MAILBOX_NAME_MAX + 20];
	struct header h = { NULL, 0 };
	size_t line = 0;
	struct buf b;

	(void)state;
	for (size_t i = 0; i + 2 <= MAILBOX_NAME_MAX; i += 2)
		put(text + i, "\xd0\xb8");
	memcpy(text + MAILBOX_NAME_MAX, " <a@x>", 7);
	complete(&h, text);
	buf_init(&b, 10000);
	assert_int_equal(header_write(&h, &b), 0);
	assert_non_null(strstr(b.s, "\r\nFrom: =?utf-8?B?"));
	assert_non_null(strstr(b.s, " <a@x>\r\n"));
	for (size_t i = 0; i < b.len; i++) {
		line = b.s[i] == '\n' ? 0 : line + 1;
		assert_true(line <= 78 + 1); /* the CR counts here */
		assert_false(ascii_is_8bit(b.s[i]));
	}
	buf_done(&b);
	header_done(&h);
}

static void
test_host_name_is_a_domain(void **state)
{
	(void)state;
	for (int wants_mail_name = 0; wants_mail_name < 2; wants_mail_name++) {
		char *name = complete_host_name(wants_mail_name);

		assert_true(
		    name[0] != '\0' && name[0] != '.' && name[0] != '-');
		for (size_t i = 0; name[i] != '\0'; i++)
			assert_true(ascii_is_alnum(name[i]) || name[i] == '-' ||
			    name[i] == '.');
		free(name);
	}
}

static const struct {
	const char *name;
	const char *hosts;
	const char *want;
} rows[] = {
	{ "empty", "", "" },
	{ "usual", "127.0.0.1 localhost\n127.0.1.1\tweb.x.org web\n",
	    "web.x.org" },
	{ "short name first", "192.0.2.1 web web.x.org\n", "web.x.org" },
	{ "no last line end", "192.0.2.1 web.x.org web", "web.x.org" },
	{ "case", "192.0.2.1 Web.x.org WEB\n", "Web.x.org" },
	{ "another host", "192.0.2.1 db.x.org db\n", "" },
	{ "only the start of a name", "192.0.2.1 web2.x.org web2\n", "" },
	{ "comment", "# 192.0.2.1 web.x.org web\n192.0.2.1 web # web.y.org\n",
	    "" },
	{ "comment without a blank", "192.0.2.1 web#web.y.org\n", "" },
	{ "no dotted name, then one", "::1 web\n192.0.2.1 web.x.org web\n",
	    "web.x.org" },
	{ "loopback", "127.0.0.1 localhost.localdomain localhost web\n", "" },
	{ "not a domain", "192.0.2.1 we_b.x web a..b .c d. web.x.org\n",
	    "web.x.org" },
	{ "the address is no name", "web.x.org web\n", "" },
	{ "CRLF", "192.0.2.1 web.x.org web\r\n", "web.x.org" },
	{ "only blanks", " \t \n\n", "" },
};

static void
test_hosts_file(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct span got =
		    complete_find_host(span_of(rows[i].hosts), span_of("web"));

		if (got.len != strlen(rows[i].want) ||
		    (got.len > 0 && !span_is(got, rows[i].want)))
			fail_msg("%s: got \"%.*s\"", rows[i].name, (int)got.len,
			    got.s);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message_id),
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_long_from_is_folded),
		cmocka_unit_test(test_host_name_is_a_domain),
		cmocka_unit_test(test_hosts_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
