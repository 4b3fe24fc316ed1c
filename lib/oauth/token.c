#include "oauth/token.h"

#include <sys/stat.h>

#include <inttypes.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "config/config.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/log.h"
#include "oauth/entra.h"
#include "oauth/http.h"
#include "oauth/store.h"

enum {
	LOCK_SECONDS = 90,         /* longer than one request may take */
	SLACK_SECONDS = 300,       /* by which clocks may differ */
	SPARE_SECONDS = 60,        /* enough to sign in with */
	REST_SECONDS = 60,         /* after a refusal that time does not mend */
	FORCED_REST_SECONDS = 300, /* between two forced renewals */
	SECRET_MAX = 16 * 1024,
	SECRET_SHORTEST = 8
};

/* Good for this many more seconds, and not the token that was refused. */
static bool
is_good_for(const struct store_entry *entry, int64_t seconds,
    const struct span *refused)
{
	int64_t now = time(NULL);

	/* A request in the future: the clock has been set back since, and
	 * nobody knows when this token really ends. */
	if (entry->token.len == 0 ||
	    entry->requested_at > now + SLACK_SECONDS ||
	    entry->expires_at - now <= seconds)
		return false;
	return refused == NULL ||
	    !span_equal(buf_view(&entry->token), *refused);
}

/* A token is renewed before its end, but not before half of its life. */
static bool
is_fresh(const struct store_entry *entry, const struct span *refused)
{
	int64_t life = entry->expires_at - entry->requested_at;
	int64_t margin = TOKEN_MARGIN_SECONDS;

	if (life / 2 < margin)
		margin = life / 2;
	return is_good_for(entry, margin, refused);
}

/* The secret was replaced since: what it failed with is no news. */
static bool
has_new_secret(const struct account *account, const struct store_entry *entry)
{
	struct stat st;

	return stat(account->client_secret_file, &st) == 0 &&
	    st.st_mtime >= entry->failed_at;
}

/*
 * Does the last request's failure hold for us too?  It does while Entra has
 * asked for patience or has refused us, and for those who waited for just
 * that request.
 */
static bool
has_failed(const struct account *account, const struct store_entry *entry,
    bool has_waited, int64_t started)
{
	int64_t left = entry->not_before - (int64_t)time(NULL);

	if (entry->failure.kind == FAILURE_NONE)
		return false;
	if (entry->failure.kind != FAILURE_LATER &&
	    has_new_secret(account, entry))
		return false;
	/* More than the longest wait: the clock has been set back since. */
	if (left > 0 && left <= HTTP_RETRY_AFTER_MAX)
		return true;
	return has_waited && entry->failed_at >= started;
}

/*
 * Whatever a server says, it does not say our secret to the log.  A secret so
 * short that it may be a word of ours stays: Entra's have 40 characters.
 */
static void
hide_secret(struct span secret, struct failure *f)
{
	char *s;

	while (secret.len >= SECRET_SHORTEST &&
	    (s = memmem(f->text, strlen(f->text), secret.s, secret.len)) !=
		NULL)
		memset(s, '*', secret.len);
}

/*
 * One request with this form.  On success out has the token, without a
 * failure; else only not_before counts.
 */
static int
post_form(const struct account *account, const struct buf *form,
    struct store_entry *out, struct failure *f)
{
	struct http_request request = { .ca_file = account->ca_file,
		.proxy = account->proxy,
		.timeout = account->timeout,
		.form = buf_view(form) };
	struct http_answer answer;
	struct buf url;
	int lifetime = 0;
	int r;

	if (config_check_ca_file(account->ca_file, f) == -1)
		return -1;
	buf_init(&url, ENTRA_URL_MAX);
	if (entra_token_url(account, &url) == -1) {
		buf_done(&url);
		return failure_set(f, FAILURE_CONFIG,
		    "authority is not https://HOST, or is too long");
	}
	request.url = url.s;
	/* The token's life begins no earlier than the request. */
	out->requested_at = time(NULL);
	r = http_post(&request, &answer, f);
	if (r == 0)
		r = entra_parse_answer(
		    account, &answer, &out->token, &lifetime, f);
	if (r == -1 && f->kind != FAILURE_LATER)
		out->not_before = time(NULL) + REST_SECONDS;
	else if (r == -1 && answer.retry_after > 0)
		out->not_before = time(NULL) + answer.retry_after;
	out->expires_at = out->requested_at + lifetime;
	http_answer_done(&answer);
	buf_done(&url);
	return r;
}

