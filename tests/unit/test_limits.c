#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "queue/limits.h"

#define NAME      "a/../b@x.example"
#define FILE_NAME "limits-a%2f..%2fb@x.example"

static char directory[64];

static const struct limits_policy policy = {
	.connections = 2,
	.messages = 3,
	.window_ms = 60000,
	.recipients_per_day = 10,
};

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/test_limits.XXXXXX");
	assert_non_null(mkdtemp(directory));
	return 0;
}

static int
tear_down(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/%s", directory, FILE_NAME);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

static struct limits *
open_limits(const struct limits_policy *p)
{
	struct limits *l = NULL;
	struct failure f;

	assert_int_equal(limits_open(directory, NAME, p, &l, &f), 0);
	assert_non_null(l);
	return l;
}

static int
take(struct limits *l, unsigned messages, uint64_t recipients, int64_t *wait)
{
	struct failure f;

	return limits_take(l, messages, recipients, wait, &f);
}

static void
test_messages_of_all_processes_are_counted(void **state)
{
	struct limits *a = open_limits(&policy);
	struct limits *b = open_limits(&policy);
	int64_t wait = 0;

	(void)state;
	assert_int_equal(take(a, 1, 1, &wait), 0);
	assert_int_equal(take(b, 1, 1, &wait), 0);
	assert_int_equal(take(a, 1, 1, &wait), 0);
	assert_int_equal(take(b, 1, 1, &wait), 1);
	assert_in_range(wait, 50000, 61200);
	limits_free(&a);
	limits_free(&b);
	/* And of those that have ended. */
	a = open_limits(&policy);
	assert_int_equal(take(a, 1, 1, &wait), 1);
	limits_free(&a);
}

static void
test_messages_go_on_when_the_window_has_passed(void **state)
{
	const struct limits_policy fast = {
		.connections = 1,
		.messages = 1,
		.window_ms = 30,
		.recipients_per_day = 100,
	};
	struct limits *a = open_limits(&fast);
	int64_t wait = 0;
	int taken = 0;

	(void)state;
	while (taken < 3) {
		int r = take(a, 1, 1, &wait);

		assert_int_not_equal(r, -1);
		taken += r == 0;
		if (r == 1)
			(void)usleep((useconds_t)wait * 1000);
	}
	limits_free(&a);
}

/* So many have to wait for the whole window of `policy` since that time. */
static void
assert_waits_since(struct limits *l, unsigned messages, int64_t since_ms)
{
	const int64_t slack_ms = policy.window_ms / 200;
	const int64_t rounding_ms = 2;
	int64_t wait = 0;

	assert_int_equal(take(l, messages, 1, &wait), 1);
	assert_true(wait + clock_ms() - since_ms >=
	    policy.window_ms + slack_ms - rounding_ms);
}

/* What Exchange has counted late goes out of its window late. */
static void
test_the_window_begins_when_a_message_has_been_sent(void **state)
{
	struct limits *a = open_limits(&policy);
	struct limits *b = open_limits(&policy);
	int64_t wait = 0;
	int64_t finished;

	(void)state;
	assert_int_equal(take(a, 3, 1, &wait), 0);
	(void)usleep(50 * 1000);
	assert_int_equal(take(b, 1, 1, &wait), 1);
	limits_finish(b); /* it has taken nothing */
	finished = clock_ms();
	limits_finish(a);
	assert_waits_since(b, 1, finished);
	limits_finish(NULL);
	limits_free(&a);
	limits_free(&b);
}

static void
test_several_transactions_of_a_message_count_each(void **state)
{
	struct limits *a = open_limits(&policy);
	int64_t wait = 0;

	(void)state;
	assert_int_equal(take(a, 2, 1, &wait), 0);
	assert_int_equal(take(a, 2, 1, &wait), 1);
	assert_int_equal(take(a, 1, 1, &wait), 0);
	limits_free(&a);
}

static const struct limits_policy short_window = {
	.connections = 2,
	.messages = 3,
	.window_ms = 30,
	.recipients_per_day = 100,
};

static void
pass_window(void)
{
	(void)usleep(40 * 1000);
}

/* However long it takes: Exchange may count it at the end of that. */
static void
test_what_is_in_flight_stays_in_the_window(void **state)
{
	struct limits *a = open_limits(&short_window);
	struct limits *b = open_limits(&short_window);
	int64_t wait = 0;

	(void)state;
	assert_int_equal(take(a, 3, 1, &wait), 0);
	pass_window();
	assert_int_equal(take(b, 1, 1, &wait), 1);
	assert_int_equal(wait, short_window.window_ms);
	limits_finish(a);
	pass_window();
	assert_int_equal(take(b, 1, 1, &wait), 0);
	limits_finish(b);
	/* Who was killed will finish nothing. */
	pass_window();
	assert_int_equal(take(a, 3, 1, &wait), 0);
	limits_free(&a);
	pass_window();
	assert_int_equal(take(b, 3, 1, &wait), 0);
	limits_free(&b);
}

static void
test_one_that_stalls_has_one_place(void **state)
{
	struct limits *a = open_limits(&short_window);
	struct limits *b = open_limits(&short_window);
	int64_t wait = 0;

	(void)state;
	assert_int_equal(take(a, 1, 1, &wait), 0);
	for (int i = 0; i < 3; i++) {
		pass_window();
		assert_int_equal(take(b, 3, 1, &wait), 1);
		assert_int_equal(take(b, 2, 1, &wait), 0);
		limits_finish(b);
	}
	limits_free(&a);
	limits_free(&b);
}

static void
test_each_place_has_its_own_window(void **state)
{
	struct limits *a = open_limits(&policy);
	struct limits *b = open_limits(&policy);
	int64_t wait = 0;
	int64_t finished;

	(void)state;
	assert_int_equal(take(a, 1, 1, &wait), 0);
	assert_int_equal(take(b, 2, 1, &wait), 0);
	limits_finish(b);
	(void)usleep(50 * 1000);
	finished = clock_ms();
	limits_finish(a);
	assert_waits_since(b, 3, finished);
	limits_free(&a);
	limits_free(&b);
}

static void
test_recipients_of_a_day_are_counted(void **state)
{
	struct limits *a = open_limits(&policy);
	int64_t wait = 0;

	(void)state;
	assert_int_equal(take(a, 1, 8, &wait), 0);
	assert_int_equal(take(a, 1, 3, &wait), LIMITS_TOO_LARGE);
	assert_in_range(wait, 1, 3600000);
	assert_int_equal(take(a, 1, 2, &wait), 0);
	wait = 0;
	assert_int_equal(take(a, 1, 1, &wait), LIMITS_SPENT);
	assert_in_range(wait, 1, 3600000);
	limits_free(&a);
}

static void
test_a_question_counts_nothing(void **state)
{
	struct limits *a = open_limits(&policy);
	int64_t wait = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(take(a, 0, 0, &wait), LIMITS_TAKEN);
	assert_int_equal(take(a, 3, 3, &wait), LIMITS_TAKEN);
	assert_int_equal(take(a, 0, 0, &wait), LIMITS_WAIT);
	limits_free(&a);
}

/* The minute is everybody's, and over sooner. */
static void
test_the_window_comes_before_the_size(void **state)
{
	struct limits *a = open_limits(&policy);
	int64_t wait = 0;

	(void)state;
	assert_int_equal(take(a, 3, 3, &wait), 0);
	assert_int_equal(take(a, 1, 8, &wait), LIMITS_WAIT);
	assert_in_range(wait, 50000, 61200);
	limits_free(&a);
}

static void
test_more_than_a_day_allows_is_not_held_for_ever(void **state)
{
	struct limits *a = open_limits(&policy);
	int64_t wait = 0;

	(void)state;
	assert_int_equal(take(a, 1, 11, &wait), 0);
	limits_free(&a);
}

static void
test_connections_are_counted_and_given_back(void **state)
{
	struct limits *a = open_limits(&policy);
	struct limits *b = open_limits(&policy);
	struct limits *c = open_limits(&policy);
	struct failure f;

	(void)state;
	assert_int_equal(limits_connect(a, 0, &f), 0);
	assert_int_equal(limits_connect(a, 0, &f), 0);
	assert_int_equal(limits_connect(b, 0, &f), 0);
	assert_int_equal(limits_connect(c, 0, &f), -1);
	assert_int_equal(f.kind, FAILURE_LATER);
	assert_string_equal(f.dsn, "4.3.2");
	limits_disconnect(a);
	assert_int_equal(limits_connect(c, 0, &f), 0);
	/* As a process that is killed lets go. */
	limits_free(&b);
	assert_int_equal(limits_connect(a, 0, &f), 0);
	limits_free(&a);
	limits_free(&c);
}

static void
test_a_damaged_file_begins_anew(void **state)
{
	struct limits *a = open_limits(&policy);
	char path[128];
	int64_t wait = 0;
	int fd;

	(void)state;
	assert_int_equal(take(a, 3, 1, &wait), 0);
	(void)snprintf(path, sizeof(path), "%s/%s", directory, FILE_NAME);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, "garbage", 7), 0);
	fd_close(&fd);
	assert_int_equal(take(a, 1, 1, &wait), 0);
	limits_free(&a);
}

