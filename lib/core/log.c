#include "core/log.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"

enum {
	LINE_SIZE = 2000,  /* what is formatted */
	SHOWN_SIZE = 1004, /* what is written */
	TIME_SIZE = 32,
	FILE_MODE = 0640,
	FILE_FLAGS =
	    O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
};

/* The cure for most of what is wrong with a directory. */
static const char own_directory[] =
    "a log file is to be in one of the service's own, such as " LOG_DIRECTORY;

/* The one process-wide setting: where log lines of this process go. */
static struct {
	const char *ident;
	enum log_sink sink;
	enum log_level level;
	int fd;          /* of a file, before the sink; -1: none */
	bool is_failing; /* it did not take the last line */
	bool is_torn;    /* it took a part of it */
} sink = { "sendmail365", LOG_TO_STDERR, LOG_LEVEL_WARNING, -1, false, false };

static const char *const level_words[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static const int priorities[] = {
	[LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_WARNING] = LOG_WARNING,
	[LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

enum log_sink
log_heard(enum log_sink wanted)
{
	if (wanted == LOG_TO_SYSLOG &&
	    faccessat(AT_FDCWD, _PATH_LOG, W_OK, AT_EACCESS) == -1)
		return LOG_TO_STDERR;
	return wanted;
}

void
log_open(const char *ident, enum log_sink to, enum log_level level)
{
	sink.ident = ident;
	sink.sink = to;
	sink.level = level;
	fd_close(&sink.fd);
	if (to == LOG_TO_SYSLOG)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

/* ---- a file ---- */

/* Whose process this is. */
static const char *
user_name(void)
{
	const struct passwd *pw = getpwuid(geteuid());

	return pw != NULL ? pw->pw_name : "of this process";
}

static int
refuse_directory(const char *directory, int os_error, struct failure *f)
{
	if (os_error == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: others can write to this directory; %s", directory,
		    own_directory);
	if (os_error == ENOENT)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: there is no such directory; run: install -d -m 0750 "
		    "-o %s '%s'",
		    directory, user_name(), directory);
	if (os_error == EACCES)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: user %s cannot make files there; %s", directory,
		    user_name(), own_directory);
	if (os_error == EROFS)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: the service cannot write there; %s, or run: systemctl "
		    "edit sendmail365, and put ReadWritePaths=%s below "
		    "[Service]",
		    directory, own_directory, directory);
	return failure_os(f, FAILURE_CONFIG, os_error, "%s", directory);
}

/* One in which nobody else can put another file in the place of this one. */
static int
open_directory(const char *directory, struct failure *f)
{
	int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		(void)refuse_directory(directory, errno, f);
	else if ((st.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
	    (st.st_uid == 0 || st.st_uid == geteuid()))
		return fd;
	else
		(void)refuse_directory(directory, 0, f);
	fd_close(&fd);
	return -1;
}

static int
refuse_file(
    const char *path, const struct stat *st, int os_error, struct failure *f)
{
	if (S_ISLNK(st->st_mode))
		return failure_set(f, FAILURE_CONFIG,
		    "%s: this is a link, and none is followed; name the file "
		    "itself, or run: rm '%s'",
		    path, path);
	if (S_ISDIR(st->st_mode))
		return failure_set(f, FAILURE_CONFIG,
		    "%s: this is a directory; name a file in it: "
		    "to = %s/sendmail365.log",
		    path, path);
	if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: this is not a regular file of one name; move it "
		    "away, and the service makes one",
		    path);
	if (os_error == EACCES)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: user %s cannot write to it; run: chown -h %s '%s'",
		    path, user_name(), user_name(), path);
	return failure_os(f, FAILURE_CONFIG, os_error, "%s", path);
}

/* The file as it is: -1 with a failure whose os_error is ENOENT for none. */
static int
open_present(int dirfd, const char *path, struct failure *f)
{
	const char *name = strrchr(path, '/') + 1;
	int fd = openat(dirfd, name, FILE_FLAGS);
	int os_error = errno;
	struct stat st;
	int r = fd != -1 ? fstat(fd, &st)
			 : fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);

	if (r == -1)
		(void)failure_os(f, FAILURE_CONFIG, errno, "%s", path);
	else if (fd != -1 && S_ISREG(st.st_mode) && st.st_nlink == 1)
		return fd;
	else
		(void)refuse_file(path, &st, os_error, f);
	fd_close(&fd);
	return -1;
}

/* Where it is not to be made, the directory in which it could be stands for
 * it. */
static int
make_file(int dirfd, const char *path, bool makes)
{
	int fd;

	if (!makes)
		return faccessat(dirfd, ".", W_OK | X_OK, AT_EACCESS) == 0
		    ? openat(dirfd, ".", O_PATH | O_CLOEXEC)
		    : -1;
	fd = openat(dirfd, strrchr(path, '/') + 1,
	    FILE_FLAGS | O_CREAT | O_EXCL, FILE_MODE);
	/* Whatever the umask is. */
	if (fd != -1)
		(void)fchmod(fd, FILE_MODE);
	return fd;
}

