#include "mail/rewrite.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/display_name.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/lines.h"
#include "mail/message.h"
#include "mail/permit.h"

enum {
	AUTHORS_MAX = 20, /* of all From fields together */
	LIST_MAX = 10000, /* what a To or Cc field may hold to be read */
	/* A byte can become "=XX", and a fold a line end and a blank. */
	VALUE_MAX = 8 * HEADER_MAX_BYTES
};

static const char why_account[] =
    "Exchange refuses a From that is neither the account's nor allowed by "
    "send_as";
static const char why_rule[] = "a rule of [rewrite] says who sends this";
static const char why_automatic[] = "marks a message that a program sends";
static const char why_one_author[] =
    "several authors become one, because Exchange accepts one From address";
static const char why_no_author[] =
    "From holds no valid address, so the account's stands in";
static const char why_clean_from[] = "what is no address was taken out of From";
static const char why_quoted[] =
    "Exchange refuses a From whose display name holds special characters "
    "without quotes";
static const char why_reply_to[] = "replies are to reach the original author";
static const char why_original[] = "keeps the original author on record";
static const char why_forged_original[] =
    "X-Original-From is this program's statement, not the caller's";
static const char why_sender[] =
    "Sender is neither the account's nor allowed by send_as";
static const char why_same_sender[] = "Sender only repeats From";
static const char why_once[] = "RFC 5322 allows this field once";
static const char why_empty[] = "an empty Reply-To names nobody";
static const char why_bare[] =
    "names without a domain are completed with the configured one or this "
    "host's";
static const char why_8bit[] =
    "header fields travel in US-ASCII, other characters as encoded words";
static const char why_long[] = "a line may hold at most 998 octets";
static const char why_return_path[] =
    "Return-Path is written by the server that delivers";
static const char why_bcc[] = "Bcc must not reach the other recipients";
static const char why_length[] =
    "Content-Length is no mail header field and would be wrong";
static const char why_null_sender[] =
    "Exchange refuses the null sender; the account's address stands in";
static const char why_sender_account[] =
    "Exchange refuses a sender that is neither the account's nor allowed by "
    "send_as";
static const char why_auto[] =
    "marks an automatic message, as the null sender did";
static const char why_mime[] =
    "the body is not plain US-ASCII in short lines, and no MIME field says so";

/* Fields that a message has once (RFC 5322 3.6). */
enum once {
	ONCE_NOT,
	ONCE_FROM,
	ONCE_SENDER,
	ONCE_REPLY_TO,
	ONCE_SUBJECT,
	ONCE_DATE,
	ONCE_MESSAGE_ID,
	ONCE_COUNT
};

struct work {
	const struct rewrite_policy *policy;
	const struct header *header;
	struct rewrite_plan *plan;
	size_t kept[ONCE_COUNT]; /* which one stays; count if none */
	bool kept_has_value[ONCE_COUNT];
	struct mailbox_list authors; /* of all From fields, as written */
	struct mailbox from;         /* the one that goes out */
	const char *from_reason;     /* NULL: From stays as it is */
	bool is_replaced;            /* the account stands in for the author */
};

struct rule {
	const char *name; /* a '*' at the end stands for anything */
	void (*apply)(struct work *w, size_t index);
	const char *reason; /* if there is one, the field is removed */
	enum once once;     /* if so, the first that is not empty stays */
};

/* ---- edits ---- */

/* Takes over the strings of edit. */
static void
add_edit(struct work *w, struct edit edit)
{
	struct rewrite_plan *plan = w->plan;

	plan->edits =
	    xgrow(plan->edits, plan->edit_count, sizeof(*plan->edits));
	plan->edits[plan->edit_count++] = edit;
}

static char *
name_of(const struct work *w, size_t index)
{
	struct span name = field_name(&w->header->fields[index]);

	return xstrndup(name.s, name.len);
}

static void
remove_field(struct work *w, size_t index, const char *reason)
{
	add_edit(w,
	    (struct edit){ .kind = EDIT_REMOVE,
		.index = index,
		.name = name_of(w, index),
		.reason = reason });
}

