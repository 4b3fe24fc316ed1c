#include "config/conffile.h"

#include <sys/stat.h>

#include <errno.h>
#include <ini.h>
#include <string.h>

#include "config/openfile.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"

struct feed {
	const char *name;
	struct span rest; /* what libinih has not got yet */
	int line;         /* of what it got last */
	const struct conffile_events *events;
	void *user;
	bool has_failed;
	struct failure *f;
};

/* Cut the first line off; neither LF nor CRLF is part of it. */
static struct span
take_line(struct span *rest)
{
	const char *end = memchr(rest->s, '\n', rest->len);
	struct span line = *rest;

	if (end != NULL)
		line.len = (size_t)(end - rest->s);
	rest->s += line.len + (end != NULL ? 1 : 0);
	rest->len -= line.len + (end != NULL ? 1 : 0);
	if (line.len > 0 && line.s[line.len - 1] == '\r')
		line.len--;
	return line;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Where a comment behind something begins, as libinih sees it; or the end. */
static size_t
find_comment(struct span line)
{
	for (size_t i = 1; i < line.len; i++)
		if (line.s[i] == ';' && is_blank(line.s[i - 1]))
			return i;
	return line.len;
}

/* Anything may stand in a line but what no text file has. */
static int
check_bytes(struct span line, struct failure *f)
{
	if (line.len > CONFFILE_LINE_MAX)
		return failure_set(f, FAILURE_CONFIG,
		    "this line has %zu octets, more than the limit of %d",
		    line.len, CONFFILE_LINE_MAX);
	for (size_t i = 0; i < line.len; i++)
		if (ascii_is_control(line.s[i]) && line.s[i] != '\t')
			return failure_set(f, FAILURE_CONFIG,
			    "a control character (0x%02x) is in this line",
			    (unsigned char)line.s[i]);
	if (!utf8_is_valid(line.s, line.len))
		return failure_set(f, FAILURE_CONFIG,
		    "this line is not UTF-8; write the file in UTF-8");
	return 0;
}

static int
refuse_tab(struct failure *f)
{
	return failure_set(f, FAILURE_CONFIG,
	    "a tab is within a name or value; put a blank there");
}

/* "[title]", and behind it nothing but a comment. */
static int
check_section(struct span line, struct span *out_title, struct failure *f)
{
	struct span title = { line.s + 1, find_comment(line) - 1 };
	const char *end = memchr(title.s, ']', title.len);
	struct span behind;

	if (end == NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "a section is written [NAME], but there is no \"]\"");
	behind.s = end + 1;
	behind.len = (size_t)(title.s + title.len - behind.s);
	if (span_trim(behind).len > 0)
		return failure_set(f, FAILURE_CONFIG,
		    "text stands behind the section; a key goes on a line of "
		    "its own, a comment begins with \";\"");
	title.len = (size_t)(end - title.s);
	title = span_trim(title);
	if (ascii_has_control(title))
		return refuse_tab(f);
	*out_title = title;
	return 0;
}

static int
check_value(struct span value, struct failure *f)
{
	for (size_t i = 0; i + 1 < value.len; i++)
		if (is_blank(value.s[i]) && value.s[i + 1] == '#')
			return failure_set(f, FAILURE_CONFIG,
			    "\"#\" begins a comment only at the start of a "
			    "line; behind a value, write \";\"");
	return ascii_has_control(span_trim(value)) ? refuse_tab(f) : 0;
}

/*
 * "key = value".  The line is not quoted in any message: it may be a secret
 * that strayed here.
 */
static int
check_key(struct span line, struct failure *f)
{
	struct span text = { line.s, find_comment(line) };
	size_t i = 0;

	while (i < text.len && text.s[i] != '=' && text.s[i] != ':')
		i++;
	if (i == text.len)
		return failure_set(f, FAILURE_CONFIG,
		    "this line has no \"=\"; write: key = value");
	if (text.s[i] == ':')
		return failure_set(f, FAILURE_CONFIG,
		    "\":\" stands where \"=\" belongs; write: key = value");
	if (i == 0)
		return failure_set(f, FAILURE_CONFIG,
		    "no key stands before the \"=\"; write: key = value");
	if (ascii_has_control(span_trim((struct span){ text.s, i })))
		return refuse_tab(f);
	return check_value(
	    (struct span){ text.s + i + 1, text.len - i - 1 }, f);
}

/* A line is right; if it is a section's, its title goes to *out_title. */
static int
check_line(struct span line, struct span *out_title, struct failure *f)
{
	struct span text = span_trim(line);

	*out_title = (struct span){ 0 };
	if (check_bytes(line, f) == -1)
		return -1;
	if (text.len == 0 || text.s[0] == ';' || text.s[0] == '#')
		return 0;
	if (is_blank(line.s[0]))
		return failure_set(f, FAILURE_CONFIG,
		    "this line begins with a blank; a value cannot go on in "
		    "the next line, and a key begins at the margin");
	if (line.s[0] == '[')
		return check_section(line, out_title, f);
	return check_key(line, f);
}

static int
report_section(struct feed *feed, struct span line)
{
	struct span title;

	if (check_line(line, &title, feed->f) == -1)
		return failure_at(feed->f, "%s:%d", feed->name, feed->line);
	if (title.s == NULL)
		return 0;
	return feed->events->section(feed->user, feed->line, title, feed->f);
}

/* An ini_reader: the next line in the manner of fgets(), or NULL. */
static char *
give_line(char *out, int size, void *stream)
{
	struct feed *feed = stream;
	struct span line;

	if (feed->has_failed || feed->rest.len == 0)
		return NULL;
	line = take_line(&feed->rest);
	feed->line++;
	feed->has_failed = report_section(feed, line) == -1;
	/* A libinih that was built with smaller buffers than usual? */
	if (!feed->has_failed && line.len + sizeof("\n") > (size_t)size) {
		failure_set(feed->f, FAILURE_CONFIG,
		    "%s:%d: this line is longer than libinih can read",
		    feed->name, feed->line);
		feed->has_failed = true;
	}
	if (feed->has_failed)
		return NULL;
	memcpy(out, line.s, line.len);
	memcpy(out + line.len, "\n", sizeof("\n"));
	return out;
}

/* An ini_handler.  The section is known already, and from the whole line. */
static int
take_key(void *stream, const char *section, const char *key, const char *value)
{
	struct feed *feed = stream;
	int r;

	(void)section;
	if (feed->has_failed)
		return 0;
	if (value[0] == '\0')
		r = failure_set(feed->f, FAILURE_CONFIG,
		    "%s:%d: \"%s\" has no value; remove the line or put "
		    "\";\" before it for the default",
		    feed->name, feed->line, key);
	else
		r = feed->events->key(
		    feed->user, feed->line, key, value, feed->f);
	feed->has_failed = r == -1;
	return r == 0;
}

static int
refuse_size(const char *name, struct failure *f)
{
	return failure_set(f, FAILURE_CONFIG,
	    "%s: this file has more than the limit of %d octets", name,
	    CONFFILE_MAX_BYTES);
}

int
conffile_parse(const char *name, struct span text,
    const struct conffile_events *events, void *user, struct failure *f)
{
	static const char bom[] = "\xef\xbb\xbf";
	struct feed feed = { .name = name, .events = events, .user = user };
	int bad_line;

	if (text.len > CONFFILE_MAX_BYTES)
		return refuse_size(name, f);
	if (text.len >= 3 && memcmp(text.s, bom, 3) == 0) {
		text.s += 3;
		text.len -= 3;
	}
	feed.rest = text;
	feed.f = f;
	bad_line = ini_parse_stream(give_line, &feed, take_key, &feed);
	if (feed.has_failed)
		return -1;
	if (bad_line != 0)
		return failure_set(f, FAILURE_CONFIG,
		    "%s:%d: this line cannot be understood", name, bad_line);
	return 0;
}

int
conffile_read(
    const char *path, struct buf *text, bool *out_is_private, struct failure *f)
{
	struct stat st;
	int r = 0;
	int fd;

	buf_init_secret(text, CONFFILE_MAX_BYTES);
	fd = openfile_read(path,
	    "\"sendmail365 setup\" writes it, and sendmail365.conf(5) begins "
	    "with an example",
	    &st, f);
	if (fd == -1)
		return -1;
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		r = failure_set(f, FAILURE_CONFIG,
		    "%s: others can write to it; run: chmod go-w '%s'", path,
		    path);
	else if (openfile_check_owner(path, &st, f) == -1)
		r = -1;
	else if (file_read(fd, text) == -1)
		r = errno == EFBIG
		    ? refuse_size(path, f)
		    : failure_os(f, FAILURE_CONFIG, errno, "read %s", path);
	*out_is_private = (st.st_mode & S_IROTH) == 0;
	fd_close(&fd);
	return r;
}
