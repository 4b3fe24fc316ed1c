/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/file.h"
#include "oauth/store.h"
#include "oauth/token.h"

enum {
	FILE_MAX = 4 * TOKEN_MAX_BYTES,
	LOCK_SECONDS = 60, /* after which a test is stuck */
	STUCK_MS = 60000
};

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define NAME          "token-0014d959d051fc52"

static char authority[] = "https://login.microsoftonline.com";
static char tenant[] = "contoso.onmicrosoft.com";
static char client_id[] = "00000000-1111-2222-3333-444444444444";
static char scope[] = "https://outlook.office365.com/.default";

static const struct account account = {
	.auth = AUTH_CLIENT_SECRET,
	.authority = authority,
	.tenant = tenant,
	.client_id = client_id,
	.scope = scope,
};

struct fixture {
	char parent[32];
	char *directory;
	char *path; /* of the token's file */
};

static int
set_up(void **state)
{
	struct fixture *t = xcalloc(1, sizeof(*t));

	(void)snprintf(t->parent, sizeof(t->parent), "/tmp/store-XXXXXX");
	if (mkdtemp(t->parent) == NULL)
		return -1;
	t->directory = xasprintf("%s/state/sendmail365", t->parent);
	t->path = xasprintf("%s/" NAME, t->directory);
	*state = t;
	return 0;
}

static void
remove_file(const char *directory, const char *name)
{
	char *path = xasprintf("%s/%s", directory, name);

	(void)unlink(path);
	free(path);
}

static int
tear_down(void **state)
{
	struct fixture *t = *state;
	char *middle = xasprintf("%s/state", t->parent);

	remove_file(t->directory, NAME);
	remove_file(t->directory, NAME ".lock");
	(void)unlink(t->directory);
	(void)rmdir(t->directory);
	(void)rmdir(middle);
	if (rmdir(t->parent) == -1)
		return -1;
	free(middle);
	free(t->directory);
	free(t->path);
	free(t);
	return 0;
}

static void
fill(struct store_entry *entry, const char *token)
{
	store_entry_init(entry);
	assert_int_equal(buf_puts(&entry->token, token), 0);
	entry->requested_at = 1000;
	entry->expires_at = 4600;
}

/* Write text as the token's file. */
static void
write_file(const struct fixture *t, struct span text, mode_t mode)
{
	int fd = open(t->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(fd_write_all(fd, text.s, text.len), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void
assert_empty(const struct fixture *t, const char *name)
{
	struct store *store = store_open(t->directory, &account);
	struct store_entry entry;

	assert_non_null(store);
	fill(&entry, "left-over");
	store_read(store, &entry);
	if (entry.token.len != 0 || entry.failure.kind != FAILURE_NONE)
		fail_msg("%s: used", name);
	store_entry_done(&entry);
	store_free(&store);
}

static void
test_directory_is_made_private(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);
	struct stat st;

	assert_non_null(store);
	assert_int_equal(stat(t->directory, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	store_free(&store);
	assert_null(store);
	store_free(&store);
}

static void
test_directory_of_others_is_not_used(void **state)
{
	static const mode_t modes[] = { 0755, 0710, 0701, 0770, 0777, 01777 };
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);

	store_free(&store);
	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		assert_int_equal(chmod(t->directory, modes[i]), 0);
		assert_null(store_open(t->directory, &account));
	}
	assert_int_equal(chmod(t->directory, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(t->directory, 65534, 65534), 0);
		assert_null(store_open(t->directory, &account));
	}
}

static void
test_link_and_file_are_no_directory(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);

	store_free(&store);
	assert_int_equal(rmdir(t->directory), 0);
	assert_int_equal(symlink(t->parent, t->directory), 0);
	assert_null(store_open(t->directory, &account));
	assert_null(store_open("/dev/null", &account));
	assert_null(store_open("", &account));
	assert_null(store_open(NULL, &account));
}

static void
test_token_comes_back(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);
	struct store_entry entry;
	struct failure f;
	struct stat st;

	fill(&entry, "eyJ0.abc+/=\"\\");
	assert_int_equal(store_write(store, &entry, &f), 0);
	assert_int_equal(stat(t->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	store_entry_done(&entry);

	fill(&entry, "left-over");
	store_read(store, &entry);
	assert_string_equal(entry.token.s, "eyJ0.abc+/=\"\\");
	assert_true(entry.token.is_secret);
	assert_int_equal(entry.requested_at, 1000);
	assert_int_equal(entry.expires_at, 4600);
	assert_int_equal(entry.failure.kind, FAILURE_NONE);
	assert_int_equal(entry.not_before, 0);
	store_entry_done(&entry);
	store_free(&store);
}

static void
test_failure_comes_back(void **state)
{
	static const enum failure_kind kinds[] = { FAILURE_LATER, FAILURE_AUTH,
		FAILURE_CONFIG };
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);

	for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
		struct store_entry entry;
		struct failure f;

		fill(&entry, "abc");
		failure_set(
		    &entry.failure, kinds[i], "Entra: \xc3\xa9 \xff \n end");
		failure_dsn(&entry.failure, "4.7.0");
		entry.failed_at = 2000;
		entry.not_before = 2030;
		assert_int_equal(store_write(store, &entry, &f), 0);
		store_read(store, &entry);
		assert_string_equal(entry.token.s, "abc");
		assert_int_equal(entry.failure.kind, kinds[i]);
		assert_string_equal(
		    entry.failure.text, "Entra: \xc3\xa9 \\xff \\x0a end");
		assert_string_equal(entry.failure.dsn, "4.7.0");
		assert_int_equal(entry.failed_at, 2000);
		assert_int_equal(entry.not_before, 2030);
		store_entry_done(&entry);
	}
	store_free(&store);
}

