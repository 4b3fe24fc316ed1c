#include "route/memory.h"

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"

enum {
	NAME_SIZE = 64,
	NAME_BYTES = 12, /* of the key's digest that make the name */
	HEAD_MAX = 32    /* "1764022000\n": when it ends */
};

/* "closed-0123456789abcdef01234567": the key may be any bytes. */
static int
make_name(const char *kind, struct span key, char out[static NAME_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	int used;

	if (EVP_Digest(key.s, key.len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -1;
	used = snprintf(out, NAME_SIZE, "%.16s-", kind);
	for (int i = 0; i < NAME_BYTES; i++, used += 2)
		(void)snprintf(
		    out + used, (size_t)(NAME_SIZE - used), "%02x", digest[i]);
	return 0;
}

/* Open one of our files for reading; -1: there is none that is ours alone. */
static int
open_file(int dirfd, const char *name)
{
	int fd =
	    openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd != -1 &&
	    (fstat(fd, &st) == -1 || st.st_uid != geteuid() ||
		(st.st_mode & 077) != 0))
		fd_close(&fd);
	return fd;
}

/* Read the file; false where its time is over, or it is none. */
static bool
read_file(int dirfd, const char *name, struct buf *text)
{
	int fd = open_file(dirfd, name);
	int64_t now = time(NULL);
	uint64_t end = 0;
	const char *lf;
	size_t head;
	int r = -1;

	buf_reset(text);
	if (fd != -1)
		r = file_read(fd, text);
	fd_close(&fd);
	if (r == -1)
		return false;
	lf = memchr(text->s, '\n', text->len);
	if (lf == NULL)
		return false;
	head = (size_t)(lf - text->s);
	if (parse_u64((struct span){ text->s, head }, INT64_MAX, &end) == -1)
		return false;
	buf_consume(text, head + 1);
	/* More than was ever kept: the clock has been set back since. */
	return (int64_t)end > now && (int64_t)end - now <= MEMORY_SECONDS_MAX;
}

/* Open the directory to look into it; who only asks does not make one. */
static int
open_existing(const char *directory)
{
	if (directory == NULL || faccessat(AT_FDCWD, directory, F_OK, 0) == -1)
		return -1;
	return directory_open_private(directory);
}

bool
memory_recall(
    const char *directory, const char *kind, struct span key, struct buf *text)
{
	int dirfd = open_existing(directory);
	char name[NAME_SIZE];
	struct buf found;
	bool is_kept = false;

	buf_init(&found, MEMORY_TEXT_MAX + HEAD_MAX);
	if (dirfd != -1 && make_name(kind, key, name) == 0)
		is_kept = read_file(dirfd, name, &found) &&
		    buf_span(text, buf_view(&found)) == 0;
	buf_done(&found);
	fd_close(&dirfd);
	return is_kept;
}

void
memory_keep(const char *directory, const char *kind, struct span key,
    struct span text, int seconds)
{
	char name[NAME_SIZE];
	struct failure f;
	struct buf b;
	int dirfd;

	if (text.len > MEMORY_TEXT_MAX) {
		memory_forget(directory, kind, key);
		return;
	}
	dirfd = directory_open_private(directory);
	buf_init(&b, MEMORY_TEXT_MAX + HEAD_MAX);
	if (dirfd != -1 && make_name(kind, key, name) == 0 &&
	    buf_printf(&b, "%" PRId64 "\n", (int64_t)time(NULL) + seconds) ==
		0 &&
	    buf_span(&b, text) == 0 &&
	    file_replace(dirfd, name, buf_view(&b), &f) == -1)
		log_debug("%s is not kept: %s", kind, f.text);
	buf_done(&b);
	fd_close(&dirfd);
}

void
memory_forget(const char *directory, const char *kind, struct span key)
{
	int dirfd = open_existing(directory);
	char name[NAME_SIZE];

	if (dirfd != -1 && make_name(kind, key, name) == 0)
		(void)unlinkat(dirfd, name, 0);
	fd_close(&dirfd);
}

/* Is this a file of the kind, and still good?  One that is not is removed. */
static bool
is_kept(int dirfd, const char *name, const char *kind)
{
	size_t len = strlen(kind);
	struct buf text;
	bool is_good;

	if (strncmp(name, kind, len) != 0 || name[len] != '-')
		return false;
	buf_init(&text, MEMORY_TEXT_MAX + HEAD_MAX);
	is_good = read_file(dirfd, name, &text);
	buf_done(&text);
	if (!is_good)
		(void)unlinkat(dirfd, name, 0);
	return is_good;
}

bool
memory_has(const char *directory, const char *kind)
{
	int dirfd = open_existing(directory);
	DIR *dir = dirfd != -1 ? fdopendir(dirfd) : NULL;
	const struct dirent *entry;
	bool has = false;

	if (dir == NULL) {
		fd_close(&dirfd);
		return false;
	}
	while ((entry = readdir(dir)) != NULL)
		has = is_kept(dirfd, entry->d_name, kind) || has;
	(void)closedir(dir);
	return has;
}
