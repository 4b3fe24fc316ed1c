/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "oauth/entra.h"
#include "oauth/http.h"
#include "oauth/token.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define GUID_A        "11111111-aaaa-bbbb-cccc-222222222222"
#define GUID_B        "33333333-aaaa-bbbb-cccc-444444444444"

#define IDS "\"trace_id\":\"" GUID_A "\",\"correlation_id\":\"" GUID_B "\""

#define SHOWN_IDS " [trace_id " GUID_A ", correlation_id " GUID_B "]"

static char authority[] = "https://login.microsoftonline.com";
static char tenant[] = "contoso.onmicrosoft.com";
static char client_id[] = "00000000-1111-2222-3333-444444444444";
static char scope[] = "https://outlook.office365.com/.default";
static char secret_file[] = "/etc/sendmail365/client-secret";

static const struct account account = {
	.auth = AUTH_CLIENT_SECRET,
	.authority = authority,
	.tenant = tenant,
	.client_id = client_id,
	.scope = scope,
	.client_secret_file = secret_file,
};

struct outcome {
	int r;
	int lifetime;
	struct buf token;
	struct failure f;
};

static void
parse(long status, int retry_after, struct span body, struct outcome *out)
{
	struct http_answer answer = { .status = status,
		.retry_after = retry_after };

	*out = (struct outcome){ .lifetime = -1 };
	buf_init_secret(&out->token, TOKEN_MAX_BYTES);
	buf_init_secret(&answer.body, HTTP_ANSWER_MAX);
	assert_int_equal(buf_span(&answer.body, body), 0);
	out->r = entra_parse_answer(
	    &account, &answer, &out->token, &out->lifetime, &out->f);
	http_answer_done(&answer);
}

/* ---- the request ---- */

static void
test_url_has_encoded_tenant(void **state)
{
	static char strange[] = "a/../b?c=d";
	static char slashes[] = "https://login.microsoftonline.us//";
	struct account other = account;
	struct buf url;

	(void)state;
	buf_init(&url, ENTRA_URL_MAX);
	assert_int_equal(entra_token_url(&account, &url), 0);
	assert_string_equal(url.s,
	    "https://login.microsoftonline.com/contoso.onmicrosoft.com/"
	    "oauth2/v2.0/token");
	buf_reset(&url);
	other.tenant = strange;
	other.authority = slashes;
	assert_int_equal(entra_token_url(&other, &url), 0);
	assert_string_equal(url.s,
	    "https://login.microsoftonline.us/a%2F..%2Fb%3Fc%3Dd/"
	    "oauth2/v2.0/token");
	buf_done(&url);
}

static void
test_authority_needs_https_and_a_host(void **state)
{
	static char addresses[][24] = { "", "https", "https://", "https:///x",
		"http://example.com", "HTTP://example.com", "https://:443" };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(addresses); i++) {
		struct account other = account;
		struct buf url;

		buf_init(&url, ENTRA_URL_MAX);
		other.authority = addresses[i];
		assert_int_equal(entra_token_url(&other, &url), -1);
		assert_int_equal(url.len, 0);
		buf_done(&url);
	}
}

static void
test_form_is_percent_encoded(void **state)
{
	struct buf form;

	(void)state;
	buf_init_secret(&form, ENTRA_FORM_MAX);
	assert_int_equal(entra_client_secret_request(&account,
			     span_of("aZ0-._~ +/=&%\xc3\xa9\n"), &form),
	    0);
	assert_string_equal(form.s,
	    "client_id=00000000-1111-2222-3333-444444444444"
	    "&scope=https%3A%2F%2Foutlook.office365.com%2F.default"
	    "&client_secret=aZ0-._~%20%2B%2F%3D%26%25%C3%A9%0A"
	    "&grant_type=client_credentials");
	buf_done(&form);
}

