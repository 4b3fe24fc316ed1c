#include "queue/journal.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "mail/address.h"

enum {
	DSN_MAX = 11,
	TEXT_MAX = 600,                 /* of a reason */
	LINE_USUAL = 256,               /* of an entry, where room is kept */
	JOURNAL_FULL = 4 * 1024 * 1024, /* of reasons; not of what is settled */
	JOURNAL_MAX = 32 * 1024 * 1024  /* what is read */
};

static const char letters[] = {
	[JOURNAL_DEFERRED] = 'D',
	[JOURNAL_SENT] = 'S',
	[JOURNAL_FAILED] = 'F',
};

/* Recipients come in the same order each time, so the next is near. */
const struct journal_entry *
journal_find(struct journal *j, const char *address)
{
	for (size_t i = 0; i < j->count; i++) {
		size_t at = (j->found + i) % j->count;

		if (strcmp(j->entries[at].address, address) == 0) {
			j->found = at + 1;
			return &j->entries[at];
		}
	}
	return NULL;
}

static struct journal_entry *
find_or_add(struct journal *j, const char *address)
{
	if (journal_find(j, address) != NULL)
		return &j->entries[j->found - 1];
	j->entries = xgrow(j->entries, j->count, sizeof(*j->entries));
	j->entries[j->count] =
	    (struct journal_entry){ .address = xstrdup(address),
		    .text = xstrdup("") };
	return &j->entries[j->count++];
}

void
journal_set(struct journal *j, const char *address, enum journal_status status,
    const char *dsn, const char *text)
{
	struct journal_entry *e = find_or_add(j, address);
	char shown[TEXT_MAX];

	log_escape(shown, sizeof(shown), text, strlen(text));
	if (e->status == status && strcmp(e->text, shown) == 0 &&
	    strcmp(e->dsn, dsn) == 0)
		return;
	/* A server's reasons differ from attempt to attempt; who has got the
	 * message must be read behind them. */
	if (e->status != status || j->size < JOURNAL_FULL)
		e->is_changed = true;
	free(e->text);
	e->text = xstrdup(shown);
	e->status = status;
	(void)snprintf(e->dsn, sizeof(e->dsn), "%s", dsn);
}

size_t
journal_count(const struct journal *j, enum journal_status status)
{
	size_t n = 0;

	for (size_t i = 0; i < j->count; i++)
		n += j->entries[i].status == status;
	return n;
}

void
journal_done(struct journal *j)
{
	for (size_t i = 0; i < j->count; i++) {
		free(j->entries[i].address);
		free(j->entries[i].text);
	}
	free(j->entries);
	*j = (struct journal){ 0 };
}

/* ---- reading ---- */

static void
set_entry(struct journal *j, struct span address, enum journal_status status,
    struct span dsn, struct span text)
{
	char *a = xstrndup(address.s, address.len);
	char *d = xstrndup(dsn.s, dsn.len);
	char *t = xstrndup(text.s, text.len);

	journal_set(j, a, status, d, t);
	find_or_add(j, a)->is_changed = false;
	free(a);
	free(d);
	free(t);
}

static void
take_recipient(struct journal *j, struct span line)
{
	struct span letter = span_cut_word(&line);
	struct span dsn = span_cut_word(&line);
	struct span size = span_cut_word(&line);
	uint64_t len;

	if (letter.len != 1 || dsn.len > DSN_MAX ||
	    parse_u64(size, ADDRESS_MAX, &len) == -1 || len == 0 ||
	    line.len < len + 1)
		return;
	for (size_t k = 0; k < sizeof(letters); k++)
		if (letters[k] == letter.s[0])
			set_entry(j, (struct span){ line.s + 1, (size_t)len },
			    (enum journal_status)k, dsn,
			    span_trim((struct span){ line.s + 1 + len,
				line.len - 1 - (size_t)len }));
}

static void
take_line(struct journal *j, struct span line)
{
	struct span tag = span_cut_word(&line);
	uint64_t n;

	if (span_is(tag, "A")) {
		if (parse_u64(span_trim(line), UINT32_MAX, &n) == 0)
			j->attempts = (unsigned)n;
	} else if (span_is(tag, "R")) {
		take_recipient(j, line);
	}
}

static void
take_lines(struct journal *j, struct span text)
{
	const char *end;

	while (text.len > 0 && (end = memchr(text.s, '\n', text.len)) != NULL) {
		struct span line = { text.s, (size_t)(end - text.s) };

		text.s += line.len + 1;
		text.len -= line.len + 1;
		if (!ascii_has_control(line))
			take_line(j, line);
	}
}

