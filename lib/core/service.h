/*
 * service - what a service manager and a service say to each other
 *
 * The parts of systemd's protocols that are needed, without its library
 * (sd_notify(3), sd_listen_fds(3)); elsewhere nothing happens.
 */
#ifndef CORE_SERVICE_H
#define CORE_SERVICE_H

#include <stdint.h>

struct failure;

/* Tell the service manager, "READY=1\nSTATUS=..."; whether it listens is not
 * known. */
void service_notify(const char *state);

/* How often WATCHDOG=1 must be said at least, in milliseconds; 0: never. */
int64_t service_watchdog_ms(void);

/* The listening socket that was handed over, or -1. */
int service_listen_fd(void);

/*
 * Listen on a Unix socket of our own that everybody may connect to.  What a
 * service that has died has left there is replaced, and the directory is made
 * if there is none.  Returns the descriptor, or -1: FAILURE_CONFIG.
 */
int service_listen(const char *path, struct failure *f);

/*
 * How the service is restarted on this host, for a sentence: "restart the
 * service (systemctl restart sendmail365)".
 */
const char *service_how_to_restart(void);

#endif
