#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "mail/intake.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	OPERANDS_MAX = 4,
	MIB = 1024 * 1024,
	SHOWN_MAX = 8 * 1024 * 1024
};

enum source {
	SOURCE_PIPE,
	SOURCE_SOCKET,
	SOURCE_FILE,
	SOURCE_NON_BLOCKING,
	SOURCE_COUNT
};

/* What a program that calls us does with its end of the pipe. */
struct writer {
	int fd;
	pid_t pid;
};

/* Write text in pieces of size octets, with a pause behind each. */
static void
write_pieces(int fd, struct span text, size_t size, useconds_t pause_us)
{
	for (size_t i = 0; i < text.len; i += size) {
		size_t n = size < text.len - i ? size : text.len - i;

		if (fd_write_all(fd, text.s + i, n) == -1)
			_exit(1);
		if (pause_us > 0 && i + n < text.len)
			(void)usleep(pause_us);
	}
	_exit(0);
}

static struct writer
start_writer(int read_end, int write_end, struct span text, size_t size,
    useconds_t pause_us)
{
	struct writer w = { read_end, fork() };

	assert_true(w.pid != -1);
	if (w.pid == 0) {
		(void)close(read_end);
		write_pieces(write_end, text, size, pause_us);
	}
	(void)close(write_end);
	return w;
}

static int
open_temporary(struct span text)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd != -1);
	assert_int_equal(fd_write_all(fd, text.s, text.len), 0);
	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static struct writer
start_source(
    enum source source, struct span text, size_t size, useconds_t pause)
{
	int ends[2];

	if (source == SOURCE_FILE)
		return (struct writer){ open_temporary(text), 0 };
	if (source == SOURCE_SOCKET)
		assert_int_equal(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
		    0);
	else
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	if (source == SOURCE_NON_BLOCKING)
		assert_true(fcntl(ends[0], F_SETFL, O_NONBLOCK) != -1);
	return start_writer(ends[0], ends[1], text, size, pause);
}

/* The writer came to its end and was not killed by SIGPIPE. */
static void
end_source(struct writer *w)
{
	int status = 0;

	fd_close(&w->fd);
	if (w->pid == 0)
		return;
	assert_true(waitpid(w->pid, &status, 0) == w->pid);
	assert_int_equal(status, 0);
}

/* ---- what comes out ---- */

static void
show_recipients(struct buf *b, const struct intake *in)
{
	for (size_t i = 0; i < in->recipients.count; i++) {
		if (i > 0)
			assert_int_equal(buf_putc(b, ' '), 0);
		assert_int_equal(
		    mailbox_write_address(b, &in->recipients.items[i]), 0);
	}
	assert_int_equal(buf_putc(b, '\n'), 0);
}

/* Fields on a line each; of what was generated at random only the name. */
static void
show_header(struct buf *b, const struct header *h)
{
	for (size_t i = 0; i < h->count; i++) {
		const struct field *field = &h->fields[i];
		struct span shown = { field->text, field->len };

		if (memmem(field->text, field->len, "given", 5) == NULL &&
		    (field_is(field, "Date") || field_is(field, "Message-ID") ||
			field_is(field, "Resent-Date") ||
			field_is(field, "Resent-Message-ID")))
			shown.len = field->name_len;
		assert_int_equal(buf_span(b, shown), 0);
		assert_int_equal(buf_putc(b, '\n'), 0);
	}
	assert_int_equal(buf_putc(b, '\n'), 0);
}

static void
show_body(struct buf *b, struct intake *in)
{
	struct failure f = { 0 };
	struct span block;

	do {
		assert_int_equal(intake_body(in, &block, &f), 0);
		assert_true(block.len <= (size_t)4 * INTAKE_BLOCK);
		assert_int_equal(buf_span(b, block), 0);
	} while (block.len > 0);
}

/* Recipients, header and body, or the failure. */
static int
take(int fd, const struct intake_options *options, struct buf *out)
{
	struct failure f = { 0 };
	struct intake in;
	int r = intake_start(&in, fd, options, &f);

	if (r == 0) {
		show_recipients(out, &in);
		show_header(out, &in.header);
		show_body(out, &in);
	} else {
		assert_int_equal(buf_printf(out, "%d %s %s",
				     failure_exit_status(&f), f.dsn, f.text),
		    0);
	}
	intake_drain(fd);
	intake_done(&in);
	intake_done(&in);
	return r;
}

/* ---- the table ---- */

