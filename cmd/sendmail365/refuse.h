/*
 * refuse - a service that cannot start tells its callers why
 *
 * A service manager holds the socket, and callers wait on it for a service
 * that will not come.  So they are answered: in a line of SMTP, then the
 * connection is closed, and the mail stays theirs.  The socket is everybody's:
 * what the line says, everybody may know.
 */
#ifndef SENDMAIL365_REFUSE_H
#define SENDMAIL365_REFUSE_H

#include <stdbool.h>

struct failure;

enum {
	REFUSE_LINE_SIZE = 513 /* RFC 5321 4.5.3.1.5, and a NUL */
};

/*
 * The line for a configuration that cannot be used, or for anything else that
 * keeps the service from starting.
 */
void refuse_line(
    bool is_config, const struct failure *f, char out[static REFUSE_LINE_SIZE]);

/*
 * Answer who comes to this socket, for as long as somebody does, but not for
 * ever.  look is asked for each, after they have come: it returns the line that
 * is to be said, or NULL if nothing is wrong any more.  Then they are not
 * accepted, and wait for the next process.
 */
void refuse_callers(
    int listen_fd, const char *(*look)(void *context), void *context);

#endif
