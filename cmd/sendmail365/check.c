#include "check.h"

#include <sys/stat.h>

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include <openssl/types.h>

#include "as_service.h"
#include "command.h"
#include "config/cloud.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/aliases.h"
#include "mail/intake.h"
#include "oauth/token.h"
#include "smtp/tls.h"

static const char usage[] = "check [-C FILE]";

/* "PATH: TEXT"; the path may be named by anyone. */
static void
say(const char *path, const char *text)
{
	char shown[FAILURE_TEXT_SIZE];

	log_escape(shown, sizeof(shown), path, strlen(path));
	(void)printf("%s: %s\n", shown, text);
}

bool
check_loses_passwords(const struct account *account)
{
	const char *host = account->host;

	return strcasecmp(host, cloud_get(account->cloud)->host) == 0 ||
	    strcasecmp(host, "smtp-legacy.office365.com") == 0 ||
	    strcasecmp(host, "smtp-mail.outlook.com") == 0;
}

/* NULL: none is needed. */
static const char *
secret_file(const struct account *account)
{
	if (account->auth == AUTH_NONE)
		return NULL;
	return account->auth == AUTH_CLIENT_SECRET ? account->client_secret_file
						   : account->password_file;
}

static void
warn_of_client_secret(const char *path, struct span secret)
{
	if (config_secret_looks_like_id(secret))
		say(path,
		    "warning: this looks like the secret's ID; Entra wants "
		    "its Value, which is shown only once, when the secret is "
		    "created");
	else if (config_secret_has_strange(secret))
		say(path,
		    "warning: a blank, a quotation mark or what is not ASCII "
		    "is in this secret, which Entra puts into none; paste it "
		    "again");
}

static int
check_secret(const struct account *account, struct failure *f)
{
	const char *path = secret_file(account);
	struct buf secret;
	int r;

	if (path == NULL)
		return 0;
	buf_init_secret(&secret, TOKEN_MAX_BYTES);
	r = config_read_secret(path, &secret, f);
	if (r == 0 && account->auth == AUTH_CLIENT_SECRET)
		warn_of_client_secret(path, buf_view(&secret));
	if (r == 0 && account->auth == AUTH_PASSWORD &&
	    check_loses_passwords(account))
		say(path,
		    "warning: Microsoft turns off sign-in by password by "
		    "default at the end of December 2026; OAuth "
		    "(client_secret_file) goes on");
	buf_done(&secret);
	return r;
}

static int
check_certificates(const char *ca_file, struct failure *f)
{
	SSL_CTX *tls = NULL;
	int r = config_check_ca_file(ca_file, f);

	if (r == 0)
		r = tls_context_new(ca_file, &tls, f);
	tls_context_free(&tls);
	return r;
}

static int
check_account(const struct account *account, struct failure *f)
{
	if (check_secret(account, f) == -1)
		return -1;
	return check_certificates(account->ca_file, f);
}

/* ---- with the rights of the service ---- */

/* as_service_look */
static int
read_secret(const char *path, struct failure *f)
{
	struct buf secret;
	int r = config_read_secret(path, &secret, f);

	buf_done(&secret);
	return r;
}

/* The service's own view of a file that was found to be right; it may have a
 * copy of it. */
static void
warn_if(const struct config *config, const char *path, as_service_look *look)
{
	struct failure f;
	char *text;

	if (path == NULL || config_is_copied(path) ||
	    as_service(look, path, &f) == 0)
		return;
	text = xasprintf("warning: %s", f.text);
	say(config->path, text);
	free(text);
}

/* What is in the way of the log alone; it goes to syslog then.  Its usual
 * directory is made when the service starts. */
static void
check_log(const struct config *config)
{
	static const char usual[] = LOG_DIRECTORY;
	const char *file = config->log_to.file;
	const size_t len = sizeof(usual) - 1;
	struct stat st;

	if (file == NULL ||
	    (strncmp(file, usual, len) == 0 &&
		strrchr(file, '/') == file + len && lstat(usual, &st) == -1))
		return;
	warn_if(config, file, log_check_file);
}

static void
check_service(const struct config *config)
{
	for (size_t i = 0; i < config->account_count; i++) {
		const struct account *a = &config->accounts[i];

		warn_if(config, secret_file(a), read_secret);
		warn_if(config, a->ca_file, config_check_ca_file);
	}
	warn_if(config, config->direct_send.ca_file, config_check_ca_file);
	check_log(config);
}

/* ---- aliases ---- */

/* aliases_report */
static void
report_alias(void *context, const char *file, int line, const char *problem)
{
	int *count = context;
	char shown_file[FAILURE_TEXT_SIZE];
	char shown[FAILURE_TEXT_SIZE];

	log_escape(shown_file, sizeof(shown_file), file, strlen(file));
	log_escape(shown, sizeof(shown), problem, strlen(problem));
	(void)fprintf(
	    stderr, "sendmail365: %s:%d: %s\n", shown_file, line, shown);
	(*count)++;
}

/* Mail to root, the usual recipient on every host, is to end somewhere. */
static void
check_root(const struct config *config, const struct aliases *aliases)
{
	struct alias_expansion e = { .states = NULL };
	struct mailbox root = { .local = xstrdup("root") };
	size_t bare = 0;

	aliases_expand(aliases, &root, INTAKE_RECIPIENTS_MAX, &e);
	for (size_t i = 0; i < e.recipients.count; i++)
		bare += e.recipients.items[i].domain == NULL;
	if (bare > 0 && config->rewrite_domain == NULL)
		say(config->path,
		    "warning: mail to root, such as cron's, is refused; say "
		    "where it goes: root = ADDRESS in [aliases]");
	alias_expansion_done(&e);
	mailbox_done(&root);
}

/*
 * The file belongs to others too: all that is wrong in it is shown at once, and
 * is no FAILURE_CONFIG: a service can start.
 */
static int
check_aliases(const struct config *config, struct failure *f)
{
	struct aliases *aliases = NULL;
	int problems = 0;

	if (config_load_aliases(config, report_alias, &problems, &aliases, f) ==
	    -1)
		return -1;
	(void)aliases_check(aliases, NULL, report_alias, &problems);
	check_root(config, aliases);
	aliases_free(&aliases);
	if (problems == 0)
		return 0;
	return failure_set(f, FAILURE_DATA,
	    "%d problem%s with aliases, named above; other mail is sent",
	    problems, problems == 1 ? "" : "s");
}

int
check_config(const struct config *config, struct failure *f)
{
	for (size_t i = 0; i < config->account_count; i++)
		if (check_account(&config->accounts[i], f) == -1)
			return -1;
	if (config->direct_send.is_enabled &&
	    check_certificates(config->direct_send.ca_file, f) == -1)
		return -1;
	check_service(config);
	return check_aliases(config, f);
}

int
command_check(int argc, char **argv)
{
	const char *path = NULL;
	struct config *config = NULL;
	struct failure f;
	int r = 0;
	int c;

	while ((c = getopt(argc, argv, "+C:")) != -1) {
		if (c != 'C')
			return command_usage(usage);
		path = optarg;
	}
	if (optind < argc)
		return command_usage(usage);
	if (config_load(path, &config, &f) == -1)
		return command_fail(&f);
	r = check_config(config, &f);
	if (r == 0 && config->state_directory == NULL)
		say(config->path,
		    "warning: there is no state directory: every message asks "
		    "for a token of its own");
	if (r == 0)
		say(config->path, "ok");
	config_free(&config);
	return r == 0 ? EX_OK : command_fail(&f);
}
