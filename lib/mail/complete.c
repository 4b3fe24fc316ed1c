#include "mail/complete.h"

#include <sys/random.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/mailbox.h"

enum {
	UID_DIGITS = 20,
	RANDOM_BYTES = 12,
	FILE_MAX_BYTES = 1024 * 1024, /* of /etc/hosts, /etc/mailname */
	FROM_MAX_BYTES = 16 * 1024    /* a name of 998 octets, encoded */
};

/* ---- the name of the host ---- */

/* Only what may stand in a domain: it goes into commands and headers. */
static bool
is_host_name(struct span s)
{
	if (s.len == 0 || s.len > HOST_NAME_MAX || s.s[0] == '.' ||
	    s.s[0] == '-' || s.s[s.len - 1] == '.')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.s[i]) && s.s[i] != '-' && s.s[i] != '.')
			return false;
	return memmem(s.s, s.len, "..", 2) == NULL;
}

static bool
has_dot(struct span s)
{
	return memchr(s.s, '.', s.len) != NULL;
}

/* Append a file, or nothing if there is none. */
static void
read_file(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd == -1)
		return;
	if (file_read(fd, b) == -1)
		buf_reset(b);
	fd_close(&fd);
}

/* Take the first line off *text. */
static struct span
next_line(struct span *text)
{
	const char *lf = memchr(text->s, '\n', text->len);
	size_t len = lf != NULL ? (size_t)(lf - text->s) : text->len;
	struct span line = { text->s, len };

	if (lf != NULL)
		len++;
	text->s += len;
	text->len -= len;
	return line;
}

/* Take the next word off *line; length 0 at its end or at a comment. */
static struct span
next_name(struct span *line)
{
	struct span name;

	*line = span_trim(*line);
	name = (struct span){ line->s, 0 };
	while (name.len < line->len && !ascii_is_space(name.s[name.len]) &&
	    name.s[name.len] != '#')
		name.len++;
	line->s += name.len;
	line->len -= name.len;
	return name;
}

/* The dotted name on one line, if the line names host.  A name of the
 * loopback address is no name of this host. */
static struct span
match_line(struct span line, struct span host)
{
	struct span dotted = { NULL, 0 };
	bool is_named = false;
	struct span name;

	(void)next_name(&line); /* the address */
	while ((name = next_name(&line)).len > 0) {
		if (name.len == host.len &&
		    ascii_equal_nocase(name.s, host.s, host.len))
			is_named = true;
		if (dotted.len == 0 && has_dot(name) && is_host_name(name) &&
		    !span_is_nocase(name, "localhost.localdomain"))
			dotted = name;
	}
	return is_named ? dotted : (struct span){ NULL, 0 };
}

struct span
complete_find_host(struct span hosts, struct span host)
{
	struct span found = { NULL, 0 };

	while (hosts.len > 0 && found.len == 0)
		found = match_line(next_line(&hosts), host);
	return found;
}

/* Like getaddrinfo() with AI_CANONNAME, but certain not to ask the network. */
static char *
qualify_host(struct span host)
{
	struct span found;
	struct buf hosts;
	char *name;

	buf_init(&hosts, FILE_MAX_BYTES);
	read_file("/etc/hosts", &hosts);
	found = complete_find_host(buf_view(&hosts), host);
	if (found.len == 0)
		found = host;
	name = xstrndup(found.s, found.len);
	buf_done(&hosts);
	return name;
}

/* The first line of /etc/mailname (Debian Policy 11.6), or NULL. */
static char *
read_mail_name(void)
{
	struct span text;
	struct span line;
	char *name = NULL;
	struct buf b;

	buf_init(&b, FILE_MAX_BYTES);
	read_file("/etc/mailname", &b);
	text = buf_view(&b);
	line = span_trim(next_line(&text));
	if (is_host_name(line))
		name = xstrndup(line.s, line.len);
	buf_done(&b);
	return name;
}

