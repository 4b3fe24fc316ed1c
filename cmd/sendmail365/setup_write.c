#include "setup_write.h"

#include <sys/file.h>
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
	int secrets_fd;
	const char *secret_leaf; /* behind SECRETS "/"; NULL: none */
	char *new_name;          /* the configuration before it counts */
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
	const char *slash;

	*out = (struct setup_place){
		.mode = CONFIG_MODE,
		.group = (gid_t)-1,
		.directory_fd = -1,
		.lock_fd = -1,
	};
	out->path = path != NULL ? whole_path(path) : config_place();
	if (out->path == NULL)
		return refuse_user(f);
	slash = strrchr(out->path, '/');
	if (slash == NULL || slash[1] == '\0')
		return failure_set(
		    f, FAILURE_USAGE, "%s does not name a file", out->path);
	out->name = slash + 1;
	out->directory = xstrndup(out->path, (size_t)(slash - out->path));
	out->is_taken = lstat(out->path, &out->found) == 0;
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

/* ---- the lock ---- */

static int
open_directory(struct setup_place *p, struct failure *f)
{
	const char *path = p->directory;
	struct stat st;

	if (mkdir(path, SECRETS_MODE) == 0)
		p->made_directory = true;
	else if (errno != EEXIST)
		return fail(f, "make", path);
	p->directory_fd = open(path, DIRECTORY_FLAGS);
	if (p->directory_fd == -1 || fstat(p->directory_fd, &st) == -1)
		return fail(f, "open", path);
	/* umask is not to have a say in it. */
	if (p->made_directory && fchmod(p->directory_fd, DIRECTORY_MODE) == -1)
		return fail(f, "chmod", path);
	if ((st.st_uid == 0 || st.st_uid == geteuid()) &&
	    ((st.st_mode & 022) == 0 || (st.st_mode & S_ISVTX) != 0))
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "%s belongs to somebody else, or others can write to it; run: "
	    "chmod go-w '%s', and chown it if need be",
	    path, path);
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static char *
lock_name(const struct setup_place *p)
{
	return xasprintf(".%s.lock", p->name);
}

/* A file of its own, which nobody else can open: the directory can be opened,
 * and so locked for ever, by anybody.  Who has held the lock deletes it. */
static int
take_lock(struct setup_place *p, struct failure *f)
{
	char *name = lock_name(p);
	struct stat mine, there;
	bool is_mine = false;
	int r = 0;

	while (r == 0 && !is_mine) {
		p->lock_fd = openat(p->directory_fd, name,
		    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (p->lock_fd == -1)
			r = fail(f, "lock", p->directory);
		else if (flock(p->lock_fd, LOCK_EX | LOCK_NB) == -1)
			r = errno == EWOULDBLOCK
			    ? failure_set(f, FAILURE_LATER,
				  "%s: somebody else is writing it at this "
				  "moment; try again",
				  p->path)
			    : fail(f, "lock", p->directory);
		else
			is_mine = fstat(p->lock_fd, &mine) == 0 &&
			    fstatat(p->directory_fd, name, &there,
				AT_SYMLINK_NOFOLLOW) == 0 &&
			    is_same_file(&mine, &there);
		if (!is_mine)
			fd_close(&p->lock_fd);
	}
	free(name);
	return r;
}

/* Is there what was found, or nothing still? */
static int
check_unchanged(const struct setup_place *p, struct failure *f)
{
	struct stat st;
	bool is_there =
	    fstatat(p->directory_fd, p->name, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if (is_there == p->is_taken &&
	    (!is_there ||
		(is_same_file(&st, &p->found) &&
		    st.st_mtim.tv_sec == p->found.st_mtim.tv_sec &&
		    st.st_mtim.tv_nsec == p->found.st_mtim.tv_nsec)))
		return 0;
	return failure_set(f, FAILURE_USAGE,
	    "%s: somebody else has written it meanwhile", p->path);
}

int
setup_place_lock(struct setup_place *p, struct failure *f)
{
	sigset_t held;
	int r;

	proc_hold_ending(&held, &p->before);
	r = open_directory(p, f);
	if (r == 0)
		r = take_lock(p, f);
	if (r == 0)
		r = check_unchanged(p, f);
	if (r == -1)
		setup_place_unlock(p);
	return r;
}

void
setup_place_unlock(struct setup_place *p)
{
	char *name = lock_name(p);

	if (p->lock_fd != -1)
		(void)unlinkat(p->directory_fd, name, 0);
	free(name);
	fd_close(&p->lock_fd);
	fd_close(&p->directory_fd);
	if (p->made_directory)
		(void)rmdir(p->directory);
	p->made_directory = false;
	(void)sigprocmask(SIG_SETMASK, &p->before, NULL);
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

/* ---- the folder of secrets ---- */

static int
open_secrets(struct writing *w, struct failure *f)
{
	static const char what[] = SECRETS " in the directory of";
	const char *path = w->place->path;
	struct stat st;

	if (mkdirat(w->place->directory_fd, SECRETS, SECRETS_MODE) == 0)
		w->made_secrets = true;
	else if (errno != EEXIST)
		return fail(f, what, path);
	w->secrets_fd = openat(
	    w->place->directory_fd, SECRETS, DIRECTORY_FLAGS | O_NOFOLLOW);
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

	if (file_replace(
		w->place->directory_fd, w->new_name, w->files->text, f) == -1)
		return failure_at(f, "%s", w->place->directory);
	mode = w->place->mode;
	/* A group that is not to be had is not let in. */
	if (fchownat(w->place->directory_fd, w->new_name, (uid_t)-1,
		w->place->group, AT_SYMLINK_NOFOLLOW) == -1)
		mode &= ~(mode_t)S_IRWXG;
	if (fchmodat(w->place->directory_fd, w->new_name, mode, 0) == -1)
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
	int fd = w->place->directory_fd;
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
	int fd = w->place->directory_fd;

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
	(void)unlinkat(w->place->directory_fd, w->new_name, 0);
	if (w->made_secret)
		(void)unlinkat(w->secrets_fd, w->secret_leaf, 0);
	if (w->made_secrets)
		(void)unlinkat(w->place->directory_fd, SECRETS, AT_REMOVEDIR);
}

int
setup_write(const struct setup_place *p, const struct setup_files *files,
    struct failure *f)
{
	struct writing w = {
		.place = p,
		.files = files,
		.secrets_fd = -1,
		.new_name = xasprintf("%s.new", p->name),
	};
	int r;

	r = write_secret(&w, f);
	if (r == 0)
		r = write_new(&w, f);
	if (r == 0)
		r = publish(&w, f);
	if (r == -1)
		take_back(&w);
	fd_close(&w.secrets_fd);
	free(w.new_name);
	return r;
}
