#include "smtp/server.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"
#include "mail/message.h"
#include "smtp/stream.h"

enum {
	LINE_MAX_OCTETS = 2048, /* RFC 5321: 512 and what extensions add */
	REPLY_LINE_TEXT = 400,  /* of a long text on one line of a reply */
	BLOCK = 64 * 1024,
	TURN_AWAY_TIMEOUT = 60
};

struct session {
	const struct server *server;
	struct stream *stream;
	struct server_envelope envelope;
	bool has_sender;
	bool has_quit;
	/* a message that comes in chunks */
	struct message message;
	bool has_message; /* a chunk was taken */
	bool has_begun;   /* in the sink */
	uint64_t size;
	struct failure chunk_failure; /* why the rest is only skipped */
};

/* Begin to wait for the caller. */
static void
await(const struct session *s)
{
	int timeout = s->server->timeout;

	stream_set_deadline(
	    s->stream, timeout > 0 ? clock_deadline(timeout) : INT64_MAX);
}

/* ---- answers ---- */

static int
answer(struct session *s, struct failure *f, const char *text)
{
	if (stream_write(s->stream, span_of(text), f) == -1 ||
	    stream_write(s->stream, span_of("\r\n"), f) == -1)
		return -1;
	return 0;
}

/* 4yz for what can be mended by time or an administrator, else 5yz. */
static int
code_of(const struct failure *reason)
{
	switch (reason->kind) {
	case FAILURE_AUTH:
	case FAILURE_CONFIG:
	case FAILURE_LATER:
		return 451;
	case FAILURE_NONE:
	case FAILURE_USAGE:
	case FAILURE_DATA:
	case FAILURE_PEER:
	case FAILURE_BUG:
		break;
	}
	return 554;
}

/* What these two are about is said by kind, whatever the detail was. */
static const char *
dsn_of(const struct failure *reason)
{
	const char *dsn = reason->dsn[0] != '\0' ? reason->dsn : NULL;

	switch (reason->kind) {
	case FAILURE_AUTH:
		return "4.7.8";
	case FAILURE_CONFIG:
		return "4.3.5";
	case FAILURE_LATER:
		return dsn != NULL ? dsn : "4.3.0";
	case FAILURE_DATA:
		return dsn != NULL ? dsn : "5.6.0";
	case FAILURE_NONE:
	case FAILURE_USAGE:
	case FAILURE_PEER:
	case FAILURE_BUG:
		break;
	}
	return dsn != NULL ? dsn : "5.3.0";
}

/* A reason as a reply of as many lines as it needs, cut at blanks. */
static int
answer_failure(struct session *s, struct failure *f, int code,
    const struct failure *reason)
{
	char shown[FAILURE_TEXT_SIZE];
	char line[REPLY_LINE_TEXT + 32];
	const char *rest = shown;

	log_escape(shown, sizeof(shown), reason->text, strlen(reason->text));
	for (;;) {
		size_t len = strlen(rest);
		bool is_last = len <= REPLY_LINE_TEXT;

		if (!is_last) {
			len = REPLY_LINE_TEXT;
			while (len > 1 && rest[len] != ' ')
				len--;
		}
		(void)snprintf(line, sizeof(line), "%d%c%s %.*s", code,
		    is_last ? ' ' : '-', dsn_of(reason), (int)len, rest);
		if (answer(s, f, line) == -1 || is_last)
			return is_last ? 0 : -1;
		rest += len;
		rest += strspn(rest, " ");
	}
}

/* ---- the transaction ---- */

static void
forget_message(struct session *s)
{
	message_done(&s->message);
	message_init(&s->message);
	if (s->has_begun)
		s->server->sink->forget(s->server->context);
	s->has_begun = false;
	s->has_message = false;
	s->size = 0;
	s->chunk_failure = (struct failure){ .kind = FAILURE_NONE };
}

static void
forget_envelope(struct session *s)
{
	mailbox_done(&s->envelope.sender);
	mailbox_list_done(&s->envelope.recipients);
	s->envelope = (struct server_envelope){ .recipients = { 0 } };
	s->has_sender = false;
}

static void
forget_all(struct session *s)
{
	forget_message(s);
	forget_envelope(s);
}

