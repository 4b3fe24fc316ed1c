#include "keep.h"

#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"
#include "mail/message.h"
#include "queue/journal.h"
#include "queue/spool.h"
#include "route/deliver.h"
#include "smtp/client.h"

enum {
	BLOCK = 64 * 1024,
	MS_PER_SECOND = 1000
};

bool
keep_is_possible(const struct config *config)
{
	struct spool *spool = NULL;
	struct failure ignored;
	bool is_possible =
	    spool_open(config->queue_directory, false, &spool, &ignored) == 0;

	spool_free(&spool);
	return is_possible;
}

/* The message as the caller gave it. */
static int
write_content(
    struct spool_writer *w, const struct message *message, struct failure *f)
{
	char *block = xmalloc(BLOCK);
	uint64_t at = 0;
	struct buf header;
	ssize_t n = 1;
	int r;

	buf_init(&header, DELIVERY_HEADER_MAX);
	r = header_write(&message->header, &header);
	if (r == 0)
		r = buf_puts(&header, "\r\n");
	r = r == 0 ? spool_write(w, buf_view(&header), f)
		   : failure_set(f, FAILURE_DATA, "the header is too long");
	buf_done(&header);
	while (r == 0 && n > 0) {
		n = spill_read(&message->body, at, block, BLOCK, f);
		if (n > 0)
			r = spool_write(
			    w, (struct span){ block, (size_t)n }, f);
		at += n > 0 ? (uint64_t)n : 0;
	}
	free(block);
	return n == -1 ? -1 : r;
}

/*
 * What is settled stays so: those who have it, and those of whom the caller is
 * told now.
 */
static int
write_journal(struct spool *spool, struct spool_id id, const struct delivery *d,
    struct failure *f)
{
	struct journal j = { .attempts = 1 };
	struct buf address;
	int r;

	buf_init(&address, ADDRESS_MAX);
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const struct outcome *o = &d->outcomes[i];

		buf_reset(&address);
		(void)mailbox_write_address(
		    &address, &d->plan.recipients.items[i]);
		journal_set(&j, address.s,
		    o->status == OUTCOME_LATER ? JOURNAL_DEFERRED
					       : JOURNAL_SENT,
		    o->dsn, o->text);
	}
	r = journal_append(spool, id, &j, f);
	buf_done(&address);
	journal_done(&j);
	return r;
}

static int
queue_message(const struct config *config, struct spool *spool,
    const struct delivery_input *input, struct spool_writer *w,
    struct failure *f)
{
	static const struct dsn nothing;
	const struct spool_envelope envelope = {
		.sender = *input->sender,
		.recipients = *input->recipients,
		.dsn = input->dsn != NULL ? *input->dsn : nothing,
	};
	int64_t due_ms =
	    ((int64_t)time(NULL) + config->queue_retry_first) * MS_PER_SECOND;
	int r = spool_begin(spool, (uint32_t)getuid(), &envelope, w, f);

	if (r == 0)
		r = write_content(w, input->message, f);
	if (r == 0)
		r = spool_commit(w, due_ms, f);
	spool_abandon(w);
	return r;
}

/* 0, or -1 with the failure of the first recipient that was refused. */
static int
find_refusal(const struct delivery *d, struct failure *f)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		const struct outcome *o = &d->outcomes[i];

		if (o->status != OUTCOME_REFUSED)
			continue;
		(void)failure_set(f, o->kind, "%s", o->text);
		return failure_dsn(f, o->dsn);
	}
	return 0;
}

int
keep_message(const struct config *config, const struct delivery_input *input,
    const struct delivery *d, struct buf *text, struct failure *f)
{
	struct spool_writer w = { .fd = -1 };
	struct spool *spool = NULL;
	struct failure trouble;
	char id[SPOOL_ID_SIZE];
	int r = spool_open(config->queue_directory, false, &spool, &trouble);

	if (r == 0)
		r = queue_message(config, spool, input, &w, &trouble);
	if (r == -1) {
		log_debug("not queued: %s", trouble.text);
		spool_free(&spool);
		return -1;
	}
	spool_id_text(w.id, id);
	log_info("%s: queued for another attempt", id);
	/* Without it somebody may get the message twice. */
	if (write_journal(spool, w.id, d, &trouble) == -1)
		log_error("%s: %s", id, trouble.text);
	spool_free(&spool);
	if (find_refusal(d, f) == -1) {
		(void)failure_at(f, "refused (the rest is queued as %s)", id);
		return 1;
	}
	(void)buf_printf(text, "2.0.0 Ok: queued as %s", id);
	return 0;
}