char *
complete_host_name(int wants_mail_name)
{
	char *mail_name = wants_mail_name ? read_mail_name() : NULL;
	char name[HOST_NAME_MAX + 1] = "";
	struct span host;

	if (mail_name != NULL)
		return mail_name;
	if (gethostname(name, sizeof(name) - 1) == -1)
		name[0] = '\0';
	host = span_of(name);
	if (!is_host_name(host))
		return xstrdup("localhost");
	return has_dot(host) ? xstrdup(name) : qualify_host(host);
}

/* ---- the fields ---- */

static bool
has_content(const struct header *h, const char *name)
{
	for (size_t i = header_find(h, name, 0); i < h->count;
	     i = header_find(h, name, i + 1))
		if (field_value(&h->fields[i]).len > 0)
			return true;
	return false;
}

/* Give the header this field instead of empty ones. */
static void
put_field(struct header *h, const char *name, const char *value)
{
	header_remove_named(h, &name, 1);
	header_add(h, name, value);
}

static void
put_date(struct header *h, const char *name, time_t now)
{
	char date[CLOCK_DATE_SIZE];

	clock_date(now, date);
	put_field(h, name, date);
}

/* <time.random@host>: unique, and its age is seen at a glance. */
static int
put_message_id(
    struct header *h, const char *name, time_t now, struct failure *f)
{
	unsigned char random[RANDOM_BYTES];
	char hex[2 * RANDOM_BYTES + 1];
	char stamp[sizeof("20261120192745")];
	struct tm tm = { .tm_mday = 1 };
	char *host;
	char *id;
	ssize_t n;

	do
		n = getrandom(random, sizeof(random), 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof(random))
		return failure_os(f, FAILURE_LATER, errno, "getrandom");
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", random[i]);
	(void)gmtime_r(&now, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
	host = complete_host_name(0);
	id = xasprintf("<%s.%s@%s>", stamp, hex, host);
	put_field(h, name, id);
	free(id);
	free(host);
	return 0;
}

static void
put_from(struct header *h, const struct mailbox *from)
{
	struct buf value;
	struct buf folded;

	buf_init(&value, FROM_MAX_BYTES);
	buf_init(&folded, FROM_MAX_BYTES);
	if (mailbox_write(&value, from) == -1) {
		buf_reset(&value);
		(void)mailbox_write_address(&value, from);
	}
	if (header_fold(&folded, buf_view(&value), strlen("From: ")) == 0)
		put_field(h, "From", folded.s);
	buf_done(&value);
	buf_done(&folded);
}

static bool
is_resent(const struct header *h)
{
	static const char prefix[] = "Resent-";

	for (size_t i = 0; i < h->count; i++)
		if (h->fields[i].name_len > sizeof(prefix) - 1 &&
		    ascii_equal_nocase(
			h->fields[i].text, prefix, sizeof(prefix) - 1))
			return true;
	return false;
}

int
complete_header(struct header *h, const struct mailbox *from, struct failure *f)
{
	time_t now = time(NULL);

	if (is_resent(h)) {
		if (!has_content(h, "Resent-Date"))
			put_date(h, "Resent-Date", now);
		if (!has_content(h, "Resent-Message-ID") &&
		    put_message_id(h, "Resent-Message-ID", now, f) == -1)
			return -1;
	}
	if (!has_content(h, "Message-ID") &&
	    put_message_id(h, "Message-ID", now, f) == -1)
		return -1;
	if (!has_content(h, "Date"))
		put_date(h, "Date", now);
	if (!has_content(h, "From"))
		put_from(h, from);
	return 0;
}

void
complete_user(uid_t uid, struct mailbox *out)
{
	const struct passwd *pw = getpwuid(uid);
	char by_number[sizeof("uid") + UID_DIGITS];
	struct failure ignored;

	if (pw != NULL &&
	    mailbox_parse(span_of(pw->pw_name), out, &ignored) == 0)
		return;
	(void)snprintf(
	    by_number, sizeof(by_number), "uid%lu", (unsigned long)uid);
	(void)mailbox_parse(span_of(by_number), out, &ignored);
}

void
complete_author(struct mailbox *out)
{
	complete_user(getuid(), out);
}
