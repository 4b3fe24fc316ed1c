#include "config/values.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/cloud.h"
#include "config/config.h"
#include "config/credential.h"
#include "config/suggest.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	LOGIN_MAX = 255 /* of a user name, RFC 4616 2 */
};

static const char *const auth_names[] = {
	[AUTH_CLIENT_SECRET] = "client-secret",
	[AUTH_PASSWORD] = "password",
	[AUTH_NONE] = "none",
};

static const char *const direct_tls_names[] = {
	[DIRECT_TLS_VERIFY] = "verify",
	[DIRECT_TLS_ENCRYPT] = "encrypt",
};

/* Indexed by a bool. */
static const char *const yes_no[] = { "no", "yes" };
static const char *const never_add[] = { "never", "add" };

static const char *const sink_names[] = {
	[LOG_TO_STDERR] = "stderr",
	[LOG_TO_SYSLOG] = "syslog",
};

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* ---- one of several words ---- */

static int
choose(const struct value *v, const char *const *names, size_t count,
    size_t *out, struct failure *f)
{
	char problem[256];

	for (size_t i = 0; i < count; i++) {
		if (strcmp(v->text, names[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	(void)snprintf(
	    problem, sizeof(problem), "\"%s\" is not a known value", v->text);
	return suggest_refuse(problem, span_of(v->text), names, count, f);
}

int
value_auth(const struct value *v, void *field, struct failure *f)
{
	enum auth_kind *out = field;
	size_t i;

	if (choose(v, auth_names, N_ELEMENTS(auth_names), &i, f) == -1)
		return -1;
	*out = (enum auth_kind)i;
	return 0;
}

const char *
value_auth_name(const void *field)
{
	const enum auth_kind *kind = field;

	return auth_names[*kind];
}

int
value_cloud(const struct value *v, void *field, struct failure *f)
{
	enum cloud_kind *out = field;
	size_t count;
	const char *const *names = cloud_names(&count);
	size_t i;

	if (choose(v, names, count, &i, f) == -1)
		return -1;
	*out = (enum cloud_kind)i;
	return 0;
}

int
value_log_target(const struct value *v, void *field, struct failure *f)
{
	struct log_target *out = field;
	size_t len = strlen(v->text);
	size_t i;

	if (v->text[0] == '/' && v->text[len - 1] != '/') {
		out->sink = LOG_TO_SYSLOG;
		out->file = xstrdup(v->text);
		return 0;
	}
	if (strchr(v->text, '/') != NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "a log file is written with its whole path, such as "
		    "/var/log/sendmail365/mail.log");
	if (choose(v, sink_names, N_ELEMENTS(sink_names), &i, f) == -1)
		return -1;
	out->sink = (enum log_sink)i;
	return 0;
}

int
value_log_level(const struct value *v, void *field, struct failure *f)
{
	enum log_level *out = field;
	size_t i;

	if (choose(v, level_names, N_ELEMENTS(level_names), &i, f) == -1)
		return -1;
	*out = (enum log_level)i;
	return 0;
}

int
value_direct_tls(const struct value *v, void *field, struct failure *f)
{
	enum direct_tls *out = field;
	size_t i = 0;

	if (choose(v, direct_tls_names, N_ELEMENTS(direct_tls_names), &i, f) ==
	    -1)
		return -1;
	*out = (enum direct_tls)i;
	return 0;
}

static int
choose_bool(const struct value *v, const char *const names[static 2],
    void *field, struct failure *f)
{
	bool *out = field;
	size_t i = 0;

	if (choose(v, names, 2, &i, f) == -1)
		return -1;
	*out = i == 1;
	return 0;
}

int
value_yes_no(const struct value *v, void *field, struct failure *f)
{
	return choose_bool(v, yes_no, field, f);
}

int
value_never_add(const struct value *v, void *field, struct failure *f)
{
	return choose_bool(v, never_add, field, f);
}

/* ---- numbers ---- */

static int
parse_number(
    const struct value *v, uint64_t max, uint64_t *out, struct failure *f)
{
	uint64_t n = 0;

	if (parse_u64(span_of(v->text), max, &n) == -1 || n == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not a number from 1 to %llu", v->text,
		    (unsigned long long)max);
	*out = n;
	return 0;
}

int
value_port(const struct value *v, void *field, struct failure *f)
{
	uint16_t *out = field;
	uint64_t n = 0;

	if (parse_number(v, UINT16_MAX, &n, f) == -1)
		return -1;
	*out = (uint16_t)n;
	return 0;
}

int
value_recipients(const struct value *v, void *field, struct failure *f)
{
	unsigned *out = field;
	uint64_t n = 0;

	/* 1000 is the most that an administrator can allow a mailbox. */
	if (parse_number(v, 1000, &n, f) == -1)
		return -1;
	*out = (unsigned)n;
	return 0;
}

int
value_timeout(const struct value *v, void *field, struct failure *f)
{
	unsigned *out = field;
	uint64_t n = 0;

	if (parse_number(v, 3600, &n, f) == -1)
		return -1;
	*out = (unsigned)n;
	return 0;
}

/* ---- names ---- */

static bool
is_hex(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

bool
value_is_guid(struct span s)
{
	static const char shape[] = "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh";

	if (s.len != sizeof(shape) - 1)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (shape[i] == '-' ? s.s[i] != '-' : !is_hex(s.s[i]))
			return false;
	return true;
}

/* RFC 1123 2.1: letters, digits, and hyphens but at neither end. */
static bool
is_label(struct span s)
{
	if (s.len == 0 || s.len > 63 || s.s[0] == '-' || s.s[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.s[i]) && s.s[i] != '-')
			return false;
	return true;
}

static bool
is_dns_name(struct span s)
{
	struct span label = { s.s, 0 };
	uint64_t number;

	if (s.len > 253)
		return false;
	for (size_t i = 0; i <= s.len; i++) {
		if (i < s.len && s.s[i] != '.')
			continue;
		label.len = (size_t)(s.s + i - label.s);
		if (!is_label(label))
			return false;
		if (i < s.len)
			label.s = s.s + i + 1;
	}
	/* No top-level domain is a number: this would be an IP address. */
	return parse_u64(label, UINT64_MAX, &number) == -1;
}

bool
value_is_domain(struct span s)
{
	return is_dns_name(s) && memchr(s.s, '.', s.len) != NULL;
}

/* Keep a copy of the value. */
static int
store(const char *text, void *field)
{
	char **out = field;

	*out = xstrdup(text);
	return 0;
}

int
value_tenant(const struct value *v, void *field, struct failure *f)
{
	struct span s = span_of(v->text);

	if (span_is_nocase(s, "common") || span_is_nocase(s, "organizations") ||
	    span_is_nocase(s, "consumers"))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is no particular tenant, and an application can "
		    "sign in only to one; use the directory (tenant) ID or "
		    "a domain of yours, such as contoso.onmicrosoft.com",
		    v->text);
	/* It becomes part of a URL: nothing else may pass. */
	if (!value_is_guid(s) && !value_is_domain(s))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is neither a directory (tenant) ID nor a domain "
		    "such as contoso.onmicrosoft.com",
		    v->text);
	return store(v->text, field);
}

int
value_client_id(const struct value *v, void *field, struct failure *f)
{
	if (!value_is_guid(span_of(v->text)))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not an ID such as "
		    "11111111-2222-3333-4444-555555555555; use the "
		    "application (client) ID on the app's overview page",
		    v->text);
	return store(v->text, field);
}

/* It goes into base64 and nowhere else: any text will do. */
int
value_login(const struct value *v, void *field, struct failure *f)
{
	if (strlen(v->text) > LOGIN_MAX)
		return failure_set(f, FAILURE_CONFIG,
		    "this is longer than %d octets", LOGIN_MAX);
	return store(v->text, field);
}

int
value_host(const struct value *v, void *field, struct failure *f)
{
	if (!is_dns_name(span_of(v->text)))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not a DNS name; an IP address cannot be used, "
		    "since Exchange's certificates and addresses go by name",
		    v->text);
	return store(v->text, field);
}

int
value_domain(const struct value *v, void *field, struct failure *f)
{
	if (!value_is_domain(span_of(v->text)))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not a domain such as contoso.com", v->text);
	return store(v->text, field);
}

int
value_scope(const struct value *v, void *field, struct failure *f)
{
	struct span s = span_of(v->text);

	if (memchr(s.s, ' ', s.len) != NULL ||
	    memchr(s.s, '\t', s.len) != NULL || ascii_has_8bit(s))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not one scope; it is a URL without blanks, "
		    "such as https://outlook.office365.com/.default",
		    v->text);
	return store(v->text, field);
}