/* Does the field read "Name: value" already? */
static bool
field_reads(const struct field *field, struct span value)
{
	size_t start = field->name_len + 2;

	return field->len == start + value.len &&
	    memcmp(field->text + field->name_len, ": ", 2) == 0 &&
	    memcmp(field->text + start, value.s, value.len) == 0;
}

static void
replace_field(
    struct work *w, size_t index, struct span value, const char *reason)
{
	const struct field *field = &w->header->fields[index];
	struct buf folded;

	buf_init(&folded, VALUE_MAX);
	if (header_fold(&folded, value, field->name_len + 2) == 0 &&
	    !field_reads(field, buf_view(&folded)))
		add_edit(w,
		    (struct edit){ .kind = EDIT_REPLACE,
			.index = index,
			.name = name_of(w, index),
			.value = buf_take(&folded),
			.reason = reason });
	buf_done(&folded);
}

static void
add_field(
    struct work *w, const char *name, struct span value, const char *reason)
{
	struct buf folded;

	buf_init(&folded, VALUE_MAX);
	if (header_fold(&folded, value, strlen(name) + 2) == 0)
		add_edit(w,
		    (struct edit){ .kind = EDIT_ADD,
			.index = w->header->count,
			.name = xstrdup(name),
			.value = buf_take(&folded),
			.reason = reason });
	buf_done(&folded);
}

/* ---- questions about fields ---- */

static bool
has_8bit(const struct field *field)
{
	return ascii_has_8bit((struct span){ field->text, field->len });
}

static bool
has_long_line(const struct field *field)
{
	const char *s = field->text;
	const char *end = s + field->len;

	while (s < end) {
		const char *lf = memchr(s, '\n', (size_t)(end - s));
		const char *line_end = lf != NULL ? lf - 1 : end;

		if (line_end - s > LINES_MAX_OCTETS)
			return true;
		s = lf != NULL ? lf + 1 : end;
	}
	return false;
}

static void
fold_if_long(struct work *w, size_t index)
{
	const struct field *field = &w->header->fields[index];
	struct buf value;

	if (!has_long_line(field))
		return;
	buf_init(&value, VALUE_MAX);
	if (field_unfold(field, &value) == 0)
		replace_field(w, index, buf_view(&value), why_long);
	buf_done(&value);
}

/* Append the mailboxes of a field; true if it holds nothing else. */
static bool
read_mailboxes(const struct field *field, size_t max, struct mailbox_list *list)
{
	struct mailbox_list_notes notes = { 0 };
	struct failure ignored;
	struct buf value;
	bool is_whole;

	buf_init(&value, VALUE_MAX);
	is_whole = field_unfold(field, &value) == 0 &&
	    mailbox_list_parse(buf_view(&value), max, list, &notes, &ignored) ==
		0 &&
	    notes.skipped == 0 && !notes.has_group;
	buf_done(&value);
	return is_whole;
}

static int
write_list(struct buf *b, const struct mailbox_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0 && buf_puts(b, ", ") == -1)
			return -1;
		if (mailbox_write(b, &list->items[i]) == -1)
			return -1;
	}
	return 0;
}

/* ---- one function for each kind of field ---- */

/* Address fields: complete bare names, write 8-bit names as ASCII. */
static void
apply_addresses(struct work *w, size_t index)
{
	const struct field *field = &w->header->fields[index];
	struct mailbox_list list = { NULL, 0 };
	const char *reason = has_8bit(field) ? why_8bit : NULL;
	struct buf value;

	buf_init(&value, VALUE_MAX);
	if (read_mailboxes(field, LIST_MAX, &list)) {
		for (size_t i = 0; i < list.count; i++)
			if (list.items[i].domain == NULL) {
				mailbox_qualify(
				    &list.items[i], w->policy->origin);
				reason = why_bare;
			}
	} else {
		reason = NULL;
	}
	if (reason != NULL && write_list(&value, &list) == 0)
		replace_field(w, index, buf_view(&value), reason);
	else
		fold_if_long(w, index);
	buf_done(&value);
	mailbox_list_done(&list);
}

