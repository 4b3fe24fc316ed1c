#include "child.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"

enum {
	/*
	 * systemd's socket takes connections where the service cannot start,
	 * and starting takes a while where the queue is long.
	 */
	GREETING_SECONDS = 120,
	/* After its last reply the program still says goodbye to Exchange. */
	LAST_WAIT_SECONDS = 2
};

static const char program[] = "sendmail365";
static const char installed[] = SENDMAIL365_SBINDIR "/sendmail365";

static const char default_socket[] = "/run/sendmail365/submit";

static const char *
socket_path(void)
{
	const char *path = secure_getenv("SENDMAIL365_SOCKET");

	return path != NULL ? path : default_socket;
}

/* Nothing is written before there is an answer: who is given up here must not
 * find a message later. */
static int
reach(int fd, const struct sockaddr_un *address)
{
	const struct timeval longest = { .tv_sec = GREETING_SECONDS };
	int64_t deadline = clock_deadline(GREETING_SECONDS);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	/* connect(2) waits as well, for a place in the queue of the socket. */
	if (setsockopt(
		fd, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest)) == -1 ||
	    connect(fd, (const struct sockaddr *)address, sizeof(*address)) ==
		-1)
		return -1;
	do
		n = poll(&p, 1, clock_left_ms(deadline));
	while (n == -1 && errno == EINTR);
	return n > 0 ? 0 : -1;
}

int
child_connect(struct child *child)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = socket_path();
	size_t len = strlen(path);

	if (len >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, path, len + 1);
	child->pid = 0;
	child->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (child->fd != -1 && reach(child->fd, &address) == -1)
		fd_close(&child->fd);
	return child->fd == -1 ? -1 : 0;
}

/* The path of the program beside this one; -1 if that cannot be said. */
static int
sibling_path(char out[static PATH_MAX])
{
	ssize_t len = readlink("/proc/self/exe", out, PATH_MAX - 1);
	char *slash;

	if (len == -1)
		return -1;
	out[len] = '\0';
	slash = strrchr(out, '/');
	if (slash == NULL || slash + 1 + sizeof(program) > out + PATH_MAX)
		return -1;
	memcpy(slash + 1, program, sizeof(program));
	return 0;
}

/* What is constant in itself and yet must be given as char *. */
static char *
word(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = { .in = s };

	return u.out;
}

/* Returns 0 or an errno, that of execve(2) included. */
static int
spawn(pid_t *pid, const char *path, char *const *argv,
    const posix_spawn_file_actions_t *actions)
{
	return posix_spawn(pid, path, actions, NULL, argv, environ);
}

/*
 * sendmail365 could not be started.  Where it is not installed this is a client
 * whose service does not answer, which may soon be back.
 */
static int
fail_to_start(int e, struct failure *f)
{
	if (e == ENOENT)
		return failure_set(f, FAILURE_LATER,
		    "no service answers at %s, and %s, which could send "
		    "without one, is not installed: start the service, or let "
		    "this host or container share the folder of its socket",
		    socket_path(), installed);
	return failure_set(f, FAILURE_CONFIG,
	    "cannot start %s: %s; is the package complete?", installed,
	    strerror(e));
}

static int
spawn_any(pid_t *pid, char *const *argv,
    const posix_spawn_file_actions_t *actions, struct failure *f)
{
	char path[PATH_MAX];
	int e = ENOENT;

	if (sibling_path(path) == 0)
		e = spawn(pid, path, argv, actions);
	if (e == ENOENT)
		e = spawn(pid, installed, argv, actions);
	if (e == 0)
		return 0;
	if (e == EAGAIN || e == ENOMEM || e == EMFILE || e == ENFILE)
		return failure_os(
		    f, FAILURE_LATER, e, "cannot start sendmail365");
	return fail_to_start(e, f);
}

int
child_run_queue(const char *verb, const char *id, const char *config_file,
    struct failure *f)
{
	char *argv[] = { word(program), word("queue"), NULL, NULL, NULL, NULL,
		NULL };
	char path[PATH_MAX];
	size_t argc = 2;

	if (config_file != NULL) {
		argv[argc++] = word("-C");
		argv[argc++] = word(config_file);
	}
	if (id == NULL && strcmp(verb, "retry") == 0)
		verb = "flush";
	argv[argc++] = word(verb);
	argv[argc++] = id != NULL ? word(id) : NULL;
	if (sibling_path(path) == 0)
		(void)execv(path, argv);
	(void)execv(installed, argv);
	(void)fail_to_start(errno, f);
	return failure_exit_status(f);
}

/* Its standard input and output are the socket. */
static int
set_up(posix_spawn_file_actions_t *actions, int fd, bool is_verbose)
{
	int e = posix_spawn_file_actions_adddup2(actions, fd, STDIN_FILENO);

	if (e == 0)
		e = posix_spawn_file_actions_adddup2(
		    actions, fd, STDOUT_FILENO);
	if (e == 0 && !is_verbose)
		e = posix_spawn_file_actions_addopen(
		    actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	return e;
}

int
child_start(struct child *child, const char *config_file, bool is_verbose,
    struct failure *f)
{
	char *argv[] = { word(program), word("submit"), word("--smtp"), NULL,
		NULL, NULL, NULL };
	size_t argc = 3;
	posix_spawn_file_actions_t actions;
	int pair[2];
	int e;
	int r = -1;

	if (is_verbose)
		argv[argc++] = word("--verbose");
	if (config_file != NULL) {
		argv[argc++] = word("-C");
		argv[argc++] = word(config_file);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return failure_os(f, FAILURE_LATER, errno, "socketpair");
	e = posix_spawn_file_actions_init(&actions);
	if (e == 0) {
		e = set_up(&actions, pair[1], is_verbose);
		if (e == 0)
			r = spawn_any(&child->pid, argv, &actions, f);
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	if (e != 0)
		(void)failure_os(f, FAILURE_LATER, e, "posix_spawn");
	fd_close(&pair[1]);
	if (r == -1)
		fd_close(&pair[0]);
	child->fd = pair[0];
	return r;
}

/* The other end is closed when the program ends, and seldom before. */
static void
wait_for_close(int fd, int64_t deadline)
{
	char rest[512];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, clock_left_ms(deadline)) > 0)
		if (fd_read(fd, rest, sizeof(rest)) <= 0)
			break;
}

/* Whatever is not gone by then is left to whoever adopts it. */
static void
reap(pid_t pid, int64_t deadline)
{
	while (waitpid(pid, NULL, WNOHANG) == 0 && clock_left_ms(deadline) > 0)
		(void)poll(NULL, 0, 1);
}

void
child_stop(struct child *child)
{
	/* A longer farewell is nothing that a caller should wait for. */
	int64_t deadline = clock_deadline(LAST_WAIT_SECONDS);

	if (child->pid == 0) {
		fd_close(&child->fd);
		return;
	}
	(void)shutdown(child->fd, SHUT_WR);
	wait_for_close(child->fd, deadline);
	fd_close(&child->fd);
	reap(child->pid, deadline);
}

int
child_become(const char *const *words, size_t count, struct failure *f)
{
	char **argv = xcalloc(count + 2, sizeof(*argv));
	char path[PATH_MAX];
	int e;

	argv[0] = word(program);
	for (size_t i = 0; i < count; i++)
		argv[i + 1] = word(words[i]);
	if (sibling_path(path) == 0)
		(void)execv(path, argv);
	(void)execv(installed, argv);
	e = errno;
	free(argv);
	return fail_to_start(e, f);
}
