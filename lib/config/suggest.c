#include "config/suggest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/ascii.h"
#include "core/failure.h"

enum {
	WORD_MAX = 40,     /* longer words resemble none of ours */
	CONTAINED_MIN = 4, /* "to" is in too many words to mean something */
	TEXT_MAX = 800
};

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool
is_swapped(struct span a, struct span b, size_t i, size_t k)
{
	return i > 1 && k > 1 &&
	    ascii_lower(a.s[i - 1]) == ascii_lower(b.s[k - 2]) &&
	    ascii_lower(a.s[i - 2]) == ascii_lower(b.s[k - 1]);
}

/*
 * Optimal string alignment distance without regard to case: how many letters
 * must be inserted, deleted, replaced or swapped with their neighbour.  Both
 * words have at most WORD_MAX letters.
 */
static size_t
distance(struct span a, struct span b)
{
	size_t rows[3][WORD_MAX + 1];

	for (size_t k = 0; k <= b.len; k++)
		rows[0][k] = k;
	for (size_t i = 1; i <= a.len; i++) {
		size_t *row = rows[i % 3];
		const size_t *last = rows[(i + 2) % 3];
		const size_t *before_last = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t k = 1; k <= b.len; k++) {
			bool is_same =
			    ascii_lower(a.s[i - 1]) == ascii_lower(b.s[k - 1]);

			row[k] = least(last[k - 1] + (is_same ? 0 : 1),
			    least(last[k], row[k - 1]) + 1);
			if (is_swapped(a, b, i, k))
				row[k] = least(row[k], before_last[k - 2] + 1);
		}
	}
	return rows[a.len % 3][b.len];
}

/* How many slips are few for words of this length. */
static size_t
few(size_t len)
{
	return len < 6 ? 1 : len / 3;
}

static const char *
nearest_by_distance(struct span word, const char *const *known, size_t count)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < count; i++) {
		struct span candidate = span_of(known[i]);
		size_t d = candidate.len <= WORD_MAX ? distance(word, candidate)
						     : SIZE_MAX;

		if (d <= few(candidate.len) && d < best_distance) {
			best = known[i];
			best_distance = d;
		}
	}
	return best;
}

/* "password" for "password_file", "smtp_host" for "host". */
static const char *
nearest_by_part(struct span word, const char *const *known, size_t count)
{
	const char *best = NULL;
	size_t best_rest = SIZE_MAX;

	for (size_t i = 0; i < count; i++) {
		struct span part = span_of(known[i]);
		struct span whole = word;
		size_t rest;

		if (part.len > whole.len) {
			whole = part;
			part = word;
		}
		rest = whole.len - part.len;
		if (part.len >= CONTAINED_MIN && rest < best_rest &&
		    memmem(whole.s, whole.len, part.s, part.len) != NULL) {
			best = known[i];
			best_rest = rest;
		}
	}
	return best;
}

const char *
suggest_nearest(struct span word, const char *const *known, size_t count)
{
	const char *best;

	if (word.len > WORD_MAX)
		return NULL;
	best = nearest_by_distance(word, known, count);
	return best != NULL ? best : nearest_by_part(word, known, count);
}

int
suggest_refuse(const char *problem, struct span word, const char *const *known,
    size_t count, struct failure *f)
{
	const char *nearest = suggest_nearest(word, known, count);
	struct buf list;

	if (nearest != NULL)
		return failure_set(f, FAILURE_CONFIG,
		    "%s; did you mean \"%s\"?", problem, nearest);
	buf_init(&list, TEXT_MAX);
	for (size_t i = 0; i < count; i++)
		(void)buf_printf(&list, "%s%s", i > 0 ? ", " : "", known[i]);
	failure_set(f, FAILURE_CONFIG, "%s; known are: %s", problem, list.s);
	buf_done(&list);
	return -1;
}
