#include "caller.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"

enum {
	FULL_NAME_MAX = 1000
};

/* "&" stands for the login name with a capital letter, as finger(1) has it. */
static int
add_login(struct buf *b, const char *login)
{
	char first = login[0];

	if (first >= 'a' && first <= 'z')
		first = (char)(first - 'a' + 'A');
	if (buf_putc(b, first) == -1)
		return -1;
	return buf_puts(b, login + 1);
}

/* The part of the gecos field in front of room and telephone numbers, which
 * end at the same characters as for Postfix. */
static char *
name_of_gecos(const char *gecos, const char *login)
{
	struct buf b;
	int r = 0;
	char *name;

	buf_init(&b, FULL_NAME_MAX);
	for (const char *p = gecos;
	     *p != '\0' && strchr(",;%", *p) == NULL && r == 0; p++)
		r = *p == '&' ? add_login(&b, login) : buf_putc(&b, *p);
	name = buf_take(&b);
	buf_done(&b);
	return name;
}

/* name, unless it is empty or could not stand in a header. */
static char *
usable(char *name)
{
	if (name[0] != '\0' && !ascii_has_control(span_of(name)))
		return name;
	free(name);
	return NULL;
}

char *
caller_full_name(const char *given)
{
	const struct passwd *pw = getpwuid(getuid());
	const char *from_environment = secure_getenv("NAME");
	char *name = NULL;

	if (given != NULL)
		return usable(xstrdup(given));
	if (from_environment != NULL)
		name = usable(xstrdup(from_environment));
	if (name != NULL)
		return name;
	if (pw == NULL || pw->pw_gecos == NULL)
		return NULL;
	return usable(name_of_gecos(pw->pw_gecos, pw->pw_name));
}
