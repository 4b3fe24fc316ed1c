#include "advice/advice.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "advice/rows.h"
#include "core/ascii.h"
#include "core/buf.h"

/* Is piece somewhere in text, in any case? */
static bool
contains(const char *text, const char *piece)
{
	size_t text_len = strlen(text);
	size_t len = strlen(piece);

	for (size_t i = 0; i + len <= text_len; i++)
		if (ascii_equal_nocase(text + i, piece, len))
			return true;
	return false;
}

/* How much of "5.7.606-649" is in front of its last part: 4. */
static size_t
head_length(const char *dsn)
{
	const char *dot = strrchr(dsn, '.');

	return dot != NULL ? (size_t)(dot + 1 - dsn) : 0;
}

/* Does a last part such as "610" fit "606-649", or equal it? */
static bool
is_in_range(const char *pattern, const char *dsn)
{
	const char *dash = strchr(pattern, '-');
	uint64_t first;
	uint64_t last;
	uint64_t number;

	if (dash == NULL)
		return strcmp(pattern, dsn) == 0;
	return parse_u64((struct span){ pattern, (size_t)(dash - pattern) },
		   UINT16_MAX, &first) == 0 &&
	    parse_u64(span_of(dash + 1), UINT16_MAX, &last) == 0 &&
	    parse_u64(span_of(dsn), UINT16_MAX, &number) == 0 &&
	    number >= first && number <= last;
}

static bool
dsn_matches(const char *pattern, const char *dsn)
{
	size_t head = head_length(pattern);

	if (head == 0 || head_length(dsn) != head)
		return false;
	if (pattern[0] != '*' && pattern[0] != dsn[0])
		return false;
	return memcmp(pattern + 1, dsn + 1, head - 1) == 0 &&
	    is_in_range(pattern + head, dsn + head);
}

const struct advice *
advice_smtp(int code, const char *dsn, const char *text)
{
	size_t count;
	const struct smtp_row *rows = rows_smtp(&count);

	for (size_t i = 0; i < count; i++) {
		const struct smtp_row *row = &rows[i];

		if ((row->code == 0 || row->code == code) &&
		    (row->dsn == NULL || dsn_matches(row->dsn, dsn)) &&
		    (row->text == NULL || contains(text, row->text)))
			return row->advice;
	}
	return NULL;
}

static bool
has_number(const struct aadsts_row *row, unsigned long number)
{
	for (size_t i = 0; i < ROWS_NUMBERS; i++)
		if (row->numbers[i] == number)
			return true;
	return false;
}

const struct advice *
advice_aadsts(unsigned long number)
{
	size_t count;
	const struct aadsts_row *rows = rows_aadsts(&count);

	if (number == 0)
		return NULL;
	for (size_t i = 0; i < count; i++)
		if (has_number(&rows[i], number))
			return &rows[i].advice;
	return NULL;
}