static void
apply_from(struct work *w, size_t index)
{
	struct buf value;

	if (w->from_reason == NULL) {
		fold_if_long(w, index);
		return;
	}
	buf_init(&value, VALUE_MAX);
	if (mailbox_write(&value, &w->from) == 0)
		replace_field(w, index, buf_view(&value), w->from_reason);
	buf_done(&value);
}

static void
apply_sender(struct work *w, size_t index)
{
	struct mailbox_list list = { NULL, 0 };
	const char *reason = why_sender;

	if (read_mailboxes(&w->header->fields[index], 1, &list) &&
	    list.count == 1) {
		mailbox_qualify(&list.items[0], w->policy->origin);
		if (mailbox_equal(&list.items[0], &w->from))
			reason = why_same_sender;
		else if (permit_allows(w->policy, &list.items[0]))
			reason = NULL;
	}
	mailbox_list_done(&list);
	if (reason != NULL)
		remove_field(w, index, reason);
	else
		apply_addresses(w, index);
}

static void
apply_reply_to(struct work *w, size_t index)
{
	if (!w->kept_has_value[ONCE_REPLY_TO])
		remove_field(w, index, why_empty);
	else
		apply_addresses(w, index);
}

static void
apply_text(struct work *w, size_t index)
{
	const struct field *field = &w->header->fields[index];
	struct buf plain;
	struct buf value;

	if (!has_8bit(field)) {
		fold_if_long(w, index);
		return;
	}
	buf_init(&plain, VALUE_MAX);
	buf_init(&value, VALUE_MAX);
	if (field_unfold(field, &plain) == 0 &&
	    encode_unstructured(&value, buf_view(&plain)) == 0)
		replace_field(w, index, buf_view(&value), why_8bit);
	buf_done(&value);
	buf_done(&plain);
}

/*
 * What happens to each field; one that is not here is text.  To and Cc may be
 * there twice, as MediaWiki writes them.  The structured fields without
 * addresses are not ours to encode: an encoded word has no meaning there.
 */
static const struct rule rules[] = {
	{ .name = "From", .apply = apply_from, .once = ONCE_FROM },
	{ .name = "Sender", .apply = apply_sender, .once = ONCE_SENDER },
	{ .name = "Reply-To", .apply = apply_reply_to, .once = ONCE_REPLY_TO },
	{ .name = "To", .apply = apply_addresses },
	{ .name = "Cc", .apply = apply_addresses },
	{ .name = "Resent-From", .apply = apply_addresses },
	{ .name = "Resent-Sender", .apply = apply_addresses },
	{ .name = "Resent-To", .apply = apply_addresses },
	{ .name = "Resent-Cc", .apply = apply_addresses },
	{ .name = "Resent-Reply-To", .apply = apply_addresses },
	{ .name = "Disposition-Notification-To", .apply = apply_addresses },
	{ .name = "Return-Receipt-To", .apply = apply_addresses },
	{ .name = "Mail-Followup-To", .apply = apply_addresses },
	{ .name = "Mail-Reply-To", .apply = apply_addresses },
	{ .name = "Errors-To", .apply = apply_addresses },
	{ .name = "Subject", .apply = apply_text, .once = ONCE_SUBJECT },
	{ .name = "Date", .apply = fold_if_long, .once = ONCE_DATE },
	{ .name = "Message-ID",
	    .apply = fold_if_long,
	    .once = ONCE_MESSAGE_ID },
	{ .name = "In-Reply-To", .apply = fold_if_long },
	{ .name = "References", .apply = fold_if_long },
	{ .name = "Received", .apply = fold_if_long },
	{ .name = "Resent-Date", .apply = fold_if_long },
	{ .name = "Resent-Message-ID", .apply = fold_if_long },
	{ .name = "MIME-Version", .apply = fold_if_long },
	{ .name = "DKIM-Signature", .apply = fold_if_long },
	{ .name = "List-*", .apply = fold_if_long },
	{ .name = "Bcc", .reason = why_bcc },
	{ .name = "Resent-Bcc", .reason = why_bcc },
	{ .name = "Return-Path", .reason = why_return_path },
	{ .name = "Content-Length", .reason = why_length },
	{ .name = "X-Original-From", .reason = why_forged_original },
	{ .name = "Content-*", .apply = fold_if_long },
	{ .name = "*", .apply = apply_text },
};

