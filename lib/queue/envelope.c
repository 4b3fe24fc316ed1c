#include "queue/envelope.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/failure.h"

#define FIRST_LINE   "sendmail365 spool 1 %08zu %016" PRIu64 "\n"
#define FIRST_PREFIX "sendmail365 spool 1 "
#define END_MARK     "E\n"

enum {
	HEAD_DIGITS = 8,
	CONTENT_DIGITS = 16
};

static_assert(ENVELOPE_FIRST_LINE ==
	sizeof(FIRST_PREFIX) - 1 + HEAD_DIGITS + 1 + CONTENT_DIGITS + 1,
    "the first line has another length");

static int
format_dsn(struct buf *b, const struct dsn *dsn)
{
	if (dsn->notify == 0 && dsn->ret == '\0' && dsn->envid[0] == '\0')
		return 0;
	if (buf_putc(b, 'D') == -1 || dsn_write_mail(dsn, b) == -1 ||
	    dsn_write_rcpt(dsn, b) == -1)
		return -1;
	return buf_putc(b, '\n');
}

int
envelope_write(
    struct buf *b, uint32_t uid, const struct spool_envelope *envelope)
{
	int r = buf_printf(
	    b, FIRST_LINE "U %" PRIu32 "\nS ", (size_t)0, (uint64_t)0, uid);

	if (r == 0)
		r = mailbox_write_address(b, &envelope->sender);
	if (r == 0)
		r = buf_puts(b, envelope->is_notice ? "\nO notice\n" : "\n");
	if (r == 0)
		r = format_dsn(b, &envelope->dsn);
	for (size_t i = 0; i < envelope->recipients.count && r == 0; i++) {
		r = buf_puts(b, "R ");
		if (r == 0)
			r = mailbox_write_address(
			    b, &envelope->recipients.items[i]);
		if (r == 0)
			r = buf_putc(b, '\n');
	}
	return r == 0 ? buf_puts(b, END_MARK) : -1;
}

void
envelope_write_sizes(
    size_t head, uint64_t content, char out[static ENVELOPE_FIRST_LINE + 1])
{
	(void)snprintf(out, ENVELOPE_FIRST_LINE + 1, FIRST_LINE, head, content);
}

const char *
envelope_parse_sizes(const char *line, uint64_t file_size, size_t *out_head,
    uint64_t *out_content)
{
	const char *head = line + sizeof(FIRST_PREFIX) - 1;
	const char *content = head + HEAD_DIGITS + 1;
	uint64_t head_size, content_size;

	if (memcmp(line, FIRST_PREFIX, sizeof(FIRST_PREFIX) - 1) != 0)
		return "it does not begin as a message of this version";
	if (content[-1] != ' ' || content[CONTENT_DIGITS] != '\n' ||
	    parse_u64((struct span){ head, HEAD_DIGITS }, ENVELOPE_MAX,
		&head_size) == -1 ||
	    parse_u64((struct span){ content, CONTENT_DIGITS }, INT64_MAX / 2,
		&content_size) == -1 ||
	    head_size < ENVELOPE_FIRST_LINE)
		return "its first line is damaged";
	if (head_size + content_size != file_size)
		return "it is torn: its size is not what it says";
	*out_head = (size_t)head_size;
	*out_content = content_size;
	return NULL;
}

static const char *
take_recipient(struct spool_envelope *e, struct span value)
{
	struct failure ignored;
	struct mailbox mailbox;

	if (e->recipients.count >= ENVELOPE_RECIPIENTS_MAX)
		return "it has too many recipients";
	if (mailbox_parse(value, &mailbox, &ignored) == -1)
		return "a recipient is no address";
	mailbox_list_take(&e->recipients, mailbox);
	return NULL;
}

/* "RET=HDRS ENVID=x NOTIFY=NEVER", some of them. */
static void
take_dsn(struct spool_envelope *e, struct span value)
{
	struct span word;

	while ((word = span_cut_word(&value)).len > 0)
		dsn_take_parameter(&e->dsn, word);
}

/* One line without its end: "U 1000", "S a@x", "R b@x", "O notice",
 * "D NOTIFY=NEVER". */
static const char *
take_line(struct spool_envelope *e, uint32_t uid, struct span line)
{
	struct span value = { line.s + 2, line.len - 2 };
	struct failure ignored;
	uint64_t n;

	if (line.len < 2 || line.s[1] != ' ')
		return "a line of its envelope is damaged";
	switch (line.s[0]) {
	case 'U':
		if (parse_u64(value, UINT32_MAX, &n) == -1 || n != uid)
			return "it is not of the user that its name says";
		return NULL;
	case 'S':
		if (!mailbox_is_null(&e->sender) ||
		    mailbox_parse_sender(value, &e->sender, &ignored) == -1)
			return "its sender is no address";
		return NULL;
	case 'R':
		return take_recipient(e, value);
	case 'D':
		take_dsn(e, value);
		return NULL;
	case 'O':
		e->is_notice = span_is(value, "notice");
		return e->is_notice ? NULL : "an option is unknown";
	default:
		return "a line of its envelope is unknown";
	}
}

/* All lines up to the end mark, which must be where the envelope ends. */
const char *
envelope_parse(struct span text, uint32_t uid, struct spool_envelope *out)
{
	const char *why = NULL;

	*out = (struct spool_envelope){ .is_notice = false };
	while (why == NULL && text.len > 0) {
		const char *end = memchr(text.s, '\n', text.len);
		struct span line = { text.s, 0 };

		if (end == NULL)
			return "its envelope has no end";
		line.len = (size_t)(end - text.s);
		text.s += line.len + 1;
		text.len -= line.len + 1;
		if (line.len == 1 && line.s[0] == 'E')
			break;
		if (text.len == 0)
			return "its envelope has no end mark";
		why = take_line(out, uid, line);
	}
	if (why == NULL && text.len > 0)
		return "its envelope ends early";
	if (why == NULL && out->recipients.count == 0)
		return "it has no recipients";
	return why;
}

void
envelope_done(struct spool_envelope *envelope)
{
	mailbox_done(&envelope->sender);
	mailbox_list_done(&envelope->recipients);
}
