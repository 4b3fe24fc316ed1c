#include "queue/spoolid.h"

#include <sys/random.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/ascii.h"
#include "core/buf.h"

enum {
	SALT_BITS = 12,
	NUMBER_DIGITS = 16
};

void
spool_id_text(struct spool_id id, char out[static SPOOL_ID_SIZE])
{
	(void)snprintf(out, SPOOL_ID_SIZE, "%016" PRIX64, id.number);
}

void
spool_name(struct spool_id id, char out[static SPOOL_NAME_SIZE])
{
	(void)snprintf(
	    out, SPOOL_NAME_SIZE, "%016" PRIX64 ".%" PRIu32, id.number, id.uid);
}

/* Sixteen digits, as they are written. */
static bool
parse_number(const char *text, uint64_t *out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < NUMBER_DIGITS; i++) {
		char c = text[i];

		if (ascii_is_digit(c))
			n = n << 4 | (uint64_t)(c - '0');
		else if (c >= 'A' && c <= 'F')
			n = n << 4 | (uint64_t)(c - 'A' + 10);
		else
			return false;
	}
	*out = n;
	return true;
}

bool
spool_parse_id(const char *text, struct spool_id *out)
{
	return strlen(text) == NUMBER_DIGITS &&
	    parse_number(text, &out->number);
}

bool
spool_parse_name(const char *name, struct spool_id *out)
{
	const char *digits = name + NUMBER_DIGITS + 1;
	uint64_t uid;

	if (strlen(name) < NUMBER_DIGITS + 2 ||
	    !parse_number(name, &out->number) || name[NUMBER_DIGITS] != '.' ||
	    parse_u64(span_of(digits), UINT32_MAX, &uid) == -1)
		return false;
	out->uid = (uint32_t)uid;
	/* A message has one name only. */
	return digits[0] != '0' || digits[1] == '\0';
}

int64_t
spool_arrival_ms(struct spool_id id)
{
	return (int64_t)(id.number >> SALT_BITS) / 1000;
}

struct spool_id
spool_new_id(uint32_t uid)
{
	struct timespec now;
	uint16_t salt = 0;
	uint64_t us;

	/* What is not unique is found out when the file is made. */
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)!getrandom(&salt, sizeof(salt), 0);
	us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	return (struct spool_id){
		us << SALT_BITS | (salt & ((1U << SALT_BITS) - 1)), uid
	};
}
