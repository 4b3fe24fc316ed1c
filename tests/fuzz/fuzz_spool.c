/*
 * The head of a file in the spool, and a journal: a hostile file is refused,
 * and what is taken can be written again and is then the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/buf.h"
#include "queue/envelope.h"

enum {
	UID = 1000
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken comes back the same from what it is written as. */
static void
check_again(const struct spool_envelope *e)
{
	struct spool_envelope again;
	struct buf b, c;
	const char *why;

	buf_init(&b, SIZE_MAX / 2);
	buf_init(&c, SIZE_MAX / 2);
	assert(envelope_write(&b, UID, e) == 0);
	why = envelope_parse((struct span){ b.s + ENVELOPE_FIRST_LINE,
				 b.len - ENVELOPE_FIRST_LINE },
	    UID, &again);
	assert(why == NULL);
	assert(again.recipients.count == e->recipients.count);
	assert(again.is_notice == e->is_notice);
	assert(envelope_write(&c, UID, &again) == 0);
	assert(span_equal(buf_view(&b), buf_view(&c)));
	envelope_done(&again);
	buf_done(&b);
	buf_done(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct spool_envelope e;
	uint64_t content;
	size_t head;

	if (size < ENVELOPE_FIRST_LINE)
		return 0;
	if (envelope_parse_sizes(text, size, &head, &content) == NULL)
		assert(head + content == size);
	if (envelope_parse((struct span){ text + ENVELOPE_FIRST_LINE,
			       size - ENVELOPE_FIRST_LINE },
		UID, &e) == NULL)
		check_again(&e);
	envelope_done(&e);
	return 0;
}
