#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/notice.h"

static void
write_notice(struct buf *b)
{
	static const struct notice_recipient recipients[] = {
		{ "b@x.example", "5.1.10", "550 5.1.10 no such user" },
		{ "c@x.example", "5.4.7", "too old" },
	};
	struct header header = { NULL, 0 };
	struct mailbox to;
	struct failure f;
	const struct notice n = {
		.to = &to,
		.host = "web1.x.example",
		.id = "0006423A1B2C3D4E",
		.arrival_ms = 1795460000000,
		.header = &header,
		.recipients = recipients,
		.recipient_count = 2,
	};

	assert_int_equal(mailbox_parse(span_of("a@x.example"), &to, &f), 0);
	header_add(&header, "Subject", "backup");
	assert_int_equal(notice_write(&n, b, &f), 0);
	header_done(&header);
	mailbox_done(&to);
}

static const char *const wanted[] = {
	"To: a@x.example\r\n",
	"Auto-Submitted: auto-replied\r\n",
	"Content-Type: multipart/report; report-type=delivery-status;\r\n",
	"\r\n\r\n--0006423A1B2C3D4E/notice\r\n",
	"<b@x.example>\r\n    550 5.1.10 no such user\r\n",
	"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; ",
	"\r\n\r\nFinal-Recipient: rfc822; b@x.example\r\nAction: failed\r\n",
	"\r\nStatus: 5.1.10\r\n",
	"\r\n\r\nFinal-Recipient: rfc822; c@x.example\r\n",
	"Content-Type: text/rfc822-headers\r\n\r\nSubject: backup\r\n",
	"\r\n--0006423A1B2C3D4E/notice--\r\n",
};

static void
test_the_parts_of_a_report(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, NOTICE_MAX);
	write_notice(&b);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (strstr(b.s, wanted[i]) == NULL)
			fail_msg("%s is not in\n%s", wanted[i], b.s);
	buf_done(&b);
}

static void
test_lines_are_clean(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, NOTICE_MAX);
	write_notice(&b);
	for (size_t i = 0; i < b.len; i++) {
		assert_int_not_equal(b.s[i], '\0');
		if (b.s[i] == '\n')
			assert_int_equal(b.s[i - 1], '\r');
	}
	buf_done(&b);
}

static void
test_a_notice_that_does_not_fit_is_none(void **state)
{
	struct header header = { NULL, 0 };
	struct mailbox to;
	struct failure f;
	struct buf b;
	const struct notice n = {
		.to = &to, .host = "h", .id = "1", .header = &header
	};

	(void)state;
	assert_int_equal(mailbox_parse(span_of("a@x.example"), &to, &f), 0);
	buf_init(&b, 500);
	assert_int_equal(notice_write(&n, &b, &f), -1);
	assert_int_equal(f.kind, FAILURE_DATA);
	buf_done(&b);
	mailbox_done(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_parts_of_a_report),
		cmocka_unit_test(test_lines_are_clean),
		cmocka_unit_test(test_a_notice_that_does_not_fit_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
