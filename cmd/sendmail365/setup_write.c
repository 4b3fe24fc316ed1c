#include "setup_write.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/proc.h"

#define SECRETS "secrets"

enum {
	DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
	DIRECTORY_MODE = 0755,
	SECRETS_MODE = 0700,
	CONFIG_MODE = 0644
};

/* What has been made so far, to be taken back. */
struct writing {
	const struct setup_place *place;
	const struct setup_files *files;
	int directory_fd;
	int secrets_fd;
	const char *secret_leaf; /* behind SECRETS "/"; NULL: none */
	char *new_name;          /* the configuration before it counts */
	bool made_directory;
	bool made_secrets;
	bool made_secret;
};

/* ---- the place ---- */

static bool
is_forbidden(int os_error)
{
	return os_error == EACCES || os_error == EPERM || os_error == EROFS;
}

/* A failure of the system; the kind says whose turn it is. */
static int
fail(struct failure *f, const char *what, const char *path)
{
	int os_error = errno;

	return failure_os(f,
	    is_forbidden(os_error) ? FAILURE_AUTH : FAILURE_LATER, os_error,
	    "%s %s", what, path);
}

static int
refuse_user(struct failure *f)
{
	return failure_set(f, FAILURE_AUTH,
	    "only root can write the configuration of this host: run sudo "
	    "sendmail365 setup; for one of your own, first run: mkdir -p "
	    "~/.config/sendmail365");
}

/* Only the last directory of the path may be missing. */
static int
check_writable(const struct setup_place *p, struct failure *f)
{
	char *above;
	char *slash;
	int r;

	if (faccessat(AT_FDCWD, p->directory, W_OK | X_OK, AT_EACCESS) == 0)
		return 0;
	if (errno != ENOENT)
		return fail(f, "cannot write into", p->directory);
	above = xstrdup(p->directory);
	slash = strrchr(above, '/');
	if (slash != NULL)
		*slash = '\0';
	r = faccessat(
	    AT_FDCWD, above[0] != '\0' ? above : "/", W_OK | X_OK, AT_EACCESS);
	if (r == -1)
		(void)fail(f, "cannot make", p->directory);
	free(above);
	return r;
}

static char *
whole_path(const char *path)
{
	char *cwd = path[0] != '/' ? getcwd(NULL, 0) : NULL;
	char *whole =
	    cwd != NULL ? xasprintf("%s/%s", cwd, path) : xstrdup(path);

	free(cwd);
	return whole;
}

int
setup_place_find(
    const char *path, bool replaces, struct setup_place *out, struct failure *f)
{
	struct stat st;
	const char *slash;

	*out = (struct setup_place){ .mode = CONFIG_MODE, .group = (gid_t)-1 };
	out->path = path != NULL ? whole_path(path) : config_place();
	if (out->path == NULL)
		return refuse_user(f);
	slash = strrchr(out->path, '/');
	if (slash == NULL || slash[1] == '\0')
		return failure_set(
		    f, FAILURE_USAGE, "%s does not name a file", out->path);
	out->name = slash + 1;
	out->directory = xstrndup(out->path, (size_t)(slash - out->path));
	out->is_taken = lstat(out->path, &st) == 0;
	if (out->is_taken && !replaces)
		return failure_set(f, FAILURE_USAGE,
		    "%s is there already, and stays as it is; with --replace "
		    "it is changed, and stays beside it as %s.old",
		    out->path, out->name);
	return check_writable(out, f);
}

void
setup_place_keep_mode(struct setup_place *p)
{
	struct stat st;

	if (stat(p->path, &st) == -1)
		return;
	p->mode = st.st_mode & 0777;
	p->group = st.st_gid;
}

void
setup_place_done(struct setup_place *p)
{
	free(p->path);
	free(p->directory);
	*p = (struct setup_place){ .path = NULL };
}

/* ---- the name of the secret ---- */

enum secret_state {
	SECRET_ABSENT,
	SECRET_SAME,
	SECRET_OTHER
};

