#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "queue/backlog.h"

enum {
	MANY = 100000,
	STEPS = 200000,
	IDS = 300,
	LANES = 4
};

/* Numbers are times in microseconds, with chance at the end. */
#define A_SECOND (UINT64_C(1000000) << 12)

static struct spool_id
id_of(uint64_t n)
{
	return (struct spool_id){ n, (uint32_t)(n % 3) };
}

static void
put(struct backlog *b, uint64_t n, int64_t due_ms)
{
	const struct spool_status status = { .due_ms = due_ms, .size = 2000 };

	backlog_put(b, id_of(n), &status);
}

static void
assert_first(const struct backlog *b, unsigned lane, uint64_t n)
{
	struct spool_id id = { 0, 0 };

	assert_int_not_equal(backlog_first(b, lane, &id), INT64_MAX);
	assert_int_equal(id.number, n);
}

static void
assert_empty(const struct backlog *b, unsigned lane)
{
	struct spool_id id;

	assert_int_equal(backlog_first(b, lane, &id), INT64_MAX);
}

static void
test_the_first_due_comes_first(void **state)
{
	struct backlog *b = backlog_new();

	(void)state;
	assert_empty(b, 0);
	put(b, 1, 300);
	put(b, 2, 100);
	put(b, 3, 200);
	put(b, 4, 100);
	assert_first(b, 0, 2);
	backlog_take(b, id_of(2));
	assert_first(b, 0, 4);
	backlog_drop(b, id_of(4));
	assert_first(b, 0, 3);
	put(b, 1, 50);
	assert_first(b, 0, 1);
	backlog_return(b, id_of(2), 0, 10);
	assert_first(b, 0, 2);
	backlog_free(&b);
}

static void
test_a_message_that_is_out_is_not_given_twice(void **state)
{
	struct backlog *b = backlog_new();

	(void)state;
	put(b, 1, 0);
	backlog_take(b, id_of(1));
	put(b, 1, 0);
	assert_empty(b, 0);
	backlog_begin_scan(b);
	backlog_end_scan(b);
	assert_true(backlog_has(b, id_of(1)));
	backlog_drop(b, id_of(1));
	backlog_return(b, id_of(1), 0, 0);
	assert_empty(b, 0);
	backlog_free(&b);
}

static void
test_lanes_do_not_stand_in_each_others_way(void **state)
{
	struct backlog *b = backlog_new();

	(void)state;
	put(b, 1, 0);
	put(b, 2, 5);
	backlog_take(b, id_of(1));
	backlog_return(b, id_of(1), 7, 0);
	assert_first(b, 0, 2);
	assert_first(b, 7, 1);
	/* What it was known for survives a scan. */
	backlog_begin_scan(b);
	put(b, 1, 0);
	backlog_end_scan(b);
	assert_first(b, 7, 1);
	assert_empty(b, 0);
	backlog_free(&b);
}

static void
test_held_messages_wait(void **state)
{
	const struct spool_status held = { .is_held = true };
	struct backlog *b = backlog_new();

	(void)state;
	put(b, 1, 0);
	backlog_put(b, id_of(1), &held);
	assert_empty(b, 0);
	put(b, 1, 0);
	assert_first(b, 0, 1);
	backlog_free(&b);
}

static bool
is_lane(const void *context, unsigned lane)
{
	return lane == *(const unsigned *)context;
}

static void
test_the_oldest_of_a_lane_are_set_apart(void **state)
{
	struct backlog *b = backlog_new();
	const unsigned chosen = 1;
	const unsigned apart = 3;

	(void)state;
	for (uint64_t n = 1; n <= 6; n++) {
		put(b, n * A_SECOND, (int64_t)(100 - n));
		backlog_take(b, id_of(n * A_SECOND));
		backlog_return(b, id_of(n * A_SECOND), n % 2, 0);
	}
	backlog_take(b, id_of(A_SECOND));
	backlog_set_apart(b, 5000, is_lane, &chosen, apart);
	assert_first(b, apart, 3 * A_SECOND);
	assert_first(b, chosen, 5 * A_SECOND);
	assert_first(b, 0, 2 * A_SECOND);
	backlog_drop(b, id_of(3 * A_SECOND));
	/* The first was out. */
	assert_empty(b, apart);
	backlog_free(&b);
}

