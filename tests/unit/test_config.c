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

#include "config/conffile.h"
#include "config/config.h"
#include "config/schema.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

#define ID "11111111-2222-3333-4444-555555555555"

/* Lines 1 to 5 of many a test. */
#define ACCOUNT                              \
	"[account]\n"                        \
	"user = alerts@contoso.com\n"        \
	"tenant = contoso.onmicrosoft.com\n" \
	"client_id = " ID "\n"               \
	"client_secret_file = client-secret\n"

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10

enum {
	NOBODY = 65534
};

/* ---- what is in a file ---- */

static struct config *
parse(const char *text)
{
	struct config *c = NULL;
	struct failure f = { 0 };

	if (config_parse("t.conf", "/etc/s", span_of(text), &c, &f) == -1)
		fail_msg("%s", f.text);
	return c;
}

static void
test_smallest_file_has_all_defaults(void **state)
{
	struct config *c = parse(ACCOUNT);
	const struct account *a = &c->accounts[0];

	(void)state;
	assert_string_equal(c->path, "t.conf");
	assert_int_equal(c->account_count, 1);
	assert_null(c->rewrite_domain);
	assert_int_equal(c->log_to.sink, LOG_TO_SYSLOG);
	assert_int_equal(c->log_level, LOG_LEVEL_INFO);
	assert_string_equal(a->name, "");
	assert_int_equal(a->line, 1);
	assert_string_equal(a->user.local, "alerts");
	assert_string_equal(a->user.domain, "contoso.com");
	assert_int_equal(a->auth, AUTH_CLIENT_SECRET);
	assert_string_equal(a->tenant, "contoso.onmicrosoft.com");
	assert_string_equal(a->client_id, ID);
	assert_string_equal(a->client_secret_file, "/etc/s/client-secret");
	assert_null(a->password_file);
	assert_int_equal(a->cloud, CLOUD_WORLDWIDE);
	assert_string_equal(a->host, "smtp.office365.com");
	assert_int_equal(a->port, 587);
	assert_string_equal(a->authority, "https://login.microsoftonline.com");
	assert_string_equal(a->scope, "https://outlook.office365.com/.default");
	assert_null(a->ca_file);
	assert_null(a->proxy);
	assert_int_equal(a->send_as.count, 0);
	assert_int_equal(a->recipients_per_message, 500);
	assert_int_equal(a->timeout, 0);
	assert_null(a->login);
	assert_false(a->is_sender);
	config_free(&c);
	assert_null(c);
	config_free(&c);
}

static void
test_rules_and_ways_have_defaults(void **state)
{
	struct config *c = parse(ACCOUNT);

	(void)state;
	assert_int_equal(c->rewrite_rules.count, 0);
	assert_int_equal(c->route_rules.count, 0);
	assert_null(c->route_default.target);
	assert_int_equal(c->route_default.account, 0);
	assert_null(c->display_name);
	assert_int_equal(c->no_reply_to.count, 0);
	assert_true(c->keeps_original);
	assert_false(c->marks_automatic);
	assert_null(c->aliases_file);
	assert_int_equal(c->alias_count, 0);
	assert_null(c->alias_default.list);
	assert_false(c->direct_send.is_enabled);
	assert_int_equal(c->direct_send.tls, DIRECT_TLS_VERIFY);
	assert_int_equal(c->direct_send.port, 25);
	assert_null(c->direct_send.mx);
	assert_null(c->direct_send.ca_file);
	assert_int_equal(c->direct_send.internal_domains.count, 0);
	config_free(&c);
}

static const char every_key[] = "[account main-1_a.b]\n"
				"user = <Alerts@contoso.com>\n"
				"auth = client-secret\n"
				"tenant = " ID "\n"
				"client_id = " ID "\n"
				"client_secret_file = /run/secret\n"
				"password_file = pw/file\n"
				"cloud = china\n"
				"host = localhost\n"
				"port = 65535\n"
				"authority = https://localhost:8443\n"
				"scope = https://example.com/.default\n"
				"ca_file = ca.pem\n"
				"proxy = http://u:p@proxy:3128\n"
				"send_as = a@x.org, @x.net,*@x.com\n"
				"send_as = *\n"
				"recipients_per_message = 1000\n"
				"timeout = 3600\n"
				"[account relay]\n"
				"user = b@x.org\n"
				"login = one|two|three\n"
				"password_file = pw\n"
				"[rewrite]\n"
				"domain = contoso.com\n"
				"rule = root Alerts@contoso.com\n"
				"rule = user:www-data @contoso.com\n"
				"rule = * {sender}\n"
				"display_name = {name} via {host}\n"
				"reply_to = never @x.org, user:cron, root\n"
				"original_from = never\n"
				"auto_submitted = add\n"
				"[aliases]\n"
				"file = aliases\n"
				"root = boss@contoso.com\n"
				"default = root, b@x.org\n"
				"\"file\" = \\root\n"
				"[route]\n"
				"rule = @x.org relay\n"
				"rule = @y.org B@x.org\n"
				"rule = @z.org late\n"
				"default = main-1_a.b\n"
				"[direct_send]\n"
				"enabled = yes\n"
				"internal_domains = x.org, x.net\n"
				"internal_domains = x.com\n"
				"mx = mx.x.org\n"
				"port = 2525\n"
				"tls = encrypt\n"
				"ca_file = /ca.pem\n"
				"[queue]\n"
				"directory = /srv/spool\n"
				"lifetime = 2d\n"
				"retry_first = 30s\n"
				"retry_longest = 3h\n"
				"keep_failed = 7d\n"
				"postmaster = pm@x.org\n"
				"notices_per_hour = 5\n"
				"max_size = 1M\n"
				"[service]\n"
				"socket = /run/s\n"
				"state_directory = /srv/state\n"
				"delivery = caller\n"
				"max_message_size = 2M\n"
				"per_user_limit = 7\n"
				"[account late]\n"
				"user = late@x.org\n"
				"auth = none\n"
				"host = localhost\n"
				"max_connections = 2\n"
				"messages_per_minute = 5/2s\n"
				"recipients_per_day = 9\n"
				"[log]\n"
				"to = stderr\n"
				"level = debug\n";

static void
check_every_account(const struct account *a)
{
	assert_string_equal(a->name, "main-1_a.b");
	assert_string_equal(a->user.local, "Alerts");
	assert_int_equal(a->auth, AUTH_CLIENT_SECRET);
	assert_string_equal(a->tenant, ID);
	assert_string_equal(a->client_secret_file, "/run/secret");
	assert_string_equal(a->password_file, "/etc/s/pw/file");
	assert_int_equal(a->cloud, CLOUD_CHINA);
	assert_string_equal(a->host, "localhost");
	assert_int_equal(a->port, 65535);
	assert_string_equal(a->authority, "https://localhost:8443");
	assert_string_equal(a->scope, "https://example.com/.default");
	assert_string_equal(a->ca_file, "/etc/s/ca.pem");
	assert_string_equal(a->proxy, "http://u:p@proxy:3128");
	assert_int_equal(a->send_as.count, 4);
	assert_string_equal(a->send_as.items[0].text, "a@x.org");
	assert_string_equal(a->send_as.items[1].text, "@x.net");
	assert_string_equal(a->send_as.items[2].text, "*@x.com");
	assert_string_equal(a->send_as.items[3].text, "*");
	assert_int_equal(a->recipients_per_message, 1000);
	assert_int_equal(a->timeout, 3600);
	assert_null(a->login);
	assert_false(a->is_sender);
	assert_string_equal(a[1].name, "relay");
	assert_int_equal(a[1].line, 19);
	assert_int_equal(a[1].auth, AUTH_PASSWORD);
	assert_string_equal(a[1].login, "one|two|three");
	assert_int_equal(a[2].max_connections, 2);
	assert_int_equal(a[2].messages_per_minute.count, 5);
	assert_int_equal(a[2].messages_per_minute.seconds, 2);
	assert_int_equal(a[2].recipients_per_day, 9);
}

static void
check_every_key_of_the_queue(const struct config *c)
{
	assert_string_equal(c->queue_directory, "/srv/spool");
	assert_int_equal(c->queue_lifetime, 2 * 24 * 3600);
	assert_int_equal(c->queue_retry_first, 30);
	assert_int_equal(c->queue_retry_longest, 3 * 3600);
	assert_int_equal(c->queue_keep_failed, 7 * 24 * 3600);
	assert_string_equal(c->queue_postmaster.local, "pm");
	assert_int_equal(c->queue_notices_per_hour, 5);
	assert_int_equal(c->queue_max_size, 1024 * 1024);
	assert_string_equal(c->service_socket, "/run/s");
	assert_int_equal(c->service_delivery, DELIVERY_CALLER);
	assert_int_equal(c->service_max_message_size, 2 * 1024 * 1024);
	assert_int_equal(c->service_per_user_limit, 7);
}

static void
assert_rule(const struct rule *rule, int line, const char *pattern,
    const char *target, size_t account)
{
	assert_int_equal(rule->line, line);
	assert_string_equal(rule->pattern.text, pattern);
	assert_string_equal(rule->target, target);
	assert_int_equal(rule->account, account);
}

