/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "core/file.h"
#include "oauth/store.h"
#include "oauth/token.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define SECRET        "s3cret~value"

/* An endpoint that refuses connections: a port that is bound, no more. */
struct fixture {
	char directory[32];
	char *authority;
	char *secret_file;
	int fd;
	struct account account;
};

static char tenant[] = "contoso.onmicrosoft.com";
static char client_id[] = "00000000-1111-2222-3333-444444444444";
static char scope[] = "https://outlook.office365.com/.default";

static int
bind_port(int *out_fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);

	*out_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*out_fd == -1 ||
	    bind(*out_fd, (struct sockaddr *)&address, size) == -1 ||
	    getsockname(*out_fd, (struct sockaddr *)&address, &size) == -1)
		return -1;
	return ntohs(address.sin_port);
}

static int
write_secret(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1 ||
	    fd_write_all(fd, SECRET "\n", sizeof(SECRET "\n") - 1) == -1)
		return -1;
	return close(fd);
}

static int
set_up(void **state)
{
	struct fixture *t = xcalloc(1, sizeof(*t));
	int port = bind_port(&t->fd);

	(void)snprintf(t->directory, sizeof(t->directory), "/tmp/token-XXXXXX");
	if (port == -1 || mkdtemp(t->directory) == NULL)
		return -1;
	t->authority = xasprintf("https://127.0.0.1:%d", port);
	t->secret_file = xasprintf("%s/secret", t->directory);
	t->account = (struct account){ .auth = AUTH_CLIENT_SECRET,
		.authority = t->authority,
		.tenant = tenant,
		.client_id = client_id,
		.scope = scope,
		.client_secret_file = t->secret_file };
	*state = t;
	return write_secret(t->secret_file);
}

static int
tear_down(void **state)
{
	struct fixture *t = *state;
	DIR *dir = opendir(t->directory);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir == NULL || closedir(dir) == -1 || rmdir(t->directory) == -1)
		return -1;
	fd_close(&t->fd);
	free(t->authority);
	free(t->secret_file);
	free(t);
	return 0;
}

/* What is stored, in seconds from now, and what comes of it. */
struct stored {
	const char *name;
	int64_t requested;
	int64_t expires;    /* 0: no token */
	int64_t not_before; /* 0: no failure */
	const char *refused;
	int r;
	bool is_asked; /* Entra is */
};

static const struct stored cases[] = {
	{ "nothing", .r = -1, .is_asked = true },
	{ "fresh", .requested = -100, .expires = 3500 },
	{ "just fresh", .requested = -3000, .expires = 610 },
	{ "soon over, but the only one", .requested = -3000, .expires = 590,
	    .is_asked = true },
	{ "nearly over", .requested = -3000, .expires = 55, .r = -1,
	    .is_asked = true },
	{ "over", .requested = -3600, .expires = -1, .r = -1,
	    .is_asked = true },
	{ "short life, first half", .requested = -100, .expires = 200 },
	{ "short life, second half", .requested = -200, .expires = 100,
	    .is_asked = true },
	{ "refused", .requested = -100, .expires = 3500, .refused = "stored",
	    .r = -1, .is_asked = true },
	{ "another was refused", .requested = -100, .expires = 3500,
	    .refused = "other" },
	{ "clock a little behind", .requested = 200, .expires = 3800 },
	{ "clock set back", .requested = 400, .expires = 4000, .r = -1,
	    .is_asked = true },
	{ "Entra asked to wait", .not_before = 100, .r = -1 },
	{ "Entra asked to wait, old token", .requested = -3000, .expires = 590,
	    .not_before = 100 },
	{ "Entra asked to wait, fresh token", .requested = -100,
	    .expires = 3500, .not_before = 100 },
	{ "waited long enough", .not_before = -1, .r = -1, .is_asked = true },
	{ "wait beyond any that Entra asks for", .not_before = 4000, .r = -1,
	    .is_asked = true },
};

static void
write_case(const struct fixture *t, const struct stored *c)
{
	struct store *store = store_open(t->directory, &t->account);
	int64_t now = time(NULL);
	struct store_entry entry;
	struct failure f;

	store_entry_init(&entry);
	if (c->expires != 0) {
		assert_int_equal(buf_puts(&entry.token, "stored"), 0);
		entry.requested_at = now + c->requested;
		entry.expires_at = now + c->expires;
	}
	if (c->not_before != 0) {
		failure_set(&entry.failure, FAILURE_LATER, "busy");
		failure_dsn(&entry.failure, "4.7.0");
		entry.failed_at = now - 100;
		entry.not_before = now + c->not_before;
	}
	assert_int_equal(store_write(store, &entry, &f), 0);
	store_entry_done(&entry);
	store_free(&store);
}