struct row {
	const char *name;
	const char *in;
	const char *want; /* as take() shows it */
	const char *operands[OPERANDS_MAX];
	const char *full_name;
	const char *sender; /* NULL: the login, jdoe */
	bool reads_recipients;
	bool ignores_dots;
};

#define VECTOR_1                              \
	"Subject: s\nTo: a@x\n"               \
	"Cc: b@x, \"X, Y\" <c@x>\nBcc: d@x\n" \
	"\nbody\n"
#define VECTOR_1_OUT                                     \
	"Subject: s\nTo: a@x\nCc: b@x, \"X, Y\" <c@x>\n" \
	"Message-ID\nDate\nFrom: Jane Doe <jdoe>\n"      \
	"\nbody\r\n"
#define GENERATED "Message-ID\nDate\nFrom: jdoe\n"

/* Named by the number of the vector in sendmail-interface.md where it has
 * one. */
static const struct row rows[] = {
	{ .name = "1: recipients of the header, Bcc goes",
	    .reads_recipients = true,
	    .full_name = "Jane Doe",
	    .in = VECTOR_1,
	    .want = "a@x b@x c@x d@x\n" VECTOR_1_OUT },
	{ .name = "2: operands are added, each once",
	    .reads_recipients = true,
	    .operands = { "e@x", "A@X" },
	    .full_name = "Jane Doe",
	    .in = VECTOR_1,
	    .want = "e@x A@X b@x c@x d@x\n" VECTOR_1_OUT },
	{ .name = "3: resent",
	    .reads_recipients = true,
	    .in = "From: o@x\nTo: a@x\nBcc: d@x\nResent-From: j@x\n"
		  "Resent-To: r@x\nResent-Bcc: q@x\n\nb\n",
	    .want = "r@x q@x\nFrom: o@x\nTo: a@x\nResent-From: j@x\n"
		    "Resent-To: r@x\nResent-Date\nResent-Message-ID\n"
		    "Message-ID\nDate\n\nb\r\n" },
	{ .name = "Resent-From alone does not count",
	    .reads_recipients = true,
	    .in = "To: a@x\nResent-From: j@x\nDate: given\n"
		  "Resent-Date: given\nResent-Message-ID: given\n\n",
	    .want = "a@x\nTo: a@x\nResent-From: j@x\nDate: given\n"
		    "Resent-Date: given\nResent-Message-ID: given\n"
		    "Message-ID\nFrom: jdoe\n\n" },
	{ .name = "several resent blocks",
	    .reads_recipients = true,
	    .in = "Resent-To: r@x\nResent-Date: given\n"
		  "Resent-Message-ID: given\nresent-cc: s@x\nTo: a@x\n\n",
	    .want =
		"r@x s@x\nResent-To: r@x\nResent-Date: given\n"
		"Resent-Message-ID: given\nresent-cc: s@x\nTo: a@x\n" GENERATED
		"\n" },
	{ .name = "4: undisclosed recipients and Bcc",
	    .reads_recipients = true,
	    .in = "To: undisclosed-recipients: ;\nBcc: d@x\n\nb\n",
	    .want =
		"d@x\nTo: undisclosed-recipients: ;\n" GENERATED "\nb\r\n" },
	{ .name = "5: two To fields, one an empty group",
	    .reads_recipients = true,
	    .in = "To: undisclosed-recipients:;\nSubject: s\nTo: a@x\n\nb\n",
	    .want = "a@x\nTo: undisclosed-recipients:;\nSubject: s\n"
		    "To: a@x\n" GENERATED "\nb\r\n" },
	{ .name = "6: mixed line ends",
	    .reads_recipients = true,
	    .in = "To: a@x\r\nSubject: s\r\nFrom: f@x\nReply-To: g@x\r\n"
		  "\r\nl1\nl2\r\n",
	    .want = "a@x\nTo: a@x\nSubject: s\nFrom: f@x\nReply-To: g@x\n"
		    "Message-ID\nDate\n\nl1\r\nl2\r\n" },
	{ .name = "7: dots are ignored with -i",
	    .operands = { "u@x" },
	    .ignores_dots = true,
	    .in = "S: 1\n\na\n.\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\na\r\n.\r\nb\r\n" },
	{ .name = "8: a lone dot ends the message",
	    .operands = { "u@x" },
	    .in = "S: 1\n\na\n.\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\na\r\n" },
	{ .name = "9: a lone dot with CRLF",
	    .operands = { "u@x" },
	    .in = "S: 1\r\n\r\na\r\n.\r\nb\r\n",
	    .want = "u@x\nS: 1\n" GENERATED "\na\r\n" },
	{ .name = "10: other dots stay",
	    .operands = { "u@x" },
	    .in = "S: 1\n\n..a\n.b\n. \nc.\n..\n",
	    .want =
		"u@x\nS: 1\n" GENERATED "\n..a\r\n.b\r\n. \r\nc.\r\n..\r\n" },
	{ .name = "a lone dot with several CRs",
	    .operands = { "u@x" },
	    .in = "S: 1\n\na\n.\r\r\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\na\r\n" },
	{ .name = "a lone dot at the end of the file",
	    .operands = { "u@x" },
	    .in = "S: 1\n\na\n.",
	    .want = "u@x\nS: 1\n" GENERATED "\na\r\n" },
	{ .name = "a lone dot and CR at the end of the file",
	    .operands = { "u@x" },
	    .in = "S: 1\n\na\n.\r",
	    .want = "u@x\nS: 1\n" GENERATED "\na\r\n" },
	{ .name = "a lone dot as the first line of the body",
	    .operands = { "u@x" },
	    .in = "S: 1\n\n.\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\n" },
	{ .name = "a lone dot in the header",
	    .operands = { "u@x" },
	    .in = "S: 1\n.\nX: 2\n\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\n" },
	{ .name = "a lone dot in the header, with -i",
	    .operands = { "u@x" },
	    .ignores_dots = true,
	    .in = "S: 1\n.\nX: 2\n\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\n.\r\nX: 2\r\n\r\nb\r\n" },
	{ .name = "a lone dot first of all",
	    .operands = { "u@x" },
	    .in = ".\nS: 1\n",
	    .want = "u@x\n" GENERATED "\n" },
	{ .name = "a dot between CRs cuts nothing",
	    .operands = { "u@x" },
	    .in = "S: 1\n\na\r.\rb\n.\rc\n",
	    .want = "u@x\nS: 1\n" GENERATED "\na\r\n.\r\nb\r\n.\r\nc\r\n" },
	{ .name = "12: null sender",
	    .operands = { "u@x" },
	    .sender = "<>",
	    .full_name = "Jane",
	    .in = "S: 1\n\n",
	    .want = "u@x\nS: 1\nMessage-ID\nDate\nFrom: Jane <jdoe>\n\n" },
	{ .name = "13: sender with a name",
	    .operands = { "u@x" },
	    .sender = "N <s@x>",
	    .in = "S: 1\n\n",
	    .want = "u@x\nS: 1\nMessage-ID\nDate\nFrom: N <s@x>\n\n" },
	{ .name = "sender and full name",
	    .operands = { "u@x" },
	    .sender = "s@x",
	    .full_name = "Jane Jdoe Doe",
	    .in = "S: 1\n\n",
	    .want = "u@x\nS: 1\nMessage-ID\nDate\n"
		    "From: Jane Jdoe Doe <s@x>\n\n" },
	{ .name = "14: full name with specials",
	    .operands = { "u@x" },
	    .full_name = "Doe, Jane (x)",
	    .in = "S: 1\n\n",
	    .want = "u@x\nS: 1\nMessage-ID\nDate\n"
		    "From: \"Doe, Jane (x)\" <jdoe>\n\n" },
	{ .name = "full name with a line end",
	    .operands = { "u@x" },
	    .full_name = "Jane\nBcc: y@x",
	    .in = "S: 1\n\n",
	    .want = "u@x\nS: 1\nMessage-ID\nDate\n"
		    "From: \"JaneBcc: y@x\" <jdoe>\n\n" },
	{ .name = "8-bit full name",
	    .operands = { "u@x" },
	    .full_name = "J\xc3\xb6rg",
	    .in = "S: 1\n\n",
	    .want = "u@x\nS: 1\nMessage-ID\nDate\n"
		    "From: =?utf-8?Q?J=C3=B6rg?= <jdoe>\n\n" },
	{ .name = "17: one operand is a list",
	    .operands = { "a@x,b@x" },
	    .in = "\n",
	    .want = "a@x b@x\n" GENERATED "\n" },
	{ .name = "one operand with two addresses and a blank",
	    .operands = { "a@x b@x" },
	    .in = "\n",
	    .want = "a@x b@x\n" GENERATED "\n" },
	{ .name = "operand with a name",
	    .operands = { "Foo Bar <a@x>" },
	    .in = "\n",
	    .want = "a@x\n" GENERATED "\n" },
	{ .name = "18: operand like an option",
	    .operands = { "-x@y" },
	    .in = "\n",
	    .want = "65 5.1.3 bad recipient address \"-x@y\": it looks like "
		    "an option" },
	{ .name = "19: cron",
	    .operands = { "jdoe" },
	    .ignores_dots = true,
	    .full_name = "CronDaemon",
	    .in = "From: root (Cron Daemon)\nTo: jdoe\nSubject: c\n\nout",
	    .want = "jdoe\nFrom: root (Cron Daemon)\nTo: jdoe\nSubject: c\n"
		    "Message-ID\nDate\n\nout\r\n" },
	{ .name = "22: mbox lines",
	    .operands = { "u@x" },
	    .in = "From me Mon Jan 1\n>From you\nS: 1\n\nFrom b\n",
	    .want = "u@x\nS: 1\n" GENERATED "\nFrom b\r\n" },
	{ .name = "23: no header",
	    .operands = { "u@x" },
	    .in = "hello\nworld\n",
	    .want = "u@x\n" GENERATED "\nhello\r\nworld\r\n" },
	{ .name = "24: bad line in the header",
	    .operands = { "u@x" },
	    .in = "S: 1\ngarbage\nX: 2\n\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\ngarbage\r\nX: 2\r\n\r\nb\r\n" },
	{ .name = "31: empty input",
	    .operands = { "u@x" },
	    .in = "",
	    .want = "u@x\n" GENERATED "\n" },
	{ .name = "header without a body",
	    .operands = { "u@x" },
	    .in = "S: 1\nX: 2",
	    .want = "u@x\nS: 1\nX: 2\n" GENERATED "\n" },
	{ .name = "first line empty",
	    .operands = { "u@x" },
	    .in = "\nX: 2\n",
	    .want = "u@x\n" GENERATED "\nX: 2\r\n" },
	{ .name = "Bcc goes without -t, folds and all",
	    .operands = { "u@x" },
	    .in = "bcc: a@x,\n b@x,\n\tc@x\nS: 1\nBCC : d@x\n"
		  "Resent-bcc: e@x\n\nBcc: stays\n",
	    .want = "u@x\nS: 1\n" GENERATED "\nBcc: stays\r\n" },
	{ .name = "Return-Path and Content-Length go",
	    .operands = { "u@x" },
	    .in = "Return-Path: <a@x>\nContent-Length: 3\nS: 1\n\nb\n",
	    .want = "u@x\nS: 1\n" GENERATED "\nb\r\n" },
	{ .name = "nothing that is there is replaced",
	    .operands = { "u@x" },
	    .full_name = "Jane",
	    .in = "DATE: given\nMessage-Id: given\nFROM: a@x, b@x\n\n",
	    .want = "u@x\nDATE: given\nMessage-Id: given\nFROM: a@x, b@x\n"
		    "\n" },
	{ .name = "what is empty is replaced",
	    .operands = { "u@x" },
	    .in = "From:\nDate: \nS: 1\nMessage-ID:\n \n\n",
	    .want = "u@x\nS: 1\n" GENERATED "\n" },
	{ .name = "blank before the colon",
	    .reads_recipients = true,
	    .in = "To : a@x\n\n",
	    .want = "a@x\nTo: a@x\n" GENERATED "\n" },
	{ .name = "repeated and folded recipient fields",
	    .reads_recipients = true,
	    .in = "TO: a@x,\n b@x\ncc: c@x\nCc: d@x; e@x\nbcc: f@x\n\n",
	    .want = "a@x b@x c@x d@x e@x f@x\nTO: a@x,\r\n b@x\ncc: c@x\n"
		    "Cc: d@x; e@x\n" GENERATED "\n" },
	{ .name = "empty To and a Cc",
	    .reads_recipients = true,
	    .in = "To:\nCc: c@x\n\n",
	    .want = "c@x\nTo:\nCc: c@x\n" GENERATED "\n" },
	{ .name = "lone CR adds no field",
	    .reads_recipients = true,
	    .in = "To: a@x\nSubject: s\rBcc: evil@x\n\n",
	    .want = "a@x\nTo: a@x\nSubject: s Bcc: evil@x\n" GENERATED "\n" },
	{ .name = "bad recipients are left out",
	    .reads_recipients = true,
	    .operands = { "|/bin/sh", "" },
	    .in = "To: a@x, not an address, user@\n\n",
	    .want = "a@x\nTo: a@x, not an address, user@\n" GENERATED "\n" },
	{ .name = "only bad recipients",
	    .reads_recipients = true,
	    .operands = { "user@", "/tmp/x" },
	    .in = "To: @x\n\n",
	    .want = "65 5.1.3 bad recipient address \"user@\": the domain is "
		    "missing" },
	{ .name = "null operand",
	    .operands = { "<>" },
	    .in = "\n",
	    .want = "65 5.1.3 bad recipient address \"<>\": it is no "
		    "address" },
	{ .name = "operand with a line end",
	    .operands = { "a@x\nBcc: y@x" },
	    .in = "\n",
	    .want = "65 5.1.3 bad recipient address \"a@x\\x0aBcc: y@x\": a "
		    "line end or NUL is in it" },
	{ .name = "no recipients",
	    .in = "To: a@x\n\n",
	    .want = "64 5.5.4 no recipients: name them as arguments, or use "
		    "-t with a To, Cc or Bcc field" },
	{ .name = "empty operand",
	    .operands = { "" },
	    .in = "To: a@x\n\n",
	    .want = "64 5.5.4 no recipients: name them as arguments, or use "
		    "-t with a To, Cc or Bcc field" },
	{ .name = "-t and none in the header",
	    .reads_recipients = true,
	    .in = "To: undisclosed-recipients:;\n\nTo: a@x\n",
	    .want = "64 5.5.4 no recipients: name them as arguments, or use "
		    "-t with a To, Cc or Bcc field" },
	{ .name = "-t and a dot before the header",
	    .reads_recipients = true,
	    .in = ".\nTo: a@x\n\n",
	    .want = "64 5.5.4 no recipients: name them as arguments, or use "
		    "-t with a To, Cc or Bcc field" },
};

