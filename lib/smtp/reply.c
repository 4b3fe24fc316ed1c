#include "smtp/reply.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "core/log.h"

void
reply_init(struct reply *r)
{
	*r = (struct reply){ .code = 0 };
	/* The answer to AUTH may hold something derived from credentials. */
	buf_init_secret(&r->text, REPLY_TOTAL_MAX);
}

void
reply_reset(struct reply *r)
{
	r->code = 0;
	r->dsn[0] = '\0';
	r->lines = 0;
	buf_reset(&r->text);
}

void
reply_done(struct reply *r)
{
	buf_done(&r->text);
}

int
reply_class(const struct reply *r)
{
	return r->code / 100;
}

static int
malformed(struct span line, struct failure *f)
{
	char shown[100];

	log_escape(shown, sizeof(shown), line.s, line.len);
	(void)failure_set(f, FAILURE_LATER,
	    "the server's answer is no SMTP reply: \"%s\"", shown);
	return failure_dsn(f, "4.5.0");
}

/* Three digits, the first two in range. */
static int
parse_code(struct span line)
{
	if (line.len < 3 || line.s[0] < '2' || line.s[0] > '5' ||
	    line.s[1] < '0' || line.s[1] > '5' || !ascii_is_digit(line.s[2]))
		return -1;
	return (line.s[0] - '0') * 100 + (line.s[1] - '0') * 10 +
	    (line.s[2] - '0');
}

/*
 * Length of an enhanced code at the start of text, 0 if there is none.
 *
 *	status-code = class "." subject "." detail
 *	class       = "2" / "4" / "5"
 *	subject     = 1*3DIGIT
 *	detail      = 1*3DIGIT
 */
static size_t
dsn_length(struct span text)
{
	size_t i = 1;

	if (text.len < 5 ||
	    (text.s[0] != '2' && text.s[0] != '4' && text.s[0] != '5'))
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		if (i >= text.len || text.s[i] != '.')
			return 0;
		i++;
		while (i < text.len && ascii_is_digit(text.s[i])) {
			i++;
			digits++;
		}
		if (digits < 1 || digits > 3)
			return 0;
	}
	return i == text.len || text.s[i] == ' ' ? i : 0;
}

/* Control characters would move terminals and split log lines. */
static bool
is_text(struct span line)
{
	for (size_t i = 0; i < line.len; i++)
		if (line.s[i] != '\t' && ascii_is_control(line.s[i]))
			return false;
	return true;
}

/* Whether a line with this code can be the reply's next one. */
static bool
continues(const struct reply *r, struct span line, int code)
{
	return code != -1 && (r->lines == 0 || code == r->code) &&
	    (line.len <= 3 || line.s[3] == ' ' || line.s[3] == '-') &&
	    is_text(line);
}

/* Cut the enhanced status code off a line's text; the first line's counts. */
static void
take_dsn(struct reply *r, struct span *text)
{
	size_t len = dsn_length(*text);

	if (r->lines == 0 && len > 0) {
		(void)snprintf(
		    r->dsn, sizeof(r->dsn), "%.*s", (int)len, text->s);
		/* The reply code counts where the two contradict. */
		r->dsn[0] = (char)('0' + r->code / 100);
	}
	text->s += len;
	text->len -= len;
}

int
reply_feed(struct reply *r, struct span line, struct failure *f)
{
	int code = parse_code(line);
	bool is_last = line.len < 4 || line.s[3] != '-';
	struct span text;

	if (!continues(r, line, code))
		return malformed(line, f);
	r->code = code;
	text = line.len > 4 ? (struct span){ line.s + 4, line.len - 4 }
			    : span_of("");
	take_dsn(r, &text);
	text = span_trim(text);
	if (++r->lines > REPLY_LINES_MAX ||
	    (r->lines > 1 && buf_putc(&r->text, '\n') == -1) ||
	    buf_span(&r->text, text) == -1) {
		(void)failure_set(
		    f, FAILURE_LATER, "the server's answer does not end");
		return failure_dsn(f, "4.5.0");
	}
	return is_last ? 1 : 0;
}

int
reply_write(const struct reply *r, struct buf *b)
{
	if (buf_printf(b, "%d", r->code) == -1 ||
	    (r->dsn[0] != '\0' && buf_printf(b, " %s", r->dsn) == -1) ||
	    (r->text.len > 0 && buf_putc(b, ' ') == -1))
		return -1;
	for (size_t i = 0; i < r->text.len; i++) {
		char c = r->text.s[i];

		if (buf_putc(b, (char)(c == '\n' ? ' ' : c)) == -1)
			return -1;
	}
	return 0;
}