static void
test_requests_stay_below_any_maximum(void **state)
{
	struct buf whole;

	(void)state;
	buf_init_secret(&whole, ENTRA_FORM_MAX);
	assert_int_equal(
	    entra_client_secret_request(&account, span_of("s%"), &whole), 0);
	for (size_t max = 0; max < whole.len; max++) {
		struct buf form;
		struct buf url;

		buf_init_secret(&form, max);
		buf_init(&url, max);
		assert_int_equal(
		    entra_client_secret_request(&account, span_of("s%"), &form),
		    -1);
		assert_int_equal(
		    entra_token_url(&account, &url), max < 75 ? -1 : 0);
		buf_done(&form);
		buf_done(&url);
	}
	buf_done(&whole);
}

/* ---- tokens ---- */

#define HEAD "{\"token_type\":\"Bearer\",\"access_token\":\"eyJ0.e-_~+/=.x\""

struct good {
	const char *name;
	const char *body;
	int lifetime;
};

static const struct good good[] = {
	{ "as Entra writes it",
	    "{\"token_type\":\"Bearer\",\"expires_in\":3599,"
	    "\"ext_expires_in\":3599,\"access_token\":\"eyJ0.e-_~+/=.x\"}",
	    3599 },
	{ "type in small letters",
	    "{\"token_type\":\"bearer\",\"expires_in\":3599,"
	    "\"access_token\":\"eyJ0.e-_~+/=.x\"}",
	    3599 },
	{ "seconds as a string", HEAD ",\"expires_in\":\"86399\"}", 86399 },
	{ "no seconds", HEAD "}", 300 },
	{ "one second", HEAD ",\"expires_in\":1}", 1 },
	{ "zero seconds", HEAD ",\"expires_in\":0}", 300 },
	{ "negative", HEAD ",\"expires_in\":-5}", 300 },
	{ "a fraction", HEAD ",\"expires_in\":3599.5}", 300 },
	{ "words", HEAD ",\"expires_in\":\"1 hour\"}", 300 },
	{ "null", HEAD ",\"expires_in\":null}", 300 },
	{ "a day", HEAD ",\"expires_in\":86400}", 86400 },
	{ "more than a day", HEAD ",\"expires_in\":86401}", 86400 },
	{ "more than an int", HEAD ",\"expires_in\":99999999999}", 300 },
};

static void
test_token_is_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		struct outcome o;

		parse(200, 0, span_of(good[i].body), &o);
		if (o.r != 0 || o.lifetime != good[i].lifetime)
			fail_msg("%s: %d, %d seconds, %s", good[i].name, o.r,
			    o.lifetime, o.f.text);
		assert_string_equal(o.token.s, "eyJ0.e-_~+/=.x");
		buf_done(&o.token);
	}
}

#define STRANGE  "https://login.microsoftonline.com answered HTTP "
#define CHECK    "; check authority, and whether a proxy wants a login here"
#define NO_JSON  STRANGE "200 with something that is not JSON" CHECK
#define NO_TYPE  STRANGE "200 with something that is no Bearer token" CHECK
#define NO_TOKEN STRANGE "200 with a token that cannot be used" CHECK

struct bad {
	const char *name;
	const char *body;
	const char *want;
};

static const struct bad bad[] = {
	{ "nothing", "", NO_JSON },
	{ "HTML", "<html><body>Please log in</body></html>", NO_JSON },
	{ "an array", "[" HEAD "}]", NO_JSON },
	{ "cut short", HEAD, NO_JSON },
	{ "something behind", HEAD "} x", NO_JSON },
	{ "a key twice", HEAD ",\"access_token\":\"other\"}", NO_JSON },
	{ "NUL in the token",
	    "{\"token_type\":\"Bearer\",\"access_token\":\"a\\u0000b\"}",
	    NO_JSON },
	{ "no type", "{\"access_token\":\"abc\"}", NO_TYPE },
	{ "another type", "{\"token_type\":\"MAC\",\"access_token\":\"abc\"}",
	    NO_TYPE },
	{ "no token", "{\"token_type\":\"Bearer\"}", NO_TOKEN },
	{ "empty token", "{\"token_type\":\"Bearer\",\"access_token\":\"\"}",
	    NO_TOKEN },
	{ "number as token", "{\"token_type\":\"Bearer\",\"access_token\":12}",
	    NO_TOKEN },
	{ "blank in the token",
	    "{\"token_type\":\"Bearer\",\"access_token\":\"a b\"}", NO_TOKEN },
	{ "line end in the token",
	    "{\"token_type\":\"Bearer\",\"access_token\":\"a\\r\\nb\"}",
	    NO_TOKEN },
	{ "separator of XOAUTH2 in the token",
	    "{\"token_type\":\"Bearer\",\"access_token\":\"a\\u0001b\"}",
	    NO_TOKEN },
	{ "comma in the token",
	    "{\"token_type\":\"Bearer\",\"access_token\":\"a,b\"}", NO_TOKEN },
	{ "8-bit token",
	    "{\"token_type\":\"Bearer\",\"access_token\":\"\xc3\xa9\"}",
	    NO_TOKEN },
	{ "DEL in the token",
	    "{\"token_type\":\"Bearer\",\"access_token\":\"a\\u007f\"}",
	    NO_TOKEN },
};