#define GOOD_TOKEN \
	"{\"access_token\":\"abc\",\"requested_at\":1,\"expires_at\":2}"
#define IN_FAILURE(s) "{\"failure\":{" s "}}"

struct odd_file {
	const char *name;
	const char *text;
};

static const struct odd_file odd_files[] = {
	{ "empty", "" },
	{ "torn", "{\"access_token\":\"abc\",\"requested_at\":1,\"expi" },
	{ "not JSON", "token" },
	{ "an array", "[" GOOD_TOKEN "]" },
	{ "no times", "{\"access_token\":\"abc\"}" },
	{ "no end", "{\"access_token\":\"abc\",\"requested_at\":1}" },
	{ "negative time",
	    "{\"access_token\":\"abc\",\"requested_at\":-1,\"expires_at\":2}" },
	{ "time as words",
	    "{\"access_token\":\"abc\",\"requested_at\":1,"
	    "\"expires_at\":\"x\"}" },
	{ "line end in the token",
	    "{\"access_token\":\"a\\nb\",\"requested_at\":1,"
	    "\"expires_at\":2}" },
	{ "a key twice",
	    "{\"access_token\":\"abc\",\"access_token\":\"d\","
	    "\"requested_at\":1,\"expires_at\":2}" },
	{ "failure is no object", "{\"failure\":\"later\"}" },
	{ "unknown status",
	    IN_FAILURE("\"status\":1,\"at\":1,\"not_before\":1,"
		       "\"dsn\":\"4.7.0\",\"text\":\"x\"") },
	{ "failure without text",
	    IN_FAILURE("\"status\":75,\"at\":1,\"not_before\":1,"
		       "\"dsn\":\"4.7.0\"") },
	{ "failure with a line end",
	    IN_FAILURE("\"status\":75,\"at\":1,\"not_before\":1,"
		       "\"dsn\":\"4.7.0\",\"text\":\"a\\nb\"") },
	{ "failure with a long dsn",
	    IN_FAILURE("\"status\":75,\"at\":1,\"not_before\":1,"
		       "\"dsn\":\"4.7.012345678\",\"text\":\"x\"") },
};

static void
test_odd_files_are_no_token(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);

	store_free(&store);
	for (size_t i = 0; i < N_ELEMENTS(odd_files); i++) {
		write_file(t, span_of(odd_files[i].text), 0600);
		assert_empty(t, odd_files[i].name);
	}
}

static void
test_torn_files_are_no_token(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);
	struct span text = span_of(GOOD_TOKEN);

	store_free(&store);
	for (text.len = 0; text.len < strlen(GOOD_TOKEN); text.len++) {
		write_file(t, text, 0600);
		assert_empty(t, "torn");
	}
}

static void
test_files_of_others_are_not_used(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);

	store_free(&store);
	write_file(t, span_of(GOOD_TOKEN), 0640);
	assert_empty(t, "group can read");
	write_file(t, span_of(GOOD_TOKEN), 0604);
	assert_empty(t, "others can read");
	assert_int_equal(unlink(t->path), 0);
	assert_empty(t, "missing");
	assert_int_equal(mkfifo(t->path, 0600), 0);
	assert_empty(t, "a pipe");
	assert_int_equal(unlink(t->path), 0);
	assert_int_equal(symlink("/etc/hostname", t->path), 0);
	assert_empty(t, "a link");
	assert_int_equal(unlink(t->path), 0);
	if (geteuid() == 0) {
		write_file(t, span_of(GOOD_TOKEN), 0600);
		assert_int_equal(chown(t->path, 65534, 65534), 0);
		assert_empty(t, "another user's");
	}
}

