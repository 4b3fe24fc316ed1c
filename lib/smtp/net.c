#include "smtp/net.h"

#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"

int
net_resolve(
    const char *host, uint16_t port, struct addrinfo **out, struct failure *f)
{
	static const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	char service[8];
	int r;

	(void)snprintf(service, sizeof(service), "%u", (unsigned)port);
	r = getaddrinfo(host, service, &hints, out);
	if (r == 0)
		return 0;
	(void)failure_set(f, FAILURE_LATER,
	    "cannot resolve %s: %s; check DNS and the name", host,
	    r == EAI_SYSTEM ? "system error" : gai_strerror(r));
	return failure_dsn(f, "4.4.3");
}

/* Wait until the connection is made or refused; errno says which. */
static int
finish_connect(int fd, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int error = 0;
	socklen_t size = sizeof(error);
	int n;

	do
		n = poll(&p, 1, clock_left_ms(deadline));
	while (n == -1 && errno == EINTR);
	if (n == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (n == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1)
		return -1;
	errno = error;
	return error == 0 ? 0 : -1;
}

int
net_connect(const struct addrinfo *address, int64_t deadline, int *out_fd,
    struct failure *f)
{
	static const int on = 1;
	int fd = socket(
	    address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char name[NET_NAME_SIZE];

	if (fd == -1)
		return failure_os(f, FAILURE_LATER, errno, "socket");
	/* A flight is written at once; Nagle would hold back its end. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if ((connect(fd, address->ai_addr, address->ai_addrlen) == -1 &&
		errno != EINPROGRESS) ||
	    finish_connect(fd, deadline) == -1) {
		net_name(address, name);
		(void)failure_os(
		    f, FAILURE_LATER, errno, "connect to %s", name);
		(void)failure_dsn(f, "4.4.1");
		fd_close(&fd);
		return -1;
	}
	*out_fd = fd;
	return 0;
}

void
net_name(const struct addrinfo *address, char out[static NET_NAME_SIZE])
{
	if (getnameinfo(address->ai_addr, address->ai_addrlen, out,
		NET_NAME_SIZE, NULL, 0, NI_NUMERICHOST) != 0)
		(void)snprintf(out, NET_NAME_SIZE, "unknown");
}