static void
check_no_token(const struct outcome *o, const char *name)
{
	if (o->r != -1 || o->token.len != 0 || o->lifetime != -1)
		fail_msg("%s: accepted", name);
}

static void
test_strange_answers_give_no_token(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		struct outcome o;

		parse(200, 0, span_of(bad[i].body), &o);
		check_no_token(&o, bad[i].name);
		if (strcmp(o.f.text, bad[i].want) != 0)
			fail_msg("%s: %s", bad[i].name, o.f.text);
		assert_int_equal(o.f.kind, FAILURE_LATER);
		assert_string_equal(o.f.dsn, "4.7.0");
		buf_done(&o.token);
	}
}

static void
test_token_size_is_limited(void **state)
{
	static const char head[] =
	    "{\"token_type\":\"Bearer\",\"access_token\":\"";

	(void)state;
	for (size_t extra = 0; extra < 2; extra++) {
		size_t len = TOKEN_MAX_BYTES + extra;
		char *token = xmalloc(len + 1);
		char *body;
		struct outcome o;

		memset(token, 'x', len);
		token[len] = '\0';
		body = xasprintf("%s%s\"}", head, token);
		parse(200, 0, span_of(body), &o);
		if (extra == 0) {
			assert_int_equal(o.r, 0);
			assert_string_equal(o.token.s, token);
		} else {
			check_no_token(&o, "too long");
			assert_string_equal(o.f.text, NO_TOKEN);
		}
		buf_done(&o.token);
		free(body);
		free(token);
	}
}

/* ---- refusals ---- */

struct refusal {
	const char *name;
	long status;
	int retry_after;
	enum failure_kind kind;
	const char *body;
	const char *dsn;
	const char *want;
};

#define REFUSED "Entra refused the sign-in: "
#define NOT_NOW "Entra gives no token now: "
#define FILE_IS " (client_secret_file is /etc/sendmail365/client-secret)"

