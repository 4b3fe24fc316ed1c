#include "config/amounts.h"

#include <stdint.h>
#include <string.h>

#include "config/config.h"
#include "config/suggest.h"
#include "config/values.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"

enum {
	YEARS_10 = 10 * 365 * 24 * 60 * 60,
	MILLION = 1000000,
	CONNECTIONS_MAX = 100,
	RATE_MAX = 10000,
	MINUTE = 60
};

/* What a letter behind a number multiplies it with. */
struct unit {
	char letter;
	uint64_t factor;
};

static const struct unit times[] = {
	{ 's', 1 },
	{ 'm', 60 },
	{ 'h', 3600 },
	{ 'd', 86400 },
};

static const struct unit sizes[] = {
	{ 'k', 1024 },
	{ 'm', 1U << 20 },
	{ 'g', 1U << 30 },
};

enum {
	N_TIMES = sizeof(times) / sizeof(times[0]),
	N_SIZES = sizeof(sizes) / sizeof(sizes[0])
};

/* NUMBER or NUMBER LETTER, the product from 1 to max; false otherwise. */
static bool
parse_amount(struct span s, const struct unit *units, size_t count,
    uint64_t max, uint64_t *out)
{
	uint64_t factor = 1;
	uint64_t n;

	for (size_t i = 0; i < count && s.len > 0; i++)
		if (ascii_lower(s.s[s.len - 1]) == units[i].letter) {
			factor = units[i].factor;
			s.len--;
			break;
		}
	if (parse_u64(s, max / factor, &n) == -1 || n == 0)
		return false;
	*out = n * factor;
	return true;
}

int
value_duration(const struct value *v, void *field, struct failure *f)
{
	unsigned *out = field;
	uint64_t n;

	if (!parse_amount(span_of(v->text), times, N_TIMES, YEARS_10, &n))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is no length of time; write a number with s, m, h "
		    "or d, such as 90s or 5d",
		    v->text);
	*out = (unsigned)n;
	return 0;
}

int
value_size(const struct value *v, void *field, struct failure *f)
{
	uint64_t *out = field;

	if (!parse_amount(span_of(v->text), sizes, N_SIZES, INT64_MAX / 2, out))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is no size; write a number of octets, or one with "
		    "k, M or G, such as 35M",
		    v->text);
	return 0;
}

static int
parse_count(
    const struct value *v, uint64_t max, unsigned *out, struct failure *f)
{
	uint64_t n;

	if (!parse_amount(span_of(v->text), NULL, 0, max, &n))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is not a number from 1 to %llu", v->text,
		    (unsigned long long)max);
	*out = (unsigned)n;
	return 0;
}

int
value_count(const struct value *v, void *field, struct failure *f)
{
	return parse_count(v, MILLION, field, f);
}

int
value_connections(const struct value *v, void *field, struct failure *f)
{
	return parse_count(v, CONNECTIONS_MAX, field, f);
}

int
value_rate(const struct value *v, void *field, struct failure *f)
{
	struct rate *out = field;
	struct span count = span_of(v->text);
	const char *slash = strchr(v->text, '/');
	uint64_t seconds = MINUTE;
	uint64_t n;

	if (slash != NULL)
		count.len = (size_t)(slash - v->text);
	if (!parse_amount(count, NULL, 0, RATE_MAX, &n) ||
	    (slash != NULL &&
		!parse_amount(
		    span_of(slash + 1), times, N_TIMES, YEARS_10, &seconds)))
		return failure_set(f, FAILURE_CONFIG,
		    "\"%s\" is no rate; write a number of messages a minute "
		    "from 1 to %d, or one in another time, such as 30/10s",
		    v->text, RATE_MAX);
	*out = (struct rate){ (unsigned)n, (unsigned)seconds };
	return 0;
}

int
value_delivery(const struct value *v, void *field, struct failure *f)
{
	static const char *const names[] = {
		[DELIVERY_BACKGROUND] = "background",
		[DELIVERY_INTERACTIVE] = "interactive",
		[DELIVERY_CALLER] = "caller",
	};
	const size_t count = sizeof(names) / sizeof(names[0]);
	enum delivery_mode *out = field;

	for (size_t i = 0; i < count; i++)
		if (strcmp(v->text, names[i]) == 0) {
			*out = (enum delivery_mode)i;
			return 0;
		}
	return suggest_refuse(
	    "unknown way of delivery", span_of(v->text), names, count, f);
}
