#include "config/config.h"

#include <sys/stat.h>

#include <assert.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/conffile.h"
#include "config/schema.h"
#include "config/verify.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"

#define SYSTEM_FILE  SENDMAIL365_SYSCONFDIR "/sendmail365/sendmail365.conf"
#define OWN_FILE     "sendmail365/sendmail365.conf"
#define SYSTEM_STATE SENDMAIL365_LOCALSTATEDIR "/lib/sendmail365"
#define SYSTEM_SPOOL SENDMAIL365_LOCALSTATEDIR "/spool/sendmail365"
#define SOCKET       "/run/sendmail365/submit"

enum {
	MINUTE = 60,
	HOUR = 60 * MINUTE,
	DAY = 24 * HOUR,
	MIB = 1024 * 1024
};

/* What stands for a file on its way to becoming a struct config. */
struct parser {
	const char *name;      /* of the file, for messages */
	const char *directory; /* where relative paths begin */
	bool is_private;
	struct config *config;
	bool has_section; /* the fields below are valid */
	enum schema_section section;
	/* where each section but [account] began, and each key of the present
	 * section was first set; 0: not at all */
	int section_lines[SCHEMA_SECTIONS];
	int key_lines[SCHEMA_KEYS_MAX];
};

static struct account *
last_account(const struct parser *p)
{
	return &p->config->accounts[p->config->account_count - 1];
}

/* ---- a section ends ---- */

static bool
is_set(const struct parser *p, const char *key)
{
	size_t count;
	const struct schema_key *keys = schema_keys(&count);

	for (size_t i = 0; i < count; i++)
		if (keys[i].section == p->section &&
		    strcmp(keys[i].name, key) == 0)
			return p->key_lines[i] != 0;
	assert(!"a key of the schema");
	return false;
}

static int
guess_auth(const struct parser *p, struct account *a, struct failure *f)
{
	bool has_secret = a->client_secret_file != NULL;
	bool has_password = a->password_file != NULL;

	if (is_set(p, "auth"))
		return 0;
	if (has_secret && has_password)
		return failure_set(f, FAILURE_CONFIG,
		    "client_secret_file and password_file are both set; add "
		    "auth = client-secret or auth = password");
	if (!has_secret && !has_password && a->tenant == NULL &&
	    a->client_id == NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "nothing says how to sign in; set tenant, client_id and "
		    "client_secret_file, or password_file, or auth = none");
	a->auth = has_password ? AUTH_PASSWORD : AUTH_CLIENT_SECRET;
	return 0;
}

static int
check_required(const struct account *a, struct failure *f)
{
	bool is_app = a->auth == AUTH_CLIENT_SECRET;
	const struct {
		const char *key;
		bool is_missing;
		const char *what;
	} rows[] = {
		{ "user", a->user.local == NULL && !a->is_sender,
		    a->auth == AUTH_NONE ? "the address that mail is sent from"
					 : "the mailbox that signs in" },
		{ "tenant", is_app && a->tenant == NULL,
		    "the directory (tenant) ID or a domain of yours" },
		{ "client_id", is_app && a->client_id == NULL,
		    "the application (client) ID on the app's overview page" },
		{ "client_secret_file", is_app && a->client_secret_file == NULL,
		    "a file with the value of a client secret" },
		{ "password_file",
		    a->auth == AUTH_PASSWORD && a->password_file == NULL,
		    "a file with the mailbox's password" },
		{ "send_as", a->is_sender && a->send_as.count == 0,
		    "with user = {sender} it names the mailboxes that may "
		    "sign in, such as @contoso.com" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].is_missing)
			return failure_set(f, FAILURE_CONFIG,
			    "\"%s\" is missing: %s", rows[i].key, rows[i].what);
	return 0;
}

/* "{sender}" is no mailbox: see value_user(). */
static int
check_user(struct account *a, struct failure *f)
{
	if (a->user.local != NULL && a->user.domain == NULL) {
		mailbox_done(&a->user);
		a->is_sender = true;
	}
	if (a->is_sender && a->auth != AUTH_CLIENT_SECRET)
		return failure_set(f, FAILURE_CONFIG,
		    "user = {sender} needs auth = client-secret: an "
		    "application can sign in to many mailboxes, a password "
		    "belongs to one");
	if (a->login != NULL && a->auth != AUTH_PASSWORD)
		return failure_set(f, FAILURE_CONFIG,
		    "login goes with password_file only; remove it");
	return 0;
}

static void
set_default(char **field, const char *value)
{
	if (*field == NULL)
		*field = xstrdup(value);
}

