#include "submit.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "attempt.h"
#include "command.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "core/spill.h"
#include "keep.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "mail/intake.h"
#include "mail/message.h"
#include "queue/limits.h"
#include "record.h"
#include "route/deliver.h"
#include "show.h"
#include "smtp/client.h"
#include "smtp/server.h"
#include "smtp/stream.h"

enum {
	ID_SIZE = 17, /* of a submission, for the log: 16 digits and NUL */
	/* Seconds that a caller waits for the limits of the account. */
	PATIENCE = 180,
	SHORT_PATIENCE = 5,
	/* The highest limit that Exchange Online lets an administrator set. */
	SIZE_MAX_OCTETS = 150 * 1024 * 1024
};

static const char usage[] =
    "submit [-C FILE] [-tiv] [-f SENDER] [-F NAME] [--dry-run] [--json]"
    " [--] [RECIPIENT]...\n"
    "       sendmail365 submit --smtp [-C FILE] [-v]";

struct options {
	const char *config_path;
	bool is_smtp;    /* SMTP on descriptor 0, as our sendmail speaks it */
	bool is_dry_run; /* show, do not send */
	bool is_json;
	bool is_verbose;
	const char *sender; /* NULL: the caller's login name */
	struct intake_options intake;
};

/* What a submission is called in the log: microseconds, and chance. */
static void
make_id(char id[static ID_SIZE])
{
	struct timespec now;
	uint16_t salt = 0;

	/* Neither can fail in a way that matters: an id tells log lines
	 * apart. */
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)!getrandom(&salt, sizeof(salt), 0);
	(void)snprintf(id, ID_SIZE, "%013" PRIX64 "%03X",
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
	    salt & 0xfffU);
}

/* ---- sending ---- */

/* Send it when the account may; where it can be queued nobody waits long. */
static void
run_within_limits(const struct config *config,
    const struct delivery_input *input, struct delivery *d)
{
	int patience = keep_is_possible(config) ? SHORT_PATIENCE : PATIENCE;
	struct limits *limits = NULL;
	struct failure f;
	int64_t wait_ms = 0;

	if (attempt_limits(config, d, &limits, &f) == -1)
		log_warning("%s", f.text);
	if (attempt_enter(d, limits, clock_deadline(patience), &wait_ms) !=
	    LIMITS_TAKEN)
		attempt_put_off(d, wait_ms);
	delivery_run(config, input, d, NULL);
	limits_finish(limits);
	limits_free(&limits);
}

static bool
has_waiting(const struct delivery *d)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++)
		if (d->outcomes[i].status == OUTCOME_LATER)
			return true;
	return false;
}

/*
 * Plan, send, log.  0: every recipient was accepted, or will be tried again by
 * the queue; *text is the answer.
 */
static int
send_message(const struct config *config, const struct delivery_input *input,
    struct buf *text, struct failure *f)
{
	char id[ID_SIZE];
	struct delivery d;
	int r;

	make_id(id);
	delivery_plan(config, input, &d);
	record_message(id, (uint32_t)getuid(), &d, input);
	run_within_limits(config, input, &d);
	record_outcomes(id, &d);
	r = delivery_summary(&d, text, f);
	if (r == -1 && input->is_kept && has_waiting(&d)) {
		r = keep_message(config, input, &d, text, f);
		r = r == 0 ? 0 : -1;
	}
	delivery_done(&d);
	return r;
}

/* On whose behalf, and as what configuration says. */
struct service {
	const struct config *config;
	const char *user; /* login name of the caller */
};

/* server_deliver */
static int
deliver(void *context, const struct server_envelope *envelope,
    const struct message *message, struct buf *text, struct failure *f)
{
	const struct service *service = context;
	const struct delivery_input input = {
		.sender = &envelope->sender,
		.recipients = &envelope->recipients,
		.message = message,
		.user = service->user,
		.is_kept = keep_is_possible(service->config),
		.dsn = &envelope->dsn,
	};

	return send_message(service->config, &input, text, f);
}

static int
submit_smtp(const struct config *config, const char *user)
{
	struct service service = { .config = config, .user = user };
	char *host_name = complete_host_name(0);
	const struct server server = {
		.host_name = host_name,
		.size_max = SIZE_MAX_OCTETS,
		.deliver = deliver,
		.context = &service,
	};
	int in = STDIN_FILENO;
	int out = STDOUT_FILENO;
	struct stream *stream = stream_new(&in, &out, "the caller");
	struct failure f;
	int status = EX_OK;

	if (server_run(&server, stream, &f) == -1) {
		log_warning("%s", f.text);
		status = EX_TEMPFAIL;
	}
	stream_free(&stream);
	free(host_name);
	return status;
}

