/*
 * failure - what went wrong, for the program and for people
 *
 * The function at which something fails fills a struct failure and returns
 * -1; callers may put context in front and pass it up.  The kind decides what
 * happens next, the text is one line for people.  Nothing in it needs to be
 * freed.
 */
#ifndef CORE_FAILURE_H
#define CORE_FAILURE_H

enum failure_kind {
	FAILURE_NONE,   /* never returned; the value of a zeroed struct */
	FAILURE_USAGE,  /* the command line is wrong */
	FAILURE_DATA,   /* this message can never be sent as it is */
	FAILURE_CONFIG, /* nothing can be sent until an administrator acts */
	FAILURE_AUTH,   /* the credentials were refused; hold the queue */
	FAILURE_PEER,   /* the server refused for good (5yz) */
	FAILURE_LATER,  /* try again later (4yz, timeout, no memory, no disk) */
	FAILURE_BUG     /* an invariant of this program is broken */
};

enum {
	FAILURE_TEXT_SIZE = 1000
};

struct failure {
	enum failure_kind kind;
	int os_error;                 /* errno at the origin, or 0 */
	char dsn[12];                 /* "4.4.1"; empty if none applies */
	char text[FAILURE_TEXT_SIZE]; /* one line, may be cut short */
};

/* Describe a failure without an errno.  Returns -1. */
int failure_set(struct failure *f, enum failure_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Describe a failed system call: ": " and the text of errno follow fmt's.
 * Returns -1. */
int failure_os(struct failure *f, enum failure_kind kind, int os_error,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Put context and ": " in front of the text.  Returns -1. */
int failure_at(struct failure *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Set the enhanced status code (RFC 3463), such as "4.4.1".  Returns -1. */
int failure_dsn(struct failure *f, const char *dsn);

/* The sysexits(3) status for a kind; EX_OK for FAILURE_NONE. */
int failure_exit_status(const struct failure *f);

#endif