/* A file that was not there; -1 with errno. */
static int
create_file(const struct spool *spool, const char *name, int flags)
{
	int fd = openat(
	    spool_journal_fd(spool), name, flags | O_CREAT | O_EXCL, 0600);

	/* Root writes into the spool of the service's user.  Who could have
	 * linked a file of root's to this name is given no other. */
	if (fd != -1 && geteuid() != spool_owner(spool))
		(void)!fchown(fd, spool_owner(spool), (gid_t)-1);
	return fd;
}

/* A file of the spool's own user that has one name, made where O_CREAT is
 * among the flags; -1 with errno. */
static int
open_file(const struct spool *spool, struct spool_id id, int flags)
{
	const int safe = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	char name[SPOOL_NAME_SIZE];
	struct stat st;
	int fd = -1;

	spool_name(id, name);
	if ((flags & O_CREAT) != 0)
		fd = create_file(spool, name, flags | safe);
	if (fd == -1 && ((flags & O_CREAT) == 0 || errno == EEXIST))
		fd = openat(
		    spool_journal_fd(spool), name, (flags & ~O_CREAT) | safe);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	    st.st_uid == spool_owner(spool))
		return fd;
	fd_close(&fd);
	errno = EPERM;
	return -1;
}

static int
cannot(const char *what, struct spool_id id, int e, struct failure *f)
{
	char text[SPOOL_ID_SIZE];

	spool_id_text(id, text);
	return failure_os(
	    f, FAILURE_LATER, e, "%s the journal of message %s", what, text);
}

int
journal_read(const struct spool *spool, struct spool_id id, struct journal *out,
    struct failure *f)
{
	int fd = open_file(spool, id, O_RDONLY);
	struct buf text;
	int r = 0;

	if (fd == -1 && errno != ENOENT)
		return cannot("open", id, errno, f);
	*out = (struct journal){ 0 };
	if (fd == -1)
		return 0;
	buf_init(&text, JOURNAL_MAX);
	/* What is beyond the limit is left: the first lines say enough. */
	if (file_read(fd, &text) == -1 && errno != EFBIG) {
		r = cannot("read", id, errno, f);
		journal_done(out);
	} else {
		take_lines(out, buf_view(&text));
		out->size = text.len;
	}
	buf_done(&text);
	fd_close(&fd);
	return r;
}

/* ---- appending ---- */

static int
add_entry(struct buf *b, const struct journal_entry *e)
{
	return buf_printf(b, "R %c %s %zu %s %s\n", letters[e->status],
	    e->dsn[0] != '\0' ? e->dsn : "0.0.0", strlen(e->address),
	    e->address, e->text);
}

/* One write, behind whatever a killed process has left unfinished. */
static int
append(const struct spool *spool, int fd, struct buf *b)
{
	struct stat st;
	char last = '\n';

	if (fstat(fd, &st) == -1)
		return -1;
	if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1)
		return -1;
	if (last != '\n' && fd_write_all(fd, "\n", 1) == -1)
		return -1;
	if (fd_write_all(fd, b->s, b->len) == -1)
		return -1;
	if (fdatasync(fd) == -1)
		return -1;
	/* The name of a file that is new must be safe, too. */
	return st.st_size == 0 ? fsync(spool_journal_fd(spool)) : 0;
}

int
journal_append(const struct spool *spool, struct spool_id id, struct journal *j,
    struct failure *f)
{
	int fd = open_file(spool, id, O_RDWR | O_CREAT | O_APPEND);
	struct buf b;
	int r;

	if (fd == -1)
		return cannot("open", id, errno, f);
	buf_init(&b, JOURNAL_MAX);
	r = buf_printf(&b, "A %u\n", j->attempts);
	for (size_t i = 0; i < j->count && r == 0; i++)
		if (j->entries[i].is_changed)
			r = add_entry(&b, &j->entries[i]);
	if (r == -1)
		errno = EFBIG;
	if (r == 0)
		r = append(spool, fd, &b);
	if (r == -1)
		(void)cannot("write", id, errno, f);
	for (size_t i = 0; i < j->count && r == 0; i++)
		j->entries[i].is_changed = false;
	buf_done(&b);
	fd_close(&fd);
	return r;
}

int
journal_reserve(const struct spool *spool, struct spool_id id, size_t count,
    struct failure *f)
{
	int fd = open_file(spool, id, O_RDWR | O_CREAT);
	struct stat st;
	int r;

	if (fd == -1)
		return cannot("open", id, errno, f);
	r = fstat(fd, &st);
	if (r == 0)
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, st.st_size,
		    (off_t)(count * LINE_USUAL));
	/* Not every file system can promise. */
	if (r == -1 && (errno == EOPNOTSUPP || errno == ENOSYS))
		r = 0;
	if (r == -1)
		(void)cannot("write", id, errno, f);
	fd_close(&fd);
	return r;
}
