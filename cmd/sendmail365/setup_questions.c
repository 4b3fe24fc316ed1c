#include "setup_questions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config/values.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "setup_ask.h"
#include "setup_settings.h"

enum kind {
	KIND_PLAIN,
	KIND_DEFAULT, /* what is suggested need not be written */
	KIND_OPTIONAL /* "-" means that there is none */
};

/* One thing that may have to be known. */
struct question {
	enum questions_about about;
	enum kind kind;
	const char *option; /* that answers it as well */
	const char *name;   /* of the setting */
	const char *text;
	/* NULL: always */
	bool (*applies)(const struct settings *s);
	/* Must be known, asked or not?  NULL: never */
	bool (*is_required)(const struct settings *s);
	/* What an empty answer means where the configuration that is there says
	 * nothing; for free().  NULL: nothing */
	char *(*suggest)(const struct settings *s);
};

/* ---- how to sign in ---- */

/* The settings take no name that is not known. */
static enum auth_kind
auth_of(const char *name)
{
	const struct value v = { .text = name };
	enum auth_kind kind = AUTH_CLIENT_SECRET;
	struct failure f;

	(void)value_auth(&v, &kind, &f);
	return kind;
}

static enum auth_kind
old_auth(const struct settings *s)
{
	const char *auth = settings_old(s, "account.auth");

	if (auth != NULL)
		return auth_of(auth);
	return settings_old(s, "account.password_file") != NULL
	    ? AUTH_PASSWORD
	    : AUTH_CLIENT_SECRET;
}

enum auth_kind
questions_auth(const struct settings *settings)
{
	const char *auth = settings_given(settings, "account.auth");

	if (auth != NULL)
		return auth_of(auth);
	if (settings_given(settings, "account.password_file") != NULL)
		return AUTH_PASSWORD;
	if (settings_given(settings, "account.client_id") != NULL ||
	    settings_given(settings, "account.client_secret_file") != NULL)
		return AUTH_CLIENT_SECRET;
	return old_auth(settings);
}

/* Is a setting what it was? */
static bool
is_same(const struct settings *s, const char *name)
{
	const char *now = settings_get(s, name);
	const char *old = settings_old(s, name);

	return now == old ||
	    (now != NULL && old != NULL && strcasecmp(now, old) == 0);
}

static void
drop_unless_given(struct settings *s, const char *name)
{
	if (settings_given(s, name) == NULL)
		settings_drop(s, name);
}

void
questions_settle(struct settings *settings)
{
	enum {
		APPLICATION = 1 << AUTH_CLIENT_SECRET,
		PASSWORD = 1 << AUTH_PASSWORD,
		NONE = 1 << AUTH_NONE
	};
	static const struct {
		const char *name;
		int ways;
	} rows[] = {
		{ "account.tenant", APPLICATION },
		{ "account.client_id", APPLICATION },
		{ "account.client_secret_file", APPLICATION },
		{ "account.authority", APPLICATION },
		{ "account.scope", APPLICATION },
		{ "account.password_file", PASSWORD },
		{ "account.login", PASSWORD },
		{ "account.host", PASSWORD | NONE },
		{ "account.port", PASSWORD | NONE },
	};
	enum auth_kind auth = questions_auth(settings);
	bool is_other = auth != old_auth(settings);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (is_other && (rows[i].ways & 1 << auth) == 0)
			drop_unless_given(settings, rows[i].name);
	/* Another server; Microsoft's takes the mailbox for a user name. */
	if (!is_same(settings, "account.host")) {
		drop_unless_given(settings, "account.port");
		if (settings_get(settings, "account.host") == NULL)
			drop_unless_given(settings, "account.login");
	}
	/* The file of the secret says it. */
	if (auth != AUTH_NONE &&
	    (is_other || settings_old(settings, "account.auth") == NULL))
		settings_drop(settings, "account.auth");
}

/* ---- when, and what to suggest ---- */

static bool
always(const struct settings *s)
{
	(void)s;
	return true;
}

static bool
is_application(const struct settings *s)
{
	return questions_auth(s) == AUTH_CLIENT_SECRET;
}

static bool
is_no_application(const struct settings *s)
{
	return !is_application(s);
}

static bool
is_open_relay(const struct settings *s)
{
	return questions_auth(s) == AUTH_NONE &&
	    settings_get(s, "direct_send.enabled") == NULL;
}

static bool
is_closed_relay(const struct settings *s)
{
	return questions_auth(s) == AUTH_PASSWORD &&
	    settings_get(s, "account.host") != NULL;
}

static char *
suggest_auth(const struct settings *s)
{
	enum auth_kind kind = questions_auth(s);

	return xstrdup(value_auth_name(&kind));
}

