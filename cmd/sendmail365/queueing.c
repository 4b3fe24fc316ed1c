#include "queueing.h"

#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "mail/address.h"
#include "queue/journal.h"

enum {
	LINE_SIZE = 1200,
	KIB = 1024,
	REASON_COLUMN = 77, /* where Postfix ends the lines with reasons */
	MS_PER_SECOND = 1000,
	BLOCK = 16 * 1024,
	SLICE = 100,      /* messages that one process lists at once */
	LONG_LIST = 1000, /* where a second one is worth its start */
	VERB_SHOWN = 20,
	END_OF_SLICE = 1 /* an octet that is in no line */
};

#define FORMAT     "%-17s%c%8" PRIu64 " %-19.19s %s"
#define TEXTS      "%-17s %8s %-19s %s"
#define RECIPIENTS "%-17s %8s %-19.19s %s"

/* ---- which messages ---- */

struct list {
	const struct queueing *q;
	struct spool_id *ids;
	size_t count;
};

static void
take_id(void *context, struct spool_id id)
{
	struct list *list = context;

	if (!list->q->is_admin && id.uid != list->q->uid)
		return;
	list->ids = xgrow(list->ids, list->count, sizeof(*list->ids));
	list->ids[list->count++] = id;
}

static int
compare_ids(const void *a, const void *b)
{
	const struct spool_id *x = a;
	const struct spool_id *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* The messages that may be seen, the oldest first; free(list->ids). */
static int
list_place(const struct queueing *q, enum spool_place place, struct list *list,
    struct failure *f)
{
	*list = (struct list){ .q = q };
	if (spool_list(q->spool, place, take_id, list, f) == -1)
		return -1;
	if (list->count > 0)
		qsort(list->ids, list->count, sizeof(*list->ids), compare_ids);
	return 0;
}

static bool
is_listed(const struct list *list, struct spool_id id)
{
	return list->count > 0 &&
	    bsearch(&id, list->ids, list->count, sizeof(id), compare_ids) !=
	    NULL;
}

/* The whole ID of the digits that were given. */
static int
find_id(const struct queueing *q, struct span word, struct spool_id *out,
    enum spool_place *out_place, struct failure *f)
{
	static const enum spool_place places[] = { SPOOL_QUEUE, SPOOL_FAILED };
	char *text = xstrndup(word.s, word.len);
	struct spool_id wanted = { 0, q->uid };
	bool is_id = spool_parse_id(text, &wanted);
	int r = -1;

	(void)failure_set(f, FAILURE_USAGE,
	    is_id ? "there is no message %s of yours"
		  : "\"%.40s\" is not the ID of a message",
	    text);
	for (size_t p = 0; p < 2 && is_id && r == -1; p++) {
		struct failure ignored;
		struct list list;

		if (list_place(q, places[p], &list, &ignored) == -1)
			continue;
		for (size_t i = 0; i < list.count; i++)
			if (list.ids[i].number == wanted.number) {
				*out = list.ids[i];
				*out_place = places[p];
				r = 0;
			}
		free(list.ids);
	}
	free(text);
	return r;
}

/* ---- listing as Postfix does ---- */

static int emit(const struct queueing *q, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int
emit(const struct queueing *q, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	return q->line(q->context, line);
}

static void
short_date(int64_t ms, char out[static 20])
{
	time_t when = (time_t)(ms / MS_PER_SECOND);
	struct tm tm = { .tm_mday = 1 };

	(void)localtime_r(&when, &tm);
	/* The program sets no locale: names are English. */
	if (strftime(out, 20, "%a %b %e %H:%M:%S", &tm) == 0)
		out[0] = '\0';
}

static const struct journal_entry *
first_deferred(const struct journal *j)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->entries[i].status != JOURNAL_SENT)
			return &j->entries[i];
	return NULL;
}

/* A recipient that has the message is not waiting. */
static bool
is_waiting(struct journal *j, const char *address)
{
	const struct journal_entry *e = journal_find(j, address);

	return e == NULL || e->status != JOURNAL_SENT;
}