/* Store a piece of the message: -1, *f. */
static int
store(struct session *s, struct span piece, struct failure *f)
{
	const struct server *server = s->server;

	if (server->sink == NULL)
		return message_write(&s->message, piece, f);
	if (!s->has_begun &&
	    server->sink->begin(server->context, &s->envelope, f) == -1)
		return -1;
	s->has_begun = true;
	return server->sink->write(server->context, piece, f);
}

/* The message is complete: hand it over. */
static int
hand_over(struct session *s, struct buf *text, struct failure *f)
{
	const struct server *server = s->server;

	if (server->sink == NULL) {
		if (message_finish(&s->message, f) == -1)
			return -1;
		return server->deliver(
		    server->context, &s->envelope, &s->message, text, f);
	}
	if (store(s, (struct span){ "", 0 }, f) == -1)
		return -1;
	s->has_begun = false;
	return server->sink->end(server->context, text, f);
}

static int
deliver(struct session *s, struct failure *f)
{
	struct failure reason;
	struct buf text;
	int r;

	buf_init(&text, REPLY_LINE_TEXT);
	(void)buf_puts(&text, "250 ");
	r = hand_over(s, &text, &reason);
	if (r == 0)
		r = answer(s, f, text.s);
	else
		r = answer_failure(s, f, code_of(&reason), &reason);
	buf_done(&text);
	forget_all(s);
	return r;
}

/* Count and store a piece; what comes after a failure is skipped. */
static void
take_piece(struct session *s, struct span piece)
{
	if (s->chunk_failure.kind != FAILURE_NONE)
		return;
	s->size += piece.len;
	if (s->size > s->server->size_max) {
		(void)failure_set(&s->chunk_failure, FAILURE_DATA,
		    "the message is larger than %llu octets",
		    (unsigned long long)s->server->size_max);
		(void)failure_dsn(&s->chunk_failure, "5.3.4");
		return;
	}
	/* The failure stays in chunk_failure. */
	(void)store(s, piece, &s->chunk_failure);
}

/* ---- commands ---- */

/* "<path> PARAMETERS" behind "FROM:" or "TO:": both views into arg. */
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
	if (arg.len == 0 || arg.s[0] != '<')
		return false;
	for (i = 1; i < arg.len; i++) {
		if (arg.s[i] == '\\' && is_quoted)
			i++;
		else if (arg.s[i] == '"')
			is_quoted = !is_quoted;
		else if (arg.s[i] == '>' && !is_quoted)
			break;
	}
	if (i >= arg.len)
		return false;
	*path = (struct span){ arg.s + 1, i - 1 };
	*parameters =
	    span_trim((struct span){ arg.s + i + 1, arg.len - i - 1 });
	return true;
}

static const char *const mail_parameters[] = { "SIZE", "BODY", "RET", "ENVID",
	"AUTH", "SMTPUTF8", "XDELIVER", NULL };
static const char *const rcpt_parameters[] = { "NOTIFY", "ORCPT", NULL };

static bool
is_known_parameter(struct span word, const char *const *known)
{
	for (; *known != NULL; known++) {
		size_t len = strlen(*known);

		if (word.len >= len &&
		    ascii_equal_nocase(word.s, *known, len) &&
		    (word.len == len || word.s[len] == '='))
			return true;
	}
	return false;
}

/* What parameters say that means something here. */
struct parameters {
	uint64_t size;
	char delivery;
};

static bool
has_prefix_nocase(struct span s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len > len && ascii_equal_nocase(s.s, prefix, len);
}

/* Others are taken and mean nothing yet. */
static bool
check_parameters(
    struct span rest, const char *const *known, struct parameters *out)
{
	for (rest = span_trim(rest); rest.len > 0;) {
		struct span word = span_cut_word(&rest);

		if (!is_known_parameter(word, known))
			return false;
		if (has_prefix_nocase(word, "SIZE=") &&
		    parse_u64((struct span){ word.s + 5, word.len - 5 },
			INT64_MAX, &out->size) == -1)
			return false;
		if (has_prefix_nocase(word, "XDELIVER="))
			out->delivery = ascii_lower(word.s[9]);
	}
	return true;
}

/* Of all recipients the last one decides. */
static void
take_dsn(struct session *s, struct span parameters)
{
	struct span word;

	while ((word = span_cut_word(&parameters)).len > 0)
		dsn_take_parameter(&s->envelope.dsn, word);
}