static bool
rule_covers(const struct rule *rule, struct span name)
{
	size_t len = strlen(rule->name);

	if (rule->name[len - 1] != '*')
		return span_is_nocase(name, rule->name);
	return name.len >= len - 1 &&
	    ascii_equal_nocase(name.s, rule->name, len - 1);
}

/* The row for a field: always one, the last row covers all names. */
static const struct rule *
rule_of(const struct field *field)
{
	struct span name = field_name(field);
	const struct rule *rule = rules;

	while (!rule_covers(rule, name))
		rule++;
	return rule;
}

/* ---- what the whole header says ---- */

/* Choose the field that stays of those that may be there once. */
static void
choose_fields(struct work *w)
{
	const struct header *h = w->header;

	for (size_t i = 0; i < ONCE_COUNT; i++)
		w->kept[i] = h->count;
	for (size_t i = 0; i < h->count; i++) {
		enum once once = rule_of(&h->fields[i])->once;
		bool has_value = field_value(&h->fields[i]).len > 0;

		if (once == ONCE_NOT)
			continue;
		if (w->kept[once] == h->count ||
		    (has_value && !w->kept_has_value[once])) {
			w->kept[once] = i;
			w->kept_has_value[once] = has_value;
		}
	}
}

/*
 * Collect the authors of all From fields.  The first that names one stays;
 * true if it holds one address and nothing else.
 */
static bool
read_authors(struct work *w)
{
	const struct header *h = w->header;
	bool is_clean = false;

	for (size_t i = 0; i < h->count; i++) {
		size_t before = w->authors.count;
		bool is_whole;

		if (!field_is(&h->fields[i], "From"))
			continue;
		is_whole =
		    read_mailboxes(&h->fields[i], AUTHORS_MAX, &w->authors);
		if (before == 0 && w->authors.count > 0) {
			w->kept[ONCE_FROM] = i;
			is_clean = is_whole && w->authors.count == 1;
		}
	}
	mailbox_list_unique(&w->authors);
	return is_clean;
}

/* A display name with specials that the field itself does not quote. */
static bool
lacks_quotes(const struct field *field, const struct mailbox *m)
{
	struct span value = field_value(field);

	return m->name != NULL && strpbrk(m->name, "@<>[]:;\\") != NULL &&
	    strstr(m->name, "=?") == NULL &&
	    memchr(value.s, '"', value.len) == NULL;
}

/* Why a From whose one author is permitted must be written anew. */
static const char *
reason_to_clean(const struct work *w, bool is_clean)
{
	const struct field *field = &w->header->fields[w->kept[ONCE_FROM]];

	if (w->authors.items[0].domain == NULL)
		return why_bare;
	if (!is_clean)
		return why_clean_from;
	if (has_8bit(field))
		return why_8bit;
	return lacks_quotes(field, &w->from) ? why_quoted : NULL;
}

/* Who sends where the author, or the sender of the envelope, may not. */
static const struct mailbox *
stand_in(const struct rewrite_policy *policy)
{
	return policy->appointed != NULL ? policy->appointed : policy->account;
}

/* Let another stand in for the author, if there is one. */
static void
replace_author(struct work *w, const char *reason)
{
	char *name = NULL;

	if (w->authors.count > 0)
		name = display_name_make(w->policy, &w->authors.items[0]);
	mailbox_done(&w->from);
	w->from = mailbox_copy(stand_in(w->policy));
	mailbox_set_name(&w->from, name);
	free(name);
	w->from_reason = reason;
	w->is_replaced = true;
}

static void
decide_from(struct work *w)
{
	bool is_clean = read_authors(w);
	bool is_allowed;

	if (w->authors.count == 0) {
		replace_author(
		    w, w->policy->appointed != NULL ? why_rule : why_no_author);
		return;
	}
	w->from = mailbox_copy(&w->authors.items[0]);
	mailbox_qualify(&w->from, w->policy->origin);
	is_allowed = w->policy->appointed != NULL
	    ? mailbox_equal(&w->from, w->policy->appointed)
	    : permit_allows(w->policy, &w->from);
	if (is_allowed && w->authors.count == 1)
		w->from_reason = reason_to_clean(w, is_clean);
	else if (is_allowed)
		replace_author(w, why_one_author);
	else
		replace_author(
		    w, w->policy->appointed != NULL ? why_rule : why_account);
}

