#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/service.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	NOBODY = 65534
};

struct place {
	char directory[32];
	char *file;
};

static int
set_up(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));

	(void)snprintf(place->directory, sizeof(place->directory),
	    "/tmp/test_credential.XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	place->file = xasprintf("%s/secret", place->directory);
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	(void)unlink(place->file);
	(void)rmdir(place->file);
	assert_int_equal(rmdir(place->directory), 0);
	free(place->file);
	free(place);
	return 0;
}

static void
write_secret(const struct place *place, struct span text, mode_t mode)
{
	int fd = open(place->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text.s, text.len), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

/* The text must be the path and this, and hold nothing of the secret. */
static void
assert_refused(const struct place *place, const char *want)
{
	char *text = xasprintf("%s: %s", place->file, want);
	struct failure f;
	struct buf b;

	assert_int_equal(config_read_secret(place->file, &b, &f), -1);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	assert_string_equal(f.text, text);
	assert_int_equal(b.len, 0);
	buf_done(&b);
	free(text);
}

static void
assert_reads(const struct place *place, const char *want)
{
	struct failure f = { 0 };
	struct buf b;

	if (config_read_secret(place->file, &b, &f) == -1)
		fail_msg("%s", f.text);
	assert_true(b.is_secret);
	assert_string_equal(b.s, want);
	buf_done(&b);
}

static void
test_one_line_end_is_cut_off(void **state)
{
	static const struct {
		const char *in;
		const char *want;
	} rows[] = {
		{ "s3cret", "s3cret" },
		{ "s3cret\n", "s3cret" },
		{ "s3cret\r\n", "s3cret" },
		{ " blanks stay \n", " blanks stay " },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
	};

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		write_secret(*state, span_of(rows[i].in), 0600);
		assert_reads(*state, rows[i].want);
		assert_int_equal(unlink(((struct place *)*state)->file), 0);
	}
}

static void
test_contents_that_are_no_secret(void **state)
{
	static const char empty[] = "this file is empty; write the secret "
				    "into it";
	static const char utf16[] =
	    "this is UTF-16, as Windows writes it; save the file in UTF-8, "
	    "without a byte order mark";
	static const char control[] =
	    "a line end or control character is within the secret; write "
	    "the secret alone, on one line";
	static const struct {
		struct span in;
		const char *want;
	} rows[] = {
		{ { "", 0 }, empty },
		{ { "\n", 1 }, empty },
		{ { "\r\n", 2 }, empty },
		{ { "s3cret\n\n", 8 }, control },
		{ { "s3cret\r", 7 }, control },
		{ { "s3\0ret", 6 }, control },
		{ { "s3cret\nmore", 11 }, control },
		{ { "s3cret\t", 7 }, control },
		{ { "\xff\xfes\0", 4 }, utf16 },
		{ { "\xfe\xff\0s\0\r\0\n", 8 }, utf16 },
		{ { "\xef\xbb\xbfs3cret", 9 },
		    "a byte order mark stands before the secret; save the "
		    "file without it" },
	};

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		write_secret(*state, rows[i].in, 0600);
		assert_refused(*state, rows[i].want);
		assert_int_equal(unlink(((struct place *)*state)->file), 0);
	}
}

static void
test_size_is_limited(void **state)
{
	const struct place *place = *state;
	char *text = xmalloc(CONFIG_SECRET_MAX + 2);

	memset(text, 'x', CONFIG_SECRET_MAX + 1);
	text[CONFIG_SECRET_MAX] = '\0';
	text[CONFIG_SECRET_MAX + 1] = '\0';
	write_secret(place, span_of(text), 0600);
	assert_reads(place, text);

	text[CONFIG_SECRET_MAX] = 'x';
	write_secret(place, span_of(text), 0600);
	assert_refused(place,
	    "this file has more than 16384 octets; write the secret alone "
	    "into it");
	free(text);
}

static void
test_others_must_not_read_it(void **state)
{
	static const mode_t bad[] = { 0640, 0604, 0644, 0620, 0602, 0610 };
	const struct place *place = *state;

	write_secret(place, span_of("s3cret"), 0400);
	assert_reads(place, "s3cret");
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		char *want = xasprintf("a secret that others can read (mode "
				       "%04o); run: chmod 600 '%s'",
		    (unsigned)bad[i], place->file);

		assert_int_equal(chmod(place->file, bad[i]), 0);
		assert_refused(place, want);
		free(want);
	}
}

static void
test_systemd_credentials_show_their_acl(void **state)
{
	const struct place *place = *state;
	char *want = xasprintf("a secret that others can read (mode 0444); "
			       "run: chmod 600 '%s'",
	    place->file);

	write_secret(place, span_of("s3cret"), 0440);
	assert_int_equal(
	    setenv("CREDENTIALS_DIRECTORY", place->directory, 1), 0);
	assert_reads(place, "s3cret");
	assert_int_equal(chmod(place->file, 0444), 0);
	assert_refused(place, want);
	free(want);

	/* Below it is not in it, and a longer name is another directory. */
	want = xasprintf("a secret that others can read (mode 0440); "
			 "run: chmod 600 '%s'",
	    place->file);
	assert_int_equal(chmod(place->file, 0440), 0);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/tmp", 1), 0);
	assert_refused(place, want);
	assert_int_equal(
	    setenv("CREDENTIALS_DIRECTORY", "/tmp/test_credential", 1), 0);
	assert_refused(place, want);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "tmp", 1), 0);
	assert_refused(place, want);
	free(want);
}

