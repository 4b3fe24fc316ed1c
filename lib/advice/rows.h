/*
 * rows - the two tables of advice themselves
 *
 * For the look-up in advice.c, and for tests that walk all of it.
 */
#ifndef ADVICE_ROWS_H
#define ADVICE_ROWS_H

#include <stddef.h>

#include "advice/advice.h"

enum {
	ROWS_NUMBERS = 6 /* AADSTS numbers that share a row, at most */
};

/*
 * A row matches where all that it names does.  In dsn, '*' stands for the
 * class ("*.7.25": 4.7.25 and 5.7.25), and the last number may be a range
 * ("5.7.606-649").  The first row that matches counts, so rows with a text
 * stand before those without.
 */
struct smtp_row {
	int code;         /* 0: any */
	const char *dsn;  /* NULL: any */
	const char *text; /* a piece of the reply, in any case; NULL: any */
	const struct advice *advice;
};

struct aadsts_row {
	unsigned long numbers[ROWS_NUMBERS]; /* 0 where there are fewer */
	struct advice advice;
};

/* All rows for SMTP replies, *count of them. */
const struct smtp_row *rows_smtp(size_t *count);

/* All rows for AADSTS numbers, *count of them. */
const struct aadsts_row *rows_aadsts(size_t *count);

#endif
