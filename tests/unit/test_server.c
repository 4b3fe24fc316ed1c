#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/failure.h"
#include "mail/address.h"
#include "mail/message.h"
#include "smtp/server.h"
#include "smtp/stream.h"

enum {
	SIZE_MAX_OCTETS = 1000
};

#define GREETING "220 here.example ESMTP sendmail365\r\n"
#define EHLO                                                      \
	"250-here.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n" \
	"250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n"  \
	"250-SMTPUTF8\r\n"                                        \
	"250 CHUNKING\r\n"
#define OK  "250 2.0.0 Ok\r\n"
#define BYE "221 2.0.0 Bye\r\n"

/* What was delivered, and how delivering ends. */
struct record {
	enum failure_kind kind; /* NONE: accepted */
	const char *dsn;
	const char *reason;
	int messages;
	size_t recipients;
	char sender[300];
	char first[300];
	uint64_t body_size;
	size_t fields;
};

static int
record_message(void *context, const struct server_envelope *envelope,
    const struct message *message, struct buf *text, struct failure *f)
{
	struct record *r = context;
	struct buf b;

	buf_init(&b, ADDRESS_MAX);
	(void)mailbox_write_address(&b, &envelope->sender);
	memcpy(r->sender, b.s, b.len + 1);
	buf_reset(&b);
	(void)mailbox_write_address(&b, &envelope->recipients.items[0]);
	memcpy(r->first, b.s, b.len + 1);
	buf_done(&b);
	r->messages++;
	r->recipients = envelope->recipients.count;
	r->body_size = message->body.size;
	r->fields = message->header.count;
	if (r->kind == FAILURE_NONE)
		return buf_puts(text, "2.0.0 taken");
	(void)failure_set(f, r->kind, "%s", r->reason);
	if (r->dsn != NULL)
		(void)failure_dsn(f, r->dsn);
	return -1;
}

/* Run a whole dialogue; returns what server_run() does. */
static int
run(struct span in, struct record *record, struct buf *out)
{
	const struct server server = {
		.host_name = "here.example",
		.size_max = SIZE_MAX_OCTETS,
		.deliver = record_message,
		.context = record,
	};
	struct stream *stream;
	struct failure f;
	char chunk[4096];
	ssize_t n;
	int fds[2];
	int write_fd;
	int r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(write(fds[1], in.s, in.len), (ssize_t)in.len);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	write_fd = fds[0];
	stream = stream_new(&fds[0], &write_fd, "the test");
	r = server_run(&server, stream, &f);
	stream_free(&stream);
	while ((n = read(fds[1], chunk, sizeof(chunk))) > 0)
		assert_int_equal(buf_add(out, chunk, (size_t)n), 0);
	(void)close(fds[1]);
	return r;
}

static const struct {
	const char *name;
	const char *in;
	const char *want;
	int messages;
} dialogues[] = {
	{ "nothing but an end", "", GREETING, 0 },
	{ "QUIT", "QUIT\r\n", GREETING BYE, 0 },
	{ "commands in any case, LF alone", "ehlo x\nquit\n", GREETING EHLO BYE,
	    0 },
	{ "one message in one flight",
	    "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nBDAT 8 LAST\r\n"
	    "A: b\r\n\r\nQUIT\r\n",
	    GREETING EHLO
	    "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 taken\r\n" BYE,
	    1 },
	{ "several chunks",
	    "MAIL FROM:<>\r\nRCPT TO:<root>\r\nBDAT 4\r\nA: bBDAT 4\r\n\r\n\r\n"
	    "BDAT 0 LAST\r\n",
	    GREETING "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" OK OK
		     "250 2.0.0 taken\r\n",
	    1 },
	{ "two messages",
	    "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nBDAT 0 LAST\r\n"
	    "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nBDAT 0 LAST\r\n",
	    GREETING "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 taken\r\n"
		     "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 taken\r\n",
	    2 },
	{ "a chunk without recipients is skipped",
	    "BDAT 6 LAST\r\nQUIT\r\nQUIT\r\n",
	    GREETING "554 5.5.1 No valid recipients\r\n" BYE, 0 },
	{ "no MAIL", "RCPT TO:<a@x>\r\n",
	    GREETING "503 5.5.1 Need MAIL first\r\n", 0 },
	{ "MAIL twice", "MAIL FROM:<a@x>\r\nMAIL FROM:<a@x>\r\n",
	    GREETING "250 2.1.0 Ok\r\n503 5.5.1 Sender already given\r\n", 0 },
	{ "RSET", "MAIL FROM:<a@x>\r\nRSET\r\nRCPT TO:<a@x>\r\n",
	    GREETING "250 2.1.0 Ok\r\n" OK "503 5.5.1 Need MAIL first\r\n", 0 },
	{ "RCPT within chunks",
	    "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nBDAT 1\r\nxRCPT TO:<c@x>\r\n",
	    GREETING "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" OK
		     "503 5.5.1 BDAT is not finished\r\n",
	    0 },
	{ "no angle brackets", "MAIL FROM:a@x\r\n",
	    GREETING "501 5.5.4 Syntax: MAIL FROM:<address>\r\n", 0 },
	{ "a bracket in quotes is no end",
	    "MAIL FROM:<\"a>b\"@x> BODY=8BITMIME\r\n",
	    GREETING "250 2.1.0 Ok\r\n", 0 },
	{ "parameters that are known",
	    "MAIL FROM:<a@x> SIZE=999 BODY=8BITMIME RET=HDRS ENVID=1\r\n"
	    "RCPT TO:<b@x> NOTIFY=NEVER ORCPT=rfc822;b@x\r\n",
	    GREETING "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n", 0 },
	{ "parameters that are not", "MAIL FROM:<a@x> X=1\r\n",
	    GREETING "555 5.5.4 Unknown MAIL parameter\r\n", 0 },
	{ "a size that is no number", "MAIL FROM:<a@x> SIZE=9x\r\n",
	    GREETING "555 5.5.4 Unknown MAIL parameter\r\n", 0 },
	{ "a size that is too large", "MAIL FROM:<a@x> SIZE=1001\r\n",
	    GREETING "552 5.3.4 The message is too large\r\n", 0 },
	{ "BDAT without a number ends the session", "BDAT LAST\r\nQUIT\r\n",
	    GREETING "501 5.5.4 Syntax: BDAT size [LAST]\r\n", 0 },
	{ "BDAT with another word ends the session", "BDAT 1 FIRST\r\nQUIT\r\n",
	    GREETING "501 5.5.4 Syntax: BDAT size [LAST]\r\n", 0 },
	{ "unknown commands", "HELP\r\nMAILX\r\n\r\n",
	    GREETING "500 5.5.2 Unknown command\r\n"
		     "500 5.5.2 Unknown command\r\n"
		     "500 5.5.2 Unknown command\r\n",
	    0 },
	{ "an unfinished line is nothing", "QUIT", GREETING, 0 },
};

