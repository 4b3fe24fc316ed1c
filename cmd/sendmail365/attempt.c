#include "attempt.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "config/config.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"
#include "route/deliver.h"
#include "smtp/client.h"

enum {
	CONNECTION_WAIT_MS = 500, /* until a connection may be free again */
	MS_PER_SECOND = 1000
};

void
attempt_lane(const struct delivery *d, char out[static ATTEMPT_LANE_SIZE])
{
	struct buf user;

	buf_init(&user, ADDRESS_MAX);
	(void)mailbox_write_address(&user, &d->user);
	/* It is one mailbox however a sender writes it. */
	for (size_t i = 0; i < user.len; i++)
		user.s[i] = ascii_lower(user.s[i]);
	(void)snprintf(out, ATTEMPT_LANE_SIZE, "%.100s%s%s", d->account->name,
	    d->account->name[0] != '\0' ? "-" : "", user.s);
	buf_done(&user);
}

int
attempt_limits(const struct config *config, const struct delivery *d,
    struct limits **out, struct failure *f)
{
	const struct account *a = d->account;
	const struct limits_policy policy = {
		.connections = a->max_connections,
		.messages = a->messages_per_minute.count,
		.window_ms =
		    (int64_t)a->messages_per_minute.seconds * MS_PER_SECOND,
		.recipients_per_day = a->recipients_per_day,
	};
	char name[ATTEMPT_LANE_SIZE];

	/* Direct Send has no limits that are known. */
	*out = NULL;
	if (a->host == NULL)
		return 0;
	attempt_lane(d, name);
	return limits_open(config->state_directory, name, &policy, out, f);
}

enum limits_answer
attempt_enter(const struct delivery *d, struct limits *limits, int64_t deadline,
    int64_t *out_wait_ms)
{
	size_t recipients = delivery_count_pending(d);
	size_t each = d->account->recipients_per_message;
	unsigned messages = (unsigned)((recipients + each - 1) / each);
	enum limits_answer r;
	struct failure f;

	if (recipients == 0)
		return LIMITS_TAKEN;
	*out_wait_ms = CONNECTION_WAIT_MS;
	if (limits_connect(limits, deadline, &f) == -1)
		return LIMITS_WAIT;
	while ((r = limits_take(limits, messages, recipients, out_wait_ms,
		    &f)) == LIMITS_WAIT &&
	    clock_left_ms(deadline) >= *out_wait_ms)
		(void)poll(NULL, 0, (int)*out_wait_ms);
	if (r != LIMITS_FAILED)
		return r;
	/* A limit that cannot be kept is no reason to keep mail. */
	log_warning("%s", f.text);
	return LIMITS_TAKEN;
}

void
attempt_put_off(struct delivery *d, int64_t wait_ms)
{
	struct trouble t = { .scope = SCOPE_ACCOUNT };

	(void)failure_set(&t.failure, FAILURE_LATER,
	    "the limits of the account allow no more for %" PRId64
	    " seconds; see messages_per_minute, recipients_per_day and "
	    "max_connections in sendmail365.conf(5)",
	    wait_ms / MS_PER_SECOND + 1);
	(void)failure_dsn(&t.failure, "4.3.2");
	outcomes_set(d->outcomes, d->plan.recipients.count, &t);
}
