#include "show.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"
#include "mail/message.h"
#include "route/deliver.h"
#include "route/direct.h"
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

static const char *
sign_in_name(const struct account *account)
{
	switch (account->auth) {
	case AUTH_CLIENT_SECRET:
		return "OAuth (XOAUTH2)";
	case AUTH_PASSWORD:
		return "password (LOGIN)";
	case AUTH_NONE:
		break;
	}
	return "no sign-in";
}

static const char *
reason_name(enum rule_reason reason)
{
	switch (reason) {
	case RULE_BY_AUTHOR:
		return "matches From";
	case RULE_BY_ENVELOPE:
		return "matches the envelope sender";
	case RULE_BY_USER:
		return "matches the calling user";
	case RULE_BY_ANY:
		return "matches everything";
	case RULE_NO_MATCH:
		break;
	}
	return "does not match";
}

/* Nobody can sign in for this message: what it would become is of no use. */
static bool
is_nobodys(const struct delivery *d)
{
	return mailbox_is_null(&d->user);
}

/* A rule has named a sender that the account of this message may not use. */
static bool
is_overruled(const struct delivery *d)
{
	return !mailbox_is_null(&d->appointed) &&
	    !mailbox_equal(&d->appointed, &d->plan.sender);
}

/* Is rule number i of the list one that was tried? */
static bool
was_tried(
    const struct rule_list *rules, const struct rule_match *match, size_t i)
{
	return i < rules->count &&
	    (match->rule == NULL || &rules->items[i] <= match->rule);
}

static enum rule_reason
reason_for(
    const struct rule_list *rules, const struct rule_match *match, size_t i)
{
	return &rules->items[i] == match->rule ? match->reason : RULE_NO_MATCH;
}

/* ---- for people ---- */

static void
print_account(FILE *to, const struct delivery *d)
{
	const struct account *account = d->account;
	char *user = address_of(&d->user);

	(void)fprintf(to, "account     ");
	if (account->name[0] != '\0')
		(void)fprintf(to, "%s: ", account->name);
	print_safe(to, span_of(is_nobodys(d) ? "nobody" : user));
	(void)fprintf(to, ", ");
	if (account->host != NULL)
		(void)fprintf(to, "%s, through %s port %u\n",
		    sign_in_name(account), account->host,
		    (unsigned)account->port);
	else
		(void)fprintf(to, "by Direct Send only\n");
	free(user);
}

static void
print_rules(FILE *to, const char *section, const struct rule_list *rules,
    const struct rule_match *match)
{
	for (size_t i = 0; was_tried(rules, match, i); i++) {
		const struct rule *rule = &rules->items[i];

		(void)fprintf(
		    to, "rule        [%s] line %d, ", section, rule->line);
		print_safe(to, span_of(rule->pattern.text));
		(void)fputc(' ', to);
		print_safe(to, span_of(rule->target));
		(void)fprintf(
		    to, ": %s\n", reason_name(reason_for(rules, match, i)));
	}
}

static void
print_aliases(FILE *to, const struct alias_expansion *e)
{
	for (size_t i = 0; i < e->step_count; i++) {
		const struct alias_step *step = &e->steps[i];

		(void)fprintf(to, "alias       ");
		print_safe(to, span_of(step->name));
		(void)fprintf(to, " (");
		print_safe(to, span_of(step->file));
		(void)fprintf(to, ":%d): ", step->line);
		print_safe(to, span_of(step->list));
		(void)fputc('\n', to);
	}
}

static void
print_sender(FILE *to, const struct delivery *d, const struct mailbox *given)
{
	(void)fprintf(to, "sender      ");
	print_address(to, given);
	if (d->plan.sender_reason != NULL && !is_nobodys(d)) {
		(void)fprintf(to, " becomes ");
		print_address(to, &d->plan.sender);
		(void)fprintf(to, "\n      %s", d->plan.sender_reason);
	}
	(void)fputc('\n', to);
	if (is_overruled(d)) {
		(void)fprintf(to, "      not ");
		print_address(to, &d->appointed);
		(void)fprintf(to,
		    " as the rule says, which is not in send_as of this "
		    "account\n");
	}
}

static void
print_recipient(
    FILE *to, const struct config *config, const struct delivery *d, size_t i)
{
	const struct mailbox *m = &d->plan.recipients.items[i];
	struct buf why;

	(void)fprintf(to, "recipient   ");
	print_address(to, m);
	if (d->outcomes[i].status != OUTCOME_PENDING) {
		(void)fprintf(to, ": not sent\n      ");
		print_safe(to, span_of(d->outcomes[i].text));
	} else if (d->account->host == NULL) {
		(void)fprintf(to, ", by Direct Send");
	} else if (config->direct_send.is_enabled) {
		(void)fprintf(to,
		    config_is_internal(config, m->domain)
			? ", by Direct Send if submission fails"
			: ", by submission only");
	}
	(void)fputc('\n', to);
	buf_init(&why, FAILURE_TEXT_SIZE);
	if (m->domain != NULL && config_is_internal(config, m->domain) &&
	    direct_state(config, m->domain, &why) == FALLBACK_CLOSED) {
		(void)fprintf(to, "      Direct Send: ");
		print_safe(to, buf_view(&why));
		(void)fputc('\n', to);
	}
	buf_done(&why);
}

