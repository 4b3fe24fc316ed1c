#include "mail/aliases.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/aliastext.h"

#define NONE SIZE_MAX /* no entry */

enum {
	SLOTS_MIN = 64,       /* a power of two */
	BYTES_PER_ENTRY = 24, /* a guess that makes room for most files */
	SEARCHES_MAX = 8,     /* that cost less than to make the table */
	LOOP_SHOWN = 4,       /* names at either end of a loop in a report */
	LOOP_TEXT_MAX = 4096  /* their names are not that long */
};

/* What a name stands for.  The strings are in the texts of the aliases. */
struct entry {
	const char *name; /* without quotes; "*" or "default": the default */
	const char *list; /* one line */
	uint32_t file;    /* which of the texts is the name of its file */
	int line;
};

/*
 * Entries by their names: a hash table with linear probing.  Most messages
 * need a handful of names out of thousands, so that it is made only when some
 * have been looked for without it.
 */
struct table {
	uint32_t *slots; /* the number of an entry and one, or 0 */
	size_t slot_count;
	size_t hashed; /* so many entries are in it */
	size_t searches;
};

struct aliases {
	struct entry *entries; /* of several with a name, the first counts */
	size_t count;
	size_t size;     /* how many there is room for */
	size_t fallback; /* the entry that is the default, or NONE */
	struct table *table;
	char **texts;
	size_t text_count;
	const char **hosts; /* in the texts, too */
	size_t host_count;
};

/* Keep a string from malloc() as long as the aliases. */
static char *
keep(struct aliases *a, char *s)
{
	a->texts = xgrow(a->texts, a->text_count, sizeof(*a->texts));
	a->texts[a->text_count++] = s;
	return s;
}

static uint32_t
keep_file(struct aliases *a, const char *file)
{
	(void)keep(a, xstrdup(file));
	return (uint32_t)a->text_count - 1;
}

static const char *
file_of(const struct aliases *a, const struct entry *e)
{
	return a->texts[e->file];
}

/* ---- the table ---- */

/* FNV-1a.  In bit 5 the cases of a letter differ, and little else. */
static uint32_t
hash_name(struct span name)
{
	uint32_t hash = 2166136261;

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ ((unsigned char)name.s[i] | 0x20)) * 16777619;
	return hash;
}

static bool
entry_has_name(const struct entry *e, struct span name)
{
	size_t i = 0;

	/* A shorter e->name differs at its NUL, for no name has one in it. */
	while (
	    i < name.len && ascii_lower(e->name[i]) == ascii_lower(name.s[i]))
		i++;
	return i == name.len && e->name[i] == '\0';
}

/* The slot of the entry with this name, or the free one for it. */
static uint32_t *
find_slot(const struct aliases *a, struct span name)
{
	const struct table *t = a->table;
	size_t mask = t->slot_count - 1;
	size_t i = hash_name(name) & mask;

	while (t->slots[i] != 0 &&
	    !entry_has_name(&a->entries[t->slots[i] - 1], name))
		i = (i + 1) & mask;
	return &t->slots[i];
}

/* Have all entries in a table that is at most half full. */
static void
hash_all(const struct aliases *a)
{
	struct table *t = a->table;
	size_t size = t->slot_count > 0 ? t->slot_count : SLOTS_MIN;

	while (size / 2 < a->count)
		size *= 2;
	if (size != t->slot_count) {
		free(t->slots);
		t->slots = xcalloc(size, sizeof(*t->slots));
		t->slot_count = size;
		t->hashed = 0;
	}
	for (; t->hashed < a->count; t->hashed++) {
		const char *name = a->entries[t->hashed].name;
		uint32_t *slot;

		if (t->hashed == a->fallback)
			continue;
		slot = find_slot(a, span_of(name));
		if (*slot == 0)
			*slot = (uint32_t)t->hashed + 1;
	}
}