static int
emit_message(
    const struct queueing *q, const struct spool_message *m, struct journal *j)
{
	const struct journal_entry *reason = first_deferred(j);
	char id[SPOOL_ID_SIZE];
	char date[20];
	struct buf address;
	int r;

	buf_init(&address, ADDRESS_MAX);
	spool_id_text(m->id, id);
	short_date(spool_arrival_ms(m->id), date);
	(void)mailbox_write_address(&address, &m->envelope.sender);
	r = emit(q, FORMAT, id, m->status.is_held ? '!' : ' ', m->content_size,
	    date, address.len > 0 ? address.s : "MAILER-DAEMON");
	if (r == 0 && reason != NULL) {
		int len = (int)strlen(reason->text) + 2;

		r = emit(q, "%*s(%s)",
		    len < REASON_COLUMN ? REASON_COLUMN - len : 0, "",
		    reason->text);
	}
	for (size_t i = 0; i < m->envelope.recipients.count && r == 0; i++) {
		buf_reset(&address);
		(void)mailbox_write_address(
		    &address, &m->envelope.recipients.items[i]);
		if (is_waiting(j, address.s))
			r = emit(q, RECIPIENTS, "", "", "", address.s);
	}
	buf_done(&address);
	return r == 0 ? emit(q, "%s", "") : -1;
}

/* ---- as JSON, an object a line ---- */

static json_t *
json_address(const struct mailbox *m)
{
	struct buf b;
	char shown[ADDRESS_MAX * 4 + 8];

	buf_init(&b, ADDRESS_MAX);
	(void)mailbox_write_address(&b, m);
	log_escape(shown, sizeof(shown), b.s, b.len);
	buf_done(&b);
	return json_string(shown);
}

static const char *
state_of(const struct spool_message *m, enum spool_place place)
{
	if (place == SPOOL_FAILED)
		return "failed";
	return m->status.is_held ? "held" : "queued";
}

static json_t *
json_recipients(const struct journal *j)
{
	static const char *const words[] = {
		[JOURNAL_DEFERRED] = "deferred",
		[JOURNAL_SENT] = "sent",
		[JOURNAL_FAILED] = "failed",
	};
	json_t *list = json_array();

	for (size_t i = 0; i < j->count; i++) {
		const struct journal_entry *e = &j->entries[i];
		json_t *o = json_object();

		(void)json_object_set_new(
		    o, "address", json_string(e->address));
		(void)json_object_set_new(
		    o, "status", json_string(words[e->status]));
		(void)json_object_set_new(o, "dsn", json_string(e->dsn));
		(void)json_object_set_new(o, "reason", json_string(e->text));
		(void)json_array_append_new(list, o);
	}
	return list;
}

static int
emit_json(const struct queueing *q, const struct spool_message *m,
    enum spool_place place, const struct journal *j)
{
	json_t *o = json_object();
	json_t *recipients = json_array();
	char id[SPOOL_ID_SIZE];
	char *text;
	int r;

	spool_id_text(m->id, id);
	for (size_t i = 0; i < m->envelope.recipients.count; i++)
		(void)json_array_append_new(
		    recipients, json_address(&m->envelope.recipients.items[i]));
	(void)json_object_set_new(o, "id", json_string(id));
	(void)json_object_set_new(o, "state", json_string(state_of(m, place)));
	(void)json_object_set_new(o, "uid", json_integer(m->id.uid));
	(void)json_object_set_new(
	    o, "size", json_integer((json_int_t)m->content_size));
	(void)json_object_set_new(o, "arrival",
	    json_integer(spool_arrival_ms(m->id) / MS_PER_SECOND));
	(void)json_object_set_new(
	    o, "next_attempt", json_integer(m->status.due_ms / MS_PER_SECOND));
	(void)json_object_set_new(o, "attempts", json_integer(j->attempts));
	(void)json_object_set_new(
	    o, "sender", json_address(&m->envelope.sender));
	(void)json_object_set_new(o, "recipients", recipients);
	(void)json_object_set_new(o, "delivery", json_recipients(j));
	text = json_dumps(o, JSON_COMPACT);
	r = text != NULL ? q->line(q->context, text) : -1;
	free(text);
	json_decref(o);
	return r;
}

/* ---- LIST, FAILED ---- */