static char *
suggest_host(const struct settings *s)
{
	return questions_auth(s) == AUTH_PASSWORD
	    ? xstrdup(cloud_get(CLOUD_WORLDWIDE)->host)
	    : NULL;
}

static char *
suggest_user(const struct settings *s)
{
	const char *user = settings_get(s, "account.user");

	return user != NULL && user[0] != '{' ? xstrdup(user) : NULL;
}

static char *
suggest_domain(const struct settings *s)
{
	const char *user = settings_get(s, "account.user");
	char *domain = NULL;
	struct failure f;
	struct mailbox m;

	if (user == NULL || user[0] == '{' ||
	    value_parse_address(span_of(user), &m, &f) == -1)
		return NULL;
	domain = xstrdup(m.domain);
	mailbox_done(&m);
	return domain;
}

static const struct question questions[] = {
	{ QUESTIONS_ACCOUNT, KIND_PLAIN, "--user", "account.user",
	    "The mailbox that signs in", NULL, always, NULL },
	{ QUESTIONS_ACCOUNT, KIND_PLAIN, "--auth", "account.auth",
	    "It signs in with client-secret (OAuth), password, or none", NULL,
	    NULL, suggest_auth },
	{ QUESTIONS_ACCOUNT, KIND_DEFAULT, "--host", "account.host",
	    "The server that takes the mail", is_no_application, is_open_relay,
	    suggest_host },
	{ QUESTIONS_ACCOUNT, KIND_DEFAULT, "--login", "account.login",
	    "The user name there", is_closed_relay, NULL, suggest_user },
	{ QUESTIONS_ACCOUNT, KIND_PLAIN, "--tenant", "account.tenant",
	    "The directory (tenant) ID, or a domain of the tenant",
	    is_application, is_application, suggest_domain },
	{ QUESTIONS_ACCOUNT, KIND_PLAIN, "--client-id", "account.client_id",
	    "The application (client) ID in Entra", is_application,
	    is_application, NULL },
	{ QUESTIONS_NAMES, KIND_OPTIONAL, "--domain", "rewrite.domain",
	    "The domain of names without one, such as root (-: none)", NULL,
	    NULL, suggest_domain },
	{ QUESTIONS_NAMES, KIND_OPTIONAL, "--root", "aliases.root",
	    "Who gets the mail of root, such as cron's (-: nobody)", NULL, NULL,
	    suggest_user },
};

/* What an empty answer means, for free(). */
static char *
suggestion_for(const struct settings *s, const struct question *q)
{
	const char *old = settings_get(s, q->name);

	if (old != NULL)
		return xstrdup(old);
	if (q->kind == KIND_OPTIONAL && s->line_count > 0)
		return xstrdup("-");
	return q->suggest != NULL ? q->suggest(s) : NULL;
}

/* ---- answers ---- */

/* What the file has no need to say. */
static bool
is_default(
    const struct settings *s, const struct question *q, const char *answer)
{
	char *suggestion;
	bool is_same;

	if (q->kind != KIND_DEFAULT)
		return q->kind == KIND_OPTIONAL && strcmp(answer, "-") == 0;
	suggestion = q->suggest(s);
	is_same = suggestion != NULL && strcmp(answer, suggestion) == 0;
	free(suggestion);
	return is_same;
}

/* A mailbox whose domain was not cut short; answer is what was understood, the
 * address alone. */
static int
tidy_address(struct buf *answer, struct failure *f)
{
	struct mailbox m;
	int r = value_parse_address(buf_view(answer), &m, f);

	if (r == -1)
		return -1;
	if (strchr(m.domain, '.') == NULL || m.domain[0] == '[')
		r = failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is no whole domain, such as contoso.com", m.domain);
	buf_reset(answer);
	(void)mailbox_write_address(answer, &m);
	if (r == 0 && answer->s[0] == '"')
		r = failure_set(f, FAILURE_CONFIG,
		    "%s has to be in quotes, and no mailbox is called so: is "
		    "there a dot too many?",
		    answer->s);
	mailbox_done(&m);
	return r;
}

/* In any case, and by the name that it has in the question as well. */
static int
tidy_auth(struct buf *answer)
{
	const enum auth_kind oauth = AUTH_CLIENT_SECRET;
	char *name = buf_take(answer);
	int r;

	for (char *s = name; *s != '\0'; s++)
		*s = ascii_lower(*s);
	r = buf_puts(answer,
	    strcmp(name, "oauth") == 0 ? value_auth_name(&oauth) : name);
	free(name);
	return r;
}

