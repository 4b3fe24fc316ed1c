#include "queue/limits.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"

enum {
	HOURS = 25, /* a day, and the hour that has begun */
	MS_PER_HOUR = 60 * 60 * 1000,
	/* Nobody knows Exchange's clock. */
	SLACK_PARTS = 200,
	PAUSE_MS = 50,
	DATA_LOCK = 0,
	FIRST_SLOT = 1,
	FILE_NAME_MAX = 200
};

static const char magic[8] = "s365lim1";

struct hour {
	int64_t number; /* since the epoch */
	uint64_t recipients;
};

/* The file: this, and behind it ring_size times in milliseconds. */
struct ledger {
	char magic[8];
	uint32_t ring_size;
	uint32_t oldest; /* its place in the ring */
	struct hour hours[HOURS];
};

struct limits {
	int fd;
	off_t slot;     /* the connection's octet, or 0 */
	uint32_t first; /* of the places that were taken last */
	unsigned taken; /* how many of them are not finished, and locked */
	struct limits_policy policy;
};

/* ---- the file ---- */

/* "limits-alerts@contoso.com": other characters are spelt out. */
static char *
file_name(const char *name)
{
	struct buf b;
	char *out;

	buf_init(&b, FILE_NAME_MAX);
	(void)buf_puts(&b, "limits-");
	for (const char *p = name; *p != '\0'; p++) {
		int r = ascii_is_alnum(*p) || strchr("@.-_+", *p) != NULL
		    ? buf_putc(&b, *p)
		    : buf_printf(&b, "%%%02x", (unsigned char)*p);

		if (r == -1)
			break;
	}
	out = buf_take(&b);
	buf_done(&b);
	return out;
}

/* Whoever may write there could lead us anywhere: only the owner may, who is
 * this user, or, for root, the service's. */
static int
open_directory(const char *path, struct stat *st)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(path, flags);

	/* Another process may make it at the same time. */
	if (fd == -1 && errno == ENOENT &&
	    (mkdir(path, 0700) == 0 || errno == EEXIST))
		fd = open(path, flags);
	if (fd != -1 &&
	    (fstat(fd, st) == -1 || (st->st_mode & 022) != 0 ||
		(geteuid() != 0 && st->st_uid != geteuid())))
		fd_close(&fd);
	return fd;
}

/* A file of the directory's owner, made where it is missing; -1 with errno. */
static int
open_file(int dirfd, const char *name, const struct stat *owner)
{
	int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = openat(dirfd, name, flags | O_CREAT | O_EXCL, 0600);
	struct stat st;

	if (fd != -1) {
		/* Root counts for the service, which must be able to go on. */
		if (geteuid() != owner->st_uid)
			(void)!fchown(fd, owner->st_uid, owner->st_gid);
		return fd;
	}
	if (errno != EEXIST)
		return -1;
	fd = openat(dirfd, name, flags);
	if (fd != -1 &&
	    (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
		(st.st_uid != owner->st_uid && st.st_uid != geteuid()))) {
		fd_close(&fd);
		errno = EPERM;
	}
	return fd;
}

int
limits_open(const char *directory, const char *name,
    const struct limits_policy *policy, struct limits **out, struct failure *f)
{
	struct stat owner;
	int dirfd = directory != NULL ? open_directory(directory, &owner) : -1;
	char *file = file_name(name);
	int fd = -1;
	int r = 0;

	*out = NULL;
	if (dirfd == -1) {
		log_debug("limits are not kept: there is no state directory "
			  "that is ours alone");
		goto out;
	}
	fd = open_file(dirfd, file, &owner);
	if (fd == -1 && (errno == EACCES || errno == EROFS)) {
		log_debug("limits are not kept: %s/%s: %s", directory, file,
		    strerror(errno));
		goto out;
	}
	if (fd == -1) {
		r = failure_os(
		    f, FAILURE_LATER, errno, "open %s/%s", directory, file);
		goto out;
	}
	*out = xcalloc(1, sizeof(**out));
	**out = (struct limits){ .fd = fd, .policy = *policy };
out:
	free(file);
	fd_close(&dirfd);
	return r;
}

void
limits_free(struct limits **limits)
{
	struct limits *l = *limits;

	if (l == NULL)
		return;
	fd_close(&l->fd);
	free(l);
	*limits = NULL;
}

/* ---- connections ---- */

static struct flock
lock_of(off_t octet, short type)
{
	return (struct flock){
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = octet,
		.l_len = 1,
	};
}

/* A lock of this open file, so that one process can have several.  -1 with
 * errno. */
static int
set_lock(int fd, off_t octet, short type, int command)
{
	struct flock lock = lock_of(octet, type);
	int r;

	do
		r = fcntl(fd, command, &lock);
	while (r == -1 && errno == EINTR);
	return r;
}

