#include "mail/encode.h"

#include <string.h>

#include "core/ascii.h"

enum {
	/* RFC 2047 allows 75; with less, the name of a common field still fits
	 * on the line before the first word. */
	WORD_MAX = 66,
	QP_LINE_MAX = 76 /* RFC 2045 6.7, rule 5, the "=" included */
};

static const char hex_digits[] = "0123456789ABCDEF";

/* ---- encoded words (RFC 2047 2) ----
 *
 * encoded-word = "=?" charset "?" encoding "?" encoded-text "?="
 */

/* The number of characters before the next '?', blank, control or 8-bit. */
static size_t
part_length(struct span s)
{
	size_t i = 0;

	while (i < s.len && s.s[i] > ' ' && s.s[i] < 0x7f && s.s[i] != '?')
		i++;
	return i;
}

/* Take text up to '?' and the '?' itself off *s. */
static bool
take_part(struct span *s, struct span *part)
{
	part->s = s->s;
	part->len = part_length(*s);
	if (part->len == s->len || s->s[part->len] != '?')
		return false;
	s->s += part->len + 1;
	s->len -= part->len + 1;
	return true;
}

bool
encoded_word_is(struct span s)
{
	struct span part;

	if (!take_part(&s, &part) || !span_is(part, "="))
		return false;
	if (!take_part(&s, &part) || part.len == 0)
		return false;
	if (!take_part(&s, &part) ||
	    !(span_is_nocase(part, "q") || span_is_nocase(part, "b")))
		return false;
	return take_part(&s, &part) && span_is(s, "=");
}

/* May stand for itself in a Q word, even in a phrase (RFC 2047 5(3)). */
static bool
is_q_plain(char c)
{
	return ascii_is_alnum(c) || (c != '\0' && strchr("!*+-/", c) != NULL);
}

static size_t
q_length(struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += is_q_plain(text.s[i]) || text.s[i] == ' ' ? 1 : 3;
	return n;
}

static int
add_hex(struct buf *b, char c)
{
	const unsigned char u = (unsigned char)c;
	const char code[3] = { '=', hex_digits[u >> 4], hex_digits[u & 15] };

	return buf_add(b, code, sizeof(code));
}

static int
add_q(struct buf *b, struct span text)
{
	int r = 0;

	for (size_t i = 0; i < text.len && r == 0; i++) {
		if (text.s[i] == ' ')
			r = buf_putc(b, '_');
		else if (is_q_plain(text.s[i]))
			r = buf_putc(b, text.s[i]);
		else
			r = add_hex(b, text.s[i]);
	}
	return r;
}

/* Base64 of one to three octets. */
static int
add_b_group(struct buf *b, const char *s, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned long bits = 0;
	char code[4] = { '=', '=', '=', '=' };

	for (size_t i = 0; i < 3; i++)
		bits = bits << 8 | (i < len ? (unsigned char)s[i] : 0);
	for (size_t i = 0; i <= len; i++)
		code[i] = digits[bits >> (18 - 6 * i) & 63];
	return buf_add(b, code, sizeof(code));
}

static int
add_b(struct buf *b, struct span text)
{
	for (size_t i = 0; i < text.len; i += 3) {
		size_t len = text.len - i < 3 ? text.len - i : 3;

		if (add_b_group(b, text.s + i, len) == -1)
			return -1;
	}
	return 0;
}

/* How encoded words of one text are made. */
struct word_style {
	const char *charset;
	bool is_q;
	bool is_utf8;
	size_t room; /* for the encoded text of one word */
};

static struct word_style
choose_style(struct span text)
{
	struct word_style style = { .is_utf8 =
					utf8_is_valid(text.s, text.len) };
	size_t overhead = strlen("=?"
				 "?Q?"
				 "?=");

	style.charset = style.is_utf8 ? "utf-8" : "unknown-8bit";
	/* Q is readable where most of the text is ASCII, B is shorter where
	 * it is not. */
	style.is_q = q_length(text) <= 2 * text.len;
	style.room = WORD_MAX - overhead - strlen(style.charset);
	return style;
}

