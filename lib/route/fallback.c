#include "route/fallback.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "smtp/client.h"

/* Is it about this recipient or this message? */
static bool
is_judged(const struct outcome *o)
{
	switch (o->scope) {
	case SCOPE_ACCOUNT:
	case SCOPE_HOST:
		return false;
	case SCOPE_NONE:
	case SCOPE_RECIPIENT:
	case SCOPE_MESSAGE:
		break;
	}
	return true;
}

enum fallback
fallback_decide(const struct outcome *submission, bool is_internal,
    enum fallback_direct direct)
{
	/* What may have arrived is not sent once more on another way. */
	if (submission->status == OUTCOME_ACCEPTED ||
	    submission->is_uncertain || is_judged(submission) || !is_internal)
		return FALLBACK_STANDS;
	switch (direct) {
	case FALLBACK_OPEN:
		return FALLBACK_TAKES;
	case FALLBACK_CLOSED:
		return FALLBACK_WAITS;
	case FALLBACK_OFF:
		break;
	}
	return FALLBACK_STANDS;
}

bool
fallback_is_closed(const struct outcome *direct)
{
	/* 5.7.64 is about a recipient that is not the organization's; one in
	 * internal_domains says that the route leads elsewhere. */
	if (direct->status == OUTCOME_ACCEPTED || direct->is_uncertain)
		return false;
	if (strcmp(direct->dsn + 1, ".7.64") == 0)
		return true;
	return direct->scope == SCOPE_HOST &&
	    (direct->code >= 500 || strcmp(direct->dsn, "4.4.1") == 0);
}

/* A way that is closed may open again: that refuses nobody. */
static void
hold(struct outcome *direct)
{
	direct->status = OUTCOME_LATER;
	direct->kind = FAILURE_LATER;
	direct->dsn[0] = '4';
}

/* The text becomes all of these; one may be the text itself. */
static void
set_text(
    struct outcome *o, const char *first, const char *second, const char *third)
{
	char *text = xasprintf("%s%s%s", first, second, third);

	free(o->text);
	o->text = text;
}

void
fallback_merge(
    struct outcome *submission, struct outcome *direct, bool has_submission)
{
	if (fallback_is_closed(direct))
		hold(direct);
	if (direct->status != OUTCOME_ACCEPTED)
		set_text(direct, "Direct Send: ", direct->text, "");
	if (direct->status == OUTCOME_ACCEPTED || !has_submission) {
		outcomes_done(submission, 1);
		*submission = *direct;
	} else {
		set_text(submission, submission->text, "; ", direct->text);
		submission->is_uncertain |= direct->is_uncertain;
		outcomes_done(direct, 1);
	}
	*direct = (struct outcome){ .status = OUTCOME_PENDING };
}
