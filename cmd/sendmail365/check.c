#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <openssl/types.h>

#include "command.h"
#include "config/config.h"
#include "core/buf.h"
#include "core/failure.h"
#include "oauth/token.h"
#include "smtp/tls.h"

static const char usage[] = "check [-C FILE]";

static void
warn(const char *path, const char *text)
{
	(void)printf("%s: warning: %s\n", path, text);
}

static int
check_secret(const struct account *account, struct failure *f)
{
	const char *path = account->auth == AUTH_CLIENT_SECRET
	    ? account->client_secret_file
	    : account->password_file;
	struct buf secret;
	int r;

	buf_init_secret(&secret, TOKEN_MAX_BYTES);
	r = config_read_secret(path, &secret, f);
	if (r == 0 && account->auth == AUTH_CLIENT_SECRET &&
	    config_secret_looks_like_id(buf_view(&secret)))
		warn(path,
		    "this looks like the secret's ID; Entra wants its "
		    "Value, which is shown only once, when the secret "
		    "is created");
	if (r == 0 && account->auth == AUTH_PASSWORD)
		warn(path,
		    "Microsoft turns off sign-in by password by default "
		    "at the end of December 2026; OAuth "
		    "(client_secret_file) goes on");
	buf_done(&secret);
	return r;
}

static int
check_account(const struct account *account, struct failure *f)
{
	SSL_CTX *tls = NULL;
	int r = check_secret(account, f);

	if (r == 0)
		r = tls_context_new(account->ca_file, &tls, f);
	tls_context_free(&tls);
	return r;
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
	for (size_t i = 0; i < config->account_count && r == 0; i++)
		r = check_account(&config->accounts[i], &f);
	if (r == 0 && config->state_directory == NULL)
		warn(config->path,
		    "there is no state directory: every message asks for a "
		    "token of its own");
	if (r == 0)
		(void)printf("%s: ok\n", config->path);
	config_free(&config);
	return r == 0 ? EX_OK : command_fail(&f);
}
