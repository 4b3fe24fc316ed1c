#include "queue/spool.h"

#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/failure.h"
#include "core/file.h"
#include "queue/spooldir.h"

enum {
	HEAD_MAX = 64 * 1024, /* what is written at once */
	READ_FIRST = 4096,    /* has most envelopes whole */
	/* Nobody writes a message for longer than that. */
	LEFTOVER_SECONDS = 24 * 60 * 60,
	MODE_QUEUED = 0600,
	MODE_HELD = 0400
};

struct spool {
	struct spooldir dir;
};

/* A place is a folder. */
static_assert((int)SPOOL_QUEUE == SPOOLDIR_QUEUE &&
	(int)SPOOL_FAILED == SPOOLDIR_FAILED &&
	(int)SPOOL_JOURNALS == SPOOLDIR_JOURNAL,
    "places have other numbers");

/* ---- the directory ---- */

int
spool_open(
    const char *directory, bool is_ours, struct spool **out, struct failure *f)
{
	struct spooldir dir;

	if (spooldir_open(directory, is_ours, &dir, f) == -1)
		return -1;
	*out = xcalloc(1, sizeof(**out));
	(*out)->dir = dir;
	return 0;
}

void
spool_free(struct spool **spool)
{
	struct spool *s = *spool;

	if (s == NULL)
		return;
	spooldir_done(&s->dir);
	free(s);
	*spool = NULL;
}

int
spool_lock(struct spool *spool, struct failure *f)
{
	return spooldir_lock(&spool->dir, f);
}

void
spool_unlock(struct spool *spool)
{
	/* The lock is the open file's, and ends with its last descriptor. */
	fd_close(&spool->dir.fd);
}

uid_t
spool_owner(const struct spool *spool)
{
	return spool->dir.owner;
}

int
spool_queue_fd(const struct spool *spool)
{
	return spool->dir.folders[SPOOLDIR_QUEUE];
}

int
spool_journal_fd(const struct spool *spool)
{
	return spool->dir.folders[SPOOLDIR_JOURNAL];
}

/* ---- writing ---- */

/* A file under a name that nobody has, in w->fd; -1 with errno. */
static int
create_file(struct spool *s, uint32_t uid, struct spool_writer *w)
{
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char name[SPOOL_NAME_SIZE];

	do {
		w->id = spool_new_id(uid);
		spool_name(w->id, name);
		w->fd = openat(s->dir.folders[SPOOLDIR_INCOMING], name, flags,
		    MODE_QUEUED);
	} while (w->fd == -1 && errno == EEXIST);
	if (w->fd == -1)
		return -1;
	/* Root writes into the spool of the service's user. */
	if (geteuid() == s->dir.owner)
		return 0;
	return fchown(w->fd, s->dir.owner, s->dir.group);
}

int
spool_begin(struct spool *spool, uint32_t uid,
    const struct spool_envelope *envelope, struct spool_writer *w,
    struct failure *f)
{
	*w = (struct spool_writer){ .spool = spool, .fd = -1 };
	buf_init(&w->head, ENVELOPE_MAX + HEAD_MAX);
	if (envelope_write(&w->head, uid, envelope) == -1) {
		spool_abandon(w);
		return failure_set(
		    f, FAILURE_DATA, "the envelope is too large");
	}
	w->envelope_size = w->head.len;
	if (create_file(spool, uid, w) == -1) {
		(void)spooldir_cannot_write(&spool->dir, errno, f);
		spool_abandon(w);
		return -1;
	}
	return 0;
}

/* What is waiting in head; -1 with errno. */
static int
flush_head(struct spool_writer *w)
{
	if (fd_write_all(w->fd, w->head.s, w->head.len) == -1)
		return -1;
	buf_reset(&w->head);
	w->is_flushed = true;
	return 0;
}

int
spool_write(struct spool_writer *w, struct span data, struct failure *f)
{
	w->content_size += data.len;
	if (w->head.len + data.len <= HEAD_MAX)
		return buf_span(&w->head, data);
	if (flush_head(w) == -1 || fd_write_all(w->fd, data.s, data.len) == -1)
		return spooldir_cannot_write(&w->spool->dir, errno, f);
	return 0;
}

/* The sizes are known: into the first line, wherever that is. */
static int
write_sizes(struct spool_writer *w)
{
	char line[ENVELOPE_FIRST_LINE + 1];

	envelope_write_sizes(w->envelope_size, w->content_size, line);
	if (!w->is_flushed) {
		memcpy(w->head.s, line, ENVELOPE_FIRST_LINE);
		return flush_head(w);
	}
	if (flush_head(w) == -1)
		return -1;
	return pwrite(w->fd, line, ENVELOPE_FIRST_LINE, 0) ==
		ENVELOPE_FIRST_LINE
	    ? 0
	    : -1;
}

