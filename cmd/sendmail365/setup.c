#include <sys/stat.h>

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "check.h"
#include "command.h"
#include "config/conffile.h"
#include "config/config.h"
#include "config/values.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/log.h"
#include "core/service.h"
#include "setup_ask.h"
#include "setup_questions.h"
#include "setup_settings.h"
#include "setup_steps.h"
#include "setup_text.h"
#include "setup_write.h"
#include "submit.h"

static const char usage[] =
    "setup [-C FILE] [-v] [--replace] [--user MAILBOX] [--auth KIND]\n"
    "           [--tenant TENANT] [--client-id ID] [--secret-file FILE|-]\n"
    "           [--host HOST] [--login NAME] [--domain DOMAIN]\n"
    "           [--root ADDRESS] [--default ADDRESS] [--direct-send]\n"
    "           [--set SECTION.KEY=VALUE]... [--test ADDRESS | --no-test]\n"
    "       sendmail365 setup --print [-C FILE]";

enum {
	OPT_SET = 256,
	OPT_DIRECT_SEND,
	OPT_SECRET_FILE,
	OPT_REPLACE,
	OPT_PRINT,
	OPT_TEST,
	OPT_NO_TEST,
	OPT_SETTING /* and above: rows of setting_names */
};

/* What the options from OPT_SETTING on stand for. */
static const char *const setting_names[] = {
	"account.user",
	"account.auth",
	"account.tenant",
	"account.client_id",
	"account.host",
	"account.login",
	"rewrite.domain",
	"aliases.root",
	"aliases.default",
};