/* Has a request been made, which can but fail? */
static bool
was_asked(const struct fixture *t)
{
	struct store *store = store_open(t->directory, &t->account);
	struct store_entry entry;
	bool r;

	store_entry_init(&entry);
	store_read(store, &entry);
	r = entry.failure.kind == FAILURE_LATER &&
	    entry.failed_at > (int64_t)time(NULL) - 50 &&
	    strstr(entry.failure.text, "127.0.0.1: no connection") != NULL;
	store_entry_done(&entry);
	store_free(&store);
	return r;
}

static void
test_stored_token_is_used_while_it_is_good(void **state)
{
	struct fixture *t = *state;

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const struct stored *c = &cases[i];
		struct span refused = span_of(c->refused ? c->refused : "");
		struct buf token;
		struct failure f = { .kind = FAILURE_NONE };
		int r;

		write_case(t, c);
		buf_init_secret(&token, TOKEN_MAX_BYTES);
		r = token_get(&t->account, t->directory,
		    c->refused ? &refused : NULL, &token, NULL, &f);
		if (r != c->r || was_asked(t) != c->is_asked)
			fail_msg("%s: %d %s", c->name, r, f.text);
		assert_string_equal(token.s, r == 0 ? "stored" : "");
		assert_int_equal(f.kind, r == 0 ? f.kind : FAILURE_LATER);
		buf_done(&token);
	}
}

static void
test_wait_is_told(void **state)
{
	static const struct stored waiting = { .not_before = 100 };
	struct fixture *t = *state;
	struct buf token;
	struct failure f;

	write_case(t, &waiting);
	buf_init_secret(&token, TOKEN_MAX_BYTES);
	assert_int_equal(
	    token_get(&t->account, t->directory, NULL, &token, NULL, &f), -1);
	assert_string_equal(f.dsn, "4.7.0");
	if (strcmp(f.text, "Entra is not asked again for 100 seconds: busy") !=
		0 &&
	    strcmp(f.text, "Entra is not asked again for 99 seconds: busy") !=
		0)
		fail_msg("%s", f.text);
	buf_done(&token);
}

static void
test_refused_token_is_forgotten(void **state)
{
	static const struct stored fresh = { .requested = -100,
		.expires = 3500 };
	struct fixture *t = *state;
	struct span refused = span_of("stored");
	struct buf token;
	struct failure f;

	write_case(t, &fresh);
	buf_init_secret(&token, TOKEN_MAX_BYTES);
	assert_int_equal(
	    token_get(&t->account, t->directory, &refused, &token, NULL, &f),
	    -1);
	assert_int_equal(
	    token_get(&t->account, t->directory, NULL, &token, NULL, &f), -1);
	buf_done(&token);
}

static void
test_works_without_a_store(void **state)
{
	struct fixture *t = *state;
	struct buf token;
	struct failure f;

	buf_init_secret(&token, TOKEN_MAX_BYTES);
	assert_int_equal(
	    token_get(&t->account, NULL, NULL, &token, NULL, &f), -1);
	assert_int_equal(f.kind, FAILURE_LATER);
	assert_string_equal(f.dsn, "4.4.1");
	assert_non_null(strstr(f.text, "127.0.0.1: no connection"));
	assert_null(strstr(f.text, SECRET));
	buf_done(&token);
}

static void
test_missing_secret_is_a_configuration_error(void **state)
{
	struct fixture *t = *state;
	struct buf token;
	struct failure f;

	assert_int_equal(unlink(t->secret_file), 0);
	buf_init_secret(&token, TOKEN_MAX_BYTES);
	assert_int_equal(
	    token_get(&t->account, NULL, NULL, &token, NULL, &f), -1);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	buf_done(&token);
}

static void
test_address_must_be_https(void **state)
{
	static char plain[] = "http://127.0.0.1";
	static char odd[] = "https://";
	struct fixture *t = *state;
	char *const addresses[] = { plain, odd };

	for (size_t i = 0; i < N_ELEMENTS(addresses); i++) {
		struct account account = t->account;
		struct buf token;
		struct failure f;

		account.authority = addresses[i];
		buf_init_secret(&token, TOKEN_MAX_BYTES);
		assert_int_equal(
		    token_get(&account, NULL, NULL, &token, NULL, &f), -1);
		if (f.kind != FAILURE_CONFIG)
			fail_msg("%s: %s", addresses[i], f.text);
		buf_done(&token);
	}
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_stored_token_is_used_while_it_is_good),
		CASE(test_wait_is_told),
		CASE(test_refused_token_is_forgotten),
		CASE(test_works_without_a_store),
		CASE(test_missing_secret_is_a_configuration_error),
		CASE(test_address_must_be_https),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
