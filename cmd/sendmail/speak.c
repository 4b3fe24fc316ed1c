#include "speak.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "mail/dsn.h"
#include "mail/intake.h"
#include "options.h"
#include "submit.h"

enum {
	INPUT_SIZE = 64 * 1024,
	LINE_MAX_OCTETS = 2048, /* RFC 5321: 512 and what extensions add */
	REPLY_LINE_TEXT = 400,  /* of a long text on one line of a reply */
	HOST_NAME_MAX_OCTETS = 255
};

/* How far the end of the data has come: CRLF "." CRLF. */
enum end_state {
	IN_LINE,    /* within a line, or behind a CR in it */
	AFTER_CR,   /* a CR that may end a line */
	AT_START,   /* of a line */
	AFTER_DOT,  /* which began a line */
	AFTER_DOTCR /* and CR behind it */
};

struct session {
	const struct options *options;
	char input[INPUT_SIZE];
	struct span unread; /* of input */
	bool has_failed;    /* nobody reads or writes any more */
	bool has_quit;
	char *host_name;
	/* the transaction */
	bool has_sender;
	struct mailbox sender;
	struct mailbox_list recipients;
	struct dsn dsn;
	/* the message */
	bool is_by_line_feed; /* the peer is a person: LF ends its lines */
	enum end_state state;
	bool has_data_ended;
};

/* ---- input ---- */

/* More bytes; false at the end of input. */
static bool
fill(struct session *s)
{
	ssize_t n;

	if (s->unread.len > 0)
		return true;
	if (s->has_failed)
		return false;
	n = fd_read(STDIN_FILENO, s->input, sizeof(s->input));
	if (n <= 0) {
		s->has_failed = true;
		return false;
	}
	s->unread = (struct span){ s->input, (size_t)n };
	return true;
}

static char
next_octet(struct session *s)
{
	char c = s->unread.s[0];

	s->unread.s++;
	s->unread.len--;
	return c;
}

/*
 * A command line without its end; what is too long for b is left out.  false:
 * the input has ended, and an unfinished line is none.
 */
static bool
read_line(struct session *s, struct buf *b, bool *is_too_long)
{
	*is_too_long = false;
	buf_reset(b);
	while (fill(s)) {
		char c = next_octet(s);

		if (c == '\n') {
			s->is_by_line_feed =
			    b->len == 0 || b->s[b->len - 1] != '\r';
			if (!s->is_by_line_feed)
				buf_truncate(b, b->len - 1);
			return true;
		}
		if (buf_putc(b, c) == -1)
			*is_too_long = true;
	}
	return false;
}

/* ---- answers ---- */

static void
answer(struct session *s, const char *text)
{
	struct buf line;

	buf_init(&line, REPLY_LINE_TEXT + HOST_NAME_MAX_OCTETS);
	(void)buf_puts(&line, text);
	(void)buf_puts(&line, "\r\n");
	if (fd_write_all(STDOUT_FILENO, line.s, line.len) == -1)
		s->has_failed = true;
	buf_done(&line);
}

/* A reason as a reply of as many lines as it needs, cut at blanks. */
static void
answer_failure(
    struct session *s, int code, const char *dsn, const struct failure *reason)
{
	char shown[FAILURE_TEXT_SIZE];
	char line[REPLY_LINE_TEXT + 32];
	const char *rest = shown;
	bool is_last;

	log_escape(shown, sizeof(shown), reason->text, strlen(reason->text));
	do {
		size_t len = strlen(rest);

		is_last = len <= REPLY_LINE_TEXT;
		if (!is_last) {
			len = REPLY_LINE_TEXT;
			while (len > 1 && rest[len] != ' ')
				len--;
		}
		(void)snprintf(line, sizeof(line), "%d%c%s %.*s", code,
		    is_last ? ' ' : '-', dsn, (int)len, rest);
		answer(s, line);
		rest += len;
		rest += strspn(rest, " ");
	} while (!is_last);
}

