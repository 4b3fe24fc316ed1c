#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/openfile.h"
#include "config/values.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"

bool
config_secret_looks_like_id(struct span secret)
{
	return value_is_guid(secret);
}

/* Directly in the directory that systemd made for our credentials? */
static bool
is_systemd_credential(const char *path)
{
	const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
	size_t len;

	if (directory == NULL || directory[0] != '/')
		return false;
	len = strlen(directory);
	return strncmp(path, directory, len) == 0 && path[len] == '/' &&
	    strchr(path + len + 1, '/') == NULL;
}

static int
check_mode(const char *path, const struct stat *st, struct failure *f)
{
	mode_t others = S_IRWXG | S_IRWXO;

	/* systemd lets the service's user in by an ACL, whose mask is what
	 * the group bits show. */
	if (is_systemd_credential(path))
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
	cut_line_end(out);
	return check_contents(path, out, f);
}

int
config_read_secret(const char *path, struct buf *out, struct failure *f)
{
	struct stat st;
	int r = -1;
	int fd;

	buf_init_secret(out, CONFIG_SECRET_MAX);
	fd = openfile_read(path,
	    "write the secret into it, readable by its user alone (mode 0600)",
	    &st, f);
	if (fd == -1)
		return -1;
	if (openfile_check_owner(path, &st, f) == 0 &&
	    check_mode(path, &st, f) == 0)
		r = read_contents(fd, path, out, f);
	if (r == -1)
		buf_reset(out);
	fd_close(&fd);
	return r;
}
