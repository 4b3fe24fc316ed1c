#include "route/partial.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/spill.h"
#include "mail/address.h"
#include "mail/message.h"
#include "route/deliver.h"
#include "route/memory.h"
#include "smtp/client.h"

enum {
	BLOCK = 64 * 1024,
	SECONDS = 24 * 3600 /* in which a caller tries again */
};

static const char memory_kind[] = "partial";

/* ---- the digest of a message ---- */

static int
digest_body(EVP_MD_CTX *md, const struct spill *body)
{
	char *block = xmalloc(BLOCK);
	uint64_t offset = 0;
	struct failure ignored;
	ssize_t n;

	while ((n = spill_read(body, offset, block, BLOCK, &ignored)) > 0) {
		offset += (uint64_t)n;
		if (EVP_DigestUpdate(md, block, (size_t)n) != 1)
			n = -1;
		if (n == -1)
			break;
	}
	free(block);
	return n == 0 ? 0 : -1;
}

static int
digest_header(EVP_MD_CTX *md, const struct delivery_input *input)
{
	const struct header *header = &input->message->header;
	char sender[ADDRESS_MAX + 32];
	int len =
	    snprintf(sender, sizeof(sender), "%ld %s@%s\n", (long)getuid(),
		input->sender->local != NULL ? input->sender->local : "",
		input->sender->domain != NULL ? input->sender->domain : "");

	if (EVP_DigestUpdate(md, sender, (size_t)len) != 1)
		return -1;
	for (size_t i = 0; i < header->count; i++)
		if (EVP_DigestUpdate(md, header->fields[i].text,
			header->fields[i].len) != 1 ||
		    EVP_DigestUpdate(md, "\n", 1) != 1)
			return -1;
	return 0;
}

/* All that makes this message this one; false: it cannot be told. */
static bool
make_key(const struct delivery_input *input,
    unsigned char out[static EVP_MAX_MD_SIZE], struct span *key)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned size = 0;
	bool is_good = md != NULL &&
	    EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    digest_header(md, input) == 0 &&
	    digest_body(md, &input->message->body) == 0 &&
	    EVP_DigestFinal_ex(md, out, &size) == 1;

	EVP_MD_CTX_free(md);
	*key = (struct span){ (const char *)out, size };
	return is_good;
}

/* ---- whom it has reached ---- */

/* Is the address one of the lines? */
static bool
has_line(struct span lines, const char *address)
{
	while (lines.len > 0) {
		const char *lf = memchr(lines.s, '\n', lines.len);
		struct span line = lines;

		if (lf != NULL)
			line.len = (size_t)(lf - lines.s);
		if (span_is_nocase(line, address))
			return true;
		lines.s += line.len + (lf != NULL);
		lines.len -= line.len + (lf != NULL);
	}
	return false;
}

static void
settle_reached(struct delivery *d, struct span reached)
{
	struct buf address;

	buf_init(&address, ADDRESS_MAX);
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		struct outcome *o = &d->outcomes[i];

		buf_reset(&address);
		(void)mailbox_write_address(
		    &address, &d->plan.recipients.items[i]);
		if (o->status != OUTCOME_PENDING ||
		    !has_line(reached, address.s))
			continue;
		o->status = OUTCOME_ACCEPTED;
		(void)snprintf(o->dsn, sizeof(o->dsn), "2.0.0");
		o->text = xstrdup("an earlier attempt has sent it");
	}
	buf_done(&address);
}

void
partial_recall(const struct config *config, const struct delivery_input *input,
    struct delivery *d)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct buf reached;
	struct span key;

	/* Reading the body a second time is for the rare case. */
	if (!memory_has(config->state_directory, memory_kind))
		return;
	buf_init(&reached, MEMORY_TEXT_MAX);
	if (make_key(input, digest, &key) &&
	    memory_recall(config->state_directory, memory_kind, key, &reached))
		settle_reached(d, buf_view(&reached));
	buf_done(&reached);
}

static size_t
count_status(const struct delivery *d, enum outcome_status status)
{
	size_t count = 0;

	for (size_t i = 0; i < d->plan.recipients.count; i++)
		count += d->outcomes[i].status == status;
	return count;
}

/* Whom the message has reached, one address a line. */
static void
write_reached(const struct delivery *d, struct buf *reached)
{
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		if (d->outcomes[i].status != OUTCOME_ACCEPTED)
			continue;
		(void)mailbox_write_address(
		    reached, &d->plan.recipients.items[i]);
		(void)buf_putc(reached, '\n');
	}
}

void
partial_keep(const struct config *config, const struct delivery_input *input,
    const struct delivery *d)
{
	const char *directory = config->state_directory;
	unsigned char digest[EVP_MAX_MD_SIZE];
	bool has_waiting = count_status(d, OUTCOME_LATER) > 0;
	struct buf reached;
	struct span key;

	/* To read the body once more is for the rare case. */
	if (has_waiting ? count_status(d, OUTCOME_ACCEPTED) == 0
			: !memory_has(directory, memory_kind))
		return;
	if (!make_key(input, digest, &key))
		return;
	if (!has_waiting) {
		/* From now on the same once more is a new message. */
		memory_forget(directory, memory_kind, key);
		return;
	}
	buf_init(&reached, MEMORY_TEXT_MAX);
	write_reached(d, &reached);
	memory_keep(directory, memory_kind, key, buf_view(&reached), SECONDS);
	buf_done(&reached);
}