static void
complete_account(struct account *a)
{
	const struct cloud *cloud = cloud_get(a->cloud);

	/* Without a host, nothing is submitted that is not signed in. */
	if (a->auth != AUTH_NONE)
		set_default(&a->host, cloud->host);
	set_default(&a->authority, cloud->authority);
	set_default(&a->scope, cloud->scope);
}

/* A token opens the mailbox to whoever has it. */
static int
check_token_host(const struct account *a, struct failure *f)
{
	if (a->auth != AUTH_CLIENT_SECRET ||
	    !cloud_has_authority(a->authority) || cloud_has_host(a->host))
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "%s is no host of Microsoft's, and their token must go to no "
	    "other; correct host, or for a relay use password_file or "
	    "auth = none",
	    a->host);
}

static int
finish_section(const struct parser *p, struct failure *f)
{
	struct account *a;
	char *title;
	int r;

	if (!p->has_section || p->section != SCHEMA_ACCOUNT)
		return 0;
	a = last_account(p);
	r = guess_auth(p, a, f);
	if (r == 0)
		r = check_user(a, f);
	if (r == 0)
		r = check_required(a, f);
	complete_account(a);
	if (r == 0)
		r = check_token_host(a, f);
	if (r == 0)
		return 0;
	title = config_account_title(a);
	(void)failure_at(f, "%s:%d: %s", p->name, a->line, title);
	free(title);
	return -1;
}

/* ---- a section begins ---- */

static bool
is_account_name(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.s[i];

		if (!ascii_is_alnum(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return true;
}

static int
begin_account(struct parser *p, int line, struct span name, struct failure *f)
{
	struct config *c = p->config;

	if (!is_account_name(name))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%.*s\" is not a name for an account; use letters, "
		    "digits, \"-\", \"_\" and \".\"",
		    (int)name.len, name.s);
	for (size_t i = 0; i < c->account_count; i++)
		if (span_is(name, c->accounts[i].name))
			return failure_set(f, FAILURE_CONFIG,
			    "this account is in line %d already; give each "
			    "another name: [account NAME]",
			    c->accounts[i].line);
	c->accounts =
	    xgrow(c->accounts, c->account_count, sizeof(*c->accounts));
	c->accounts[c->account_count++] = (struct account){
		.name = xstrndup(name.s, name.len),
		.line = line,
		.port = 587,
		.recipients_per_message = 500,
		.max_connections = 3,
		.messages_per_minute = { .count = 30, .seconds = 60 },
		.recipients_per_day = 10000,
	};
	return 0;
}

static int
begin_other(struct parser *p, int line, struct span name, struct failure *f)
{
	int *first = &p->section_lines[p->section];

	if (name.len > 0)
		return failure_set(f, FAILURE_CONFIG, "[%s] takes no name",
		    schema_section_name(p->section));
	if (*first != 0)
		return failure_set(f, FAILURE_CONFIG,
		    "[%s] is in line %d already",
		    schema_section_name(p->section), *first);
	*first = line;
	return 0;
}

/* "account" or "account NAME". */
static int
begin_section(struct parser *p, int line, struct span title, struct failure *f)
{
	struct span word = title;
	struct span name;

	word.len = 0;
	while (word.len < title.len && !ascii_is_space(title.s[word.len]))
		word.len++;
	name.s = title.s + word.len;
	name.len = title.len - word.len;
	name = span_trim(name);
	if (schema_find_section(word, &p->section, f) == -1)
		return -1;
	p->has_section = true;
	memset(p->key_lines, 0, sizeof(p->key_lines));
	if (p->section == SCHEMA_ACCOUNT)
		return begin_account(p, line, name, f);
	return begin_other(p, line, name, f);
}

/* ---- what the reader of the file calls ---- */

static int
take_section(void *user, int line, struct span title, struct failure *f)
{
	struct parser *p = user;

	if (finish_section(p, f) == -1)
		return -1;
	if (begin_section(p, line, title, f) == -1)
		return failure_at(f, "%s:%d", p->name, line);
	return 0;
}

/* NAME = LIST of [aliases]: looked at when all of them are known. */
static int
add_alias(struct parser *p, int line, const char *name, const char *list)
{
	struct config *c = p->config;

	c->aliases = xgrow(c->aliases, c->alias_count, sizeof(*c->aliases));
	c->aliases[c->alias_count++] = (struct alias_setting){
		.name = xstrdup(name),
		.list = xstrdup(list),
		.line = line,
	};
	return 0;
}

static int
set_key(struct parser *p, int line, const char *key, const char *text,
    struct failure *f)
{
	struct value v = { text, line, p->directory, p->is_private };
	const struct schema_key *row;
	size_t count;
	int *first;
	char *base;

	if (!p->has_section)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" stands before the first section; begin with "
		    "[account]",
		    key);
	if (p->section == SCHEMA_ALIASES && !schema_has_key(p->section, key))
		return add_alias(p, line, key, text);
	row = schema_find_key(p->section, key, f);
	if (row == NULL)
		return -1;
	first = &p->key_lines[row - schema_keys(&count)];
	if (*first != 0 && row->times == SCHEMA_ONCE)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is set in line %d already", key, *first);
	*first = line;
	base = p->section == SCHEMA_ACCOUNT ? (char *)last_account(p)
					    : (char *)p->config;
	if (row->parse(&v, base + row->offset, f) == -1)
		return failure_at(f, "%s", key);
	return 0;
}

