#include "mail/header.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"

enum {
	LINE_LENGTH = 78 /* RFC 5322 2.1.1: should not be exceeded */
};

void
header_done(struct header *h)
{
	for (size_t i = 0; i < h->count; i++)
		free(h->fields[i].text);
	free(h->fields);
	*h = (struct header){ NULL, 0 };
}

/* ---- one field ---- */

struct span
field_name(const struct field *field)
{
	return (struct span){ field->text, field->name_len };
}

bool
field_is(const struct field *field, const char *name)
{
	return span_is_nocase(field_name(field), name);
}

struct span
field_value(const struct field *field)
{
	size_t start = field->name_len + 1;

	return span_trim(
	    (struct span){ field->text + start, field->len - start });
}

/* Append s without its line ends: the blank after a fold stays. */
static int
add_unfolded(struct buf *b, struct span s)
{
	size_t start = 0;

	for (size_t i = 0; i <= s.len; i++) {
		if (i < s.len && s.s[i] != '\r' && s.s[i] != '\n')
			continue;
		if (buf_add(b, s.s + start, i - start) == -1)
			return -1;
		start = i + 1;
	}
	return 0;
}

int
field_unfold(const struct field *field, struct buf *b)
{
	return add_unfolded(b, field_value(field));
}

/* ---- all fields ---- */

size_t
header_find(const struct header *h, const char *name, size_t from)
{
	size_t i = from;

	while (i < h->count && !field_is(&h->fields[i], name))
		i++;
	return i < h->count ? i : h->count;
}

bool
header_has(const struct header *h, const char *name)
{
	return header_find(h, name, 0) < h->count;
}

/* Append a field; its text becomes the header's. */
static void
push_field(struct header *h, struct field field)
{
	h->fields = xgrow(h->fields, h->count, sizeof(field));
	h->fields[h->count++] = field;
}

void
header_add(struct header *h, const char *name, const char *value)
{
	char *text = xasprintf("%s: %s", name, value);

	push_field(h, (struct field){ text, strlen(text), strlen(name) });
}

void
header_remove(struct header *h, size_t i)
{
	free(h->fields[i].text);
	h->count--;
	memmove(&h->fields[i], &h->fields[i + 1],
	    (h->count - i) * sizeof(h->fields[0]));
}

static bool
field_is_any(const struct field *field, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (field_is(field, names[i]))
			return true;
	return false;
}

void
header_remove_named(struct header *h, const char *const *names, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->count; i++) {
		if (field_is_any(&h->fields[i], names, count))
			free(h->fields[i].text);
		else
			h->fields[kept++] = h->fields[i];
	}
	h->count = kept;
}

int
header_write(const struct header *h, struct buf *b)
{
	for (size_t i = 0; i < h->count; i++)
		if (buf_add(b, h->fields[i].text, h->fields[i].len) == -1 ||
		    buf_puts(b, "\r\n") == -1)
			return -1;
	return 0;
}

/* ---- folding ---- */

/* The start of s up to a word that ends in a comma, or all of it. */
static struct span
next_clause(struct span s)
{
	struct span rest = s;

	while (rest.len > 0) {
		struct span piece = span_piece(rest);

		rest.s += piece.len;
		rest.len -= piece.len;
		if (piece.s[piece.len - 1] == ',')
			break;
	}
	return (struct span){ s.s, s.len - rest.len };
}

/* Append piece, on a new line if it does not fit on the present one and has a
 * blank with which a line can begin. */
static int
fold_piece(struct buf *b, struct span piece, size_t *column)
{
	if (ascii_is_blank(piece.s[0]) && *column + piece.len > LINE_LENGTH) {
		if (buf_puts(b, "\r\n") == -1)
			return -1;
		*column = 0;
	}
	*column += piece.len;
	return buf_span(b, piece);
}

/* Append what lies between two commas: on one line if it fits on one. */
static int
fold_clause(struct buf *b, struct span clause, size_t *column)
{
	bool is_first = !ascii_is_blank(clause.s[0]);
	int r = 0;

	/* What begins with blanks can have a line of its own. */
	if ((is_first ? *column : 0) + clause.len <= LINE_LENGTH)
		return fold_piece(b, clause, column);
	while (clause.len > 0 && r == 0) {
		struct span piece = span_piece(clause);

		r = fold_piece(b, piece, column);
		clause.s += piece.len;
		clause.len -= piece.len;
	}
	return r;
}

int
header_fold(struct buf *b, struct span value, size_t used)
{
	struct buf unfolded;
	struct span rest;
	size_t column = used;
	int r;

	buf_init(&unfolded, value.len);
	r = add_unfolded(&unfolded, span_trim(value));
	rest = buf_view(&unfolded);
	while (rest.len > 0 && r == 0) {
		struct span clause = next_clause(rest);

		r = fold_clause(b, clause, &column);
		rest.s += clause.len;
		rest.len -= clause.len;
	}
	buf_done(&unfolded);
	return r;
}

/* ---- reading ---- */

void
header_reader_init(struct header_reader *r)
{
	*r = (struct header_reader){ .bytes = 0 };
	buf_init(&r->field, HEADER_MAX_BYTES);
	buf_init(&r->line, HEADER_MAX_BYTES);
	buf_init(&r->spill, HEADER_MAX_BYTES);
}

