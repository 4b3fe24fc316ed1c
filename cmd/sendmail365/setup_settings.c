#include "setup_settings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/conffile.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"

/* ---- one value ---- */

struct round_trip {
	const char *key;
	const char *value;
	bool is_same;
};

/* conffile_events */
static int
take_section(void *user, int line, struct span title, struct failure *f)
{
	(void)user;
	(void)line;
	(void)title;
	return failure_set(
	    f, FAILURE_CONFIG, "x:1: a key cannot begin with \"[\"");
}

/* conffile_events */
static int
take_key(
    void *user, int line, const char *key, const char *value, struct failure *f)
{
	struct round_trip *trip = user;

	(void)line;
	(void)f;
	trip->is_same =
	    strcmp(key, trip->key) == 0 && strcmp(value, trip->value) == 0;
	return 0;
}

/* Does the reader of the file get back what stands here? */
static int
check_round_trip(const char *key, const char *value, struct failure *f)
{
	static const struct conffile_events events = { take_section, take_key };
	static const char place[] = "x:1: "; /* in front of each reason */
	struct round_trip trip = { key, value, false };
	struct failure reason;
	char *line;
	int r;

	if (value[0] == '\0')
		return failure_set(f, FAILURE_CONFIG, "the value is empty");
	if (strchr(value, '\n') != NULL || strchr(key, '\n') != NULL)
		return failure_set(
		    f, FAILURE_CONFIG, "there is a line end in it");
	line = xasprintf("%s = %s\n", key, value);
	r = conffile_parse("x", span_of(line), &events, &trip, &reason);
	free(line);
	if (r == -1)
		return failure_set(
		    f, FAILURE_CONFIG, "%s", reason.text + sizeof(place) - 1);
	if (trip.is_same)
		return 0;
	return failure_set(f, FAILURE_CONFIG,
	    "the file could not say it: a \";\" behind a blank begins a "
	    "comment, and blanks at the ends are lost");
}

/* Does the schema take it?  What is parsed is thrown away. */
static int
check_by_schema(
    const struct schema_key *row, const char *value, struct failure *f)
{
	struct value v = { value, 1, "/", false };
	struct config *scratch = xcalloc(1, sizeof(*scratch));
	char *base = (char *)scratch;
	int r;

	scratch->accounts = xcalloc(1, sizeof(*scratch->accounts));
	scratch->account_count = 1;
	if (row->section == SCHEMA_ACCOUNT)
		base = (char *)scratch->accounts;
	r = row->parse(&v, base + row->offset, f);
	config_free(&scratch);
	return r;
}

/* NAME = LIST of [aliases]: an alias may name one that is added later, so
 * that is looked at when all are there. */
static int
check_alias(const char *key, const char *value, struct failure *f)
{
	struct config *scratch = xcalloc(1, sizeof(*scratch));
	struct aliases *aliases = NULL;
	int line;
	int r;

	scratch->path = xstrdup("");
	scratch->aliases = xcalloc(1, sizeof(*scratch->aliases));
	scratch->aliases[0].name = xstrdup(key);
	scratch->aliases[0].list = xstrdup(value);
	scratch->alias_count = 1;
	r = config_own_aliases(scratch, &line, &aliases, f);
	aliases_free(&aliases);
	config_free(&scratch);
	return r;
}

/* ---- names ---- */

/* Cut "SECTION.KEY" in two; *key is a part of name. */
static int
split_name(const char *name, enum schema_section *section, const char **key,
    struct failure *f)
{
	const char *dot = strchr(name, '.');