/* ---- URLs ---- */

static bool
has_prefix(struct span s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && ascii_equal_nocase(s.s, prefix, len);
}

/* "[address]": libcurl looks at the address itself. */
static bool
is_ipv6_literal(struct span s)
{
	if (s.len < 4 || s.s[0] != '[' || s.s[s.len - 1] != ']')
		return false;
	for (size_t i = 1; i < s.len - 1; i++)
		if (!is_hex(s.s[i]) && s.s[i] != ':' && s.s[i] != '.')
			return false;
	return true;
}

/* Digits and dots only, and at least one of each: left to libcurl, too. */
static bool
is_ipv4_literal(struct span s)
{
	size_t dots = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.s[i] == '.')
			dots++;
		else if (!ascii_is_digit(s.s[i]))
			return false;
	}
	return dots == 3;
}

/* Cut ":PORT" off if it is there; false if it is no port. */
static bool
cut_port(struct span *s)
{
	uint64_t port;
	size_t i = s->len;

	while (i > 0 && ascii_is_digit(s->s[i - 1]))
		i--;
	if (i == 0 || s->s[i - 1] != ':')
		return true;
	if (parse_u64((struct span){ s->s + i, s->len - i }, UINT16_MAX,
		&port) == -1 ||
	    port == 0)
		return false;
	s->len = i - 1;
	return true;
}

