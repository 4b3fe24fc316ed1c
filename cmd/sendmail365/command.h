/*
 * command - the subcommands of sendmail365
 *
 * Each is called with argv beginning at its own name and returns an exit
 * status of sysexits(3).
 */
#ifndef SENDMAIL365_COMMAND_H
#define SENDMAIL365_COMMAND_H

struct failure;

/* Take one message, from our sendmail or from a person, and send it. */
int command_submit(int argc, char **argv);

/* The service: take messages from local programs, and send them. */
int command_serve(int argc, char **argv);

/* Ask what is needed, and write a first configuration. */
int command_setup(int argc, char **argv);

/* List, show and change queued messages. */
int command_queue(int argc, char **argv);

/* Try every message that is due now, and return: without the service. */
int serve_once(const char *config_path);

/* Say whether the configuration and its files can be used. */
int command_check(int argc, char **argv);

/* Show what would happen to a sender's mail, or what a code means. */
int command_explain(int argc, char **argv);

/* Say what addresses stand for, for "sendmail -bv". */
int command_verify(int argc, char **argv);

/* One line on stderr, and the status for it. */
int command_fail(const struct failure *f);

/* The command line is wrong: one line, EX_USAGE. */
int command_usage(const char *usage);

#endif
