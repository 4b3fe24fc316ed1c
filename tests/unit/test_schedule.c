#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "queue/schedule.h"
#include "smtp/client.h"

static const struct schedule_policy policy = {
	.first_ms = 60000,
	.longest_ms = 3600000,
	.lifetime_ms = 1000000,
};

static const struct {
	const char *name;
	struct outcome outcome;
	enum schedule_action want;
} judgements[] = {
	{ "taken", { .status = OUTCOME_ACCEPTED, .code = 250 }, ACTION_DONE },
	{ "no such user",
	    { .status = OUTCOME_REFUSED,
		.scope = SCOPE_RECIPIENT,
		.kind = FAILURE_PEER,
		.code = 550,
		.dsn = "5.1.10" },
	    ACTION_FAIL },
	{ "SendAsDenied",
	    { .status = OUTCOME_REFUSED,
		.scope = SCOPE_MESSAGE,
		.kind = FAILURE_PEER,
		.code = 554,
		.dsn = "5.2.252" },
	    ACTION_FAIL },
	{ "a message that cannot be sent as it is",
	    { .status = OUTCOME_REFUSED,
		.scope = SCOPE_MESSAGE,
		.kind = FAILURE_DATA },
	    ACTION_FAIL },
	{ "a recipient that is busy",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_RECIPIENT,
		.kind = FAILURE_LATER,
		.code = 450,
		.dsn = "4.2.1" },
	    ACTION_RETRY },
	{ "a message for which there is no room",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_MESSAGE,
		.kind = FAILURE_LATER,
		.code = 452,
		.dsn = "4.3.1" },
	    ACTION_RETRY },
	{ "an expired secret",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_ACCOUNT,
		.kind = FAILURE_AUTH,
		.dsn = "4.7.8" },
	    ACTION_ACCOUNT },
	{ "SMTP AUTH is disabled",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_ACCOUNT,
		.kind = FAILURE_AUTH,
		.code = 535,
		.dsn = "4.7.8" },
	    ACTION_ACCOUNT },
	{ "a mailbox that cannot log on",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_ACCOUNT,
		.kind = FAILURE_LATER,
		.code = 430,
		.dsn = "4.2.0" },
	    ACTION_ACCOUNT },
	{ "no secret in its file",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_MESSAGE,
		.kind = FAILURE_CONFIG,
		.dsn = "4.3.5" },
	    ACTION_ACCOUNT },
	{ "too many connections",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_ACCOUNT,
		.kind = FAILURE_LATER,
		.code = 432,
		.dsn = "4.3.2" },
	    ACTION_THROTTLE },
	{ "throttled in other words",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_MESSAGE,
		.kind = FAILURE_LATER,
		.code = 421,
		.dsn = "4.3.2" },
	    ACTION_THROTTLE },
	{ "connection refused",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_HOST,
		.kind = FAILURE_LATER,
		.dsn = "4.4.1" },
	    ACTION_HOST },
	{ "a bug of ours",
	    { .status = OUTCOME_LATER,
		.scope = SCOPE_MESSAGE,
		.kind = FAILURE_BUG },
	    ACTION_KEEP },
	{ "nothing is known", { .status = OUTCOME_PENDING }, ACTION_RETRY },
};

static void
test_scope_and_persistence_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(judgements) / sizeof(judgements[0]); i++)
		if (schedule_judge(&judgements[i].outcome) !=
		    judgements[i].want)
			fail_msg("%s", judgements[i].name);
}

static void
test_the_delay_doubles_up_to_the_longest(void **state)
{
	(void)state;
	assert_int_equal(schedule_delay(&policy, 1, 0), 60000);
	assert_int_equal(schedule_delay(&policy, 2, 0), 120000);
	assert_int_equal(schedule_delay(&policy, 6, 0), 1920000);
	assert_int_equal(schedule_delay(&policy, 7, 0), 3600000);
	assert_int_equal(schedule_delay(&policy, 4000000000U, 0), 3600000);
	assert_int_equal(schedule_delay(&policy, 0, 0), 60000);
}

