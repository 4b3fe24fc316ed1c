#include "mail/message.h"

#include <stdint.h>
#include <string.h>

#include "core/ascii.h"

void
message_init(struct message *m)
{
	*m = (struct message){ .facts = { .is_utf8 = true } };
	spill_init(&m->body);
	split_init(&m->split);
}

void
message_done(struct message *m)
{
	header_done(&m->header);
	spill_done(&m->body);
	split_done(&m->split);
}

/* ---- facts about the body ---- */

/* Eight octets at a time: most bodies have none to find. */
static bool
has_8bit(struct span s)
{
	const uint64_t high_bits = UINT64_C(0x8080808080808080);
	uint64_t seen = 0;
	size_t i = 0;

	for (; s.len - i >= sizeof(seen); i += sizeof(seen)) {
		uint64_t eight;

		memcpy(&eight, s.s + i, sizeof(eight));
		seen |= eight;
	}
	return (seen & high_bits) != 0 ||
	    ascii_has_8bit((struct span){ s.s + i, s.len - i });
}

/* How many octets the UTF-8 character has that begins with this one. */
static size_t
utf8_size(char lead)
{
	const unsigned char u = (unsigned char)lead;

	if (u >= 0xf0)
		return 4;
	if (u >= 0xe0)
		return 3;
	return u >= 0xc0 ? 2 : 1;
}

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* The octets at the end of s that begin a character and do not end it. */
static size_t
torn_length(struct span s)
{
	for (size_t n = 1; n <= 3 && n <= s.len; n++) {
		char c = s.s[s.len - n];

		if (!is_continuation(c))
			return utf8_size(c) > n ? n : 0;
	}
	return 0;
}

/* Complete the character that the last block has torn. */
static struct span
mend_torn(struct message *m, struct span s)
{
	while (m->torn_len < utf8_size(m->torn[0]) && s.len > 0 &&
	    is_continuation(s.s[0])) {
		m->torn[m->torn_len++] = s.s[0];
		s.s++;
		s.len--;
	}
	/* Else more of it may be in the next block. */
	if (s.len > 0 || m->torn_len == utf8_size(m->torn[0])) {
		if (!utf8_is_valid(m->torn, m->torn_len))
			m->facts.is_utf8 = false;
		m->torn_len = 0;
	}
	return s;
}

static void
check_utf8(struct message *m, struct span s)
{
	size_t torn;

	if (m->torn_len > 0)
		s = mend_torn(m, s);
	torn = m->torn_len > 0 ? 0 : torn_length(s);
	if (!utf8_is_valid(s.s, s.len - torn))
		m->facts.is_utf8 = false;
	if (torn > 0) {
		memcpy(m->torn, s.s + s.len - torn, torn);
		m->torn_len = torn;
	}
}

/* Clean lines: each LF has its CR before it, perhaps in the last block. */
static void
measure_lines(struct message *m, struct span s)
{
	const char *lf;

	while (s.len > 0 && (lf = memchr(s.s, '\n', s.len)) != NULL) {
		size_t len = (size_t)(lf + 1 - s.s);

		m->line_length = m->line_length + len - 2;
		if (m->line_length > m->facts.longest_line)
			m->facts.longest_line = m->line_length;
		m->line_length = 0;
		s.s += len;
		s.len -= len;
	}
	m->line_length += s.len;
}

static void
learn_facts(struct message *m, struct span s)
{
	struct body_facts *facts = &m->facts;
	bool is_8bit = has_8bit(s);

	if (is_8bit)
		facts->has_8bit = true;
	if ((is_8bit || m->torn_len > 0) && facts->is_utf8)
		check_utf8(m, s);
	if (!facts->has_nul && memchr(s.s, '\0', s.len) != NULL)
		facts->has_nul = true;
	measure_lines(m, s);
}

/* Store what the splitter found to be body. */
static int
store_body(struct message *m, struct failure *f)
{
	struct span s = buf_view(&m->split.body);

	if (s.len == 0)
		return 0;
	learn_facts(m, s);
	if (spill_write(&m->body, s.s, s.len, f) == -1)
		return -1;
	buf_reset(&m->split.body);
	return 0;
}

/* ---- building ---- */

int
message_write(struct message *m, struct span data, struct failure *f)
{
	while (data.len > 0) {
		struct span block = data;

		if (block.len > SPLIT_BLOCK)
			block.len = SPLIT_BLOCK;
		if (split_write(&m->split, block, f) == -1 ||
		    store_body(m, f) == -1)
			return -1;
		data.s += block.len;
		data.len -= block.len;
	}
	return 0;
}

int
message_finish(struct message *m, struct failure *f)
{
	if (split_finish(&m->split, f) == -1 || store_body(m, f) == -1)
		return -1;
	if (m->torn_len > 0)
		m->facts.is_utf8 = false;
	m->header = m->split.reader.header;
	m->split.reader.header = (struct header){ NULL, 0 };
	return 0;
}
