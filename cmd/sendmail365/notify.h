/*
 * notify - telling somebody that a message has failed
 */
#ifndef SENDMAIL365_NOTIFY_H
#define SENDMAIL365_NOTIFY_H

struct failure;
struct settlement;

/*
 * Queue a notice about the recipients that the journal has as failed, to the
 * postmaster, else to the sender: once, and not without limit.  A notice is
 * never answered.  0 also where none is wanted or allowed; -1, FAILURE_LATER:
 * it cannot be queued now.  id is the message's, for the log.
 */
int notify_failure(
    const struct settlement *s, const char *id, struct failure *f);

#endif