static void
test_chance_takes_up_to_a_fifth(void **state)
{
	(void)state;
	assert_int_equal(schedule_delay(&policy, 1, UINT32_MAX), 48001);
	assert_int_equal(schedule_delay(&policy, 1, UINT32_MAX / 2), 54001);
}

static void
test_expiry(void **state)
{
	(void)state;
	assert_false(schedule_is_expired(&policy, 5, 1000005));
	assert_true(schedule_is_expired(&policy, 5, 1000006));
	/* The clock was set back. */
	assert_false(schedule_is_expired(&policy, 5000000, 5));
}

static void
test_the_last_attempt_is_at_the_end_of_the_lifetime(void **state)
{
	(void)state;
	assert_int_equal(schedule_due_ms(&policy, 5, 10, 1000), 1010);
	assert_int_equal(schedule_due_ms(&policy, 5, 10, 2000000), 1000006);
	assert_true(schedule_is_expired(&policy, 5, 1000006));
	/* It was hidden, or the clock was wrong. */
	assert_int_equal(schedule_due_ms(&policy, 5, 1000006, 60), 1000066);
}

static void
test_a_closed_circuit_admits_all(void **state)
{
	struct circuit c = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(circuit_admits_ms(&c) <= 0);
		circuit_enter(&c);
	}
	assert_false(circuit_close(&c));
}

static void
test_an_open_circuit_lets_one_probe_through(void **state)
{
	struct circuit c = { 0 };

	(void)state;
	assert_true(circuit_fail(&c, &policy, false, false, 1000, 0));
	assert_int_equal(circuit_admits_ms(&c), 61000);
	circuit_enter(&c);
	assert_true(circuit_admits_ms(&c) == INT64_MAX);
	assert_false(circuit_fail(&c, &policy, false, true, 61000, 0));
	assert_int_equal(circuit_admits_ms(&c), 61000 + 120000);
	circuit_enter(&c);
	assert_true(circuit_close(&c));
	assert_true(circuit_admits_ms(&c) <= 0);
}

static void
test_what_was_on_its_way_counts_once(void **state)
{
	struct circuit c = { 0 };

	(void)state;
	(void)circuit_fail(&c, &policy, false, false, 0, 0);
	assert_false(circuit_fail(&c, &policy, false, false, 5, 0));
	assert_int_equal(c.failures, 1);
	assert_int_equal(c.until_ms, 60000);
}

static void
test_a_throttled_account_waits_shortly(void **state)
{
	struct circuit c = { 0 };

	(void)state;
	(void)circuit_fail(&c, &policy, true, false, 0, 0);
	assert_int_equal(c.until_ms, 5000);
	circuit_enter(&c);
	(void)circuit_fail(&c, &policy, true, true, 5000, 0);
	assert_int_equal(c.until_ms, 15000);
}

static void
test_a_probe_without_a_verdict_is_followed_by_another(void **state)
{
	struct circuit c = { 0 };

	(void)state;
	(void)circuit_fail(&c, &policy, false, false, 0, 0);
	circuit_hurry(&c);
	assert_true(circuit_admits_ms(&c) <= 1);
	circuit_enter(&c);
	assert_true(circuit_admits_ms(&c) == INT64_MAX);
	circuit_forget_probe(&c);
	assert_true(circuit_admits_ms(&c) <= 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scope_and_persistence_decide),
		cmocka_unit_test(test_the_delay_doubles_up_to_the_longest),
		cmocka_unit_test(test_chance_takes_up_to_a_fifth),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(
		    test_the_last_attempt_is_at_the_end_of_the_lifetime),
		cmocka_unit_test(test_a_closed_circuit_admits_all),
		cmocka_unit_test(test_an_open_circuit_lets_one_probe_through),
		cmocka_unit_test(test_what_was_on_its_way_counts_once),
		cmocka_unit_test(test_a_throttled_account_waits_shortly),
		cmocka_unit_test(
		    test_a_probe_without_a_verdict_is_followed_by_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
