/*
 * ascii - characters and numbers without a locale
 *
 * Message and network bytes are never given to <ctype.h>: it depends on the
 * locale and on the sign of char.  What looks at one character is inline:
 * parsers ask it of every one of theirs.
 */
#ifndef CORE_ASCII_H
#define CORE_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span;

/* 0 to 9. */
static inline bool
ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A to Z and a to z. */
static inline bool
ascii_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A letter or a digit. */
static inline bool
ascii_is_alnum(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* Blank or tab: WSP of RFC 5234. */
static inline bool
ascii_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Blank, tab, CR or LF. */
static inline bool
ascii_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Below 0x20, or 0x7f: must not reach a command, a log or a terminal. */
static inline bool
ascii_is_control(char c)
{
	return (c >= 0 && c < ' ') || c == 0x7f;
}

/* Outside US-ASCII. */
static inline bool
ascii_is_8bit(char c)
{
	return ((unsigned char)c & 0x80) != 0;
}

/* The small form of A to Z; others stay. */
static inline char
ascii_lower(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c;
}

/* Compare len bytes without regard to the case of ASCII letters. */
bool ascii_equal_nocase(const char *a, const char *b, size_t len);

/* A control character (ascii_is_control) is somewhere in s. */
bool ascii_has_control(struct span s);

/* An octet above 127 is somewhere in s. */
bool ascii_has_8bit(struct span s);

/* Well-formed UTF-8 (RFC 3629), US-ASCII included. */
bool utf8_is_valid(const char *s, size_t len);

/*
 * A decimal number, the whole of s, at most max.  Returns 0, or -1 with *out
 * untouched.
 */
int parse_u64(struct span s, uint64_t max, uint64_t *out)
    __attribute__((warn_unused_result));

#endif
