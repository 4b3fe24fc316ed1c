/*
 * partial - whom an earlier attempt at the same message has reached
 *
 * Without a queue, a message that reached some of its recipients only is
 * still the caller's, who may try all of it again.  The second attempt leaves
 * out those who have it.  The same message is one that is the same to the
 * last octet, Date and Message-ID included: a program that repeats itself
 * sends new messages.
 */
#ifndef ROUTE_PARTIAL_H
#define ROUTE_PARTIAL_H

struct config;
struct delivery;
struct delivery_input;

/* Give recipients that were reached before their outcome. */
void partial_recall(const struct config *config,
    const struct delivery_input *input, struct delivery *d);

/* Every outcome is set: remember whom the message has reached, as long as
 * there are others who wait; forget it when there are none. */
void partial_keep(const struct config *config,
    const struct delivery_input *input, const struct delivery *d);

#endif