/* ---- fields that are added ---- */

static void
add_from(struct work *w)
{
	struct buf value;

	if (w->kept[ONCE_FROM] < w->header->count)
		return;
	buf_init(&value, VALUE_MAX);
	if (mailbox_write(&value, &w->from) == 0)
		add_field(w, "From", buf_view(&value), w->from_reason);
	buf_done(&value);
}

static void
add_list(struct work *w, const char *name, const struct mailbox_list *list,
    const char *reason)
{
	struct buf value;

	buf_init(&value, VALUE_MAX);
	if (list->count > 0 && write_list(&value, list) == 0)
		add_field(w, name, buf_view(&value), reason);
	buf_done(&value);
}

static void
add_originals(struct work *w)
{
	struct mailbox_list foreign = { NULL, 0 };

	if (!w->is_replaced)
		return;
	for (size_t i = 0; i < w->authors.count; i++)
		if (permit_is_foreign(w->policy, &w->authors.items[i]))
			mailbox_list_add(&foreign, &w->authors.items[i]);
	if (!w->kept_has_value[ONCE_REPLY_TO] && !w->policy->no_reply_to)
		add_list(w, "Reply-To", &foreign, why_reply_to);
	/* Whose "root" it was matters as soon as the mail has left. */
	for (size_t i = 0; i < w->authors.count; i++)
		mailbox_qualify(&w->authors.items[i], w->policy->origin);
	if (!w->policy->no_original)
		add_list(w, "X-Original-From", &w->authors, why_original);
	mailbox_list_done(&foreign);
}

/*
 * Describe a body that needs it.  A message with any MIME field is left alone:
 * what it says of itself may be signed.
 */
static void
add_mime(struct work *w, const struct body_facts *facts)
{
	const char *type = "text/plain; charset=us-ascii";
	bool needs_encoding =
	    facts->has_nul || facts->longest_line > LINES_MAX_OCTETS;

	if (!facts->has_8bit && !needs_encoding)
		return;
	if (header_has(w->header, "MIME-Version") ||
	    header_has(w->header, "Content-Type") ||
	    header_has(w->header, "Content-Transfer-Encoding"))
		return;
	if (facts->has_8bit)
		type = facts->is_utf8 ? "text/plain; charset=utf-8"
				      : "text/plain; charset=unknown-8bit";
	add_field(w, "MIME-Version", span_of("1.0"), why_mime);
	add_field(w, "Content-Type", span_of(type), why_mime);
	add_field(w, "Content-Transfer-Encoding",
	    span_of(needs_encoding ? "quoted-printable" : "8bit"), why_mime);
	w->plan->encodes_body = needs_encoding;
}

/* ---- the plan ---- */

static void
plan_sender(struct work *w, const struct mailbox *sender)
{
	struct rewrite_plan *plan = w->plan;
	bool is_allowed;
	struct mailbox m;

	if (mailbox_is_null(sender)) {
		plan->sender = mailbox_copy(stand_in(w->policy));
		plan->sender_reason =
		    w->policy->appointed != NULL ? why_rule : why_null_sender;
		return;
	}
	m = mailbox_copy(sender);
	mailbox_qualify(&m, w->policy->origin);
	is_allowed = w->policy->appointed != NULL
	    ? mailbox_equal(&m, w->policy->appointed)
	    : permit_allows(w->policy, &m);
	if (is_allowed) {
		plan->sender = m;
		plan->sender_reason = sender->domain == NULL ? why_bare : NULL;
		return;
	}
	mailbox_done(&m);
	plan->sender = mailbox_copy(stand_in(w->policy));
	plan->sender_reason =
	    w->policy->appointed != NULL ? why_rule : why_sender_account;
}

static void
plan_recipients(const struct rewrite_policy *policy,
    const struct mailbox_list *recipients, struct mailbox_list *out)
{
	for (size_t i = 0; i < recipients->count; i++) {
		mailbox_list_add(out, &recipients->items[i]);
		if (policy->recipient_domain != NULL)
			mailbox_qualify(
			    &out->items[i], policy->recipient_domain);
	}
	mailbox_list_unique(out);
}

