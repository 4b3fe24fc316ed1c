#include "core/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"

enum {
	FIRST_SIZE = 128
};

static char empty[1];

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .s = empty, .max = max };
}

void
buf_init_secret(struct buf *b, size_t max)
{
	buf_init(b, max);
	b->is_secret = true;
}

/* Give b room for size bytes; a secret is moved by hand and wiped behind. */
static void
set_size(struct buf *b, size_t size)
{
	char *s;

	if (b->size == 0) {
		s = xmalloc(size);
		s[0] = '\0';
	} else if (b->is_secret) {
		s = xmalloc(size);
		memcpy(s, b->s, b->len + 1);
		explicit_bzero(b->s, b->size);
		free(b->s);
	} else {
		s = xreallocarray(b->s, 1, size);
	}
	b->s = s;
	b->size = size;
}

/* Make room for n more bytes and the NUL; -1 if max forbids it. */
int
buf_reserve(struct buf *b, size_t len)
{
	size_t size = b->size > 0 ? b->size : FIRST_SIZE;

	assert(b->len <= b->max);
	if (len > b->max - b->len)
		return -1;
	while (size - 1 < b->len + len)
		size *= 2;
	if (size != b->size)
		set_size(b, size);
	return 0;
}

int
buf_add(struct buf *b, const void *data, size_t len)
{
	if (buf_reserve(b, len) == -1)
		return -1;
	if (len > 0)
		memcpy(b->s + b->len, data, len);
	b->len += len;
	b->s[b->len] = '\0';
	return 0;
}

int
buf_puts(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_putc(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_span(struct buf *b, struct span span)
{
	return buf_add(b, span.s, span.len);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || buf_reserve(b, (size_t)n) == -1)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(b->s + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return 0;
}

void
buf_truncate(struct buf *b, size_t len)
{
	assert(len <= b->len);
	if (b->size == 0)
		return;
	if (b->is_secret)
		explicit_bzero(b->s + len, b->len - len);
	b->len = len;
	b->s[len] = '\0';
}

void
buf_consume(struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (n > 0 && n < b->len)
		memmove(b->s, b->s + n, b->len - n);
	buf_truncate(b, b->len - n);
}

void
buf_reset(struct buf *b)
{
	buf_truncate(b, 0);
}

char *
buf_take(struct buf *b)
{
	char *s = b->size > 0 ? b->s : xstrdup("");

	b->s = empty;
	b->len = b->size = 0;
	return s;
}

void
buf_done(struct buf *b)
{
	if (b->size > 0) {
		if (b->is_secret)
			explicit_bzero(b->s, b->size);
		free(b->s);
	}
	b->s = empty;
	b->len = b->size = 0;
}

struct span
span_of(const char *s)
{
	return (struct span){ s, strlen(s) };
}

struct span
buf_view(const struct buf *b)
{
	return (struct span){ b->s, b->len };
}

bool
span_equal(struct span a, struct span b)
{
	return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

bool
span_is(struct span a, const char *b)
{
	return span_equal(a, span_of(b));
}

bool
span_is_nocase(struct span a, const char *b)
{
	return a.len == strlen(b) && ascii_equal_nocase(a.s, b, a.len);
}

struct span
span_trim(struct span span)
{
	while (span.len > 0 && ascii_is_space(span.s[0])) {
		span.s++;
		span.len--;
	}
	while (span.len > 0 && ascii_is_space(span.s[span.len - 1]))
		span.len--;
	return span;
}

struct span
span_piece(struct span s)
{
	size_t i = 0;

	while (i < s.len && ascii_is_blank(s.s[i]))
		i++;
	while (i < s.len && !ascii_is_blank(s.s[i]))
		i++;
	return (struct span){ s.s, i };
}

struct span
span_cut_word(struct span *rest)
{
	struct span piece = span_piece(*rest);

	rest->s += piece.len;
	rest->len -= piece.len;
	return span_trim(piece);
}
