/* A journal: whatever is in it, what is read is fit for a log and can be
 * appended to, and both are read again. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/ascii.h"
#include "queue/journal.h"
#include "scratch.h"

enum {
	TEXT_SIZE = 600,
	TEXT_SURE = 500 /* is not cut whatever its characters are */
};

static const struct spool_id id = { 0x6423A1B2C3D4E, 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct journal *j)
{
	for (size_t i = 0; i < j->count; i++) {
		const struct journal_entry *e = &j->entries[i];

		assert(e->address[0] != '\0');
		assert(!ascii_has_control(span_of(e->address)));
		assert(e->status <= JOURNAL_FAILED);
		assert(strlen(e->dsn) < sizeof(e->dsn));
		assert(strlen(e->text) < TEXT_SIZE);
		assert(!ascii_has_control(span_of(e->text)));
		assert(!e->is_changed);
	}
}

static void
check_same(const struct journal *a, const struct journal *b)
{
	assert(a->attempts == b->attempts && a->count == b->count);
	for (size_t i = 0; i < a->count; i++) {
		const struct journal_entry *x = &a->entries[i];
		const struct journal_entry *y = &b->entries[i];

		assert(strcmp(x->address, y->address) == 0);
		assert(x->status == y->status && strcmp(x->dsn, y->dsn) == 0);
		if (strlen(x->text) < TEXT_SURE)
			assert(strcmp(x->text, y->text) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct spool *spool = scratch_spool();
	struct journal j, again;
	struct failure f;

	scratch_write("journal", id, (struct span){ (const char *)data, size });
	assert(journal_read(spool, id, &j, &f) == 0);
	check(&j);
	j.attempts++;
	for (size_t i = 0; i < j.count; i++)
		j.entries[i].is_changed = true;
	journal_set(&j, "a b@c", JOURNAL_FAILED, "5.1.1", "no\r\nA 9");
	assert(journal_append(spool, id, &j, &f) == 0);
	check(&j);
	assert(journal_read(spool, id, &again, &f) == 0);
	check(&again);
	/* What was torn in its text says the rest once its line has an end. */
	if (size == 0 || data[size - 1] == '\n')
		check_same(&j, &again);
	journal_done(&again);
	journal_done(&j);
	return 0;
}