/* The options of a row; sender and author are to be released. */
static struct intake_options
options_of(const struct row *row)
{
	struct intake_options o = {
		.reads_recipients = row->reads_recipients,
		.ignores_dots = row->ignores_dots,
		.full_name = row->full_name,
		.operands = row->operands,
	};
	const char *sender = row->sender != NULL ? row->sender : "jdoe";
	struct failure f;

	while (o.operand_count < OPERANDS_MAX &&
	    row->operands[o.operand_count] != NULL)
		o.operand_count++;
	assert_int_equal(
	    mailbox_parse_sender(span_of(sender), &o.sender, &f), 0);
	assert_int_equal(mailbox_parse(span_of("jdoe"), &o.author, &f), 0);
	return o;
}

static void
options_done(struct intake_options *o)
{
	mailbox_done(&o->sender);
	mailbox_done(&o->author);
}

static void
check_row(const struct row *row, enum source source, size_t size)
{
	struct intake_options o = options_of(row);
	struct span text = span_of(row->in);
	struct writer w = start_source(source, text, size, 0);
	struct buf got;

	buf_init(&got, SHOWN_MAX);
	(void)take(w.fd, &o, &got);
	if (strcmp(got.s, row->want) != 0)
		fail_msg("%s (source %d): got\n%s\nnot\n%s", row->name,
		    (int)source, got.s, row->want);
	end_source(&w);
	options_done(&o);
	buf_done(&got);
}

