/*
 * net - TCP connections by name
 */
#ifndef SMTP_NET_H
#define SMTP_NET_H

#include <stdint.h>

struct addrinfo;
struct failure;

enum {
	NET_NAME_SIZE = 64 /* "192.0.2.1", an IPv6 address with its scope */
};

/* The addresses of host in the system's order; the caller freeaddrinfo()s
 * them.  FAILURE_LATER, dsn 4.4.3. */
int net_resolve(
    const char *host, uint16_t port, struct addrinfo **out, struct failure *f);

/* Connect to one address, TCP_NODELAY, close-on-exec.  FAILURE_LATER, dsn
 * 4.4.1. */
int net_connect(const struct addrinfo *address, int64_t deadline, int *out_fd,
    struct failure *f);

/* The address in digits. */
void net_name(const struct addrinfo *address, char out[static NET_NAME_SIZE]);

#endif
