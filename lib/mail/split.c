#include "mail/split.h"

#include <assert.h>
#include <string.h>

#include "core/failure.h"

enum {
	/* Twice what may be written between two resets: each LF becomes two
	 * octets. */
	CLEAN_MAX = 4 * SPLIT_BLOCK
};

void
split_init(struct split *s)
{
	lines_init(&s->lines, true);
	header_reader_init(&s->reader);
	buf_init(&s->line, CLEAN_MAX);
	buf_init(&s->body, CLEAN_MAX);
}

void
split_done(struct split *s)
{
	header_reader_done(&s->reader);
	buf_done(&s->line);
	buf_done(&s->body);
}

static void
clean_body(struct split *s, struct span data)
{
	int r = lines_clean(&s->lines, data, &s->body);

	assert(r == 0);
	(void)r;
}

/* Give what is in s->line to the header, and what it leaves to the body. */
static int
feed_header(struct split *s, struct failure *f)
{
	long taken = header_reader_feed(&s->reader, buf_view(&s->line), f);
	int r;

	if (taken == -1)
		return -1;
	if (s->reader.is_done) {
		s->lines.is_header = false;
		r = buf_span(&s->body, buf_view(&s->reader.spill));
		buf_consume(&s->line, (size_t)taken);
		if (r == 0)
			r = buf_span(&s->body, buf_view(&s->line));
		assert(r == 0);
		buf_reset(&s->reader.spill);
	}
	buf_reset(&s->line);
	return 0;
}

/* How much may be cleaned before the header reader must look at it, so that
 * it sees a line outgrow a field's name at the same octet whatever the
 * blocks.  CRs that wait may all become blanks with the next octet. */
static size_t
step_length(const struct split *s)
{
	size_t seen = s->reader.line.len + s->lines.pending_cr;

	if (s->reader.line.len > HEADER_NAME_MAX)
		return SPLIT_BLOCK;
	return seen <= HEADER_NAME_MAX ? HEADER_NAME_MAX + 1 - seen : 1;
}

/* Line by line, because the rules for the next depend on where the header
 * ends. */
static int
write_header(struct split *s, struct span *data, struct failure *f)
{
	while (data->len > 0 && !s->reader.is_done) {
		size_t step = step_length(s);
		size_t max = step < data->len ? step : data->len;
		const char *lf = memchr(data->s, '\n', max);
		struct span piece = { data->s,
			lf != NULL ? (size_t)(lf + 1 - data->s) : max };
		int r = lines_clean(&s->lines, piece, &s->line);

		assert(r == 0);
		(void)r;
		data->s += piece.len;
		data->len -= piece.len;
		if (feed_header(s, f) == -1)
			return -1;
	}
	return 0;
}

int
split_write(struct split *s, struct span data, struct failure *f)
{
	assert(data.len <= SPLIT_BLOCK);
	if (!s->reader.is_done && write_header(s, &data, f) == -1)
		return -1;
	if (data.len > 0)
		clean_body(s, data);
	return 0;
}

int
split_finish(struct split *s, struct failure *f)
{
	bool was_done = s->reader.is_done;
	int r = lines_finish(&s->lines, was_done ? &s->body : &s->line);

	assert(r == 0);
	(void)r;
	if (was_done)
		return 0;
	if (feed_header(s, f) == -1)
		return -1;
	header_reader_finish(&s->reader);
	return 0;
}