/* The two stand beside each other on the application's page. */
static int
check_client_id(const struct settings *s, const char *answer, struct failure *f)
{
	const char *tenant = settings_get(s, "account.tenant");

	if (tenant == NULL || strcasecmp(tenant, answer) != 0)
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "this was the answer for the tenant, too; if it was wrong there, "
	    "press Ctrl-C and begin again");
}

/* What is likely to be a mistake, though the file may have it: {sender}, a
 * list. */
static int
check_answer(const struct settings *s, const struct question *q,
    struct buf *answer, struct failure *f)
{
	if (strcmp(q->name, "account.user") == 0 ||
	    strcmp(q->name, "aliases.root") == 0)
		return tidy_address(answer, f);
	if (strcmp(q->name, "account.auth") == 0)
		return tidy_auth(answer);
	if (strcmp(q->name, "account.client_id") == 0)
		return check_client_id(s, answer->s, f);
	return 0;
}

static int
take_answer(struct settings *s, const struct question *q, struct buf *answer,
    struct failure *f)
{
	const char *old = settings_get(s, q->name);

	/* A NUL would hide what stands behind it. */
	if (strlen(answer->s) != answer->len)
		return failure_set(
		    f, FAILURE_USAGE, "a control character is in it");
	if (is_default(s, q, answer->s)) {
		settings_drop(s, q->name);
		return 0;
	}
	if (old != NULL && strcmp(answer->s, old) == 0)
		return 0;
	if (check_answer(s, q, answer, f) == -1)
		return -1;
	return settings_add(s, q->name, answer->s, f);
}

/* Until the answer is right. */
static int
ask(struct settings *s, const struct question *q, struct failure *f)
{
	char *suggestion = suggestion_for(s, q);
	struct buf answer;
	struct failure reason;
	bool is_taken = false;
	int r = 0;

	buf_init(&answer, ASK_ANSWER_MAX);
	while (r == 0 && !is_taken) {
		r = ask_line(q->text, suggestion, &answer, f);
		if (r == -1)
			break;
		is_taken = take_answer(s, q, &answer, &reason) == 0;
		if (!is_taken)
			ask_complain(&reason);
	}
	buf_done(&answer);
	free(suggestion);
	return r;
}

/* To whoever is asked, above the first question. */
static void
introduce(void)
{
	(void)fputs("An empty answer means what is in brackets; nothing is "
		    "written before the last.\n\n",
	    stderr);
}

int
questions_answer(struct settings *settings, enum questions_about about,
    bool is_interactive, struct failure *f)
{
	size_t count = sizeof(questions) / sizeof(questions[0]);
	bool is_first = about == QUESTIONS_ACCOUNT;

	for (size_t i = 0; i < count; i++) {
		const struct question *q = &questions[i];

		if (q->about != about ||
		    settings_given(settings, q->name) != NULL ||
		    (q->applies != NULL && !q->applies(settings)))
			continue;
		if (is_interactive && is_first)
			introduce();
		is_first = false;
		if (is_interactive && ask(settings, q, f) == -1)
			return -1;
		if (!is_interactive &&
		    settings_get(settings, q->name) == NULL &&
		    q->is_required != NULL && q->is_required(settings))
			return failure_set(f, FAILURE_USAGE,
			    "%s is missing: %s; at a terminal, setup asks for "
			    "it",
			    q->option, q->text);
	}
	return 0;
}

/* ---- the secret ---- */

static int
read_all(int fd, const char *name, struct buf *out, struct failure *f)
{
	char block[1024];
	ssize_t n;

	do {
		n = fd_read(fd, block, sizeof(block));
		if (n > 0 && buf_add(out, block, (size_t)n) == -1) {
			explicit_bzero(block, sizeof(block));
			return failure_set(f, FAILURE_USAGE,
			    "%s: more than %d octets are no secret", name,
			    CONFIG_SECRET_MAX);
		}
	} while (n > 0);
	explicit_bzero(block, sizeof(block));
	if (n == -1)
		return failure_os(f, FAILURE_USAGE, errno, "read %s", name);
	return config_clean_secret(name, out, f);
}

static int
read_secret(const char *file, struct buf *out, struct failure *f)
{
	int fd;
	int r;

	if (strcmp(file, "-") == 0)
		return read_all(STDIN_FILENO, "standard input", out, f);
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		return failure_os(f, FAILURE_USAGE, errno, "%s", file);
	r = read_all(fd, file, out, f);
	fd_close(&fd);
	return r;
}

