#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "command.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "core/sysexit.h"
#include "queue/spool.h"
#include "queueing.h"
#include "smtp/stream.h"

static const char usage[] =
    "queue [-C FILE] list [--failed] [--json]\n"
    "       sendmail365 queue [-C FILE] show [--json] ID\n"
    "       sendmail365 queue [-C FILE] retry|hold|release|delete ID|--all\n"
    "       sendmail365 queue [-C FILE] flush";

static const char retry_all[] = "RETRY ALL";
static const char default_socket[] = "/run/sendmail365/submit";

enum {
	OPT_ALL = 256,
	OPT_FAILED,
	OPT_JSON,
	REQUEST_MAX = 100,
	LINE_MAX_OCTETS = 1024 * 1024, /* an object of JSON may be long */
	TIMEOUT = 300,
	CODE_SIZE = 4 /* "250-" */
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, OPT_ALL },
	{ "failed", no_argument, NULL, OPT_FAILED },
	{ "json", no_argument, NULL, OPT_JSON },
	{ NULL, 0, NULL, 0 },
};

struct options {
	const char *config_path;
	bool is_all;
	bool is_failed;
	bool is_json;
	bool is_flush;
};

/* ---- asking the service ---- */

/* The socket of the service, or -1 if none answers. */
static int
connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (len >= sizeof(address.sun_path)) {
		fd_close(&fd);
		return -1;
	}
	memcpy(address.sun_path, path, len + 1);
	if (fd != -1 &&
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) ==
		-1)
		fd_close(&fd);
	return fd;
}

/* The last line of the answer, "250 ..." or a refusal: an exit status. */
static int
take_last(const char *line)
{
	struct span code = { line, 3 };
	const char *text = line + strcspn(line, " ");
	struct failure f;
	uint64_t n = 0;

	if (strlen(line) < CODE_SIZE || parse_u64(code, 599, &n) == -1)
		n = 0;
	if (n / 100 == 2)
		return EX_OK;
	/* Behind the code stands "5.3.0". */
	text += strspn(text, " 0123456789.");
	(void)failure_set(&f, FAILURE_USAGE, "%s",
	    n == 0 ? "the service speaks in tongues" : text);
	(void)command_fail(&f);
	return n == 0 ? EX_PROTOCOL : sysexit_from_reply((int)n, "");
}

/* The lines of the answer: an exit status. */
static int
read_answer(struct stream *stream, struct failure *f)
{
	struct buf line;
	int status = -1;
	int r;

	buf_init(&line, LINE_MAX_OCTETS + 2);
	while (status == -1) {
		buf_reset(&line);
		stream_set_deadline(stream, clock_deadline(TIMEOUT));
		r = stream_read_line(stream, LINE_MAX_OCTETS, &line, f);
		if (r != 1)
			break;
		if (line.len >= CODE_SIZE &&
		    strncmp(line.s, "250-", CODE_SIZE) == 0)
			(void)puts(line.s + CODE_SIZE);
		else
			status = take_last(line.s);
	}
	buf_done(&line);
	return status;
}

/* 0: it may be asked; -1: *f; else an exit status, and why has been said. */
static int
await_greeting(struct stream *stream, struct failure *f)
{
	struct buf line;
	int status = -1;

	buf_init(&line, LINE_MAX_OCTETS + 2);
	stream_set_deadline(stream, clock_deadline(TIMEOUT));
	if (stream_read_line(stream, LINE_MAX_OCTETS, &line, f) == 1)
		status = strncmp(line.s, "220 ", CODE_SIZE) == 0
		    ? 0
		    : take_last(line.s);
	buf_done(&line);
	return status;
}

static int
send_request(struct stream *stream, const char *request, struct failure *f)
{
	stream_set_deadline(stream, clock_deadline(TIMEOUT));
	if (stream_write(stream, span_of("XQUEUE "), f) == -1 ||
	    stream_write(stream, span_of(request), f) == -1)
		return -1;
	return stream_write(stream, span_of("\r\nQUIT\r\n"), f);
}

static int
ask_service(int fd, const char *request)
{
	int write_fd = fd;
	struct stream *stream = stream_new(&fd, &write_fd, "the service");
	struct failure f;
	int status;

	(void)failure_set(
	    &f, FAILURE_LATER, "the service ended without an answer");
	status = await_greeting(stream, &f);
	if (status == 0)
		status = send_request(stream, request, &f) == 0
		    ? read_answer(stream, &f)
		    : -1;
	stream_free(&stream);
	return status != -1 ? status : command_fail(&f);
}

/* ---- without a service ---- */

static int
print_line(void *context, const char *text)
{
	(void)context;
	return puts(text) == EOF ? -1 : 0;
}

