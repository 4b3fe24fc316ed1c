#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "mail/dsn.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

typedef int take(struct dsn *d, struct span text);

static const struct {
	take *take;
	const char *text;
	const char *mail; /* NULL: refused */
	const char *rcpt;
} cases[] = {
	{ dsn_take_notify, "never", "", " NOTIFY=NEVER" },
	{ dsn_take_notify, "failure", "", " NOTIFY=FAILURE" },
	{ dsn_take_notify, "Delay,SUCCESS", "", " NOTIFY=SUCCESS,DELAY" },
	{ dsn_take_notify, "success, delay,failure", "",
	    " NOTIFY=SUCCESS,FAILURE,DELAY" },
	{ dsn_take_notify, "", NULL, NULL },
	{ dsn_take_notify, "never,failure", NULL, NULL },
	{ dsn_take_notify, "failure,,delay", NULL, NULL },
	{ dsn_take_notify, "sometimes", NULL, NULL },
	{ dsn_take_notify, "failure\r\nDATA", NULL, NULL },
	{ dsn_take_ret, "full", " RET=FULL", "" },
	{ dsn_take_ret, "HDRS", " RET=HDRS", "" },
	{ dsn_take_ret, "", NULL, NULL },
	{ dsn_take_ret, "headers", NULL, NULL },
	{ dsn_take_envid, "id-1", " ENVID=id-1", "" },
	{ dsn_take_envid, "env+id=a b", " ENVID=env+2Bid+3Da+20b", "" },
	{ dsn_take_envid, "", NULL, NULL },
	{ dsn_take_envid, "a\nb", NULL, NULL },
	{ dsn_take_envid, "j\xc3\xb6rg", NULL, NULL },
	{ dsn_take_xtext, "env+2Bid", " ENVID=env+2Bid", "" },
	{ dsn_take_xtext, "", NULL, NULL },
	{ dsn_take_xtext, "a+2", NULL, NULL },
	{ dsn_take_xtext, "a+2b", NULL, NULL },
	{ dsn_take_xtext, "a=b", NULL, NULL },
	{ dsn_take_xtext, "a b", NULL, NULL },
};

static void
assert_writes(const struct dsn *d, const char *mail, const char *rcpt)
{
	struct buf b;

	buf_init(&b, 1000);
	assert_int_equal(dsn_write_mail(d, &b), 0);
	assert_string_equal(b.s, mail);
	buf_reset(&b);
	assert_int_equal(dsn_write_rcpt(d, &b), 0);
	assert_string_equal(b.s, rcpt);
	buf_done(&b);
}

static void
test_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct dsn d = { 0 };
		bool is_good = cases[i].mail != NULL;

		assert_int_equal(cases[i].take(&d, span_of(cases[i].text)),
		    is_good ? 0 : -1);
		assert_writes(&d, is_good ? cases[i].mail : "",
		    is_good ? cases[i].rcpt : "");
	}
}

static void
test_longest_envelope_id(void **state)
{
	char text[DSN_ENVID_TEXT + 1];
	struct dsn d = { 0 };

	(void)state;
	memset(text, '=', sizeof(text));
	assert_int_equal(
	    dsn_take_envid(&d, (struct span){ text, sizeof(text) }), -1);
	assert_int_equal(
	    dsn_take_envid(&d, (struct span){ text, sizeof(text) - 1 }), 0);
	assert_int_equal(strlen(d.envid), DSN_ENVID_SIZE - 1);
	assert_int_equal(dsn_take_xtext(&d, span_of(d.envid)), 0);
}

static void
test_parameters(void **state)
{
	struct dsn d = { 0 };

	(void)state;
	dsn_take_parameter(&d, span_of("ret=hdrs"));
	dsn_take_parameter(&d, span_of("ENVID=x+20y"));
	dsn_take_parameter(&d, span_of("Notify=Never"));
	dsn_take_parameter(&d, span_of("SIZE=10"));
	dsn_take_parameter(&d, span_of("RET=neither"));
	dsn_take_parameter(&d, span_of("RET="));
	dsn_take_parameter(&d, span_of("SMTPUTF8"));
	assert_writes(&d, " RET=HDRS ENVID=x+20y", " NOTIFY=NEVER");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_longest_envelope_id),
		cmocka_unit_test(test_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
