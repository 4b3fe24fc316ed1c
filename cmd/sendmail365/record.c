#include "record.h"

#include <inttypes.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "mail/address.h"
#include "mail/message.h"
#include "route/deliver.h"
#include "smtp/client.h"

static const char *
status_word(const struct outcome *o)
{
	switch (o->status) {
	case OUTCOME_ACCEPTED:
		return "sent";
	case OUTCOME_REFUSED:
		return "bounced";
	case OUTCOME_PENDING:
	case OUTCOME_LATER:
		break;
	}
	return "deferred";
}

/* Octets of the message as it was given. */
static uint64_t
size_of(const struct message *message)
{
	uint64_t size = message->body.size + 2;

	for (size_t i = 0; i < message->header.count; i++)
		size += message->header.fields[i].len + 2;
	return size;
}

void
record_message(const char *id, uint32_t uid, const struct delivery *d,
    const struct delivery_input *input)
{
	const struct header *header = &input->message->header;
	size_t i = header_find(header, "Message-ID", 0);
	struct buf from, given, message_id;

	buf_init(&from, ADDRESS_MAX);
	buf_init(&given, ADDRESS_MAX);
	buf_init(&message_id, HEADER_MAX_BYTES);
	(void)mailbox_write_address(&from, &d->plan.sender);
	(void)mailbox_write_address(&given, input->sender);
	if (i < header->count)
		(void)field_unfold(&header->fields[i], &message_id);
	log_info("%s: uid=%" PRIu32 " orig_from=<%s> message-id=%.256s", id,
	    uid, given.s, message_id.s);
	log_info("%s: from=<%s>, size=%" PRIu64 ", nrcpt=%zu", id, from.s,
	    size_of(input->message), d->plan.recipients.count);
	buf_done(&from);
	buf_done(&given);
	buf_done(&message_id);
}

void
record_outcomes(const char *id, const struct delivery *d)
{
	double delay = (double)(clock_ms() - d->started_ms) / 1000;
	struct buf to;

	buf_init(&to, ADDRESS_MAX);
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const struct outcome *o = &d->outcomes[i];

		/* One that had its outcome before has no text. */
		if (o->text == NULL)
			continue;
		buf_reset(&to);
		(void)mailbox_write_address(&to, &d->plan.recipients.items[i]);
		log_info("%s: to=<%s>, relay=%s, delay=%.2f, dsn=%s, "
			 "status=%s (%s)",
		    id, to.s, o->relay, delay, o->dsn, status_word(o), o->text);
	}
	buf_done(&to);
}
