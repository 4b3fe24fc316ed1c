#include "config/credential.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/openfile.h"
#include "config/values.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/service.h"

#define SYSTEM  SENDMAIL365_SYSCONFDIR "/sendmail365/"
#define SECRETS SYSTEM "secrets/"

bool
config_secret_looks_like_id(struct span secret)
{
	return value_is_guid(secret);
}

bool
config_secret_has_strange(struct span secret)
{
	for (size_t i = 0; i < secret.len; i++)
		if (secret.s[i] <= ' ' || secret.s[i] > '~' ||
		    secret.s[i] == '"' || secret.s[i] == '\'')
			return true;
	return false;
}

/* ---- what systemd hands over ---- */

const char *
credential_directory(void)
{
	const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");

	return directory != NULL && directory[0] == '/' ? directory : NULL;
}

char *
credential_find(const char *name)
{
	const char *directory = credential_directory();
	struct stat st;
	char *path;

	if (directory == NULL || name[0] == '/' || name[0] == '.' ||
	    name[0] == '%')
		return NULL;
	path = xasprintf("%s/%s", directory, name);
	for (char *s = path + strlen(directory) + 1; *s != '\0'; s++)
		if (*s == '/')
			*s = '_';
	/* One that cannot be looked at is there, and says why when read. */
	if (stat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR))
		return path;
	free(path);
	return NULL;
}

const char *
config_credential_name(const char *path)
{
	const char *directory = credential_directory();
	size_t len;

	if (directory == NULL)
		return NULL;
	len = strlen(directory);
	if (strncmp(path, directory, len) != 0 || path[len] != '/' ||
	    strchr(path + len + 1, '/') != NULL)
		return NULL;
	return path + len + 1;
}

/* ---- a file that cannot be read ---- */

bool
config_is_copied(const char *path)
{
	return strncmp(path, SECRETS, sizeof(SECRETS) - 1) == 0;
}

/* Of a file that the service was given no copy of. */
static void
say_how_to_copy(const char *path, struct failure *f)
{
	const char *slash = strrchr(path, '/');

	if (config_is_copied(path))
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: the service has no copy of this file, and cannot "
		    "read it itself; write the secret into it (no link), then "
		    "%s, which gives it one",
		    path, service_how_to_restart());
	else
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: the service has no copy of this file, and cannot "
		    "read it itself; move it into " SECRETS ", write "
		    "secrets/%s into the configuration, then %s",
		    path, slash != NULL ? slash + 1 : path,
		    service_how_to_restart());
}

/*
 * A file is there, or may be, and the service is not let in.  That anybody else
 * is not is no mistake: they came while the service was away.
 */
static void
say_how_to_let_in(const char *path, struct failure *f)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash != NULL ? (size_t)(slash - path) : 0;
	char *directory = xstrndup(path, len);

	if (credential_directory() != NULL)
		say_how_to_copy(path, f);
	else if (!openfile_is_service() && config_is_copied(path))
		(void)failure_set(f, FAILURE_LATER,
		    "%s: this is for root and the service; sendmail sends "
		    "without it where the service runs: %s, or try again later",
		    path, service_how_to_restart());
	else if (!openfile_is_service())
		;
	else if (faccessat(AT_FDCWD, directory, X_OK, AT_EACCESS) == 0)
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: the service cannot read it; run: chown %s '%s'", path,
		    CONFIG_SERVICE_USER, path);
	else
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: the service cannot enter its directory; run: "
		    "chown %s '%s' '%s'",
		    path, CONFIG_SERVICE_USER, directory, path);
	free(directory);
	f->os_error = EACCES;
}

static int
open_secret(const char *path, struct stat *st, struct failure *f)
{
	const bool has_copies = credential_directory() != NULL;
	char *cure = xasprintf(
	    "write the secret into it, readable by %s alone (mode 0600)%s%s%s",
	    has_copies ? "root" : "its user", has_copies ? ", then " : "",
	    has_copies ? service_how_to_restart() : "",
	    has_copies ? ", which gives the service a copy" : "");
	int fd = openfile_read(path, cure, st, f);

	free(cure);
	if (fd == -1 && f->os_error == EACCES)
		say_how_to_let_in(path, f);
	return fd;
}

/* ---- certificates, which are nothing to hide ---- */

