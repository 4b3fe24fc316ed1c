/*
 * submit - one message in the foreground
 */
#ifndef SENDMAIL365_SUBMIT_H
#define SENDMAIL365_SUBMIT_H

struct config;
struct failure;

/*
 * Send a short test message to one address, now and never through the queue,
 * so that the answer is the server's own; it is logged as "submit" logs it.
 */
int submit_test(
    const struct config *config, const char *address, struct failure *f);

#endif
