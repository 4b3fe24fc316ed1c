/*
 * The first byte chooses a policy and what the body is like, the first line is
 * the envelope's sender, the rest is a header as a caller may write it.
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
static const struct mailbox shop_mailbox = { NULL, shop, contoso };
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

/* May m send?  Who is appointed is the only one then. */
static bool
is_permitted(const struct rewrite_policy *policy, const struct mailbox *m)
{
	return permit_allows(policy, m) &&
	    (policy->appointed == NULL || mailbox_equal(m, policy->appointed));
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
	assert(is_permitted(policy, &list.items[0]));
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

/* What the policy forbids is not added, what it demands is there. */
static void
check_options(const struct rewrite_policy *policy,
    const struct rewrite_plan *plan, const struct header *before,
    const struct header *after)
{
	for (size_t i = 0; i < plan->edit_count; i++)
		if (plan->edits[i].kind == EDIT_ADD && policy->no_reply_to)
			assert(strcmp(plan->edits[i].name, "Reply-To") != 0);
	if (policy->no_original)
		assert(!header_has(after, "X-Original-From"));
	if (policy->marks_automatic || header_has(before, "Auto-Submitted"))
		assert(header_has(after, "Auto-Submitted"));
}

static void
check_plan(
    const struct rewrite_policy *policy, const struct rewrite_input *input)
{
	struct rewrite_plan plan;
	struct header after;
	struct buf text;

	rewrite_plan(policy, input, &plan);
	assert(is_permitted(policy, &plan.sender));
	buf_init(&text, BYTES_MAX);
	assert(rewrite_write_header(&plan, input->header, &text) == 0);
	check_lines(&text);
	read_written(&text, &after);
	check_options(policy, &plan, input->header, &after);
	header_done(&after);
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

/* Bits 0 and 1: how much of send_as there is.  Bit 6: one of those is
 * appointed.  Bit 7: bits 2 to 5 are options, and not about the body. */
static struct rewrite_policy
make_policy(uint8_t choice)
{
	uint8_t options = (choice & 128) != 0 ? choice : 0;
	struct rewrite_policy policy = {
		.account = &account,
		.send_as = { patterns, choice % 4 },
		.origin = "web1.example.net",
		.host_name = "web1.example.net",
		.no_reply_to = (options & 4) != 0,
		.no_original = (options & 8) != 0,
		.marks_automatic = (options & 16) != 0,
	};

	if ((choice & 64) != 0)
		policy.appointed = choice % 4 > 0 ? &shop_mailbox : &account;
	if ((options & 32) != 0) {
		policy.user = "www-data";
		policy.display_name =
		    "{name} (\"{address}\"): {user}@{host}, B\303\274ro";
	}
	return policy;
}

static struct body_facts
make_facts(uint8_t choice)
{
	uint8_t bits = (choice & 128) == 0 ? choice : 0;

	return (struct body_facts){
		.has_8bit = (bits & 4) != 0,
		.has_nul = (bits & 8) != 0,
		.is_utf8 = (bits & 16) != 0,
		.longest_line = (bits & 32) != 0 ? 999 : 1,
	};
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

	struct rewrite_policy policy = make_policy(choice);
	struct body_facts facts = make_facts(choice);
	struct rewrite_input input = { &sender, &nobody, &header, &facts };

	check_plan(&policy, &input);
	mailbox_done(&sender);
	header_done(&header);
	return 0;
}