/* The outcome of a message as a reply: status is one of sysexits(3). */
static void
answer_status(struct session *s, int status, const struct failure *reason)
{
	bool is_passing = status == EX_TEMPFAIL || status == EX_NOPERM ||
	    status == EX_CONFIG || status == EX_OSERR;
	char class = is_passing ? '4' : '5';
	const char *dsn = is_passing ? "4.3.0" : "5.3.0";

	if (status == EX_OK) {
		answer(s, "250 2.0.0 Ok");
		return;
	}
	if (reason->dsn[0] == class)
		dsn = reason->dsn;
	answer_failure(s, is_passing ? 451 : 554, dsn, reason);
}

/* ---- the transaction ---- */

static void
forget(struct session *s)
{
	mailbox_done(&s->sender);
	mailbox_list_done(&s->recipients);
	s->dsn = (struct dsn){ .ret = '\0' };
	s->has_sender = false;
}

/*
 * "<path> PARAMETERS" behind "FROM:" or "TO:", both views into arg; a path
 * without the angle brackets has no blank in it.
 */
static bool
split_path(struct span arg, const char *keyword, struct span *path,
    struct span *parameters)
{
	size_t len = strlen(keyword);
	bool is_quoted = false;
	size_t i;

	arg = span_trim(arg);
	if (arg.len < len || !ascii_equal_nocase(arg.s, keyword, len))
		return false;
	arg = span_trim((struct span){ arg.s + len, arg.len - len });
	if (arg.len == 0 || arg.s[0] != '<') {
		*path = span_cut_word(&arg);
		*parameters = arg;
		return path->len > 0;
	}
	for (i = 1; i < arg.len && (is_quoted || arg.s[i] != '>'); i++) {
		if (arg.s[i] == '\\' && is_quoted)
			i++;
		else if (arg.s[i] == '"')
			is_quoted = !is_quoted;
	}
	if (i >= arg.len)
		return false;
	*path = (struct span){ arg.s + 1, i - 1 };
	*parameters = (struct span){ arg.s + i + 1, arg.len - i - 1 };
	return true;
}

/* Of them only what RFC 3461 defines says more than the message does; what the
 * recipients do not agree on, the last of them decides. */
static bool
take_parameters(
    struct session *s, struct span parameters, const char *const *known)
{
	struct span word;

	while ((word = span_cut_word(&parameters)).len > 0) {
		const char *equals = memchr(word.s, '=', word.len);
		size_t i = 0;

		dsn_take_parameter(&s->dsn, word);
		if (equals != NULL)
			word.len = (size_t)(equals - word.s);
		while (known[i] != NULL && !span_is_nocase(word, known[i]))
			i++;
		if (known[i] == NULL)
			return false;
	}
	return true;
}