int
value_authority(const struct value *v, void *field, struct failure *f)
{
	static const char scheme[] = "https://";
	struct span s = span_of(v->text);

	if (has_prefix(s, scheme)) {
		s.s += sizeof(scheme) - 1;
		s.len -= sizeof(scheme) - 1;
		if (cut_port(&s) && is_dns_name(s))
			return store(v->text, field);
	}
	return failure_set(f, FAILURE_CONFIG,
	    "this is not of the form https://HOST or https://HOST:PORT; "
	    "no path, user name or query belongs here");
}

/* Cut "scheme://" off; false if it is none of those that we support. */
static bool
cut_proxy_scheme(struct span *s)
{
	static const char *const schemes[] = { "http://", "https://",
		"socks5h://" };

	for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
		if (has_prefix(*s, schemes[i])) {
			s->s += strlen(schemes[i]);
			s->len -= strlen(schemes[i]);
			return true;
		}
	}
	return false;
}

/* The value is not quoted here: it may hold a password. */
int
value_proxy(const struct value *v, void *field, struct failure *f)
{
	struct span host = span_of(v->text);
	struct span login;
	const char *at;

	if (!cut_proxy_scheme(&host))
		return failure_set(f, FAILURE_CONFIG,
		    "a proxy is written http://HOST:PORT, https://HOST:PORT "
		    "or socks5h://HOST:PORT");
	at = memrchr(host.s, '@', host.len);
	if (at != NULL) {
		login = (struct span){ host.s, (size_t)(at - host.s) };
		host.len -= login.len + 1;
		host.s = at + 1;
		if (memchr(login.s, ':', login.len) != NULL && !v->is_private)
			return failure_set(f, FAILURE_CONFIG,
			    "a password is in this line, and everybody can "
			    "read this file; run: chmod o-r on it");
	}
	if (!cut_port(&host) ||
	    (!is_dns_name(host) && !is_ipv4_literal(host) &&
		!is_ipv6_literal(host)))
		return failure_set(f, FAILURE_CONFIG,
		    "the proxy's host or port is not valid; no path belongs "
		    "here");
	return store(v->text, field);
}

/* ---- paths ---- */

/*
 * The value of an Entra client secret: three characters, a digit, "Q~", then
 * 31 to 34 more.  Someone meant well and wrote it in the place of the path.
 */
static bool
is_client_secret(struct span s)
{
	return s.len >= 37 && s.len <= 40 && ascii_is_digit(s.s[3]) &&
	    s.s[4] == 'Q' && s.s[5] == '~' && memchr(s.s, '/', s.len) == NULL;
}

/* %d/NAME: where systemd puts what LoadCredential=NAME names. */
static int
store_credential_path(const char *name, void *field, struct failure *f)
{
	const char *directory = credential_directory();
	char **out = field;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%%d/%s\" does not name a credential", name);
	if (directory == NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "%%d is systemd's directory of credentials, but "
		    "$CREDENTIALS_DIRECTORY is not set; use it in a unit with "
		    "LoadCredential=%s:PATH, or write a path here",
		    name);
	*out = xasprintf("%s/%s", directory, name);
	return 0;
}

