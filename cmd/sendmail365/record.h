/*
 * record - the log of a message: what it is, and what became of it
 */
#ifndef SENDMAIL365_RECORD_H
#define SENDMAIL365_RECORD_H

#include <stdint.h>

struct delivery;
struct delivery_input;

/* Who gave it to us, and what it has become: two lines. */
void record_message(const char *id, uint32_t uid, const struct delivery *d,
    const struct delivery_input *input);

/* One line for each recipient that was tried; "deferred" of those to whom
 * time may still help. */
void record_outcomes(const char *id, const struct delivery *d);

#endif
