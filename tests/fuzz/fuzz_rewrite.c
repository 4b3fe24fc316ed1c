/*
 * The first byte chooses a policy, the first line is the envelope's sender,
 * the rest is a header as a caller may write it.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/lines.h"
#include "mail/message.h"
#include "mail/permit.h"
#include "mail/rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	SENDER_MAX = 1000,
	BYTES_MAX = 64 * 1024 * 1024
};

static char alerts[] = "alerts";
static char contoso[] = "contoso.com";
static const struct mailbox account = { NULL, alerts, contoso };
static char shop[] = "shop";
static char lab[] = "lab.contoso.com";
static char any[] = "*";
static struct pattern patterns[] = {
	{ .kind = PATTERN_ADDRESS, .local = shop, .domain = contoso },
	{ .kind = PATTERN_ADDRESS, .local = any, .domain = lab },
	{ .kind = PATTERN_ANY },
};

/* Parse a header that must be one from its first byte to its empty line. */
static void
read_written(const struct buf *text, struct header *out)
{
	struct header_reader r;
	struct failure f;

	header_reader_init(&r);
	assert(header_reader_feed(&r, buf_view(text), &f) == (long)text->len);
	assert(r.is_done && r.spill.len == 0);
	*out = r.header;
	r.header = (struct header){ NULL, 0 };
	header_reader_done(&r);
}

static void
check_lines(const struct buf *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (text->s[i] == '\n')
			assert(i > 0 && text->s[i - 1] == '\r');
		if (text->s[i] == '\r')
			assert(text->s[i + 1] == '\n');
	}
}

/* One From, one address in it, and that one permitted. */
static void
check_from(const struct rewrite_policy *policy, const struct header *h)
{
	size_t from = header_find(h, "From", 0);
	struct mailbox_list list = { NULL, 0 };
	struct mailbox_list_notes notes = { 0 };
	struct failure f;
	struct buf value;

	assert(from < h->count);
	assert(header_find(h, "From", from + 1) == h->count);
	buf_init(&value, BYTES_MAX);
	assert(field_unfold(&h->fields[from], &value) == 0);
	assert(mailbox_list_parse(buf_view(&value), 2, &list, &notes, &f) == 0);
	assert(list.count == 1 && notes.skipped == 0 && !notes.has_group);
	assert(permit_allows(policy, &list.items[0]));
	mailbox_list_done(&list);
	buf_done(&value);
}

static void
check_again(const struct rewrite_policy *policy,
    const struct rewrite_input *input, const struct buf *text)
{
	struct rewrite_input second = *input;
	struct rewrite_plan plan;
	struct header h;

	read_written(text, &h);
	check_from(policy, &h);
	second.header = &h;
	rewrite_plan(policy, &second, &plan);
	for (size_t i = 0; i < plan.edit_count; i++) {
		struct span name = span_of(plan.edits[i].name);

		assert(!span_is_nocase(name, "From"));
		assert(!span_is_nocase(name, "Sender"));
		assert(plan.edits[i].reason != NULL);
	}
	rewrite_plan_done(&plan);
	header_done(&h);
}

static void
check_plan(
    const struct rewrite_policy *policy, const struct rewrite_input *input)
{
	struct rewrite_plan plan;
	struct buf text;

	rewrite_plan(policy, input, &plan);
	assert(permit_allows(policy, &plan.sender));
	buf_init(&text, BYTES_MAX);
	assert(rewrite_write_header(&plan, input->header, &text) == 0);
	check_lines(&text);
	check_again(policy, input, &text);
	buf_done(&text);
	rewrite_plan_done(&plan);
}

static void
read_given(struct span text, struct header *out)
{
	struct header_reader r;
	struct lines l;
	struct buf clean;
	struct failure f;

	buf_init(&clean, BYTES_MAX);
	lines_init(&l, true);
	assert(lines_clean(&l, text, &clean) == 0);
	assert(lines_finish(&l, &clean) == 0);
	header_reader_init(&r);
	(void)header_reader_feed(&r, buf_view(&clean), &f);
	header_reader_finish(&r);
	*out = r.header;
	r.header = (struct header){ NULL, 0 };
	header_reader_done(&r);
	buf_done(&clean);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct mailbox_list nobody = { NULL, 0 };
	struct mailbox sender;
	struct header header;
	struct failure f;
	const char *lf;
	uint8_t choice;

	if (size == 0)
		return 0;
	choice = data[0];
	text.s++;
	text.len--;
	lf = memchr(text.s, '\n', text.len);
	if (lf == NULL || lf - text.s > SENDER_MAX)
		return 0;
	if (mailbox_parse_sender((struct span){ text.s, (size_t)(lf - text.s) },
		&sender, &f) == -1)
		return 0;
	text.len -= (size_t)(lf + 1 - text.s);
	text.s = lf + 1;
	read_given(text, &header);

	struct rewrite_policy policy = {
		.account = &account,
		.send_as = { patterns, choice % 4 },
		.origin = "web1.example.net",
		.host_name = "web1.example.net",
	};
	struct body_facts facts = {
		.has_8bit = (choice & 4) != 0,
		.has_nul = (choice & 8) != 0,
		.is_utf8 = (choice & 16) != 0,
		.longest_line = (choice & 32) != 0 ? 999 : 1,
	};
	struct rewrite_input input = { &sender, &nobody, &header, &facts };

	check_plan(&policy, &input);
	mailbox_done(&sender);
	header_done(&header);
	return 0;
}
