/*
 * safejson - JSON that holds secrets
 *
 * Jansson keeps copies of what it reads, and frees them as they are.  Here
 * its memory is wiped when it is given back.  Jansson has one allocator for
 * the whole process, so every value in this program begins with a function of
 * this module, which sets it.
 */
#ifndef OAUTH_SAFEJSON_H
#define OAUTH_SAFEJSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"

/*
 * Parse one JSON object (RFC 8259); a key that comes twice is an error.  The
 * result is the caller's to json_decref(), or NULL if text is anything else.
 */
json_t *safejson_parse(struct span text);

/* An empty object, the caller's to json_decref(). */
json_t *safejson_object(void);

/* The string at key, valid as long as object; false: no string is there. */
bool safejson_text(const json_t *object, const char *key, struct span *out);

/*
 * The number at key, 0 to max, or the same as a string of digits; false with
 * *out untouched: there is none, or it is out of range.
 */
bool safejson_number(
    const json_t *object, const char *key, int64_t max, int64_t *out);

/* Append the object to *out, in one line.  Returns 0, or -1 if it does not
 * fit; *out may then hold a part. */
int safejson_write(const json_t *object, struct buf *out);

#endif
