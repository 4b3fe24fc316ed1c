#include "core/ascii.h"

#include "core/buf.h"

bool
ascii_equal_nocase(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

bool
ascii_has_control(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (ascii_is_control(s.s[i]))
			return true;
	return false;
}

bool
ascii_has_8bit(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (ascii_is_8bit(s.s[i]))
			return true;
	return false;
}

/* How many bytes the UTF-8 sequence that begins with c has; 0: none does. */
static size_t
utf8_length(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c < 0xe0)
		return 2;
	if (c >= 0xe0 && c < 0xf0)
		return 3;
	if (c >= 0xf0 && c < 0xf5)
		return 4;
	return 0;
}

/* The second byte decides on overlong forms, surrogates and the upper end. */
static bool
utf8_second_fits(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second < 0xa0;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second < 0x90;
	default:
		return true;
	}
}

bool
utf8_is_valid(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_length(u[i]);
		if (n == 0 || n > len - i)
			return false;
		for (size_t k = 1; k < n; k++)
			if ((u[i + k] & 0xc0) != 0x80)
				return false;
		if (n > 1 && !utf8_second_fits(u[i], u[i + 1]))
			return false;
	}
	return true;
}

int
parse_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (s.len == 0)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit;

		if (!ascii_is_digit(s.s[i]))
			return -1;
		digit = (uint64_t)(s.s[i] - '0');
		if (digit > max || n > (max - digit) / 10)
			return -1;
		n = n * 10 + digit;
	}
	*out = n;
	return 0;
}
