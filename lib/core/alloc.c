#include "core/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static void
out_of_memory(void)
{
	static const char text[] = "sendmail365: out of memory\n";
	ssize_t ignored;

	ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)ignored;
	_exit(EX_TEMPFAIL);
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	void *q;

	q = reallocarray(p, n > 0 ? n : 1, size > 0 ? size : 1);
	if (q == NULL)
		out_of_memory();
	return q;
}

void *
xmalloc(size_t size)
{
	return xreallocarray(NULL, 1, size);
}

void *
xcalloc(size_t n, size_t size)
{
	void *p = xreallocarray(NULL, n, size);

	memset(p, 0, n * size);
	return p;
}

char *
xstrndup(const char *s, size_t len)
{
	char *copy = xmalloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

char *
xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n == -1)
		out_of_memory();
	return s;
}

void *
xgrow(void *items, size_t count, size_t size)
{
	if ((count & (count - 1)) != 0)
		return items;
	return xreallocarray(items, count > 0 ? count * 2 : 1, size);
}
