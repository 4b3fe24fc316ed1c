#include "core/file.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/log.h"

enum {
	READ_MORE = 4096 /* of a file that grows, or has no size */
};

void
fd_close(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int
fd_write_all(int fd, const void *data, size_t len)
{
	const char *s = data;

	while (len > 0) {
		ssize_t n = write(fd, s, len);

		if (n == -1 && errno != EINTR)
			return -1;
		if (n > 0) {
			s += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

ssize_t
fd_read(int fd, void *data, size_t size)
{
	ssize_t n;

	do
		n = read(fd, data, size);
	while (n == -1 && errno == EINTR);
	return n;
}

/* The buffer is full: is that all?  -1 with EFBIG: no. */
static int
at_end(int fd)
{
	char more;
	ssize_t n = fd_read(fd, &more, 1);

	explicit_bzero(&more, 1);
	if (n > 0)
		errno = EFBIG;
	return n == 0 ? 0 : -1;
}

int
file_read(int fd, struct buf *b)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) == -1)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return -1;
	}
	do {
		/* One octet more than is there finds the end. */
		size_t room = st.st_size > (off_t)b->len
		    ? (size_t)st.st_size - b->len + 1
		    : READ_MORE;

		if (room > b->max - b->len)
			room = b->max - b->len;
		if (room == 0)
			return at_end(fd);
		(void)buf_reserve(b, room);
		n = fd_read(fd, b->s + b->len, room);
		if (n > 0)
			b->len += (size_t)n;
		b->s[b->len] = '\0';
	} while (n > 0);
	return n == -1 ? -1 : 0;
}

/* Write, fsync and close; -1 with errno. */
static int
write_file(int fd, struct span data)
{
	int saved;

	if (fd_write_all(fd, data.s, data.len) == -1 || fsync(fd) == -1) {
		saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return close(fd);
}

int
file_replace(int dirfd, const char *name, struct span data, struct failure *f)
{
	char *tmp = xasprintf(".%s.%ld.tmp", name, (long)getpid());
	int r = 0;
	int fd;

	/* What is left of a killed process of the same number is ours. */
	(void)unlinkat(dirfd, tmp, 0);
	fd = openat(dirfd, tmp,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1) {
		r = failure_os(f, FAILURE_LATER, errno, "create %s", tmp);
	} else if (write_file(fd, data) == -1) {
		r = failure_os(f, FAILURE_LATER, errno, "write %s", tmp);
		(void)unlinkat(dirfd, tmp, 0);
	} else if (renameat(dirfd, tmp, dirfd, name) == -1) {
		r = failure_os(
		    f, FAILURE_LATER, errno, "rename %s to %s", tmp, name);
		(void)unlinkat(dirfd, tmp, 0);
	} else if (fsync(dirfd) == -1) {
		r = failure_os(
		    f, FAILURE_LATER, errno, "fsync the directory of %s", name);
	}
	free(tmp);
	return r;
}

static void
make_directories(const char *path)
{
	char *copy = xstrdup(path);
	char *slash = strchr(copy + 1, '/');

	while (slash != NULL) {
		*slash = '\0';
		(void)mkdir(copy, 0700);
		*slash = '/';
		slash = strchr(slash + 1, '/');
	}
	(void)mkdir(copy, 0700);
	free(copy);
}

int
directory_open_private(const char *path)
{
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct stat st;
	int fd;

	if (path == NULL || path[0] == '\0')
		return -1;
	fd = open(path, flags);
	if (fd == -1 && errno == ENOENT) {
		make_directories(path);
		fd = open(path, flags);
	}
	if (fd == -1 || fstat(fd, &st) == -1) {
		log_debug(
		    "nothing is kept: open %s: %s", path, strerror(errno));
		fd_close(&fd);
	} else if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
		log_debug("nothing is kept: %s is another user's or open "
			  "to others",
		    path);
		fd_close(&fd);
	}
	return fd;
}