static void
plan_field(struct work *w, size_t index)
{
	const struct rule *rule = rule_of(&w->header->fields[index]);

	if (rule->reason != NULL)
		remove_field(w, index, rule->reason);
	else if (rule->once == ONCE_NOT || w->kept[rule->once] == index)
		rule->apply(w, index);
	else
		remove_field(w, index, why_once);
}

static void
add_auto_submitted(struct work *w, const struct mailbox *sender)
{
	static const char name[] = "Auto-Submitted"; /* RFC 3834 */

	if (header_has(w->header, name))
		return;
	if (mailbox_is_null(sender))
		add_field(w, name, span_of("auto-replied"), why_auto);
	else if (w->policy->marks_automatic)
		add_field(w, name, span_of("auto-generated"), why_automatic);
}

static void
plan_header(struct work *w, const struct rewrite_input *input)
{
	choose_fields(w);
	decide_from(w);
	for (size_t i = 0; i < w->header->count; i++)
		plan_field(w, i);
	add_from(w);
	add_originals(w);
	add_auto_submitted(w, input->sender);
	add_mime(w, input->facts);
	mailbox_list_done(&w->authors);
	mailbox_done(&w->from);
}

bool
rewrite_find_author(const struct header *header, struct mailbox *out)
{
	struct mailbox_list authors = { NULL, 0 };
	bool has_author;

	for (size_t i = 0; i < header->count && authors.count == 0; i++)
		if (field_is(&header->fields[i], "From"))
			(void)read_mailboxes(
			    &header->fields[i], AUTHORS_MAX, &authors);
	has_author = authors.count > 0;
	if (has_author)
		*out = mailbox_copy(&authors.items[0]);
	mailbox_list_done(&authors);
	return has_author;
}

void
rewrite_plan(const struct rewrite_policy *policy,
    const struct rewrite_input *input, struct rewrite_plan *out)
{
	struct work w = {
		.policy = policy, .header = input->header, .plan = out
	};

	*out = (struct rewrite_plan){ 0 };
	plan_recipients(policy, input->recipients, &out->recipients);
	plan_sender(&w, input->sender);
	plan_header(&w, input);
}

void
rewrite_plan_done(struct rewrite_plan *plan)
{
	for (size_t i = 0; i < plan->edit_count; i++) {
		free(plan->edits[i].name);
		free(plan->edits[i].value);
	}
	free(plan->edits);
	mailbox_list_done(&plan->recipients);
	mailbox_done(&plan->sender);
	*plan = (struct rewrite_plan){ 0 };
}

static int
write_new(struct buf *b, const struct edit *edit)
{
	return buf_printf(b, "%s: %s\r\n", edit->name, edit->value);
}

static int
write_field(struct buf *b, const struct field *field)
{
	if (buf_add(b, field->text, field->len) == -1)
		return -1;
	return buf_puts(b, "\r\n");
}

/* The edit of this field, if it is the next one; else NULL. */
static const struct edit *
edit_of(const struct rewrite_plan *plan, size_t next, size_t index)
{
	const struct edit *edit;

	if (next == plan->edit_count)
		return NULL;
	edit = &plan->edits[next];
	return edit->kind != EDIT_ADD && edit->index == index ? edit : NULL;
}

int
rewrite_write_header(
    const struct rewrite_plan *plan, const struct header *header, struct buf *b)
{
	size_t next = 0;

	/* Edits of fields come first, in the order of the fields. */
	for (size_t i = 0; i < header->count; i++) {
		const struct edit *edit = edit_of(plan, next, i);
		int r = 0;

		if (edit == NULL)
			r = write_field(b, &header->fields[i]);
		else if (edit->kind == EDIT_REPLACE)
			r = write_new(b, edit);
		if (r == -1)
			return -1;
		next += edit != NULL;
	}
	for (; next < plan->edit_count; next++)
		if (write_new(b, &plan->edits[next]) == -1)
			return -1;
	return buf_puts(b, "\r\n");
}
