/*
 * queueing - what the owners of queued messages may ask and do
 *
 * Requests are words, as they come from a caller: "LIST", "LIST JSON",
 * "FAILED", "FAILED JSON", "SHOW ID", and "RETRY", "HOLD", "RELEASE" and
 * "DELETE", each with "ID" or "ALL".  Root and the service's user see all
 * messages, others their own.
 */
#ifndef SENDMAIL365_QUEUEING_H
#define SENDMAIL365_QUEUEING_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "queue/spool.h"

struct failure;

/* Who asks, and where the answer goes. */
struct queueing {
	struct spool *spool;
	uint32_t uid;
	bool is_admin;
	/* One line of the answer, without its end: 0, or -1 to stop. */
	int (*line)(void *context, const char *text);
	/* A message has changed; NULL: nobody has to know. */
	void (*touch)(void *context, struct spool_id id);
	void *context;
};

/* Do what the words say.  FAILURE_USAGE: they are no request, or there is no
 * such message; FAILURE_LATER. */
int queueing_run(
    const struct queueing *q, struct span words, struct failure *f);

#endif