static const struct refusal refusals[] = {
	{ "expired secret", 401, 0, FAILURE_AUTH,
	    "{\"error\":\"invalid_client\",\"error_description\":"
	    "\"AADSTS7000222: The provided client secret keys for app '0' "
	    "are expired. Trace ID: 1 Correlation ID: 2\","
	    "\"error_codes\":[7000222]," IDS "}",
	    "4.7.8",
	    REFUSED "AADSTS7000222 (invalid_client): the client secret has "
		    "expired; make a new one under Entra admin center > App "
		    "registrations > APP > Certificates & secrets and write "
		    "its Value to client_secret_file" FILE_IS SHOWN_IDS },
	{ "unknown application", 400, 0, FAILURE_CONFIG,
	    "{\"error\":\"unauthorized_client\",\"error_description\":"
	    "\"AADSTS700016: Application with identifier '0' was not "
	    "found\",\"error_codes\":[700016]}",
	    "4.3.5",
	    REFUSED "AADSTS700016 (unauthorized_client): the application is "
		    "not known in this tenant; check client_id (Application "
		    "(client) ID, not Object ID) and tenant; an application "
		    "of another tenant needs admin consent first" },
	{ "unknown tenant", 400, 0, FAILURE_CONFIG,
	    "{\"error\":\"invalid_request\",\"error_codes\":[90002]}", "4.3.5",
	    REFUSED "AADSTS90002 (invalid_request): there is no such tenant; "
		    "check tenant (GUID or domain, see Entra admin center > "
		    "Overview) and cloud" },
	{ "number in the description only", 400, 0, FAILURE_CONFIG,
	    "{\"error\":\"invalid_scope\",\"error_description\":"
	    "\"AADSTS70011: The provided value is not valid.\"}",
	    "4.3.5",
	    REFUSED "AADSTS70011 (invalid_scope): scope is wrong; set scope "
		    "= https://outlook.office365.com/.default, or leave it "
		    "out" },
	{ "number that the table does not have", 400, 0, FAILURE_AUTH,
	    "{\"error\":\"invalid_grant\",\"error_description\":"
	    "\"AADSTS99999: Something new.\\r\\nTrace ID: 1\","
	    "\"error_codes\":[99999]}",
	    "4.7.8",
	    REFUSED "AADSTS99999 (invalid_grant): Something new.; see "
		    "https://login.microsoftonline.com/error?code=99999" },
	{ "no number at all", 400, 0, FAILURE_CONFIG,
	    "{\"error\":\"invalid_request\","
	    "\"error_description\":\"Bad.\"}",
	    "4.3.5", REFUSED "invalid_request: Bad." },
	{ "request loop", 400, 0, FAILURE_LATER,
	    "{\"error\":\"invalid_client\",\"error_codes\":[50196]}", "4.7.0",
	    NOT_NOW "AADSTS50196 (invalid_client): the same request came too "
		    "often; wait; if it repeats, make state_directory "
		    "writable so that tokens are kept" },
	{ "too many requests", 429, 17, FAILURE_LATER, "", "4.7.0",
	    NOT_NOW "HTTP 429; Entra asks to wait 17 seconds" },
	{ "overload with a page", 503, 0, FAILURE_LATER,
	    "<html>Service unavailable</html>", "4.7.0", NOT_NOW "HTTP 503" },
	{ "overload, whatever the word", 500, 0, FAILURE_LATER,
	    "{\"error\":\"invalid_client\"}", "4.7.0",
	    NOT_NOW "invalid_client" },
	{ "overload by word", 400, 0, FAILURE_LATER,
	    "{\"error\":\"temporarily_unavailable\",\"error_description\":"
	    "\"AADSTS90033: A transient error has occurred.\"}",
	    "4.7.0",
	    NOT_NOW "AADSTS90033 (temporarily_unavailable): a temporary "
		    "fault of Entra; nothing; it is tried again later" },
	{ "new word", 400, 0, FAILURE_CONFIG, "{\"error\":\"brand_new\"}",
	    "4.3.5", REFUSED "brand_new" },
	{ "new word, forbidden", 403, 0, FAILURE_AUTH,
	    "{\"error\":\"brand_new\"}", "4.7.8", REFUSED "brand_new" },
	{ "JSON of somebody else", 403, 0, FAILURE_LATER,
	    "{\"message\":\"login\"}", "4.7.0", NOT_NOW "HTTP 403" },
	{ "a page of somebody else", 407, 0, FAILURE_LATER, "<html>", "4.7.0",
	    STRANGE "407 with something that is not JSON" CHECK },
	{ "control characters and strange ids", 400, 0, FAILURE_CONFIG,
	    "{\"error\":\"a\\u001b[31m\\r\\nb\",\"error_description\":"
	    "\"x\\u0007y\",\"trace_id\":\"a\\nb\","
	    "\"correlation_id\":\"0123456789012345678901234567890123456789\"}",
	    "4.3.5", REFUSED "a\\x1b[31m\\x0d\\x0ab: x\\x07y" },
	{ "odd numbers", 400, 0, FAILURE_CONFIG,
	    "{\"error\":\"invalid_request\",\"error_codes\":[-1],"
	    "\"error_description\":\"AADSTS999999999999999999: x\"}",
	    "4.3.5", REFUSED "invalid_request: AADSTS999999999999999999: x" },
	{ "types that are wrong", 400, 0, FAILURE_LATER,
	    "{\"error\":[1],\"error_codes\":\"7000215\","
	    "\"error_description\":{},\"trace_id\":1}",
	    "4.7.0", NOT_NOW "HTTP 400" },
};

