#include "ipc.h"

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/file.h"

int
ipc_pair(int out[static 2])
{
	return socketpair(
	    AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out);
}

static bool
is_passing(int e)
{
	return e == EAGAIN || e == EINTR;
}

int
ipc_send(int fd, const struct ipc *message, int passed_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct ipc copy = *message;
	struct iovec part = { .iov_base = &copy, .iov_len = sizeof(copy) };
	struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (passed_fd != -1) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &passed_fd, sizeof(int));
	}
	while (sendmsg(fd, &m, MSG_NOSIGNAL) == -1) {
		if (!is_passing(errno))
			return -1;
		(void)poll(&p, 1, -1);
	}
	return 0;
}

/* The descriptor that came with a message, or -1. */
static int
take_descriptor(struct msghdr *m)
{
	const struct cmsghdr *header = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (header != NULL && header->cmsg_level == SOL_SOCKET &&
	    header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(header), sizeof(int));
	return fd;
}

int
ipc_receive(int fd, struct ipc *out, int *out_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { .iov_base = out, .iov_len = sizeof(*out) };
	struct msghdr m = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;
	int passed;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return errno == ECONNRESET ? 0 : -1;
	passed = n > 0 ? take_descriptor(&m) : -1;
	if (n != sizeof(*out) || out_fd == NULL)
		fd_close(&passed);
	if (n != sizeof(*out))
		return 0;
	out->text[IPC_TEXT_SIZE - 1] = '\0';
	if (out_fd != NULL)
		*out_fd = passed;
	return 1;
}

int
ipc_await(int fd, int timeout_ms, struct ipc *out, int *out_fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n == -1 && errno == EINTR);
	if (n == 0)
		errno = EAGAIN;
	return n > 0 ? ipc_receive(fd, out, out_fd) : -1;
}