static bool
take_slot(struct limits *l)
{
	for (off_t slot = FIRST_SLOT;
	     slot < FIRST_SLOT + (off_t)l->policy.connections; slot++)
		if (set_lock(l->fd, slot, F_WRLCK, F_OFD_SETLK) == 0) {
			l->slot = slot;
			return true;
		}
	return false;
}

int
limits_connect(struct limits *limits, int64_t deadline, struct failure *f)
{
	if (limits == NULL || limits->slot != 0)
		return 0;
	while (!take_slot(limits)) {
		if (clock_left_ms(deadline) == 0) {
			(void)failure_set(f, FAILURE_LATER,
			    "all %u connections of the account are in use",
			    limits->policy.connections);
			return failure_dsn(f, "4.3.2");
		}
		(void)poll(NULL, 0, PAUSE_MS);
	}
	return 0;
}

void
limits_disconnect(struct limits *limits)
{
	if (limits == NULL || limits->slot == 0)
		return;
	(void)set_lock(limits->fd, limits->slot, F_UNLCK, F_OFD_SETLK);
	limits->slot = 0;
}

/* ---- messages and recipients ---- */

static off_t
place_of(uint32_t i)
{
	return (off_t)(sizeof(struct ledger) + i * sizeof(int64_t));
}

/* An empty ledger, where there is none of this form and size. */
static int
start_ledger(const struct limits *l, struct ledger *ledger)
{
	*ledger = (struct ledger){ .ring_size = l->policy.messages };
	memcpy(ledger->magic, magic, sizeof(magic));
	/* Times that are not there are read as 0, which is long ago. */
	if (ftruncate(l->fd, 0) == -1)
		return -1;
	return ftruncate(l->fd, place_of(ledger->ring_size));
}

static int
read_ledger(const struct limits *l, struct ledger *ledger)
{
	ssize_t n = pread(l->fd, ledger, sizeof(*ledger), 0);
	struct stat st;

	if (n == -1 || fstat(l->fd, &st) == -1)
		return -1;
	if (n == sizeof(*ledger) &&
	    memcmp(ledger->magic, magic, sizeof(magic)) == 0 &&
	    ledger->ring_size == l->policy.messages &&
	    ledger->oldest < ledger->ring_size &&
	    st.st_size == place_of(ledger->ring_size))
		return 0;
	return start_ledger(l, ledger);
}

/* Milliseconds since the system started, suspension included: no clock that
 * can be set. */
static int64_t
now_boot_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Lock or unlock the places that were taken last. */
static int
lock_taken(const struct limits *l, short type)
{
	for (unsigned i = 0; i < l->taken; i++) {
		uint32_t place = (l->first + i) % l->policy.messages;

		if (set_lock(l->fd, place_of(place), type, F_OFD_SETLK) == -1)
			return -1;
	}
	return 0;
}