static void
test_refusals_name_cause_and_cure(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(refusals); i++) {
		const struct refusal *c = &refusals[i];
		struct outcome o;

		parse(c->status, c->retry_after, span_of(c->body), &o);
		check_no_token(&o, c->name);
		if (strcmp(o.f.text, c->want) != 0)
			fail_msg("%s: %s", c->name, o.f.text);
		if (o.f.kind != c->kind || strcmp(o.f.dsn, c->dsn) != 0)
			fail_msg("%s: kind %d %s", c->name, o.f.kind, o.f.dsn);
		buf_done(&o.token);
	}
}

struct word {
	const char *error;
	unsigned long number;
	enum failure_kind kind;
};

static const struct word words[] = {
	{ "invalid_client", 7000215, FAILURE_AUTH },
	{ "invalid_client", 7000222, FAILURE_AUTH },
	{ "invalid_client", 7000218, FAILURE_CONFIG },
	{ "invalid_client", 700025, FAILURE_CONFIG },
	{ "invalid_client", 700027, FAILURE_AUTH },
	{ "invalid_client", 50196, FAILURE_LATER },
	{ "invalid_grant", 0, FAILURE_AUTH },
	{ "invalid_grant", 53003, FAILURE_AUTH },
	{ "interaction_required", 50076, FAILURE_AUTH },
	{ "login_required", 0, FAILURE_AUTH },
	{ "consent_required", 65001, FAILURE_AUTH },
	{ "access_denied", 0, FAILURE_AUTH },
	{ "invalid_request", 900144, FAILURE_CONFIG },
	{ "invalid_request", 90002, FAILURE_CONFIG },
	{ "invalid_request", 90038, FAILURE_CONFIG },
	{ "unauthorized_client", 700016, FAILURE_CONFIG },
	{ "unauthorized_client", 7000112, FAILURE_CONFIG },
	{ "unsupported_grant_type", 70003, FAILURE_CONFIG },
	{ "invalid_scope", 70011, FAILURE_CONFIG },
	{ "invalid_resource", 500011, FAILURE_CONFIG },
	{ "temporarily_unavailable", 90033, FAILURE_LATER },
	{ "server_error", 0, FAILURE_LATER },
	{ "invalid_request", 90024, FAILURE_LATER },
};

static void
test_kind_follows_error_and_number(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		char *body =
		    xasprintf("{\"error\":\"%s\",\"error_codes\":[%lu]}",
			words[i].error, words[i].number);
		struct outcome o;

		parse(400, 0, span_of(body), &o);
		check_no_token(&o, body);
		if (o.f.kind != words[i].kind)
			fail_msg("%s: kind %d", body, o.f.kind);
		buf_done(&o.token);
		free(body);
	}
}

static void
test_long_description_is_cut(void **state)
{
	char long_text[2000];
	char *body;
	struct outcome o;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	body =
	    xasprintf("{\"error\":\"%s\",\"error_description\":\"%s\"," IDS "}",
		long_text, long_text);
	parse(400, 0, span_of(body), &o);
	check_no_token(&o, "long");
	assert_true(strlen(o.f.text) < 600);
	assert_non_null(strstr(o.f.text, "xxx..."));
	assert_non_null(strstr(o.f.text, SHOWN_IDS));
	buf_done(&o.token);
	free(body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_url_has_encoded_tenant),
		cmocka_unit_test(test_authority_needs_https_and_a_host),
		cmocka_unit_test(test_form_is_percent_encoded),
		cmocka_unit_test(test_requests_stay_below_any_maximum),
		cmocka_unit_test(test_token_is_taken),
		cmocka_unit_test(test_strange_answers_give_no_token),
		cmocka_unit_test(test_token_size_is_limited),
		cmocka_unit_test(test_refusals_name_cause_and_cure),
		cmocka_unit_test(test_kind_follows_error_and_number),
		cmocka_unit_test(test_long_description_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