static enum secret_state
compare_secret(const char *path, struct span secret)
{
	enum secret_state state = SECRET_OTHER;
	struct stat st;
	struct failure f;
	struct buf found;

	if (lstat(path, &st) == -1)
		return errno == ENOENT || errno == ENOTDIR ? SECRET_ABSENT
							   : SECRET_OTHER;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return SECRET_OTHER;
	if (config_read_secret(path, &found, &f) == 0 &&
	    span_equal(buf_view(&found), secret))
		state = SECRET_SAME;
	buf_done(&found);
	return state;
}

/* Does a configuration name this file? */
static bool
is_in_use(const struct config *config, const char *path)
{
	for (size_t i = 0; config != NULL && i < config->account_count; i++) {
		const struct account *a = &config->accounts[i];

		if ((a->client_secret_file != NULL &&
			strcmp(a->client_secret_file, path) == 0) ||
		    (a->password_file != NULL &&
			strcmp(a->password_file, path) == 0))
			return true;
	}
	return false;
}

/* Of two names the first that is free or holds this very secret; else the one
 * that nobody uses. */
char *
setup_secret_name(const struct setup_place *p, const struct config *old,
    const char *kind, struct span secret)
{
	char *names[] = { xasprintf(SECRETS "/%s", kind),
		xasprintf(SECRETS "/%s-2", kind) };
	char *paths[] = { xasprintf("%s/%s", p->directory, names[0]),
		xasprintf("%s/%s", p->directory, names[1]) };
	enum secret_state states[] = { compare_secret(paths[0], secret),
		compare_secret(paths[1], secret) };
	int chosen;

	if (states[0] == SECRET_SAME || states[1] == SECRET_SAME)
		chosen = states[0] == SECRET_SAME ? 0 : 1;
	else if (states[0] == SECRET_ABSENT)
		chosen = 0;
	else if (states[1] == SECRET_ABSENT)
		chosen = 1;
	else
		chosen = is_in_use(old, paths[1]) ? 0 : 1;
	free(paths[0]);
	free(paths[1]);
	free(names[1 - chosen]);
	return names[chosen];
}

/* ---- directories ---- */

static int
open_directory(struct writing *w, struct failure *f)
{
	const char *path = w->place->directory;
	struct stat st;

	if (mkdir(path, SECRETS_MODE) == 0)
		w->made_directory = true;
	else if (errno != EEXIST)
		return fail(f, "make", path);
	w->directory_fd = open(path, DIRECTORY_FLAGS);
	if (w->directory_fd == -1 || fstat(w->directory_fd, &st) == -1)
		return fail(f, "open", path);
	/* umask is not to have a say in it. */
	if (w->made_directory && fchmod(w->directory_fd, DIRECTORY_MODE) == -1)
		return fail(f, "chmod", path);
	if ((st.st_uid == 0 || st.st_uid == geteuid()) &&
	    ((st.st_mode & 022) == 0 || (st.st_mode & S_ISVTX) != 0))
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "%s belongs to somebody else, or others can write to it; run: "
	    "chmod go-w '%s', and chown it if need be",
	    path, path);
}

static int
open_secrets(struct writing *w, struct failure *f)
{
	static const char what[] = SECRETS " in the directory of";
	const char *path = w->place->path;
	struct stat st;

	if (mkdirat(w->directory_fd, SECRETS, SECRETS_MODE) == 0)
		w->made_secrets = true;
	else if (errno != EEXIST)
		return fail(f, what, path);
	w->secrets_fd =
	    openat(w->directory_fd, SECRETS, DIRECTORY_FLAGS | O_NOFOLLOW);
	if (w->secrets_fd == -1 || fstat(w->secrets_fd, &st) == -1)
		return fail(f, what, path);
	if (st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "%s/" SECRETS " belongs to somebody else, or is open to others; "
	    "run: chmod 0700 '%s/" SECRETS "', and chown it if need be",
	    w->place->directory, w->place->directory);
}

/* ---- files ---- */

