/*
 * clock - deadlines on the monotonic clock, dates for messages
 */
#ifndef CORE_CLOCK_H
#define CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Milliseconds since some fixed moment; never jumps. */
int64_t clock_ms(void);

/* Milliseconds since the epoch: the wall clock, which may be set. */
int64_t clock_epoch_ms(void);

/* A moment on the monotonic clock, this many seconds from now. */
int64_t clock_deadline(int seconds);

/* What is left until then in milliseconds, for poll(); 0 if it is over. */
int clock_left_ms(int64_t deadline);

enum {
	CLOCK_DATE_SIZE = 40
};

/* "Fri, 20 Nov 2026 19:27:45 +0100" (RFC 5322 3.3), in local time and in
 * English whatever the locale. */
void clock_date(time_t when, char out[static CLOCK_DATE_SIZE]);

#endif
