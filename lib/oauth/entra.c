#include "oauth/entra.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "advice/advice.h"
#include "config/config.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/log.h"
#include "core/service.h"
#include "oauth/http.h"
#include "oauth/safejson.h"
#include "oauth/token.h"

enum {
	STATUS_TOO_MANY = 429, /* RFC 6585 4 */
	AADSTS_MAX = 99999999,
	SHOWN_SIZE = 300, /* of a description that has no row in the table */
	NAME_SIZE = 64,
	ID_SIZE = 40, /* a GUID */
	PATH_SHOWN = 200
};

struct error_kind {
	const char *name;
	enum failure_kind kind;
};

struct number_kind {
	unsigned long number;
	enum failure_kind kind;
};

/* The `error` of RFC 6749 5.2 and of Entra's documentation. */
static const struct error_kind errors[] = {
	{ "access_denied", FAILURE_AUTH },
	{ "consent_required", FAILURE_AUTH },
	{ "interaction_required", FAILURE_AUTH },
	{ "invalid_client", FAILURE_AUTH },
	{ "invalid_grant", FAILURE_AUTH },
	{ "invalid_request", FAILURE_CONFIG },
	{ "invalid_resource", FAILURE_CONFIG },
	{ "invalid_scope", FAILURE_CONFIG },
	{ "login_required", FAILURE_AUTH },
	{ "server_error", FAILURE_LATER },
	{ "temporarily_unavailable", FAILURE_LATER },
	{ "unauthorized_client", FAILURE_CONFIG },
	{ "unsupported_grant_type", FAILURE_CONFIG },
};

/* Numbers whose `error` alone would lead to the wrong kind. */
static const struct number_kind numbers[] = {
	{ 50196, FAILURE_LATER },  /* too many equal requests */
	{ 90002, FAILURE_CONFIG }, /* no such tenant */
	{ 90006, FAILURE_LATER }, { 90024, FAILURE_LATER },
	{ 90033, FAILURE_LATER },
	{ 90038, FAILURE_CONFIG }, /* the tenant is in another cloud */
	{ 90055, FAILURE_LATER }, { 90061, FAILURE_LATER },
	{ 90090, FAILURE_LATER },
	{ 700016, FAILURE_CONFIG },  /* no such application */
	{ 700025, FAILURE_CONFIG },  /* a secret where none belongs */
	{ 7000112, FAILURE_CONFIG }, /* the application is disabled */
	{ 7000215, FAILURE_AUTH },   /* wrong secret */
	{ 7000218, FAILURE_CONFIG }, /* no secret arrived */
	{ 7000222, FAILURE_AUTH },   /* expired secret */
};

struct refusal {
	char error[NAME_SIZE];
	unsigned long number; /* 0: none */
	char description[SHOWN_SIZE];
	char trace_id[ID_SIZE];
	char correlation_id[ID_SIZE];
};

/* ---- the request ---- */

/* RFC 3986 2.3. */
static bool
is_unreserved(char c)
{
	return ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' ||
	    c == '~';
}

static int
add_encoded(struct buf *out, struct span s)
{
	static const char hex[] = "0123456789ABCDEF";
	int r = 0;

	for (size_t i = 0; i < s.len && r == 0; i++) {
		unsigned char c = (unsigned char)s.s[i];
		char piece[3] = { '%', hex[c >> 4], hex[c & 15] };

		if (is_unreserved(s.s[i]))
			r = buf_putc(out, s.s[i]);
		else
			r = buf_add(out, piece, sizeof(piece));
	}
	return r;
}

int
entra_token_url(const struct account *account, struct buf *out)
{
	static const char https[] = "https://";
	struct span authority = span_of(account->authority);

	/* Without a host libcurl would take the tenant for it. */
	if (strncmp(authority.s, https, sizeof(https) - 1) != 0 ||
	    !ascii_is_alnum(authority.s[sizeof(https) - 1]))
		return -1;
	while (authority.len > 0 && authority.s[authority.len - 1] == '/')
		authority.len--;
	if (buf_span(out, authority) == -1 || buf_putc(out, '/') == -1 ||
	    add_encoded(out, span_of(account->tenant)) == -1)
		return -1;
	return buf_puts(out, "/oauth2/v2.0/token");
}