static void
do_mail(struct session *s, struct span arg)
{
	static const char *const known[] = { "SIZE", "BODY", "RET", "ENVID",
		"AUTH", "SMTPUTF8", NULL };
	struct failure reason;
	struct span path, parameters;

	if (s->has_sender)
		answer(s, "503 5.5.1 Sender already given");
	else if (!split_path(arg, "FROM:", &path, &parameters))
		answer(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
	else if (!take_parameters(s, parameters, known))
		answer(s, "555 5.5.4 Unknown MAIL parameter");
	else if (mailbox_parse_sender(path, &s->sender, &reason) == -1)
		answer_failure(s, 553, "5.1.7", &reason);
	else {
		s->has_sender = true;
		answer(s, "250 2.1.0 Ok");
	}
}

static void
do_rcpt(struct session *s, struct span arg)
{
	static const char *const known[] = { "NOTIFY", "ORCPT", NULL };
	struct failure reason;
	struct span path, parameters;
	struct mailbox recipient;

	if (!s->has_sender)
		answer(s, "503 5.5.1 Need MAIL first");
	else if (!split_path(arg, "TO:", &path, &parameters))
		answer(s, "501 5.5.4 Syntax: RCPT TO:<address>");
	else if (!take_parameters(s, parameters, known))
		answer(s, "555 5.5.4 Unknown RCPT parameter");
	else if (s->recipients.count >= INTAKE_RECIPIENTS_MAX)
		answer(s, "452 4.5.3 Too many recipients");
	else if (mailbox_parse(path, &recipient, &reason) == -1)
		answer_failure(s, 550, "5.1.3", &reason);
	else {
		mailbox_list_take(&s->recipients, recipient);
		answer(s, "250 2.1.5 Ok");
	}
}

/* ---- the message ---- */

/*
 * The next octet of the data.  A line ends in CRLF, or in LF where the peer
 * ends its commands so: what one of them takes for the end of the data must
 * not be text to the other.  Returns how many octets out has got: a dot that
 * was held back, and c.
 */
static size_t
take_octet(struct session *s, char c, char out[static 2])
{
	bool is_end = c == '\n' &&
	    (s->state == AFTER_CR || s->state == AFTER_DOTCR ||
		s->is_by_line_feed);
	bool was_dot = s->state == AFTER_DOT;
	bool was_dot_cr = s->state == AFTER_DOTCR;
	size_t n = 0;

	if (is_end && (was_dot || was_dot_cr)) {
		s->has_data_ended = true;
		return 0;
	}
	if (s->state == AT_START && c == '.') {
		s->state = AFTER_DOT;
		return 0;
	}
	if (was_dot && c == '\r') {
		s->state = AFTER_DOTCR;
		return 0;
	}
	/* The dot was one that a line got on its way; a CR behind it stays. */
	if (was_dot_cr)
		out[n++] = '\r';
	if (is_end)
		s->state = AT_START;
	else
		s->state = c == '\r' ? AFTER_CR : IN_LINE;
	out[n++] = c;
	return n;
}

/* intake_read: the data, without the dots that SMTP adds. */
static ssize_t
read_data(void *context, void *data, size_t size)
{
	struct session *s = context;
	char *out = data;
	size_t n = 0;

	while (n == 0 && !s->has_data_ended) {
		if (!fill(s)) {
			errno = ECONNRESET;
			return -1;
		}
		while (s->unread.len > 0 && n + 2 <= size && !s->has_data_ended)
			n += take_octet(s, next_octet(s), out + n);
	}
	return (ssize_t)n;
}

static void
skip_data(struct session *s)
{
	char ignored[4096];

	while (read_data(s, ignored, sizeof(ignored)) > 0)
		continue;
}

static int
submit_data(struct session *s, struct failure *f)
{
	struct intake_options io = {
		.read = read_data,
		.context = s,
		.ignores_dots = true,
		.sender = mailbox_copy(&s->sender),
		.given = &s->recipients,
	};
	struct submission submission = {
		.sender = &io.sender,
		.config_file = s->options->config_file,
		.delivery = s->options->delivery,
		.dsn = &s->dsn,
		.is_verbose = s->options->is_verbose,
	};
	struct intake in;
	int status;

	complete_author(&io.author);
	if (intake_start(&in, STDIN_FILENO, &io, f) == -1)
		status = failure_exit_status(f);
	else
		status = submit_message(&in, &submission, f);
	intake_done(&in);
	mailbox_done(&io.author);
	mailbox_done(&io.sender);
	return status;
}

static void
do_data(struct session *s, struct span arg)
{
	struct failure reason = { .kind = FAILURE_NONE };
	int status;

	(void)arg;
	if (!s->has_sender) {
		answer(s, "503 5.5.1 Need MAIL first");
		return;
	}
	if (s->recipients.count == 0) {
		answer(s, "554 5.5.1 No valid recipients");
		return;
	}
	answer(s, "354 End data with <CR><LF>.<CR><LF>");
	s->state = AT_START;
	s->has_data_ended = false;
	status = submit_data(s, &reason);
	skip_data(s);
	if (!s->has_failed)
		answer_status(s, status, &reason);
	forget(s);
}

/* ---- other commands ---- */

static void
do_hello(struct session *s, struct span arg)
{
	char line[HOST_NAME_MAX_OCTETS + 8];

	if (span_trim(arg).len == 0) {
		answer(s, "501 5.5.4 Syntax: HELO or EHLO, and a name");
		return;
	}
	forget(s);
	(void)snprintf(line, sizeof(line), "250 %s", s->host_name);
	answer(s, line);
}

static void
do_ehlo(struct session *s, struct span arg)
{
	char line[HOST_NAME_MAX_OCTETS + 8];

	if (span_trim(arg).len == 0) {
		do_hello(s, arg);
		return;
	}
	forget(s);
	(void)snprintf(line, sizeof(line), "250-%s", s->host_name);
	answer(s, line);
	answer(s, "250-PIPELINING");
	answer(s, "250-SIZE");
	answer(s, "250-ENHANCEDSTATUSCODES");
	answer(s, "250-8BITMIME");
	answer(s, "250-DSN");
	answer(s, "250 SMTPUTF8");
}

static void
do_rset(struct session *s, struct span arg)
{
	(void)arg;
	forget(s);
	answer(s, "250 2.0.0 Ok");
}

static void
do_noop(struct session *s, struct span arg)
{
	(void)arg;
	answer(s, "250 2.0.0 Ok");
}

static void
do_vrfy(struct session *s, struct span arg)
{
	(void)arg;
	answer(s, "252 2.0.0 Send some mail, I will try");
}

static void
do_help(struct session *s, struct span arg)
{
	(void)arg;
	answer(s, "214 2.0.0 See sendmail(8)");
}

static void
do_quit(struct session *s, struct span arg)
{
	(void)arg;
	s->has_quit = true;
	answer(s, "221 2.0.0 Bye");
}

static void
do_nothing(struct session *s, struct span arg)
{
	(void)arg;
	answer(s, "502 5.5.1 Not available here");
}

static const struct {
	const char *verb;
	void (*run)(struct session *s, struct span arg);
} commands[] = {
	{ "AUTH", do_nothing },
	{ "BDAT", do_nothing },
	{ "DATA", do_data },
	{ "EHLO", do_ehlo },
	{ "ETRN", do_nothing },
	{ "EXPN", do_nothing },
	{ "HELO", do_hello },
	{ "HELP", do_help },
	{ "MAIL", do_mail },
	{ "NOOP", do_noop },
	{ "QUIT", do_quit },
	{ "RCPT", do_rcpt },
	{ "RSET", do_rset },
	{ "STARTTLS", do_nothing },
	{ "VRFY", do_vrfy },
};

static void
run_command(struct session *s, struct span line)
{
	struct span verb = span_cut_word(&line);

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (span_is_nocase(verb, commands[i].verb)) {
			commands[i].run(s, line);
			return;
		}
	answer(s, "500 5.5.2 Unknown command");
}

void
speak_smtp(const struct options *o)
{
	static struct session s;
	char greeting[HOST_NAME_MAX_OCTETS + 32];
	bool is_too_long;
	struct buf line;

	s.options = o;
	s.host_name = complete_host_name(0);
	buf_init(&line, LINE_MAX_OCTETS);
	(void)snprintf(greeting, sizeof(greeting), "220 %s ESMTP sendmail365",
	    s.host_name);
	answer(&s, greeting);
	while (!s.has_quit && read_line(&s, &line, &is_too_long)) {
		if (is_too_long)
			answer(&s, "500 5.5.6 Line too long");
		else
			run_command(&s, buf_view(&line));
	}
	buf_done(&line);
	forget(&s);
	free(s.host_name);
}
