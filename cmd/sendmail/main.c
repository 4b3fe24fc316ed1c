#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "caller.h"
#include "core/failure.h"
#include "core/log.h"
#include "core/proc.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "mail/intake.h"
#include "options.h"
#include "queue.h"
#include "speak.h"
#include "submit.h"
#include "verify.h"

static const char ident[] = "sendmail";

/* Say why, once on stderr and once to syslog, in the words of Postfix. */
static void
complain(const struct options *o, const struct failure *f)
{
	log_open(ident, LOG_TO_STDERR, LOG_LEVEL_ERROR);
	log_error("fatal: %s", f->text);
	log_open(o->log_tag != NULL ? o->log_tag : ident, LOG_TO_SYSLOG,
	    LOG_LEVEL_ERROR);
	log_error("fatal: %s", f->text);
}

/*
 * The envelope's sender: of -f, else the author, who is the caller.  *out is
 * the caller's to mailbox_done().
 */
static int
find_sender(const struct options *o, const struct mailbox *author,
    struct mailbox *out, struct failure *f)
{
	if (o->sender == NULL) {
		*out = mailbox_copy(author);
		return EX_OK;
	}
	if (mailbox_parse_sender(span_of(o->sender), out, f) == 0)
		return EX_OK;
	(void)failure_at(f, "option -f");
	return EX_USAGE;
}

static int
send_message(
    const struct options *o, const struct intake_options *io, struct failure *f)
{
	struct submission s = {
		.sender = &io->sender,
		.config_file = o->config_file,
		.dsn = &o->dsn,
		.is_verbose = o->is_verbose,
		.delivery = o->delivery,
	};
	struct intake in;
	int status;

	if (intake_start(&in, STDIN_FILENO, io, f) == -1)
		status = failure_exit_status(f);
	else
		status = submit_message(&in, &s, f);
	intake_done(&in);
	return status;
}

static int
deliver(const struct options *o, struct failure *f)
{
	char *full_name = caller_full_name(o->full_name);
	struct intake_options io = {
		.reads_recipients = o->reads_recipients,
		.ignores_dots = o->ignores_dots,
		.full_name = full_name,
		.operands = o->operands,
		.operand_count = o->operand_count,
	};
	int status;

	complete_author(&io.author);
	status = find_sender(o, &io.author, &io.sender, f);
	if (status == EX_OK)
		status = send_message(o, &io, f);
	mailbox_done(&io.author);
	mailbox_done(&io.sender);
	free(full_name);
	return status;
}

static int
run(const struct options *o, struct failure *f)
{
	switch (o->mode) {
	case MODE_DELIVER:
		return deliver(o, f);
	case MODE_LIST:
		return queue_list(o, f);
	case MODE_FLUSH:
		return queue_flush(o, f);
	case MODE_NOTHING:
		return EX_OK;
	case MODE_SMTP:
		speak_smtp(o);
		return EX_OK;
	case MODE_VERIFY:
		return verify_addresses(o, f);
	case MODE_UNAVAILABLE:
		break;
	}
	(void)failure_set(f, FAILURE_USAGE,
	    "mode -b%c is not available in this version", o->mode_letter);
	return EX_USAGE;
}

/*
 * A caller that is killed by SIGPIPE never sees why its message was refused,
 * so all input is read, also after a lone dot.  Not in other modes: a speaker
 * of SMTP waits for us to begin, and a list of addresses may be read by the
 * caller's loop.
 */
static void
drain_input(const struct options *o)
{
	if (o->mode == MODE_DELIVER && isatty(STDIN_FILENO) == 0)
		intake_drain(STDIN_FILENO);
}

static int
print_version(void)
{
	(void)puts("sendmail (sendmail365) " SENDMAIL365_VERSION);
	return EX_OK;
}

static int
print_help(void)
{
	(void)puts("usage: sendmail [-itv] [-C file] [-F name] [-f sender] "
		   "[recipient ...]\n"
		   "       sendmail -bs [-C file]\n"
		   "       sendmail -bv [-C file] recipient ...\n"
		   "       sendmail -bp | mailq\n"
		   "       sendmail -q\n"
		   "       newaliases\n"
		   "\n"
		   "  -t         send to the addresses in To, Cc and Bcc\n"
		   "  -i         a lone dot does not end the message\n"
		   "  -f sender  sender of the envelope\n"
		   "  -F name    full name for a From field that is missing\n"
		   "  -v         show the dialogue with Exchange\n"
		   "  -C file    configuration, for root only\n"
		   "  -bs        SMTP on standard input and output\n"
		   "  -bv        show what recipients stand for\n"
		   "  -bp        list the queue\n"
		   "\n"
		   "The message is read from standard input; see sendmail(8).");
	return EX_OK;
}

int
main(int argc, char **argv)
{
	struct options o;
	struct failure f = { 0 };
	int status;

	proc_harden();
	proc_close_inherited();
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return print_version();
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return print_help();
	if (options_parse(argc, argv, &o, &f) == 0)
		status = run(&o, &f);
	else
		status = failure_exit_status(&f);
	if (status != EX_OK)
		complain(&o, &f);
	drain_input(&o);
	return status;
}
