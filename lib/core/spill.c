#include "core/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/failure.h"
#include "core/file.h"

void
spill_init(struct spill *s)
{
	*s = (struct spill){ .fd = -1 };
	buf_init(&s->memory, SPILL_MEMORY);
}

void
spill_done(struct spill *s)
{
	buf_done(&s->memory);
	fd_close(&s->fd);
	s->size = 0;
}

/* A file without a name; -1 with errno.  Not every file system has O_TMPFILE
 * (NFS, older overlayfs), and kernels that do not know it say EISDIR. */
static int
open_nameless(const char *directory)
{
	char path[64];
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	(void)snprintf(path, sizeof(path), "%s/sendmail365.XXXXXX", directory);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	return fd;
}

/* Never from the environment: the caller may be an enemy's. */
static const char *const directories[] = { "/var/tmp", "/tmp" };

enum {
	N_DIRECTORIES = sizeof(directories) / sizeof(directories[0])
};

/* Make a file in the first directory from the given one on that has one. */
static int
open_file(struct spill *s, size_t first, struct failure *f)
{
	for (size_t i = first; i < N_DIRECTORIES && s->fd == -1; i++) {
		s->directory = directories[i];
		s->fd = open_nameless(s->directory);
	}
	if (s->fd == -1) {
		(void)failure_os(f, FAILURE_LATER, errno,
		    "no file for a large message can be made in /var/tmp or "
		    "/tmp; make one of them writable");
		return failure_dsn(f, "4.3.0");
	}
	return 0;
}

/* Copy what is there so far; -1 with errno. */
static int
copy_file(int from, uint64_t size, int to)
{
	char block[16 * 1024];
	uint64_t offset = 0;

	while (offset < size) {
		ssize_t n = pread(from, block, sizeof(block), (off_t)offset);

		if (n <= 0 || fd_write_all(to, block, (size_t)n) == -1)
			return -1;
		offset += (uint64_t)n;
	}
	return 0;
}

/* The first directory is full: go on in the next.  -1: that will not do. */
static int
move_file(struct spill *s)
{
	struct failure ignored;
	uint64_t size = s->size;
	int old = s->fd;

	if (s->directory != directories[0])
		return -1;
	s->fd = -1;
	if (open_file(s, 1, &ignored) == 0 &&
	    copy_file(old, size, s->fd) == 0) {
		fd_close(&old);
		return 0;
	}
	fd_close(&s->fd);
	s->fd = old;
	s->directory = directories[0];
	return -1;
}

static int
write_file(struct spill *s, const void *data, size_t len, struct failure *f)
{
	int saved;

	if (fd_write_all(s->fd, data, len) == 0)
		return 0;
	saved = errno;
	if (move_file(s) == 0 && fd_write_all(s->fd, data, len) == 0)
		return 0;
	(void)failure_os(f, FAILURE_LATER, saved,
	    "%s has no room for a large message; free some there",
	    s->directory);
	return failure_dsn(f, "4.3.1");
}

int
spill_write(struct spill *s, const void *data, size_t len, struct failure *f)
{
	if (s->fd == -1 && buf_add(&s->memory, data, len) == 0) {
		s->size += len;
		return 0;
	}
	if (s->fd == -1) {
		/* While it is written the file has nothing to be moved. */
		size_t size = (size_t)s->size;

		s->size = 0;
		if (open_file(s, 0, f) == -1 ||
		    write_file(s, s->memory.s, size, f) == -1)
			return -1;
		s->size = size;
		buf_done(&s->memory);
	}
	if (write_file(s, data, len, f) == -1)
		return -1;
	s->size += len;
	return 0;
}

ssize_t
spill_read(const struct spill *s, uint64_t offset, void *data, size_t size,
    struct failure *f)
{
	ssize_t n;

	if (offset >= s->size || size == 0)
		return 0;
	if (size > s->size - offset)
		size = (size_t)(s->size - offset);
	if (s->fd == -1) {
		memcpy(data, s->memory.s + offset, size);
		return (ssize_t)size;
	}
	do
		n = pread(s->fd, data, size, (off_t)offset);
	while (n == -1 && errno == EINTR);
	if (n == 0) {
		/* Somebody has cut the file: half a message must not go. */
		errno = EIO;
		n = -1;
	}
	if (n == -1)
		return failure_os(f, FAILURE_LATER, errno,
		    "read back a large message from %s", s->directory);
	return n;
}
