/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "route/fallback.h"
#include "smtp/client.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

/* ---- the decision table ---- */

static const enum scope scopes[] = { SCOPE_NONE, SCOPE_RECIPIENT, SCOPE_MESSAGE,
	SCOPE_ACCOUNT, SCOPE_HOST };
static const enum outcome_status statuses[] = { OUTCOME_ACCEPTED,
	OUTCOME_REFUSED, OUTCOME_LATER };
static const enum fallback_direct directs[] = { FALLBACK_OFF, FALLBACK_OPEN,
	FALLBACK_CLOSED };

enum {
	N_SCOPES = N_ELEMENTS(scopes),
	N_STATUSES = N_ELEMENTS(statuses),
	N_DIRECTS = N_ELEMENTS(directs),
	N_ROWS = N_SCOPES * N_STATUSES * N_DIRECTS * 2 * 2
};

/*
 * What follows, a letter for each: S the outcome stands, T Direct Send takes
 * the recipient, W the recipient waits for it.  The letters are for accepted,
 * refused and later, and of each of these for off, open and closed.
 *
 * Exchange's word on a recipient or a message is never got round, nor is
 * anything for an external recipient, nor what may have been delivered.
 */
static const struct {
	enum scope scope;
	bool is_uncertain;
	bool is_internal;
	const char *want[N_STATUSES];
} table[] = {
	{ SCOPE_NONE, false, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_NONE, false, true, { "SSS", "SSS", "SSS" } },
	{ SCOPE_NONE, true, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_NONE, true, true, { "SSS", "SSS", "SSS" } },
	{ SCOPE_RECIPIENT, false, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_RECIPIENT, false, true, { "SSS", "SSS", "SSS" } },
	{ SCOPE_RECIPIENT, true, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_RECIPIENT, true, true, { "SSS", "SSS", "SSS" } },
	{ SCOPE_MESSAGE, false, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_MESSAGE, false, true, { "SSS", "SSS", "SSS" } },
	{ SCOPE_MESSAGE, true, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_MESSAGE, true, true, { "SSS", "SSS", "SSS" } },
	{ SCOPE_ACCOUNT, false, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_ACCOUNT, false, true, { "SSS", "STW", "STW" } },
	{ SCOPE_ACCOUNT, true, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_ACCOUNT, true, true, { "SSS", "SSS", "SSS" } },
	{ SCOPE_HOST, false, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_HOST, false, true, { "SSS", "STW", "STW" } },
	{ SCOPE_HOST, true, false, { "SSS", "SSS", "SSS" } },
	{ SCOPE_HOST, true, true, { "SSS", "SSS", "SSS" } },
};

static enum fallback
decision_of(char letter)
{
	switch (letter) {
	case 'T':
		return FALLBACK_TAKES;
	case 'W':
		return FALLBACK_WAITS;
	case 'S':
		break;
	default:
		fail_msg("\"%c\" is no decision", letter);
	}
	return FALLBACK_STANDS;
}

/* The letter for one combination; the table has each once. */
static char
expected(enum scope scope, bool is_uncertain, bool is_internal, size_t status,
    size_t direct)
{
	char letter = '\0';
	size_t found = 0;

	for (size_t i = 0; i < N_ELEMENTS(table); i++) {
		if (table[i].scope != scope ||
		    table[i].is_uncertain != is_uncertain ||
		    table[i].is_internal != is_internal)
			continue;
		assert_int_equal(strlen(table[i].want[status]), N_DIRECTS);
		letter = table[i].want[status][direct];
		found++;
	}
	assert_int_equal(found, 1);
	return letter;
}

static void
check_decision(const struct outcome *o, bool is_internal,
    enum fallback_direct direct, char want)
{
	if (fallback_decide(o, is_internal, direct) == decision_of(want))
		return;
	fail_msg("scope %d, status %d, uncertain %d, internal %d, direct %d: "
		 "not %c",
	    (int)o->scope, (int)o->status, o->is_uncertain, is_internal,
	    (int)direct, want);
}

