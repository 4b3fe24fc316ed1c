/*
 * ingest - the process that takes messages from local programs
 *
 * It serves one connection after another, writes the spool, and can do nothing
 * else: no network, no file outside the spool.
 */
#ifndef SENDMAIL365_INGEST_H
#define SENDMAIL365_INGEST_H

#include <signal.h>

struct config;
struct spool;

enum {
	/* Hear no more of the caller.  What has come whole is put into the
	 * queue and answered still; a process that is killed instead may leave
	 * a message there that its caller sends again. */
	INGEST_SIGNAL_END = SIGUSR1
};

/* Serve the connections that the manager passes until it closes the
 * channel. */
void ingest_process(
    const struct config *config, struct spool *spool, int channel);

#endif
