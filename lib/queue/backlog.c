#include "queue/backlog.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"

enum {
	FIRST_SLOTS = 1024, /* of the table, a power of two */
	KIB = 1024
};

#define NOWHERE UINT32_MAX /* of an index: none */

enum state {
	STATE_FREE, /* the entry is of no message */
	STATE_WAITING,
	STATE_HELD,
	STATE_OUT
};

struct entry {
	uint64_t number;
	int64_t due_ms;
	uint32_t uid;
	uint32_t size_kib;
	uint32_t heap_at; /* while waiting; of a free one: the next free */
	uint16_t lane;
	unsigned char state;
	unsigned char crashes : 7;
	unsigned char is_seen : 1; /* by the present scan */
};

/* The waiting messages of a lane, the first due at the top. */
struct lane {
	uint32_t *heap;
	size_t count;
};

struct user {
	uint32_t uid;
	struct backlog_usage usage;
};

struct backlog {
	struct entry *entries;
	size_t entry_count; /* free ones included */
	uint32_t free;      /* the first of these */
	uint32_t *slots;    /* open addressing by number; index + 1, or 0 */
	size_t slot_count;
	struct lane lanes[BACKLOG_LANES_MAX];
	struct user *users;
	size_t user_count;
	struct backlog_usage total;
};

struct backlog *
backlog_new(void)
{
	struct backlog *b = xcalloc(1, sizeof(*b));

	b->free = NOWHERE;
	b->slot_count = FIRST_SLOTS;
	b->slots = xcalloc(b->slot_count, sizeof(*b->slots));
	return b;
}

void
backlog_free(struct backlog **backlog)
{
	struct backlog *b = *backlog;

	if (b == NULL)
		return;
	for (size_t i = 0; i < BACKLOG_LANES_MAX; i++)
		free(b->lanes[i].heap);
	free(b->entries);
	free(b->slots);
	free(b->users);
	free(b);
	*backlog = NULL;
}

/* ---- the table ---- */

/* Numbers are times with chance at the end; their middle differs most. */
static size_t
first_slot(const struct backlog *b, uint64_t number)
{
	return (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
	    (b->slot_count - 1);
}

/* The slot of a message, or the empty one where it would be. */
static size_t
find_slot(const struct backlog *b, struct spool_id id)
{
	size_t i = first_slot(b, id.number);

	for (; b->slots[i] != 0; i = (i + 1) & (b->slot_count - 1)) {
		const struct entry *e = &b->entries[b->slots[i] - 1];

		if (e->number == id.number && e->uid == id.uid)
			break;
	}
	return i;
}

static struct entry *
find(const struct backlog *b, struct spool_id id)
{
	uint32_t slot = b->slots[find_slot(b, id)];

	return slot != 0 ? &b->entries[slot - 1] : NULL;
}

static void
grow_slots(struct backlog *b)
{
	uint32_t *old = b->slots;
	size_t count = b->slot_count;

	b->slot_count *= 2;
	b->slots = xcalloc(b->slot_count, sizeof(*b->slots));
	for (size_t i = 0; i < count; i++) {
		const struct entry *e;

		if (old[i] == 0)
			continue;
		assert(b->entries != NULL);
		e = &b->entries[old[i] - 1];
		b->slots[find_slot(b, (struct spool_id){ e->number, e->uid })] =
		    old[i];
	}
	free(old);
}

/* Empty a slot, and move up what stands behind it because of it. */
static void
clear_slot(struct backlog *b, size_t hole)
{
	size_t mask = b->slot_count - 1;

	for (size_t i = (hole + 1) & mask; b->slots[i] != 0;
	     i = (i + 1) & mask) {
		size_t home = first_slot(b, b->entries[b->slots[i] - 1].number);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			b->slots[hole] = b->slots[i];
			hole = i;
		}
	}
	b->slots[hole] = 0;
}

/* ---- heaps ---- */

