/*
 * sendmail365 - everything but the compatible front end; see sendmail365(8)
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "command.h"
#include "core/failure.h"
#include "core/log.h"
#include "core/proc.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "submit", command_submit, "send one message from standard input" },
	{ "serve", command_serve,
	    "take messages from local programs and send them" },
	{ "setup", command_setup, "ask, and write a first configuration" },
	{ "queue", command_queue, "list, show and change queued messages" },
	{ "check", command_check, "validate the configuration and its files" },
	{ "explain", command_explain,
	    "show what becomes of a sender, or what a code means" },
	{ "verify", command_verify, "say what recipients stand for" },
};

enum {
	N_COMMANDS = sizeof(commands) / sizeof(commands[0])
};

int
command_fail(const struct failure *f)
{
	char shown[FAILURE_TEXT_SIZE];

	log_escape(shown, sizeof(shown), f->text, strlen(f->text));
	(void)fprintf(stderr, "sendmail365: fatal: %s\n", shown);
	return failure_exit_status(f);
}

int
command_usage(const char *usage)
{
	(void)fprintf(stderr, "usage: sendmail365 %s\n", usage);
	return EX_USAGE;
}

static int
print_help(FILE *to, int status)
{
	(void)fprintf(to, "usage: sendmail365 COMMAND [OPTION]...\n\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		(void)fprintf(
		    to, "  %-9s %s\n", commands[i].name, commands[i].summary);
	(void)fprintf(to, "\nSee sendmail365(8) and sendmail365.conf(5).\n");
	return status;
}

static int
run(int argc, char **argv)
{
	if (argc < 2)
		return print_help(stderr, EX_USAGE);
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0)
		return print_help(stdout, EX_OK);
	if (strcmp(argv[1], "--version") == 0) {
		(void)puts("sendmail365 " SENDMAIL365_VERSION);
		return EX_OK;
	}
	(void)fprintf(stderr, "sendmail365: unknown command \"%s\"\n", argv[1]);
	return print_help(stderr, EX_USAGE);
}

int
main(int argc, char **argv)
{
	int status;

	proc_harden();
	proc_drop_environment();
	status = run(argc, argv);
	/* Who asked has not been told, as when the disk is full. */
	if (status == EX_OK && (fflush(stdout) == EOF || ferror(stdout) != 0)) {
		(void)fprintf(stderr,
		    "sendmail365: fatal: cannot write to standard output\n");
		return EX_IOERR;
	}
	return status;
}
