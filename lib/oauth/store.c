#include "oauth/store.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "oauth/entra.h"
#include "oauth/safejson.h"
#include "oauth/token.h"

enum {
	NAME_SIZE = 32, /* "token-", 16 digits, ".lock" */
	NAME_BYTES = 8, /* of the digest that make these digits */
	FILE_MAX = 4 * TOKEN_MAX_BYTES,
	FIRST_PAUSE_MS = 10,
	LONGEST_PAUSE_MS = 250
};

struct store {
	int dirfd;
	int lockfd; /* -1: not locked */
	char name[NAME_SIZE];
	char lock_name[NAME_SIZE];
};

void
store_entry_init(struct store_entry *entry)
{
	*entry = (struct store_entry){ .requested_at = 0 };
	buf_init_secret(&entry->token, TOKEN_MAX_BYTES);
}

void
store_entry_done(struct store_entry *entry)
{
	buf_done(&entry->token);
}

/* ---- the directory ---- */

/* The name stands for what a token is good for, and shows none of it. */
static int
make_name(const struct account *account, struct store *store)
{
	const char *parts[] = { account->authority, account->tenant,
		account->client_id, account->scope };
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct buf key;
	size_t used;
	int ok;

	buf_init(&key, SIZE_MAX / 2);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		(void)buf_add(&key, parts[i], strlen(parts[i]) + 1);
	ok = EVP_Digest(key.s, key.len, digest, NULL, EVP_sha256(), NULL);
	buf_done(&key);
	if (ok != 1)
		return -1;
	used = (size_t)snprintf(store->name, NAME_SIZE, "token-");
	for (size_t i = 0; i < NAME_BYTES; i++, used += 2)
		(void)snprintf(
		    store->name + used, NAME_SIZE - used, "%02x", digest[i]);
	(void)snprintf(store->lock_name, NAME_SIZE, "%.22s.lock", store->name);
	return 0;
}

struct store *
store_open(const char *directory, const struct account *account)
{
	struct store *store = xcalloc(1, sizeof(*store));

	store->lockfd = -1;
	store->dirfd = directory_open_private(directory);
	if (store->dirfd == -1 || make_name(account, store) == -1)
		store_free(&store);
	return store;
}

void
store_free(struct store **store)
{
	if (*store == NULL)
		return;
	fd_close(&(*store)->lockfd);
	fd_close(&(*store)->dirfd);
	free(*store);
	*store = NULL;
}

/* ---- the lock ---- */

/*
 * There is no fcntl() with a time-out, and SIGALRM belongs to the program;
 * hence short pauses, of which a waiting process has few: it waits for one
 * answer of the token endpoint.
 */
static void
nap(long ms, int64_t deadline)
{
	struct timespec pause = { .tv_sec = 0 };
	long left = clock_left_ms(deadline);

	if (ms > left)
		ms = left;
	pause.tv_nsec = ms * 1000000;
	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

int
store_lock(struct store *store, int64_t deadline, bool *out_waited)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	long pause_ms = FIRST_PAUSE_MS;

	*out_waited = false;
	if (store == NULL)
		return 0;
	store->lockfd = openat(store->dirfd, store->lock_name,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* OFD locks end with the descriptor, also when a process is killed. */
	while (store->lockfd != -1 &&
	    fcntl(store->lockfd, F_OFD_SETLK, &lock) == -1) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
			log_debug(
			    "lock %s: %s", store->lock_name, strerror(errno));
			fd_close(&store->lockfd);
			break;
		}
		if (clock_left_ms(deadline) == 0) {
			fd_close(&store->lockfd);
			return -1;
		}
		*out_waited = true;
		nap(pause_ms, deadline);
		if (pause_ms < LONGEST_PAUSE_MS)
			pause_ms *= 2;
	}
	return 0;
}

void
store_unlock(struct store *store)
{
	/* The file stays: a lock on a file that is removed excludes nobody. */
	if (store != NULL)
		fd_close(&store->lockfd);
}

/* ---- the file ---- */

/* The contents of the file, or nothing. */
static void
read_file(const struct store *store, struct buf *out)
{
	int fd = openat(store->dirfd, store->name,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd == -1)
		return;
	if (fstat(fd, &st) == -1 || st.st_uid != geteuid() ||
	    (st.st_mode & 077) != 0)
		log_debug("%s is not ours alone and not used", store->name);
	else if (file_read(fd, out) == -1)
		buf_reset(out);
	fd_close(&fd);
}

