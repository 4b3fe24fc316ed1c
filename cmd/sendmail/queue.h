/*
 * queue - mailq, sendmail -bp and sendmail -q
 */
#ifndef SENDMAIL_QUEUE_H
#define SENDMAIL_QUEUE_H

struct failure;
struct options;

/*
 * Print the queue.  Returns EX_OK, or the status to exit with and f->text says
 * why.
 */
int queue_list(const struct options *o, struct failure *f);

/* Try all messages of the queue now, or the one that -qI names.  The same. */
int queue_flush(const struct options *o, struct failure *f);

#endif