/* The octets of the character at the start of s. */
static size_t
char_length(const struct word_style *style, struct span s)
{
	size_t n = 1;

	while (style->is_utf8 && n < s.len && (s.s[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* As many characters from the start of text as one word can take. */
static struct span
word_text(const struct word_style *style, struct span text)
{
	struct span rest = text;
	size_t used = 0;

	while (rest.len > 0) {
		struct span c = { rest.s, char_length(style, rest) };
		size_t size = style->is_q ? q_length(c) : c.len;
		size_t room = style->is_q ? style->room : style->room / 4 * 3;

		if (used + size > room)
			break;
		used += size;
		rest.s += c.len;
		rest.len -= c.len;
	}
	return (struct span){ text.s, text.len - rest.len };
}

int
encoded_words_write(struct buf *b, struct span text)
{
	struct word_style style = choose_style(text);
	const char *blank = "";

	while (text.len > 0) {
		struct span part = word_text(&style, text);

		if (buf_printf(b, "%s=?%s?%c?", blank, style.charset,
			style.is_q ? 'Q' : 'B') == -1)
			return -1;
		if ((style.is_q ? add_q(b, part) : add_b(b, part)) == -1)
			return -1;
		if (buf_puts(b, "?=") == -1)
			return -1;
		text.s += part.len;
		text.len -= part.len;
		blank = " ";
	}
	return 0;
}

/* ---- unstructured text ---- */

/* From a word with 8-bit characters on, all that are not without one. */
static struct span
eight_bit_run(struct span s)
{
	struct span run = { s.s, 0 };

	while (run.len < s.len) {
		struct span piece =
		    span_piece((struct span){ s.s + run.len, s.len - run.len });

		if (!ascii_has_8bit(piece))
			break;
		run.len += piece.len;
	}
	return run;
}

/*
 * Readers drop the blanks between two encoded words (RFC 2047 6.2).  A run
 * beside one which was there already therefore carries them inside, and one
 * more blank separates the words.
 */
static int
write_run(struct buf *b, struct span run, size_t blanks, bool follows_encoded)
{
	struct span separator = { run.s, blanks };

	if (!follows_encoded) {
		run.s += blanks;
		run.len -= blanks;
	} else {
		separator.len = 1;
	}
	return buf_span(b, separator) == -1 ? -1 : encoded_words_write(b, run);
}

/* The blanks at the start of s if an encoded word is behind them, else 0. */
static size_t
blanks_before_encoded(struct span s)
{
	struct span piece = span_piece(s);
	struct span word = span_trim(piece);

	return encoded_word_is(word) ? piece.len - word.len : 0;
}

int
encode_unstructured(struct buf *b, struct span value)
{
	bool follows_encoded = false;
	int r = 0;

	while (value.len > 0 && r == 0) {
		struct span piece = span_piece(value);
		struct span word = span_trim(piece);
		size_t blanks = piece.len - word.len;
		bool is_8bit = ascii_has_8bit(word);

		if (is_8bit)
			piece = eight_bit_run(value);
		value.s += piece.len;
		value.len -= piece.len;
		if (is_8bit) {
			piece.len += blanks_before_encoded(value);
			r = write_run(b, piece, blanks, follows_encoded);
		} else {
			r = buf_span(b, piece);
			follows_encoded = encoded_word_is(word);
		}
	}
	return r;
}

/* ---- quoted-printable (RFC 2045 6.7) ---- */

void
qp_init(struct qp *qp)
{
	*qp = (struct qp){ .column = 0 };
}

/* Make room on the line for n more characters: a soft line break. */
static int
make_room(struct qp *qp, size_t n, struct buf *out)
{
	if (qp->column + n < QP_LINE_MAX)
		return 0;
	qp->column = 0;
	return buf_puts(out, "=\r\n");
}

static int
add_code(struct qp *qp, char c, struct buf *out)
{
	if (make_room(qp, 3, out) == -1)
		return -1;
	qp->column += 3;
	return add_hex(out, c);
}

static int
add_plain(struct qp *qp, char c, struct buf *out)
{
	if (make_room(qp, 1, out) == -1)
		return -1;
	qp->column++;
	return buf_putc(out, c);
}

/* What was held back turned out not to stand before a line end. */
static int
release(struct qp *qp, struct buf *out)
{
	int r = 0;

	if (qp->blank != '\0')
		r = add_plain(qp, qp->blank, out);
	qp->blank = '\0';
	return r;
}

/* A blank at the end of a line, or of all, would be lost: rule 3. */
static int
protect_blank(struct qp *qp, struct buf *out)
{
	int r = 0;

	if (qp->blank != '\0')
		r = add_code(qp, qp->blank, out);
	qp->blank = '\0';
	return r;
}

static int
end_line(struct qp *qp, struct buf *out)
{
	if (protect_blank(qp, out) == -1)
		return -1;
	qp->column = 0;
	return buf_puts(out, "\r\n");
}

static int
add_octet(struct qp *qp, char c, struct buf *out)
{
	if (qp->has_cr) {
		qp->has_cr = false;
		if (c == '\n')
			return end_line(qp, out);
		if (release(qp, out) == -1 || add_code(qp, '\r', out) == -1)
			return -1;
	}
	if (c == '\r') {
		qp->has_cr = true;
		return 0;
	}
	if (release(qp, out) == -1)
		return -1;
	if (ascii_is_blank(c)) {
		qp->blank = c;
		return 0;
	}
	if (c > ' ' && c < 0x7f && c != '=')
		return add_plain(qp, c, out);
	return add_code(qp, c, out);
}

int
qp_write(struct qp *qp, struct span data, struct buf *out)
{
	for (size_t i = 0; i < data.len; i++)
		if (add_octet(qp, data.s[i], out) == -1)
			return -1;
	return 0;
}

int
qp_finish(struct qp *qp, struct buf *out)
{
	if (!qp->has_cr)
		return protect_blank(qp, out);
	qp->has_cr = false;
	if (release(qp, out) == -1)
		return -1;
	return add_code(qp, '\r', out);
}