static void
test_users_are_counted(void **state)
{
	struct backlog *b = backlog_new();

	(void)state;
	for (uint64_t n = 0; n < 10; n++)
		put(b, n, 0);
	put(b, 0, 5);
	assert_int_equal(backlog_total(b).messages, 10);
	assert_int_equal(backlog_of_user(b, 0).messages, 4);
	assert_int_equal(backlog_of_user(b, 1).messages, 3);
	assert_int_equal(backlog_of_user(b, 1).bytes, 3 * 2048);
	assert_int_equal(backlog_of_user(b, 77).messages, 0);
	backlog_drop(b, id_of(1));
	assert_int_equal(backlog_of_user(b, 1).messages, 2);
	assert_int_equal(backlog_total(b).messages, 9);
	backlog_free(&b);
}

static void
test_many_come_out_in_order(void **state)
{
	struct backlog *b = backlog_new();
	struct spool_id id = { 0, 0 };
	int64_t last = -1;

	(void)state;
	for (uint64_t n = 0; n < MANY; n++)
		put(b, n << 12, (int64_t)(n * 7919 % MANY));
	for (int i = 0; i < MANY; i++) {
		int64_t due = backlog_first(b, 0, &id);

		assert_true(due > last);
		last = due;
		backlog_take(b, id);
		backlog_drop(b, id);
	}
	assert_empty(b, 0);
	assert_int_equal(backlog_total(b).messages, 0);
	backlog_free(&b);
}

/* The same things done to a plain array: 0 gone, 1 waiting, 2 out. */
struct model {
	int state;
	unsigned lane;
	int64_t due_ms;
};

static void
check_lane(const struct backlog *b, const struct model *m, unsigned lane)
{
	int64_t want = INT64_MAX;
	struct spool_id id;

	for (size_t i = 0; i < IDS; i++)
		if (m[i].state == 1 && m[i].lane == lane && m[i].due_ms < want)
			want = m[i].due_ms;
	assert_int_equal(backlog_first(b, lane, &id), want);
}

static void
step(struct backlog *b, struct model *m, uint32_t chance)
{
	size_t n = chance % IDS;
	unsigned lane = (chance >> 12) % LANES;
	int64_t due = (chance >> 16) % 1000;

	if ((chance >> 30) == 0) {
		backlog_drop(b, id_of(n));
		m[n] = (struct model){ .state = 0 };
	} else if (m[n].state == 2) {
		backlog_return(b, id_of(n), lane, due);
		m[n] = (struct model){ 1, lane, due };
	} else if (m[n].state == 1 && (chance >> 29 & 1) != 0) {
		backlog_take(b, id_of(n));
		m[n].state = 2;
	} else {
		put(b, n, due);
		m[n] = (struct model){ 1, m[n].lane, due };
	}
}

static void
test_any_order_of_calls(void **state)
{
	struct backlog *b = backlog_new();
	struct model m[IDS] = { { 0 } };
	uint32_t chance = 1;

	(void)state;
	for (int i = 0; i < STEPS; i++) {
		chance = chance * 1664525 + 1013904223;
		step(b, m, chance);
		if (i % 64 == 0)
			check_lane(b, m, (unsigned)i / 64 % LANES);
	}
	backlog_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_first_due_comes_first),
		cmocka_unit_test(test_a_message_that_is_out_is_not_given_twice),
		cmocka_unit_test(test_lanes_do_not_stand_in_each_others_way),
		cmocka_unit_test(test_held_messages_wait),
		cmocka_unit_test(test_the_oldest_of_a_lane_are_set_apart),
		cmocka_unit_test(test_users_are_counted),
		cmocka_unit_test(test_many_come_out_in_order),
		cmocka_unit_test(test_any_order_of_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
