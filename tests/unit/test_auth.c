#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/failure.h"
#include "smtp/auth.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	ANSWERS_MAX = 3,
	RESPONSE_MAX = 64 * 1024
};

/* "Username:" and "Password:" in base64. */
#define USERNAME "VXNlcm5hbWU6"
#define PASSWORD "UGFzc3dvcmQ6"

/* An exchange and what the client says in it, all in base64. */
struct exchange {
	const char *name;
	const char *mechanism;
	const char *user;
	const char *secret;
	const char *initial;
	const char *challenges[ANSWERS_MAX];
	const char *answers[ANSWERS_MAX];
};

static const struct exchange exchanges[] = {
	{ .name = "XOAUTH2 says all at once",
	    .mechanism = "XOAUTH2",
	    .user = "relay@fabrikam.example",
	    .secret = "abc.def.ghi",
	    .initial = "dXNlcj1yZWxheUBmYWJyaWthbS5leGFtcGxlAWF1dGg9QmVhcm"
		       "VyIGFiYy5kZWYuZ2hpAQE=" },
	{ .name = "XOAUTH2 answers an error with nothing",
	    .mechanism = "XOAUTH2",
	    .user = "a@b",
	    .secret = "t",
	    .initial = "dXNlcj1hQGIBYXV0aD1CZWFyZXIgdAEB",
	    .challenges = { "eyJzdGF0dXMiOiI0MDAifQ==" },
	    .answers = { "" } },
	{ .name = "LOGIN is asked for user and password",
	    .mechanism = "LOGIN",
	    .user = "a@contoso.example",
	    .secret = "Pa55 w0rd",
	    .initial = "",
	    .challenges = { USERNAME, PASSWORD },
	    .answers = { "YUBjb250b3NvLmV4YW1wbGU=", "UGE1NSB3MHJk" } },
	{ .name = "LOGIN has a user who is no mailbox",
	    .mechanism = "LOGIN",
	    .user = "mail|1111-22|aaaa-bb",
	    .secret = "x",
	    .initial = "",
	    .challenges = { USERNAME, PASSWORD },
	    .answers = { "bWFpbHwxMTExLTIyfGFhYWEtYmI=", "eA==" } },
	{ .name = "PLAIN says all at once, for nobody else",
	    .mechanism = "PLAIN",
	    .user = "tim",
	    .secret = "tanstaaftanstaaf",
	    .initial = "AHRpbQB0YW5zdGFhZnRhbnN0YWFm" },
	{ .name = "PLAIN takes octets that are no ASCII",
	    .mechanism = "PLAIN",
	    .user = "j\xc3\xb6rg, \"quoted\" \\ apikey",
	    .secret = "\xc3\xbc\xff %s",
	    .initial = "AGrDtnJnLCAicXVvdGVkIiBcIGFwaWtleQDDvP8gJXM=" },
	{ .name = "PLAIN answers an error with nothing",
	    .mechanism = "PLAIN",
	    .user = "a",
	    .secret = "b",
	    .initial = "AGEAYg==",
	    .challenges = { "" },
	    .answers = { "" } },
};

static int
begin(const char *mechanism, const char *user, struct span secret,
    struct auth **out)
{
	struct failure f = { 0 };

	return auth_new(span_of(mechanism), "localhost", user, secret, out, &f);
}

static void
check_exchange(const struct exchange *e)
{
	struct failure f = { 0 };
	struct auth *a = NULL;
	struct buf b;

	buf_init_secret(&b, RESPONSE_MAX);
	assert_int_equal(
	    begin(e->mechanism, e->user, span_of(e->secret), &a), 0);
	assert_string_equal(auth_mechanism(a), e->mechanism);
	assert_int_equal(auth_start(a, &b, &f), 0);
	assert_string_equal(b.s, e->initial);
	for (size_t i = 0; i < ANSWERS_MAX && e->challenges[i] != NULL; i++) {
		buf_reset(&b);
		assert_int_equal(
		    auth_step(a, span_of(e->challenges[i]), &b, &f), 0);
		assert_string_equal(b.s, e->answers[i]);
	}
	auth_free(&a);
	assert_null(a);
	buf_done(&b);
}