static int
set_times(int fd, int64_t due_ms)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000 },
	};

	return futimens(fd, times);
}

/* A name is never taken away from another message. */
static int
move_name(int from, int to, const char *name)
{
	if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return renameat(from, name, to, name);
}

int
spool_commit(struct spool_writer *w, int64_t due_ms, struct failure *f)
{
	struct spool *s = w->spool;
	char name[SPOOL_NAME_SIZE];
	int e;

	spool_name(w->id, name);
	if (write_sizes(w) == -1 ||
	    (due_ms > 0 && set_times(w->fd, due_ms) == -1) ||
	    fsync(w->fd) == -1 ||
	    move_name(s->dir.folders[SPOOLDIR_INCOMING],
		s->dir.folders[SPOOLDIR_QUEUE], name) == -1) {
		(void)spooldir_cannot_write(&s->dir, errno, f);
		spool_abandon(w);
		return -1;
	}
	if (fsync(s->dir.folders[SPOOLDIR_QUEUE]) == -1) {
		e = errno;
		(void)unlinkat(s->dir.folders[SPOOLDIR_QUEUE], name, 0);
		(void)spooldir_cannot_write(&s->dir, e, f);
		spool_abandon(w);
		return -1;
	}
	fd_close(&w->fd);
	buf_done(&w->head);
	return 0;
}

void
spool_abandon(struct spool_writer *w)
{
	char name[SPOOL_NAME_SIZE];

	if (w->fd != -1) {
		spool_name(w->id, name);
		(void)unlinkat(
		    w->spool->dir.folders[SPOOLDIR_INCOMING], name, 0);
	}
	fd_close(&w->fd);
	buf_done(&w->head);
}

/* ---- reading ---- */

/* NULL, or what is wrong with a file that has one of our names. */
static const char *
judge_file(const struct spool *s, const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "it is no regular file";
	if (st->st_uid != s->dir.owner)
		return "it belongs to another user";
	if (st->st_nlink != 1)
		return "it has a second name";
	if ((st->st_mode & 077) != 0)
		return "it is open to others";
	if (st->st_size < ENVELOPE_FIRST_LINE)
		return "it is too short";
	return NULL;
}

static struct spool_status
status_of(const struct stat *st)
{
	return (struct spool_status){
		.due_ms = (int64_t)st->st_mtim.tv_sec * 1000 +
		    st->st_mtim.tv_nsec / 1000000,
		.size = (uint64_t)st->st_size,
		.is_held = (st->st_mode & S_IWUSR) == 0,
	};
}

static int
none_of_ours(struct spool_id id, const char *why, struct failure *f)
{
	char name[SPOOL_NAME_SIZE];

	spool_name(id, name);
	return failure_set(
	    f, FAILURE_DATA, "%s in the spool is left alone: %s", name, why);
}

static int
not_there(struct spool_id id, int e, struct failure *f)
{
	char text[SPOOL_ID_SIZE];

	spool_id_text(id, text);
	if (e == ENOENT)
		return failure_set(
		    f, FAILURE_USAGE, "message %s is not in the queue", text);
	if (e == ELOOP || e == ENXIO)
		return none_of_ours(id, "it is no regular file", f);
	if (e == EPERM)
		return none_of_ours(id, "it belongs to another user", f);
	return failure_set(f, FAILURE_LATER,
	    "message %s cannot be read: %s; %s", text, strerror(e),
	    spooldir_cure(e));
}

int
spool_stat(const struct spool *spool, enum spool_place place,
    struct spool_id id, struct spool_status *out, struct failure *f)
{
	char name[SPOOL_NAME_SIZE];
	const char *why;
	struct stat st;

	spool_name(id, name);
	if (fstatat(spool->dir.folders[place], name, &st,
		AT_SYMLINK_NOFOLLOW) == -1)
		return not_there(id, errno, f);
	why = judge_file(spool, &st);
	if (why != NULL)
		return none_of_ours(id, why, f);
	*out = status_of(&st);
	return 0;
}

/* pread(2) up to size octets into b. */
static ssize_t
read_at(int fd, struct buf *b, size_t size)
{
	char block[READ_FIRST];
	ssize_t n = 1;

	while (n > 0 && b->len < size) {
		size_t want = size - b->len;

		n = pread(fd, block, want < READ_FIRST ? want : READ_FIRST,
		    (off_t)b->len);
		if (n > 0 && buf_add(b, block, (size_t)n) == -1)
			return -1;
	}
	return n == -1 ? -1 : (ssize_t)b->len;
}

