/*
 * buf - bytes that grow up to a maximum, and views of bytes
 *
 * A buf is always followed by a NUL that does not count, never grows past the
 * maximum given at its birth, and, if it is secret, leaves nothing behind in
 * memory when it grows or ends.  Appending may move the data: no pointer into
 * it survives an append.
 */
#ifndef CORE_BUF_H
#define CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

/* A view of len bytes that belong to someone else. */
struct span {
	const char *s;
	size_t len;
};

struct buf {
	char *s; /* never NULL after buf_init() */
	size_t len;
	size_t size; /* allocated; 0 while s is a constant "" */
	size_t max;  /* len never exceeds it */
	bool is_secret;
};

/* Make b empty, without memory; it will hold at most max bytes. */
void buf_init(struct buf *b, size_t max);

/* The same for a secret, which is wiped wherever it leaves memory. */
void buf_init_secret(struct buf *b, size_t max);

/* Make room for len more bytes at once: 0, or -1 if max would be exceeded. */
int buf_reserve(struct buf *b, size_t len);

/* Append len bytes.  As all that append: 0, or -1 with b unchanged if max
 * would be exceeded. */
int buf_add(struct buf *b, const void *data, size_t len);

/* Append a string. */
int buf_puts(struct buf *b, const char *s);

/* Append one byte. */
int buf_putc(struct buf *b, char c);

/* Append what span views; it must not be a part of b. */
int buf_span(struct buf *b, struct span span);

/* Append formatted text. */
int buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Drop the first n bytes, 0 <= n <= len. */
void buf_consume(struct buf *b, size_t n);

/* Cut to len bytes, at most what it has. */
void buf_truncate(struct buf *b, size_t len);

/* Empty it, keep the memory (wiped if secret). */
void buf_reset(struct buf *b);

/* Hand the contents, a string for free(), to the caller; b is empty then. */
char *buf_take(struct buf *b);

/* Release the memory; done twice is fine. */
void buf_done(struct buf *b);

/* A view of a string, valid as long as that is. */
struct span span_of(const char *s);

/* A view of what b holds, valid until b changes. */
struct span buf_view(const struct buf *b);

/* Equal byte for byte. */
bool span_equal(struct span a, struct span b);

/* The same beside a string. */
bool span_is(struct span a, const char *b);

/* Equal to a string but for the case of ASCII letters. */
bool span_is_nocase(struct span a, const char *b);

/* Without the blanks and tabs (and line ends) at either end. */
struct span span_trim(struct span span);

/* Cut the first word off *rest, and the blanks before it; empty at the end. */
struct span span_cut_word(struct span *rest);

/* The blanks at the start of s, and the word behind them. */
struct span span_piece(struct span s);

#endif
