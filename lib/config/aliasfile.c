/* The aliases of the configuration and of a file: see config.h. */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "config/openfile.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "mail/complete.h"
#include "mail/permit.h"

#define SYSTEM_FILE SENDMAIL365_SYSCONFDIR "/aliases"

int
config_own_aliases(const struct config *config, int *line, struct aliases **out,
    struct failure *f)
{
	const struct alias_setting *s = &config->alias_default;
	struct aliases *a = aliases_new();
	int r = 0;

	*line = s->line;
	if (s->list != NULL &&
	    aliases_set_default(a, config->path, s->line, s->list, f) == -1)
		r = failure_at(f, "default");
	for (size_t i = 0; i < config->alias_count && r == 0; i++) {
		s = &config->aliases[i];
		*line = s->line;
		r = aliases_add(a, config->path, s->line, s->name, s->list, f);
		if (r == -1)
			(void)failure_at(f, "%s", s->name);
	}
	if (r == -1)
		aliases_free(&a);
	*out = a;
	return r;
}

static int
read_file(const char *path, struct buf *text, struct failure *f)
{
	struct stat st;
	int fd = openfile_read(
	    path, "create it, or take \"file\" out of [aliases]", &st, f);
	int r;

	/* Unlike the configuration, it is for everybody. */
	if (fd == -1 && f->os_error == EACCES)
		return failure_set(f, FAILURE_CONFIG,
		    "%s: this user cannot read it, and whoever sends mail "
		    "must; run: chmod a+r '%s'",
		    path, path);
	if (fd == -1)
		return -1;
	r = file_read(fd, text);
	if (r == -1 && errno == EFBIG)
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: it is larger than %d MB; make it shorter, or name "
		    "another file in [aliases]",
		    path, ALIASES_FILE_MAX / (1024 * 1024));
	else if (r == -1)
		(void)failure_os(f, FAILURE_CONFIG, errno, "read %s", path);
	fd_close(&fd);
	return r;
}

/* "ops@localhost" in a list is "ops".  A public name of this host may be that
 * of real mailboxes, so that it stays. */
static void
add_hosts(struct aliases *a)
{
	char *host_name = complete_host_name(0);

	aliases_add_host(a, "localhost");
	aliases_add_host(a, "localhost.localdomain");
	if (permit_is_private(host_name))
		aliases_add_host(a, host_name);
	host_name[strcspn(host_name, ".")] = '\0';
	aliases_add_host(a, host_name);
	free(host_name);
}

int
config_load_aliases(const struct config *config, aliases_report *report,
    void *context, struct aliases **out, struct failure *f)
{
	const char *path = config->aliases_file;
	struct buf text;
	int line;
	int r = config_own_aliases(config, &line, out, f);

	if (r == -1)
		return -1;
	add_hosts(*out);
	/* No file is as good as an empty one, unless it was asked for. */
	if (path == NULL && faccessat(AT_FDCWD, SYSTEM_FILE, F_OK, 0) == -1)
		return 0;
	if (path == NULL)
		path = SYSTEM_FILE;
	buf_init(&text, ALIASES_FILE_MAX);
	r = read_file(path, &text, f);
	if (r == 0)
		aliases_add_file(*out, path, &text, report, context);
	else
		aliases_free(out);
	buf_done(&text);
	return r;
}