/* What follows for each status and each state of Direct Send. */
static size_t
check_cell(enum scope scope, bool is_uncertain, bool is_internal)
{
	size_t checked = 0;

	for (size_t i = 0; i < N_STATUSES; i++) {
		const struct outcome o = {
			.status = statuses[i],
			.scope = scope,
			.is_uncertain = is_uncertain,
		};

		for (size_t k = 0; k < N_DIRECTS; k++, checked++)
			check_decision(&o, is_internal, directs[k],
			    expected(scope, is_uncertain, is_internal, i, k));
	}
	return checked;
}

static void
test_every_decision(void **state)
{
	size_t checked = 0;

	(void)state;
	for (size_t i = 0; i < N_SCOPES; i++)
		for (int bits = 0; bits < 4; bits++)
			checked += check_cell(
			    scopes[i], (bits & 1) != 0, (bits & 2) != 0);
	assert_int_equal(N_ELEMENTS(table), N_SCOPES * 4);
	assert_int_equal(checked, N_ROWS);
	assert_int_equal(N_ROWS, 180);
}

/* ---- a way that is closed ---- */

static const struct {
	const char *name;
	enum scope scope;
	int code;
	const char *dsn;
	bool want; /* unless it was accepted, or may have been */
} closed_rows[] = {
	{ "the organization takes no Direct Send", SCOPE_HOST, 550, "4.7.68",
	    true },
	{ "the same as it is said", SCOPE_HOST, 550, "5.7.68", true },
	{ "a connector restricts it", SCOPE_HOST, 550, "4.7.51", true },
	{ "an IP address that is listed", SCOPE_HOST, 550, "4.7.1", true },
	{ "an IP address that is banned", SCOPE_HOST, 550, "4.7.606", true },
	{ "a greeting that refuses", SCOPE_HOST, 554, "4.7.0", true },
	{ "another tenant's MX, to a recipient", SCOPE_RECIPIENT, 550, "5.7.64",
	    true },
	{ "another tenant's MX, to a message", SCOPE_MESSAGE, 550, "5.7.64",
	    true },
	{ "another tenant's MX, for now", SCOPE_RECIPIENT, 450, "4.7.64",
	    true },
	{ "nobody answers on port 25", SCOPE_HOST, 0, "4.4.1", true },
	{ "the server cannot be reached behind another", SCOPE_HOST, 421,
	    "4.4.1", true },
	{ "the connection was lost", SCOPE_HOST, 0, "4.4.2", false },
	{ "no MX is known", SCOPE_HOST, 0, "4.4.4", false },
	{ "a bad certificate", SCOPE_HOST, 0, "4.7.5", false },
	{ "no code at all", SCOPE_HOST, 0, "", false },
	{ "a busy server", SCOPE_HOST, 421, "4.3.2", false },
	{ "a server that throttles", SCOPE_HOST, 451, "4.7.500", false },
	{ "the highest code that is for now", SCOPE_HOST, 499, "4.0.0", false },
	{ "the lowest that is for good", SCOPE_HOST, 500, "5.0.0", true },
	{ "no such recipient", SCOPE_RECIPIENT, 550, "5.1.10", false },
	{ "a recipient who is full", SCOPE_RECIPIENT, 452, "4.2.2", false },
	{ "a recipient who cannot be reached", SCOPE_RECIPIENT, 450, "4.4.1",
	    false },
	{ "a code that only begins so", SCOPE_RECIPIENT, 550, "5.7.640",
	    false },
	{ "a code that only ends so", SCOPE_RECIPIENT, 550, "5.1.64", false },
	{ "a message that is too large", SCOPE_MESSAGE, 552, "5.3.4", false },
	{ "a message that is spam", SCOPE_MESSAGE, 554, "5.7.1", false },
	{ "an account that is wanted", SCOPE_ACCOUNT, 530, "4.7.57", false },
	{ "nothing is wrong", SCOPE_NONE, 550, "5.0.0", false },
};