/* Nothing can be served: say why to whoever speaks SMTP to us. */
static int
turn_away(const struct failure *reason)
{
	int in = STDIN_FILENO;
	int out = STDOUT_FILENO;
	struct stream *stream = stream_new(&in, &out, "the caller");

	log_error("%s", reason->text);
	server_turn_away(stream, reason);
	stream_free(&stream);
	return failure_exit_status(reason);
}

/* ---- a message from a person ---- */

static int
print_content(
    const struct delivery *d, const struct message *message, struct failure *f)
{
	char block[16 * 1024];
	const struct spill *body;
	struct spill encoded;
	struct buf header;
	uint64_t offset = 0;
	ssize_t n = -1;

	buf_init(&header, DELIVERY_HEADER_MAX);
	spill_init(&encoded);
	body = delivery_content(d, message, &header, &encoded, f);
	if (body != NULL) {
		(void)printf("message\n");
		(void)fwrite(header.s, 1, header.len, stdout);
		while ((n = spill_read(body, offset, block, sizeof(block), f)) >
		    0) {
			(void)fwrite(block, 1, (size_t)n, stdout);
			offset += (uint64_t)n;
		}
	}
	spill_done(&encoded);
	buf_done(&header);
	return n == 0 ? 0 : -1;
}

static int
show_delivery(const struct options *options, const struct config *config,
    const struct delivery_input *input, struct failure *f)
{
	struct delivery d;
	int r = 0;

	delivery_plan(config, input, &d);
	if (options->is_json) {
		show_plan_json(stdout, config, &d, input);
	} else {
		show_plan(stdout, config, &d, input);
		if (!mailbox_is_null(&d.user))
			r = print_content(&d, input->message, f);
	}
	if (r == 0)
		r = delivery_refusal(&d, f);
	delivery_done(&d);
	if (r == 0 && fflush(stdout) != 0)
		r = failure_set(f, FAILURE_LATER, "cannot write to stdout");
	return r;
}

/* Read header and body from a descriptor as sendmail would. */
static int
read_message(int fd, const struct intake_options *options, struct intake *in,
    struct message *message, struct failure *f)
{
	struct buf header;
	struct span block;
	int r;

	if (intake_start(in, fd, options, f) == -1)
		return -1;
	buf_init(&header, DELIVERY_HEADER_MAX);
	r = header_write(&in->header, &header);
	if (r == 0)
		r = buf_puts(&header, "\r\n");
	if (r == -1)
		(void)failure_set(f, FAILURE_DATA, "the header is too long");
	else
		r = message_write(message, buf_view(&header), f);
	buf_done(&header);
	do {
		if (r == 0)
			r = intake_body(in, &block, f);
		if (r == 0)
			r = message_write(message, block, f);
		if (r == 0 && message->body.size > SIZE_MAX_OCTETS)
			r = failure_set(f, FAILURE_DATA,
			    "the message is larger than %d octets",
			    SIZE_MAX_OCTETS);
	} while (r == 0 && block.len > 0);
	return r == 0 ? message_finish(message, f) : -1;
}

static int
submit_message(const struct options *options, const struct config *config)
{
	struct message message;
	struct intake in = { .fd = -1 };
	struct failure f = { .kind = FAILURE_NONE };
	struct buf text;
	int r;

	message_init(&message);
	buf_init(&text, FAILURE_TEXT_SIZE);
	r = read_message(STDIN_FILENO, &options->intake, &in, &message, &f);
	if (r == -1)
		intake_drain(STDIN_FILENO);
	if (r == 0) {
		const struct delivery_input input = {
			.sender = &options->intake.sender,
			.recipients = &in.recipients,
			.message = &message,
			.user = options->intake.author.local,
			.is_kept = keep_is_possible(config),
		};

		r = options->is_dry_run
		    ? show_delivery(options, config, &input, &f)
		    : send_message(config, &input, &text, &f);
	}
	buf_done(&text);
	intake_done(&in);
	message_done(&message);
	return r == 0 ? EX_OK : command_fail(&f);
}

/* ---- a test message ---- */

