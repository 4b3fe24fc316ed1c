#include "replies.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "core/sysexit.h"
#include "mail/address.h"

enum {
	LINE_MAX_BYTES = 4096,
	TEXT_MAX = FAILURE_TEXT_SIZE,
	NAMES_MAX = 400, /* of refused recipients, in the error line */
	CODE_CLOSING = 421,
	/* positions */
	REPLY_MAIL = 2,
	REPLY_FIRST_RCPT = 3
};

static void
answer_init(struct answer *a)
{
	*a = (struct answer){ 0 };
	buf_init(&a->text, TEXT_MAX);
}

/* Append as much of s as there is room for. */
static void
add_cut(struct buf *b, struct span s)
{
	size_t room = b->max - b->len;

	(void)buf_add(b, s.s, s.len < room ? s.len : room);
}

void
replies_init(struct replies *r, const struct mailbox_list *recipients)
{
	*r = (struct replies){ .recipients = recipients, .last = SIZE_MAX };
	buf_init(&r->line, LINE_MAX_BYTES);
	buf_init(&r->refused, NAMES_MAX);
	answer_init(&r->current);
	answer_init(&r->decisive);
	answer_init(&r->refusal);
}

void
replies_done(struct replies *r)
{
	buf_done(&r->line);
	buf_done(&r->refused);
	buf_done(&r->current.text);
	buf_done(&r->decisive.text);
	buf_done(&r->refusal.text);
}

void
replies_expect_last(struct replies *r, size_t chunk)
{
	r->last = REPLY_FIRST_RCPT + r->recipients->count + chunk;
}

static bool
all_refused(const struct replies *r)
{
	return r->refused_count > 0 && r->refused_count == r->recipients->count;
}

bool
replies_are_decided(const struct replies *r)
{
	return r->decisive.code != 0 || r->is_malformed || all_refused(r);
}

/* ---- one reply ---- */

/* Move a complete reply to where it is kept. */
static void
keep(struct answer *to, struct answer *from)
{
	buf_done(&to->text);
	*to = *from;
	answer_init(from);
}

static void
refuse_recipient(struct replies *r, const struct mailbox *m)
{
	if (r->refused_count++ == 0)
		keep(&r->refusal, &r->current);
	if (r->refused.len > 0)
		add_cut(&r->refused, span_of(", "));
	if (mailbox_write_address(&r->refused, m) == -1)
		add_cut(&r->refused, span_of("..."));
}

static void
take_reply(struct replies *r)
{
	size_t position = r->count++;
	size_t recipient = position - REPLY_FIRST_RCPT;
	bool is_rcpt =
	    position > REPLY_MAIL && recipient < r->recipients->count;
	bool is_good = r->current.code / 100 == 2;

	if (replies_are_decided(r) || (is_good && position != r->last))
		return;
	if (is_rcpt && r->current.code != CODE_CLOSING)
		refuse_recipient(r, &r->recipients->items[recipient]);
	else
		keep(&r->decisive, &r->current);
}

/* ---- one line ---- */

/*
 * How long the enhanced code at the start of text is, or 0:
 * class "." subject "." detail (RFC 3463), at most "5.777.7777".
 */
static size_t
dsn_length(struct span text)
{
	size_t dots = 0;
	size_t i = 0;

	while (i < text.len && (ascii_is_digit(text.s[i]) || text.s[i] == '.'))
		dots += text.s[i++] == '.';
	if (dots != 2 || text.s[1] != '.' || text.s[i - 1] == '.')
		return 0;
	if (i < text.len && text.s[i] != ' ')
		return 0;
	return i < sizeof(((struct answer *)NULL)->dsn) ? i : 0;
}

static void
take_text(struct answer *a, struct span text)
{
	size_t len = dsn_length(text);

	if (len > 0) {
		(void)snprintf(
		    a->dsn, sizeof(a->dsn), "%.*s", (int)len, text.s);
		text.s += len;
		text.len -= len;
	}
	text = span_trim(text);
	if (a->text.len > 0 && text.len > 0)
		add_cut(&a->text, span_of(" "));
	add_cut(&a->text, text);
}

/* Reply-line = code "-" text / code [ SP text ]     (RFC 5321 4.2) */
static void
take_line(struct replies *r, struct span line)
{
	struct span code = { line.s, 3 };
	uint64_t number = 0;

	if (line.len < 3 || parse_u64(code, 599, &number) == -1 ||
	    number < 200 ||
	    (line.len > 3 && line.s[3] != ' ' && line.s[3] != '-')) {
		r->is_malformed = true;
		return;
	}
	r->current.code = (int)number;
	if (line.len > 4)
		take_text(
		    &r->current, (struct span){ line.s + 4, line.len - 4 });
	if (line.len > 3 && line.s[3] == '-')
		return;
	take_reply(r);
	buf_done(&r->current.text);
	answer_init(&r->current);
}

void
replies_feed(struct replies *r, struct span data)
{
	for (size_t i = 0; i < data.len && !r->is_malformed; i++) {
		if (data.s[i] != '\n') {
			/* More than a line can hold is cut. */
			(void)buf_putc(&r->line, data.s[i]);
			continue;
		}
		take_line(r, span_trim(buf_view(&r->line)));
		buf_reset(&r->line);
	}
}

/* ---- the outcome ---- */

static int
explain(const struct answer *a, const char *whom, struct failure *f)
{
	const char *text = a->text.len > 0 ? a->text.s : "no reason was given";

	(void)failure_set(f, FAILURE_PEER, "%s", text);
	if (whom != NULL)
		(void)failure_at(f, "not sent to %s", whom);
	(void)failure_dsn(f, a->dsn);
	return sysexit_from_reply(a->code, a->dsn);
}

int
replies_outcome(const struct replies *r, struct failure *f)
{
	bool is_sent = r->decisive.code / 100 == 2;

	if (r->refused_count > 0 && (is_sent || all_refused(r)))
		return explain(&r->refusal, r->refused.s, f);
	if (is_sent)
		return EX_OK;
	if (r->decisive.code != 0)
		return explain(&r->decisive, NULL, f);
	if (r->is_malformed) {
		(void)failure_set(f, FAILURE_BUG,
		    "sendmail365 answers what is not SMTP; do both "
		    "programs have the same version?");
		return EX_SOFTWARE;
	}
	(void)failure_set(
	    f, FAILURE_LATER, "sendmail365 ended without an answer");
	return EX_TEMPFAIL;
}
