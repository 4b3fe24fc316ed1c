/*
 * setup_settings - what a new configuration is to say, on its way to a file
 *
 * Each value is checked when it is added, by what reads it later: the reader
 * of the file must get back what was given, and the schema must take it.
 */
#ifndef SENDMAIL365_SETUP_SETTINGS_H
#define SENDMAIL365_SETUP_SETTINGS_H

#include <stddef.h>

#include "config/schema.h"

struct buf;
struct failure;

struct setting {
	enum schema_section section;
	char *key;
	char *value;
};

struct settings {
	struct setting *items;
	size_t count;
};

/*
 * Add a setting by its name, "SECTION.KEY".  FAILURE_CONFIG: there is no such
 * key, it has a value already, or the value is wrong.
 */
int settings_add(
    struct settings *s, const char *name, const char *value, struct failure *f);

/* The value of "SECTION.KEY", or NULL; valid until settings_done(). */
const char *settings_get(const struct settings *s, const char *name);

/* Take "SECTION.KEY" out again, if it is there. */
void settings_drop(struct settings *s, const char *name);

/* Append them as a file: sections and keys in the order of the manual. */
int settings_write(const struct settings *s, struct buf *out);

/* Release all of them; done twice is fine. */
void settings_done(struct settings *s);

#endif