static void
test_the_name_of_a_credential(void **state)
{
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/c", 1), 0);
	assert_string_equal(config_credential_name("/run/c/name"), "name");
	assert_null(config_credential_name("/run/c/a/name"));
	assert_null(config_credential_name("/run/cc/name"));
	assert_null(config_credential_name("/etc/name"));
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_null(config_credential_name("/run/c/name"));
	(void)state;
}

/* What the service has no copy of: how it gets one. */
static void
test_a_credential_that_is_missing(void **state)
{
	const struct place *place = *state;
	char *want = xasprintf(
	    "there is no such file; write the secret into it, readable by "
	    "root alone (mode 0600), then %s, which gives the service a copy",
	    service_how_to_restart());

	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/c", 1), 0);
	assert_refused(place, want);
	free(want);
	if (geteuid() != 0)
		skip();
	want = xasprintf("the service has no copy of this file, and cannot "
			 "read it itself; move it into "
			 "/etc/sendmail365/secrets/, write secrets/secret into "
			 "the configuration, then %s",
	    service_how_to_restart());
	write_secret(place, span_of("s3cret"), 0600);
	assert_int_equal(seteuid(NOBODY), 0);
	assert_refused(place, want);
	assert_int_equal(seteuid(0), 0);
	free(want);
}

static void
test_only_regular_files_that_exist(void **state)
{
	const struct place *place = *state;

	assert_refused(place,
	    "there is no such file; write the secret into it, readable by "
	    "its user alone (mode 0600)");
	assert_int_equal(mkdir(place->file, 0700), 0);
	assert_refused(place, "this is not a regular file");
	assert_int_equal(rmdir(place->file), 0);
	/* A FIFO without a writer: this must not wait. */
	assert_int_equal(mkfifo(place->file, 0600), 0);
	assert_refused(place, "this is not a regular file");
}

static void
test_owner_is_root_or_us(void **state)
{
	const struct place *place = *state;
	char *want;

	if (geteuid() != 0)
		skip();
	want = xasprintf("it belongs to user nobody, who could change it; "
			 "run this as that user, or "
			 "run: chown root '%s'",
	    place->file);
	write_secret(place, span_of("s3cret"), 0600);
	assert_int_equal(chown(place->file, NOBODY, (gid_t)-1), 0);
	assert_refused(place, want);
	free(want);

	/* The user itself may read its own. */
	assert_int_equal(chmod(place->directory, 0711), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	assert_reads(place, "s3cret");
	assert_int_equal(seteuid(0), 0);
}

static void
test_unreadable_names_who_can_read(void **state)
{
	const struct place *place = *state;

	if (geteuid() != 0)
		skip();
	write_secret(place, span_of("s3cret"), 0600);
	assert_int_equal(chmod(place->directory, 0711), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	assert_refused(place,
	    "user nobody cannot read it, only user root can; run this as "
	    "root, or give nobody a configuration of its own in "
	    "~/.config/sendmail365");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chown(place->file, (uid_t)-1, 54321), 0);
	assert_int_equal(chmod(place->file, 0640), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	assert_refused(place,
	    "user nobody cannot read it, only user root and members of "
	    "group 54321 can; run this as one of them, or give nobody a "
	    "configuration of its own in ~/.config/sendmail365");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(place->directory, 0700), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	assert_refused(place,
	    "user nobody cannot enter its directory; run this as root or "
	    "another user who can; where the service runs, sendmail sends "
	    "without");
	assert_int_equal(seteuid(0), 0);
}

static void
test_secret_id(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} rows[] = {
		{ "11111111-2222-3333-4444-555555555555", true },
		{ "ABCDEF01-abcd-3333-4444-555555555555", true },
		{ "g1111111-2222-3333-4444-555555555555", false },
		{ "11111111-2222-3333-4444-55555555555", false },
		{ "11111111-2222-3333-4444-5555555555555", false },
		{ "11111111x2222-3333-4444-555555555555", false },
		{ "1111111--2222-3333-4444-555555555555", false },
		{ "abc8Q~ThisIsTheValueOfAClientSecret.-_~1", false },
		{ "", false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (config_secret_looks_like_id(span_of(rows[i].in)) !=
		    rows[i].want)
			fail_msg("%s", rows[i].in);
}

static void
test_secret_with_what_entra_makes_not(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} rows[] = {
		{ "abc8Q~ThisIsTheValueOfAClientSecret.-_~1", false },
		{ "s3cr3t~of+the/app=", false },
		{ "", false },
		{ "abc8Q ", true },
		{ "\"abc8Q\"", true },
		{ "'abc8Q'", true },
		{ "abc8Q\xc2\xa0", true },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (config_secret_has_strange(span_of(rows[i].in)) !=
		    rows[i].want)
			fail_msg("%s", rows[i].in);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_one_line_end_is_cut_off),
		TEST(test_contents_that_are_no_secret),
		TEST(test_size_is_limited),
		TEST(test_others_must_not_read_it),
		TEST(test_systemd_credentials_show_their_acl),
		TEST(test_the_name_of_a_credential),
		TEST(test_a_credential_that_is_missing),
		TEST(test_only_regular_files_that_exist),
		TEST(test_owner_is_root_or_us),
		TEST(test_unreadable_names_who_can_read),
		cmocka_unit_test(test_secret_id),
		cmocka_unit_test(test_secret_with_what_entra_makes_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