struct totals {
	size_t messages;
	uint64_t bytes;
};

/* What is listed, and where the journals are. */
struct listing {
	enum spool_place place;
	bool is_json;
	struct list ids;
	struct list journals;
};

/* -1: nobody reads on.  What cannot be read is not listed. */
static int
list_one(const struct queueing *q, const struct listing *l, struct spool_id id,
    struct totals *totals)
{
	struct journal j = { 0 };
	struct spool_message m;
	struct failure f;
	int r;

	if (spool_read(q->spool, l->place, id, &m, &f) == -1)
		return 0;
	if (is_listed(&l->journals, id) &&
	    journal_read(q->spool, id, &j, &f) == -1)
		j = (struct journal){ 0 };
	totals->messages++;
	totals->bytes += m.content_size;
	r = l->is_json ? emit_json(q, &m, l->place, &j)
		       : emit_message(q, &m, &j);
	journal_done(&j);
	spool_message_done(&m);
	return r;
}

static int
list_slice(const struct queueing *q, const struct listing *l, size_t at,
    struct totals *totals)
{
	int r = 0;

	for (size_t i = at; i < l->ids.count && i < at + SLICE && r == 0; i++)
		r = list_one(q, l, l->ids.ids[i], totals);
	return r;
}

/* ---- a long list, by two processes ---- */

/* The second one reads every other slice, and is ahead by what a pipe
 * holds: nearly all the time of a listing goes into opening files. */
struct helper {
	pid_t pid;
	FILE *lines; /* NULL: there is none */
	char *line;
	size_t size;
};

static int
write_line(void *context, const char *text)
{
	FILE *to = context;

	return fputs(text, to) == EOF || putc('\n', to) == EOF ? -1 : 0;
}

/* Behind each slice come its totals, in a line as no other begins. */
static void
help(const struct queueing *q, const struct listing *l, int fd)
{
	FILE *to = fdopen(fd, "w");
	struct queueing own = *q;
	int r = to != NULL ? 0 : -1;

	own.line = write_line;
	own.context = to;
	for (size_t at = SLICE; at < l->ids.count && r == 0;
	     at += (size_t)2 * SLICE) {
		struct totals t = { 0, 0 };

		r = list_slice(&own, l, at, &t);
		if (r == 0 &&
		    (fprintf(to, "%c%zu %" PRIu64 "\n", END_OF_SLICE,
			 t.messages, t.bytes) < 0 ||
			fflush(to) == EOF))
			r = -1;
	}
	_exit(r == 0 ? EX_OK : EX_IOERR);
}

static void
start_helper(
    const struct queueing *q, const struct listing *l, struct helper *h)
{
	int ends[2];

	*h = (struct helper){ .pid = -1 };
	if (l->ids.count < LONG_LIST || pipe2(ends, O_CLOEXEC) == -1)
		return;
	h->lines = fdopen(ends[0], "r");
	if (h->lines != NULL)
		h->pid = fork();
	if (h->pid == 0) {
		/* Where nobody reads, it is not to wait for itself. */
		(void)fclose(h->lines);
		help(q, l, ends[1]);
	}
	fd_close(&ends[1]);
	if (h->lines == NULL)
		fd_close(&ends[0]);
	else if (h->pid == -1) {
		(void)fclose(h->lines);
		h->lines = NULL;
	}
}

static void
stop_helper(struct helper *h)
{
	free(h->line);
	if (h->lines == NULL)
		return;
	/* It cannot write any more, and ends. */
	(void)fclose(h->lines);
	while (waitpid(h->pid, NULL, 0) == -1 && errno == EINTR)
		continue;
}

static int
add_totals(struct span line, struct totals *totals)
{
	uint64_t messages, bytes;

	if (parse_u64(span_cut_word(&line), SIZE_MAX, &messages) == -1 ||
	    parse_u64(span_trim(line), UINT64_MAX, &bytes) == -1)
		return -1;
	totals->messages += (size_t)messages;
	totals->bytes += bytes;
	return 0;
}

