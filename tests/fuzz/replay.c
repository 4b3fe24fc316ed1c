/*
 * A main() for fuzz targets that any compiler can link: runs the target on
 * each file named, and on each file in each directory named, once.  Prints
 * nothing; a broken invariant aborts.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/file.h"

enum {
	INPUT_MAX = 16 * 1024 * 1024
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_directory(int fd, const char *path);

/* A file or, on the first level only, a directory. */
static int
run(int parent, const char *path, int (*in_directory)(int, const char *))
{
	int fd = openat(parent, path, O_RDONLY | O_CLOEXEC);
	struct buf b;
	int r;

	buf_init(&b, INPUT_MAX);
	r = fd == -1 ? -1 : file_read(fd, &b);
	if (r == 0) {
		r = LLVMFuzzerTestOneInput((const uint8_t *)b.s, b.len);
	} else if (fd != -1 && errno == EISDIR && in_directory != NULL) {
		r = in_directory(fd, path);
		fd = -1;
	} else {
		perror(path);
	}
	buf_done(&b);
	fd_close(&fd);
	return r;
}

/* Takes fd over. */
static int
run_directory(int fd, const char *path)
{
	DIR *directory = fdopendir(fd);
	const struct dirent *entry;
	int r = 0;

	if (directory == NULL) {
		perror(path);
		fd_close(&fd);
		return -1;
	}
	while ((entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.' &&
		    run(fd, entry->d_name, NULL) != 0)
			r = -1;
	(void)closedir(directory);
	return r;
}

int
main(int argc, char **argv)
{
	int status = 0;

	for (int i = 1; i < argc; i++)
		if (run(AT_FDCWD, argv[i], run_directory) != 0)
			status = 1;
	return status;
}
