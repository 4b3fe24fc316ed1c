#include "queue.h"

#include <sys/socket.h>

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "child.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/sysexit.h"
#include "options.h"

enum {
	LINE_MAX_BYTES = 64 * 1024, /* more of a line is cut */
	READ_SIZE = 64 * 1024,
	REQUEST_SIZE = 100,
	CODE_SIZE = 4, /* "250-" */
	DSN_SIZE = 12,
	CODE_GREETING = 220,
	CODE_CLOSING = 421
};

/* The answer of the service, line by line. */
struct answer {
	bool is_shown; /* its lines go to standard output */
	int code;      /* of its last line; 0: it has not come */
	struct buf line;
	/* why it closes the connection, or "" */
	char dsn[DSN_SIZE];
	char reason[FAILURE_TEXT_SIZE];
};

/* "421 4.3.5 text" */
static void
take_reason(struct answer *a, struct span line)
{
	struct span dsn;

	(void)span_cut_word(&line);
	dsn = span_cut_word(&line);
	line = span_trim(line);
	(void)snprintf(a->dsn, sizeof(a->dsn), "%.*s", (int)dsn.len, dsn.s);
	(void)snprintf(
	    a->reason, sizeof(a->reason), "%.*s", (int)line.len, line.s);
}

static void
take_line(struct answer *a)
{
	struct span line = span_trim(buf_view(&a->line));
	struct span code = { line.s, line.len < 3 ? line.len : 3 };
	uint64_t n;

	if (parse_u64(code, 599, &n) == -1 || n == CODE_GREETING ||
	    a->code != 0)
		return;
	if (a->line.len < CODE_SIZE || a->line.s[CODE_SIZE - 1] != '-')
		a->code = (int)n;
	if (a->code == CODE_CLOSING)
		take_reason(a, line);
	else if (a->code == 0 && a->is_shown && n / 100 == 2) {
		struct span text = { a->line.s + CODE_SIZE,
			a->line.len - CODE_SIZE };

		if (text.len > 0 && text.s[text.len - 1] == '\r')
			text.len--;
		(void)fwrite(text.s, 1, text.len, stdout);
		(void)putchar('\n');
	}
}

static void
take_data(struct answer *a, struct span data)
{
	while (data.len > 0) {
		const char *end = memchr(data.s, '\n', data.len);
		size_t len = end != NULL ? (size_t)(end - data.s) : data.len;
		size_t room = a->line.max - a->line.len;

		(void)buf_add(&a->line, data.s, len < room ? len : room);
		if (end == NULL)
			return;
		take_line(a);
		buf_reset(&a->line);
		data.s += len + 1;
		data.len -= len + 1;
	}
}

static void
exchange(int fd, const char *request, struct answer *a)
{
	static char data[READ_SIZE];
	ssize_t n = 1;

	buf_init(&a->line, LINE_MAX_BYTES);
	/* Who takes no request may have said why. */
	(void)fd_write_all(fd, request, strlen(request));
	while (n > 0 && a->code == 0) {
		n = fd_read(fd, data, sizeof(data));
		if (n > 0)
			take_data(a, (struct span){ data, (size_t)n });
	}
	buf_done(&a->line);
}

/* Why the service did not do it. */
static const char *
reason_of(const struct answer *a)
{
	if (a->code == 0)
		return "the service ended without an answer";
	if (a->reason[0] != '\0')
		return a->reason;
	if (a->code / 100 == 4)
		return "the service cannot do that now; try again, and see its "
		       "log";
	return "the service refuses: there is no such message of yours";
}

static int
ask(const struct options *o, const char *verb, const char *id,
    struct failure *f)
{
	char request[REQUEST_SIZE];
	struct answer a = { .is_shown = strcmp(verb, "list") == 0 };
	struct child service;

	/* Without the service, or with a configuration that is not its own,
	 * the other program does all of it. */
	if (o->config_file != NULL || child_connect(&service) == -1)
		return child_run_queue(verb, id, o->config_file, f);
	(void)snprintf(request, sizeof(request), "XQUEUE %s %.40s\r\nQUIT\r\n",
	    verb,
	    id != NULL                       ? id
		: strcmp(verb, "retry") == 0 ? "ALL"
					     : "");
	exchange(service.fd, request, &a);
	child_stop(&service);
	if (fflush(stdout) == EOF || ferror(stdout) != 0) {
		(void)failure_set(f, FAILURE_LATER, "write error");
		return EX_IOERR;
	}
	if (a.code / 100 == 2)
		return EX_OK;
	(void)failure_set(f, FAILURE_LATER, "%s", reason_of(&a));
	return a.code == 0 ? EX_TEMPFAIL : sysexit_from_reply(a.code, a.dsn);
}

int
queue_list(const struct options *o, struct failure *f)
{
	if (o->operand_count > 0) {
		(void)failure_set(
		    f, FAILURE_USAGE, "a queue listing takes no operands");
		return EX_USAGE;
	}
	return ask(o, "list", NULL, f);
}

int
queue_flush(const struct options *o, struct failure *f)
{
	return ask(o, "retry", o->queue_id, f);
}