static int
write_secret(struct writing *w, struct failure *f)
{
	const struct setup_files *files = w->files;
	struct stat st;
	struct buf text;
	int r;

	if (files->secret_name == NULL)
		return 0;
	w->secret_leaf = files->secret_name + sizeof(SECRETS);
	if (open_secrets(w, f) == -1)
		return -1;
	w->made_secret = fstatat(w->secrets_fd, w->secret_leaf, &st,
			     AT_SYMLINK_NOFOLLOW) == -1;
	buf_init_secret(&text, files->secret.len + 1);
	(void)buf_span(&text, files->secret);
	(void)buf_putc(&text, '\n');
	r = file_replace(w->secrets_fd, w->secret_leaf, buf_view(&text), f);
	buf_done(&text);
	if (r == -1)
		return failure_at(f, "%s/" SECRETS, w->place->directory);
	return 0;
}

/* The configuration, whole, under a name that nobody reads. */
static int
write_new(struct writing *w, struct failure *f)
{
	mode_t mode;

	if (file_replace(w->directory_fd, w->new_name, w->files->text, f) == -1)
		return failure_at(f, "%s", w->place->directory);
	mode = w->place->mode;
	/* A group that is not to be had is not let in. */
	if (fchownat(w->directory_fd, w->new_name, (uid_t)-1, w->place->group,
		AT_SYMLINK_NOFOLLOW) == -1)
		mode &= ~(mode_t)S_IRWXG;
	if (fchmodat(w->directory_fd, w->new_name, mode, 0) == -1)
		return fail(f, "chmod", w->new_name);
	return 0;
}

/* The old one gets a second name; that of an older one is taken over. */
static int
keep_old(const struct writing *w, struct failure *f)
{
	const char *name = w->place->name;
	char *old = xasprintf("%s.old", name);
	char *link = xasprintf(".%s.old.tmp", name);
	int fd = w->directory_fd;
	int r = 0;

	(void)unlinkat(fd, link, 0);
	if (linkat(fd, name, fd, link, 0) == -1 ||
	    renameat(fd, link, fd, old) == -1)
		r = fail(f, "keep the old configuration as", old);
	/* What two names of one file leave. */
	(void)unlinkat(fd, link, 0);
	free(old);
	free(link);
	return r;
}

/* From here it counts. */
static int
publish(const struct writing *w, struct failure *f)
{
	const char *name = w->place->name;
	int fd = w->directory_fd;

	if (w->place->is_taken) {
		if (keep_old(w, f) == -1)
			return -1;
		if (renameat(fd, w->new_name, fd, name) == -1)
			return fail(f, "write", w->place->path);
	} else {
		/* Unlike a rename it replaces nothing. */
		if (linkat(fd, w->new_name, fd, name, 0) == -1)
			return errno == EEXIST
			    ? failure_set(f, FAILURE_USAGE,
				  "%s: somebody else has written it meanwhile",
				  w->place->path)
			    : fail(f, "write", w->place->path);
		(void)unlinkat(fd, w->new_name, 0);
	}
	/* It is there, whatever comes. */
	(void)fsync(fd);
	return 0;
}

static void
take_back(struct writing *w)
{
	if (w->directory_fd != -1)
		(void)unlinkat(w->directory_fd, w->new_name, 0);
	if (w->made_secret)
		(void)unlinkat(w->secrets_fd, w->secret_leaf, 0);
	if (w->made_secrets)
		(void)unlinkat(w->directory_fd, SECRETS, AT_REMOVEDIR);
	if (w->made_directory)
		(void)rmdir(w->place->directory);
}

int
setup_write(const struct setup_place *p, const struct setup_files *files,
    struct failure *f)
{
	struct writing w = {
		.place = p,
		.files = files,
		.directory_fd = -1,
		.secrets_fd = -1,
		.new_name = xasprintf("%s.new", p->name),
	};
	sigset_t held, before;
	int r;

	proc_hold_ending(&held, &before);
	r = open_directory(&w, f);
	if (r == 0)
		r = write_secret(&w, f);
	if (r == 0)
		r = write_new(&w, f);
	if (r == 0)
		r = publish(&w, f);
	if (r == -1)
		take_back(&w);
	fd_close(&w.secrets_fd);
	fd_close(&w.directory_fd);
	free(w.new_name);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