static int
do_mail(struct session *s, struct span arg, struct failure *f)
{
	struct failure reason;
	struct parameters given = { .size = 0 };
	struct span path, parameters;

	if (s->has_sender)
		return answer(s, f, "503 5.5.1 Sender already given");
	if (!split_path(arg, "FROM:", &path, &parameters))
		return answer(s, f, "501 5.5.4 Syntax: MAIL FROM:<address>");
	if (!check_parameters(parameters, mail_parameters, &given))
		return answer(s, f, "555 5.5.4 Unknown MAIL parameter");
	if (given.size > s->server->size_max)
		return answer(s, f, "552 5.3.4 The message is too large");
	if (mailbox_parse_sender(path, &s->envelope.sender, &reason) == -1) {
		(void)failure_dsn(&reason, "5.1.7");
		return answer_failure(s, f, 553, &reason);
	}
	take_dsn(s, parameters);
	s->has_sender = true;
	s->envelope.delivery = given.delivery;
	return answer(s, f, "250 2.1.0 Ok");
}

static int
do_rcpt(struct session *s, struct span arg, struct failure *f)
{
	struct parameters given = { .size = 0 };
	struct failure reason;
	struct span path, parameters;
	struct mailbox recipient;

	if (!s->has_sender)
		return answer(s, f, "503 5.5.1 Need MAIL first");
	if (!split_path(arg, "TO:", &path, &parameters))
		return answer(s, f, "501 5.5.4 Syntax: RCPT TO:<address>");
	if (!check_parameters(parameters, rcpt_parameters, &given))
		return answer(s, f, "555 5.5.4 Unknown RCPT parameter");
	if (s->envelope.recipients.count >= SERVER_RECIPIENTS_MAX)
		return answer(s, f, "452 4.5.3 Too many recipients");
	if (mailbox_parse(path, &recipient, &reason) == -1) {
		(void)failure_dsn(&reason, "5.1.3");
		return answer_failure(s, f, 553, &reason);
	}
	take_dsn(s, parameters);
	mailbox_list_add(&s->envelope.recipients, &recipient);
	mailbox_done(&recipient);
	return answer(s, f, "250 2.1.5 Ok");
}

/* Read exactly size octets into the message, or past it. */
static int
read_chunk(struct session *s, uint64_t size, bool is_wanted, struct failure *f)
{
	static char block[BLOCK];

	while (size > 0) {
		size_t want = size < BLOCK ? (size_t)size : BLOCK;
		ssize_t n;

		await(s);
		n = stream_read(s->stream, block, want, f);
		if (n == 0)
			return failure_set(f, FAILURE_LATER,
			    "the caller went away within a message");
		if (n == -1)
			return -1;
		if (is_wanted)
			take_piece(s, (struct span){ block, (size_t)n });
		size -= (uint64_t)n;
	}
	return 0;
}

/* bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF  (RFC 3030 2) */
static int
do_bdat(struct session *s, struct span arg, struct failure *f)
{
	bool is_wanted = s->envelope.recipients.count > 0;
	struct failure reason;
	struct span number = span_cut_word(&arg);
	struct span marker = span_cut_word(&arg);
	bool is_last = span_is_nocase(marker, "LAST");
	uint64_t size;

	if (parse_u64(number, INT64_MAX, &size) == -1 ||
	    (marker.len > 0 && !is_last) || span_trim(arg).len > 0) {
		/* Where the chunk ends is unknown: nothing more is safe. */
		s->has_quit = true;
		return answer(s, f, "501 5.5.4 Syntax: BDAT size [LAST]");
	}
	if (read_chunk(s, size, is_wanted, f) == -1)
		return -1;
	if (!is_wanted)
		return answer(s, f, "554 5.5.1 No valid recipients");
	s->has_message = true;
	if (s->chunk_failure.kind != FAILURE_NONE) {
		reason = s->chunk_failure;
		if (is_last)
			forget_all(s);
		return answer_failure(s, f, code_of(&reason), &reason);
	}
	if (is_last)
		return deliver(s, f);
	return answer(s, f, "250 2.0.0 Ok");
}