static int
take_key(
    void *user, int line, const char *key, const char *value, struct failure *f)
{
	struct parser *p = user;

	if (set_key(p, line, key, value, f) == -1)
		return failure_at(f, "%s:%d", p->name, line);
	return 0;
}

/* ---- where files are ---- */

/* A path in the caller's own home; NULL where that is unknown. */
static char *
own_path(const char *variable, const char *below_home, const char *leaf)
{
	const char *directory = secure_getenv(variable);
	const char *home = secure_getenv("HOME");

	/* A relative one is to be ignored (XDG Base Directory). */
	if (directory != NULL && directory[0] == '/')
		return xasprintf("%s/%s", directory, leaf);
	if (home != NULL && home[0] == '/')
		return xasprintf("%s/%s/%s", home, below_home, leaf);
	return NULL;
}

static char *
default_state_directory(void)
{
	if (geteuid() == 0 ||
	    faccessat(AT_FDCWD, SYSTEM_STATE, W_OK | X_OK, AT_EACCESS) == 0)
		return xstrdup(SYSTEM_STATE);
	return own_path("XDG_STATE_HOME", ".local/state", "sendmail365");
}

/* The directory of a file, absolute. */
static char *
directory_of(const char *path, struct failure *f)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash != NULL ? (size_t)(slash - path) : 0;
	char *cwd;
	char *out;

	if (path[0] == '/')
		return xstrndup(path, len);
	cwd = getcwd(NULL, 0);
	if (cwd == NULL) {
		failure_set(f, FAILURE_CONFIG,
		    "%s: the working directory is gone; use a whole path",
		    path);
		return NULL;
	}
	out = xasprintf("%s/%.*s", cwd, (int)len, path);
	free(cwd);
	return out;
}

/* ---- exported ---- */

static struct config *
new_config(const char *path)
{
	struct config *c = xcalloc(1, sizeof(*c));

	c->path = xstrdup(path);
	c->queue_lifetime = 5 * DAY;
	c->queue_retry_first = MINUTE;
	c->queue_retry_longest = HOUR;
	c->queue_keep_failed = 30 * DAY;
	c->queue_notices_per_hour = 100;
	c->queue_max_size = UINT64_C(2048) * MIB;
	/* The highest that Exchange Online lets an administrator set. */
	c->service_max_message_size = UINT64_C(150) * MIB;
	c->service_per_user_limit = 10000;
	c->log_to.sink = LOG_TO_SYSLOG;
	c->log_level = LOG_LEVEL_INFO;
	c->keeps_original = true;
	c->direct_send.port = 25;
	return c;
}

