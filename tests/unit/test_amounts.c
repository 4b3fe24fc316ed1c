#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/amounts.h"
#include "config/config.h"
#include "config/values.h"
#include "core/failure.h"

static const struct {
	const char *text;
	unsigned want; /* 0: refused */
} durations[] = {
	{ "90", 90 },
	{ "90s", 90 },
	{ "5m", 300 },
	{ "1H", 3600 },
	{ "5d", 432000 },
	{ "3650d", 315360000 },
	{ "3651d", 0 },
	{ "0", 0 },
	{ "0d", 0 },
	{ "d", 0 },
	{ "1w", 0 },
	{ "1 d", 0 },
	{ "-1d", 0 },
	{ "99999999999999999999d", 0 },
};

static void
test_durations(void **state)
{
	struct failure f;

	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		const struct value v = { .text = durations[i].text };
		unsigned n = 0;

		if (value_duration(&v, &n, &f) == -1)
			assert_int_equal(f.kind, FAILURE_CONFIG);
		if (n != durations[i].want)
			fail_msg("%s: %u", v.text, n);
	}
}

static const struct {
	const char *text;
	uint64_t want;
} sizes[] = {
	{ "1", 1 },
	{ "100k", 102400 },
	{ "35M", 36700160 },
	{ "2g", UINT64_C(2147483648) },
	{ "", 0 },
	{ "M", 0 },
	{ "1MB", 0 },
	{ "9999999999G", 0 },
};

static void
test_sizes(void **state)
{
	struct failure f;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct value v = { .text = sizes[i].text };
		uint64_t n = 0;

		(void)value_size(&v, &n, &f);
		if (n != sizes[i].want)
			fail_msg("%s", v.text);
	}
}

static const struct {
	const char *text;
	unsigned count, seconds;
} rates[] = {
	{ "30", 30, 60 },
	{ "30/10s", 30, 10 },
	{ "1000/1h", 1000, 3600 },
	{ "10000", 10000, 60 },
	{ "10001", 0, 0 },
	{ "/10s", 0, 0 },
	{ "30/", 0, 0 },
	{ "30/0", 0, 0 },
	{ "30/1s/1s", 0, 0 },
};

static void
test_rates(void **state)
{
	struct failure f;

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const struct value v = { .text = rates[i].text };
		struct rate r = { 0, 0 };

		(void)value_rate(&v, &r, &f);
		if (r.count != rates[i].count || r.seconds != rates[i].seconds)
			fail_msg("%s", v.text);
	}
}

static void
test_ways_of_delivery(void **state)
{
	const struct value known = { .text = "interactive" };
	const struct value unknown = { .text = "interactiv" };
	enum delivery_mode mode = DELIVERY_BACKGROUND;
	struct failure f;

	(void)state;
	assert_int_equal(value_delivery(&known, &mode, &f), 0);
	assert_int_equal(mode, DELIVERY_INTERACTIVE);
	assert_int_equal(value_delivery(&unknown, &mode, &f), -1);
	assert_non_null(strstr(f.text, "interactive"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_ways_of_delivery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