/* Where there is no spool, or nothing that would name one, is no message. */
static bool
has_spool(const struct config *config)
{
	return faccessat(AT_FDCWD, config->queue_directory, F_OK, AT_EACCESS) ==
	    0;
}

static int
report_empty(const char *request)
{
	if (strcmp(request, "list") == 0 &&
	    (puts("Mail queue is empty") == EOF || fflush(stdout) == EOF))
		return EX_IOERR;
	return EX_OK;
}

static int
ask_spool(const struct config *config, const char *request)
{
	struct queueing q = {
		.uid = (uint32_t)getuid(),
		.is_admin = true,
		.line = print_line,
	};
	struct failure f;
	int r;

	if (!has_spool(config))
		return report_empty(request);
	r = spool_open(config->queue_directory, false, &q.spool, &f);
	if (r == -1)
		(void)failure_at(&f, "the service does not answer, and");
	else
		r = queueing_run(&q, span_of(request), &f);
	spool_free(&q.spool);
	if (r == 0 && fflush(stdout) == EOF)
		return EX_IOERR;
	return r == 0 ? EX_OK : command_fail(&f);
}

/* Deliver what is in the queue, as the service would. */
static int
flush_spool(const struct options *o, const struct config *config)
{
	int status;

	if (!has_spool(config))
		return EX_OK;
	status = ask_spool(config, retry_all);
	return status == EX_OK ? serve_once(o->config_path) : status;
}

static int
ask(const struct options *o, const char *request)
{
	const char *path = secure_getenv("SENDMAIL365_SOCKET");
	struct config *config = NULL;
	struct failure f;
	int status;
	int fd;
	int r = config_load(o->config_path, &config, &f);

	if (path == NULL)
		path = r == 0 ? config->service_socket : default_socket;
	fd = connect_to(path);
	if (fd != -1)
		status = ask_service(fd, request);
	else if (r == -1 && f.os_error == ENOENT)
		status = report_empty(request);
	else if (r == -1)
		status = command_fail(&f);
	else if (o->is_flush)
		status = flush_spool(o, config);
	else
		status = ask_spool(config, request);
	config_free(&config);
	return status;
}

/* ---- command line ---- */

/* What is done with the queue, and what may stand beside it. */
static const struct verb {
	const char *name;
	bool takes_id;
	bool takes_all;
	bool takes_failed;
	bool takes_json;
} verbs[] = {
	{ .name = "list", .takes_failed = true, .takes_json = true },
	{ .name = "show", .takes_id = true, .takes_json = true },
	{ .name = "retry", .takes_id = true, .takes_all = true },
	{ .name = "hold", .takes_id = true, .takes_all = true },
	{ .name = "release", .takes_id = true, .takes_all = true },
	{ .name = "delete", .takes_id = true, .takes_all = true },
};

/* Whether the command line gives this verb what it takes, and no more. */
static bool
suits(const struct verb *verb, const struct options *o, int ids)
{
	int wanted = verb->takes_id ? 1 : 0;

	return ids + (o->is_all ? 1 : 0) == wanted &&
	    (verb->takes_all || !o->is_all) &&
	    (verb->takes_failed || !o->is_failed) &&
	    (verb->takes_json || !o->is_json);
}

/* The words of a request; NULL: the command line makes none. */
static const char *
make_request(const struct options *o, int argc, char **argv,
    char out[static REQUEST_MAX])
{
	const char *id = argc > 1 ? argv[1] : o->is_all ? "ALL" : "";

	if (argc == 0 || ascii_has_control(span_of(id)) ||
	    strchr(id, ' ') != NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[0], verbs[i].name) != 0)
			continue;
		if (!suits(&verbs[i], o, argc - 1))
			return NULL;
		(void)snprintf(out, REQUEST_MAX, "%s%s%.40s%s",
		    o->is_failed ? "FAILED" : verbs[i].name,
		    id[0] == '\0' ? "" : " ", id, o->is_json ? " JSON" : "");
		return out;
	}
	return NULL;
}

int
command_queue(int argc, char **argv)
{
	struct options o = { .config_path = NULL };
	char text[REQUEST_MAX];
	const char *request;
	int c;

	while ((c = getopt_long(argc, argv, "C:", long_options, NULL)) != -1) {
		if (c == 'C')
			o.config_path = optarg;
		else if (c == OPT_ALL)
			o.is_all = true;
		else if (c == OPT_FAILED)
			o.is_failed = true;
		else if (c == OPT_JSON)
			o.is_json = true;
		else
			return command_usage(usage);
	}
	o.is_flush = argc - optind == 1 && strcmp(argv[optind], "flush") == 0;
	request = o.is_flush
	    ? retry_all
	    : make_request(&o, argc - optind, argv + optind, text);
	if (request == NULL)
		return command_usage(usage);
	return ask(&o, request);
}