static void
check_every_rule(const struct config *c)
{
	const struct rule *rewrite = c->rewrite_rules.items;
	const struct rule *route = c->route_rules.items;

	assert_string_equal(c->rewrite_domain, "contoso.com");
	assert_int_equal(c->rewrite_rules.count, 3);
	assert_rule(&rewrite[0], 25, "root", "Alerts@contoso.com", 0);
	assert_string_equal(rewrite[0].to.local, "Alerts");
	assert_string_equal(rewrite[0].to.domain, "contoso.com");
	assert_rule(&rewrite[1], 26, "user:www-data", "@contoso.com", 0);
	assert_null(rewrite[1].to.local);
	assert_string_equal(rewrite[1].to.domain, "contoso.com");
	assert_rule(&rewrite[2], 27, "*", "{sender}", 0);
	assert_null(rewrite[2].to.local);
	assert_null(rewrite[2].to.domain);
	assert_string_equal(c->display_name, "{name} via {host}");
	assert_int_equal(c->no_reply_to.count, 3);
	assert_string_equal(c->no_reply_to.items[0].text, "@x.org");
	assert_int_equal(c->no_reply_to.items[1].kind, PATTERN_USER);
	assert_int_equal(c->no_reply_to.items[2].kind, PATTERN_NAME);
	assert_false(c->keeps_original);
	assert_true(c->marks_automatic);
	assert_int_equal(c->route_rules.count, 3);
	assert_rule(&route[0], 38, "@x.org", "relay", 1);
	assert_rule(&route[1], 39, "@y.org", "B@x.org", 1);
	assert_string_equal(c->route_default.target, "main-1_a.b");
	assert_int_equal(c->route_default.account, 0);
}

static void
check_every_other(const struct config *c)
{
	const struct direct_send *d = &c->direct_send;

	assert_string_equal(c->aliases_file, "/etc/s/aliases");
	assert_int_equal(c->alias_count, 2);
	assert_string_equal(c->aliases[0].name, "root");
	assert_string_equal(c->aliases[0].list, "boss@contoso.com");
	assert_int_equal(c->aliases[0].line, 34);
	assert_string_equal(c->aliases[1].name, "\"file\"");
	assert_string_equal(c->alias_default.list, "root, b@x.org");
	assert_int_equal(c->alias_default.line, 35);
	assert_true(d->is_enabled);
	assert_int_equal(d->internal_domains.count, 3);
	assert_string_equal(d->internal_domains.items[0], "x.org");
	assert_string_equal(d->internal_domains.items[1], "x.net");
	assert_string_equal(d->internal_domains.items[2], "x.com");
	assert_string_equal(d->mx, "mx.x.org");
	assert_int_equal(d->port, 2525);
	assert_int_equal(d->tls, DIRECT_TLS_ENCRYPT);
	assert_string_equal(d->ca_file, "/ca.pem");
	assert_string_equal(c->state_directory, "/srv/state");
	assert_int_equal(c->log_to.sink, LOG_TO_STDERR);
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
}

static void
test_every_key_is_stored(void **state)
{
	struct config *c = parse(every_key);

	(void)state;
	assert_int_equal(c->account_count, 3);
	check_every_account(c->accounts);
	check_every_key_of_the_queue(c);
	check_every_rule(c);
	check_every_other(c);
	config_free(&c);
}

/* Does the section of text have a line "key = "? */
static bool
has_key(const char *text, const char *section, const char *key)
{
	char *title = xasprintf("[%s", section);
	char *line = xasprintf("\n%s = ", key);
	bool has = false;

	while (!has && (text = strstr(text, title)) != NULL) {
		const char *end = strstr(text, "\n[");
		const char *found = strstr(text, line);

		has = found != NULL && (end == NULL || found < end);
		text++;
	}
	free(title);
	free(line);
	return has;
}

static void
test_every_key_means_every_key(void **state)
{
	size_t count;
	const struct schema_key *keys = schema_keys(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const char *section = schema_section_name(keys[i].section);

		if (!has_key(every_key, section, keys[i].name))
			fail_msg("[%s] %s", section, keys[i].name);
	}
}

static void
test_auth_follows_from_the_other_keys(void **state)
{
	static const struct {
		const char *in;
		enum auth_kind want;
	} rows[] = {
		{ "[account]\nuser=a@x.org\npassword_file=p\n", AUTH_PASSWORD },
		{ ACCOUNT "password_file = p\nauth = password\n",
		    AUTH_PASSWORD },
		{ ACCOUNT "password_file = p\nauth = client-secret\n",
		    AUTH_CLIENT_SECRET },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = parse(rows[i].in);

		assert_int_equal(c->accounts[0].auth, rows[i].want);
		config_free(&c);
	}
}