static void
test_dialogues(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
		struct record record = { .kind = FAILURE_NONE };
		struct buf out;

		print_message("# %s\n", dialogues[i].name);
		buf_init(&out, 100000);
		assert_int_equal(
		    run(span_of(dialogues[i].in), &record, &out), 0);
		assert_string_equal(out.s, dialogues[i].want);
		assert_int_equal(record.messages, dialogues[i].messages);
		buf_done(&out);
	}
}

static void
test_what_is_delivered(void **state)
{
	struct record record = { .kind = FAILURE_NONE };
	struct buf out;

	(void)state;
	buf_init(&out, 10000);
	assert_int_equal(
	    run(span_of("MAIL FROM:<root>\nRCPT TO:<b@x>\nRCPT TO:<c@x>\n"
			"BDAT 14 LAST\nA: b\nC: d\n\nx\ny"),
		&record, &out),
	    0);
	assert_string_equal(record.sender, "root");
	assert_string_equal(record.first, "b@x");
	assert_int_equal(record.recipients, 2);
	assert_int_equal(record.fields, 2);
	/* "x" and "y", each with the CRLF that it got. */
	assert_int_equal(record.body_size, 6);
	buf_done(&out);
}

static const struct {
	enum failure_kind kind;
	const char *dsn;
	const char *want;
} refusals[] = {
	{ FAILURE_LATER, NULL, "451 4.3.0 why\r\n" },
	{ FAILURE_LATER, "4.4.1", "451 4.4.1 why\r\n" },
	{ FAILURE_AUTH, NULL, "451 4.7.8 why\r\n" },
	{ FAILURE_CONFIG, NULL, "451 4.3.5 why\r\n" },
	{ FAILURE_PEER, "5.1.1", "554 5.1.1 why\r\n" },
	{ FAILURE_PEER, NULL, "554 5.3.0 why\r\n" },
	{ FAILURE_DATA, NULL, "554 5.6.0 why\r\n" },
	{ FAILURE_BUG, NULL, "554 5.3.0 why\r\n" },
};

static void
test_reasons_become_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct record record = { .kind = refusals[i].kind,
			.dsn = refusals[i].dsn,
			.reason = "why" };
		struct buf out;

		buf_init(&out, 10000);
		assert_int_equal(run(span_of("MAIL FROM:<a@x>\nRCPT TO:<b@x>\n"
					     "BDAT 0 LAST\n"),
				     &record, &out),
		    0);
		assert_string_equal(
		    strstr(out.s, "2.1.5 Ok\r\n") + 10, refusals[i].want);
		buf_done(&out);
	}
}

static void
test_long_reasons_take_several_lines(void **state)
{
	char reason[900];
	struct record record = { .kind = FAILURE_LATER, .reason = reason };
	const char *line;
	struct buf out;
	int lines = 0;

	(void)state;
	memset(reason, 'w', sizeof(reason));
	for (size_t i = 9; i < sizeof(reason); i += 10)
		reason[i] = ' ';
	reason[sizeof(reason) - 1] = '\0';
	buf_init(&out, 10000);
	assert_int_equal(run(span_of("MAIL FROM:<a@x>\nRCPT TO:<b@x>\n"
				     "BDAT 0 LAST\n"),
			     &record, &out),
	    0);
	for (line = strstr(out.s, "451"); *line != '\0';
	     line = strchr(line, '\n') + 1) {
		assert_memory_equal(line, "451", 3);
		assert_true(strchr(line, '\n') - line <= 512);
		lines++;
	}
	assert_int_equal(lines, 3);
	buf_done(&out);
}