static size_t
look_up(const struct aliases *a, struct span name)
{
	uint32_t slot = a->table->hashed > 0 ? *find_slot(a, name) : 0;

	return slot != 0 ? slot - 1 : NONE;
}

/* The first entry with this name that is not in the table. */
static size_t
search(const struct aliases *a, struct span name)
{
	for (size_t i = a->table->hashed; i < a->count; i++)
		if (i != a->fallback && entry_has_name(&a->entries[i], name))
			return i;
	return NONE;
}

static size_t
find_name(const struct aliases *a, struct span name)
{
	struct table *t = a->table;
	size_t index = look_up(a, name);

	if (index != NONE || t->hashed == a->count)
		return index;
	if (t->searches++ < SEARCHES_MAX)
		return search(a, name);
	hash_all(a);
	t->searches = 0;
	return look_up(a, name);
}

/* Have room for count entries. */
static void
reserve(struct aliases *a, size_t count)
{
	if (count <= a->size)
		return;
	a->size = count > 2 * a->size ? count : 2 * a->size;
	a->entries = xreallocarray(a->entries, a->size, sizeof(*a->entries));
}

static void
append(struct aliases *a, const struct entry *e)
{
	reserve(a, a->count + 1);
	a->entries[a->count++] = *e;
}

/* Add e under its name.  Returns NULL, or the earlier entry that has it. */
static const struct entry *
put_named(struct aliases *a, const struct entry *e)
{
	size_t first = find_name(a, span_of(e->name));

	if (first != NONE)
		return &a->entries[first];
	append(a, e);
	return NULL;
}

/* The same for a default. */
static const struct entry *
put_default(struct aliases *a, const struct entry *e)
{
	if (a->fallback != NONE)
		return &a->entries[a->fallback];
	a->fallback = a->count;
	append(a, e);
	return NULL;
}

/* ---- from nothing to all aliases ---- */

struct aliases *
aliases_new(void)
{
	struct aliases *a = xcalloc(1, sizeof(*a));

	a->fallback = NONE;
	a->table = xcalloc(1, sizeof(*a->table));
	return a;
}

void
aliases_free(struct aliases **a)
{
	if (*a == NULL)
		return;
	for (size_t i = 0; i < (*a)->text_count; i++)
		free((*a)->texts[i]);
	free((*a)->texts);
	free((*a)->hosts);
	free((*a)->entries);
	free((*a)->table->slots);
	free((*a)->table);
	free(*a);
	*a = NULL;
}

static int
check_list(const char *list, struct failure *f)
{
	if (aliastext_check_list(list, f) == 0)
		return 0;
	f->kind = FAILURE_CONFIG;
	return -1;
}

static int
refuse_second(const struct entry *first, struct failure *f)
{
	if (first == NULL)
		return 0;
	return failure_set(f, FAILURE_CONFIG, "\"%s\" is in line %d already",
	    first->name, first->line);
}

int
aliases_add(struct aliases *a, const char *file, int line, const char *name,
    const char *list, struct failure *f)
{
	struct entry e = { .line = line };
	struct span bare;
	const char *problem = aliastext_check_name(span_of(name), &bare);

	if (problem == NULL && span_is(bare, "*"))
		problem = "write default = LIST for all other names";
	if (problem != NULL)
		return failure_set(
		    f, FAILURE_CONFIG, "this is no alias: %s", problem);
	if (check_list(list, f) == -1)
		return -1;
	e.name = keep(a, xstrndup(bare.s, bare.len));
	e.list = keep(a, xstrdup(list));
	e.file = keep_file(a, file);
	return refuse_second(put_named(a, &e), f);
}

int
aliases_set_default(struct aliases *a, const char *file, int line,
    const char *list, struct failure *f)
{
	struct entry e = { .name = "default", .line = line };

	if (check_list(list, f) == -1)
		return -1;
	e.list = keep(a, xstrdup(list));
	e.file = keep_file(a, file);
	return refuse_second(put_default(a, &e), f);
}