static enum failure_kind
kind_of(int64_t exit_status)
{
	switch (exit_status) {
	case EX_NOPERM:
		return FAILURE_AUTH;
	case EX_CONFIG:
		return FAILURE_CONFIG;
	case EX_TEMPFAIL:
		return FAILURE_LATER;
	default:
		return FAILURE_NONE;
	}
}

static void
load_failure(const json_t *json, struct store_entry *entry)
{
	struct failure *f = &entry->failure;
	struct span text;
	struct span dsn;
	int64_t status;

	if (!safejson_number(json, "status", INT8_MAX, &status) ||
	    !safejson_number(json, "at", INT64_MAX / 2, &entry->failed_at) ||
	    !safejson_number(
		json, "not_before", INT64_MAX / 2, &entry->not_before) ||
	    !safejson_text(json, "dsn", &dsn) || dsn.len >= sizeof(f->dsn) ||
	    !safejson_text(json, "text", &text) || ascii_has_control(text))
		return;
	failure_set(f, kind_of(status), "%s", text.s);
	failure_dsn(f, dsn.s);
}

static void
load_token(const json_t *json, struct store_entry *entry)
{
	struct span token;

	if (safejson_number(
		json, "requested_at", INT64_MAX / 2, &entry->requested_at) &&
	    safejson_number(
		json, "expires_at", INT64_MAX / 2, &entry->expires_at) &&
	    safejson_text(json, "access_token", &token) &&
	    entra_is_token(token))
		(void)buf_span(&entry->token, token);
	entry->is_forced = json_is_true(json_object_get(json, "forced"));
}

void
store_read(const struct store *store, struct store_entry *entry)
{
	struct buf text;
	json_t *json;

	store_entry_done(entry);
	store_entry_init(entry);
	if (store == NULL)
		return;
	buf_init_secret(&text, FILE_MAX);
	read_file(store, &text);
	json = safejson_parse(buf_view(&text));
	if (json != NULL) {
		load_token(json, entry);
		load_failure(json_object_get(json, "failure"), entry);
	}
	json_decref(json);
	buf_done(&text);
}

/* Jansson's set functions take the value over, and report if it is NULL. */
static int
save_failure(const struct store_entry *entry, json_t *json)
{
	const struct failure *f = &entry->failure;
	char shown[FAILURE_TEXT_SIZE];
	json_t *inner;

	if (f->kind == FAILURE_NONE)
		return 0;
	inner = safejson_object();
	/* Jansson wants UTF-8. */
	log_escape(shown, sizeof(shown), f->text, strlen(f->text));
	if (json_object_set_new(
		inner, "status", json_integer(failure_exit_status(f))) == -1 ||
	    json_object_set_new(inner, "at", json_integer(entry->failed_at)) ==
		-1 ||
	    json_object_set_new(
		inner, "not_before", json_integer(entry->not_before)) == -1 ||
	    json_object_set_new(inner, "dsn", json_string(f->dsn)) == -1 ||
	    json_object_set_new(inner, "text", json_string(shown)) == -1) {
		json_decref(inner);
		return -1;
	}
	return json_object_set_new(json, "failure", inner);
}

static int
save_token(const struct store_entry *entry, json_t *json)
{
	if (entry->token.len == 0)
		return 0;
	if (json_object_set_new(
		json, "forced", json_boolean(entry->is_forced)) == -1 ||
	    json_object_set_new(json, "access_token",
		json_stringn(entry->token.s, entry->token.len)) == -1 ||
	    json_object_set_new(
		json, "requested_at", json_integer(entry->requested_at)) == -1)
		return -1;
	return json_object_set_new(
	    json, "expires_at", json_integer(entry->expires_at));
}

int
store_write(const struct store *store, const struct store_entry *entry,
    struct failure *f)
{
	json_t *json;
	struct buf text;
	int r;

	if (store == NULL)
		return 0;
	json = safejson_object();
	buf_init_secret(&text, FILE_MAX);
	if (save_token(entry, json) == -1 || save_failure(entry, json) == -1 ||
	    safejson_write(json, &text) == -1)
		r = failure_set(f, FAILURE_LATER, "%s: no JSON", store->name);
	else
		r = file_replace(store->dirfd, store->name, buf_view(&text), f);
	json_decref(json);
	buf_done(&text);
	return r;
}
