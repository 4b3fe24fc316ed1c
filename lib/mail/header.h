/*
 * header - the fields of a message, as they stand (RFC 5322 2.2)
 *
 * Fields are kept as raw text, so what nobody edits goes out byte for byte.
 * Lines end in CRLF here: what reads a message cleans them first (lines.h).
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

struct failure;

enum {
	HEADER_MAX_BYTES = 1024 * 1024, /* the whole header */
	/* A longer start of a line without a colon is text, not a field: no
	 * line is longer (RFC 5322 2.1.1). */
	HEADER_NAME_MAX = 998
};

struct field {
	char *text; /* "Name: value", folds included, without the last CRLF */
	size_t len;
	size_t name_len; /* without blanks before the colon */
};

struct header {
	struct field *fields;
	size_t count;
};

/* Release all fields; the header is empty then. */
void header_done(struct header *h);

/* The name as it was written; a view into the field. */
struct span field_name(const struct field *field);

/* Has the field this name?  Case does not matter. */
bool field_is(const struct field *field, const char *name);

/* What follows the colon, folds included, blanks at both ends left out; a
 * view into the field. */
struct span field_value(const struct field *field);

/* Append the value unfolded (RFC 5322 2.2.3) and trimmed; -1 if b is full. */
int field_unfold(const struct field *field, struct buf *b);

/* Index of the first field of that name at or after from; count if none. */
size_t header_find(const struct header *h, const char *name, size_t from);

/* There is a field of that name. */
bool header_has(const struct header *h, const char *name);

/* Append a field; value must be folded where it is long.  Copies both. */
void header_add(struct header *h, const char *name, const char *value);

/* Remove field i; later ones move up. */
void header_remove(struct header *h, size_t i);

/* Remove every field that has one of these names, in one pass. */
void header_remove_named(
    struct header *h, const char *const *names, size_t count);

/* Append all fields, each with its CRLF, without the empty line. */
int header_write(const struct header *h, struct buf *b);

/*
 * Append value to b folded so that lines keep to 78 characters where blanks
 * (after commas first) allow it; used is what the first line already has.
 */
int header_fold(struct buf *b, struct span value, size_t used);

/* ---- reading: from a stream of clean lines to a header ---- */

struct header_reader {
	struct header header;
	struct buf field; /* one that the next line may continue */
	struct buf line;  /* a line that is not complete yet */
	size_t bytes;     /* of all lines so far */
	bool is_done;     /* body comes next */
	struct buf spill; /* the first bytes of the body, where a line that is
	                     no field ended the header */
};

/* Prepare to read a header from its beginning. */
void header_reader_init(struct header_reader *r);

/* Release it with all that it has read; done twice is fine. */
void header_reader_done(struct header_reader *r);

/*
 * Take clean bytes (CRLF only).  The header ends with an empty line, which is
 * not part of anything, or before the first line that is neither a field nor
 * a continuation: that line, or what has come of it, is then in r->spill and
 * belongs to the body.  "From " and ">From " lines of an mbox before the first
 * field are dropped; blanks before a field's colon too.
 * Returns how many bytes were taken; r->is_done says whether the rest is
 * body.  -1: FAILURE_DATA, the header exceeds HEADER_MAX_BYTES.
 */
long header_reader_feed(
    struct header_reader *r, struct span data, struct failure *f);

/* The message ends within the header: what is there is all there is. */
void header_reader_finish(struct header_reader *r);

#endif