void
aliases_add_host(struct aliases *a, const char *domain)
{
	a->hosts = xgrow(a->hosts, a->host_count, sizeof(*a->hosts));
	a->hosts[a->host_count++] = keep(a, xstrdup(domain));
}

struct reading {
	struct aliases *a;
	uint32_t file;
	aliases_report *report;
	void *context;
};

static void
take_problem(void *user, int line, const char *problem)
{
	const struct reading *r = user;

	if (r->report != NULL)
		r->report(r->context, r->a->texts[r->file], line, problem);
}

static void
report_second(struct reading *r, int line, const struct entry *first)
{
	char problem[ALIASTEXT_PROBLEM_SIZE];

	(void)snprintf(problem, sizeof(problem),
	    "\"%s\" is skipped: it is in line %d already, and the first counts",
	    first->name, first->line);
	take_problem(r, line, problem);
}

static void
take_entry(void *user, int line, const char *name, const char *list)
{
	struct reading *r = user;
	struct entry e = { name, list, r->file, line };
	const struct entry *first = NULL;

	/* Whether it is the first with its name is found out when the name is
	 * needed, unless someone wants to know now. */
	if (strcmp(name, "*") == 0)
		first = put_default(r->a, &e);
	else if (r->report != NULL)
		first = put_named(r->a, &e);
	else
		append(r->a, &e);
	/* What the configuration or an earlier file has is no mistake. */
	if (first != NULL && first->file == r->file)
		report_second(r, line, first);
}

void
aliases_add_file(struct aliases *a, const char *file, struct buf *text,
    aliases_report *report, void *context)
{
	static const struct aliastext_events events = { take_entry,
		take_problem };
	struct reading r = { a, keep_file(a, file), report, context };

	assert(text->len <= ALIASES_FILE_MAX);
	reserve(a, a->count + text->len / BYTES_PER_ENTRY);
	aliastext_read(text, &events, &r);
	(void)keep(a, buf_take(text));
}

/* ---- the walk ---- */

#define STATE_NEW  0
#define STATE_LEFT UINT32_MAX

/* An entry whose list is being followed. */
struct frame {
	size_t index;
	const char *rest; /* of the list, or NULL behind its end */
	bool has_member;
};

/*
 * From an alias to what its list names, depth first.  The stack is an array,
 * since the depth is the file's choice, and each entry is entered once, so
 * that the work does not exceed the size of the lists.  An entry that was left
 * has led to a recipient, a refusal or the default, so nothing is lost where
 * a second way to it ends at once.
 *
 * The default has its turn, and states of its own, when the stack is empty:
 * so what a name leads to is the same wherever one begins, and no loop goes
 * through the default.
 */
struct walk {
	const struct aliases *a;
	struct alias_expansion *out; /* or NULL: only report */
	size_t max;                  /* of recipients and refusals in *out */
	aliases_report *report;
	void *context;
	size_t report_count;
	struct frame *frames;
	size_t depth;
	uint32_t *states;   /* by entry: STATE_NEW, STATE_LEFT, or how deep it
	                       lies in the stack, from 1 */
	bool wants_default; /* for a name that no alias has */
	bool is_default;    /* this is its turn */
};

static const struct entry *
entry_at(const struct walk *w, size_t place)
{
	assert(w->frames != NULL && place < w->depth);
	return &w->a->entries[w->frames[place].index];
}

static const struct entry *
top_of(const struct walk *w)
{
	return entry_at(w, w->depth - 1);
}

/* The strings of r are the expansion's then. */
static void
add_refusal(struct alias_expansion *out, struct alias_refusal r)
{
	out->refusals =
	    xgrow(out->refusals, out->refusal_count, sizeof(*out->refusals));
	out->refusals[out->refusal_count++] = r;
}

/* One more recipient or refusal, because of name, is not too many. */
static bool
has_room(const struct walk *w, const char *name)
{
	struct alias_expansion *out = w->out;
	struct alias_refusal r;

	if (out->is_full)
		return false;
	if (out->recipients.count + out->refusal_count < w->max)
		return true;
	out->is_full = true;
	r.name = xstrdup(name);
	r.text = xasprintf(
	    "more than %zu recipients; the others are left out", w->max);
	add_refusal(out, r);
	return false;
}