	if (dot == NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not of the form SECTION.KEY", name);
	*key = dot + 1;
	return schema_find_section(
	    (struct span){ name, (size_t)(dot - name) }, section, f);
}

/* Names of aliases are the same in any case. */
static bool
is_at(
    const struct setting *setting, enum schema_section section, const char *key)
{
	return setting->section == section &&
	    strcasecmp(setting->key, key) == 0;
}

static bool
is_line_at(const struct settings_line *line, enum schema_section section,
    const char *key)
{
	return line->section == section && line->key != NULL &&
	    strcasecmp(line->key, key) == 0;
}

const struct setting *
settings_next(const struct settings *s, enum schema_section section,
    const char *key, const struct setting *before)
{
	size_t i = before != NULL ? (size_t)(before - s->items) + 1 : 0;

	for (; i < s->count; i++)
		if (is_at(&s->items[i], section, key))
			return &s->items[i];
	return NULL;
}

const struct settings_line *
settings_line(
    const struct settings *s, enum schema_section section, const char *key)
{
	for (size_t i = 0; i < s->line_count; i++)
		if (is_line_at(&s->lines[i], section, key))
			return &s->lines[i];
	return NULL;
}

static int
check(const struct settings *s, enum schema_section section, const char *key,
    const char *value, struct failure *f)
{
	const struct schema_key *row;

	if (section == SCHEMA_ALIASES && !schema_has_key(section, key))
		return settings_next(s, section, key, NULL) != NULL
		    ? failure_set(f, FAILURE_CONFIG, "it is given twice")
		    : check_alias(key, value, f);
	row = schema_find_key(section, key, f);
	if (row == NULL)
		return -1;
	if (row->times == SCHEMA_ONCE &&
	    settings_next(s, section, key, NULL) != NULL)
		return failure_set(f, FAILURE_CONFIG, "it is given twice");
	return check_by_schema(row, value, f);
}

int
settings_add(
    struct settings *s, const char *name, const char *value, struct failure *f)
{
	enum schema_section section = SCHEMA_ACCOUNT;
	const char *key = "";

	if (split_name(name, &section, &key, f) == -1 ||
	    check_round_trip(key, value, f) == -1 ||
	    check(s, section, key, value, f) == -1)
		return -1;
	s->items = xgrow(s->items, s->count, sizeof(*s->items));
	s->items[s->count++] = (struct setting){
		.section = section,
		.key = xstrdup(key),
		.value = xstrdup(value),
	};
	return 0;
}

/* Does "SECTION.KEY" mean this key? */
static bool
is_named(enum schema_section section, const char *key, const char *name)
{
	const char *title = schema_section_name(section);
	size_t len = strlen(title);

	return strncmp(name, title, len) == 0 && name[len] == '.' &&
	    strcasecmp(name + len + 1, key) == 0;
}

const char *
settings_given(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (is_named(s->items[i].section, s->items[i].key, name))
			return s->items[i].value;
	return NULL;
}

static bool
is_line_named(const struct settings_line *line, const char *name)
{
	return line->key != NULL && is_named(line->section, line->key, name);
}

/* The first line that is there of "SECTION.KEY", dropped or not, or NULL. */
static const struct settings_line *
find_line(const struct settings *s, const char *name)
{
	for (size_t i = 0; i < s->line_count; i++)
		if (is_line_named(&s->lines[i], name))
			return &s->lines[i];
	return NULL;
}

const char *
settings_old(const struct settings *s, const char *name)
{
	const struct settings_line *line = find_line(s, name);

	return line != NULL ? line->value : NULL;
}

const char *
settings_get(const struct settings *s, const char *name)
{
	const char *given = settings_given(s, name);
	const struct settings_line *line = find_line(s, name);

	if (given != NULL)
		return given;
	return line != NULL && !line->is_dropped ? line->value : NULL;
}

void
settings_drop(struct settings *s, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (!is_named(s->items[i].section, s->items[i].key, name)) {
			s->items[kept++] = s->items[i];
			continue;
		}
		free(s->items[i].key);
		free(s->items[i].value);
	}
	s->count = kept;
	for (size_t i = 0; i < s->line_count; i++)
		if (is_line_named(&s->lines[i], name))
			s->lines[i].is_dropped = true;
}

void
settings_init(struct settings *s)
{
	*s = (struct settings){ NULL };
	buf_init_secret(&s->old, CONFFILE_MAX_BYTES);
}

/* There may be the password of a proxy in what is there. */
static void
free_line(struct settings_line *line)
{
	if (line->value != NULL)
		explicit_bzero(line->value, strlen(line->value));
	free(line->key);
	free(line->value);
}

void
settings_done(struct settings *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->items[i].key);
		free(s->items[i].value);
	}
	for (size_t i = 0; i < s->line_count; i++)
		free_line(&s->lines[i]);
	free(s->items);
	free(s->lines);
	buf_done(&s->old);
	*s = (struct settings){ NULL };
}
