/*
 * Any bytes as a message, divided where its first byte says: what comes out
 * does not depend on the division, has CRLF lines only, and means the same
 * when it is read again.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "core/failure.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/message.h"

enum {
	OUT_MAX = 4 * 1024 * 1024
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* CR and LF only as CRLF: anything else is a door for smugglers. */
static void
check_lines(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.s[i] == '\r')
			assert(i + 1 < s.len && s.s[i + 1] == '\n');
		if (s.s[i] == '\n')
			assert(i > 0 && s.s[i - 1] == '\r');
	}
	assert(s.len == 0 || s.s[s.len - 1] == '\n');
}

/* Read a message in pieces; false if its header is too long. */
static bool
build(struct message *m, struct span text, size_t piece)
{
	struct failure f;
	bool is_good = true;

	message_init(m);
	while (text.len > 0 && is_good) {
		struct span first = text;

		if (first.len > piece)
			first.len = piece;
		is_good = message_write(m, first, &f) == 0;
		text.s += first.len;
		text.len -= first.len;
	}
	return is_good && message_finish(m, &f) == 0;
}

/* Append header, empty line and body. */
static void
write_message(const struct message *m, struct buf *b)
{
	char block[4096];
	struct failure f;
	uint64_t offset = 0;
	ssize_t n;

	assert(header_write(&m->header, b) == 0);
	assert(buf_puts(b, "\r\n") == 0);
	while (
	    (n = spill_read(&m->body, offset, block, sizeof(block), &f)) > 0) {
		assert(buf_add(b, block, (size_t)n) == 0);
		offset += (uint64_t)n;
	}
	assert(n == 0);
}

static void
check_fields(const struct header *h)
{
	for (size_t i = 0; i < h->count; i++) {
		const struct field *field = &h->fields[i];
		struct buf value;
		struct buf other;

		assert(field->name_len > 0 && field->len > field->name_len);
		assert(field->text[field->name_len] == ':');
		assert(memchr(field->text, '\0', field->len) == NULL);
		buf_init(&value, field->len);
		buf_init(&other, OUT_MAX);
		assert(field_unfold(field, &value) == 0);
		assert(strpbrk(value.s, "\r\n") == NULL);
		assert(header_fold(&other, buf_view(&value), 10) == 0);
		for (size_t k = 0; k + 2 < other.len; k++)
			if (other.s[k] == '\n')
				assert(strchr(" \t", other.s[k + 1]) != NULL);
		buf_reset(&other);
		assert(encode_unstructured(&other, buf_view(&value)) == 0);
		buf_done(&value);
		buf_done(&other);
	}
}

static void
check_same(const struct message *a, const struct message *b)
{
	struct buf x;
	struct buf y;

	buf_init(&x, OUT_MAX);
	buf_init(&y, OUT_MAX);
	write_message(a, &x);
	write_message(b, &y);
	check_lines(buf_view(&x));
	assert(span_equal(buf_view(&x), buf_view(&y)));
	assert(a->facts.has_8bit == b->facts.has_8bit);
	assert(a->facts.has_nul == b->facts.has_nul);
	assert(a->facts.is_utf8 == b->facts.is_utf8);
	assert(a->facts.longest_line == b->facts.longest_line);
	buf_done(&x);
	buf_done(&y);
}

/* What was written is read as the same message, in a canonical form. */
static void
check_again(const struct message *m, size_t piece)
{
	struct message again;
	struct buf text;

	buf_init(&text, OUT_MAX);
	write_message(m, &text);
	assert(build(&again, buf_view(&text), piece));
	check_same(m, &again);
	message_done(&again);
	buf_done(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct message whole;
	struct message pieces;
	size_t piece;

	if (size == 0)
		return 0;
	piece = (size_t)data[0] % 64 + 1;
	text.s++;
	text.len--;
	if (build(&whole, text, text.len + 1)) {
		assert(build(&pieces, text, piece));
		check_same(&whole, &pieces);
		check_fields(&whole.header);
		check_again(&whole, piece);
		message_done(&pieces);
	}
	message_done(&whole);
	return 0;
}