static void
test_intake_from_every_source(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		for (int s = 0; s < SOURCE_COUNT; s++)
			check_row(&rows[i], (enum source)s, MIB);
}

/* A socket keeps the pieces of its writer apart. */
static void
check_division(const struct row *row, size_t first)
{
	struct intake_options o = options_of(row);
	struct span text = span_of(row->in);
	struct writer w;
	struct buf got;
	int ends[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fd_write_all(ends[1], text.s, first), 0);
	w = start_writer(ends[0], ends[1],
	    (struct span){ text.s + first, text.len - first }, MIB, 0);
	buf_init(&got, SHOWN_MAX);
	(void)take(w.fd, &o, &got);
	if (strcmp(got.s, row->want) != 0)
		fail_msg("%s, divided at %zu: got\n%s\nnot\n%s", row->name,
		    first, got.s, row->want);
	end_source(&w);
	options_done(&o);
	buf_done(&got);
}

static void
test_every_division_gives_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		for (size_t n = 1; n < strlen(rows[i].in); n++)
			check_division(&rows[i], n);
}

/* ---- stdin of every kind ---- */

static struct intake_options
to_one_recipient(void)
{
	static const struct row row = { .operands = { "u@x" } };

	return options_of(&row);
}

static void
test_writer_that_stalls(void **state)
{
	struct intake_options o = to_one_recipient();
	struct span text = span_of("Subject: s\n\nbody\n.\nmore\n");

	(void)state;
	for (int s = 0; s < SOURCE_COUNT; s++) {
		struct writer w =
		    start_source((enum source)s, text, 9, 20 * 1000);
		struct buf got;

		buf_init(&got, SHOWN_MAX);
		assert_int_equal(take(w.fd, &o, &got), 0);
		assert_string_equal(
		    got.s, "u@x\nSubject: s\n" GENERATED "\nbody\r\n");
		end_source(&w);
		buf_done(&got);
	}
	options_done(&o);
}

