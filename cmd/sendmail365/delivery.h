/*
 * delivery - the process that delivers queued messages, one after another
 */
#ifndef SENDMAIL365_DELIVERY_H
#define SENDMAIL365_DELIVERY_H

struct config;
struct spool;

/* Take jobs from the manager until it closes the channel. */
void delivery_process(
    const struct config *config, struct spool *spool, int channel);

#endif
