#include "setup_questions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/values.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "setup_ask.h"
#include "setup_settings.h"

/* One thing that may have to be known. */
struct question {
	enum questions_about about;
	const char *option; /* that answers it as well */
	const char *name;   /* of the setting */
	const char *text;
	/* NULL: always */
	bool (*applies)(const struct settings *s);
	/* Must be known, asked or not?  NULL: never */
	bool (*is_required)(const struct settings *s);
	/* What an empty answer means; for free().  NULL: nothing */
	char *(*suggest)(const struct settings *s);
};

enum auth_kind
questions_auth(const struct settings *settings)
{
	const char *auth = settings_get(settings, "account.auth");

	if (auth != NULL && strcmp(auth, "none") == 0)
		return AUTH_NONE;
	if (auth != NULL)
		return strcmp(auth, "password") == 0 ? AUTH_PASSWORD
						     : AUTH_CLIENT_SECRET;
	return settings_get(settings, "account.password_file") != NULL
	    ? AUTH_PASSWORD
	    : AUTH_CLIENT_SECRET;
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
	(void)s;
	return xstrdup("client-secret");
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
	const char *at = user != NULL ? strrchr(user, '@') : NULL;

	return at != NULL ? xstrdup(at + 1) : NULL;
}

static const struct question questions[] = {
	{ QUESTIONS_ACCOUNT, "--user", "account.user",
	    "The mailbox that signs in", NULL, always, NULL },
	{ QUESTIONS_ACCOUNT, "--auth", "account.auth",
	    "It signs in with client-secret (OAuth), password, or none", NULL,
	    NULL, suggest_auth },
	{ QUESTIONS_ACCOUNT, "--host", "account.host",
	    "The server that takes the mail", is_no_application, is_open_relay,
	    suggest_host },
	{ QUESTIONS_ACCOUNT, "--login", "account.login", "The user name there",
	    is_closed_relay, NULL, suggest_user },
	{ QUESTIONS_ACCOUNT, "--tenant", "account.tenant",
	    "The directory (tenant) ID, or a domain of the tenant",
	    is_application, is_application, suggest_domain },
	{ QUESTIONS_ACCOUNT, "--client-id", "account.client_id",
	    "The application (client) ID in Entra", is_application,
	    is_application, NULL },
	{ QUESTIONS_NAMES, "--domain", "rewrite.domain",
	    "The domain of names without one, such as root (-: none)", NULL,
	    NULL, suggest_domain },
	{ QUESTIONS_NAMES, "--root", "aliases.root",
	    "Who gets the mail of root, such as cron's (-: nobody)", NULL, NULL,
	    suggest_user },
};

/* ---- answers ---- */

/* What the file has no need to say. */
static bool
is_default(
    const struct settings *s, const struct question *q, const char *answer)
{
	char *suggestion;
	bool is_same;

	if (q->is_required != always && strcmp(answer, "-") == 0)
		return true;
	if (q->applies != is_no_application && q->applies != is_closed_relay)
		return false;
	suggestion = q->suggest(s);
	is_same = suggestion != NULL && strcmp(answer, suggestion) == 0;
	free(suggestion);
	return is_same;
}

/* A mailbox whose domain was not cut short. */
static int
check_address(const char *answer, struct failure *f)
{
	struct mailbox m;
	int r = value_parse_address(span_of(answer), &m, f);

	if (r == -1)
		return -1;
	if (strchr(m.domain, '.') == NULL)
		r = failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is no whole domain, such as contoso.com", m.domain);
	mailbox_done(&m);
	return r;
}

static int
take_answer(struct settings *s, const struct question *q, const char *answer,
    struct failure *f)
{
	if (is_default(s, q, answer))
		return 0;
	/* The file may have more there: {sender}, a list. */
	if ((strcmp(q->name, "account.user") == 0 ||
		strcmp(q->name, "aliases.root") == 0) &&
	    check_address(answer, f) == -1)
		return -1;
	return settings_add(s, q->name, answer, f);
}

/* Until the answer is right. */
static int
ask(struct settings *s, const struct question *q, struct failure *f)
{
	char *suggestion = q->suggest != NULL ? q->suggest(s) : NULL;
	struct buf answer;
	struct failure reason;
	bool is_taken = false;
	int r = 0;

	buf_init(&answer, ASK_ANSWER_MAX);
	while (r == 0 && !is_taken) {
		r = ask_line(q->text, suggestion, &answer, f);
		if (r == -1)
			break;
		/* A NUL would hide what stands behind it. */
		if (strlen(answer.s) == answer.len)
			is_taken = take_answer(s, q, answer.s, &reason) == 0;
		else
			(void)failure_set(&reason, FAILURE_USAGE,
			    "a control character is in it");
		if (!is_taken)
			ask_complain(&reason);
	}
	buf_done(&answer);
	free(suggestion);
	return r;
}

int
questions_answer(struct settings *settings, enum questions_about about,
    bool is_interactive, struct failure *f)
{
	size_t count = sizeof(questions) / sizeof(questions[0]);

	for (size_t i = 0; i < count; i++) {
		const struct question *q = &questions[i];

		if (q->about != about ||
		    settings_get(settings, q->name) != NULL ||
		    (q->applies != NULL && !q->applies(settings)))
			continue;
		if (is_interactive) {
			if (ask(settings, q, f) == -1)
				return -1;
		} else if (q->is_required != NULL && q->is_required(settings)) {
			return failure_set(f, FAILURE_USAGE,
			    "%s is missing: %s; at a terminal, setup asks for "
			    "it",
			    q->option, q->text);
		}
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

/* Until something is there that can be one. */
static int
ask_for_secret(bool is_application, struct buf *out, struct failure *f)
{
	const char *text = is_application
	    ? "The client secret's Value (it is not shown)"
	    : "The password (it is not shown)";
	struct failure reason;

	for (;;) {
		if (ask_secret(text, out, f) == -1)
			return -1;
		if (config_clean_secret("what you typed", out, &reason) == -1)
			ask_complain(&reason);
		else if (is_application &&
		    config_secret_looks_like_id(buf_view(out)))
			ask_complain(&(struct failure){
			    .text = "this is the secret's ID; its Value is "
				    "shown only once, when the secret is "
				    "created" });
		else
			return 0;
	}
}

int
questions_secret(const struct settings *settings, const char *file,
    bool is_interactive, struct buf *out, struct failure *f)
{
	enum auth_kind auth = questions_auth(settings);
	bool is_app = auth == AUTH_CLIENT_SECRET;
	const char *key =
	    is_app ? "account.client_secret_file" : "account.password_file";
	bool is_needed =
	    auth != AUTH_NONE && settings_get(settings, key) == NULL;

	buf_init_secret(out, CONFIG_SECRET_MAX);
	if (!is_needed && file == NULL)
		return 0;
	if (!is_needed)
		return failure_set(f, FAILURE_USAGE,
		    "--secret-file is given, and no secret is needed");
	if (file != NULL && (strcmp(file, "-") != 0 || !is_interactive))
		return read_secret(file, out, f);
	if (is_interactive)
		return ask_for_secret(is_app, out, f);
	return failure_set(f, FAILURE_USAGE,
	    "--secret-file is missing: a file with the %s, or - for standard "
	    "input",
	    is_app ? "client secret's Value" : "password");
}

/* ---- the test ---- */

char *
questions_test(const struct settings *settings)
{
	const char *root = settings_get(settings, "aliases.root");
	char *suggestion =
	    root != NULL ? xstrdup(root) : suggest_user(settings);
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
