#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "core/ascii.h"

enum {
	LINE_SIZE = 2000, /* what is formatted */
	SHOWN_SIZE = 1004 /* what is written */
};

/* The one process-wide setting: where log lines of this process go. */
static struct {
	const char *ident;
	enum log_sink sink;
	enum log_level level;
} sink = { "sendmail365", LOG_TO_STDERR, LOG_LEVEL_WARNING };

static const int priorities[] = {
	[LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_WARNING] = LOG_WARNING,
	[LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

void
log_open(const char *ident, enum log_sink to, enum log_level level)
{
	sink.ident = ident;
	sink.sink = to;
	sink.level = level;
	if (to == LOG_TO_SYSLOG)
		openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
}

bool
log_is_on(enum log_level level)
{
	return level <= sink.level;
}

/*
 * A character of n bytes, other than those of ASCII, that does not show itself
 * but does something: C1 controls, U+0080 to U+009F, move terminals; line
 * separators and changes of direction, U+2028 to U+202E and U+2066 to U+2069,
 * let a line read as something else than it is.
 */
static bool
is_command(const char *s, size_t n)
{
	unsigned char last = (unsigned char)s[n - 1];

	if (n == 2)
		return (unsigned char)s[0] == 0xc2 && last < 0xa0;
	return n == 3 &&
	    ((memcmp(s, "\xe2\x80", 2) == 0 && last >= 0xa8 && last <= 0xae) ||
		(memcmp(s, "\xe2\x81", 2) == 0 && last >= 0xa6 &&
		    last <= 0xa9));
}

/* How many bytes at s can be shown as they are: 0 if the first cannot. */
static size_t
printable_length(const char *s, size_t len)
{
	if (!ascii_is_8bit(*s))
		return ascii_is_control(*s) ? 0 : 1;
	for (size_t n = 2; n <= 4 && n <= len; n++)
		if (utf8_is_valid(s, n))
			return is_command(s, n) ? 0 : n;
	return 0;
}

void
log_escape(char *out, size_t size, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t used = 0;

	for (size_t i = 0, n; i < len; i += n) {
		char piece[5] = { '\\', 'x', hex[((unsigned char)s[i]) >> 4],
			hex[s[i] & 15], '\0' };
		const char *from = piece;
		size_t piece_len = 4;

		n = printable_length(s + i, len - i);
		if (n > 0) {
			from = s + i;
			piece_len = n;
		} else {
			n = 1;
		}
		if (used + piece_len + 4 > size) {
			memcpy(out + used, "...", 3);
			used += 3;
			break;
		}
		memcpy(out + used, from, piece_len);
		used += piece_len;
	}
	out[used] = '\0';
}

static void write_line(enum log_level level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
write_line(enum log_level level, const char *fmt, va_list ap)
{
	char line[LINE_SIZE];
	char shown[SHOWN_SIZE];
	int saved = errno;

	if (!log_is_on(level))
		return;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	log_escape(shown, sizeof(shown), line, strlen(line));
	if (sink.sink == LOG_TO_SYSLOG)
		syslog(priorities[level], "%s", shown);
	else
		(void)fprintf(stderr, "%s: %s\n", sink.ident, shown);
	errno = saved;
}

void
log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
}

void
log_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_WARNING, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_INFO, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(LOG_LEVEL_DEBUG, fmt, ap);
	va_end(ap);
}