static void
test_without_a_directory_nothing_is_limited(void **state)
{
	struct limits *l = NULL;
	struct failure f;
	int64_t wait = 0;

	(void)state;
	assert_int_equal(limits_open(NULL, NAME, &policy, &l, &f), 0);
	assert_null(l);
	assert_int_equal(limits_connect(l, 0, &f), 0);
	assert_int_equal(limits_take(l, 100, 100, &wait, &f), 0);
	limits_disconnect(l);
	limits_free(&l);
}

/* What somebody else has put there leads nowhere. */
static void
test_places_that_others_can_change_are_not_used(void **state)
{
	struct limits *l = NULL;
	struct failure f;
	char path[128];
	char other[128];
	FILE *file;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/%s", directory, FILE_NAME);
	(void)snprintf(other, sizeof(other), "%s/other", directory);
	file = fopen(other, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(link(other, path), 0);
	assert_int_equal(limits_open(directory, NAME, &policy, &l, &f), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(limits_open(directory, NAME, &policy, &l, &f), -1);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(chmod(directory, 0770), 0);
	assert_int_equal(limits_open(directory, NAME, &policy, &l, &f), 0);
	assert_null(l);
	assert_int_equal(chmod(directory, 0700), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_messages_of_all_processes_are_counted),
		TEST(test_messages_go_on_when_the_window_has_passed),
		TEST(test_the_window_begins_when_a_message_has_been_sent),
		TEST(test_several_transactions_of_a_message_count_each),
		TEST(test_what_is_in_flight_stays_in_the_window),
		TEST(test_one_that_stalls_has_one_place),
		TEST(test_each_place_has_its_own_window),
		TEST(test_recipients_of_a_day_are_counted),
		TEST(test_a_question_counts_nothing),
		TEST(test_the_window_comes_before_the_size),
		TEST(test_more_than_a_day_allows_is_not_held_for_ever),
		TEST(test_connections_are_counted_and_given_back),
		TEST(test_a_damaged_file_begins_anew),
		TEST(test_places_that_others_can_change_are_not_used),
		cmocka_unit_test(test_without_a_directory_nothing_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
