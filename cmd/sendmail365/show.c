#include "show.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/log.h"
#include "mail/address.h"
#include "mail/message.h"
#include "route/deliver.h"
#include "smtp/client.h"

enum {
	SHOWN_MAX = 2000 /* of one field or address */
};

static const char *const kind_names[] = {
	[EDIT_REMOVE] = "remove",
	[EDIT_REPLACE] = "replace",
	[EDIT_ADD] = "add",
};

/* Print bytes from outside without what moves a terminal. */
static void
print_safe(FILE *to, struct span s)
{
	char shown[SHOWN_MAX];

	log_escape(shown, sizeof(shown), s.s, s.len);
	(void)fputs(shown, to);
}

static char *
address_of(const struct mailbox *m)
{
	struct buf b;

	buf_init(&b, ADDRESS_MAX);
	/* A mailbox never exceeds ADDRESS_MAX. */
	(void)mailbox_write_address(&b, m);
	return buf_take(&b);
}

static void
print_address(FILE *to, const struct mailbox *m)
{
	char *address = address_of(m);

	(void)fputc('<', to);
	print_safe(to, span_of(address));
	(void)fputc('>', to);
	free(address);
}

/* A value on one line: folds become blanks. */
static char *
unfolded(struct span value)
{
	char *s = xstrndup(value.s, value.len);
	char *to = s;

	for (const char *from = s; *from != '\0'; from++)
		if (*from != '\r' && *from != '\n')
			*to++ = *from;
	*to = '\0';
	return s;
}

static void
print_field(FILE *to, char sign, const char *name, struct span value)
{
	char *line = unfolded(value);

	(void)fprintf(to, "  %c %s: ", sign, name);
	print_safe(to, span_of(line));
	(void)fputc('\n', to);
	free(line);
}

static void
print_edit(FILE *to, const struct edit *e, const struct header *header)
{
	if (e->kind != EDIT_ADD)
		print_field(
		    to, '-', e->name, field_value(&header->fields[e->index]));
	if (e->kind != EDIT_REMOVE)
		print_field(to, '+', e->name, span_of(e->value));
	(void)fprintf(to, "      %s\n", e->reason);
}

void
show_plan(
    FILE *to, const struct delivery *d, const struct delivery_input *input)
{
	char *user = address_of(&d->account->user);

	(void)fprintf(to, "account     %s, %s, through %s port %u\n", user,
	    d->account->auth == AUTH_PASSWORD ? "password (LOGIN)"
					      : "OAuth (XOAUTH2)",
	    d->account->host, (unsigned)d->account->port);
	free(user);
	(void)fprintf(to, "sender      ");
	print_address(to, input->sender);
	if (d->plan.sender_reason != NULL) {
		(void)fprintf(to, " becomes ");
		print_address(to, &d->plan.sender);
		(void)fprintf(to, "\n      %s", d->plan.sender_reason);
	}
	(void)fputc('\n', to);
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		(void)fprintf(to, "recipient   ");
		print_address(to, &d->plan.recipients.items[i]);
		if (d->outcomes[i].status == OUTCOME_REFUSED)
			(void)fprintf(
			    to, " is refused\n      %s", d->outcomes[i].text);
		(void)fputc('\n', to);
	}
	(void)fprintf(to, "header%s\n",
	    d->plan.edit_count > 0 ? "" : "      stays as it is");
	for (size_t i = 0; i < d->plan.edit_count; i++)
		print_edit(to, &d->plan.edits[i], &input->message->header);
	if (d->plan.encodes_body)
		(void)fprintf(to,
		    "body        is sent as quoted-printable: it has NUL "
		    "octets or lines over %d octets\n",
		    LINES_MAX_OCTETS);
}

/* ---- JSON ---- */

/* Text for JSON, which is UTF-8: other bytes are escaped. */
static json_t *
json_text(struct span s)
{
	char shown[SHOWN_MAX];
	json_t *text = json_stringn(s.s, s.len);

	if (text != NULL)
		return text;
	log_escape(shown, sizeof(shown), s.s, s.len);
	return json_string(shown);
}

static json_t *
json_address(const struct mailbox *m)
{
	char *address = address_of(m);
	json_t *text = json_text(span_of(address));

	free(address);
	return text;
}

static json_t *
json_edit(const struct edit *e, const struct header *header)
{
	json_t *o = json_object();

	(void)json_object_set_new(o, "edit", json_string(kind_names[e->kind]));
	(void)json_object_set_new(o, "field", json_string(e->name));
	if (e->kind != EDIT_ADD)
		(void)json_object_set_new(o, "before",
		    json_text(field_value(&header->fields[e->index])));
	if (e->kind != EDIT_REMOVE)
		(void)json_object_set_new(
		    o, "after", json_text(span_of(e->value)));
	(void)json_object_set_new(o, "reason", json_string(e->reason));
	return o;
}

/* Recipient i into a list, or with its reason into an object. */
static void
add_recipient(const struct delivery *d, size_t i, json_t *list, json_t *refused)
{
	const struct mailbox *m = &d->plan.recipients.items[i];
	char *address = address_of(m);

	if (d->outcomes[i].status == OUTCOME_REFUSED)
		(void)json_object_set_new(
		    refused, address, json_string(d->outcomes[i].text));
	else
		(void)json_array_append_new(list, json_address(m));
	free(address);
}

void
show_plan_json(
    FILE *to, const struct delivery *d, const struct delivery_input *input)
{
	json_t *o = json_object();
	json_t *recipients = json_array();
	json_t *refused = json_object();
	json_t *edits = json_array();

	for (size_t i = 0; i < d->plan.recipients.count; i++)
		add_recipient(d, i, recipients, refused);
	for (size_t i = 0; i < d->plan.edit_count; i++)
		(void)json_array_append_new(edits,
		    json_edit(&d->plan.edits[i], &input->message->header));
	(void)json_object_set_new(
	    o, "account", json_address(&d->account->user));
	(void)json_object_set_new(o, "transport", json_string("submission"));
	(void)json_object_set_new(o, "host", json_string(d->account->host));
	(void)json_object_set_new(o, "port", json_integer(d->account->port));
	(void)json_object_set_new(
	    o, "sender_before", json_address(input->sender));
	(void)json_object_set_new(o, "sender", json_address(&d->plan.sender));
	if (d->plan.sender_reason != NULL)
		(void)json_object_set_new(
		    o, "sender_reason", json_string(d->plan.sender_reason));
	(void)json_object_set_new(o, "recipients", recipients);
	(void)json_object_set_new(o, "refused", refused);
	(void)json_object_set_new(o, "edits", edits);
	(void)json_object_set_new(
	    o, "encodes_body", json_boolean(d->plan.encodes_body));
	(void)json_dumpf(o, to, JSON_INDENT(2));
	(void)fputc('\n', to);
	json_decref(o);
}