static int
do_ehlo(struct session *s, struct span arg, struct failure *f)
{
	char line[128];

	(void)arg;
	forget_all(s);
	(void)snprintf(line, sizeof(line), "250-SIZE %llu",
	    (unsigned long long)s->server->size_max);
	if (stream_write(s->stream, span_of("250-"), f) == -1 ||
	    answer(s, f, s->server->host_name) == -1 ||
	    answer(s, f, "250-PIPELINING") == -1 || answer(s, f, line) == -1 ||
	    answer(s, f, "250-ENHANCEDSTATUSCODES") == -1 ||
	    answer(s, f, "250-8BITMIME") == -1 ||
	    answer(s, f, "250-DSN") == -1 || answer(s, f, "250-SMTPUTF8") == -1)
		return -1;
	return answer(s, f, "250 CHUNKING");
}

static int
do_rset(struct session *s, struct span arg, struct failure *f)
{
	(void)arg;
	forget_all(s);
	return answer(s, f, "250 2.0.0 Ok");
}

static int
do_noop(struct session *s, struct span arg, struct failure *f)
{
	(void)arg;
	return answer(s, f, "250 2.0.0 Ok");
}

static int
do_queue(struct session *s, struct span arg, struct failure *f)
{
	const struct server *server = s->server;
	struct failure reason;

	if (server->queue == NULL)
		return answer(s, f, "502 5.5.1 There is no queue");
	if (server->queue(
		server->context, span_trim(arg), s->stream, &reason) == 0)
		return 0;
	return answer_failure(s, f, code_of(&reason), &reason);
}

static int
do_quit(struct session *s, struct span arg, struct failure *f)
{
	(void)arg;
	s->has_quit = true;
	return answer(s, f, "221 2.0.0 Bye");
}

static const struct {
	const char *verb;
	int (*run)(struct session *s, struct span arg, struct failure *f);
	bool is_for_chunks; /* may come between chunks of a message */
} commands[] = {
	{ "BDAT", do_bdat, true },
	{ "EHLO", do_ehlo, true },
	{ "MAIL", do_mail, false },
	{ "NOOP", do_noop, true },
	{ "QUIT", do_quit, true },
	{ "RCPT", do_rcpt, false },
	{ "RSET", do_rset, true },
	{ "XQUEUE", do_queue, false },
};

static int
run_command(struct session *s, struct span line, struct failure *f)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		size_t len = strlen(commands[i].verb);
		struct span verb = { line.s, line.len < len ? line.len : len };
		struct span arg = { line.s + verb.len, line.len - verb.len };

		if (!span_is_nocase(verb, commands[i].verb) ||
		    (arg.len > 0 && arg.s[0] != ' '))
			continue;
		if (s->has_message && !commands[i].is_for_chunks)
			return answer(s, f, "503 5.5.1 BDAT is not finished");
		return commands[i].run(s, arg, f);
	}
	return answer(s, f, "500 5.5.2 Unknown command");
}

/* One line from the caller: 1 go on, 0 it is gone, -1. */
static int
serve_line(struct session *s, struct buf *line, struct failure *f)
{
	int r;

	buf_reset(line);
	await(s);
	r = stream_read_line(s->stream, LINE_MAX_OCTETS, line, f);
	if (r == 0)
		return 0;
	if (r == -1 && f->kind == FAILURE_DATA)
		return answer(s, f, "500 5.5.6 Line too long") == -1 ? -1 : 1;
	if (r == -1 || run_command(s, buf_view(line), f) == -1)
		return -1;
	return s->has_quit ? 0 : 1;
}

int
server_run(
    const struct server *server, struct stream *stream, struct failure *f)
{
	struct session s = { .server = server, .stream = stream };
	struct buf line;
	int r = 1;

	message_init(&s.message);
	buf_init(&line, LINE_MAX_OCTETS + 2);
	await(&s);
	if (stream_write(stream, span_of("220 "), f) == -1 ||
	    stream_write(stream, span_of(server->host_name), f) == -1 ||
	    answer(&s, f, " ESMTP sendmail365") == -1)
		r = -1;
	while (r == 1)
		r = serve_line(&s, &line, f);
	if (r == 0)
		r = stream_flush(stream, f);
	forget_all(&s);
	message_done(&s.message);
	buf_done(&line);
	return r;
}

void
server_turn_away(struct stream *stream, const struct failure *reason)
{
	struct session s = { .stream = stream };
	struct failure ignored;

	stream_set_deadline(stream, clock_deadline(TURN_AWAY_TIMEOUT));
	/* A caller that does not listen has its exit status all the same. */
	if (answer_failure(&s, &ignored, 421, reason) == 0)
		(void)stream_flush(stream, &ignored);
}
