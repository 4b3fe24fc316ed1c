#include "config/openfile.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "core/failure.h"
#include "core/file.h"

enum {
	NAME_SIZE = 64
};

static void
user_name(uid_t uid, char out[static NAME_SIZE])
{
	const struct passwd *pw = getpwuid(uid);

	if (pw != NULL)
		(void)snprintf(out, NAME_SIZE, "%s", pw->pw_name);
	else
		(void)snprintf(out, NAME_SIZE, "%lu", (unsigned long)uid);
}

static void
group_name(gid_t gid, char out[static NAME_SIZE])
{
	const struct group *gr = getgrgid(gid);

	if (gr != NULL)
		(void)snprintf(out, NAME_SIZE, "%s", gr->gr_name);
	else
		(void)snprintf(out, NAME_SIZE, "%lu", (unsigned long)gid);
}

bool
openfile_is_service(void)
{
	char us[NAME_SIZE];

	user_name(geteuid(), us);
	return strcmp(us, CONFIG_SERVICE_USER) == 0;
}

/* EACCES: say who may read the file, since errno does not. */
static int
refuse_unreadable(const char *path, struct failure *f)
{
	char us[NAME_SIZE];
	char owner[NAME_SIZE];
	char group[NAME_SIZE];
	struct stat st;

	user_name(geteuid(), us);
	if (stat(path, &st) == -1)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: user %s cannot enter its directory; run this as "
		    "root or another user who can; where the service runs, "
		    "sendmail sends without",
		    path, us);
	if (openfile_is_service())
		return failure_set(f, FAILURE_CONFIG,
		    "%s: the service cannot read it; run: chgrp %s '%s' && "
		    "chmod g+r '%s'",
		    path, us, path, path);
	user_name(st.st_uid, owner);
	group_name(st.st_gid, group);
	if ((st.st_mode & S_IRGRP) != 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: user %s cannot read it, only user %s and members of "
		    "group %s can; run this as one of them, or give %s a "
		    "configuration of its own in ~/.config/sendmail365",
		    path, us, owner, group, us);
	return failure_set(f, FAILURE_CONFIG,
	    "%s: user %s cannot read it, only user %s can; run this as %s, or "
	    "give %s a configuration of its own in ~/.config/sendmail365",
	    path, us, owner, owner, us);
}

int
openfile_read(
    const char *path, const char *missing, struct stat *st, struct failure *f)
{
	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd == -1 && (errno == ENOENT || errno == ENOTDIR)) {
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: there is no such file; %s", path, missing);
		f->os_error = ENOENT;
		return -1;
	}
	if (fd == -1 && errno == EACCES) {
		(void)refuse_unreadable(path, f);
		f->os_error = EACCES;
		return -1;
	}
	if (fd == -1)
		return failure_os(f, FAILURE_CONFIG, errno, "%s", path);
	if (fstat(fd, st) == -1 || !S_ISREG(st->st_mode)) {
		fd_close(&fd);
		return failure_set(
		    f, FAILURE_CONFIG, "%s: this is not a regular file", path);
	}
	return fd;
}

int
openfile_check_owner(const char *path, const struct stat *st, struct failure *f)
{
	char us[NAME_SIZE];
	char owner[NAME_SIZE];

	if (st->st_uid == 0 || st->st_uid == geteuid())
		return 0;
	user_name(geteuid(), us);
	user_name(st->st_uid, owner);
	/* It may be the service's: root need not take it away from that. */
	return failure_set(f, FAILURE_CONFIG,
	    "%s: it belongs to user %s, who could change it; run this as that "
	    "user, or run: chown %s '%s'",
	    path, owner, us, path);
}
