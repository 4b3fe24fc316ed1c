#include "notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/complete.h"
#include "mail/message.h"
#include "mail/notice.h"
#include "queue/journal.h"
#include "queue/limits.h"
#include "queue/spool.h"
#include "settle.h"

enum {
	MS_PER_HOUR = 60 * 60 * 1000,
	NAME_SIZE = 32
};

static int
queue_notice(const struct settlement *s, const struct mailbox *to,
    struct span text, struct failure *f)
{
	struct mailbox item = mailbox_copy(to);
	const struct spool_envelope envelope = {
		.recipients = { .items = &item, .count = 1 },
		.is_notice = true,
	};
	struct spool_writer w;
	int r = spool_begin(s->spool, s->entry->id.uid, &envelope, &w, f);

	if (r == 0)
		r = spool_write(&w, text, f);
	if (r == 0)
		r = spool_commit(&w, 0, f);
	spool_abandon(&w);
	mailbox_done(&item);
	return r;
}

static int
write_notice(const struct settlement *s, const struct mailbox *to, bool is_last,
    struct failure *f)
{
	const struct journal *j = s->journal;
	struct notice_recipient *failed = xcalloc(j->count, sizeof(*failed));
	char *host = complete_host_name(1);
	char id[SPOOL_ID_SIZE];
	struct notice n = {
		.to = to,
		.host = host,
		.id = id,
		.arrival_ms = spool_arrival_ms(s->entry->id),
		.header = &s->message->header,
		.recipients = failed,
		.is_last = is_last,
	};
	struct buf text;
	int r;

	spool_id_text(s->entry->id, id);
	for (size_t i = 0; i < j->count; i++)
		if (j->entries[i].status == JOURNAL_FAILED)
			failed[n.recipient_count++] =
			    (struct notice_recipient){ j->entries[i].address,
				    j->entries[i].dsn, j->entries[i].text };
	buf_init(&text, NOTICE_MAX);
	r = notice_write(&n, &text, f);
	if (r == 0)
		r = queue_notice(s, to, buf_view(&text), f);
	buf_done(&text);
	free(host);
	free(failed);
	return r;
}

/*
 * Count a notice.  Users are counted, and not senders, which a caller makes up.
 * What cannot be counted is sent.
 */
static enum limits_answer
count_notice(const struct settlement *s, bool *out_is_last)
{
	unsigned most = s->config->queue_notices_per_hour;
	const struct limits_policy policy = {
		.connections = 1,
		.messages =
		    most < LIMITS_MESSAGES_MAX ? most : LIMITS_MESSAGES_MAX,
		.window_ms = MS_PER_HOUR,
		.recipients_per_day = UINT64_MAX,
	};
	struct limits *l = NULL;
	enum limits_answer answer = LIMITS_FAILED;
	char name[NAME_SIZE];
	int64_t wait_ms;
	struct failure f;

	(void)snprintf(
	    name, sizeof(name), "notices-%" PRIu32, s->entry->id.uid);
	*out_is_last = false;
	if (limits_open(s->config->state_directory, name, &policy, &l, &f) == 0)
		answer = limits_take(l, 1, 0, &wait_ms, &f);
	if (answer == LIMITS_TAKEN)
		*out_is_last =
		    limits_take(l, 0, 0, &wait_ms, &f) == LIMITS_WAIT;
	if (answer == LIMITS_FAILED)
		log_warning("%s", f.text);
	limits_free(&l);
	return answer;
}

int
notify_failure(const struct settlement *s, const char *id, struct failure *f)
{
	const struct spool_envelope *envelope = &s->entry->envelope;
	const struct mailbox *to = &s->config->queue_postmaster;
	bool is_last;

	if (mailbox_is_null(to))
		to = &envelope->sender;
	if (envelope->is_notice || mailbox_is_null(&envelope->sender)) {
		log_info("%s: no notice is sent about a notice", id);
		return 0;
	}
	if (to == &envelope->sender && !dsn_wants_failure(&envelope->dsn)) {
		log_info("%s: its sender wants no notice", id);
		return 0;
	}
	if (count_notice(s, &is_last) == LIMITS_WAIT) {
		log_info("%s: no notice is sent: user %" PRIu32
			 " has reached notices_per_hour",
		    id, s->entry->id.uid);
		return 0;
	}
	if (is_last)
		log_warning("user %" PRIu32 " reaches notices_per_hour: what "
			    "else fails is kept without a notice",
		    s->entry->id.uid);
	if (write_notice(s, to, is_last, f) == 0)
		return 0;
	log_error("%s: no notice could be sent: %s", id, f->text);
	/* A disk that is full or broken is mended; nothing else is. */
	return f->kind == FAILURE_LATER ? -1 : 0;
}