/* Has another process a message in this place that is not finished? */
static bool
is_in_flight(const struct limits *l, uint32_t place)
{
	struct flock lock = lock_of(place_of(place), F_WRLCK);

	return fcntl(l->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/*
 * So many places in a row that nobody uses, from the oldest on.  What is in
 * flight keeps its own until it is finished, and the others go past it: one
 * that stalls takes nobody else's.
 */
static bool
find_places(const struct limits *l, const struct ledger *ledger,
    unsigned messages, uint32_t *out_first)
{
	unsigned run = 0;

	for (uint32_t n = 0; n < ledger->ring_size; n++) {
		uint32_t i = (ledger->oldest + n) % ledger->ring_size;

		run = is_in_flight(l, i) ? 0 : run + 1;
		if (run < messages)
			continue;
		*out_first =
		    (ledger->oldest + n + 1 - messages) % ledger->ring_size;
		return true;
	}
	return false;
}

/* What the window asks to wait until so many more may go, which take the
 * places from *out_first on: 0 none, -1. */
static int64_t
window_wait(const struct limits *l, const struct ledger *ledger,
    unsigned messages, int64_t now, uint32_t *out_first)
{
	int64_t window =
	    l->policy.window_ms + l->policy.window_ms / SLACK_PARTS;
	int64_t wait = 0;

	/* Whatever is in flight is counted now or later. */
	if (!find_places(l, ledger, messages, out_first))
		return window;
	/* They were not finished in their order. */
	for (unsigned n = 0; n < messages; n++) {
		off_t place = place_of((*out_first + n) % ledger->ring_size);
		int64_t then;

		if (pread(l->fd, &then, sizeof(then), place) != sizeof(then))
			return -1;
		/* Never used, or of a time before the last start of the
		 * system. */
		if (then == 0 || then > now)
			continue;
		if (window - (now - then) > wait)
			wait = window - (now - then);
	}
	return wait;
}

/* What the day's limit says. */
static enum limits_answer
judge_day(const struct limits *l, const struct ledger *ledger,
    uint64_t recipients, int64_t now_ms, int64_t *out_wait_ms)
{
	int64_t hour = now_ms / MS_PER_HOUR;
	uint64_t sent = 0;

	for (size_t i = 0; i < HOURS; i++)
		if (ledger->hours[i].number > hour - HOURS &&
		    ledger->hours[i].number <= hour)
			sent += ledger->hours[i].recipients;
	/* A message that is above the limit by itself would wait for ever. */
	if (sent == 0 || sent + recipients <= l->policy.recipients_per_day)
		return LIMITS_TAKEN;
	*out_wait_ms = MS_PER_HOUR - now_ms % MS_PER_HOUR;
	return sent < l->policy.recipients_per_day ? LIMITS_TOO_LARGE
						   : LIMITS_SPENT;
}

/*
 * First the ledger: who is killed between the two has sent nothing yet, and
 * leaves an old time behind.  A new one at the oldest place would make
 * everybody wait for a whole window.
 */
static int
write_ledger(struct limits *l, struct ledger *ledger, uint32_t first,
    unsigned messages, uint64_t recipients, int64_t now)
{
	int64_t hour = (int64_t)time(NULL) * 1000 / MS_PER_HOUR;
	struct hour *h = &ledger->hours[hour % HOURS];

	(void)lock_taken(l, F_UNLCK);
	l->first = first;
	l->taken = messages;
	if (lock_taken(l, F_WRLCK) == -1)
		return -1;
	ledger->oldest = (first + messages) % ledger->ring_size;
	if (h->number != hour)
		*h = (struct hour){ .number = hour };
	h->recipients += recipients;
	if (pwrite(l->fd, ledger, sizeof(*ledger), 0) != sizeof(*ledger))
		return -1;
	for (unsigned i = 0; i < messages; i++)
		if (pwrite(l->fd, &now, sizeof(now),
			place_of((first + i) % ledger->ring_size)) !=
		    sizeof(now))
			return -1;
	return 0;
}

/* With the lock: LIMITS_FAILED with errno. */
static enum limits_answer
take_locked(struct limits *l, unsigned messages, uint64_t recipients,
    int64_t *out_wait_ms)
{
	int64_t now = now_boot_ms();
	enum limits_answer day;
	struct ledger ledger;
	int64_t wait, wait_day = 0;
	uint32_t first = 0;

	if (messages > l->policy.messages)
		messages = l->policy.messages;
	if (read_ledger(l, &ledger) == -1)
		return LIMITS_FAILED;
	wait =
	    window_wait(l, &ledger, messages > 0 ? messages : 1, now, &first);
	if (wait == -1)
		return LIMITS_FAILED;
	day = judge_day(
	    l, &ledger, recipients, (int64_t)time(NULL) * 1000, &wait_day);
	/* First what everybody waits for. */
	if (wait > 0 && day != LIMITS_SPENT) {
		*out_wait_ms = wait;
		return LIMITS_WAIT;
	}
	if (day != LIMITS_TAKEN) {
		*out_wait_ms = wait > wait_day ? wait : wait_day;
		return day;
	}
	if (messages == 0)
		return LIMITS_TAKEN;
	return write_ledger(l, &ledger, first, messages, recipients, now) == 0
	    ? LIMITS_TAKEN
	    : LIMITS_FAILED;
}

enum limits_answer
limits_take(struct limits *limits, unsigned messages, uint64_t recipients,
    int64_t *out_wait_ms, struct failure *f)
{
	enum limits_answer r;

	if (limits == NULL)
		return LIMITS_TAKEN;
	if (set_lock(limits->fd, DATA_LOCK, F_WRLCK, F_OFD_SETLKW) == -1) {
		(void)failure_os(
		    f, FAILURE_LATER, errno, "lock the account's limits");
		return LIMITS_FAILED;
	}
	r = take_locked(limits, messages, recipients, out_wait_ms);
	if (r == LIMITS_FAILED)
		(void)failure_os(
		    f, FAILURE_LATER, errno, "write the account's limits");
	(void)set_lock(limits->fd, DATA_LOCK, F_UNLCK, F_OFD_SETLK);
	return r;
}

/* With the lock: -1 with errno. */
static int
finish_locked(const struct limits *l)
{
	int64_t now = now_boot_ms();
	struct ledger ledger;

	if (read_ledger(l, &ledger) == -1)
		return -1;
	for (unsigned i = 0; i < l->taken; i++) {
		off_t place = place_of((l->first + i) % ledger.ring_size);

		if (pwrite(l->fd, &now, sizeof(now), place) != sizeof(now))
			return -1;
	}
	return 0;
}

void
limits_finish(struct limits *limits)
{
	if (limits == NULL || limits->taken == 0)
		return;
	if (set_lock(limits->fd, DATA_LOCK, F_WRLCK, F_OFD_SETLKW) == -1 ||
	    finish_locked(limits) == -1)
		log_warning("the account's limits: %s", strerror(errno));
	(void)lock_taken(limits, F_UNLCK);
	(void)set_lock(limits->fd, DATA_LOCK, F_UNLCK, F_OFD_SETLK);
	limits->taken = 0;
}