static void
test_what_closes_the_way(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(closed_rows); i++) {
		bool want = closed_rows[i].want;
		struct outcome o = {
			.status = OUTCOME_LATER,
			.scope = closed_rows[i].scope,
			.code = closed_rows[i].code,
		};

		(void)snprintf(o.dsn, sizeof(o.dsn), "%s", closed_rows[i].dsn);
		if (fallback_is_closed(&o) != want)
			fail_msg("%s: not %d", closed_rows[i].name, want);
		o.status = OUTCOME_REFUSED;
		if (fallback_is_closed(&o) != want)
			fail_msg("%s, refused", closed_rows[i].name);
		o.is_uncertain = true;
		if (fallback_is_closed(&o))
			fail_msg("%s, uncertain", closed_rows[i].name);
		o.is_uncertain = false;
		o.status = OUTCOME_ACCEPTED;
		if (fallback_is_closed(&o))
			fail_msg("%s, accepted", closed_rows[i].name);
	}
}

/* ---- what becomes of a recipient ---- */

#define REASON "submission is down"

static struct outcome
submission_outcome(void)
{
	return (struct outcome){
		.status = OUTCOME_LATER,
		.scope = SCOPE_ACCOUNT,
		.kind = FAILURE_AUTH,
		.code = 535,
		.dsn = "4.7.8",
		.text = xstrdup(REASON),
		.relay = xstrdup("smtp:587"),
	};
}

struct merge_row {
	const char *name;
	struct outcome direct; /* without text and relay */
	const char *text;
	/* with a host to submit to: submission's outcome, but */
	const char *with;
	/* without one: what Direct Send says, but */
	enum outcome_status alone;
	enum failure_kind kind;
	const char *dsn;
};

static const struct merge_row merge_rows[] = {
	{ .name = "a recipient is refused",
	    .direct = { .status = OUTCOME_REFUSED,
		.scope = SCOPE_RECIPIENT,
		.kind = FAILURE_PEER,
		.code = 550,
		.dsn = "5.1.10" },
	    .text = "no such user",
	    .with = REASON "; Direct Send: no such user",
	    .alone = OUTCOME_REFUSED,
	    .kind = FAILURE_PEER,
	    .dsn = "5.1.10" },
	{ .name = "the message is refused",
	    .direct = { .status = OUTCOME_REFUSED,
		.scope = SCOPE_MESSAGE,
		.kind = FAILURE_PEER,
		.code = 552,
		.dsn = "5.3.4" },
	    .text = "too large",
	    .with = REASON "; Direct Send: too large",
	    .alone = OUTCOME_REFUSED,
	    .kind = FAILURE_PEER,
	    .dsn = "5.3.4" },
	{ .name = "a recipient has to wait",
	    .direct = { .status = OUTCOME_LATER,
		.scope = SCOPE_RECIPIENT,
		.kind = FAILURE_LATER,
		.code = 450,
		.dsn = "4.2.2" },
	    .text = "busy",
	    .with = REASON "; Direct Send: busy",
	    .alone = OUTCOME_LATER,
	    .kind = FAILURE_LATER,
	    .dsn = "4.2.2" },
	{ .name = "the host is down",
	    .direct = { .status = OUTCOME_LATER,
		.scope = SCOPE_HOST,
		.kind = FAILURE_LATER,
		.dsn = "4.4.1" },
	    .text = "connect: refused",
	    .with = REASON "; Direct Send: connect: refused",
	    .alone = OUTCOME_LATER,
	    .kind = FAILURE_LATER,
	    .dsn = "4.4.1" },
	{ .name = "the configuration is wrong",
	    .direct = { .status = OUTCOME_LATER,
		.scope = SCOPE_HOST,
		.kind = FAILURE_CONFIG,
		.dsn = "4.3.5" },
	    .text = "ca_file",
	    .with = REASON "; Direct Send: ca_file",
	    .alone = OUTCOME_LATER,
	    .kind = FAILURE_CONFIG,
	    .dsn = "4.3.5" },
	{ .name = "the way is closed, so that nobody is refused",
	    .direct = { .status = OUTCOME_REFUSED,
		.scope = SCOPE_RECIPIENT,
		.kind = FAILURE_PEER,
		.code = 550,
		.dsn = "5.7.64" },
	    .text = "relay access denied",
	    .with = REASON "; Direct Send: relay access denied",
	    .alone = OUTCOME_LATER,
	    .kind = FAILURE_LATER,
	    .dsn = "4.7.64" },
	{ .name = "nobody knows",
	    .direct = { .status = OUTCOME_LATER,
		.scope = SCOPE_HOST,
		.kind = FAILURE_LATER,
		.dsn = "4.4.2",
		.is_uncertain = true },
	    .text = "lost",
	    .with = REASON "; Direct Send: lost",
	    .alone = OUTCOME_LATER,
	    .kind = FAILURE_LATER,
	    .dsn = "4.4.2" },
};

