/* Callers and ingest processes: see manager.h. */
#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/log.h"
#include "ingest.h"
#include "manager.h"
#include "queue/backlog.h"

enum {
	PER_USER_SERVED = 20, /* connections of one user at once */
	PER_USER_WAITING = 300,
	ACCEPTED_AT_ONCE = 100,
	BYTES_PER_MESSAGE = 100 * 1024 /* of a user's share of the spool */
};

static const char busy[] =
    "421 4.3.2 Too many connections of this user at once\r\n";

/*
 * How many of so many places one user may have: never the last ones, so that
 * whoever has none gets one, however many users have all they may.
 */
static bool
has_share(size_t own, size_t most, size_t free_places)
{
	return own < most && own < free_places;
}

/* ---- callers ---- */

static size_t
count_pending(const struct manager *m, uint32_t uid)
{
	size_t n = 0;

	for (size_t i = 0; i < m->pending_count; i++)
		n += m->pending[i].caller.uid == uid;
	return n;
}

/* May one more connection of this user be served? */
static bool
may_serve(const struct manager *m, uint32_t uid)
{
	size_t own = 0;
	size_t busy_count = 0;

	for (size_t i = 0; i < MANAGER_INGESTS; i++) {
		const struct ingest *one = &m->ingests[i];

		busy_count += one->child.is_busy;
		own += one->child.is_busy && one->caller.uid == uid;
	}
	return has_share(own, PER_USER_SERVED, MANAGER_INGESTS - busy_count);
}

/*
 * Root and the service's own user administer the queue.  Whose process has no
 * number here is in another PID namespace (unix(7), pid_namespaces(7)): root
 * of an application's container, say, which is a user as any other.
 */
static int
identify(int fd, struct caller *out)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == -1)
		return -1;
	out->uid = peer.uid;
	out->is_admin =
	    peer.pid != 0 && (peer.uid == 0 || peer.uid == geteuid());
	return 0;
}

static void
take_caller(struct manager *m, int fd)
{
	struct caller caller;

	if (identify(fd, &caller) == -1) {
		fd_close(&fd);
		return;
	}
	if (!has_share(count_pending(m, caller.uid), PER_USER_WAITING,
		MANAGER_PENDING - m->pending_count)) {
		(void)send(
		    fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		fd_close(&fd);
		return;
	}
	m->pending[m->pending_count++] = (struct pending){ fd, caller };
}

void
reception_accept(struct manager *m)
{
	int fd = -1;

	/* Who knocks without end does not keep us from everything else. */
	for (size_t i = 0; i < ACCEPTED_AT_ONCE; i++) {
		fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd == -1)
			break;
		take_caller(m, fd);
	}
	if (fd != -1 || errno == EAGAIN || errno == EINTR ||
	    errno == ECONNABORTED)
		return;
	log_warning("accept: %s", strerror(errno));
	manager_pause(m);
}

/* ---- handing them on ---- */

/* An ingest process that has nothing to do, started if there is none. */
static struct ingest *
find_ingest(struct manager *m)
{
	struct ingest *none = NULL;

	for (size_t i = 0; i < MANAGER_INGESTS; i++) {
		struct ingest *one = &m->ingests[i];

		if (one->child.pid == 0)
			none = none != NULL ? none : one;
		else if (one->child.fd != -1 && !one->child.is_busy &&
		    !one->child.is_retired)
			return one;
	}
	if (none == NULL ||
	    manager_start(m, &none->child, ingest_process, "s365-ingest") == -1)
		return NULL;
	return none;
}

/* What is left of the queue for a caller. */
static struct ipc
make_connection(const struct manager *m, const struct caller *caller)
{
	struct backlog_usage all = backlog_total(m->backlog);
	struct backlog_usage own = backlog_of_user(m->backlog, caller->uid);
	uint64_t limit = m->config->service_per_user_limit;
	struct ipc c = { .kind = IPC_CONNECTION };
	uint64_t room = m->config->queue_max_size > all.bytes
	    ? m->config->queue_max_size - all.bytes
	    : 0;

	c.u.connection.uid = caller->uid;
	c.u.connection.is_admin = caller->is_admin;
	c.u.connection.messages = UINT64_MAX;
	c.u.connection.bytes = room;
	if (c.u.connection.is_admin)
		return c;
	c.u.connection.messages =
	    limit > own.messages ? limit - own.messages : 0;
	limit *= BYTES_PER_MESSAGE;
	limit = limit > own.bytes ? limit - own.bytes : 0;
	if (limit < room)
		c.u.connection.bytes = limit;
	return c;
}