int
entra_client_secret_request(
    const struct account *account, struct span secret, struct buf *out)
{
	if (buf_puts(out, "client_id=") == -1 ||
	    add_encoded(out, span_of(account->client_id)) == -1 ||
	    buf_puts(out, "&scope=") == -1 ||
	    add_encoded(out, span_of(account->scope)) == -1 ||
	    buf_puts(out, "&client_secret=") == -1 ||
	    add_encoded(out, secret) == -1)
		return -1;
	return buf_puts(out, "&grant_type=client_credentials");
}

/* ---- the answer: a token ---- */

bool
entra_is_token(struct span token)
{
	if (token.len == 0 || token.len > TOKEN_MAX_BYTES)
		return false;
	for (size_t i = 0; i < token.len; i++)
		if (token.s[i] <= ' ' || token.s[i] > '~' || token.s[i] == ',')
			return false;
	return true;
}

static int
lifetime_of(const json_t *json)
{
	int64_t seconds;

	/* A number here, a string from managed identities. */
	if (!safejson_number(json, "expires_in", INT32_MAX, &seconds) ||
	    seconds == 0)
		return ENTRA_LIFETIME_UNKNOWN;
	if (seconds > ENTRA_LIFETIME_MAX)
		return ENTRA_LIFETIME_MAX;
	return (int)seconds;
}

static int
fail_strange(const struct http_answer *answer, const char *what,
    const struct account *account, struct failure *f)
{
	failure_set(f, FAILURE_LATER,
	    "%.*s answered HTTP %ld with %s; check authority, and whether a "
	    "proxy wants a login here",
	    PATH_SHOWN, account->authority, answer->status, what);
	return failure_dsn(f, "4.7.0");
}

static int
take_token(const struct account *account, const struct http_answer *answer,
    const json_t *json, struct buf *out, struct failure *f)
{
	struct span token;
	struct span type;

	if (!safejson_text(json, "token_type", &type) ||
	    !span_is_nocase(type, "Bearer"))
		return fail_strange(
		    answer, "something that is no Bearer token", account, f);
	if (!safejson_text(json, "access_token", &token) ||
	    !entra_is_token(token) || buf_span(out, token) == -1)
		return fail_strange(
		    answer, "a token that cannot be used", account, f);
	return 0;
}

/* ---- the answer: an error ---- */

/* "AADSTS7000215: Invalid ...": the number, which is cut off; 0: none. */
static unsigned long
cut_number(struct span *description)
{
	static const char mark[] = "AADSTS";
	size_t start = sizeof(mark) - 1;
	size_t end = start;
	uint64_t number = 0;

	if (description->len < start ||
	    memcmp(description->s, mark, start) != 0)
		return 0;
	while (end < description->len && ascii_is_digit(description->s[end]))
		end++;
	if (parse_u64((struct span){ description->s + start, end - start },
		AADSTS_MAX, &number) == -1)
		return 0;
	if (end < description->len && description->s[end] == ':')
		end++;
	description->s += end;
	description->len -= end;
	*description = span_trim(*description);
	return (unsigned long)number;
}

/* The first line, without the ids that Entra appends to it. */
static struct span
first_line(struct span text)
{
	static const char mark[] = " Trace ID:";
	const char *end;

	for (size_t i = 0; i < text.len; i++)
		if (text.s[i] == '\r' || text.s[i] == '\n')
			text.len = i;
	end = memmem(text.s, text.len, mark, sizeof(mark) - 1);
	if (end != NULL)
		text.len = (size_t)(end - text.s);
	return span_trim(text);
}

static void
copy_id(const json_t *json, const char *key, char out[static ID_SIZE])
{
	struct span id;

	out[0] = '\0';
	if (!safejson_text(json, key, &id) || id.len >= ID_SIZE)
		return;
	for (size_t i = 0; i < id.len; i++)
		if (!ascii_is_alnum(id.s[i]) && id.s[i] != '-')
			return;
	memcpy(out, id.s, id.len);
	out[id.len] = '\0';
}

static void
read_refusal(const json_t *json, struct refusal *out)
{
	const json_t *codes = json_object_get(json, "error_codes");
	struct span text;
	json_int_t code;

	*out = (struct refusal){ .number = 0 };
	if (safejson_text(json, "error", &text))
		log_escape(out->error, sizeof(out->error), text.s, text.len);
	if (safejson_text(json, "error_description", &text)) {
		text = first_line(text);
		out->number = cut_number(&text);
		log_escape(out->description, sizeof(out->description), text.s,
		    text.len);
	}
	code = json_integer_value(json_array_get(codes, 0));
	if (code > 0 && code <= AADSTS_MAX)
		out->number = (unsigned long)code;
	copy_id(json, "trace_id", out->trace_id);
	copy_id(json, "correlation_id", out->correlation_id);
}

