#include "queue/spooldir.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/failure.h"
#include "core/file.h"

static const char *const folder_names[] = {
	[SPOOLDIR_QUEUE] = "queue",
	[SPOOLDIR_FAILED] = "failed",
	[SPOOLDIR_INCOMING] = "incoming",
	[SPOOLDIR_JOURNAL] = "journal",
};

/* ---- opening ---- */

static int
check_directory(
    const struct spooldir *d, int fd, const char *name, struct failure *f)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return failure_os(f, FAILURE_LATER, errno, "stat %s", name);
	if (st.st_uid != d->owner)
		return failure_set(f, FAILURE_CONFIG,
		    "%s belongs to user %ld, the spool to user %ld; chown it",
		    name, (long)st.st_uid, (long)d->owner);
	if ((st.st_mode & 077) != 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s is open to others; run: chmod 700 '%s'", name, name);
	return 0;
}

static int
open_folder(struct spooldir *d, enum spooldir_folder folder, struct failure *f)
{
	const char *name = folder_names[folder];
	char *path = xasprintf("%s/%s", d->path, name);
	int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	bool is_new = mkdirat(d->fd, name, 0700) == 0;
	int r;

	d->folders[folder] = openat(d->fd, name, flags);
	/* By its descriptor: the name is in the hands of the owner. */
	if (d->folders[folder] != -1 && is_new && geteuid() != d->owner)
		(void)!fchown(d->folders[folder], d->owner, d->group);
	if (d->folders[folder] == -1)
		r = failure_os(f, FAILURE_CONFIG, errno, "open %s", path);
	else if (is_new && fsync(d->fd) == -1)
		r = failure_os(f, FAILURE_LATER, errno, "write %s", d->path);
	else
		r = check_directory(d, d->folders[folder], path, f);
	free(path);
	return r;
}

/* The name of a directory that is new is as safe as what will be in it. */
static int
sync_parent(int fd)
{
	int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Where it may not be read there is no way to do that. */
	int r = parent == -1 ? 0 : fsync(parent);

	fd_close(&parent);
	return r;
}

static int
open_base(struct spooldir *d, bool is_ours, struct failure *f)
{
	bool is_new = is_ours && mkdir(d->path, 0700) == 0;
	struct stat st;

	if (is_ours && !is_new && errno != EEXIST)
		return failure_os(
		    f, FAILURE_CONFIG, errno, "create %s", d->path);
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd == -1 || fstat(d->fd, &st) == -1 ||
	    (is_new && sync_parent(d->fd) == -1))
		return failure_os(f, FAILURE_CONFIG, errno, "open %s", d->path);
	d->owner = st.st_uid;
	d->group = st.st_gid;
	if (geteuid() != 0 && st.st_uid != geteuid())
		return failure_set(f, FAILURE_CONFIG,
		    "%s belongs to user %ld, who is not this one", d->path,
		    (long)st.st_uid);
	return check_directory(d, d->fd, d->path, f);
}

int
spooldir_open(
    const char *path, bool is_ours, struct spooldir *out, struct failure *f)
{
	struct spooldir d = { .path = xstrdup(path), .fd = -1 };
	int r;

	for (size_t i = 0; i < SPOOLDIR_FOLDERS; i++)
		d.folders[i] = -1;
	r = open_base(&d, is_ours, f);
	for (size_t i = 0; r == 0 && i < SPOOLDIR_FOLDERS; i++)
		r = open_folder(&d, (enum spooldir_folder)i, f);
	if (r == -1)
		spooldir_done(&d);
	else
		*out = d;
	return r;
}

void
spooldir_done(struct spooldir *d)
{
	for (size_t i = 0; i < SPOOLDIR_FOLDERS; i++)
		fd_close(&d->folders[i]);
	fd_close(&d->fd);
	free(d->path);
	d->path = NULL;
}

int
spooldir_lock(const struct spooldir *d, struct failure *f)
{
	if (flock(d->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return failure_set(f, FAILURE_LATER,
		    "another sendmail365 serves %s already", d->path);
	return failure_os(f, FAILURE_LATER, errno, "lock %s", d->path);
}

/* ---- what goes wrong ---- */

const char *
spooldir_cure(int e)
{
	switch (e) {
	case ENOSPC:
	case EDQUOT:
		return "make room on that file system";
	case EROFS:
		return "mount it for writing again";
	case EMFILE:
	case ENFILE:
		return "allow more open files (LimitNOFILE=)";
	case EACCES:
	case EPERM:
		return "check who owns it, and its mode";
	default:
		return "see the kernel's log about that file system";
	}
}

int
spooldir_cannot_write(const struct spooldir *d, int e, struct failure *f)
{
	(void)failure_set(f, FAILURE_LATER,
	    "the spool %s cannot be written: %s; %s", d->path, strerror(e),
	    spooldir_cure(e));
	return failure_dsn(f, "4.3.1");
}

/* ---- names ---- */

/* A descriptor of its own for the position of readdir(3). */
static DIR *
open_listing(const struct spooldir *d, enum spooldir_folder folder)
{
	int fd =
	    openat(d->folders[folder], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd != -1 ? fdopendir(fd) : NULL;

	if (dir == NULL && fd != -1) {
		int e = errno;

		fd_close(&fd);
		errno = e;
	}
	return dir;
}

static int
cannot_list(const struct spooldir *d, int e, struct failure *f)
{
	return failure_set(f, FAILURE_LATER,
	    "the spool %s cannot be listed: %s; %s", d->path, strerror(e),
	    spooldir_cure(e));
}

/* The next name; NULL at the end, and *e != 0 if that came too early. */
static const char *
next_name(DIR *dir, int *e)
{
	const struct dirent *entry;

	errno = 0;
	entry = readdir(dir);
	*e = errno;
	return entry != NULL ? entry->d_name : NULL;
}

int
spooldir_each(const struct spooldir *d, enum spooldir_folder folder,
    spooldir_found *found, void *context, struct failure *f)
{
	DIR *dir = open_listing(d, folder);
	const char *name;
	int trouble = 0;
	int e;

	if (dir == NULL)
		return cannot_list(d, errno, f);
	while ((name = next_name(dir, &e)) != NULL) {
		e = found(context, dirfd(dir), name);
		trouble = trouble != 0 ? trouble : e;
	}
	trouble = trouble != 0 ? trouble : e;
	(void)closedir(dir);
	return trouble == 0 ? 0 : cannot_list(d, trouble, f);
}