/* The same with the secret from its file. */
static int
post_secret(
    const struct account *account, struct store_entry *out, struct failure *f)
{
	struct buf secret;
	struct buf form;
	int r;

	buf_init_secret(&secret, SECRET_MAX);
	buf_init_secret(&form, ENTRA_FORM_MAX);
	r = config_read_secret(account->client_secret_file, &secret, f);
	if (r == 0 &&
	    entra_client_secret_request(account, buf_view(&secret), &form) ==
		-1)
		r = failure_set(f, FAILURE_CONFIG,
		    "client_id, scope and client secret are too long");
	if (r == 0)
		r = post_form(account, &form, out, f);
	if (r == -1)
		hide_secret(buf_view(&secret), f);
	buf_done(&form);
	buf_done(&secret);
	return r;
}

/* Replace entry by a new token, or add the failure to the one it has. */
static int
request_token(
    const struct account *account, struct store_entry *entry, struct failure *f)
{
	struct store_entry next;

	store_entry_init(&next);
	if (post_secret(account, &next, f) == -1) {
		entry->failure = *f;
		entry->failed_at = time(NULL);
		entry->not_before = next.not_before;
		store_entry_done(&next);
		return -1;
	}
	log_debug("new token from %s, good for %" PRId64 " seconds",
	    account->authority, next.expires_at - next.requested_at);
	store_entry_done(entry);
	*entry = next;
	return 0;
}

/* The failure that is on record, with what is left to wait. */
static int
repeat_failure(const struct store_entry *entry, struct failure *f)
{
	int64_t left = entry->not_before - (int64_t)time(NULL);

	*f = entry->failure;
	if (left > 0)
		failure_at(f,
		    "Entra is not asked again for %" PRId64 " seconds", left);
	return -1;
}

/* With the lock held: ask, and let the others know. */
static int
renew_locked(const struct account *account, const struct store *store,
    const struct span *refused, struct store_entry *entry, struct failure *f)
{
	struct failure unsaved;
	int r;

	/* What is left of a token's life serves while there is no other. */
	if (!is_good_for(entry, 0, refused))
		buf_reset(&entry->token);
	r = request_token(account, entry, f);
	entry->is_forced = refused != NULL;
	if (store_write(store, entry, &unsaved) == -1)
		log_debug("token not kept: %s", unsaved.text);
	return r;
}

static int
renew(const struct account *account, struct store *store,
    const struct span *refused, struct store_entry *entry, struct failure *f)
{
	int64_t started = time(NULL);
	bool has_waited = false;
	int patience = LOCK_SECONDS;
	int r = 0;

	/* Another process may be renewing what still serves us. */
	if (is_good_for(entry, SPARE_SECONDS, refused))
		patience = 0;
	if (store_lock(store, clock_deadline(patience), &has_waited) == -1) {
		if (patience == 0)
			return 0;
		/* No request takes that long: whoever holds it is stuck. */
		log_debug("the lock on the token is held for ever");
	}
	store_read(store, entry);
	if (is_fresh(entry, refused))
		log_debug("token from another process");
	else if (has_failed(account, entry, has_waited, started))
		r = repeat_failure(entry, f);
	else
		r = renew_locked(account, store, refused, entry, f);
	store_unlock(store);
	if (r == -1 && f->kind == FAILURE_LATER &&
	    is_good_for(entry, SPARE_SECONDS, refused)) {
		log_debug("old token used: %s", f->text);
		r = 0;
	}
	return r;
}

/*
 * The refused token was itself fetched because one had been refused, and not
 * long ago: the next would be refused as well.
 */
static bool
is_resting(const struct store_entry *entry, const struct span *refused)
{
	int64_t age = (int64_t)time(NULL) - entry->requested_at;

	return refused != NULL && entry->is_forced && age >= 0 &&
	    age < FORCED_REST_SECONDS &&
	    span_equal(buf_view(&entry->token), *refused);
}

int
token_get(const struct account *account, const char *state_directory,
    const struct span *refused, struct buf *out, int64_t *out_end,
    struct failure *f)
{
	struct store *store;
	struct store_entry entry;
	int r = 0;

	if (account->auth != AUTH_CLIENT_SECRET)
		return failure_set(
		    f, FAILURE_BUG, "token_get: the account has a password");
	store = store_open(state_directory, account);
	store_entry_init(&entry);
	store_read(store, &entry);
	if (!is_fresh(&entry, refused) && !is_resting(&entry, refused))
		r = renew(account, store, refused, &entry, f);
	if (r == 0 && buf_span(out, buf_view(&entry.token)) == -1)
		r = failure_set(f, FAILURE_BUG, "token_get: no room");
	if (out_end != NULL)
		*out_end = entry.expires_at;
	store_entry_done(&entry);
	store_free(&store);
	return r;
}
