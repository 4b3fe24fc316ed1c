/*
 * child - who takes the message: the service behind its socket, or
 * "sendmail365 submit" on the other end of a socket pair
 */
#ifndef SENDMAIL_CHILD_H
#define SENDMAIL_CHILD_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

struct failure;

struct child {
	pid_t pid; /* 0: it is the service, which is not ours to start */
	int fd;    /* our end */
};

/*
 * Connect to the service, if one answers at $SENDMAIL365_SOCKET or, without
 * that, where it is by default.  Returns 0, or -1 if none does; one that says
 * nothing for two minutes is none.
 */
int child_connect(struct child *child);

/*
 * Start the sendmail365 that lies beside this program, else the installed
 * one.  The program keeps its stderr only where is_verbose: what it has to
 * say comes as SMTP replies.  FAILURE_CONFIG: it cannot be started;
 * FAILURE_LATER: it is not installed, which on a client only means that the
 * service is away, or no process or descriptor is free.
 */
int child_start(struct child *child, const char *config_file, bool is_verbose,
    struct failure *f);

/*
 * Become "sendmail365 queue": "list", or "retry" of a message, or of all where
 * id is NULL.  Returns only if it cannot be started: the status to exit with,
 * f->text says why.
 */
int child_run_queue(const char *verb, const char *id, const char *config_file,
    struct failure *f);

/* Close the connection and let go of the process, waiting for its end if that
 * is near. */
void child_stop(struct child *child);

/* Become sendmail365 with these words behind its name.  Returns -1 if that
 * cannot be: FAILURE_CONFIG or, where it is not installed, FAILURE_LATER. */
int child_become(const char *const *words, size_t count, struct failure *f);

#endif
