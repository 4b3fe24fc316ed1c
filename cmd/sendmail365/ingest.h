/*
 * ingest - the process that takes messages from local programs
 *
 * It serves one connection after another, writes the spool, and can do nothing
 * else: no network, no file outside the spool.
 */
#ifndef SENDMAIL365_INGEST_H
#define SENDMAIL365_INGEST_H

struct config;
struct spool;

/* Serve the connections that the manager passes until it closes the
 * channel. */
void ingest_process(
    const struct config *config, struct spool *spool, int channel);

#endif