static void
test_clouds(void **state)
{
	static const struct {
		const char *in;
		const char *host;
		const char *authority;
		const char *scope;
	} rows[] = {
		{ ACCOUNT "cloud = worldwide\n", "smtp.office365.com",
		    "https://login.microsoftonline.com",
		    "https://outlook.office365.com/.default" },
		{ ACCOUNT "cloud = us-gov-high\n", "smtp.office365.us",
		    "https://login.microsoftonline.us",
		    "https://outlook.office365.us/.default" },
		{ ACCOUNT "cloud = us-gov-dod\n", "outlook-dod.office365.us",
		    "https://login.microsoftonline.us",
		    "https://outlook-dod.office365.us/.default" },
		{ ACCOUNT "cloud = china\n", "smtp.partner.outlook.cn",
		    "https://login.partner.microsoftonline.cn",
		    "https://partner.outlook.cn/.default" },
		{ "[account]\nhost = h.example\n" /* wins, in any order */
		  "cloud = china\nuser = a@x.org\npassword_file = p\n"
		  "scope = s\n",
		    "h.example", "https://login.partner.microsoftonline.cn",
		    "s" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = parse(rows[i].in);

		assert_string_equal(c->accounts[0].host, rows[i].host);
		assert_string_equal(
		    c->accounts[0].authority, rows[i].authority);
		assert_string_equal(c->accounts[0].scope, rows[i].scope);
		config_free(&c);
	}
}

/* ---- how a file is written ---- */

static void
test_forms_that_mean_the_same(void **state)
{
	static const struct {
		const char *name;
		const char *in;
	} rows[] = {
		{ "byte order mark",
		    "\xef\xbb\xbf" ACCOUNT "host = h.outlook.com\n" },
		{ "no last line end", ACCOUNT "host = h.outlook.com" },
		{ "no blanks", ACCOUNT "host=h.outlook.com\n" },
		{ "tabs", ACCOUNT "host\t=\th.outlook.com\t\n" },
		{ "comments",
		    ACCOUNT "# one\n; two\n  # three\n\t;\n"
			    "host = h.outlook.com\n" },
		{ "comment behind a value",
		    ACCOUNT "host = h.outlook.com ; here\n" },
		{ "comment behind with a tab",
		    ACCOUNT "host = h.outlook.com\t;\n" },
		{ "comment with =", ACCOUNT "host = h.outlook.com ; a = b\n" },
		{ "empty and blank lines",
		    ACCOUNT "\n  \n\t\nhost = h.outlook.com\n" },
		{ "comment behind a section",
		    "[log] ; here ]\n" ACCOUNT "host = h.outlook.com\n" },
		{ "blanks within a section",
		    "[ log ]\n" ACCOUNT "host = h.outlook.com\n" },
		{ "an empty section",
		    ACCOUNT "host = h.outlook.com\n[rewrite]\n" },
		{ "UTF-8 in a comment",
		    ACCOUNT "host = h.outlook.com ; gr\xc3\xbc\xc3\x9f\n" },
		{ "a line of 190 octets",
		    ACCOUNT "host = h.outlook.com\n#" X60 X60 X60
			    "xxxxxxxxx\n" },
		{ "a value of 190 octets",
		    ACCOUNT
		    "host = h.outlook.com\nca_file = /" X60 X60 X10 X10 X10 X10
		    "xxxxxxxxxxxxxxxxxx\n" },
		{ "CRLF",
		    "[account]\r\nuser = a@x.org\r\npassword_file = p\r\n"
		    "\r\n; c\r\nhost = h.outlook.com\r\n" },
		{ "lines with and without CR",
		    "[account]\nuser = a@x.org\r\npassword_file = p\n"
		    "host = h.outlook.com\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = NULL;
		struct failure f = { 0 };

		if (config_parse(
			"t.conf", "/etc/s", span_of(rows[i].in), &c, &f) == -1)
			fail_msg("%s: %s", rows[i].name, f.text);
		assert_string_equal(c->accounts[0].host, "h.outlook.com");
		config_free(&c);
	}
}

static void
test_long_value_is_whole(void **state)
{
	struct config *c =
	    parse(ACCOUNT "ca_file = /" X60 X60 X10 X10 X10 X10 X10 "abcde\n");

	(void)state;
	assert_string_equal(
	    c->accounts[0].ca_file, "/" X60 X60 X10 X10 X10 X10 X10 "abcde");
	config_free(&c);
}

/* Line 6 is the one that a row adds to a good account. */
struct refused {
	const char *name;
	const char *in;
	const char *want;
};

static void
check_refused(const char *name, struct span in, const char *want)
{
	struct config *c = NULL;
	struct failure f = { 0 };

	if (config_parse("t.conf", "/etc/s", in, &c, &f) == 0)
		fail_msg("%s: accepted", name);
	assert_null(c);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	if (strcmp(f.text, want) != 0)
		fail_msg("%s: got\n%s\nnot\n%s", name, f.text, want);
}

static void
check_all_refused(const struct refused *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_refused(rows[i].name, span_of(rows[i].in), rows[i].want);
}

static void
test_lines_that_are_refused(void **state)
{
	static const struct refused rows[] = {
		{ "no =", ACCOUNT "host\n",
		    "t.conf:6: this line has no \"=\"; write: key = value" },
		{ "= in a comment only", ACCOUNT "host ; = h.outlook.com\n",
		    "t.conf:6: this line has no \"=\"; write: key = value" },
		{ "colon", ACCOUNT "host: h.outlook.com\n",
		    "t.conf:6: \":\" stands where \"=\" belongs; write: key "
		    "= value" },
		{ "colon before =", ACCOUNT "host: a=b\n",
		    "t.conf:6: \":\" stands where \"=\" belongs; write: key "
		    "= value" },
		{ "no key", ACCOUNT "= h.outlook.com\n",
		    "t.conf:6: no key stands before the \"=\"; write: key = "
		    "value" },
		{ "no value", ACCOUNT "host =\n",
		    "t.conf:6: \"host\" has no value; remove the line or put "
		    "\";\" before it for the default" },
		{ "a comment for a value", ACCOUNT "host = ;h.outlook.com\n",
		    "t.conf:6: \"host\" has no value; remove the line or put "
		    "\";\" before it for the default" },
		{ "# behind a value", ACCOUNT "host = h.outlook.com # here\n",
		    "t.conf:6: \"#\" begins a comment only at the start of a "
		    "line; behind a value, write \";\"" },
		{ "continued line", ACCOUNT "send_as = a@x.org,\n b@x.org\n",
		    "t.conf:6: send_as: nothing stands before or behind a "
		    "comma" },
		{ "continued line after a whole one",
		    ACCOUNT "send_as = a@x.org\n b@x.org\n",
		    "t.conf:7: this line begins with a blank; a value cannot "
		    "go on in the next line, and a key begins at the margin" },
		{ "indented key", ACCOUNT "\thost = h.outlook.com\n",
		    "t.conf:6: this line begins with a blank; a value cannot "
		    "go on in the next line, and a key begins at the margin" },
		{ "indented section", ACCOUNT " [log]\n",
		    "t.conf:6: this line begins with a blank; a value cannot "
		    "go on in the next line, and a key begins at the margin" },
		{ "section without ]", ACCOUNT "[log\n",
		    "t.conf:6: a section is written [NAME], but there is no "
		    "\"]\"" },
		{ "section with ] in a comment", ACCOUNT "[log ;]\n",
		    "t.conf:6: a section is written [NAME], but there is no "
		    "\"]\"" },
		{ "text behind a section", ACCOUNT "[log] level = info\n",
		    "t.conf:6: text stands behind the section; a key goes on "
		    "a line of its own, a comment begins with \";\"" },
		{ "191 octets", ACCOUNT "#" X60 X60 X60 X10 "\n",
		    "t.conf:6: this line has 191 octets, more than the limit "
		    "of 190" },
		{ "tab in a value", ACCOUNT "ca_file = a\tb\n",
		    "t.conf:6: a tab is within a name or value; put a blank "
		    "there" },
		{ "tab in a key", ACCOUNT "ca\tfile = a\n",
		    "t.conf:6: a tab is within a name or value; put a blank "
		    "there" },
		{ "tab in a section", ACCOUNT "[account\tname]\n",
		    "t.conf:6: a tab is within a name or value; put a blank "
		    "there" },
		{ "escape", ACCOUNT "host = \x1b[2J\n",
		    "t.conf:6: a control character (0x1b) is in this line" },
		{ "DEL in a comment", ACCOUNT "# \x7f\n",
		    "t.conf:6: a control character (0x7f) is in this line" },
		{ "CR within a line", ACCOUNT "host = a\rb\n",
		    "t.conf:6: a control character (0x0d) is in this line" },
		{ "two CRs", ACCOUNT "host = a\r\r\n",
		    "t.conf:6: a control character (0x0d) is in this line" },
		{ "Latin-1", ACCOUNT "# gr\xfc\xdf\n",
		    "t.conf:6: this line is not UTF-8; write the file in "
		    "UTF-8" },
		{ "a second byte order mark", "\xef\xbb\xbf\xef\xbb\xbf#\n",
		    "t.conf:1: this line has no \"=\"; write: key = value" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
	check_refused("NUL", (struct span){ "[account]\nuser = a\0b\n", 21 },
	    "t.conf:2: a control character (0x00) is in this line");
}

static void
test_size_is_limited(void **state)
{
	size_t size = CONFFILE_MAX_BYTES;
	char *text = xmalloc(size + 1);
	struct config *c = NULL;
	struct failure f = { 0 };

	(void)state;
	memset(text, '\n', size + 1);
	memcpy(text, ACCOUNT, sizeof(ACCOUNT) - 1);
	if (config_parse("t.conf", "/", (struct span){ text, size }, &c, &f) ==
	    -1)
		fail_msg("%s", f.text);
	config_free(&c);
	check_refused("one too many", (struct span){ text, size + 1 },
	    "t.conf: this file has more than the limit of 262144 octets");
	free(text);
}

/* ---- words and sections ---- */

static void
test_unknown_words(void **state)
{
	static const struct refused rows[] = {
		{ "key", "[account]\nclientid = x\n",
		    "t.conf:2: unknown key \"clientid\" in [account]; did "
		    "you mean \"client_id\"?" },
		{ "secret in the wrong place", "[account]\npassword = x\n",
		    "t.conf:2: unknown key \"password\" in [account]; did "
		    "you mean \"password_file\"?" },
		{ "key of another section", "[account]\nlevel = info\n",
		    "t.conf:2: unknown key \"level\" in [account]; it "
		    "belongs in [log]" },
		{ "nothing near", "[log]\ncolour = red\n",
		    "t.conf:2: unknown key \"colour\" in [log]; known are: "
		    "to, level" },
		{ "upper case", "[log]\nLevel = info\n",
		    "t.conf:2: unknown key \"Level\" in [log]; did you mean "
		    "\"level\"?" },
		{ "two words", "[account]\nclient id = x\n",
		    "t.conf:2: unknown key \"client id\" in [account]; did "
		    "you mean \"client_id\"?" },
		{ "key of design.md, not of this version",
		    "[log]\nformat = x\n",
		    "t.conf:2: unknown key \"format\" in [log]; known are: "
		    "to, level" },
		{ "key longer than libinih keeps", "[log]\n" X60 " = x\n",
		    "t.conf:2: unknown key \"" X60 "\" in [log]; known are: "
		    "to, level" },
		{ "section", "[acount]\n",
		    "t.conf:1: unknown section [acount]; did you mean "
		    "\"account\"?" },
		{ "nothing near a section", "[relay]\n",
		    "t.conf:1: unknown section [relay]; known are: account, "
		    "rewrite, aliases, route, direct_send, queue, service, "
		    "log" },
		{ "section without a name", "[]\n",
		    "t.conf:1: unknown section []; known are: account, "
		    "rewrite, aliases, route, direct_send, queue, service, "
		    "log" },
		{ "section longer than libinih keeps", "[" X60 "]\n",
		    "t.conf:1: unknown section [" X60 "]; known are: "
		    "account, rewrite, aliases, route, direct_send, queue, "
		    "service, log" },
		{ "value", "[account]\ncloud = wordlwide\n",
		    "t.conf:2: cloud: \"wordlwide\" is not a known value; "
		    "did you mean \"worldwide\"?" },
		{ "value, nothing near", "[account]\ncloud = mars\n",
		    "t.conf:2: cloud: \"mars\" is not a known value; known "
		    "are: worldwide, us-gov-high, us-gov-dod, china" },
		{ "auth", "[account]\nauth = client_secret\n",
		    "t.conf:2: auth: \"client_secret\" is not a known value; "
		    "did you mean \"client-secret\"?" },
		{ "log to", "[log]\nto = journal\n",
		    "t.conf:2: to: \"journal\" is not a known value; "
		    "known are: stderr, syslog" },
		{ "log file", "[log]\nto = log/x\n",
		    "t.conf:2: to: a log file is written with its whole path, "
		    "such as /var/log/sendmail365/mail.log" },
		{ "level", "[log]\nlevel = warn\n",
		    "t.conf:2: level: \"warn\" is not a known value; did you "
		    "mean \"warning\"?" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_structure(void **state)
{
	static const struct refused rows[] = {
		{ "empty", "", "t.conf: there is no [account] section" },
		{ "no account", "[log]\nlevel = info\n",
		    "t.conf: there is no [account] section" },
		{ "key before any section", "user = a@x.org\n" ACCOUNT,
		    "t.conf:1: \"user\" stands before the first section; "
		    "begin with [account]" },
		{ "key twice", ACCOUNT "\nuser = b@x.org\n",
		    "t.conf:7: \"user\" is set in line 2 already" },
		{ "section twice", "[log]\n[rewrite]\n[log]\n" ACCOUNT,
		    "t.conf:3: [log] is in line 1 already" },
		{ "account twice", ACCOUNT "[account]\n",
		    "t.conf:6: this account is in line 1 already; give each "
		    "another name: [account NAME]" },
		{ "account of that name twice",
		    ACCOUNT "[account a]\nauth = none\nuser = a@x.org\n"
			    "[account a]\n",
		    "t.conf:9: this account is in line 6 already; give each "
		    "another name: [account NAME]" },
		{ "bad name", "[account a/b]\n",
		    "t.conf:1: \"a/b\" is not a name for an account; use "
		    "letters, digits, \"-\", \"_\" and \".\"" },
		{ "name where none belongs", "[log x]\n",
		    "t.conf:1: [log] takes no name" },
		{ "error in the last line counts", ACCOUNT "[log]\nx = y",
		    "t.conf:7: unknown key \"x\" in [log]; known are: to, "
		    "level" },
		{ "no way to sign in", "[account]\nuser = a@x.org\n",
		    "t.conf:1: [account]: nothing says how to sign in; set "
		    "tenant, client_id and client_secret_file, or "
		    "password_file, or auth = none" },
		{ "two ways to sign in", ACCOUNT "password_file = p\n",
		    "t.conf:1: [account]: client_secret_file and "
		    "password_file are both set; add auth = client-secret "
		    "or auth = password" },
		{ "a token for a stranger",
		    ACCOUNT "host = smtp.sendgrid.net\n",
		    "t.conf:1: [account]: smtp.sendgrid.net is no host of "
		    "Microsoft's, and their token must go to no other; "
		    "correct host, or for a relay use password_file or "
		    "auth = none" },
		{ "a token for a name that only ends so",
		    ACCOUNT "host = evil-outlook.com\n",
		    "t.conf:1: [account]: evil-outlook.com is no host of "
		    "Microsoft's, and their token must go to no other; "
		    "correct host, or for a relay use password_file or "
		    "auth = none" },
		{ "no user", "\n[account main]\npassword_file = p\n",
		    "t.conf:2: [account main]: \"user\" is missing: the "
		    "mailbox that signs in" },
		{ "no tenant",
		    "[account]\nuser = a@x.org\nclient_secret_file = p\n",
		    "t.conf:1: [account]: \"tenant\" is missing: the "
		    "directory (tenant) ID or a domain of yours" },
		{ "no client_id",
		    "[account]\nuser = a@x.org\nclient_secret_file = p\n"
		    "tenant = x.org\n",
		    "t.conf:1: [account]: \"client_id\" is missing: the "
		    "application (client) ID on the app's overview page" },
		{ "no client_secret_file",
		    "[account]\nuser = a@x.org\ntenant = x.org\n"
		    "client_id = " ID "\n[log]\n",
		    "t.conf:1: [account]: \"client_secret_file\" is missing: "
		    "a file with the value of a client secret" },
		{ "no password_file",
		    "[account]\nuser = a@x.org\nauth = password\n",
		    "t.conf:1: [account]: \"password_file\" is missing: a "
		    "file with the mailbox's password" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

/* ---- values ---- */

static void
test_values_that_are_taken(void **state)
{
	static const char *const rows[] = {
		"user = o'neill+x@sub.contoso.com",
		"tenant = ABCDEF01-2222-3333-4444-555555555555",
		"tenant = xn--bcher-kva.example",
		"host = smtp-1.x",
		"host = 1.2.3.4a",
		"port = 1",
		"authority = https://LOGIN.example.com",
		"authority = https://localhost:65535",
		"proxy = http://proxy",
		"proxy = https://proxy.example.com:443",
		"proxy = socks5h://127.0.0.1:1080",
		"proxy = http://[::1]:3128",
		"proxy = http://user@proxy:3128",
		"proxy = http://user:p@ss:word@proxy:3128",
		"recipients_per_message = 1",
		"send_as = <a@x.org>",
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		/* A good account would set the same keys: only the line's own
		 * errors count, and these come first. */
		char *text = xasprintf("[account]\n%s\nx = y\n", rows[i]);

		struct failure f = { 0 };
		struct config *c = NULL;

		assert_int_equal(
		    config_parse("t.conf", "/etc/s", span_of(text), &c, &f),
		    -1);
		if (strncmp(f.text, "t.conf:3: unknown key", 21) != 0)
			fail_msg("%s: %s", rows[i], f.text);
		free(text);
	}
}

struct bad_value {
	const char *line;
	const char *want;
};

static void
check_bad_values(const struct bad_value *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *text = xasprintf("[account]\n%s\n", rows[i].line);
		char *want = xasprintf("t.conf:2: %s", rows[i].want);

		check_refused(rows[i].line, span_of(text), want);
		free(text);
		free(want);
	}
}

static void
test_names_that_are_refused(void **state)
{
#define NO_TENANT                                                     \
	"\" is neither a directory (tenant) ID nor a domain such as " \
	"contoso.onmicrosoft.com"
#define NO_PARTICULAR                                                         \
	"\" is no particular tenant, and an application can sign in only to " \
	"one; use the directory (tenant) ID or a domain of yours, such as "   \
	"contoso.onmicrosoft.com"
#define NO_HOST                                                      \
	"\" is not a DNS name; an IP address cannot be used, since " \
	"Exchange's certificates and addresses go by name"
	static const struct bad_value rows[] = {
		{ "user = alerts",
		    "user: \"alerts\" has no domain; write the whole "
		    "address" },
		{ "user = Alerts <alerts@contoso.com>",
		    "user: \"Alerts <alerts@contoso.com>\" is more than an "
		    "address; leave the name out" },
		{ "user = {user}",
		    "user: \"{user}\" has no domain; write the whole "
		    "address" },
		{ "tenant = contoso", "tenant: \"contoso" NO_TENANT },
		{ "tenant = a.b/../c", "tenant: \"a.b/../c" NO_TENANT },
		{ "tenant = a.b?x", "tenant: \"a.b?x" NO_TENANT },
		{ "tenant = .a", "tenant: \".a" NO_TENANT },
		{ "tenant = a..b", "tenant: \"a..b" NO_TENANT },
		{ "tenant = a.", "tenant: \"a." NO_TENANT },
		{ "tenant = -a.b", "tenant: \"-a.b" NO_TENANT },
		{ "tenant = a-.b", "tenant: \"a-.b" NO_TENANT },
		{ "tenant = a_b.c", "tenant: \"a_b.c" NO_TENANT },
		{ "tenant = b\xc3\xbc.de", "tenant: \"b\xc3\xbc.de" NO_TENANT },
		{ "tenant = " X60 "xxxx.org",
		    "tenant: \"" X60 "xxxx.org" NO_TENANT },
		{ "tenant = common", "tenant: \"common" NO_PARTICULAR },
		{ "tenant = Organizations",
		    "tenant: \"Organizations" NO_PARTICULAR },
		{ "tenant = consumers", "tenant: \"consumers" NO_PARTICULAR },
		{ "client_id = mailer",
		    "client_id: \"mailer\" is not an ID such as " ID
		    "; use the application (client) ID on the app's overview "
		    "page" },
		{ "host = 127.0.0.1", "host: \"127.0.0.1" NO_HOST },
		{ "host = [::1]", "host: \"[::1]" NO_HOST },
		{ "host = smtp.x:587", "host: \"smtp.x:587" NO_HOST },
		{ "scope = a b",
		    "scope: \"a b\" is not one scope; it is a URL without "
		    "blanks, such as https://outlook.office365.com/.default" },
		{ "scope = \xc3\xbc",
		    "scope: \"\xc3\xbc\" is not one scope; it is a URL without "
		    "blanks, such as https://outlook.office365.com/.default" },
		{ "send_as = a@x.org,,b@x.org",
		    "send_as: nothing stands before or behind a comma" },
		{ "send_as = ,",
		    "send_as: nothing stands before or behind a comma" },
		{ "send_as = bob",
		    "send_as: \"bob\" has no domain; write the whole "
		    "address" },
		{ "send_as = @",
		    "send_as: \"\" is not a domain such as contoso.com" },
		{ "send_as = *@nodot",
		    "send_as: \"nodot\" is not a domain such as contoso.com" },
	};

	(void)state;
	check_bad_values(rows, N_ELEMENTS(rows));
	check_refused("domain", span_of("[rewrite]\ndomain = nodot\n"),
	    "t.conf:2: domain: \"nodot\" is not a domain such as contoso.com");
}

static void
test_addresses_as_they_are_pasted(void **state)
{
#define PASTED                                                            \
	"\": a blank or quotation mark that was pasted with it, and may " \
	"be invisible, is no plain one; type it anew"
	static const struct bad_value rows[] = {
		{ "user = \xe2\x80\x9c@x.org\xe2\x80\x9d",
		    "user: \"\xe2\x80\x9c@x.org\xe2\x80\x9d" PASTED },
		{ "user = \xc2\xa0@x.org", "user: \"\xc2\xa0@x.org" PASTED },
		{ "user = a@x.org\xc2\xa0", "user: \"a@x.org\xc2\xa0" PASTED },
		{ "user = a\xe2\x80\x8b@x.org",
		    "user: \"a\xe2\x80\x8b@x.org" PASTED },
	};

	(void)state;
	check_bad_values(rows, N_ELEMENTS(rows));
}

static void
test_numbers_that_are_refused(void **state)
{
#define NO_PORT "\" is not a number from 1 to 65535"
#define NO_MANY "\" is not a number from 1 to 1000"
	static const struct bad_value rows[] = {
		{ "port = 0", "port: \"0" NO_PORT },
		{ "port = 65536", "port: \"65536" NO_PORT },
		{ "port = -1", "port: \"-1" NO_PORT },
		{ "port = 587x", "port: \"587x" NO_PORT },
		{ "port = 99999999999999999999999",
		    "port: \"99999999999999999999999" NO_PORT },
		{ "recipients_per_message = 0",
		    "recipients_per_message: \"0" NO_MANY },
		{ "recipients_per_message = 1001",
		    "recipients_per_message: \"1001" NO_MANY },
		{ "timeout = 0",
		    "timeout: \"0\" is not a number from 1 to 3600" },
		{ "timeout = 3601",
		    "timeout: \"3601\" is not a number from 1 to 3600" },
	};

	(void)state;
	check_bad_values(rows, N_ELEMENTS(rows));
}

static void
test_urls_that_are_refused(void **state)
{
#define NO_AUTHORITY                                          \
	"authority: this is not of the form https://HOST or " \
	"https://HOST:PORT; no path, user name or query belongs here"
#define NO_SCHEME                                                           \
	"proxy: a proxy is written http://HOST:PORT, https://HOST:PORT or " \
	"socks5h://HOST:PORT"
#define NO_PROXY \
	"proxy: the proxy's host or port is not valid; no path belongs here"
	static const struct bad_value rows[] = {
		{ "authority = http://login.x.org", NO_AUTHORITY },
		{ "authority = login.x.org", NO_AUTHORITY },
		{ "authority = https://", NO_AUTHORITY },
		{ "authority = https://login.x.org/", NO_AUTHORITY },
		{ "authority = https://login.x.org/t", NO_AUTHORITY },
		{ "authority = https://u:p@login.x.org", NO_AUTHORITY },
		{ "authority = https://login.x.org?q", NO_AUTHORITY },
		{ "authority = https://login.x.org#f", NO_AUTHORITY },
		{ "authority = https://login.x.org:0", NO_AUTHORITY },
		{ "authority = https://login.x.org:65536", NO_AUTHORITY },
		{ "authority = https://login.x.org:", NO_AUTHORITY },
		{ "authority = https://:443", NO_AUTHORITY },
		{ "proxy = proxy:3128", NO_SCHEME },
		{ "proxy = socks5://proxy:1080", NO_SCHEME },
		{ "proxy = http://", NO_PROXY },
		{ "proxy = http://proxy/", NO_PROXY },
		{ "proxy = http://u:p@", NO_PROXY },
		{ "proxy = http://proxy:x", NO_PROXY },
		{ "proxy = http://[::1", NO_PROXY },
		{ "proxy = http://[]:1", NO_PROXY },
		{ "proxy = http://[host]", NO_PROXY },
		{ "proxy = http://1.2.3", NO_PROXY },
	};

	(void)state;
	check_bad_values(rows, N_ELEMENTS(rows));
}

static void
test_paths(void **state)
{
	static const struct bad_value rows[] = {
		{ "client_secret_file = abc8Q~ThisIsTheValueOfASecret.-_~"
		  "1234567",
		    "client_secret_file: this looks like a secret; put it in a "
		    "file that only its user can read, and the path of the "
		    "file here" },
		{ "ca_file = ~/ca.pem",
		    "ca_file: \"~\" has no meaning here; write the whole "
		    "path" },
		{ "ca_file = %h/ca.pem",
		    "ca_file: \"%h/ca.pem\" begins with \"%\", and only "
		    "\"%d/NAME\" has a meaning" },
		{ "ca_file = %d/",
		    "ca_file: \"%d/\" does not name a credential" },
		{ "ca_file = %d/../x",
		    "ca_file: \"%d/../x\" does not name a credential" },
		{ "ca_file = %d/a/b",
		    "ca_file: \"%d/a/b\" does not name a credential" },
		{ "ca_file = %d/ca",
		    "ca_file: %d is systemd's directory of credentials, but "
		    "$CREDENTIALS_DIRECTORY is not set; use it in a unit with "
		    "LoadCredential=ca:PATH, or write a path here" },
	};
	struct config *c;

	(void)state;
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	check_bad_values(rows, N_ELEMENTS(rows));
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "relative", 1), 0);
	check_bad_values(&rows[N_ELEMENTS(rows) - 1], 1);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/run/c", 1), 0);
	c = parse(ACCOUNT "ca_file = %d/ca\n");
	assert_string_equal(c->accounts[0].ca_file, "/run/c/ca");
	config_free(&c);
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

/* ---- accounts of other kinds ---- */

#define SENDER                               \
	"[account]\n"                        \
	"user = {sender}\n"                  \
	"tenant = contoso.onmicrosoft.com\n" \
	"client_id = " ID "\n"               \
	"client_secret_file = client-secret\n"

static void
test_every_sender_may_sign_in(void **state)
{
	struct config *c = parse(SENDER "send_as = @contoso.com\n");
	const struct account *a = &c->accounts[0];

	(void)state;
	assert_true(a->is_sender);
	assert_null(a->user.local);
	assert_null(a->user.domain);
	assert_int_equal(a->auth, AUTH_CLIENT_SECRET);
	assert_string_equal(a->host, "smtp.office365.com");
	config_free(&c);
}

/* A relay, or Direct Send alone: nothing is submitted to Exchange without a
 * sign-in. */
static void
test_nobody_signs_in(void **state)
{
	static const struct {
		const char *in;
		const char *host;
	} rows[] = {
		{ "[account]\nuser = a@x.org\nauth = none\n"
		  "host = h.outlook.com\n",
		    "h.outlook.com" },
		{ "[account]\nuser = a@x.org\nauth = none\n"
		  "[direct_send]\nenabled = yes\n",
		    NULL },
		{ "[direct_send]\nenabled = yes\n"
		  "[account]\nhost = h.outlook.com\nauth = none\n"
		  "user = a@x.org\n",
		    "h.outlook.com" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = parse(rows[i].in);
		const struct account *a = &c->accounts[0];

		assert_int_equal(a->auth, AUTH_NONE);
		if (rows[i].host == NULL)
			assert_null(a->host);
		else
			assert_string_equal(a->host, rows[i].host);
		assert_string_equal(a->user.domain, "x.org");
		config_free(&c);
	}
}

static void
test_accounts_that_contradict_themselves(void **state)
{
#define NO_SENDER                                                           \
	"t.conf:1: [account]: user = {sender} needs auth = client-secret: " \
	"an application can sign in to many mailboxes, a password belongs " \
	"to one"
	static const struct refused rows[] = {
		{ "{sender} with a password",
		    "[account]\nuser = {sender}\npassword_file = p\n"
		    "send_as = @x.org\n",
		    NO_SENDER },
		{ "{sender} and auth = password",
		    SENDER "auth = password\npassword_file = p\n", NO_SENDER },
		{ "{sender} without sign-in",
		    "[account]\nuser = {sender}\nauth = none\n"
		    "host = h.outlook.com\nsend_as = @x.org\n",
		    NO_SENDER },
		{ "{sender} that may be anybody", SENDER,
		    "t.conf:1: [account]: \"send_as\" is missing: with user = "
		    "{sender} it names the mailboxes that may sign in, such as "
		    "@contoso.com" },
		{ "{Sender}", "[account]\nuser = {Sender}\n",
		    "t.conf:2: user: \"{Sender}\" has no domain; write the "
		    "whole address" },
		{ "login without password", ACCOUNT "login = x\n",
		    "t.conf:1: [account]: login goes with password_file only; "
		    "remove it" },
		{ "login without sign-in",
		    "[account a]\nuser = a@x.org\nauth = none\nlogin = x\n",
		    "t.conf:1: [account a]: login goes with password_file "
		    "only; remove it" },
		{ "login for {sender}", SENDER "send_as = *\nlogin = x\n",
		    "t.conf:1: [account]: login goes with password_file only; "
		    "remove it" },
		{ "no way to send", "[account]\nuser = a@x.org\nauth = none\n",
		    "t.conf:1: auth = none, but nothing can be sent: set host "
		    "to a relay that wants no sign-in, or enabled = yes in "
		    "[direct_send]" },
		{ "no way to send for one of two",
		    ACCOUNT "[account b]\nuser = a@x.org\nauth = none\n"
			    "[route]\nrule = @x.org b\n",
		    "t.conf:6: auth = none, but nothing can be sent: set host "
		    "to a relay that wants no sign-in, or enabled = yes in "
		    "[direct_send]" },
		{ "Direct Send that is not enabled",
		    "[account]\nuser = a@x.org\nauth = none\n"
		    "[direct_send]\nenabled = no\ninternal_domains = x.org\n",
		    "t.conf:1: auth = none, but nothing can be sent: set host "
		    "to a relay that wants no sign-in, or enabled = yes in "
		    "[direct_send]" },
		{ "no user", "[account]\nauth = none\nhost = h.outlook.com\n",
		    "t.conf:1: [account]: \"user\" is missing: the address "
		    "that mail is sent from" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

/* ---- values of rules and lists ---- */

#define NO_DOMAIN "\" is not a domain such as contoso.com"
#define NO_RULE(text, target)                                          \
	"t.conf:2: rule: \"" text "\" is no rule; write a pattern, a " \
	"blank and " target
#define REWRITE_TARGET "the address to send as, @DOMAIN or {sender}"
#define NO_WORD(key, word, known)    \
	"t.conf:2: " key ": \"" word \
	"\" is not a known value; known are: " known

static void
test_rules_that_are_refused(void **state)
{
	static const struct refused rows[] = {
		{ "a rule of one word", "[rewrite]\nrule = root\n",
		    NO_RULE("root", REWRITE_TARGET) },
		{ "a rule of three words",
		    "[rewrite]\nrule = root -> a@x.org\n",
		    NO_RULE("root -> a@x.org", REWRITE_TARGET) },
		{ "a quoted blank", "[rewrite]\nrule = \"a b\"@x.org a@x.org\n",
		    NO_RULE("\"a b\"@x.org a@x.org", REWRITE_TARGET) },
		{ "a route of one word", "[route]\nrule = *\n",
		    NO_RULE("*", "the name of an account") },
		{ "a pattern that is none", "[rewrite]\nrule = a@ b@x.org\n",
		    "t.conf:2: rule: \"" NO_DOMAIN },
		{ "a route's pattern that is none",
		    "[route]\nrule = a@x..org two\n",
		    "t.conf:2: rule: \"x..org" NO_DOMAIN },
		{ "two stars", "[route]\nrule = *a*@x.org two\n",
		    "t.conf:2: rule: \"*a*@x.org\" has more than one \"*\" "
		    "before or behind the \"@\"; one stands for any text" },
		{ "a user that is none", "[route]\nrule = user: two\n",
		    "t.conf:2: rule: \"user:\" names no user; write "
		    "user:NAME, such as user:www-data" },
		{ "a target without domain", "[rewrite]\nrule = * root\n",
		    "t.conf:2: rule: \"root\" has no domain; write the whole "
		    "address" },
		{ "a target that is a name",
		    "[rewrite]\nrule = * <a@x.org>(A)\n",
		    "t.conf:2: rule: \"<a@x.org>(A)\" is more than an "
		    "address; leave the name out" },
		{ "a target that is none", "[rewrite]\nrule = * a@@x.org\n",
		    "t.conf:2: rule: bad address \"a@@x.org\": the domain is "
		    "missing" },
		{ "a target that is a pattern",
		    "[rewrite]\nrule = * @*.x.org\n",
		    "t.conf:2: rule: \"*.x.org" NO_DOMAIN },
		{ "a target's domain without dot",
		    "[rewrite]\nrule = * @web1\n",
		    "t.conf:2: rule: \"web1" NO_DOMAIN },
		{ "a target of another brace", "[rewrite]\nrule = * {user}\n",
		    "t.conf:2: rule: \"{user}\" has no domain; write the whole "
		    "address" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_rewriting_that_is_refused(void **state)
{
	static const struct refused rows[] = {
		{ "a display name's word",
		    "[rewrite]\ndisplay_name = {name} at {site}\n",
		    "t.conf:2: display_name: \"{site}\" stands for nothing; "
		    "known are {name}, {address}, {user} and {host}" },
		{ "a brace that is not closed",
		    "[rewrite]\ndisplay_name = {name} {host\n",
		    "t.conf:2: display_name: \"{host\" stands for nothing; "
		    "known are {name}, {address}, {user} and {host}" },
		{ "a brace within braces",
		    "[rewrite]\ndisplay_name = {{name}}\n",
		    "t.conf:2: display_name: \"{{name}\" stands for nothing; "
		    "known are {name}, {address}, {user} and {host}" },
		{ "no word for reply_to", "[rewrite]\nreply_to = always\n",
		    NO_WORD("reply_to", "always",
			"original, never, never PATTERN, ...") },
		{ "original takes no patterns",
		    "[rewrite]\nreply_to = original @x.org\n",
		    NO_WORD("reply_to", "original @x.org",
			"original, never, never PATTERN, ...") },
		{ "a pattern alone", "[rewrite]\nreply_to = @x.org\n",
		    NO_WORD("reply_to", "@x.org",
			"original, never, never PATTERN, ...") },
		{ "a comma too many", "[rewrite]\nreply_to = never @x.org,\n",
		    "t.conf:2: reply_to: nothing stands before or behind a "
		    "comma" },
		{ "a pattern of reply_to that is none",
		    "[rewrite]\nreply_to = never @x.org, user:\n",
		    "t.conf:2: reply_to: \"user:\" names no user; write "
		    "user:NAME, such as user:www-data" },
		{ "original_from", "[rewrite]\noriginal_from = no\n",
		    NO_WORD("original_from", "no", "never, add") },
		{ "auto_submitted", "[rewrite]\nauto_submitted = yes\n",
		    NO_WORD("auto_submitted", "yes", "never, add") },
		{ "auto_submitted, nearly",
		    "[rewrite]\nauto_submitted = nevr\n",
		    "t.conf:2: auto_submitted: \"nevr\" is not a known value; "
		    "did you mean \"never\"?" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_direct_send_that_is_refused(void **state)
{
	static const struct refused rows[] = {
		{ "enabled", "[direct_send]\nenabled = true\n",
		    NO_WORD("enabled", "true", "no, yes") },
		{ "enabled in capitals", "[direct_send]\nenabled = YES\n",
		    "t.conf:2: enabled: \"YES\" is not a known value; did you "
		    "mean \"yes\"?" },
		{ "tls", "[direct_send]\ntls = no\n",
		    NO_WORD("tls", "no", "verify, encrypt") },
		{ "tls of a failing kind", "[direct_send]\ntls = verfy\n",
		    "t.conf:2: tls: \"verfy\" is not a known value; did you "
		    "mean \"verify\"?" },
		{ "a domain without dot",
		    "[direct_send]\ninternal_domains = x.org, web1\n",
		    "t.conf:2: internal_domains: \"web1" NO_DOMAIN },
		{ "a domain that is a pattern",
		    "[direct_send]\ninternal_domains = *.x.org\n",
		    "t.conf:2: internal_domains: \"*.x.org" NO_DOMAIN },
		{ "an address for a domain",
		    "[direct_send]\ninternal_domains = a@x.org\n",
		    "t.conf:2: internal_domains: \"a@x.org" NO_DOMAIN },
		{ "no domain", "[direct_send]\ninternal_domains = ,\n",
		    "t.conf:2: internal_domains: nothing stands before or "
		    "behind a comma" },
		{ "an MX that is an address", "[direct_send]\nmx = 192.0.2.1\n",
		    "t.conf:2: mx: \"192.0.2.1\" is not a DNS name; an IP "
		    "address cannot be used, since Exchange's certificates and "
		    "addresses go by name" },
		{ "port of Direct Send", "[direct_send]\nport = 0\n",
		    "t.conf:2: port: \"0\" is not a number from 1 to 65535" },
		{ "ca_file of Direct Send", "[direct_send]\nca_file = ~/x\n",
		    "t.conf:2: ca_file: \"~\" has no meaning here; write the "
		    "whole path" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_what_stands_in_the_wrong_place(void **state)
{
	static const struct refused rows[] = {
		{ "a user in send_as", "[account]\nsend_as = user:bob\n",
		    "t.conf:2: send_as: \"user:bob\" is a user; what the "
		    "mailbox may send as goes by address: write that, or "
		    "@DOMAIN" },
		{ "a name pattern in send_as", "[account]\nsend_as = bob*\n",
		    "t.conf:2: send_as: \"bob*\" has no domain; write the "
		    "whole address" },
		{ "a key of a rule's section elsewhere",
		    "[route]\ndisplay_name = x\n",
		    "t.conf:2: unknown key \"display_name\" in [route]; it "
		    "belongs in [rewrite]" },
		{ "a section's name, nearly", "[aliasses]\n",
		    "t.conf:1: unknown section [aliasses]; did you mean "
		    "\"aliases\"?" },
		{ "a hyphen for an underscore", "[direct-send]\n",
		    "t.conf:1: unknown section [direct-send]; did you mean "
		    "\"direct_send\"?" },
		{ "enabled twice",
		    "[direct_send]\nenabled = yes\nenabled = yes\n",
		    "t.conf:3: \"enabled\" is set in line 2 already" },
		{ "default twice", "[route]\ndefault = a\ndefault = b\n",
		    "t.conf:3: \"default\" is set in line 2 already" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_long_login_is_whole(void **state)
{
	char login[] = X60 X60 X10 X10 X10 X10 "xxxxxxx";
	char *text = xasprintf("[account]\nuser = a@x.org\npassword_file = p\n"
			       "login = %s\n",
	    login);
	struct config *c = parse(text);

	(void)state;
	assert_string_equal(c->accounts[0].login, login);
	config_free(&c);
	free(text);
}

static void
test_words_that_are_taken(void **state)
{
	struct config *c = parse(ACCOUNT "[rewrite]\n"
					 "display_name = keep\n"
					 "reply_to = original\n"
					 "original_from = add\n"
					 "auto_submitted = never\n"
					 "[direct_send]\n"
					 "enabled = no\n"
					 "tls = verify\n");

	(void)state;
	assert_null(c->display_name);
	assert_int_equal(c->no_reply_to.count, 0);
	assert_true(c->keeps_original);
	assert_false(c->marks_automatic);
	assert_false(c->direct_send.is_enabled);
	assert_int_equal(c->direct_send.tls, DIRECT_TLS_VERIFY);
	config_free(&c);

	c = parse(ACCOUNT "[rewrite]\n"
			  "display_name = } {address} {user}{host}{name}\n"
			  "reply_to = never\n");
	assert_string_equal(c->display_name, "} {address} {user}{host}{name}");
	assert_int_equal(c->no_reply_to.count, 1);
	assert_int_equal(c->no_reply_to.items[0].kind, PATTERN_ANY);
	config_free(&c);
}

/* ---- the sample file ---- */

/* Take the "#" off every line "#key = value".  login is not for an account
 * with a client secret: the other one of the sample has it. */
static void
uncomment(struct buf *out, const char *text)
{
	for (const char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n") + 1;
		bool is_key = line[0] == '#' && ascii_is_alpha(line[1]) &&
		    strncmp(line, "#login", 6) != 0;

		assert_int_equal(buf_add(out, line + is_key, len - is_key), 0);
		line += len;
	}
	assert_int_equal(buf_puts(out,
			     "[account shop]\n"
			     "user = shop@shop.contoso.com\n"
			     "password_file = password\n"
			     "login = apikey\n"),
	    0);
}

static void
check_sample_rules(const struct config *got, const struct config *want)
{
	assert_int_equal(got->rewrite_rules.count, 1);
	assert_int_equal(got->route_rules.count, 1);
	assert_int_equal(got->route_default.account, 0);
	assert_null(got->display_name);
	assert_int_equal(got->no_reply_to.count, 0);
	assert_int_equal(got->keeps_original, want->keeps_original);
	assert_int_equal(got->marks_automatic, want->marks_automatic);
	assert_int_equal(got->alias_count, 0);
	assert_string_equal(got->aliases_file, "/etc/aliases");
	assert_int_equal(
	    got->direct_send.is_enabled, want->direct_send.is_enabled);
	assert_int_equal(got->direct_send.port, want->direct_send.port);
	assert_int_equal(got->direct_send.tls, want->direct_send.tls);
}

static void
test_sample_shows_the_defaults(void **state)
{
	int fd = open("etc/sendmail365.conf", O_RDONLY | O_CLOEXEC);
	struct config *defaults = parse(ACCOUNT);
	const struct account *want = &defaults->accounts[0];
	const struct account *got;
	struct config *c;
	struct buf sample;
	struct buf text;

	(void)state;
	assert_true(fd >= 0);
	buf_init(&sample, CONFFILE_MAX_BYTES);
	buf_init(&text, CONFFILE_MAX_BYTES);
	assert_int_equal(file_read(fd, &sample), 0);
	fd_close(&fd);
	uncomment(&text, sample.s);
	c = parse(text.s);
	got = &c->accounts[0];
	assert_int_equal(got->auth, want->auth);
	assert_int_equal(got->cloud, want->cloud);
	assert_string_equal(got->host, want->host);
	assert_int_equal(got->port, want->port);
	assert_string_equal(got->authority, want->authority);
	assert_string_equal(got->scope, want->scope);
	assert_int_equal(
	    got->recipients_per_message, want->recipients_per_message);
	assert_string_equal(c->state_directory, "/var/lib/sendmail365");
	assert_int_equal(c->log_to.sink, defaults->log_to.sink);
	assert_int_equal(c->log_level, defaults->log_level);
	check_sample_rules(c, defaults);
	config_free(&c);
	config_free(&defaults);
	buf_done(&sample);
	buf_done(&text);
}

/* ---- files ---- */

struct place {
	char directory[32];
	char *file;
};

static int
set_up(void **state)
{
	struct place *place = xcalloc(1, sizeof(*place));

	(void)snprintf(place->directory, sizeof(place->directory),
	    "/tmp/test_config.XXXXXX");
	assert_non_null(mkdtemp(place->directory));
	place->file =
	    xasprintf("%s/sendmail365/sendmail365.conf", place->directory);
	place->file[strlen(place->directory) + 12] = '\0';
	assert_int_equal(mkdir(place->file, 0755), 0);
	place->file[strlen(place->directory) + 12] = '/';
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	(void)unlink(place->file);
	*strrchr(place->file, '/') = '\0';
	assert_int_equal(rmdir(place->file), 0);
	assert_int_equal(rmdir(place->directory), 0);
	free(place->file);
	free(place);
	return 0;
}

static void
write_file(const struct place *place, const char *text, mode_t mode)
{
	int fd =
	    open(place->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static struct config *
load(const char *path)
{
	struct config *c = NULL;
	struct failure f = { 0 };

	if (config_load(path, &c, &f) == -1)
		fail_msg("%s", f.text);
	return c;
}

static void
assert_load_refused(const struct place *place, const char *want)
{
	char *text = xasprintf("%s%s", place->file, want);
	struct config *c = NULL;
	struct failure f = { 0 };

	assert_int_equal(config_load(place->file, &c, &f), -1);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	assert_string_equal(f.text, text);
	assert_null(c);
	free(text);
}

static void
test_paths_are_relative_to_the_file(void **state)
{
	const struct place *place = *state;
	char *want =
	    xasprintf("%s/sendmail365/client-secret", place->directory);
	struct config *c;

	write_file(place, ACCOUNT, 0644);
	c = load(place->file);
	assert_string_equal(c->path, place->file);
	assert_string_equal(c->accounts[0].client_secret_file, want);
	config_free(&c);

	assert_int_equal(chdir(place->directory), 0);
	c = load("sendmail365/sendmail365.conf");
	assert_string_equal(c->path, "sendmail365/sendmail365.conf");
	assert_string_equal(c->accounts[0].client_secret_file, want);
	config_free(&c);
	assert_int_equal(chdir("/"), 0);
	free(want);
}

/* systemd's copies come first, by the name that a directory gives them. */
static void
test_credentials_stand_for_relative_paths(void **state)
{
	static const struct {
		const char *value;
		const char *want; /* below the directory of the files */
	} rows[] = {
		{ "secrets/client-secret",
		    "credentials/secrets_client-secret" },
		{ "client-secret", "credentials/client-secret" },
		{ "secrets/other", "sendmail365/secrets/other" },
		{ "../secret", "sendmail365/../secret" },
		{ "./client-secret", "sendmail365/./client-secret" },
	};
	const struct place *place = *state;
	char *credentials = xasprintf("%s/credentials", place->directory);
	char *one = xasprintf("%s/secrets_client-secret", credentials);
	char *two = xasprintf("%s/client-secret", credentials);

	assert_int_equal(mkdir(credentials, 0700), 0);
	assert_int_equal(mknod(one, S_IFREG | 0600, 0), 0);
	assert_int_equal(mknod(two, S_IFREG | 0600, 0), 0);
	assert_int_equal(setenv("CREDENTIALS_DIRECTORY", credentials, 1), 0);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		char *text = xasprintf("[account]\nuser = a@contoso.com\n"
				       "password_file = %s\nca_file = %s\n"
				       "[aliases]\nfile = client-secret\n",
		    rows[i].value, rows[i].value);
		char *want = xasprintf("%s/%s", place->directory, rows[i].want);
		char *aliases =
		    xasprintf("%s/sendmail365/client-secret", place->directory);
		struct config *c;

		write_file(place, text, 0644);
		c = load(place->file);
		assert_string_equal(c->accounts[0].password_file, want);
		assert_string_equal(c->accounts[0].ca_file, want);
		/* What is no secret is not looked for there. */
		assert_string_equal(c->aliases_file, aliases);
		config_free(&c);
		free(aliases);
		free(want);
		free(text);
	}
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_int_equal(unlink(one), 0);
	assert_int_equal(unlink(two), 0);
	assert_int_equal(rmdir(credentials), 0);
	free(two);
	free(one);
	free(credentials);
}

static void
test_own_file_comes_first(void **state)
{
	const struct place *place = *state;
	struct config *c = NULL;
	struct failure f = { 0 };

	write_file(place, ACCOUNT, 0600);
	assert_int_equal(setenv("XDG_CONFIG_HOME", place->directory, 1), 0);
	c = load(NULL);
	assert_string_equal(c->path, place->file);
	config_free(&c);

	/* A mistake in it is no reason to take the other one. */
	write_file(place, "[acc]\n", 0600);
	assert_int_equal(config_load(NULL, &c, &f), -1);
	assert_memory_equal(f.text, place->file, strlen(place->file));
	assert_int_equal(unsetenv("XDG_CONFIG_HOME"), 0);
}

/* A file that not everybody can read is not quoted to everybody. */
static void
test_what_everybody_may_be_told(void **state)
{
	static const struct {
		const char *text;
		const char *open;
		const char *closed;
	} rows[] = {
		{ "[account]\nusr = a\n",
		    ":2: unknown key \"usr\" in [account]; did you mean "
		    "\"user\"?",
		    ":2: this line is wrong" },
		{ "[account]\n\nauth = s3cret\n",
		    ":3: auth: \"s3cret\" is not a known value",
		    ":3: auth: the value is wrong" },
		{ "[aliases]\ns3cret: x\n",
		    ":2: \":\" stands where \"=\" belongs; write: key = value",
		    ":2: this line is wrong" },
		{ "[log]\n", ": there is no [account] section",
		    ": there is no [account] section" },
	};
	const struct place *place = *state;

	assert_int_equal(chmod(place->directory, 0711), 0);
	for (size_t i = 0; i < 2 * N_ELEMENTS(rows); i++) {
		bool is_open = i % 2 == 0;
		const char *want =
		    is_open ? rows[i / 2].open : rows[i / 2].closed;
		size_t len = strlen(place->file);
		struct config *c;
		struct failure f;

		write_file(place, rows[i / 2].text, is_open ? 0644 : 0640);
		assert_int_equal(config_load(place->file, &c, &f), -1);
		config_disclose(place->file, &f);
		assert_memory_equal(f.text, place->file, len);
		if (is_open)
			assert_memory_equal(f.text + len, want, strlen(want));
		else
			assert_string_equal(f.text + len, want);
	}
	/* Behind a door that is closed is what nobody can read, either. */
	write_file(place, rows[0].text, 0644);
	for (int i = 0; i < 2; i++) {
		struct config *c;
		struct failure f;

		assert_int_equal(chmod(place->directory, 0700), 0);
		assert_int_equal(config_load(place->file, &c, &f), -1);
		config_disclose(place->file, &f);
		assert_string_equal(
		    f.text + strlen(place->file), rows[0].closed);
	}
}

static void
test_files_that_are_refused(void **state)
{
	const struct place *place = *state;
	char *want;

	assert_load_refused(place,
	    ": there is no such file; \"sendmail365 setup\" writes it, and "
	    "sendmail365.conf(5) begins with an example");
	assert_int_equal(mkdir(place->file, 0755), 0);
	assert_load_refused(place, ": this is not a regular file");
	assert_int_equal(rmdir(place->file), 0);
	assert_int_equal(mkfifo(place->file, 0600), 0);
	assert_load_refused(place, ": this is not a regular file");
	assert_int_equal(unlink(place->file), 0);

	want = xasprintf(
	    ": others can write to it; run: chmod go-w '%s'", place->file);
	write_file(place, ACCOUNT, 0664);
	assert_load_refused(place, want);
	write_file(place, ACCOUNT, 0602);
	assert_load_refused(place, want);
	free(want);
	write_file(place, ACCOUNT "x\n", 0644);
	assert_load_refused(
	    place, ":6: this line has no \"=\"; write: key = value");
}

static void
test_symbolic_link_is_followed(void **state)
{
	const struct place *place = *state;
	char *target = xasprintf("%s/real", place->directory);
	char *want =
	    xasprintf("%s/sendmail365/client-secret", place->directory);
	struct config *c;

	write_file(place, ACCOUNT, 0644);
	assert_int_equal(rename(place->file, target), 0);
	assert_int_equal(symlink(target, place->file), 0);
	c = load(place->file);
	assert_string_equal(c->accounts[0].client_secret_file, want);
	config_free(&c);
	assert_int_equal(unlink(target), 0);
	free(target);
	free(want);
}

static void
test_proxy_password_needs_a_private_file(void **state)
{
	static const char text[] = ACCOUNT "proxy = http://u:p@proxy:3128\n";
	const struct place *place = *state;
	struct config *c;

	write_file(place, text, 0644);
	assert_load_refused(place,
	    ":6: proxy: a password is in this line, and everybody can read "
	    "this file; run: chmod o-r on it");
	write_file(place, text, 0640);
	c = load(place->file);
	assert_string_equal(c->accounts[0].proxy, "http://u:p@proxy:3128");
	config_free(&c);
}

static void
test_too_large_file(void **state)
{
	const struct place *place = *state;

	write_file(place, ACCOUNT, 0644);
	assert_int_equal(truncate(place->file, CONFFILE_MAX_BYTES + 1), 0);
	assert_load_refused(
	    place, ": this file has more than the limit of 262144 octets");
}

static void
test_another_users_file(void **state)
{
	const struct place *place = *state;
	char *want;

	if (geteuid() != 0)
		skip();
	write_file(place, ACCOUNT, 0644);
	assert_int_equal(chown(place->file, NOBODY, (gid_t)-1), 0);
	want = xasprintf(": it belongs to user nobody, who could change it; "
			 "run this as that user, or "
			 "run: chown root '%s'",
	    place->file);
	assert_load_refused(place, want);
	free(want);
}

static void
test_unreadable_file(void **state)
{
	const struct place *place = *state;

	if (geteuid() != 0)
		skip();
	write_file(place, ACCOUNT, 0640);
	assert_int_equal(chown(place->file, (uid_t)-1, 54321), 0);
	assert_int_equal(chmod(place->directory, 0711), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	assert_load_refused(place,
	    ": user nobody cannot read it, only user root and members of "
	    "group 54321 can; run this as one of them, or give nobody a "
	    "configuration of its own in ~/.config/sendmail365");
	assert_int_equal(seteuid(0), 0);
}

static void
test_state_directory_of_a_user(void **state)
{
	static const char text[] =
	    "[account]\nuser = a@x.org\npassword_file = p\n";
	const bool is_root = geteuid() == 0;
	struct config *c;

	(void)state;
	if (is_root) {
		c = parse(text);
		assert_string_equal(c->state_directory,
		    SENDMAIL365_LOCALSTATEDIR "/lib/sendmail365");
		config_free(&c);
		assert_int_equal(seteuid(NOBODY), 0);
	}
	assert_int_equal(setenv("HOME", "/home/u", 1), 0);
	assert_int_equal(setenv("XDG_STATE_HOME", "/s", 1), 0);
	c = parse(text);
	assert_string_equal(c->state_directory, "/s/sendmail365");
	config_free(&c);
	assert_int_equal(setenv("XDG_STATE_HOME", "relative", 1), 0);
	c = parse(text);
	assert_string_equal(
	    c->state_directory, "/home/u/.local/state/sendmail365");
	config_free(&c);
	assert_int_equal(unsetenv("HOME"), 0);
	c = parse(text);
	assert_null(c->state_directory);
	config_free(&c);
	assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
	if (is_root)
		assert_int_equal(seteuid(0), 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest_file_has_all_defaults),
		cmocka_unit_test(test_rules_and_ways_have_defaults),
		cmocka_unit_test(test_every_key_is_stored),
		cmocka_unit_test(test_every_key_means_every_key),
		cmocka_unit_test(test_auth_follows_from_the_other_keys),
		cmocka_unit_test(test_clouds),
		cmocka_unit_test(test_forms_that_mean_the_same),
		cmocka_unit_test(test_long_value_is_whole),
		cmocka_unit_test(test_lines_that_are_refused),
		cmocka_unit_test(test_size_is_limited),
		cmocka_unit_test(test_unknown_words),
		cmocka_unit_test(test_structure),
		cmocka_unit_test(test_values_that_are_taken),
		cmocka_unit_test(test_names_that_are_refused),
		cmocka_unit_test(test_addresses_as_they_are_pasted),
		cmocka_unit_test(test_numbers_that_are_refused),
		cmocka_unit_test(test_urls_that_are_refused),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_every_sender_may_sign_in),
		cmocka_unit_test(test_nobody_signs_in),
		cmocka_unit_test(test_accounts_that_contradict_themselves),
		cmocka_unit_test(test_rules_that_are_refused),
		cmocka_unit_test(test_rewriting_that_is_refused),
		cmocka_unit_test(test_direct_send_that_is_refused),
		cmocka_unit_test(test_what_stands_in_the_wrong_place),
		cmocka_unit_test(test_long_login_is_whole),
		cmocka_unit_test(test_words_that_are_taken),
		cmocka_unit_test(test_sample_shows_the_defaults),
		TEST(test_paths_are_relative_to_the_file),
		TEST(test_credentials_stand_for_relative_paths),
		TEST(test_own_file_comes_first),
		TEST(test_what_everybody_may_be_told),
		TEST(test_files_that_are_refused),
		TEST(test_symbolic_link_is_followed),
		TEST(test_proxy_password_needs_a_private_file),
		TEST(test_too_large_file),
		TEST(test_another_users_file),
		TEST(test_unreadable_file),
		cmocka_unit_test(test_state_directory_of_a_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