/* Its text, in a file without a name to be read from the start; or -1. */
static int
open_test_text(struct failure *f)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	char *host = complete_host_name(0);
	char *text = xasprintf("Subject: sendmail365 on %s: test\n\n"
			       "This host sends its mail through Microsoft "
			       "365.\n",
	    host);

	if (fd == -1 || fd_write_all(fd, text, strlen(text)) == -1 ||
	    lseek(fd, 0, SEEK_SET) == -1) {
		(void)failure_os(f, FAILURE_LATER, errno, "a test message");
		fd_close(&fd);
	}
	free(text);
	free(host);
	return fd;
}

int
submit_test(const struct config *config, const char *address, struct failure *f)
{
	struct intake_options options = {
		.operands = &address,
		.operand_count = 1,
	};
	struct message message;
	struct intake in = { .fd = -1 };
	struct buf text;
	int fd = open_test_text(f);
	int r;

	if (fd == -1)
		return -1;
	message_init(&message);
	buf_init(&text, FAILURE_TEXT_SIZE);
	complete_author(&options.author);
	options.sender = mailbox_copy(&options.author);
	r = read_message(fd, &options, &in, &message, f);
	if (r == 0) {
		const struct delivery_input input = {
			.sender = &options.sender,
			.recipients = &in.recipients,
			.message = &message,
			.user = options.author.local,
		};

		r = send_message(config, &input, &text, f);
	}
	buf_done(&text);
	intake_done(&in);
	message_done(&message);
	mailbox_done(&options.sender);
	mailbox_done(&options.author);
	fd_close(&fd);
	return r;
}

/* ---- command line ---- */

enum {
	OPT_SMTP = 256,
	OPT_DRY_RUN,
	OPT_JSON
};

static const struct option long_options[] = {
	{ "smtp", no_argument, NULL, OPT_SMTP },
	{ "dry-run", no_argument, NULL, OPT_DRY_RUN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "verbose", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

/* 0, or -1 for an option that is none. */
static int
take_option(struct options *o, int c)
{
	switch (c) {
	case 'C':
		o->config_path = optarg;
		return 0;
	case 'f':
		o->sender = optarg;
		return 0;
	case 'F':
		o->intake.full_name = optarg;
		return 0;
	case 'i':
		o->intake.ignores_dots = true;
		return 0;
	case 't':
		o->intake.reads_recipients = true;
		return 0;
	case 'v':
		o->is_verbose = true;
		return 0;
	case OPT_SMTP:
		o->is_smtp = true;
		return 0;
	case OPT_DRY_RUN:
		o->is_dry_run = true;
		return 0;
	case OPT_JSON:
		o->is_json = true;
		return 0;
	default:
		return -1;
	}
}

static int
find_sender(struct options *o, struct failure *f)
{
	if (o->sender != NULL)
		return mailbox_parse_sender(
		    span_of(o->sender), &o->intake.sender, f);
	o->intake.sender = mailbox_copy(&o->intake.author);
	return 0;
}

static int
run(struct options *o)
{
	struct config *config = NULL;
	struct failure f;
	int status;

	if (config_load(o->config_path, &config, &f) == -1) {
		if (o->is_smtp)
			return turn_away(&f);
		intake_drain(STDIN_FILENO);
		return command_fail(&f);
	}
	/* Whoever started us and is gone wants nothing sent any more. */
	if (o->is_smtp)
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	log_open("sendmail365",
	    o->is_verbose ? LOG_TO_STDERR : config->log_to.sink,
	    o->is_verbose ? LOG_LEVEL_DEBUG : config->log_level);
	complete_author(&o->intake.author);
	if (o->is_smtp)
		status = submit_smtp(config, o->intake.author.local);
	else if (find_sender(o, &f) == -1)
		status = command_fail(&f);
	else
		status = submit_message(o, config);
	config_free(&config);
	return status;
}

int
command_submit(int argc, char **argv)
{
	struct options o = { .config_path = NULL };
	int status;
	int c;

	/* Until the configuration says where to. */
	log_open("sendmail365", LOG_TO_SYSLOG, LOG_LEVEL_INFO);
	while ((c = getopt_long(
		    argc, argv, "+C:f:F:itv", long_options, NULL)) != -1)
		if (take_option(&o, c) == -1)
			return command_usage(usage);
	if ((o.is_smtp && (optind < argc || o.is_dry_run)) ||
	    (o.is_json && !o.is_dry_run))
		return command_usage(usage);
	o.intake.operands = (const char *const *)(argv + optind);
	o.intake.operand_count = (size_t)(argc - optind);
	status = run(&o);
	mailbox_done(&o.intake.sender);
	mailbox_done(&o.intake.author);
	return status;
}