static void
test_dev_null(void **state)
{
	struct intake_options o = to_one_recipient();
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct buf got;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	assert_int_equal(take(fd, &o, &got), 0);
	assert_string_equal(got.s, "u@x\n" GENERATED "\n");
	fd_close(&fd);
	options_done(&o);
	buf_done(&got);
}

/* bsd-mailx gives a file that it has read a part of. */
static void
test_file_is_read_from_where_it_stands(void **state)
{
	struct intake_options o = to_one_recipient();
	int fd = open_temporary(span_of("preamble\nS: 1\n\nb\n"));
	struct buf got;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	assert_true(lseek(fd, 9, SEEK_SET) == 9);
	assert_int_equal(take(fd, &o, &got), 0);
	assert_string_equal(got.s, "u@x\nS: 1\n" GENERATED "\nb\r\n");
	fd_close(&fd);
	options_done(&o);
	buf_done(&got);
}

static void
test_terminal(void **state)
{
	struct intake_options o = to_one_recipient();
	struct failure f = { 0 };
	struct intake in;
	struct span block;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int fd;

	(void)state;
	if (master == -1)
		skip();
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(fd != -1);
	assert_int_equal(fd_write_all(master, "S: 1\n\nb\n.\n", 10), 0);
	assert_int_equal(intake_start(&in, fd, &o, &f), 0);
	assert_int_equal(intake_body(&in, &block, &f), 0);
	while (!in.has_ended)
		assert_int_equal(intake_body(&in, &block, &f), 0);
	intake_done(&in);
	fd_close(&fd);
	fd_close(&master);
	options_done(&o);
}

