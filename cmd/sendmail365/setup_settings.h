/*
 * setup_settings - what a configuration is to say, on its way to a file
 *
 * Each value is checked when it is added, by what reads it later: the reader
 * of the file must get back what was given, and the schema must take it.
 */
#ifndef SENDMAIL365_SETUP_SETTINGS_H
#define SENDMAIL365_SETUP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "config/schema.h"
#include "core/buf.h"

struct config;
struct failure;

struct setting {
	enum schema_section section;
	char *key;
	char *value;
};

/* A line of the configuration that is there. */
struct settings_line {
	enum schema_section section; /* SCHEMA_SECTIONS: nothing of ours */
	char *key;                   /* NULL: the head of the section */
	char *value;
	bool is_dropped;
};

struct settings {
	struct setting *items; /* what is given */
	size_t count;
	struct buf old; /* the configuration that is there */
	struct settings_line *lines;
	size_t line_count; /* 0: there is none */
};

/* Make s empty. */
void settings_init(struct settings *s);

/*
 * Add a setting by its name, "SECTION.KEY".  FAILURE_CONFIG: there is no such
 * key, it has a value already, or the value is wrong.
 */
int settings_add(
    struct settings *s, const char *name, const char *value, struct failure *f);

/* The value of "SECTION.KEY" that was added, or NULL.  As the next two: valid
 * until the settings change. */
const char *settings_given(const struct settings *s, const char *name);

/* The one that is there, whatever was added or dropped; or NULL. */
const char *settings_old(const struct settings *s, const char *name);

/* The one that will hold: that was added, or is there; or NULL. */
const char *settings_get(const struct settings *s, const char *name);

/* Take "SECTION.KEY" out, wherever it is. */
void settings_drop(struct settings *s, const char *name);

/* Those of one key that were added, in their order: the next one behind
 * before, or the first (NULL).  NULL: there are no more. */
const struct setting *settings_next(const struct settings *s,
    enum schema_section section, const char *key, const struct setting *before);

/* The first line that is there of one key, or NULL. */
const struct settings_line *settings_line(
    const struct settings *s, enum schema_section section, const char *key);

/* Release all of them; done twice is fine. */
void settings_done(struct settings *s);

#endif