/* false: it has just died, and the caller waits for another one. */
static bool
hand_on(struct manager *m, struct ingest *i, struct pending *p)
{
	const struct ipc c = make_connection(m, &p->caller);

	i->caller = p->caller;
	i->awaited.number = 0;
	i->child.is_busy = ipc_send(i->child.fd, &c, p->fd) == 0;
	if (i->child.is_busy)
		fd_close(&p->fd);
	else
		fd_close(&i->child.fd);
	return i->child.is_busy;
}

void
reception_serve(struct manager *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->pending_count; i++) {
		struct pending *p = &m->pending[i];
		struct ingest *one = NULL;

		if (may_serve(m, p->caller.uid))
			one = find_ingest(m);
		if (one != NULL && hand_on(m, one, p))
			continue;
		/* A process that is started on the way closes all that is in
		 * the list: no descriptor may stand there that is not ours. */
		m->pending[kept] = *p;
		if (kept++ != i)
			p->fd = -1;
	}
	m->pending_count = kept;
}

/* ---- ingest processes ---- */

static void
mark_idle(struct ingest *i)
{
	i->child.is_busy = false;
	i->child.idle_ms = clock_ms();
	i->awaited.number = 0;
	if (i->child.is_retired)
		manager_retire(&i->child);
}

/* It has queued something, and others of its user's perhaps, too. */
static void
answer_room(const struct manager *m, const struct ingest *i)
{
	struct ipc room = make_connection(m, &i->caller);

	room.kind = IPC_ROOM;
	(void)ipc_send(i->child.fd, &room, -1);
}

static void
answer_wait(struct ingest *i, struct ipc answer)
{
	answer.kind = IPC_ANSWER;
	(void)ipc_send(i->child.fd, &answer, -1);
	i->awaited.number = 0;
}

/* What it waits for is in the queue, and nothing more is known. */
static void
end_wait(struct ingest *i)
{
	struct ipc answer = { .id = i->awaited };

	answer.u.result.verdict = VERDICT_DEFERRED;
	answer_wait(i, answer);
}

void
reception_hear(struct manager *m, struct ingest *i)
{
	struct ipc said;
	int r;

	while ((r = ipc_receive(i->child.fd, &said, NULL)) == 1) {
		switch (said.kind) {
		case IPC_IDLE:
			mark_idle(i);
			break;
		case IPC_WAIT:
			i->awaited = said.id;
			if (m->is_stopping)
				end_wait(i);
			break;
		case IPC_TOUCH:
			manager_touch(m, said.id);
			break;
		case IPC_HURRY:
			dispatch_hurry(m);
			break;
		case IPC_ROOM:
			answer_room(m, i);
			break;
		case IPC_CONNECTION:
		case IPC_ANSWER:
		case IPC_JOB:
		case IPC_GO:
		case IPC_NO:
		case IPC_HELD:
		case IPC_LANE:
		case IPC_RESULT:
			break;
		}
		if (i->child.fd == -1)
			return;
	}
	if (r == 0 || errno != EAGAIN) {
		/* It has died: what it has queued last may be unknown. */
		fd_close(&i->child.fd);
		m->scan_ms = 0;
	}
}

void
reception_tell(struct manager *m, const struct ipc *result)
{
	for (size_t i = 0; i < MANAGER_INGESTS; i++) {
		struct ingest *one = &m->ingests[i];

		if (one->child.fd == -1 || one->child.pid == 0 ||
		    one->awaited.number != result->id.number ||
		    one->awaited.number == 0)
			continue;
		answer_wait(one, *result);
	}
}

void
reception_stop(struct manager *m)
{
	for (size_t i = 0; i < MANAGER_INGESTS; i++) {
		struct ingest *one = &m->ingests[i];

		if (one->child.fd != -1 && one->awaited.number != 0)
			end_wait(one);
	}
}