int
value_path(const struct value *v, void *field, struct failure *f)
{
	char **out = field;

	if (is_client_secret(span_of(v->text)))
		return failure_set(f, FAILURE_CONFIG,
		    "this looks like a secret; put it in a file that only its "
		    "user can read, and the path of the file here");
	if (strncmp(v->text, "%d/", 3) == 0)
		return store_credential_path(v->text + 3, field, f);
	if (v->text[0] == '%')
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" begins with \"%%\", and only \"%%d/NAME\" has a "
		    "meaning",
		    v->text);
	if (v->text[0] == '~')
		return failure_set(f, FAILURE_CONFIG,
		    "\"~\" has no meaning here; write the whole path");
	if (v->text[0] == '/')
		return store(v->text, field);
	*out = xasprintf("%s/%s", v->directory, v->text);
	return 0;
}

int
value_credential(const struct value *v, void *field, struct failure *f)
{
	char **out = field;

	if (!is_client_secret(span_of(v->text)))
		*out = credential_find(v->text);
	return *out != NULL ? 0 : value_path(v, field, f);
}

/* ---- addresses ---- */

size_t
value_unseen_length(struct span s)
{
	static const struct {
		const char *first;
		const char *last;
	} ranges[] = {
		{ "\xc2\xa0", "\xc2\xa0" },         /* no-break space */
		{ "\xc2\xad", "\xc2\xad" },         /* soft hyphen */
		{ "\xe2\x80\x80", "\xe2\x80\x8f" }, /* widths, marks */
		{ "\xe2\x80\xa8", "\xe2\x80\xaf" }, /* ends, directions */
		{ "\xe2\x81\x9f", "\xe2\x81\xaf" }, /* joiners */
		{ "\xef\xbb\xbf", "\xef\xbb\xbf" }, /* byte order mark */
	};

	for (size_t i = 0; i < N_ELEMENTS(ranges); i++) {
		size_t len = strlen(ranges[i].first);

		if (s.len >= len && memcmp(s.s, ranges[i].first, len) >= 0 &&
		    memcmp(s.s, ranges[i].last, len) <= 0)
			return len;
	}
	return 0;
}

/* A typographic quotation mark? */
static bool
begins_with_quote(struct span s)
{
	static const char *const quotes[] = {
		"\xe2\x80\x98", "\xe2\x80\x99",         /* single */
		"\xe2\x80\x9c", "\xe2\x80\x9d",         /* double */
		"\xe2\x80\x9e", "\xc2\xab", "\xc2\xbb", /* below, French */
	};

	for (size_t i = 0; i < N_ELEMENTS(quotes); i++) {
		size_t len = strlen(quotes[i]);

		if (len <= s.len && memcmp(s.s, quotes[i], len) == 0)
			return true;
	}
	return false;
}

/*
 * What web pages and word processors put around an address, or between two of
 * its letters, where nobody sees it.
 */
static int
check_typed(struct span s, struct failure *f)
{
	bool is_found = begins_with_quote(s);

	for (struct span at = s; at.len > 0 && !is_found; at.s++, at.len--)
		is_found = value_unseen_length(at) > 0;
	if (!is_found)
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "\"%.*s\": a blank or quotation mark that was pasted with it, "
	    "and may be invisible, is no plain one; type it anew",
	    (int)s.len, s.s);
}

int
value_parse_address(struct span s, struct mailbox *out, struct failure *f)
{
	struct mailbox m;

	if (check_typed(s, f) == -1)
		return -1;
	if (mailbox_parse(s, &m, f) == -1) {
		f->kind = FAILURE_CONFIG;
		return -1;
	}
	if (m.name == NULL && m.domain != NULL) {
		*out = m;
		return 0;
	}
	failure_set(f, FAILURE_CONFIG, "\"%.*s\" %s", (int)s.len, s.s,
	    m.domain == NULL ? "has no domain; write the whole address"
			     : "is more than an address; leave the name out");
	mailbox_done(&m);
	return -1;
}

int
value_address(const struct value *v, void *field, struct failure *f)
{
	return value_parse_address(span_of(v->text), field, f);
}

int
value_user(const struct value *v, void *field, struct failure *f)
{
	struct mailbox *out = field;

	if (strcmp(v->text, "{sender}") == 0) {
		out->local = xstrdup(v->text);
		return 0;
	}
	return value_parse_address(span_of(v->text), field, f);
}