static const struct option long_options[] = {
	{ "user", required_argument, NULL, OPT_SETTING },
	{ "auth", required_argument, NULL, OPT_SETTING + 1 },
	{ "tenant", required_argument, NULL, OPT_SETTING + 2 },
	{ "client-id", required_argument, NULL, OPT_SETTING + 3 },
	{ "host", required_argument, NULL, OPT_SETTING + 4 },
	{ "login", required_argument, NULL, OPT_SETTING + 5 },
	{ "domain", required_argument, NULL, OPT_SETTING + 6 },
	{ "root", required_argument, NULL, OPT_SETTING + 7 },
	{ "default", required_argument, NULL, OPT_SETTING + 8 },
	{ "direct-send", no_argument, NULL, OPT_DIRECT_SEND },
	{ "set", required_argument, NULL, OPT_SET },
	{ "secret-file", required_argument, NULL, OPT_SECRET_FILE },
	{ "replace", no_argument, NULL, OPT_REPLACE },
	{ "print", no_argument, NULL, OPT_PRINT },
	{ "test", required_argument, NULL, OPT_TEST },
	{ "no-test", no_argument, NULL, OPT_NO_TEST },
	{ "verbose", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

struct setup {
	const char *config_path;
	const char *secret_file;
	const char *test_address;
	bool has_no_test;
	bool is_replacing;
	bool is_printing;
	bool is_verbose;
	bool is_interactive;
	struct settings settings;
	struct setup_place place;
	struct config *old; /* whose values are kept; NULL: none */
	struct buf secret;
	char *secret_name; /* in the configuration; NULL: there is no secret */
	struct buf text;   /* of the configuration */
};

/* A line for people; what they gave may be in it. */
static void
say(const char *text)
{
	char shown[FAILURE_TEXT_SIZE];

	log_escape(shown, sizeof(shown), text, strlen(text));
	(void)printf("%s\n", shown);
}

/* ---- command line ---- */

/* --set SECTION.KEY=VALUE */
static int
take_set(struct settings *settings, const char *text, struct failure *f)
{
	const char *equals = strchr(text, '=');
	char *name;
	int r;

	if (equals == NULL)
		return failure_set(f, FAILURE_USAGE,
		    "--set %s: write SECTION.KEY=VALUE", text);
	name = xstrndup(text, (size_t)(equals - text));
	r = settings_add(settings, name, equals + 1, f);
	if (r == -1)
		(void)failure_at(f, "--set %s", name);
	free(name);
	return r;
}

static int
take_setting(
    struct settings *settings, int i, const char *value, struct failure *f)
{
	if (settings_add(settings, setting_names[i], value, f) == 0)
		return 0;
	return failure_at(f, "--%s", long_options[i].name);
}

static int
take_test(struct setup *s, const char *address, struct failure *f)
{
	struct mailbox m;

	s->test_address = address;
	if (value_parse_address(span_of(address), &m, f) == -1)
		return failure_at(f, "--test");
	mailbox_done(&m);
	return 0;
}

/* 0, or -1 with a failure, whose kind is FAILURE_NONE for what is no option. */
static int
take_option(struct setup *s, int c, struct failure *f)
{
	switch (c) {
	case 'C':
		s->config_path = optarg;
		return 0;
	case 'v':
		s->is_verbose = true;
		return 0;
	case OPT_SET:
		return take_set(&s->settings, optarg, f);
	case OPT_DIRECT_SEND:
		return settings_add(
		    &s->settings, "direct_send.enabled", "yes", f);
	case OPT_SECRET_FILE:
		s->secret_file = optarg;
		return 0;
	case OPT_REPLACE:
		s->is_replacing = true;
		return 0;
	case OPT_PRINT:
		s->is_printing = true;
		return 0;
	case OPT_TEST:
		return take_test(s, optarg, f);
	case OPT_NO_TEST:
		s->has_no_test = true;
		return 0;
	default:
		if (c >= OPT_SETTING)
			return take_setting(
			    &s->settings, c - OPT_SETTING, optarg, f);
		f->kind = FAILURE_NONE;
		return -1;
	}
}

/* EX_OK, or the status to end with. */
static int
take_options(struct setup *s, int argc, char **argv)
{
	struct failure f;
	int c;

	while (
	    (c = getopt_long(argc, argv, "+C:v", long_options, NULL)) != -1) {
		if (take_option(s, c, &f) == 0)
			continue;
		if (f.kind == FAILURE_NONE)
			return command_usage(usage);
		f.kind = FAILURE_USAGE;
		return command_fail(&f);
	}
	if (optind < argc || (s->has_no_test && s->test_address != NULL) ||
	    (s->is_printing && (s->settings.count > 0 || s->is_replacing)))
		return command_usage(usage);
	return EX_OK;
}

/* ---- what is to be written ---- */

/* What is there stays, where nobody says otherwise. */
static void
take_over(struct setup *s)
{
	struct failure f;
	struct buf text;
	bool is_private;

	if (!s->place.is_taken)
		return;
	if (conffile_read(s->place.path, &text, &is_private, &f) == 0 &&
	    config_parse(s->place.path, s->place.directory, buf_view(&text),
		&s->old, &f) == 0) {
		text_take_over(&s->settings, s->old, buf_view(&text));
		setup_place_keep_mode(&s->place);
	} else {
		(void)failure_at(&f, "nothing is taken over from the old one");
		ask_complain(&f);
	}
	buf_done(&text);
}

static int
name_secret(struct setup *s, struct failure *f)
{
	bool is_app = questions_auth(&s->settings) == AUTH_CLIENT_SECRET;

	if (s->secret.len == 0)
		return 0;
	s->secret_name = setup_secret_name(&s->place, s->old,
	    is_app ? "client-secret" : "password", buf_view(&s->secret));
	return settings_add(&s->settings,
	    is_app ? "account.client_secret_file" : "account.password_file",
	    s->secret_name, f);
}

/* As it will be read. */
static int
compose(struct setup *s, struct failure *f)
{
	struct config *config = NULL;
	int r;

	if (name_secret(s, f) == -1)
		return -1;
	questions_settle(&s->settings);
	if (text_write(&s->settings, &s->text) == -1)
		return failure_set(
		    f, FAILURE_USAGE, "these are too many settings");
	r = config_parse(
	    s->place.path, s->place.directory, buf_view(&s->text), &config, f);
	config_free(&config);
	if (r == -1)
		(void)failure_at(f, "nothing is written, since this is wrong");
	return r;
}

static int
write_files(struct setup *s, struct failure *f)
{
	const struct setup_files files = {
		.text = buf_view(&s->text),
		.secret_name = s->secret_name,
		.secret = buf_view(&s->secret),
	};
	char *line;

	if (setup_write(&s->place, &files, f) == -1)
		return failure_at(f, "nothing is changed");
	line = xasprintf("Wrote %s%s%s.%s", s->place.path,
	    s->secret_name != NULL ? ", with the secret in " : "",
	    s->secret_name != NULL ? s->secret_name : "",
	    s->place.is_taken ? " The old configuration is beside it: .old."
			      : "");
	say(line);
	free(line);
	return 0;
}

/* From the name of the secret on, nobody else writes there. */
static int
write_all(struct setup *s, struct failure *f)
{
	int r;

	if (setup_place_lock(&s->place, f) == -1)
		return failure_at(f, "nothing is changed");
	r = compose(s, f);
	if (r == 0)
		r = write_files(s, f);
	setup_place_unlock(&s->place);
	return r;
}

/* ---- the service ---- */

/* One that runs has the old configuration, and copies of the old secrets. */
static void
say_restart(const struct config *config)
{
	struct stat st;

	if (stat(config->service_socket, &st) == 0)
		(void)printf("\nTo have the service take it, %s.\n",
		    service_how_to_restart());
}

/* ---- the test mail ---- */

/* Status of the program. */
static int
send_test(
    const struct setup *s, const struct config *config, const char *address)
{
	const char *option = s->config_path != NULL ? " -C " : "";
	const char *path = s->config_path != NULL ? s->place.path : "";
	struct failure f;
	char *line;

	log_open("sendmail365", LOG_TO_STDERR,
	    s->is_verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (submit_test(config, address, &f) == 0) {
		line = xasprintf("The test mail to %s is on its way.", address);
		say(line);
		free(line);
		return EX_OK;
	}
	line = xasprintf("The configuration is written. To change an answer: "
			 "sendmail365 setup --replace%s%s",
	    option, path);
	say(line);
	free(line);
	line = xasprintf("To repeat the test: echo test | "
			 "sendmail365 submit -v%s%s %s",
	    option, path, address);
	say(line);
	free(line);
	(void)fflush(stdout);
	return command_fail(&f);
}

static int
offer_test(const struct setup *s, const struct config *config)
{
	char *address = NULL;
	int status = EX_OK;

	if (s->has_no_test)
		return EX_OK;
	(void)printf("\n");
	(void)fflush(stdout);
	if (s->test_address != NULL)
		return send_test(s, config, s->test_address);
	if (s->is_interactive)
		address = questions_test(&s->settings);
	if (address != NULL)
		status = send_test(s, config, address);
	free(address);
	return status;
}

/* ---- all of it ---- */

/* The files are there: look at them, and say what remains to be done. */
static int
finish(const struct setup *s)
{
	struct config *config = NULL;
	struct failure f;
	int checked = EX_OK;
	int status;

	if (config_load(s->place.path, &config, &f) == -1)
		return command_fail(&f);
	if (check_config(config, &f) == -1)
		checked = command_fail(&f);
	setup_steps(stdout, config);
	say_restart(config);
	status = offer_test(s, config);
	config_free(&config);
	return status != EX_OK ? status : checked;
}

static int
run(struct setup *s)
{
	struct failure f;

	s->is_interactive = ask_is_possible();
	if (setup_place_find(s->config_path, s->is_replacing, &s->place, &f) ==
	    -1)
		return command_fail(&f);
	take_over(s);
	if (questions_answer(
		&s->settings, QUESTIONS_ACCOUNT, s->is_interactive, &f) == -1 ||
	    questions_secret(&s->settings, s->secret_file,
		s->old != NULL ? text_account(s->old) : NULL, s->is_interactive,
		&s->secret, &f) == -1 ||
	    questions_answer(
		&s->settings, QUESTIONS_NAMES, s->is_interactive, &f) == -1 ||
	    write_all(s, &f) == -1)
		return command_fail(&f);
	return finish(s);
}

static int
print_steps(const struct setup *s)
{
	struct config *config = NULL;
	struct failure f;

	if (config_load(s->config_path, &config, &f) == -1)
		return command_fail(&f);
	setup_steps(stdout, config);
	config_free(&config);
	return EX_OK;
}

int
command_setup(int argc, char **argv)
{
	struct setup s = { .config_path = NULL };
	int status;

	settings_init(&s.settings);
	buf_init_secret(&s.text, CONFFILE_MAX_BYTES);
	buf_init_secret(&s.secret, 0);
	status = take_options(&s, argc, argv);
	if (status == EX_OK)
		status = s.is_printing ? print_steps(&s) : run(&s);
	setup_place_done(&s.place);
	config_free(&s.old);
	settings_done(&s.settings);
	buf_done(&s.secret);
	buf_done(&s.text);
	free(s.secret_name);
	return status;
}