static void
say_how_to_publish(const char *path, struct failure *f)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	struct stat st;

	if (config_is_copied(path) && credential_directory() != NULL)
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: the service has no copy of this file, and cannot "
		    "read it itself; %s, which gives it one",
		    path, service_how_to_restart());
	else if (stat(path, &st) == 0)
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: this user cannot read these certificates, which are "
		    "no secret; run: chmod a+r '%s'",
		    path, path);
	else
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: this user cannot enter the directory of these "
		    "certificates, which are no secret; run: install -m 0644 "
		    "'%s' " SYSTEM "%s, and write ca_file = " SYSTEM "%s",
		    path, path, name, name);
	f->os_error = EACCES;
}

int
config_check_ca_file(const char *path, struct failure *f)
{
	struct stat st;
	int fd;

	if (path == NULL)
		return 0;
	fd = openfile_read(path,
	    "write the certificates of the authorities to trust into it, or "
	    "take ca_file out of the configuration for the system's",
	    &st, f);
	if (fd == -1 && f->os_error == EACCES)
		say_how_to_publish(path, f);
	if (fd == -1)
		return -1;
	fd_close(&fd);
	return 0;
}

/* ---- what is in it ---- */

/*
 * Root may read what belongs to the service's user: a secret that this user has
 * anyway, that nobody else can read, and that root sends nowhere but where its
 * own configuration says.  The configuration itself may not belong to it.
 */
static bool
is_service_owned(const struct stat *st)
{
	const struct passwd *pw;

	if (geteuid() != 0)
		return false;
	pw = getpwnam(CONFIG_SERVICE_USER);
	return pw != NULL && pw->pw_uid == st->st_uid;
}

static int
check_mode(const char *path, const struct stat *st, struct failure *f)
{
	mode_t others = S_IRWXG | S_IRWXO;

	/* systemd lets the service's user in by an ACL, whose mask is what
	 * the group bits show. */
	if (config_credential_name(path) != NULL)
		others = S_IRWXO;
	if ((st->st_mode & others) == 0)
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "%s: a secret that others can read (mode %04o); "
	    "run: chmod 600 '%s'",
	    path, (unsigned)(st->st_mode & 07777), path);
}

/* LF or CRLF at the end is the editor's, not the secret's. */
static void
cut_line_end(struct buf *b)
{
	size_t len = b->len;

	if (len > 0 && b->s[len - 1] == '\n')
		len--;
	if (len < b->len && len > 0 && b->s[len - 1] == '\r')
		len--;
	buf_truncate(b, len);
}

static int
check_contents(const char *path, const struct buf *b, struct failure *f)
{
	if (b->len == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: this file is empty; write the secret into it", path);
	if (strncmp(b->s, "\xff\xfe", 2) == 0 ||
	    strncmp(b->s, "\xfe\xff", 2) == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: this is UTF-16, as Windows writes it; save the file "
		    "in UTF-8, without a byte order mark",
		    path);
	if (ascii_has_control(buf_view(b)))
		return failure_set(f, FAILURE_CONFIG,
		    "%s: a line end or control character is within the "
		    "secret; write the secret alone, on one line",
		    path);
	if (strncmp(b->s, "\xef\xbb\xbf", 3) == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: a byte order mark stands before the secret; save "
		    "the file without it",
		    path);
	return 0;
}

int
config_clean_secret(const char *name, struct buf *b, struct failure *f)
{
	cut_line_end(b);
	return check_contents(name, b, f);
}

static int
read_contents(int fd, const char *path, struct buf *out, struct failure *f)
{
	if (file_read(fd, out) == -1) {
		if (errno != EFBIG)
			return failure_os(
			    f, FAILURE_CONFIG, errno, "read %s", path);
		return failure_set(f, FAILURE_CONFIG,
		    "%s: this file has more than %d octets; write the secret "
		    "alone into it",
		    path, CONFIG_SECRET_MAX);
	}
	return config_clean_secret(path, out, f);
}

int
config_read_secret(const char *path, struct buf *out, struct failure *f)
{
	struct stat st;
	int r = -1;
	int fd;

	buf_init_secret(out, CONFIG_SECRET_MAX);
	fd = open_secret(path, &st, f);
	if (fd == -1)
		return -1;
	if ((is_service_owned(&st) ||
		openfile_check_owner(path, &st, f) == 0) &&
	    check_mode(path, &st, f) == 0)
		r = read_contents(fd, path, out, f);
	if (r == -1)
		buf_reset(out);
	fd_close(&fd);
	return r;
}