/* Pass on the helper's next slice. */
static int
pass_on(const struct queueing *q, struct helper *h, struct totals *totals)
{
	ssize_t n;

	while ((n = getline(&h->line, &h->size, h->lines)) > 0) {
		if (h->line[0] == END_OF_SLICE)
			return add_totals(span_of(h->line + 1), totals);
		h->line[n - 1] = '\0';
		if (q->line(q->context, h->line) == -1)
			return -1;
	}
	return -1;
}

static int
print_messages(
    const struct queueing *q, const struct listing *l, struct totals *totals)
{
	struct helper h;
	int r = 0;

	start_helper(q, l, &h);
	for (size_t at = 0; at < l->ids.count && r == 0; at += SLICE)
		r = h.lines != NULL && at / SLICE % 2 == 1
		    ? pass_on(q, &h, totals)
		    : list_slice(q, l, at, totals);
	stop_helper(&h);
	return r;
}

static int
print_list(const struct queueing *q, const struct listing *l)
{
	struct totals totals = { 0, 0 };
	int r = 0;

	if (l->ids.count > 0 && !l->is_json)
		r = emit(q, TEXTS, "----Queue ID-----", "--Size--",
		    "---Arrival Time----", "--Sender/Recipient------");
	if (r == 0)
		r = print_messages(q, l, &totals);
	if (r == -1 || l->is_json)
		return r;
	if (totals.messages == 0)
		return emit(q, "Mail queue is empty");
	return emit(q, "-- %" PRIu64 " Kbytes in %zu Request%s.",
	    (totals.bytes + KIB - 1) / KIB, totals.messages,
	    totals.messages == 1 ? "" : "s");
}

static int
list_messages(const struct queueing *q, enum spool_place place, bool is_json,
    struct failure *f)
{
	struct listing l = { .place = place, .is_json = is_json };
	int r = list_place(q, place, &l.ids, f);

	if (r == 0)
		r = list_place(q, SPOOL_JOURNALS, &l.journals, f);
	if (r == 0 && print_list(q, &l) == -1)
		r = failure_set(f, FAILURE_LATER, "the listing was broken off");
	free(l.ids.ids);
	free(l.journals.ids);
	return r;
}

/* ---- SHOW ---- */

static int
show_lines(const struct queueing *q, struct buf *text, bool is_end)
{
	char shown[LINE_SIZE];
	const char *end;
	int r = 0;

	while (r == 0 && text->len > 0) {
		size_t len, used;

		end = memchr(text->s, '\n', text->len);
		if (end == NULL && !is_end && text->len < BLOCK)
			return 0;
		used = len = end != NULL ? (size_t)(end - text->s) : text->len;
		used += end != NULL ? 1 : 0;
		if (len > 0 && text->s[len - 1] == '\r')
			len--;
		log_escape(shown, sizeof(shown), text->s, len);
		r = q->line(q->context, shown);
		buf_consume(text, used);
	}
	return r;
}

static int
show_content(
    const struct queueing *q, const struct spool_message *m, struct failure *f)
{
	char block[BLOCK];
	struct buf text;
	uint64_t at = 0;
	ssize_t n;
	int r = 0;

	buf_init(&text, sizeof(block) * 2);
	while (
	    r == 0 && (n = spool_content(m, at, block, sizeof(block), f)) > 0) {
		at += (uint64_t)n;
		r = buf_add(&text, block, (size_t)n);
		if (r == 0)
			r = show_lines(q, &text, false);
	}
	if (r == 0)
		r = show_lines(q, &text, true);
	buf_done(&text);
	return r;
}

static int
show_message(
    const struct queueing *q, struct span word, bool is_json, struct failure *f)
{
	enum spool_place place;
	struct spool_message m;
	struct journal j;
	struct spool_id id;
	int r;

	if (find_id(q, word, &id, &place, f) == -1 ||
	    spool_read(q->spool, place, id, &m, f) == -1)
		return -1;
	r = journal_read(q->spool, id, &j, f);
	if (r == 0) {
		r = is_json ? emit_json(q, &m, place, &j)
			    : emit_message(q, &m, &j);
		if (r == 0 && !is_json)
			r = show_content(q, &m, f);
		journal_done(&j);
	}
	spool_message_done(&m);
	return r;
}

/* ---- changes ---- */