static void
test_too_large_is_told_and_the_session_goes_on(void **state)
{
	struct record record = { .kind = FAILURE_NONE };
	struct buf in, out;

	(void)state;
	buf_init(&in, 10000);
	buf_init(&out, 10000);
	(void)buf_puts(&in, "MAIL FROM:<a@x>\nRCPT TO:<b@x>\nBDAT 1001 LAST\n");
	for (int i = 0; i < 1001; i++)
		(void)buf_putc(&in, 'x');
	(void)buf_puts(&in, "QUIT\n");
	assert_int_equal(run(buf_view(&in), &record, &out), 0);
	assert_non_null(strstr(out.s,
	    "\r\n554 5.3.4 the message is larger than 1000 octets\r\n" BYE));
	assert_int_equal(record.messages, 0);
	buf_done(&in);
	buf_done(&out);
}

static void
test_an_end_within_a_chunk_delivers_nothing(void **state)
{
	struct record record = { .kind = FAILURE_NONE };
	struct buf out;

	(void)state;
	buf_init(&out, 10000);
	assert_int_equal(run(span_of("MAIL FROM:<a@x>\nRCPT TO:<b@x>\n"
				     "BDAT 100 LAST\nA: b\n\nabc"),
			     &record, &out),
	    -1);
	assert_int_equal(record.messages, 0);
	buf_done(&out);
}

static void
test_long_lines_are_refused(void **state)
{
	struct record record = { .kind = FAILURE_NONE };
	struct buf in, out;

	(void)state;
	buf_init(&in, 10000);
	buf_init(&out, 10000);
	for (int i = 0; i < 5000; i++)
		(void)buf_putc(&in, 'x');
	(void)buf_puts(&in, "\nQUIT\n");
	assert_int_equal(run(buf_view(&in), &record, &out), 0);
	assert_string_equal(out.s, GREETING "500 5.5.6 Line too long\r\n" BYE);
	buf_done(&in);
	buf_done(&out);
}

static void
test_too_many_recipients(void **state)
{
	struct record record = { .kind = FAILURE_NONE };
	struct buf in, out;

	(void)state;
	buf_init(&in, 1000000);
	buf_init(&out, 1000000);
	(void)buf_puts(&in, "MAIL FROM:<a@x>\n");
	for (int i = 0; i <= SERVER_RECIPIENTS_MAX; i++)
		(void)buf_puts(&in, "RCPT TO:<b@x>\n");
	(void)buf_puts(&in, "QUIT\n");
	assert_int_equal(run(buf_view(&in), &record, &out), 0);
	assert_non_null(
	    strstr(out.s, "\r\n452 4.5.3 Too many recipients\r\n" BYE));
	buf_done(&in);
	buf_done(&out);
}

static void
test_addresses_are_checked(void **state)
{
	static const char *const bad[] = { "-x@y", "|sh", "/etc/passwd",
		"a\001b@x", "@x", "a@" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct record record = { .kind = FAILURE_NONE };
		struct buf in, out;

		buf_init(&in, 1000);
		buf_init(&out, 10000);
		(void)buf_printf(
		    &in, "MAIL FROM:<a@x>\nRCPT TO:<%s>\n", bad[i]);
		assert_int_equal(run(buf_view(&in), &record, &out), 0);
		assert_non_null(strstr(out.s, "\r\n553 5.1.3 "));
		buf_done(&in);
		buf_done(&out);
	}
}

static void
test_turning_away_says_why(void **state)
{
	struct failure reason, f;
	struct stream *stream;
	char text[200] = "";
	int fds[2];
	int write_fd;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	write_fd = fds[0];
	stream = stream_new(&fds[0], &write_fd, "the test");
	(void)failure_set(&reason, FAILURE_CONFIG, "x.conf:3: no\nsuch key");
	server_turn_away(stream, &reason);
	assert_int_equal(stream_flush(stream, &f), 0);
	stream_free(&stream);
	assert_true(read(fds[1], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "421 4.3.5 x.conf:3: no\\x0asuch key\r\n");
	(void)close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
		cmocka_unit_test(test_what_is_delivered),
		cmocka_unit_test(test_reasons_become_replies),
		cmocka_unit_test(test_long_reasons_take_several_lines),
		cmocka_unit_test(
		    test_too_large_is_told_and_the_session_goes_on),
		cmocka_unit_test(test_an_end_within_a_chunk_delivers_nothing),
		cmocka_unit_test(test_long_lines_are_refused),
		cmocka_unit_test(test_too_many_recipients),
		cmocka_unit_test(test_addresses_are_checked),
		cmocka_unit_test(test_turning_away_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