static bool
is_before(const struct backlog *b, uint32_t x, uint32_t y)
{
	const struct entry *a = &b->entries[x];
	const struct entry *c = &b->entries[y];

	return a->due_ms != c->due_ms ? a->due_ms < c->due_ms
				      : a->number < c->number;
}

static void
place(struct backlog *b, struct lane *lane, size_t at, uint32_t index)
{
	lane->heap[at] = index;
	b->entries[index].heap_at = (uint32_t)at;
}

static void
sift_up(struct backlog *b, struct lane *lane, size_t at)
{
	uint32_t index = lane->heap[at];

	while (at > 0 && is_before(b, index, lane->heap[(at - 1) / 2])) {
		place(b, lane, at, lane->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	place(b, lane, at, index);
}

static void
sift_down(struct backlog *b, struct lane *lane, size_t at)
{
	uint32_t index = lane->heap[at];
	size_t child;

	while ((child = at * 2 + 1) < lane->count) {
		if (child + 1 < lane->count &&
		    is_before(b, lane->heap[child + 1], lane->heap[child]))
			child++;
		if (!is_before(b, lane->heap[child], index))
			break;
		place(b, lane, at, lane->heap[child]);
		at = child;
	}
	place(b, lane, at, index);
}

static void
enter_heap(struct backlog *b, struct entry *e)
{
	struct lane *lane = &b->lanes[e->lane];

	lane->heap = xgrow(lane->heap, lane->count, sizeof(*lane->heap));
	lane->heap[lane->count++] = (uint32_t)(e - b->entries);
	sift_up(b, lane, lane->count - 1);
	e->state = STATE_WAITING;
}

/* Whatever its state is; it is up to the caller to set another. */
static void
leave_heap(struct backlog *b, const struct entry *e)
{
	struct lane *lane = &b->lanes[e->lane];
	size_t at = e->heap_at;

	if (e->state != STATE_WAITING)
		return;
	lane->count--;
	if (at == lane->count)
		return;
	place(b, lane, at, lane->heap[lane->count]);
	sift_up(b, lane, at);
	sift_down(b, lane, b->entries[lane->heap[at]].heap_at);
}

/* ---- users ---- */

static struct user *
find_user(struct backlog *b, uint32_t uid)
{
	for (size_t i = 0; i < b->user_count; i++)
		if (b->users[i].uid == uid)
			return &b->users[i];
	b->users = xgrow(b->users, b->user_count, sizeof(*b->users));
	b->users[b->user_count] = (struct user){ .uid = uid };
	return &b->users[b->user_count++];
}

static void
count_in(struct backlog *b, const struct entry *e)
{
	struct user *u = find_user(b, e->uid);

	u->usage.messages++;
	u->usage.bytes += (uint64_t)e->size_kib * KIB;
	b->total.messages++;
	b->total.bytes += (uint64_t)e->size_kib * KIB;
}

static void
count_out(struct backlog *b, const struct entry *e)
{
	struct user *u = find_user(b, e->uid);

	u->usage.messages--;
	u->usage.bytes -= (uint64_t)e->size_kib * KIB;
	b->total.messages--;
	b->total.bytes -= (uint64_t)e->size_kib * KIB;
}

/* ---- entries ---- */

static struct entry *
new_entry(struct backlog *b)
{
	struct entry *e;

	if (b->free != NOWHERE) {
		assert(b->entries != NULL);
		e = &b->entries[b->free];
		b->free = e->heap_at;
		return e;
	}
	b->entries = xgrow(b->entries, b->entry_count, sizeof(*b->entries));
	return &b->entries[b->entry_count++];
}

static struct entry *
add(struct backlog *b, struct spool_id id, uint64_t size)
{
	uint64_t size_kib = size / KIB + 1;
	struct entry *e;

	if (b->total.messages * 2 >= b->slot_count)
		grow_slots(b);
	e = new_entry(b);
	*e = (struct entry){
		.number = id.number,
		.uid = id.uid,
		.size_kib =
		    size_kib < UINT32_MAX ? (uint32_t)size_kib : UINT32_MAX,
		.state = STATE_HELD,
	};
	b->slots[find_slot(b, id)] = (uint32_t)(e - b->entries) + 1;
	count_in(b, e);
	return e;
}

void
backlog_put(
    struct backlog *b, struct spool_id id, const struct spool_status *status)
{
	struct entry *e = find(b, id);

	if (e == NULL)
		e = add(b, id, status->size);
	e->is_seen = 1;
	if (e->state == STATE_OUT)
		return;
	leave_heap(b, e);
	e->state = STATE_HELD;
	e->due_ms = status->due_ms;
	if (!status->is_held)
		enter_heap(b, e);
}

static void
drop(struct backlog *b, struct entry *e)
{
	leave_heap(b, e);
	count_out(b, e);
	clear_slot(b, find_slot(b, (struct spool_id){ e->number, e->uid }));
	e->state = STATE_FREE;
	e->heap_at = b->free;
	b->free = (uint32_t)(e - b->entries);
}

void
backlog_drop(struct backlog *b, struct spool_id id)
{
	struct entry *e = find(b, id);

	if (e != NULL)
		drop(b, e);
}

void
backlog_begin_scan(struct backlog *b)
{
	for (size_t i = 0; i < b->entry_count; i++)
		b->entries[i].is_seen = 0;
}

void
backlog_end_scan(struct backlog *b)
{
	for (size_t i = 0; i < b->entry_count; i++) {
		struct entry *e = &b->entries[i];

		if (!e->is_seen && e->state != STATE_FREE &&
		    e->state != STATE_OUT)
			drop(b, e);
	}
}

int64_t
backlog_first(const struct backlog *b, unsigned lane, struct spool_id *out)
{
	const struct lane *l = &b->lanes[lane];
	const struct entry *e;

	if (l->count == 0)
		return INT64_MAX;
	e = &b->entries[l->heap[0]];
	*out = (struct spool_id){ e->number, e->uid };
	return e->due_ms;
}

void
backlog_take(struct backlog *b, struct spool_id id)
{
	struct entry *e = find(b, id);

	assert(e != NULL);
	leave_heap(b, e);
	e->state = STATE_OUT;
}

void
backlog_return(
    struct backlog *b, struct spool_id id, unsigned lane, int64_t due_ms)
{
	struct entry *e = find(b, id);

	assert(lane < BACKLOG_LANES_MAX);
	if (e == NULL || e->state != STATE_OUT)
		return;
	e->lane = (uint16_t)lane;
	if (due_ms != BACKLOG_SAME_DUE)
		e->due_ms = due_ms;
	enter_heap(b, e);
}

void
backlog_set_apart(struct backlog *b, int64_t before_ms,
    bool (*is_chosen)(const void *context, unsigned lane), const void *context,
    unsigned lane)
{
	assert(lane < BACKLOG_LANES_MAX);
	for (size_t i = 0; i < b->entry_count; i++) {
		struct entry *e = &b->entries[i];
		const struct spool_id id = { e->number, e->uid };

		if (e->state != STATE_WAITING || e->lane == lane ||
		    spool_arrival_ms(id) >= before_ms ||
		    !is_chosen(context, e->lane))
			continue;
		leave_heap(b, e);
		e->lane = (uint16_t)lane;
		enter_heap(b, e);
	}
}

unsigned
backlog_count_crash(struct backlog *b, struct spool_id id)
{
	struct entry *e = find(b, id);

	if (e == NULL)
		return 1;
	if (e->crashes < 100)
		e->crashes++;
	return e->crashes;
}

bool
backlog_has(const struct backlog *b, struct spool_id id)
{
	return find(b, id) != NULL;
}

struct backlog_usage
backlog_total(const struct backlog *b)
{
	return b->total;
}

struct backlog_usage
backlog_of_user(const struct backlog *b, uint32_t uid)
{
	for (size_t i = 0; i < b->user_count; i++)
		if (b->users[i].uid == uid)
			return b->users[i].usage;
	return (struct backlog_usage){ 0 };
}
