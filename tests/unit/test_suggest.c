#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/suggest.h"
#include "core/failure.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

static const char *const known[] = { "user", "tenant", "client_id",
	"client_secret_file", "password_file", "host", "port", "authority",
	"auth", "to" };

static void
test_nearest(void **state)
{
	static const struct {
		const char *name;
		const char *in;
		const char *want;
	} rows[] = {
		{ "a letter is missing", "usr", "user" },
		{ "a letter is too many", "userr", "user" },
		{ "a letter is wrong", "tenont", "tenant" },
		{ "two letters are swapped", "prot", "port" },
		{ "the first two are swapped", "ohst", "host" },
		{ "swapped and wrong", "etnont", "tenant" },
		{ "upper case is no difference", "CLIENT_ID", "client_id" },
		{ "hyphen for underscore", "client-id", "client_id" },
		{ "underscore missing", "clientid", "client_id" },
		{ "two slips in a word of four are too many", "hxxt", NULL },
		{ "two slips in six letters", "tenxxt", "tenant" },
		{ "three slips in six letters", "texxxt", NULL },
		{ "the word is a part", "password", "password_file" },
		{ "the nearer of two wholes", "client", "client_id" },
		{ "the word has a part", "smtp_host", "host" },
		{ "the longer of two parts", "authority_host", "authority" },
		{ "short parts mean nothing", "into", NULL },
		{ "one letter of two", "tu", "to" },
		{ "nothing is like it", "colour", NULL },
		{ "an empty word", "", NULL },
		{ "40 letters are compared",
		    "client_secret_filexxxxxxxxxxxxxxxxxxxxxx",
		    "client_secret_file" },
		{ "41 letters are not",
		    "client_secret_filexxxxxxxxxxxxxxxxxxxxxxx", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const char *got = suggest_nearest(
		    span_of(rows[i].in), known, N_ELEMENTS(known));

		if (rows[i].want == NULL
			? got != NULL
			: got == NULL || strcmp(got, rows[i].want) != 0)
			fail_msg("%s: %s gives %s", rows[i].name, rows[i].in,
			    got != NULL ? got : "nothing");
	}
}

/* Names of accounts are as long as a line of the file lets them be. */
static void
test_long_words_are_known(void **state)
{
	const char *const words[] = {
		"this-is-the-name-of-an-account-of-41-chars",
		"x123456789012345678901234567890123456789012345678901234567890"
		"1234567890123456789012345678901234567890123456789012345678901",
		"shop",
	};
	const struct {
		const char *in;
		const char *want;
	} rows[] = {
		{ "shopp", words[2] },
		{ "this-is-the-name-of-an-account-of-41-ch", words[0] },
		{ "this-is-the-name-of-an-acount-of-41-cha", NULL },
		{ "mail", NULL },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		assert_ptr_equal(suggest_nearest(span_of(rows[i].in), words,
				     N_ELEMENTS(words)),
		    rows[i].want);
}

static void
test_refuse_names_the_nearest(void **state)
{
	struct failure f;

	(void)state;
	assert_int_equal(suggest_refuse("unknown word \"hosst\"",
			     span_of("hosst"), known, N_ELEMENTS(known), &f),
	    -1);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	assert_string_equal(
	    f.text, "unknown word \"hosst\"; did you mean \"host\"?");
}

static void
test_refuse_lists_all_where_none_is_near(void **state)
{
	struct failure f;

	(void)state;
	assert_int_equal(suggest_refuse("unknown word \"colour\"",
			     span_of("colour"), known, 3, &f),
	    -1);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	assert_string_equal(f.text,
	    "unknown word \"colour\"; known are: user, tenant, client_id");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_long_words_are_known),
		cmocka_unit_test(test_refuse_names_the_nearest),
		cmocka_unit_test(test_refuse_lists_all_where_none_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
