/*
 * keep - a message that could not be sent in the foreground, into the queue
 */
#ifndef SENDMAIL365_KEEP_H
#define SENDMAIL365_KEEP_H

#include <stdbool.h>

struct buf;
struct config;
struct delivery;
struct delivery_input;
struct failure;

/* There is a spool, and this process may write there. */
bool keep_is_possible(const struct config *config);

/*
 * Every outcome is set, and some recipients wait: queue the message for them.
 * Returns 0 if nobody was refused: *text is the answer; 1 if somebody was: *f
 * says who, and that the others are in the queue; -1 if it cannot be queued,
 * and then *f is as it was.
 */
int keep_message(const struct config *config,
    const struct delivery_input *input, const struct delivery *d,
    struct buf *text, struct failure *f);

#endif