void
header_reader_done(struct header_reader *r)
{
	header_done(&r->header);
	buf_done(&r->field);
	buf_done(&r->line);
	buf_done(&r->spill);
}

/* ftext, RFC 5322 3.6.8: printable US-ASCII but the colon. */
static bool
is_ftext(char c)
{
	return c > ' ' && c < 0x7f && c != ':';
}

/*
 * field     = field-name *WSP ":" unstructured CRLF    ; WSP is obsolete, 4.5.8
 * field-name = 1*ftext
 *
 * Finds the length of the name and the place of the colon.
 */
static bool
find_colon(struct span line, size_t *name_len, size_t *colon)
{
	size_t i = 0;

	while (i < line.len && is_ftext(line.s[i]))
		i++;
	*name_len = i;
	while (i < line.len && ascii_is_blank(line.s[i]))
		i++;
	*colon = i;
	return *name_len > 0 && i < line.len && line.s[i] == ':';
}

static bool
is_field(struct span line)
{
	size_t name_len;
	size_t colon;

	return find_colon(line, &name_len, &colon);
}

/* What a mail folder puts before a message: "From " and, quoted when the
 * message was itself stored once more, ">From ". */
static bool
is_mbox_line(struct span line)
{
	static const char from[] = "From ";

	while (line.len > 0 && line.s[0] == '>') {
		line.s++;
		line.len--;
	}
	return line.len >= sizeof(from) - 1 &&
	    memcmp(line.s, from, sizeof(from) - 1) == 0;
}

/* Nothing of a field was there yet. */
static bool
is_at_top(const struct header_reader *r)
{
	return r->header.count == 0 && r->field.len == 0;
}

/* Can this line, complete or not, be part of the header? */
static bool
belongs_to_header(const struct header_reader *r, struct span line)
{
	if (is_field(line))
		return true;
	return is_at_top(r) ? is_mbox_line(line) : ascii_is_blank(line.s[0]);
}

/* Make a field of r->field, whose last CRLF is left out. */
static void
finish_field(struct header_reader *r)
{
	struct span text = buf_view(&r->field);
	struct field field = { NULL, 0, 0 };
	size_t colon;

	if (text.len == 0)
		return;
	if (text.len >= 2 && memcmp(text.s + text.len - 2, "\r\n", 2) == 0)
		text.len -= 2;
	(void)find_colon(text, &field.name_len, &colon);
	field.len = field.name_len + text.len - colon;
	field.text = xmalloc(field.len + 1);
	memcpy(field.text, text.s, field.name_len);
	memcpy(field.text + field.name_len, text.s + colon, text.len - colon);
	field.text[field.len] = '\0';
	push_field(&r->header, field);
	buf_reset(&r->field);
}

static void
end_header(struct header_reader *r)
{
	finish_field(r);
	r->is_done = true;
	buf_done(&r->field);
	buf_done(&r->line);
}

/*
 * Having read a whole line, or the start of one that is too long for a name,
 * decide what it is.  The buffers are as large as the header may be.
 */
static int
take_line(struct header_reader *r, struct failure *f)
{
	struct span line = buf_view(&r->line);

	if (span_is(line, "\r\n")) {
		end_header(r);
		return 0;
	}
	if (!belongs_to_header(r, line)) {
		(void)buf_span(&r->spill, line);
		end_header(r);
		return 0;
	}
	r->bytes += line.len;
	if (r->bytes > HEADER_MAX_BYTES)
		return failure_set(f, FAILURE_DATA,
		    "the header is larger than %d bytes", HEADER_MAX_BYTES);
	if (is_field(line))
		finish_field(r);
	else if (is_at_top(r))
		line.len = 0;
	(void)buf_span(&r->field, line);
	buf_reset(&r->line);
	return 0;
}

/*
 * Add data to the present line up to its end, or to where a line is too long
 * for a name and must be looked at.  Returns how much, 0 if there is no room.
 */
static size_t
take_bytes(struct header_reader *r, struct span data, bool *is_line_done)
{
	const char *lf = memchr(data.s, '\n', data.len);
	size_t len = lf != NULL ? (size_t)(lf + 1 - data.s) : data.len;
	size_t old = r->line.len;

	if (old <= HEADER_NAME_MAX && old + len > HEADER_NAME_MAX + 1)
		len = HEADER_NAME_MAX + 1 - old;
	if (buf_add(&r->line, data.s, len) == -1)
		return 0;
	*is_line_done = data.s[len - 1] == '\n' ||
	    (r->line.len == HEADER_NAME_MAX + 1 &&
		!belongs_to_header(r, buf_view(&r->line)));
	return len;
}

long
header_reader_feed(struct header_reader *r, struct span data, struct failure *f)
{
	struct span rest = data;

	while (rest.len > 0 && !r->is_done) {
		bool is_line_done = false;
		size_t n = take_bytes(r, rest, &is_line_done);

		if (n == 0)
			return failure_set(f, FAILURE_DATA,
			    "the header has a line larger than %d bytes",
			    HEADER_MAX_BYTES);
		rest.s += n;
		rest.len -= n;
		if (is_line_done && take_line(r, f) == -1)
			return -1;
	}
	return (long)(data.len - rest.len);
}

void
header_reader_finish(struct header_reader *r)
{
	struct failure ignored;

	/* Clean lines are complete, and then none is left here. */
	if (r->line.len > 0)
		(void)take_line(r, &ignored);
	if (!r->is_done)
		end_header(r);
}