/* Nothing comes of what the list on top of the stack says.  subject and
 * problem make one sentence, with the place between them. */
static void
refuse(struct walk *w, const char *subject, const char *problem)
{
	const struct entry *e = top_of(w);
	const char *file = file_of(w->a, e);
	struct alias_refusal r;
	char *text;

	w->report_count++;
	if (w->out != NULL && has_room(w, e->name)) {
		r.name = xstrdup(e->name);
		r.text =
		    xasprintf("%s (%s:%d)%s", subject, file, e->line, problem);
		add_refusal(w->out, r);
	} else if (w->out == NULL && w->report != NULL) {
		text = xasprintf("%s%s", subject, problem);
		w->report(w->context, file, e->line, text);
		free(text);
	}
}

static void
refuse_member(struct walk *w, const char *why)
{
	char *subject = xasprintf("alias \"%s\"", top_of(w)->name);
	char *problem = xasprintf(": %s", why);

	refuse(w, subject, problem);
	free(subject);
	free(problem);
}

/* The list on top of the stack names the entry at this place again. */
static void
refuse_loop(struct walk *w, size_t place)
{
	struct buf text;

	buf_init(&text, LOOP_TEXT_MAX);
	(void)buf_puts(&text, "alias loop: ");
	for (size_t i = place; i < w->depth; i++) {
		if (i == place + LOOP_SHOWN && w->depth - i > LOOP_SHOWN) {
			(void)buf_puts(&text, "... -> ");
			i = w->depth - LOOP_SHOWN;
		}
		(void)buf_printf(&text, "%s -> ", entry_at(w, i)->name);
	}
	(void)buf_puts(&text, entry_at(w, place)->name);
	refuse(w, text.s, "");
	buf_done(&text);
}

static void
add_step(const struct walk *w, const struct entry *e)
{
	struct alias_expansion *out = w->out;

	out->steps = xgrow(out->steps, out->step_count, sizeof(*out->steps));
	out->steps[out->step_count++] =
	    (struct alias_step){ e->name, file_of(w->a, e), e->list, e->line };
}

/* An entry is named: its list is next. */
static void
enter(struct walk *w, size_t index)
{
	const struct entry *e = &w->a->entries[index];

	if (w->states[index] == STATE_LEFT)
		return;
	if (w->states[index] != STATE_NEW) {
		refuse_loop(w, w->states[index] - 1);
		return;
	}
	w->frames = xgrow(w->frames, w->depth, sizeof(*w->frames));
	w->frames[w->depth++] = (struct frame){ index, e->list, false };
	w->states[index] = (uint32_t)w->depth;
	if (w->out != NULL)
		add_step(w, e);
}

/* Here and below m is the callee's, to keep or to release. */
static void
take_recipient(struct walk *w, struct mailbox m)
{
	if (w->out != NULL &&
	    has_room(w, w->depth > 0 ? top_of(w)->name : m.local))
		mailbox_list_take(&w->out->recipients, m);
	else
		mailbox_done(&m);
}

/* A name that no alias has, or whose alias must not be looked up. */
static void
take_unknown(struct walk *w, struct mailbox m)
{
	if (w->a->fallback == NONE || w->is_default) {
		take_recipient(w, m);
		return;
	}
	w->wants_default = true;
	mailbox_done(&m);
}

/* The entry with this name, unless it is the one in whose list it stands. */
static size_t
find_other(const struct walk *w, struct span name)
{
	size_t index = find_name(w->a, name);

	if (w->depth > 0 && index == w->frames[w->depth - 1].index)
		return NONE;
	return index;
}

static bool
is_own_host(const struct aliases *a, const char *domain)
{
	for (size_t i = 0; i < a->host_count; i++)
		if (span_is_nocase(span_of(domain), a->hosts[i]))
			return true;
	return false;
}

