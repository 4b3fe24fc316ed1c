/* Replies of a hostile server: bounded, and printable whatever comes. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct reply *reply)
{
	struct buf text;

	assert(reply->code >= 200 && reply->code <= 559);
	assert(reply->text.len <= REPLY_TOTAL_MAX);
	assert(strlen(reply->dsn) < sizeof(reply->dsn));
	if (reply->dsn[0] != '\0')
		assert(reply->dsn[0] == '0' + reply_class(reply));
	buf_init(&text, REPLY_TOTAL_MAX + 32);
	assert(reply_write(reply, &text) == 0);
	for (size_t i = 0; i < text.len; i++)
		assert(text.s[i] == '\t' || !ascii_is_control(text.s[i]));
	buf_done(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *rest = (const char *)data;
	struct reply reply;
	struct failure f;
	int r = 0;

	reply_init(&reply);
	while (size > 0 && r != -1) {
		const char *end = memchr(rest, '\n', size);
		size_t len = end != NULL ? (size_t)(end - rest) : size;

		if (r == 1)
			reply_reset(&reply);
		r = reply_feed(&reply, (struct span){ rest, len }, &f);
		if (r == -1)
			assert(f.kind == FAILURE_LATER && f.text[0] != '\0');
		else
			check(&reply);
		len += end != NULL;
		rest += len;
		size -= len;
	}
	reply_done(&reply);
	return 0;
}