static int
read_envelope(struct spool_message *m, struct failure *f)
{
	const char *why = "it is shorter than it was";
	size_t first = READ_FIRST;
	size_t size = 0;
	struct buf b;
	ssize_t n;
	int e;

	buf_init(&b, ENVELOPE_MAX + READ_FIRST);
	if (first > m->status.size)
		first = (size_t)m->status.size;
	n = read_at(m->fd, &b, first);
	if (n >= ENVELOPE_FIRST_LINE)
		why = envelope_parse_sizes(
		    b.s, m->status.size, &size, &m->content_size);
	if (why == NULL) {
		n = read_at(m->fd, &b, size);
		if (n < (ssize_t)size)
			why = "it is shorter than it says";
	}
	e = errno;
	if (why == NULL)
		why = envelope_parse((struct span){ b.s + ENVELOPE_FIRST_LINE,
					 size - ENVELOPE_FIRST_LINE },
		    m->id.uid, &m->envelope);
	m->content_at = size;
	buf_done(&b);
	/* Of a disk that does not answer nothing follows for the file. */
	if (n == -1)
		return not_there(m->id, e, f);
	return why == NULL ? 0 : none_of_ours(m->id, why, f);
}

int
spool_read(const struct spool *spool, enum spool_place place,
    struct spool_id id, struct spool_message *out, struct failure *f)
{
	/* The time of reading would be written for each message of a listing,
	 * since most have their time of change in the future. */
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOATIME;
	struct spool_message m = { .id = id, .fd = -1 };
	char name[SPOOL_NAME_SIZE];
	const char *why;
	struct stat st;
	int r;

	spool_name(id, name);
	m.fd = openat(spool->dir.folders[place], name, flags);
	if (m.fd == -1 || fstat(m.fd, &st) == -1) {
		r = not_there(id, errno, f);
		fd_close(&m.fd);
		return r;
	}
	why = judge_file(spool, &st);
	m.status = status_of(&st);
	r = why == NULL ? read_envelope(&m, f) : none_of_ours(id, why, f);
	if (r == -1)
		spool_message_done(&m);
	else
		*out = m;
	return r;
}

void
spool_message_done(struct spool_message *m)
{
	envelope_done(&m->envelope);
	fd_close(&m->fd);
}

ssize_t
spool_content(const struct spool_message *m, uint64_t offset, void *data,
    size_t size, struct failure *f)
{
	ssize_t n;

	if (offset >= m->content_size)
		return 0;
	if (size > m->content_size - offset)
		size = (size_t)(m->content_size - offset);
	n = pread(m->fd, data, size, (off_t)(m->content_at + offset));
	if (n > 0)
		return n;
	return n == -1 ? failure_os(f, FAILURE_LATER, errno, "read the spool")
		       : failure_set(f, FAILURE_LATER,
			     "a message in the spool became shorter");
}

/* Whom to call for the names of a place. */
struct listing {
	const struct spool *spool;
	spool_found *scanned;
	void (*listed)(void *context, struct spool_id id);
	void *context;
};

static int
look_at(void *context, int folder_fd, const char *name)
{
	const struct listing *l = context;
	struct spool_id id = { 0, 0 };
	struct spool_status status;
	struct stat st;
	const char *why;

	if (name[0] == '.')
		return 0;
	if (!spool_parse_name(name, &id)) {
		l->scanned(
		    l->context, id, NULL, name, "its name is none of ours");
		return 0;
	}
	if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : errno; /* it has just gone */
	why = judge_file(l->spool, &st);
	status = status_of(&st);
	l->scanned(l->context, id, why == NULL ? &status : NULL, name, why);
	return 0;
}

int
spool_scan(const struct spool *spool, enum spool_place place,
    spool_found *found, void *context, struct failure *f)
{
	struct listing l = {
		.spool = spool,
		.scanned = found,
		.context = context,
	};

	return spooldir_each(
	    &spool->dir, (enum spooldir_folder)place, look_at, &l, f);
}

static int
take_name(void *context, int folder_fd, const char *name)
{
	const struct listing *l = context;
	struct spool_id id;

	(void)folder_fd;
	if (spool_parse_name(name, &id))
		l->listed(l->context, id);
	return 0;
}

int
spool_list(const struct spool *spool, enum spool_place place,
    void (*found)(void *context, struct spool_id id), void *context,
    struct failure *f)
{
	struct listing l = {
		.spool = spool,
		.listed = found,
		.context = context,
	};