/* Too busy or broken, whatever else the answer says. */
static bool
is_overload(long status)
{
	return status == STATUS_TOO_MANY || status >= 500;
}

static enum failure_kind
kind_of(long status, const struct refusal *refusal)
{
	if (is_overload(status))
		return FAILURE_LATER;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].number == refusal->number)
			return numbers[i].kind;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (strcmp(errors[i].name, refusal->error) == 0)
			return errors[i].kind;
	/* A word that is new to us, or not Entra's answer at all. */
	if (refusal->error[0] == '\0')
		return FAILURE_LATER;
	return status == 400 ? FAILURE_CONFIG : FAILURE_AUTH;
}

static const char *
dsn_of(enum failure_kind kind)
{
	if (kind == FAILURE_AUTH)
		return "4.7.8";
	return kind == FAILURE_CONFIG ? "4.3.5" : "4.7.0";
}

/* "AADSTS7000222 (invalid_client)", or what there is of it. */
static void
describe_code(const struct refusal *refusal, long status, struct buf *out)
{
	if (refusal->number > 0)
		(void)buf_printf(out, "AADSTS%lu (%s)", refusal->number,
		    refusal->error[0] != '\0' ? refusal->error : "no error");
	else if (refusal->error[0] != '\0')
		(void)buf_puts(out, refusal->error);
	else
		(void)buf_printf(out, "HTTP %ld", status);
}

/* What it means and what to do.  A text that does not fit is left out. */
static void
describe_cure(const struct refusal *refusal, struct buf *out)
{
	const struct advice *advice = advice_aadsts(refusal->number);

	if (advice != NULL)
		(void)buf_printf(
		    out, ": %s; %s", advice->meaning, advice->cure);
	else if (refusal->description[0] != '\0')
		(void)buf_printf(out, ": %s", refusal->description);
	if (advice == NULL && refusal->number > 0)
		(void)buf_printf(out,
		    "; see https://login.microsoftonline.com/error?code=%lu",
		    refusal->number);
}

/* Which file it is that has the wrong secret. */
static void
describe_file(const char *path, struct buf *out)
{
	const char *name = config_credential_name(path);

	if (name == NULL)
		(void)buf_printf(
		    out, " (client_secret_file is %.*s)", PATH_SHOWN, path);
	else
		(void)buf_printf(out,
		    " (client_secret_file is the credential %.*s, a copy from "
		    "the start of the service; when the file is right, %s)",
		    PATH_SHOWN, name, service_how_to_restart());
}

/* json is NULL if the answer has none. */
static int
fail_refused(const struct account *account, const struct http_answer *answer,
    const json_t *json, struct failure *f)
{
	struct refusal refusal;
	enum failure_kind kind;
	struct buf text;

	read_refusal(json, &refusal);
	kind = kind_of(answer->status, &refusal);
	buf_init(&text, FAILURE_TEXT_SIZE);
	describe_code(&refusal, answer->status, &text);
	describe_cure(&refusal, &text);
	if (kind == FAILURE_AUTH && account->client_secret_file != NULL &&
	    strcmp(refusal.error, "invalid_client") == 0)
		describe_file(account->client_secret_file, &text);
	if (answer->retry_after > 0)
		(void)buf_printf(&text, "; Entra asks to wait %d seconds",
		    answer->retry_after);
	/* Support cannot help without them. */
	if (refusal.trace_id[0] != '\0' || refusal.correlation_id[0] != '\0')
		(void)buf_printf(&text, " [trace_id %s, correlation_id %s]",
		    refusal.trace_id, refusal.correlation_id);
	failure_set(f, kind, "%s: %s",
	    kind == FAILURE_LATER ? "Entra gives no token now"
				  : "Entra refused the sign-in",
	    text.s);
	buf_done(&text);
	return failure_dsn(f, dsn_of(kind));
}

int
entra_parse_answer(const struct account *account,
    const struct http_answer *answer, struct buf *out_token, int *out_lifetime,
    struct failure *f)
{
	json_t *json = safejson_parse(buf_view(&answer->body));
	int r;

	if (answer->status == 200 && json != NULL)
		r = take_token(account, answer, json, out_token, f);
	else if (json != NULL || is_overload(answer->status))
		r = fail_refused(account, answer, json, f);
	else
		r = fail_strange(
		    answer, "something that is not JSON", account, f);
	if (r == 0)
		*out_lifetime = lifetime_of(json);
	json_decref(json);
	return r;
}
