#include "core/sysexit.h"

#include <stdbool.h>
#include <string.h>
#include <sysexits.h>

struct row {
	const char *subject_detail;
	int status;
	int reply_class; /* 5 or 4; 0: both */
};

/*
 * The class (the first digit) is left out: 421 4.3.5 and 550 5.3.5 both mean
 * that the configuration is at fault.  The first row that fits decides, and a
 * '*' fits any number.
 */
static const struct row rows[] = {
	{ "3.5", EX_CONFIG, 0 },
	{ "7.8", EX_NOPERM, 0 },
	{ "3.4", EX_DATAERR, 5 },
	{ "6.*", EX_DATAERR, 5 },
	{ "1.3", EX_DATAERR, 5 },
	{ "1.7", EX_DATAERR, 5 },
	{ "1.1", EX_NOUSER, 5 },
	{ "1.2", EX_NOUSER, 5 },
	{ "1.4", EX_NOUSER, 5 },
	{ "1.5", EX_NOUSER, 5 },
	{ "1.6", EX_NOUSER, 5 },
	{ "1.8", EX_NOUSER, 5 },
	{ "1.9", EX_NOUSER, 5 },
	{ "1.10", EX_NOUSER, 5 },
};

static bool
row_fits(const struct row *row, int reply_class, const char *subject_detail)
{
	size_t len = strlen(row->subject_detail);

	if (row->reply_class != 0 && row->reply_class != reply_class)
		return false;
	if (row->subject_detail[len - 1] == '*')
		return strncmp(row->subject_detail, subject_detail, len - 1) ==
		    0;
	return strcmp(row->subject_detail, subject_detail) == 0;
}

int
sysexit_from_reply(int code, const char *dsn)
{
	int reply_class = code / 100;

	if (reply_class == 2)
		return EX_OK;
	if (reply_class != 4 && reply_class != 5)
		return EX_PROTOCOL;
	if (strlen(dsn) > 2)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			if (row_fits(&rows[i], reply_class, dsn + 2))
				return rows[i].status;
	return reply_class == 4 ? EX_TEMPFAIL : EX_UNAVAILABLE;
}