	return spooldir_each(
	    &spool->dir, (enum spooldir_folder)place, take_name, &l, f);
}

/* ---- changing ---- */

/* A descriptor of a message that is really ours. */
static int
open_for_change(const struct spool *s, struct spool_id id, struct failure *f)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	char name[SPOOL_NAME_SIZE];
	const char *why;
	struct stat st;
	int fd;

	spool_name(id, name);
	fd = openat(s->dir.folders[SPOOLDIR_QUEUE], name, flags);
	if (fd == -1 || fstat(fd, &st) == -1) {
		(void)not_there(id, errno, f);
		fd_close(&fd);
		return -1;
	}
	why = judge_file(s, &st);
	if (why != NULL) {
		(void)none_of_ours(id, why, f);
		fd_close(&fd);
	}
	return fd;
}

static int
set_held(int fd, int64_t is_held)
{
	return fchmod(fd, is_held ? MODE_HELD : MODE_QUEUED);
}

static int
change(const struct spool *s, struct spool_id id,
    int (*apply)(int fd, int64_t value), int64_t value, struct failure *f)
{
	int fd = open_for_change(s, id, f);
	int r;

	if (fd == -1)
		return -1;
	r = apply(fd, value);
	if (r == -1)
		(void)spooldir_cannot_write(&s->dir, errno, f);
	fd_close(&fd);
	return r;
}

int
spool_set_due(const struct spool *spool, struct spool_id id, int64_t due_ms,
    struct failure *f)
{
	return change(spool, id, set_times, due_ms, f);
}

int
spool_set_held(const struct spool *spool, struct spool_id id, bool is_held,
    struct failure *f)
{
	return change(spool, id, set_held, is_held, f);
}

static void
remove_journal(const struct spool *s, struct spool_id id)
{
	char name[SPOOL_NAME_SIZE];

	spool_name(id, name);
	(void)unlinkat(s->dir.folders[SPOOLDIR_JOURNAL], name, 0);
}

int
spool_remove(const struct spool *spool, enum spool_place place,
    struct spool_id id, struct failure *f)
{
	char name[SPOOL_NAME_SIZE];

	spool_name(id, name);
	if (unlinkat(spool->dir.folders[place], name, 0) == -1)
		return not_there(id, errno, f);
	remove_journal(spool, id);
	return 0;
}

int
spool_move(const struct spool *spool, enum spool_place from,
    enum spool_place to, struct spool_id id, struct failure *f)
{
	char name[SPOOL_NAME_SIZE];

	spool_name(id, name);
	if (move_name(spool->dir.folders[from], spool->dir.folders[to], name) ==
	    -1)
		return errno == ENOENT
		    ? not_there(id, errno, f)
		    : spooldir_cannot_write(&spool->dir, errno, f);
	if (fsync(spool->dir.folders[to]) == -1)
		return spooldir_cannot_write(&spool->dir, errno, f);
	return 0;
}

/* Is a message of that name in queue/ or failed/? */
static bool
has_message(const struct spool *s, const char *name)
{
	struct stat st;

	return fstatat(s->dir.folders[SPOOLDIR_QUEUE], name, &st,
		   AT_SYMLINK_NOFOLLOW) == 0 ||
	    fstatat(s->dir.folders[SPOOLDIR_FAILED], name, &st,
		AT_SYMLINK_NOFOLLOW) == 0;
}

static int
clean_incoming(void *context, int folder_fd, const char *name)
{
	const time_t *now = context;
	struct spool_id id;
	struct stat st;

	if (spool_parse_name(name, &id) &&
	    fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && *now - st.st_mtime > LEFTOVER_SECONDS)
		(void)unlinkat(folder_fd, name, 0);
	return 0;
}

static int
clean_journals(void *context, int folder_fd, const char *name)
{
	const struct listing *l = context;
	struct spool_id id;

	if (spool_parse_name(name, &id) && !has_message(l->spool, name))
		(void)unlinkat(folder_fd, name, 0);
	return 0;
}

void
spool_clean(const struct spool *spool)
{
	struct listing l = { .spool = spool };
	time_t now = time(NULL);
	struct failure ignored;

	/* What cannot be listed stays. */
	(void)spooldir_each(
	    &spool->dir, SPOOLDIR_INCOMING, clean_incoming, &now, &ignored);
	(void)spooldir_each(
	    &spool->dir, SPOOLDIR_JOURNAL, clean_journals, &l, &ignored);
}