static void
print_content(FILE *to, const struct delivery *d, const struct header *header)
{
	(void)fprintf(to, "header%s\n",
	    d->plan.edit_count > 0 ? "" : "      stays as it is");
	for (size_t i = 0; i < d->plan.edit_count; i++)
		print_edit(to, &d->plan.edits[i], header);
	if (d->plan.encodes_body)
		(void)fprintf(to,
		    "body        is sent as quoted-printable: it has NUL "
		    "octets or lines over %d octets\n",
		    LINES_MAX_OCTETS);
}

void
show_plan(FILE *to, const struct config *config, const struct delivery *d,
    const struct delivery_input *input)
{
	print_rules(to, "rewrite", &config->rewrite_rules, &d->rewrite_rule);
	print_rules(to, "route", &config->route_rules, &d->route_rule);
	print_account(to, d);
	print_sender(to, d, input->sender);
	print_aliases(to, &d->expansion);
	for (size_t i = 0; i < d->plan.recipients.count; i++)
		print_recipient(to, config, d, i);
	if (!is_nobodys(d))
		print_content(to, d, &input->message->header);
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

	if (d->outcomes[i].status != OUTCOME_PENDING)
		(void)json_object_set_new(
		    refused, address, json_text(span_of(d->outcomes[i].text)));
	else
		(void)json_array_append_new(list, json_address(m));
	free(address);
}

static void
add_recipients(json_t *o, const struct config *config, const struct delivery *d)
{
	json_t *recipients = json_array();
	json_t *refused = json_object();
	json_t *direct = json_array();

	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const struct mailbox *m = &d->plan.recipients.items[i];

		add_recipient(d, i, recipients, refused);
		if (d->outcomes[i].status == OUTCOME_PENDING &&
		    config->direct_send.is_enabled &&
		    config_is_internal(config, m->domain))
			(void)json_array_append_new(direct, json_address(m));
	}
	(void)json_object_set_new(o, "recipients", recipients);
	(void)json_object_set_new(o, "refused", refused);
	(void)json_object_set_new(o, "direct_send", direct);
}

static void
add_rules(json_t *list, const char *section, const struct rule_list *rules,
    const struct rule_match *match)
{
	for (size_t i = 0; was_tried(rules, match, i); i++) {
		const struct rule *rule = &rules->items[i];
		json_t *o = json_object();

		(void)json_object_set_new(o, "section", json_string(section));
		(void)json_object_set_new(o, "line", json_integer(rule->line));
		(void)json_object_set_new(
		    o, "pattern", json_string(rule->pattern.text));
		(void)json_object_set_new(
		    o, "target", json_string(rule->target));
		(void)json_object_set_new(
		    o, "applies", json_boolean(rule == match->rule));
		(void)json_object_set_new(o, "reason",
		    json_string(reason_name(reason_for(rules, match, i))));
		(void)json_array_append_new(list, o);
	}
}

static json_t *
json_aliases(const struct alias_expansion *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < e->step_count; i++) {
		const struct alias_step *step = &e->steps[i];
		json_t *o = json_object();

		(void)json_object_set_new(
		    o, "name", json_text(span_of(step->name)));
		(void)json_object_set_new(
		    o, "file", json_text(span_of(step->file)));
		(void)json_object_set_new(o, "line", json_integer(step->line));
		(void)json_object_set_new(
		    o, "list", json_text(span_of(step->list)));
		(void)json_array_append_new(list, o);
	}
	return list;
}

static void
add_account(json_t *o, const struct delivery *d)
{
	const struct account *account = d->account;
	bool has_host = account->host != NULL;

	(void)json_object_set_new(o, "account", json_address(&d->user));
	(void)json_object_set_new(
	    o, "account_name", json_string(account->name));
	(void)json_object_set_new(o, "transport",
	    json_string(has_host ? "submission" : "direct_send"));
	if (has_host) {
		(void)json_object_set_new(
		    o, "host", json_string(account->host));
		(void)json_object_set_new(
		    o, "port", json_integer(account->port));
	}
}

void
show_plan_json(FILE *to, const struct config *config, const struct delivery *d,
    const struct delivery_input *input)
{
	json_t *o = json_object();
	json_t *rules = json_array();
	json_t *edits = json_array();

	for (size_t i = 0; i < d->plan.edit_count && !is_nobodys(d); i++)
		(void)json_array_append_new(edits,
		    json_edit(&d->plan.edits[i], &input->message->header));
	add_rules(rules, "rewrite", &config->rewrite_rules, &d->rewrite_rule);
	add_rules(rules, "route", &config->route_rules, &d->route_rule);
	(void)json_object_set_new(o, "rules", rules);
	add_account(o, d);
	(void)json_object_set_new(
	    o, "sender_before", json_address(input->sender));
	(void)json_object_set_new(o, "sender", json_address(&d->plan.sender));
	if (d->plan.sender_reason != NULL && !is_nobodys(d))
		(void)json_object_set_new(
		    o, "sender_reason", json_string(d->plan.sender_reason));
	(void)json_object_set_new(o, "aliases", json_aliases(&d->expansion));
	add_recipients(o, config, d);
	(void)json_object_set_new(o, "edits", edits);
	(void)json_object_set_new(
	    o, "encodes_body", json_boolean(d->plan.encodes_body));
	/* In ASCII, since people look at this on terminals, too. */
	(void)json_dumpf(o, to, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	(void)fputc('\n', to);
	json_decref(o);
}