static void
check_failure(int fd, const char *want)
{
	struct intake_options o = to_one_recipient();
	struct buf got;

	buf_init(&got, SHOWN_MAX);
	assert_int_equal(take(fd, &o, &got), -1);
	assert_string_equal(got.s, want);
	options_done(&o);
	buf_done(&got);
}

static void
test_closed_descriptor(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(close(fd), 0);
	check_failure(fd,
	    "75 4.3.0 standard input is closed; the message is read there: "
	    "Bad file descriptor");
}

static void
test_directory(void **state)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	check_failure(fd,
	    "75 4.3.0 standard input is a directory; give it the message: Is a "
	    "directory");
	fd_close(&fd);
}

/* ---- limits ---- */

/* Through a pipe, from one text; the result is the caller's to free(). */
static char *
take_text(const struct buf *text, const struct intake_options *o)
{
	struct writer w = start_source(SOURCE_PIPE, buf_view(text), MIB, 0);
	struct buf got;

	buf_init(&got, SHOWN_MAX);
	(void)take(w.fd, o, &got);
	end_source(&w);
	return buf_take(&got);
}

/* Overwrite what is at `to` with the characters of s. */
static void
put(char *to, const char *s)
{
	while (*s != '\0')
		*to++ = *s++;
}

static void
test_header_limit(void **state)
{
	struct intake_options o = to_one_recipient();

	(void)state;
	for (size_t n = HEADER_MAX_BYTES; n <= HEADER_MAX_BYTES + 1; n++) {
		char *field = xmalloc(n);
		struct buf text;
		char *got;

		memset(field, 'a', n);
		put(field, "X: ");
		buf_init(&text, SHOWN_MAX);
		/* LF becomes CRLF, which counts. */
		assert_int_equal(buf_add(&text, field, n - 2), 0);
		assert_int_equal(buf_puts(&text, "\n\nbody\n"), 0);
		got = take_text(&text, &o);
		if (n == HEADER_MAX_BYTES)
			assert_memory_equal(got, "u@x\nX: aaa", 10);
		else
			assert_string_equal(got,
			    "65  the header has a line larger than 1048576 "
			    "bytes");
		free(got);
		buf_done(&text);
		free(field);
	}
	options_done(&o);
}

/* 25: nothing to send it to, and a writer with more than a pipe holds. */
static void
test_large_message_without_recipients(void **state)
{
	struct intake_options o = { .operand_count = 0 };
	struct buf text;
	char *got;

	(void)state;
	buf_init(&text, SHOWN_MAX);
	while (text.len < MIB)
		assert_int_equal(buf_puts(&text, "a line of text\n"), 0);
	got = take_text(&text, &o);
	assert_string_equal(got,
	    "64 5.5.4 no recipients: name them as arguments, or use -t with a "
	    "To, Cc or Bcc field");
	free(got);
	buf_done(&text);
}