static void
test_size_is_limited(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);
	struct store_entry entry;
	struct failure f;
	struct buf text;

	buf_init(&text, FILE_MAX + 1);
	assert_int_equal(buf_puts(&text, GOOD_TOKEN), 0);
	while (text.len < FILE_MAX)
		assert_int_equal(buf_putc(&text, ' '), 0);
	write_file(t, buf_view(&text), 0600);
	store_entry_init(&entry);
	store_read(store, &entry);
	assert_string_equal(entry.token.s, "abc");
	assert_int_equal(buf_putc(&text, ' '), 0);
	write_file(t, buf_view(&text), 0600);
	assert_empty(t, "too large");

	/* The longest token, each byte of which JSON makes two. */
	store_entry_done(&entry);
	store_entry_init(&entry);
	while (entry.token.len < TOKEN_MAX_BYTES)
		assert_int_equal(buf_putc(&entry.token, '"'), 0);
	assert_int_equal(store_write(store, &entry, &f), 0);
	store_read(store, &entry);
	assert_int_equal(entry.token.len, TOKEN_MAX_BYTES);
	store_entry_done(&entry);
	buf_done(&text);
	store_free(&store);
}

static void
test_each_purpose_has_a_file_of_its_own(void **state)
{
	static char other[] = "other";
	struct fixture *t = *state;
	struct account accounts[] = { account, account, account, account };
	struct store *store = store_open(t->directory, &account);
	struct store_entry entry;
	struct failure f;

	accounts[0].authority = other;
	accounts[1].tenant = other;
	accounts[2].client_id = other;
	accounts[3].scope = other;
	fill(&entry, "abc");
	assert_int_equal(store_write(store, &entry, &f), 0);
	store_free(&store);
	for (size_t i = 0; i < N_ELEMENTS(accounts); i++) {
		store = store_open(t->directory, &accounts[i]);
		assert_non_null(store);
		store_read(store, &entry);
		assert_int_equal(entry.token.len, 0);
		store_free(&store);
	}
	store_entry_done(&entry);
}

static void
test_no_store_does_nothing(void **state)
{
	struct store_entry entry;
	struct failure f;
	bool has_waited = true;

	(void)state;
	fill(&entry, "abc");
	assert_int_equal(store_write(NULL, &entry, &f), 0);
	assert_int_equal(store_lock(NULL, 0, &has_waited), 0);
	assert_false(has_waited);
	store_unlock(NULL);
	store_read(NULL, &entry);
	assert_int_equal(entry.token.len, 0);
	store_entry_done(&entry);
	store_entry_done(&entry);
}

static void
test_lock_keeps_others_out_until_deadline(void **state)
{
	struct fixture *t = *state;
	struct store *mine = store_open(t->directory, &account);
	struct store *other = store_open(t->directory, &account);
	bool has_waited;

	assert_int_equal(store_lock(mine, clock_deadline(1), &has_waited), 0);
	assert_false(has_waited);
	/* Who is stopped until the deadline has not waited. */
	for (int64_t wait_ms = 120; !has_waited; wait_ms *= 2) {
		int64_t begin = clock_ms();

		assert_true(wait_ms < STUCK_MS);
		assert_int_equal(
		    store_lock(other, begin + wait_ms, &has_waited), -1);
		assert_true(clock_ms() - begin >= wait_ms);
		assert_true(clock_ms() - begin < STUCK_MS);
	}
	store_unlock(mine);
	assert_int_equal(store_lock(other, clock_deadline(1), &has_waited), 0);
	assert_false(has_waited);
	store_free(&other);
	assert_int_equal(store_lock(mine, clock_deadline(1), &has_waited), 0);
	store_free(&mine);
}

/* Hold the lock until the parent sleeps, which is in its wait for it. */
static void
hold_lock(struct store *store, int told)
{
	char path[64];
	char text[512];
	bool has_waited;
	ssize_t n;

	(void)store_lock(store, clock_deadline(LOCK_SECONDS), &has_waited);
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)getppid());
	/* It does not sleep any more when this has been written. */
	(void)!write(told, "x", 1);
	do {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		n = read(fd, text, sizeof(text) - 1);
		fd_close(&fd);
		text[n > 0 ? n : 0] = '\0';
	} while (n > 0 && strstr(text, ") S ") == NULL);
}

static void
test_lock_ends_with_the_process_that_holds_it(void **state)
{
	struct fixture *t = *state;
	struct store *store = store_open(t->directory, &account);
	int ready[2];
	bool has_waited;
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		hold_lock(store, ready[1]);
		_exit(0);
	}
	assert_int_equal(fd_read(ready[0], &byte, 1), 1);
	assert_int_equal(
	    store_lock(store, clock_deadline(LOCK_SECONDS), &has_waited), 0);
	assert_true(has_waited);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fd_close(&ready[0]);
	fd_close(&ready[1]);
	store_free(&store);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_directory_is_made_private),
		CASE(test_directory_of_others_is_not_used),
		CASE(test_link_and_file_are_no_directory),
		CASE(test_token_comes_back),
		CASE(test_failure_comes_back),
		CASE(test_odd_files_are_no_token),
		CASE(test_torn_files_are_no_token),
		CASE(test_files_of_others_are_not_used),
		CASE(test_size_is_limited),
		CASE(test_each_purpose_has_a_file_of_its_own),
		cmocka_unit_test(test_no_store_does_nothing),
		CASE(test_lock_keeps_others_out_until_deadline),
		CASE(test_lock_ends_with_the_process_that_holds_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