/* Can it be one?  A blank around a client secret came along with a paste. */
static int
check_secret(bool is_application, struct buf *secret, struct failure *f)
{
	if (is_application)
		ask_tidy(secret);
	if (secret->len == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "it is empty; it is not shown, but it is taken: paste it, "
		    "and press Enter");
	if (config_clean_secret("what you typed", secret, f) == -1)
		return -1;
	if (is_application && config_secret_looks_like_id(buf_view(secret)))
		return failure_set(f, FAILURE_CONFIG,
		    "this is the secret's ID; its Value is shown only once, "
		    "when the secret is created");
	if (is_application && config_secret_has_strange(buf_view(secret)))
		return failure_set(f, FAILURE_CONFIG,
		    "a blank, a quotation mark or what is not ASCII is in it, "
		    "which Entra puts into none; copy the Value alone");
	return 0;
}

/* Until something is there that can be one, or nothing that means the old. */
static int
ask_for_secret(
    bool is_application, bool has_old, struct buf *out, struct failure *f)
{
	char *text = xasprintf("%s (it is not shown%s)",
	    is_application ? "The client secret's Value" : "The password",
	    has_old ? "; empty: as it is" : "");
	struct failure reason;
	bool is_taken = false;
	int r = 0;

	while (r == 0 && !is_taken) {
		r = ask_secret(text, out, f);
		if (r == -1)
			break;
		is_taken = (has_old && out->len == 0) ||
		    check_secret(is_application, out, &reason) == 0;
		if (!is_taken)
			ask_complain(&reason);
	}
	free(text);
	return r;
}

/* Does the secret that is there belong to what signs in? */
static bool
is_same_identity(const struct settings *s, bool is_application)
{
	if (is_application)
		return is_same(s, "account.client_id");
	return is_same(s, "account.host") && is_same(s, "account.login") &&
	    (settings_get(s, "account.login") != NULL ||
		is_same(s, "account.user"));
}

/* The file that goes on to be used where no other secret is given; or NULL. */
static const char *
find_kept(const struct settings *s, const struct account *old)
{
	bool is_application = questions_auth(s) == AUTH_CLIENT_SECRET;

	if (old == NULL || !is_same_identity(s, is_application))
		return NULL;
	return is_application ? old->client_secret_file : old->password_file;
}

/* Can the file be read? */
static int
check_kept(const char *file, struct failure *f)
{
	struct buf secret;
	int r = config_read_secret(file, &secret, f);

	buf_done(&secret);
	return r;
}

int
questions_secret(const struct settings *settings, const char *file,
    const struct account *old, bool is_interactive, struct buf *out,
    struct failure *f)
{
	bool is_app = questions_auth(settings) == AUTH_CLIENT_SECRET;
	bool is_needed = questions_auth(settings) != AUTH_NONE &&
	    settings_given(settings,
		is_app ? "account.client_secret_file"
		       : "account.password_file") == NULL;
	const char *kept = find_kept(settings, old);

	buf_init_secret(out, CONFIG_SECRET_MAX);
	if (!is_needed && file == NULL)
		return 0;
	if (!is_needed)
		return failure_set(f, FAILURE_USAGE,
		    "--secret-file is given, and no secret is needed");
	if (file != NULL && (strcmp(file, "-") != 0 || !is_interactive))
		return read_secret(file, out, f);
	if (kept != NULL && check_kept(kept, f) == -1) {
		if (!is_interactive)
			return failure_at(f, "without --secret-file");
		ask_complain(f);
		kept = NULL;
	}
	if (is_interactive)
		return ask_for_secret(is_app, kept != NULL, out, f);
	if (kept != NULL)
		return 0;
	return failure_set(f, FAILURE_USAGE,
	    "--secret-file is missing: a file with the %s, or - for standard "
	    "input",
	    is_app ? "client secret's Value" : "password");
}

/* ---- the test ---- */

/* Root's mail may go to several, or to another name. */
static char *
suggest_test(const struct settings *s)
{
	const char *root = settings_get(s, "aliases.root");
	struct failure f;
	struct mailbox m;

	if (root == NULL || value_parse_address(span_of(root), &m, &f) == -1)
		return suggest_user(s);
	mailbox_done(&m);
	return xstrdup(root);
}

char *
questions_test(const struct settings *settings)
{
	char *suggestion = suggest_test(settings);
	struct failure f;
	struct mailbox m;
	struct buf answer;
	char *out = NULL;

	buf_init(&answer, ASK_ANSWER_MAX);
	while (ask_line("When that is done: send a test mail to (-: none)",
		   suggestion, &answer, &f) == 0 &&
	    strcmp(answer.s, "-") != 0) {
		if (value_parse_address(buf_view(&answer), &m, &f) == 0) {
			mailbox_done(&m);
			out = xstrdup(answer.s);
			break;
		}
		ask_complain(&f);
	}
	buf_done(&answer);
	free(suggestion);
	return out;
}