static int
open_file(const char *path, bool makes, struct failure *f)
{
	size_t len = (size_t)(strrchr(path, '/') - path);
	char *directory = xstrndup(path, len > 0 ? len : 1);
	int dirfd = open_directory(directory, f);
	int fd = dirfd != -1 ? open_present(dirfd, path, f) : -1;

	if (dirfd != -1 && fd == -1 && f->os_error == ENOENT) {
		fd = make_file(dirfd, path, makes);
		if (fd == -1)
			(void)refuse_directory(directory, errno, f);
	}
	fd_close(&dirfd);
	free(directory);
	return fd;
}

int
log_check_file(const char *path, struct failure *f)
{
	int fd = open_file(path, false, f);
	int r = fd != -1 ? 0 : -1;

	fd_close(&fd);
	return r;
}

int
log_open_file(const char *path, struct failure *f)
{
	int fd = open_file(path, true, f);

	if (fd == -1)
		return -1;
	/* What it does not take goes there, also from a confined process. */
	openlog(sink.ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
	tzset();
	fd_close(&sink.fd);
	sink.fd = fd;
	sink.is_failing = sink.is_torn = false;
	return 0;
}

/* "2026-11-25T01:02:03+01:00" */
static void
format_time(char out[static TIME_SIZE])
{
	const time_t now = time(NULL);
	char zone[8] = "";
	struct tm tm;
	size_t len;

	out[0] = '\0';
	if (localtime_r(&now, &tm) == NULL)
		return;
	len = strftime(out, TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	if (strftime(zone, sizeof(zone), "%z", &tm) == 5)
		(void)snprintf(
		    out + len, TIME_SIZE - len, "%.3s:%.2s", zone, zone + 3);
}

/* One write for a line: those of other processes are not torn by it.  What was
 * torn by a full disk ends before the next one. */
static bool
write_to_file(enum log_level level, const char *shown)
{
	char line[SHOWN_SIZE + 128];
	char now[TIME_SIZE];
	ssize_t n;
	int len;

	format_time(now);
	len = snprintf(line, sizeof(line), "%s%s %s[%ld] %s: %s\n",
	    sink.is_torn ? "\n" : "", now, sink.ident, (long)getpid(),
	    level_words[level], shown);
	n = write(sink.fd, line, (size_t)len);
	if (n == len) {
		sink.is_failing = sink.is_torn = false;
		return true;
	}
	sink.is_torn = sink.is_torn || n > 0;
	if (!sink.is_failing)
		syslog(LOG_ERR,
		    "the log file cannot be written: %s; its lines go here "
		    "until it can",
		    n == -1 ? strerror(errno) : "no space left");
	sink.is_failing = true;
	return false;
}

bool
log_is_on(enum log_level level)
{
	return level <= sink.level;
}

/*
 * A character of n bytes, other than those of ASCII, that does not show itself
 * but does something: C1 controls, U+0080 to U+009F, move terminals; line
 * separators and changes of direction, U+2028 to U+202E and U+2066 to U+2069,
 * let a line read as something else than it is.
 */
static bool
is_command(const char *s, size_t n)
{
	unsigned char last = (unsigned char)s[n - 1];

	if (n == 2)
		return (unsigned char)s[0] == 0xc2 && last < 0xa0;
	return n == 3 &&
	    ((memcmp(s, "\xe2\x80", 2) == 0 && last >= 0xa8 && last <= 0xae) ||
		(memcmp(s, "\xe2\x81", 2) == 0 && last >= 0xa6 &&
		    last <= 0xa9));
}

/* How many bytes at s can be shown as they are: 0 if the first cannot. */
static size_t
printable_length(const char *s, size_t len)
{
	if (!ascii_is_8bit(*s))
		return ascii_is_control(*s) ? 0 : 1;
	for (size_t n = 2; n <= 4 && n <= len; n++)
		if (utf8_is_valid(s, n))
			return is_command(s, n) ? 0 : n;
	return 0;
}

void
log_escape(char *out, size_t size, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t used = 0;

	for (size_t i = 0, n; i < len; i += n) {
		char piece[5] = { '\\', 'x', hex[((unsigned char)s[i]) >> 4],
			hex[s[i] & 15], '\0' };
		const char *from = piece;
		size_t piece_len = 4;

		n = printable_length(s + i, len - i);
		if (n > 0) {
			from = s + i;
			piece_len = n;
		} else {
			n = 1;
		}
		if (used + piece_len + 4 > size) {
			memcpy(out + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(out + used, from, piece_len);
		used += piece_len;
	}
	out[used] = '\0';
}

static void write_line(enum log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
write_line(enum log_level level, const char *fmt, va_list ap)
{
	char line[LINE_SIZE];
	char shown[SHOWN_SIZE];
	int saved = errno;

	if (!log_is_on(level))
		return;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	log_escape(shown, sizeof(shown), line, strlen(line));
	if (sink.fd != -1 && write_to_file(level, shown))
		;
	else if (sink.fd != -1 || sink.sink == LOG_TO_SYSLOG)
		syslog(priorities[level], "%s", shown);
	else
		(void)fprintf(stderr, "%s: %s\n", sink.ident, shown);
	errno = saved;
}

void
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
}

void
log_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_WARNING, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_INFO, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_DEBUG, fmt, ap);
	va_end(ap);
}