static struct outcome
direct_outcome(const struct merge_row *row)
{
	struct outcome o = row->direct;

	o.text = xstrdup(row->text);
	o.relay = xstrdup("mx:25");
	return o;
}

static void
check_used_up(const struct outcome *direct)
{
	assert_int_equal(direct->status, OUTCOME_PENDING);
	assert_null(direct->text);
	assert_null(direct->relay);
}

static void
check_beside_submission(const struct merge_row *row)
{
	struct outcome o = submission_outcome();
	struct outcome direct = direct_outcome(row);

	fallback_merge(&o, &direct, true);
	check_used_up(&direct);
	assert_int_equal(o.status, OUTCOME_LATER);
	assert_int_equal(o.scope, SCOPE_ACCOUNT);
	assert_int_equal(o.kind, FAILURE_AUTH);
	assert_int_equal(o.code, 535);
	assert_string_equal(o.dsn, "4.7.8");
	assert_string_equal(o.text, row->with);
	assert_string_equal(o.relay, "smtp:587");
	assert_int_equal(o.is_uncertain, row->direct.is_uncertain);
	outcomes_done(&o, 1);
}

static void
check_alone(const struct merge_row *row)
{
	char *want = xasprintf("Direct Send: %s", row->text);
	struct outcome o = submission_outcome();
	struct outcome direct = direct_outcome(row);

	fallback_merge(&o, &direct, false);
	check_used_up(&direct);
	if (o.status != row->alone)
		fail_msg("%s: status %d", row->name, (int)o.status);
	assert_int_equal(o.scope, row->direct.scope);
	assert_int_equal(o.kind, row->kind);
	assert_int_equal(o.code, row->direct.code);
	assert_string_equal(o.dsn, row->dsn);
	assert_string_equal(o.text, want);
	assert_string_equal(o.relay, "mx:25");
	assert_int_equal(o.is_uncertain, row->direct.is_uncertain);
	outcomes_done(&o, 1);
	free(want);
}

static void
test_direct_send_that_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(merge_rows); i++) {
		check_beside_submission(&merge_rows[i]);
		check_alone(&merge_rows[i]);
	}
}

static void
test_direct_send_that_succeeds(void **state)
{
	static const struct merge_row row = {
		.direct = { .status = OUTCOME_ACCEPTED,
		    .code = 250,
		    .dsn = "2.6.0" },
		.text = "queued",
	};

	(void)state;
	for (int has_submission = 0; has_submission < 2; has_submission++) {
		struct outcome o = submission_outcome();
		struct outcome direct = direct_outcome(&row);

		fallback_merge(&o, &direct, has_submission != 0);
		check_used_up(&direct);
		assert_int_equal(o.status, OUTCOME_ACCEPTED);
		assert_int_equal(o.code, 250);
		assert_string_equal(o.dsn, "2.6.0");
		assert_string_equal(o.text, "queued");
		assert_string_equal(o.relay, "mx:25");
		outcomes_done(&o, 1);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_decision),
		cmocka_unit_test(test_what_closes_the_way),
		cmocka_unit_test(test_direct_send_that_fails),
		cmocka_unit_test(test_direct_send_that_succeeds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