static int
finish_config(const struct parser *p, struct failure *f)
{
	struct config *c = p->config;

	if (finish_section(p, f) == -1)
		return -1;
	if (c->account_count == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: there is no [account] section", p->name);
	if (verify_config(p->name, c, f) == -1)
		return -1;
	if (c->state_directory == NULL)
		c->state_directory = default_state_directory();
	set_default(&c->queue_directory, SYSTEM_SPOOL);
	set_default(&c->service_socket, SOCKET);
	return 0;
}

static int
parse(
    struct parser *p, struct span text, struct config **out, struct failure *f)
{
	static const struct conffile_events events = { take_section, take_key };

	p->config = new_config(p->name);
	if (conffile_parse(p->name, text, &events, p, f) == -1 ||
	    finish_config(p, f) == -1) {
		config_free(&p->config);
		return -1;
	}
	*out = p->config;
	return 0;
}

int
config_parse(const char *name, const char *directory, struct span text,
    struct config **out, struct failure *f)
{
	struct parser p = {
		.name = name,
		.directory = directory,
		.is_private = true,
	};

	return parse(&p, text, out, f);
}

static int
load(const char *path, struct config **out, struct failure *f)
{
	struct parser p = { .name = path };
	char *directory = directory_of(path, f);
	struct buf text;
	int r = -1;

	if (directory == NULL)
		return -1;
	p.directory = directory;
	if (conffile_read(path, &text, &p.is_private, f) == 0)
		r = parse(&p, buf_view(&text), out, f);
	buf_done(&text);
	free(directory);
	return r;
}

/* Is it there, and the user's? */
static bool
is_own(const char *path)
{
	struct stat st;

	return path != NULL && stat(path, &st) == 0 && st.st_uid == geteuid();
}

/*
 * The user's own file; NULL: none.  HOME may be another's, as it is under cron
 * and sudo: then the password file says where it is.
 */
static char *
own_file(void)
{
	const struct passwd *pw;
	char *path = own_path("XDG_CONFIG_HOME", ".config", OWN_FILE);

	if (is_own(path))
		return path;
	free(path);
	pw = getpwuid(geteuid());
	if (pw == NULL)
		return NULL;
	path = xasprintf("%s/.config/" OWN_FILE, pw->pw_dir);
	if (is_own(path))
		return path;
	free(path);
	return NULL;
}

char *
config_find(const char *path)
{
	char *own = path != NULL ? xstrdup(path) : own_file();

	return own != NULL ? own : xstrdup(SYSTEM_FILE);
}

/* The same of the directory that path is in. */
static bool
is_own_parent(char *path)
{
	char *slash = strrchr(path, '/');
	bool is_there;

	*slash = '\0';
	is_there = is_own(path);
	*slash = '/';
	return is_there;
}

char *
config_place(void)
{
	const struct passwd *pw = getpwuid(geteuid());
	char *path;

	if (geteuid() == 0)
		return xstrdup(SYSTEM_FILE);
	path = own_path("XDG_CONFIG_HOME", ".config", OWN_FILE);
	if (path != NULL && is_own_parent(path))
		return path;
	free(path);
	if (pw == NULL)
		return NULL;
	path = xasprintf("%s/.config/" OWN_FILE, pw->pw_dir);
	if (is_own_parent(path))
		return path;
	free(path);
	return NULL;
}

int
config_load(const char *path, struct config **out, struct failure *f)
{
	char *file = config_find(path);
	int r = load(file, out, f);

	free(file);
	return r;
}

static void
account_done(struct account *a)
{
	free(a->name);
	mailbox_done(&a->user);
	free(a->login);
	free(a->tenant);
	free(a->client_id);
	free(a->client_secret_file);
	free(a->password_file);
	free(a->host);
	free(a->authority);
	free(a->scope);
	free(a->ca_file);
	/* It may hold a password. */
	if (a->proxy != NULL)
		explicit_bzero(a->proxy, strlen(a->proxy));
	free(a->proxy);
	pattern_list_done(&a->send_as);
}

static void
direct_send_done(struct direct_send *d)
{
	free(d->mx);
	free(d->ca_file);
	for (size_t i = 0; i < d->internal_domains.count; i++)
		free(d->internal_domains.items[i]);
	free(d->internal_domains.items);
}

char *
config_account_title(const struct account *account)
{
	return xasprintf("[account%s%s]", account->name[0] != '\0' ? " " : "",
	    account->name);
}

bool
config_is_internal(const struct config *config, const char *domain)
{
	const struct string_list *own = &config->direct_send.internal_domains;

	for (size_t i = 0; i < own->count; i++)
		if (span_is_nocase(span_of(domain), own->items[i]))
			return true;
	return false;
}

void
config_free(struct config **config)
{
	struct config *c = *config;

	*config = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->account_count; i++)
		account_done(&c->accounts[i]);
	free(c->accounts);
	free(c->path);
	rule_list_done(&c->rewrite_rules);
	rule_list_done(&c->route_rules);
	free(c->route_default.target);
	direct_send_done(&c->direct_send);
	for (size_t i = 0; i < c->alias_count; i++) {
		free(c->aliases[i].name);
		free(c->aliases[i].list);
	}
	free(c->aliases);
	free(c->alias_default.list);
	free(c->aliases_file);
	free(c->rewrite_domain);
	free(c->display_name);
	pattern_list_done(&c->no_reply_to);
	free(c->queue_directory);
	mailbox_done(&c->queue_postmaster);
	free(c->service_socket);
	free(c->state_directory);
	free(c->log_to.file);
	free(c);
}
