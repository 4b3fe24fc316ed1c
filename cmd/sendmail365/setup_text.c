#include "setup_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "config/conffile.h"
#include "config/config.h"
#include "config/schema.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "setup_settings.h"

/* What a person would have written above a line. */
static const struct {
	enum schema_section section;
	const char *key;
	const char *text;
} comments[] = {
	{ SCHEMA_ACCOUNT, "user",
	    "# The mailbox that signs in: the sender of all mail.\n" },
	{ SCHEMA_REWRITE, "domain", "# Added to names without a domain.\n" },
	{ SCHEMA_ALIASES, "root",
	    "# Who gets the mail of root, such as cron's.\n" },
	{ SCHEMA_ALIASES, "default",
	    "# Who gets the mail of all other names.\n" },
	{ SCHEMA_DIRECT_SEND, "enabled",
	    "# When submission fails, our own recipients are reached through "
	    "the MX.\n" },
};

static const char heading[] =
    "# Written by \"sendmail365 setup\"; see sendmail365.conf(5).\n"
    "# After a change, run: sendmail365 check\n";

/* ---- what is there ---- */

struct take_over {
	struct settings *settings;
	int account_line; /* where the account begins */
	enum schema_section section;
};

/* conffile_events.  Nothing is wrong in this file. */
static int
note_section(void *user, int line, struct span title, struct failure *f)
{
	struct take_over *t = user;

	if (schema_find_section(span_cut_word(&title), &t->section, f) == -1 ||
	    (t->section == SCHEMA_ACCOUNT && line != t->account_line))
		t->section = SCHEMA_SECTIONS;
	t->settings->lines[line - 1].section = t->section;
	return 0;
}

/* conffile_events */
static int
note_key(
    void *user, int line, const char *key, const char *value, struct failure *f)
{
	struct take_over *t = user;

	(void)f;
	if (t->section != SCHEMA_SECTIONS)
		t->settings->lines[line - 1] = (struct settings_line){
			.section = t->section,
			.key = xstrdup(key),
			.value = xstrdup(value),
		};
	return 0;
}

const struct account *
text_account(const struct config *config)
{
	for (size_t i = 0; i < config->account_count; i++)
		if (config->accounts[i].name[0] == '\0')
			return &config->accounts[i];
	return &config->accounts[0];
}

/* The first line of rest, which is cut off, with its end. */
static struct span
cut_line(struct span *rest)
{
	const char *end = memchr(rest->s, '\n', rest->len);
	struct span line = *rest;

	if (end != NULL)
		line.len = (size_t)(end + 1 - rest->s);
	rest->s += line.len;
	rest->len -= line.len;
	return line;
}

void
text_take_over(
    struct settings *s, const struct config *config, struct span text)
{
	static const struct conffile_events events = { note_section, note_key };
	struct take_over t = { s, text_account(config)->line, SCHEMA_SECTIONS };
	struct span rest = text;
	struct failure f;

	(void)buf_span(&s->old, text);
	while (rest.len > 0) {
		(void)cut_line(&rest);
		s->lines = xgrow(s->lines, s->line_count, sizeof(*s->lines));
		s->lines[s->line_count++] =
		    (struct settings_line){ .section = SCHEMA_SECTIONS };
	}
	(void)conffile_parse(config->path, text, &events, &t, &f);
}

/* ---- what is new ---- */

static const char *
comment_on(enum schema_section section, const char *key)
{
	for (size_t i = 0; i < sizeof(comments) / sizeof(comments[0]); i++)
		if (comments[i].section == section &&
		    strcasecmp(comments[i].key, key) == 0)
			return comments[i].text;
	return "";
}

/* All that was added for a key. */
static int
write_key(const struct settings *s, enum schema_section section,
    const char *key, struct buf *out)
{
	const struct setting *item = NULL;
	int r = 0;

	while ((item = settings_next(s, section, key, item)) != NULL)
		r |= buf_printf(out, "%s = %s\n", item->key, item->value);
	return r;
}

/* The same, where no line that is there has its place. */
static int
write_new_key(const struct settings *s, enum schema_section section,
    const char *key, struct buf *out)
{
	if (settings_line(s, section, key) != NULL ||
	    settings_next(s, section, key, NULL) == NULL)
		return 0;
	if (buf_puts(out, comment_on(section, key)) == -1)
		return -1;
	return write_key(s, section, key, out);
}

static int
write_new_keys(
    const struct settings *s, enum schema_section section, struct buf *out)
{
	size_t count;
	const struct schema_key *rows = schema_keys(&count);
	int r = 0;

	for (size_t i = 0; i < count; i++)
		if (rows[i].section == section)
			r |= write_new_key(s, section, rows[i].name, out);
	/* Names of aliases, each of which is there once. */
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].section == section &&
		    !schema_has_key(section, s->items[i].key))
			r |= write_new_key(s, section, s->items[i].key, out);
	return r;
}

static int
write_new_section(
    const struct settings *s, enum schema_section section, struct buf *out)
{
	size_t here = 0;

	for (size_t i = 0; i < s->count; i++)
		here += s->items[i].section == section;
	for (size_t i = 0; i < s->line_count; i++)
		if (s->lines[i].section == section)
			return 0;
	if (here == 0)
		return 0;
	return buf_printf(out, "\n[%s]\n", schema_section_name(section)) |
	    write_new_keys(s, section, out);
}

/* ---- what was there ---- */

/* Nothing else than what the line says was added for its key. */
static bool
is_as_it_was(const struct settings *s, const struct settings_line *line)
{
	const struct setting *first =
	    settings_next(s, line->section, line->key, NULL);

	if (first == NULL)
		return !line->is_dropped;
	return strcmp(first->value, line->value) == 0 &&
	    settings_next(s, line->section, line->key, first) == NULL &&
	    settings_line(s, line->section, line->key) == line;
}

/* A comment of ours on a key that goes. */
static bool
is_orphan(const struct settings *s, size_t i, struct span text)
{
	const struct settings_line *next = &s->lines[i + 1];

	return i + 1 < s->line_count && next->key != NULL && next->is_dropped &&
	    settings_next(s, next->section, next->key, NULL) == NULL &&
	    span_is(text, comment_on(next->section, next->key));
}

/* A line of the old file, or what takes its place. */
static int
write_line(
    const struct settings *s, size_t i, struct span text, struct buf *out)
{
	const struct settings_line *line = &s->lines[i];
	bool has_end = text.s[text.len - 1] == '\n';

	if (line->key == NULL ? !is_orphan(s, i, text) : is_as_it_was(s, line))
		return buf_span(out, text) |
		    (has_end ? 0 : buf_putc(out, '\n'));
	if (line->key == NULL ||
	    settings_line(s, line->section, line->key) != line)
		return 0;
	return write_key(s, line->section, line->key, out);
}

int
text_write(const struct settings *s, struct buf *out)
{
	struct span rest = buf_view(&s->old);
	size_t last[SCHEMA_SECTIONS + 1] = { 0 }; /* that counts */
	int r = s->line_count == 0 ? buf_puts(out, heading) : 0;

	for (size_t i = 0; i < s->line_count; i++)
		last[s->lines[i].section] = i;
	for (size_t i = 0; i < s->line_count; i++) {
		enum schema_section section = s->lines[i].section;

		r |= write_line(s, i, cut_line(&rest), out);
		if (section != SCHEMA_SECTIONS && i == last[section])
			r |= write_new_keys(s, section, out);
	}
	for (size_t i = 0; i < SCHEMA_SECTIONS; i++)
		r |= write_new_section(s, (enum schema_section)i, out);
	return r == 0 ? 0 : -1;
}
