#include "mail/intake.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "mail/complete.h"

enum {
	/* ".", and CRs that are a line end if LF follows them. */
	HELD_MAX = 1 + LINES_CR_MAX
};

/* ---- reading ---- */

static int
read_error(struct failure *f, int os_error)
{
	const char *text = "read the message from standard input";

	if (os_error == EBADF)
		text = "standard input is closed; the message is read there";
	else if (os_error == EISDIR)
		text = "standard input is a directory; give it the message";
	(void)failure_os(f, FAILURE_LATER, os_error, "%s", text);
	return failure_dsn(f, "4.3.0");
}

/*
 * read(2) that waits: the caller may have made the descriptor non-blocking,
 * for itself or because a child shares it.  Returns -1 with errno.
 */
static ssize_t
read_waiting(int fd, void *data, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	while ((n = fd_read(fd, data, size)) == -1 && errno == EAGAIN)
		(void)poll(&p, 1, -1);
	return n;
}

/* ---- a lone dot ---- */

/* Pass on what was held back as the start of a lone dot and is none. */
static int
release_held(struct intake *in, struct failure *f)
{
	char held[HELD_MAX];
	struct span s = { held, in->held };

	memset(held, '\r', sizeof(held));
	held[0] = '.';
	in->held = 0;
	in->at_line_start = false;
	return split_write(&in->split, s, f);
}

/*
 * The start of data up to a dot that begins a line, or all of it.  LF alone
 * begins a line here: a CR without LF is text, so a dot between two of them
 * cannot cut a message short.
 */
