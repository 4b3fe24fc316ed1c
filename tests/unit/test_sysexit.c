/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <sysexits.h>

#include "core/sysexit.h"

struct row {
	const char *dsn;
	int code;
	int want;
};

static const struct row rows[] = {
	/* taken */
	{ "2.0.0", 250, EX_OK },
	{ "", 220, EX_OK },
	{ "5.3.5", 299, EX_OK },
	/* configuration and credentials, in either class */
	{ "4.3.5", 421, EX_CONFIG },
	{ "5.3.5", 554, EX_CONFIG },
	{ "4.7.8", 451, EX_NOPERM },
	{ "5.7.8", 535, EX_NOPERM },
	/* the message */
	{ "5.3.4", 552, EX_DATAERR },
	{ "5.6.0", 554, EX_DATAERR },
	{ "5.6.11", 554, EX_DATAERR },
	/* addresses */
	{ "5.1.3", 553, EX_DATAERR },
	{ "5.1.7", 553, EX_DATAERR },
	{ "5.1.1", 550, EX_NOUSER },
	{ "5.1.2", 550, EX_NOUSER },
	{ "5.1.4", 550, EX_NOUSER },
	{ "5.1.5", 550, EX_NOUSER },
	{ "5.1.6", 550, EX_NOUSER },
	{ "5.1.8", 550, EX_NOUSER },
	{ "5.1.9", 550, EX_NOUSER },
	{ "5.1.10", 550, EX_NOUSER },
	{ "5.1.0", 550, EX_UNAVAILABLE },
	{ "5.1.20", 550, EX_UNAVAILABLE },
	{ "5.1.11", 550, EX_UNAVAILABLE },
	/* what else is refused for good */
	{ "5.2.252", 554, EX_UNAVAILABLE },
	{ "5.7.1", 550, EX_UNAVAILABLE },
	{ "5.7.139", 535, EX_UNAVAILABLE },
	{ "5.7.80", 550, EX_UNAVAILABLE },
	{ "", 550, EX_UNAVAILABLE },
	{ "5", 550, EX_UNAVAILABLE },
	{ "5.", 550, EX_UNAVAILABLE },
	/* later: the same subjects as above mean something else then */
	{ "4.1.1", 450, EX_TEMPFAIL },
	{ "4.3.4", 452, EX_TEMPFAIL },
	{ "4.6.1", 451, EX_TEMPFAIL },
	{ "4.3.2", 432, EX_TEMPFAIL },
	{ "", 421, EX_TEMPFAIL },
	/* no final reply at all */
	{ "", 354, EX_PROTOCOL },
	{ "5.1.1", 100, EX_PROTOCOL },
	{ "5.1.1", 600, EX_PROTOCOL },
	{ "", 0, EX_PROTOCOL },
};

static void
test_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got = sysexit_from_reply(rows[i].code, rows[i].dsn);

		if (got != rows[i].want)
			fail_msg("%d %s: %d, not %d", rows[i].code, rows[i].dsn,
			    got, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
