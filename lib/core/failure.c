#include "core/failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "core/sysexit.h"

static void set_text(struct failure *f, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
set_text(struct failure *f, const char *fmt, va_list ap)
{
	/* A text that does not fit is cut short: that is the contract. */
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
}

int
failure_set(struct failure *f, enum failure_kind kind, const char *fmt, ...)
{
	va_list ap;

	memset(f, 0, sizeof(*f));
	f->kind = kind;
	va_start(ap, fmt);
	set_text(f, fmt, ap);
	va_end(ap);
	return -1;
}

int
failure_os(struct failure *f, enum failure_kind kind, int os_error,
    const char *fmt, ...)
{
	va_list ap;
	size_t used;

	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->os_error = os_error;
	va_start(ap, fmt);
	set_text(f, fmt, ap);
	va_end(ap);
	used = strlen(f->text);
	(void)snprintf(
	    f->text + used, sizeof(f->text) - used, ": %s", strerror(os_error));
	return -1;
}

int
failure_at(struct failure *f, const char *fmt, ...)
{
	char old[FAILURE_TEXT_SIZE];
	va_list ap;
	size_t used;

	memcpy(old, f->text, sizeof(old));
	va_start(ap, fmt);
	set_text(f, fmt, ap);
	va_end(ap);
	used = strlen(f->text);
	(void)snprintf(f->text + used, sizeof(f->text) - used, ": %s", old);
	return -1;
}

int
failure_dsn(struct failure *f, const char *dsn)
{
	(void)snprintf(f->dsn, sizeof(f->dsn), "%s", dsn);
	return -1;
}

int
failure_exit_status(const struct failure *f)
{
	switch (f->kind) {
	case FAILURE_NONE:
		return EX_OK;
	case FAILURE_USAGE:
		return EX_USAGE;
	case FAILURE_DATA:
		return EX_DATAERR;
	case FAILURE_CONFIG:
		return EX_CONFIG;
	case FAILURE_AUTH:
		return EX_NOPERM;
	case FAILURE_PEER:
		return sysexit_from_reply(550, f->dsn);
	case FAILURE_LATER:
		return EX_TEMPFAIL;
	case FAILURE_BUG:
		break;
	}
	return EX_SOFTWARE;
}
