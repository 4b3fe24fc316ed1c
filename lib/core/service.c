#include "core/service.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"

enum {
	FIRST_FD = 3, /* of those that are handed over */
	BACKLOG = 1024,
	US_PER_MS = 1000,
	EVERYBODY = 0666
};

/* The address of a path, or of an abstract name ("@..."); 0: too long. */
static socklen_t
make_address(const char *path, struct sockaddr_un *out)
{
	size_t len = strlen(path);

	if (len >= sizeof(out->sun_path))
		return 0;
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(out->sun_path, path, len);
	if (path[0] == '@')
		out->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
	    (path[0] == '@' ? 0 : 1));
}

/* A number in the environment that is meant for this process. */
static uint64_t
number_for_us(const char *name, const char *pid_name)
{
	const char *value = secure_getenv(name);
	const char *pid_value = secure_getenv(pid_name);
	uint64_t n, pid;

	if (value == NULL || parse_u64(span_of(value), INT64_MAX, &n) == -1)
		return 0;
	if (pid_value != NULL &&
	    (parse_u64(span_of(pid_value), INT64_MAX, &pid) == -1 ||
		(pid_t)pid != getpid()))
		return 0;
	return n;
}

void
service_notify(const char *state)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t size;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	size = make_address(path, &address);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && size > 0)
		(void)sendto(fd, state, strlen(state),
		    MSG_NOSIGNAL | MSG_DONTWAIT,
		    (const struct sockaddr *)&address, size);
	fd_close(&fd);
}

int64_t
service_watchdog_ms(void)
{
	return (int64_t)number_for_us("WATCHDOG_USEC", "WATCHDOG_PID") /
	    US_PER_MS;
}

int
service_listen_fd(void)
{
	int is_listening = 0;
	socklen_t size = sizeof(is_listening);

	if (number_for_us("LISTEN_FDS", "LISTEN_PID") < 1 ||
	    getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &is_listening,
		&size) == -1 ||
	    !is_listening)
		return -1;
	(void)fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
	(void)fcntl(FIRST_FD, F_SETFL, O_NONBLOCK);
	return FIRST_FD;
}

static void
make_parent(const char *path)
{
	char *copy = xstrdup(path);
	char *slash = strrchr(copy, '/');

	if (slash != NULL && slash != copy) {
		*slash = '\0';
		if (mkdir(copy, 0755) == 0)
			(void)chmod(copy, 0755);
	}
	free(copy);
}

static int
bind_and_listen(int fd, const char *path)
{
	struct sockaddr_un address;
	socklen_t size = make_address(path, &address);

	if (size == 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	make_parent(path);
	(void)unlink(path);
	if (bind(fd, (const struct sockaddr *)&address, size) == -1 ||
	    chmod(path, EVERYBODY) == -1)
		return -1;
	return listen(fd, BACKLOG);
}

int
service_listen(const char *path, struct failure *f)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && bind_and_listen(fd, path) == 0)
		return fd;
	(void)failure_os(f, FAILURE_CONFIG, errno, "listen on %s", path);
	fd_close(&fd);
	return -1;
}

const char *
service_how_to_restart(void)
{
	struct stat st;

	if (stat("/run/systemd/system", &st) == 0)
		return "restart the service (systemctl restart sendmail365)";
	if (stat("/etc/init.d/sendmail365", &st) == 0)
		return "restart the service (service sendmail365 restart)";
	/* In a container that is another's to do. */
	return "restart the service";
}
