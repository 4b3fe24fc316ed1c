/*
 * schema - every section and key that a configuration file can have
 *
 * One table drives the parser; the manual page and the sample file are
 * checked against it by packaging/lint.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "config/values.h"

struct failure;

enum schema_section {
	SCHEMA_ACCOUNT,
	SCHEMA_REWRITE,
	SCHEMA_ALIASES, /* its other keys are names of aliases */
	SCHEMA_ROUTE,
	SCHEMA_DIRECT_SEND,
	SCHEMA_QUEUE,
	SCHEMA_SERVICE,
	SCHEMA_LOG,
	SCHEMA_SECTIONS /* how many there are */
};

enum schema_times {
	SCHEMA_ONCE,
	SCHEMA_REPEATABLE
};

enum {
	SCHEMA_KEYS_MAX = 64
};

struct schema_key {
	enum schema_section section;
	enum schema_times times; /* that it may be set in one section */
	const char *name;
	int (*parse)(const struct value *v, void *field, struct failure *f);
	/* of the field in struct account for SCHEMA_ACCOUNT, else in struct
	 * config */
	size_t offset;
};

/* The table, in the order of the manual. */
const struct schema_key *schema_keys(size_t *out_count);

/* Find a section by its name: 0, or -1 with FAILURE_CONFIG. */
int schema_find_section(
    struct span name, enum schema_section *out, struct failure *f);

/* "account" */
const char *schema_section_name(enum schema_section section);

/* Is there such a key in this section? */
bool schema_has_key(enum schema_section section, const char *name);

/* The row of a key, or NULL with FAILURE_CONFIG and a suggestion. */
const struct schema_key *schema_find_key(
    enum schema_section section, const char *name, struct failure *f);

#endif
