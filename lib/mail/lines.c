#include "mail/lines.h"

#include <string.h>

void
lines_init(struct lines *l, bool is_header)
{
	*l = (struct lines){ .at_line_start = true, .is_header = is_header };
}

/* The first empty line ends the header, and the header's rules. */
static int
end_line(struct lines *l, struct buf *out)
{
	if (l->at_line_start)
		l->is_header = false;
	l->at_line_start = true;
	return buf_add(out, "\r\n", 2);
}

/* The CRs seen were not the end of a line with LF: they stand alone. */
static int
release_cr(struct lines *l, struct buf *out)
{
	while (l->pending_cr > 0) {
		l->pending_cr--;
		if (!l->is_header) {
			if (end_line(l, out) == -1)
				return -1;
			continue;
		}
		l->at_line_start = false;
		if (buf_putc(out, ' ') == -1)
			return -1;
	}
	return 0;
}

static int
add_text(struct lines *l, struct span text, struct buf *out)
{
	if (text.len == 0)
		return 0;
	if (l->pending_cr > 0 && release_cr(l, out) == -1)
		return -1;
	l->at_line_start = false;
	return buf_span(out, text);
}

/* Text without CR and LF, and in the header without NULs. */
static int
clean_text(struct lines *l, struct span text, struct buf *out)
{
	const char *nul;

	while (l->is_header && text.len > 0 &&
	    (nul = memchr(text.s, '\0', text.len)) != NULL) {
		size_t len = (size_t)(nul - text.s);

		if (add_text(l, (struct span){ text.s, len }, out) == -1)
			return -1;
		text.s += len + 1;
		text.len -= len + 1;
	}
	return add_text(l, text, out);
}

/* A piece without LF. */
static int
clean_piece(struct lines *l, struct span piece, struct buf *out)
{
	const char *cr;

	while (
	    piece.len > 0 && (cr = memchr(piece.s, '\r', piece.len)) != NULL) {
		size_t len = (size_t)(cr - piece.s);

		if (clean_text(l, (struct span){ piece.s, len }, out) == -1)
			return -1;
		piece.s += len + 1;
		piece.len -= len + 1;
		/* Without this limit a message of CRs would be held back whole
		 * and come out at once. */
		if (++l->pending_cr > LINES_CR_MAX && release_cr(l, out) == -1)
			return -1;
	}
	return clean_text(l, piece, out);
}

int
lines_clean(struct lines *l, struct span data, struct buf *out)
{
	while (data.len > 0) {
		const char *lf = memchr(data.s, '\n', data.len);
		struct span piece = { data.s,
			lf != NULL ? (size_t)(lf - data.s) : data.len };

		if (clean_piece(l, piece, out) == -1)
			return -1;
		data.s += piece.len;
		data.len -= piece.len;
		if (lf != NULL) {
			data.s++;
			data.len--;
			l->pending_cr = 0;
			if (end_line(l, out) == -1)
				return -1;
		}
	}
	return 0;
}

int
lines_finish(struct lines *l, struct buf *out)
{
	if (l->is_header)
		l->pending_cr = 0;
	if (release_cr(l, out) == -1)
		return -1;
	return l->at_line_start ? 0 : end_line(l, out);
}
