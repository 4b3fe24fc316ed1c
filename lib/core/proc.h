/*
 * proc - what a process does to be safe in the hands of any caller
 */
#ifndef CORE_PROC_H
#define CORE_PROC_H

#include <signal.h>

/*
 * Repair the world that the caller gave: descriptors 0 to 2 open (on
 * /dev/null), umask 077, no core dumps, SIGPIPE ignored, signals that end a
 * program at their default and unblocked.  Called first in main().
 */
void proc_harden(void);

/*
 * For programs that load libraries: remove every environment variable but a
 * few harmless ones (TZ, LANG, HOME, ...), because OpenSSL, libcurl, libsasl2
 * and the resolver obey what they find there; and make the process
 * unreadable to others (no ptrace, no core).
 */
void proc_drop_environment(void);

/*
 * Close what the caller left open beside 0 to 2: a program that we start must
 * not keep somebody's pipe or listener open.
 */
void proc_close_inherited(void);

/*
 * Hold back the signals with which people and the system end a program, which
 * are put into *out_held, until the mask is *out_before again.
 */
void proc_hold_ending(sigset_t *out_held, sigset_t *out_before);

#endif