/* Give a failed message back to the queue: what had failed is tried again. */
static int
revive(const struct queueing *q, struct spool_id id, struct failure *f)
{
	struct journal j;
	int r;

	if (journal_read(q->spool, id, &j, f) == -1)
		return -1;
	for (size_t i = 0; i < j.count; i++) {
		struct journal_entry *e = &j.entries[i];

		if (e->status != JOURNAL_FAILED)
			continue;
		e->status = JOURNAL_DEFERRED;
		e->is_changed = true;
	}
	r = journal_append(q->spool, id, &j, f);
	journal_done(&j);
	if (r == 0)
		r = spool_move(q->spool, SPOOL_FAILED, SPOOL_QUEUE, id, f);
	return r;
}

static int
retry(const struct queueing *q, enum spool_place place, struct spool_id id,
    struct failure *f)
{
	/* It was due when it failed, so it is tried at once. */
	if (place == SPOOL_FAILED)
		return revive(q, id, f);
	return spool_set_due(
	    q->spool, id, (int64_t)time(NULL) * MS_PER_SECOND, f);
}

static int
hold(const struct queueing *q, enum spool_place place, struct spool_id id,
    struct failure *f)
{
	(void)place;
	return spool_set_held(q->spool, id, true, f);
}

static int
release(const struct queueing *q, enum spool_place place, struct spool_id id,
    struct failure *f)
{
	(void)place;
	return spool_set_held(q->spool, id, false, f);
}

static int delete (const struct queueing *q, enum spool_place place,
    struct spool_id id, struct failure *f)
{
	return spool_remove(q->spool, place, id, f);
}

typedef int change(const struct queueing *q, enum spool_place place,
    struct spool_id id, struct failure *f);

static const struct {
	const char *word;
	change *run;
} changes[] = {
	{ "RETRY", retry },
	{ "HOLD", hold },
	{ "RELEASE", release },
	{ "DELETE", delete },
};

enum {
	N_CHANGES = sizeof(changes) / sizeof(changes[0])
};

static int
change_one(const struct queueing *q, change *run, enum spool_place place,
    struct spool_id id, struct failure *f)
{
	if (run(q, place, id, f) == -1)
		return -1;
	if (q->touch != NULL)
		q->touch(q->context, id);
	return 0;
}

/* All of the queue; what has failed stays where it is. */
static int
change_all(const struct queueing *q, change *run, struct failure *f)
{
	struct list list;
	size_t done = 0;

	if (list_place(q, SPOOL_QUEUE, &list, f) == -1)
		return -1;
	for (size_t i = 0; i < list.count; i++)
		/* One that has just gone is no failure. */
		done += change_one(q, run, SPOOL_QUEUE, list.ids[i], f) == 0;
	free(list.ids);
	return emit(q, "%zu message%s", done, done == 1 ? "" : "s");
}

static int
change_messages(
    const struct queueing *q, change *run, struct span word, struct failure *f)
{
	enum spool_place place;
	struct spool_id id;

	if (span_is_nocase(word, "ALL"))
		return change_all(q, run, f);
	if (find_id(q, word, &id, &place, f) == -1)
		return -1;
	return change_one(q, run, place, id, f);
}

int
queueing_run(const struct queueing *q, struct span words, struct failure *f)
{
	struct span verb = span_cut_word(&words);
	struct span word = span_cut_word(&words);
	struct span last = span_cut_word(&words);

	if (span_is_nocase(verb, "LIST") || span_is_nocase(verb, "FAILED"))
		return list_messages(q,
		    span_is_nocase(verb, "LIST") ? SPOOL_QUEUE : SPOOL_FAILED,
		    span_is_nocase(word, "JSON"), f);
	if (span_is_nocase(verb, "SHOW"))
		return show_message(q, word, span_is_nocase(last, "JSON"), f);
	for (size_t i = 0; i < N_CHANGES; i++)
		if (span_is_nocase(verb, changes[i].word))
			return change_messages(q, changes[i].run, word, f);
	return failure_set(f, FAILURE_USAGE,
	    "\"%.*s\" is no request to the queue",
	    (int)(verb.len < VERB_SHOWN ? verb.len : VERB_SHOWN), verb.s);
}