static void
add_recipients(struct buf *text, size_t count)
{
	assert_int_equal(buf_puts(text, "To: u0@x"), 0);
	for (size_t i = 1; i < count; i++)
		assert_int_equal(
		    buf_printf(text, ",%su%zu@x", i % 50 == 0 ? "\n " : " ", i),
		    0);
	assert_int_equal(buf_puts(text, "\n\nb\n"), 0);
}

static void
test_recipient_limit(void **state)
{
	static const struct row row = { .reads_recipients = true };
	struct intake_options o = options_of(&row);

	(void)state;
	for (size_t n = INTAKE_RECIPIENTS_MAX; n <= INTAKE_RECIPIENTS_MAX + 1;
	     n++) {
		struct buf text;
		char *got;

		buf_init(&text, SHOWN_MAX);
		add_recipients(&text, n);
		got = take_text(&text, &o);
		if (n == INTAKE_RECIPIENTS_MAX)
			assert_non_null(strstr(got, " u9998@x u9999@x\nTo: "));
		else
			assert_string_equal(got,
			    "65 5.5.3 more than 10000 recipients; send several "
			    "messages");
		free(got);
		buf_done(&text);
	}
	options_done(&o);
}

/* 33: each of them is found; none is divided, because none is touched. */
static void
test_many_recipients_on_one_line(void **state)
{
	static const struct row row = { .reads_recipients = true };
	struct intake_options o = options_of(&row);
	struct buf text;
	char *got;

	(void)state;
	buf_init(&text, SHOWN_MAX);
	assert_int_equal(buf_puts(&text, "Cc: a@x\nTo: u0@example.com"), 0);
	for (size_t i = 1; i < 150; i++)
		assert_int_equal(buf_printf(&text, ", u%zu@example.com", i), 0);
	assert_int_equal(buf_puts(&text, "\n\nb\n"), 0);
	got = take_text(&text, &o);
	assert_memory_equal(got, "a@x u0@example.com u1@example.com ", 34);
	assert_non_null(strstr(got, " u149@example.com\nCc: a@x\nTo: u0@ex"));
	assert_non_null(strstr(got, ", u149@example.com\nMessage-ID"));
	free(got);
	buf_done(&text);
	options_done(&o);
}

static void
test_long_address(void **state)
{
	static const struct row row = { .reads_recipients = true };
	struct intake_options o = options_of(&row);
	char address[5001];
	struct buf text;
	char *got;

	(void)state;
	memset(address, 'a', sizeof(address));
	memcpy(address + 4998, "@x", 3);
	buf_init(&text, SHOWN_MAX);
	assert_int_equal(buf_printf(&text, "To: %s\n\n", address), 0);
	got = take_text(&text, &o);
	assert_non_null(strstr(got, "65 5.1.3 bad recipient address \"aaaa"));
	assert_non_null(strstr(got, "aaa...\": it is too long"));
	free(got);
	buf_reset(&text);
	assert_int_equal(buf_printf(&text, "To: %s, b@x\n\n", address), 0);
	got = take_text(&text, &o);
	assert_memory_equal(got, "b@x\nTo: aaa", 11);
	free(got);
	buf_done(&text);
	options_done(&o);
}

static void
test_nul_octets(void **state)
{
	static const char in[] = "S\0: 1\0\nT: 2\n\nb\0c\n\0";
	static const char want[] =
	    "u@x\nS: 1\nT: 2\n" GENERATED "\nb\0c\r\n\0\r\n";
	struct intake_options o = to_one_recipient();
	struct writer w = start_source(
	    SOURCE_PIPE, (struct span){ in, sizeof(in) - 1 }, MIB, 0);
	struct buf got;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	assert_int_equal(take(w.fd, &o, &got), 0);
	assert_int_equal(got.len, sizeof(want) - 1);
	assert_memory_equal(got.s, want, got.len);
	end_source(&w);
	options_done(&o);
	buf_done(&got);
}

/* The rules of the header do not reach into a body that has no empty line
 * before it. */
static void
test_body_rules_begin_with_the_body(void **state)
{
	static const char in[] = "S: 1\ngarbage\na\0b\rc\n";
	static const char want[] =
	    "u@x\nS: 1\n" GENERATED "\ngarbage\r\na\0b\r\nc\r\n";
	struct intake_options o = to_one_recipient();
	int fd = open_temporary((struct span){ in, sizeof(in) - 1 });
	struct buf got;

	(void)state;
	buf_init(&got, SHOWN_MAX);
	assert_int_equal(take(fd, &o, &got), 0);
	assert_int_equal(got.len, sizeof(want) - 1);
	assert_memory_equal(got.s, want, got.len);
	fd_close(&fd);
	options_done(&o);
	buf_done(&got);
}

