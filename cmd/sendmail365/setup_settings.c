#include "setup_settings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/conffile.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"

/* What a person would have written above a line. */
static const struct {
	const char *name;
	const char *text;
} comments[] = {
	{ "account.user",
	    "The mailbox that signs in: the sender of all mail." },
	{ "rewrite.domain", "Added to names without a domain." },
	{ "aliases.root", "Who gets the mail of root, such as cron's." },
	{ "aliases.default", "Who gets the mail of all other names." },
	{ "direct_send.enabled",
	    "When submission fails, our own recipients are reached through the "
	    "MX." },
};

static const char heading[] =
    "# Written by \"sendmail365 setup\"; see sendmail365.conf(5).\n"
    "# After a change, run: sendmail365 check\n";

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

static bool
is_at(
    const struct setting *setting, enum schema_section section, const char *key)
{
	return setting->section == section && strcmp(setting->key, key) == 0;
}

static struct setting *
find(const struct settings *s, enum schema_section section, const char *key)
{
	for (size_t i = 0; i < s->count; i++)
		if (is_at(&s->items[i], section, key))
			return &s->items[i];
	return NULL;
}

static int
check(const struct settings *s, enum schema_section section, const char *key,
    const char *value, struct failure *f)
{
	const struct schema_key *row;

	if (section == SCHEMA_ALIASES && !schema_has_key(section, key))
		return find(s, section, key) != NULL
		    ? failure_set(f, FAILURE_CONFIG, "it is given twice")
		    : check_alias(key, value, f);
	row = schema_find_key(section, key, f);
	if (row == NULL)
		return -1;
	if (row->times == SCHEMA_ONCE && find(s, section, key) != NULL)
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

static struct setting *
find_name(const struct settings *s, const char *name)
{
	enum schema_section section = SCHEMA_ACCOUNT;
	struct failure f;
	const char *key = "";

	if (split_name(name, &section, &key, &f) == -1)
		return NULL;
	return find(s, section, key);
}

const char *
settings_get(const struct settings *s, const char *name)
{
	const struct setting *setting = find_name(s, name);

	return setting != NULL ? setting->value : NULL;
}

void
settings_drop(struct settings *s, const char *name)
{
	struct setting *setting = find_name(s, name);
	size_t behind;

	if (setting == NULL)
		return;
	free(setting->key);
	free(setting->value);
	s->count--;
	behind = s->count - (size_t)(setting - s->items);
	memmove(setting, setting + 1, behind * sizeof(*setting));
}

/* ---- the file ---- */

static int
write_setting(const struct setting *setting, struct buf *out)
{
	char *name = xasprintf(
	    "%s.%s", schema_section_name(setting->section), setting->key);
	int r = 0;

	for (size_t i = 0; i < sizeof(comments) / sizeof(comments[0]); i++)
		if (strcmp(comments[i].name, name) == 0)
			r |= buf_printf(out, "# %s\n", comments[i].text);
	r |= buf_printf(out, "%s = %s\n", setting->key, setting->value);
	free(name);
	return r;
}

/* The lines of one key of the schema, in the order in which they came. */
static int
write_key(
    const struct settings *s, const struct schema_key *row, struct buf *out)
{
	int r = 0;

	for (size_t i = 0; i < s->count; i++)
		if (is_at(&s->items[i], row->section, row->name))
			r |= write_setting(&s->items[i], out);
	return r;
}

static int
write_section(
    const struct settings *s, enum schema_section section, struct buf *out)
{
	size_t count;
	const struct schema_key *rows = schema_keys(&count);
	size_t here = 0;
	int r = 0;

	for (size_t i = 0; i < s->count; i++)
		here += s->items[i].section == section;
	if (here == 0)
		return 0;
	r |= buf_printf(out, "\n[%s]\n", schema_section_name(section));
	for (size_t i = 0; i < count; i++)
		if (rows[i].section == section)
			r |= write_key(s, &rows[i], out);
	for (size_t i = 0; i < s->count; i++)
		if (s->items[i].section == section &&
		    !schema_has_key(section, s->items[i].key))
			r |= write_setting(&s->items[i], out);
	return r;
}

int
settings_write(const struct settings *s, struct buf *out)
{
	int r = buf_puts(out, heading);

	for (size_t i = 0; i < SCHEMA_SECTIONS; i++)
		r |= write_section(s, (enum schema_section)i, out);
	return r == 0 ? 0 : -1;
}

void
settings_done(struct settings *s)
{
	for (size_t i = 0; i < s->count; i++) {
		free(s->items[i].key);
		free(s->items[i].value);
	}
	free(s->items);
	*s = (struct settings){ NULL };
}
