/*
 * encode - text that must travel as ASCII: RFC 2047 words, quoted-printable
 */
#ifndef MAIL_ENCODE_H
#define MAIL_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/* "=?charset?Q?text?=" or the B form, all of s and nothing else. */
bool encoded_word_is(struct span s);

/*
 * Append text as encoded words of at most 75 characters (RFC 2047 2), blanks
 * between them, UTF-8 never cut within a character; charset utf-8 where it is
 * valid UTF-8, unknown-8bit otherwise (RFC 1428).  -1 if b is full.
 */
int encoded_words_write(struct buf *b, struct span text);

/*
 * Append an unstructured value (Subject): words of plain ASCII stay, a run of
 * words with 8-bit characters becomes encoded words.
 */
int encode_unstructured(struct buf *b, struct span value);

/* Quoted-printable (RFC 2045 6.7) for a stream of clean CRLF lines. */
struct qp {
	size_t column;
	bool has_cr; /* a CR was seen and not yet written */
	char blank;  /* a blank or tab not yet written, or NUL */
};

/* Prepare for the start of a text. */
void qp_init(struct qp *qp);

/* Append the encoded form; out must have room for 4 times the data plus 16.
 * -1 if it has not. */
int qp_write(struct qp *qp, struct span data, struct buf *out);

/* The text has ended: append what was held back, at most 10 octets. */
int qp_finish(struct qp *qp, struct buf *out);

#endif
