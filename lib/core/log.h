/*
 * log - one line per event, to syslog (facility mail) or stderr
 *
 * Only programs (cmd/) log errors, warnings and information; a library
 * returns a struct failure instead, and at most log_debug()s.  The sink
 * escapes control characters and cuts long lines, so that nobody else has to
 * remember, and keeps errno.  Never a secret, never the body of a message.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct failure;

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

enum log_sink {
	LOG_TO_STDERR,
	LOG_TO_SYSLOG
};

/* The place for log files, which the service's start makes. */
#define LOG_DIRECTORY SENDMAIL365_LOCALSTATEDIR "/log/sendmail365"

/*
 * Where a service's lines are read: standard error in the place of a syslog
 * that nobody listens to, as in most containers.
 */
enum log_sink log_heard(enum log_sink wanted);

/* Program name (borrowed for ever), where to, and up to which level. */
void log_open(const char *ident, enum log_sink to, enum log_level level);

/*
 * Lines of this process, and of those that it forks, go to the end of this file
 * until the next log_open(), each with the time, the process and its level; to
 * syslog those that cannot be written, as when the disk is full.  The file is
 * made if there is none (mode 0640), in a directory that nobody else can write
 * to.  Returns 0; or -1, and the sink stays: FAILURE_CONFIG.
 */
int log_open_file(const char *path, struct failure *f);

/* Would log_open_file() do it?  Nothing is made.  FAILURE_CONFIG. */
int log_check_file(const char *path, struct failure *f);

/* Is this level written at all?  For callers whose text costs something. */
bool log_is_on(enum log_level level);

/* One line for what an administrator must act on. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line for what went wrong and may mend itself. */
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line for what happened to a message. */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line for whoever looks for a fault; the only one for lib/. */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Copy s to out as one printable line: control characters, those that change
 * the direction of writing, and bytes that are not UTF-8 become \xHH, and what
 * does not fit in size bytes ends in "...".
 */
void log_escape(char *out, size_t size, const char *s, size_t len);

#endif