/* Some local parts, such as "a b", are mailboxes only with a domain. */
static void
strip_own_host(const struct aliases *a, struct mailbox *m)
{
	struct failure ignored;
	struct mailbox bare;

	if (m->domain == NULL || !is_own_host(a, m->domain) ||
	    mailbox_parse(span_of(m->local), &bare, &ignored) == -1)
		return;
	mailbox_done(&bare);
	free(m->domain);
	m->domain = NULL;
}

static void
take_mailbox(struct walk *w, struct mailbox m, bool is_final)
{
	size_t index;

	strip_own_host(w->a, &m);
	if (m.domain != NULL) {
		take_recipient(w, m);
		return;
	}
	index = is_final ? NONE : find_other(w, span_of(m.local));
	if (index == NONE) {
		take_unknown(w, m);
		return;
	}
	mailbox_done(&m);
	enter(w, index);
}

static void
take_member(struct walk *w, struct span member, enum member_kind kind)
{
	size_t index = NONE;
	struct failure f;
	struct mailbox m;
	struct span name;

	/* A name in quotes can be an alias, even if it is no address. */
	if (kind == MEMBER_ADDRESS &&
	    aliastext_scan_name(member, &name) == member.len)
		index = find_other(w, name);
	if (index != NONE)
		enter(w, index);
	else if (aliastext_parse_member(member, kind, &m, &f) == 0)
		take_mailbox(w, m, kind == MEMBER_FINAL);
	else
		refuse_member(w, f.text);
}

/* Until the stack is empty. */
static void
run(struct walk *w)
{
	enum member_kind kind;
	struct span member;

	while (w->depth > 0 && (w->out == NULL || !w->out->is_full)) {
		struct frame *top = &w->frames[w->depth - 1];

		if (!aliastext_cut_member(&top->rest, &member, &kind)) {
			if (!top->has_member)
				refuse_member(w, "it has no address");
			w->states[top->index] = STATE_LEFT;
			w->depth--;
		} else if (kind != MEMBER_NOTHING) {
			top->has_member = true;
			take_member(w, member, kind);
		}
	}
}

size_t
aliases_check(const struct aliases *a, const char *file, aliases_report *report,
    void *context)
{
	struct walk w = { .a = a, .report = report, .context = context };

	w.states = xcalloc(a->count, sizeof(*w.states));
	for (size_t i = 0; i < a->count; i++) {
		const struct entry *e = &a->entries[i];

		if (file != NULL && strcmp(file_of(a, e), file) != 0)
			continue;
		if (i != a->fallback && find_name(a, span_of(e->name)) != i)
			continue;
		enter(&w, i);
		run(&w);
	}
	free(w.frames);
	free(w.states);
	return w.report_count;
}

void
aliases_expand(const struct aliases *a, const struct mailbox *m, size_t max,
    struct alias_expansion *out)
{
	struct walk w = { .a = a, .out = out, .max = max };

	assert(!mailbox_is_null(m));
	if (out->is_full)
		return;
	if (out->states == NULL)
		out->states = xcalloc(2 * a->count, sizeof(*out->states));
	w.states = out->states;
	take_mailbox(&w, mailbox_copy(m), false);
	run(&w);
	if (w.wants_default && !out->is_full) {
		w.is_default = true;
		w.states += a->count;
		enter(&w, a->fallback);
		run(&w);
	}
	free(w.frames);
}

void
alias_expansion_done(struct alias_expansion *out)
{
	mailbox_list_done(&out->recipients);
	for (size_t i = 0; i < out->refusal_count; i++) {
		free(out->refusals[i].name);
		free(out->refusals[i].text);
	}
	free(out->refusals);
	free(out->steps);
	free(out->states);
	*out = (struct alias_expansion){ 0 };
}

bool
aliases_has(const struct aliases *a, const char *name)
{
	return find_name(a, span_of(name)) != NONE;
}