static void
test_exchanges(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(exchanges); i++) {
		print_message("# %s\n", exchanges[i].name);
		check_exchange(&exchanges[i]);
	}
}

/* What auth_start() returns where the response may have so many octets. */
static int
start_within(
    size_t max, const char *mechanism, struct span secret, size_t *out_len)
{
	struct failure f = { 0 };
	struct auth *a = NULL;
	struct buf b;
	int r;

	buf_init_secret(&b, max);
	assert_int_equal(begin(mechanism, "a", secret, &a), 0);
	r = auth_start(a, &b, &f);
	*out_len = b.len;
	assert_null(strstr(f.text, "xxx"));
	auth_free(&a);
	buf_done(&b);
	return r;
}

static void
test_long_secret(void **state)
{
	static const char *const names[] = { "XOAUTH2", "PLAIN" };
	static char text[20000];
	const struct span secret = { text, sizeof(text) };
	size_t len = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		assert_int_equal(
		    start_within(RESPONSE_MAX, names[i], secret, &len), 0);
		assert_true(len > sizeof(text) / 3 * 4);
		/* Where there is no room it is not cut. */
		assert_int_equal(
		    start_within(sizeof(text), names[i], secret, &len), -1);
		assert_int_equal(len, 0);
	}
}

static void
test_challenge_that_is_no_base64(void **state)
{
	static const char *const challenges[] = { "!", "!!!!", "VXNlcm5hbWU",
		"VXNlcm5hbWU6=", "=" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(challenges); i++) {
		struct failure f = { 0 };
		struct auth *a = NULL;
		struct buf b;

		buf_init_secret(&b, RESPONSE_MAX);
		assert_int_equal(begin("LOGIN", "a", span_of("b"), &a), 0);
		assert_int_equal(auth_start(a, &b, &f), 0);
		print_message("# %s\n", challenges[i]);
		assert_int_equal(
		    auth_step(a, span_of(challenges[i]), &b, &f), -1);
		assert_int_equal(f.kind, FAILURE_AUTH);
		assert_string_equal(f.dsn, "4.7.8");
		assert_non_null(strstr(f.text, "LOGIN"));
		assert_int_equal(b.len, 0);
		auth_free(&a);
		buf_done(&b);
	}
}

/* The names of the modules that are mapped into this process. */
static void
find_modules(struct buf *out)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char *line = NULL;
	size_t size = 0;

	assert_non_null(maps);
	while (getline(&line, &size, maps) != -1) {
		const char *dir = strstr(line, "/sasl2/");

		if (dir != NULL && strstr(out->s, dir) == NULL)
			assert_int_equal(buf_puts(out, dir), 0);
	}
	free(line);
	assert_int_equal(fclose(maps), 0);
}

static void
test_one_module_is_loaded(void **state)
{
	static const struct {
		const char *mechanism;
		const char *module; /* NULL: none */
	} rows[] = {
		{ "XOAUTH2", NULL },
		{ "LOGIN", "/sasl2/liblogin." },
		{ "PLAIN", "/sasl2/libplain." },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct auth *a = NULL;
		struct buf found;

		buf_init(&found, RESPONSE_MAX);
		assert_int_equal(
		    begin(rows[i].mechanism, "a", span_of("b"), &a), 0);
		find_modules(&found);
		if (rows[i].module == NULL) {
			assert_string_equal(found.s, "");
		} else {
			const char *end = strchr(found.s, '\n');

			assert_ptr_equal(
			    strstr(found.s, rows[i].module), found.s);
			assert_string_equal(end, "\n");
		}
		auth_free(&a);
		/* It is gone with the exchange. */
		buf_reset(&found);
		find_modules(&found);
		assert_string_equal(found.s, "");
		buf_done(&found);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_long_secret),
		cmocka_unit_test(test_challenge_that_is_no_base64),
		cmocka_unit_test(test_one_module_is_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
