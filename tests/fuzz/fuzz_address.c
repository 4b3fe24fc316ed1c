/*
 * Any text as an address list, as one mailbox and as a sender.  What is
 * accepted keeps the promises of mail/mailbox.h, and means the same when it is
 * written and read again.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "mail/address.h"

enum {
	COUNT_MAX = 1000,
	FORM_MAX = 16 * 1024
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No control character; blanks and specials only within quotes. */
static void
check_part(const char *s)
{
	struct span part = span_of(s);

	assert(part.len > 0 && !ascii_has_control(part));
	assert(utf8_is_valid(part.s, part.len));
	if (part.s[0] == '"')
		assert(part.len > 2 && part.s[part.len - 1] == '"');
	else if (part.s[0] != '[')
		assert(strpbrk(part.s, " \"(),:;<>@[\\]") == NULL);
}

static void
check_address(const struct mailbox *m)
{
	struct failure f;
	struct mailbox again;
	struct buf b;

	check_part(m->local);
	assert(m->local[0] != '-' && m->local[0] != '|' && m->local[0] != '/');
	if (m->domain != NULL)
		check_part(m->domain);
	buf_init(&b, ADDRESS_MAX);
	assert(mailbox_write_address(&b, m) == 0);
	assert(mailbox_parse(buf_view(&b), &again, &f) == 0);
	assert(strcmp(again.local, m->local) == 0);
	assert((again.domain == NULL) == (m->domain == NULL));
	assert(m->domain == NULL || strcmp(again.domain, m->domain) == 0);
	mailbox_done(&again);
	buf_done(&b);
}

/* The header form is ASCII but for the address, and holds one address. */
static void
check_header_form(const struct mailbox *m)
{
	struct failure f;
	struct mailbox again;
	struct buf b;

	buf_init(&b, FORM_MAX);
	assert(mailbox_write(&b, m) == 0);
	assert(!ascii_has_control(buf_view(&b)));
	assert(mailbox_parse(buf_view(&b), &again, &f) == 0);
	assert(mailbox_equal(&again, m));
	mailbox_done(&again);
	buf_done(&b);
}

static void
check_list(struct span text)
{
	struct mailbox_list list = { NULL, 0 };
	struct mailbox_list_notes notes;
	struct failure f;
	size_t count;

	if (mailbox_list_parse(text, COUNT_MAX, &list, &notes, &f) == -1)
		assert(f.kind == FAILURE_DATA && list.count == COUNT_MAX);
	assert((notes.skipped > 0) == (notes.first_reason != NULL));
	for (size_t i = 0; i < list.count; i++) {
		check_address(&list.items[i]);
		check_header_form(&list.items[i]);
	}
	count = list.count;
	mailbox_list_unique(&list);
	assert(list.count <= count && (list.count > 0) == (count > 0));
	mailbox_list_done(&list);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct mailbox m;
	struct failure f;

	if (size == 0)
		text.s = "";
	check_list(text);
	if (mailbox_parse(text, &m, &f) == 0) {
		check_address(&m);
		mailbox_done(&m);
	} else {
		assert(f.kind == FAILURE_DATA);
		assert(!ascii_has_control(span_of(f.text)));
	}
	if (mailbox_parse_sender(text, &m, &f) == 0)
		mailbox_done(&m);
	return 0;
}