/* More than one block of every hostile kind: it comes out whole, and no block
 * is larger than show_body() allows. */
static void
test_large_bodies(void **state)
{
	static const struct {
		const char *piece;
		size_t count;
		size_t want; /* octets of the body */
	} bodies[] = {
		{ "a line of text\n", 20000, (size_t)20000 * 16 },
		{ "\n", 300000, 600000 },
		{ "\r", 300000, 600000 },
		{ ".\r", 150000, (size_t)150000 * 3 },
		{ ".\r\r", 100000, (size_t)100000 * 5 },
		{ "..\n", 100000, 400000 },
		{ "x", 300000, 300002 },
	};
	struct intake_options o = to_one_recipient();

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
		struct buf text;
		char *got;

		buf_init(&text, SHOWN_MAX);
		assert_int_equal(buf_puts(&text, "S: 1\n\n"), 0);
		for (size_t k = 0; k < bodies[i].count; k++)
			assert_int_equal(buf_puts(&text, bodies[i].piece), 0);
		got = take_text(&text, &o);
		assert_int_equal(strlen(got),
		    strlen("u@x\nS: 1\n" GENERATED "\n") + bodies[i].want);
		free(got);
		buf_done(&text);
	}
	options_done(&o);
}

/* A message in two pieces that comes from a function, or breaks off. */
struct pieces {
	const char *texts[2];
	size_t given;
	int os_error; /* where the end should be, or 0 */
};

static ssize_t
read_piece(void *context, void *data, size_t size)
{
	struct pieces *p = context;
	const char *text;

	if (p->given == N_ELEMENTS(p->texts)) {
		errno = p->os_error;
		return p->os_error != 0 ? -1 : 0;
	}
	text = p->texts[p->given++];
	assert_true(strlen(text) <= size);
	memcpy(data, text, strlen(text));
	return (ssize_t)strlen(text);
}

static int
take_pieces(struct pieces *p, struct buf *body, struct failure *f)
{
	struct mailbox names[] = { { .local = xstrdup("a"),
				       .domain = xstrdup("x") },
		{ .local = xstrdup("a"), .domain = xstrdup("X") } };
	const struct mailbox_list given = { names, N_ELEMENTS(names) };
	const struct intake_options options = {
		.read = read_piece,
		.context = p,
		.ignores_dots = true,
		.sender = names[0],
		.given = &given,
	};
	struct intake in;
	struct span block = { NULL, 0 };
	int r = intake_start(&in, -1, &options, f);

	do {
		if (r == 0)
			r = intake_body(&in, &block, f);
		if (r == 0)
			assert_int_equal(buf_span(body, block), 0);
	} while (r == 0 && block.len > 0);
	if (r == 0)
		assert_int_equal(in.recipients.count, 1);
	intake_done(&in);
	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		mailbox_done(&names[i]);
	return r;
}

static void
test_message_that_a_function_gives(void **state)
{
	struct pieces p = { .texts = { "Subject: s\n", "\nbody\n.\n" } };
	struct failure f;
	struct buf body;

	(void)state;
	buf_init(&body, 100);
	assert_int_equal(take_pieces(&p, &body, &f), 0);
	assert_string_equal(body.s, "body\r\n.\r\n");
	buf_reset(&body);
	p.given = 0;
	p.os_error = ECONNRESET;
	assert_int_equal(take_pieces(&p, &body, &f), -1);
	assert_int_equal(f.kind, FAILURE_LATER);
	buf_done(&body);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intake_from_every_source),
		cmocka_unit_test(test_every_division_gives_the_same),
		cmocka_unit_test(test_writer_that_stalls),
		cmocka_unit_test(test_dev_null),
		cmocka_unit_test(test_file_is_read_from_where_it_stands),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_closed_descriptor),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_header_limit),
		cmocka_unit_test(test_large_message_without_recipients),
		cmocka_unit_test(test_recipient_limit),
		cmocka_unit_test(test_many_recipients_on_one_line),
		cmocka_unit_test(test_long_address),
		cmocka_unit_test(test_nul_octets),
		cmocka_unit_test(test_body_rules_begin_with_the_body),
		cmocka_unit_test(test_large_bodies),
		cmocka_unit_test(test_message_that_a_function_gives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