static size_t
length_before_dot(struct span data)
{
	const char *end = data.s + data.len;
	const char *p = data.s;
	const char *lf;

	while (p < end && (lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p = lf + 1;
		if (p < end && *p == '.')
			return (size_t)(p - data.s);
	}
	return data.len;
}

/*
 * Look at what follows a dot at the start of a line.  Takes one octet that may
 * belong to a lone dot; what does not is left, and the dot passed on.
 */
static int
judge_held(struct intake *in, struct span *data, struct failure *f)
{
	char c = data->s[0];

	if (c != '\n' && (c != '\r' || in->held == HELD_MAX))
		return release_held(in, f);
	data->s++;
	data->len--;
	if (c == '\r') {
		in->held++;
	} else {
		in->held = 0;
		in->has_ended = true;
	}
	return 0;
}

/* Pass on text up to where a dot begins a line; that is held back. */
static int
write_text(struct intake *in, struct span *data, struct failure *f)
{
	struct span piece = { data->s, 0 };

	if (!in->at_line_start || data->s[0] != '.')
		piece.len = length_before_dot(*data);
	data->s += piece.len;
	data->len -= piece.len;
	if (piece.len > 0)
		in->at_line_start = piece.s[piece.len - 1] == '\n';
	if (data->len > 0) {
		in->held = 1;
		data->s++;
		data->len--;
	}
	return split_write(&in->split, piece, f);
}

/* Pass data on up to a line of nothing but a dot. */
static int
write_to_dot(struct intake *in, struct span data, struct failure *f)
{
	int r = 0;

	while (data.len > 0 && !in->has_ended && r == 0)
		r = in->held > 0 ? judge_held(in, &data, f)
				 : write_text(in, &data, f);
	return r;
}

/* Read one block and take it apart; at the end set has_ended. */
static int
read_block(struct intake *in, struct failure *f)
{
	char *block = in->raw;
	ssize_t n = in->read != NULL
	    ? in->read(in->context, block, INTAKE_BLOCK)
	    : read_waiting(in->fd, block, INTAKE_BLOCK);
	struct span data = { block, n > 0 ? (size_t)n : 0 };
	int r;

	if (n == -1)
		return read_error(f, errno);
	/* A dot and perhaps CRs before the end of file are a lone dot. */
	if (n == 0)
		in->has_ended = true;
	r = in->ignores_dots ? split_write(&in->split, data, f)
			     : write_to_dot(in, data, f);
	if (r == 0 && in->has_ended)
		r = split_finish(&in->split, f);
	return r;
}

/* ---- recipients ---- */

/* What was named as a recipient. */
struct search {
	struct mailbox_list *found;
	struct failure first_bad; /* kind FAILURE_NONE: nothing was wrong */
};

static void
note_bad(struct search *s, const struct mailbox_list_notes *notes)
{
	char shown[100];

	log_escape(shown, sizeof(shown), notes->first_skipped.s,
	    notes->first_skipped.len);
	log_debug("%zu bad recipients are left out, the first \"%s\": %s",
	    notes->skipped, shown, notes->first_reason);
	if (s->first_bad.kind != FAILURE_NONE)
		return;
	(void)failure_set(&s->first_bad, FAILURE_DATA,
	    "bad recipient address \"%s\": %s", shown, notes->first_reason);
	(void)failure_dsn(&s->first_bad, "5.1.3");
}

static int
search_text(struct search *s, struct span text, struct failure *f)
{
	struct mailbox_list_notes notes;

	if (mailbox_list_parse(
		text, INTAKE_RECIPIENTS_MAX, s->found, &notes, f) == -1) {
		(void)failure_set(f, FAILURE_DATA,
		    "more than %d recipients; send several messages",
		    INTAKE_RECIPIENTS_MAX);
		return failure_dsn(f, "5.5.3");
	}
	if (notes.skipped > 0)
		note_bad(s, &notes);
	return 0;
}

static int
search_field(struct search *s, const struct field *field, struct failure *f)
{
	struct buf text;
	int r;

	/* An unfolded value is no longer than the field. */
	buf_init(&text, field->len);
	(void)field_unfold(field, &text);
	r = search_text(s, buf_view(&text), f);
	buf_done(&text);
	return r;
}

static bool
is_any(const struct field *field, const char *const names[static 3])
{
	return field_is(field, names[0]) || field_is(field, names[1]) ||
	    field_is(field, names[2]);
}

/* Where a message is resent only those recipients count to whom it is
 * (RFC 5322 3.6.6), of all blocks, because blocks are not told apart. */
static int
search_header(struct search *s, const struct header *h, struct failure *f)
{
	static const char *const first[3] = { "To", "Cc", "Bcc" };
	static const char *const again[3] = { "Resent-To", "Resent-Cc",
		"Resent-Bcc" };
	const char *const *names = first;

	for (size_t i = 0; i < h->count; i++)
		if (is_any(&h->fields[i], again))
			names = again;
	for (size_t i = 0; i < h->count; i++)
		if (is_any(&h->fields[i], names) &&
		    search_field(s, &h->fields[i], f) == -1)
			return -1;
	return 0;
}

/* Operands first, then the header's: added, whatever old manuals say. */
static int
find_recipients(
    struct intake *in, const struct intake_options *options, struct failure *f)
{
	struct search s = { .found = &in->recipients };

	for (size_t i = 0; options->given != NULL && i < options->given->count;
	     i++)
		mailbox_list_add(&in->recipients, &options->given->items[i]);
	for (size_t i = 0; i < options->operand_count; i++)
		if (search_text(&s, span_of(options->operands[i]), f) == -1)
			return -1;
	if (options->reads_recipients &&
	    search_header(&s, &in->header, f) == -1)
		return -1;
	mailbox_list_unique(&in->recipients);
	if (in->recipients.count > 0)
		return 0;
	if (s.first_bad.kind != FAILURE_NONE) {
		*f = s.first_bad;
		return -1;
	}
	(void)failure_set(f, FAILURE_USAGE,
	    "no recipients: name them as arguments, or use -t with a To, Cc "
	    "or Bcc field");
	return failure_dsn(f, "5.5.4");
}

/* ---- the header ---- */

/* Who reads Bcc must not see it; the others only the last host may write. */
static void
drop_fields(struct header *h)
{
	static const char *const names[] = { "Bcc", "Resent-Bcc", "Return-Path",
		"Content-Length" };

	header_remove_named(h, names, sizeof(names) / sizeof(names[0]));
}

static int
complete(
    struct intake *in, const struct intake_options *options, struct failure *f)
{
	struct mailbox from = mailbox_is_null(&options->sender)
	    ? mailbox_copy(&options->author)
	    : mailbox_copy(&options->sender);
	int r;

	if (options->full_name != NULL && options->full_name[0] != '\0')
		mailbox_set_name(&from, options->full_name);
	r = complete_header(&in->header, &from, f);
	mailbox_done(&from);
	return r;
}

int
intake_start(struct intake *in, int fd, const struct intake_options *options,
    struct failure *f)
{
	*in = (struct intake){
		.fd = fd,
		.read = options->read,
		.context = options->context,
		.ignores_dots = options->ignores_dots,
		.at_line_start = true,
		.raw = xmalloc(INTAKE_BLOCK),
	};
	split_init(&in->split);
	while (!in->split.reader.is_done)
		if (read_block(in, f) == -1)
			return -1;
	in->header = in->split.reader.header;
	in->split.reader.header = (struct header){ NULL, 0 };
	if (find_recipients(in, options, f) == -1)
		return -1;
	drop_fields(&in->header);
	return complete(in, options, f);
}

int
intake_body(struct intake *in, struct span *out, struct failure *f)
{
	if (in->is_handed_on)
		buf_reset(&in->split.body);
	while (in->split.body.len == 0 && !in->has_ended)
		if (read_block(in, f) == -1)
			return -1;
	in->is_handed_on = true;
	*out = buf_view(&in->split.body);
	return 0;
}

void
intake_drain(int fd)
{
	char ignored[4096];

	while (read_waiting(fd, ignored, sizeof(ignored)) > 0)
		continue;
}

void
intake_done(struct intake *in)
{
	free(in->raw);
	in->raw = NULL;
	split_done(&in->split);
	header_done(&in->header);
	mailbox_list_done(&in->recipients);
}
