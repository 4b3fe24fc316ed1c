/*
 * The local SMTP server and a hostile caller: whatever is said, a message is
 * handed on whole or not at all, and its envelope is one.
 */
#include <sys/mman.h>

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"
#include "mail/address.h"
#include "smtp/server.h"
#include "smtp/stream.h"

enum {
	SIZE_MAX_OCTETS = 2000
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sink {
	bool has_begun;
	size_t size;
};

static void
check_mailbox(const struct mailbox *m)
{
	struct buf b;

	buf_init(&b, ADDRESS_MAX);
	assert(mailbox_write_address(&b, m) == 0);
	assert(!ascii_has_control(buf_view(&b)));
	buf_done(&b);
}

static int
begin(void *context, const struct server_envelope *envelope, struct failure *f)
{
	struct sink *s = context;

	(void)f;
	assert(!s->has_begun);
	assert(envelope->recipients.count > 0);
	check_mailbox(&envelope->sender);
	for (size_t i = 0; i < envelope->recipients.count; i++)
		check_mailbox(&envelope->recipients.items[i]);
	*s = (struct sink){ .has_begun = true };
	return 0;
}

static int
take(void *context, struct span piece, struct failure *f)
{
	struct sink *s = context;

	assert(s->has_begun);
	s->size += piece.len;
	assert(s->size <= SIZE_MAX_OCTETS);
	if (s->size > SIZE_MAX_OCTETS / 2)
		return failure_set(f, FAILURE_LATER, "no room");
	return 0;
}

static int
end(void *context, struct buf *text, struct failure *f)
{
	struct sink *s = context;

	(void)f;
	assert(s->has_begun);
	s->has_begun = false;
	return buf_puts(text, "2.0.0 Ok");
}

static void
forget(void *context)
{
	struct sink *s = context;

	assert(s->has_begun);
	s->has_begun = false;
}

static int
answer(
    void *context, struct span words, struct stream *stream, struct failure *f)
{
	(void)context;
	if (words.len > 10)
		return failure_set(f, FAILURE_USAGE, "no");
	return stream_write(stream, span_of("250 Ok\r\n"), f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct server_sink sink = { begin, take, end, forget };
	struct sink state = { .has_begun = false };
	const struct server server = {
		.host_name = "here.example",
		.size_max = SIZE_MAX_OCTETS,
		.timeout = 1,
		.sink = &sink,
		.queue = answer,
		.context = &state,
	};
	int in = memfd_create("caller", MFD_CLOEXEC);
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct stream *stream;
	struct failure f;

	assert(in >= 0 && out >= 0);
	assert(fd_write_all(in, data, size) == 0);
	assert(lseek(in, 0, SEEK_SET) == 0);
	stream = stream_new(&in, &out, "the caller");
	(void)server_run(&server, stream, &f);
	stream_free(&stream);
	assert(!state.has_begun);
	return 0;
}
