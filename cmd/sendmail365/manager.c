#include "manager.h"

#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config/config.h"
#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "core/service.h"
#include "ingest.h"
#include "settle.h"

enum {
	MS_PER_SECOND = 1000,
	/* Where inotify says what comes, a scan finds what it has missed. */
	SCAN_MS = 10 * 60 * 1000,
	SCAN_BLIND_MS = 2000,
	PURGE_MS = 60 * 60 * 1000,
	PAUSE_MS = 1000,
	STOP_MS = 20 * 1000,    /* for what is in flight */
	HOUSEKEEPING_MS = 5000, /* the longest sleep while somebody idles */
	CLOCK_JUMP_MS = 60 * 1000,
	N_OWN_POLLS = 3,
	N_POLLS = N_OWN_POLLS + MANAGER_INGESTS + MANAGER_WORKERS
};

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void
manager_pause(struct manager *m)
{
	m->again_ms = clock_ms() + PAUSE_MS;
}

/* ---- the processes that we start ---- */

/* What only the manager may hold. */
static void
close_all(struct manager *m)
{
	for (size_t i = 0; i < MANAGER_INGESTS; i++)
		fd_close(&m->ingests[i].child.fd);
	for (size_t i = 0; i < MANAGER_WORKERS; i++)
		fd_close(&m->workers[i].child.fd);
	for (size_t i = 0; i < m->pending_count; i++)
		fd_close(&m->pending[i].fd);
	fd_close(&m->listen_fd);
	fd_close(&m->signal_fd);
	fd_close(&m->notify_fd);
	spool_unlock(m->spool);
	backlog_free(&m->backlog);
}

void
manager_free_lanes(struct manager *m)
{
	for (unsigned i = 1; i < m->lane_count; i++) {
		free(m->lanes[i].name);
		free(m->lanes[i].why);
	}
}

static void
run_child(struct manager *m, int channel,
    void (*run)(const struct config *config, struct spool *spool, int channel),
    const char *name)
{
	sigset_t none;

	close_all(m);
	(void)prctl(PR_SET_NAME, name);
	(void)sigemptyset(&none);
	/* It ends when its channel does: a signal to all of us is meant for
	 * the manager. */
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	run(m->config, m->spool, channel);
	(void)close(channel);
	manager_free_lanes(m);
	spool_free(&m->spool);
	config_free(&m->config);
}

int
manager_start(struct manager *m, struct child *child,
    void (*run)(const struct config *config, struct spool *spool, int channel),
    const char *name)
{
	int pair[2];
	pid_t pid;

	if (ipc_pair(pair) == -1) {
		log_error("socketpair: %s", strerror(errno));
		manager_pause(m);
		return -1;
	}
	pid = fork();
	if (pid == -1) {
		log_error("fork: %s", strerror(errno));
		manager_pause(m);
		fd_close(&pair[0]);
		fd_close(&pair[1]);
		return -1;
	}
	if (pid == 0) {
		fd_close(&pair[0]);
		run_child(m, pair[1], run, name);
		/* Not through main(): what is there is the manager's. */
		exit(EX_OK);
	}
	fd_close(&pair[1]);
	*child =
	    (struct child){ .pid = pid, .fd = pair[0], .idle_ms = clock_ms() };
	return 0;
}

void
manager_retire(struct child *child)
{
	child->is_retired = true;
	fd_close(&child->fd);
}

/* For every child: a function of it and, where it is one, its place. */
static struct child *
child_at(struct manager *m, size_t i)
{
	return i < MANAGER_INGESTS ? &m->ingests[i].child
				   : &m->workers[i - MANAGER_INGESTS].child;
}

/* What a process said before it ended comes first. */
static void
hear_last(struct manager *m, size_t i)
{
	if (child_at(m, i)->fd == -1)
		return;
	if (i < MANAGER_INGESTS)
		reception_hear(m, &m->ingests[i]);
	else
		dispatch_hear(m, &m->workers[i - MANAGER_INGESTS]);
}

static void
forget_child(struct manager *m, pid_t pid, int status)
{
	for (size_t i = 0; i < MANAGER_INGESTS + MANAGER_WORKERS; i++) {
		struct child *c = child_at(m, i);

		if (c->pid != pid)
			continue;
		hear_last(m, i);
		/* A child of its own may hold the channel open still. */
		if (i >= MANAGER_INGESTS)
			dispatch_lose(m, &m->workers[i - MANAGER_INGESTS]);
		if (c->is_busy && WIFEXITED(status))
			log_error("a process of ours ended before its work");
		fd_close(&c->fd);
		*c = (struct child){ .fd = -1 };
		if (i >= MANAGER_INGESTS)
			m->workers[i - MANAGER_INGESTS].lane = 0;
		if (WIFSIGNALED(status))
			log_error("a process of ours was ended by signal %d",
			    WTERMSIG(status));
		else if (WEXITSTATUS(status) != 0)
			log_error("a process of ours ended with status %d",
			    WEXITSTATUS(status));
	}
}

static void
reap(struct manager *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		forget_child(m, pid, status);
}

/* ---- the spool ---- */

static void
take_status(
    struct manager *m, struct spool_id id, const struct spool_status *status)
{
	const struct schedule_policy policy = settle_policy(m->config);
	struct spool_status s = *status;
	int64_t latest = clock_epoch_ms() + policy.longest_ms;

	/* Later than anything is ever put off: the clock was set back. */
	if (s.due_ms > latest)
		s.due_ms = latest;
	backlog_put(m->backlog, id, &s);
}

void
manager_touch(struct manager *m, struct spool_id id)
{
	struct spool_status status;
	struct failure f = { .kind = FAILURE_NONE };

	if (spool_stat(m->spool, SPOOL_QUEUE, id, &status, &f) == 0)
		take_status(m, id, &status);
	else if (f.kind == FAILURE_USAGE)
		backlog_drop(m->backlog, id);
	else
		log_error("%s", f.text);
	/* A disk that does not answer now may do so in a moment. */
	if (f.kind == FAILURE_LATER)
		m->scan_ms = least(m->scan_ms, clock_ms() + SCAN_BLIND_MS);
}

void
manager_check_hold(struct manager *m, struct spool_id id)
{
	struct spool_status status;
	struct failure f;

	if (spool_stat(m->spool, SPOOL_QUEUE, id, &status, &f) == 0 &&
	    !status.is_held)
		return;
	manager_touch(m, id);
}

static void
take_found(void *context, struct spool_id id, const struct spool_status *status,
    const char *name, const char *why)
{
	struct manager *m = context;

	if (status != NULL)
		take_status(m, id, status);
	else
		log_warning("%s in the spool is left alone: %s", name, why);
}

void
manager_scan(struct manager *m)
{
	bool is_soon = m->notify_fd == -1;
	struct failure f;

	backlog_begin_scan(m->backlog);
	if (spool_scan(m->spool, SPOOL_QUEUE, take_found, m, &f) == 0) {
		backlog_end_scan(m->backlog);
	} else {
		/* Whatever was not seen is there still. */
		log_error("%s", f.text);
		is_soon = true;
	}
	m->scan_ms = clock_ms() + (is_soon ? SCAN_BLIND_MS : SCAN_MS);
}

/* A failed message that has been kept for long enough. */
static void
purge_found(void *context, struct spool_id id,
    const struct spool_status *status, const char *name, const char *why)
{
	struct manager *m = context;
	int64_t kept_ms = (int64_t)m->config->queue_keep_failed * MS_PER_SECOND;
	struct failure f;

	(void)name;
	(void)why;
	if (status == NULL || clock_epoch_ms() - status->due_ms < kept_ms)
		return;
	if (spool_remove(m->spool, SPOOL_FAILED, id, &f) == -1)
		log_error("%s", f.text);
}

static void
purge(struct manager *m)
{
	struct failure f;

	if (spool_scan(m->spool, SPOOL_FAILED, purge_found, m, &f) == -1)
		log_error("%s", f.text);
}

/* Names that have come into queue/. */
static void
take_arrivals(struct manager *m)
{
	union {
		struct inotify_event event;
		char space[16 * 1024];
	} u;
	ssize_t n;

	while ((n = read(m->notify_fd, u.space, sizeof(u.space))) > 0)
		for (ssize_t at = 0; at < n;) {
			struct inotify_event e;
			struct spool_id id;

			memcpy(&e, u.space + at, sizeof(e));
			if ((e.mask & IN_Q_OVERFLOW) != 0)
				m->scan_ms = 0;
			else if (e.len > 0 &&
			    spool_parse_name(u.space + at + sizeof(e), &id))
				manager_touch(m, id);
			at += (ssize_t)(sizeof(e) + e.len);
		}
}

/* After a jump of the clock everything is due at another moment. */
static void
watch_clock(struct manager *m)
{
	int64_t offset = clock_epoch_ms() - clock_ms();
	int64_t jump = offset - m->clock_offset_ms;

	if (jump > -CLOCK_JUMP_MS && jump < CLOCK_JUMP_MS)
		return;
	log_warning("the clock has jumped by %lld seconds",
	    (long long)(jump / MS_PER_SECOND));
	m->clock_offset_ms = offset;
	m->scan_ms = 0;
}

/* ---- signals ---- */

static void
retire_all(struct manager *m)
{
	for (size_t i = 0; i < MANAGER_INGESTS + MANAGER_WORKERS; i++) {
		struct child *c = child_at(m, i);

		c->is_retired = c->pid != 0;
		if (c->pid != 0 && !c->is_busy)
			manager_retire(c);
	}
}

void
manager_open_log(const struct manager *m)
{
	const struct log_target *to = &m->config->log_to;
	enum log_sink sink = m->is_once ? to->sink : log_heard(to->sink);
	struct failure f;

	log_open("sendmail365", m->is_verbose ? LOG_TO_STDERR : sink,
	    m->is_verbose ? LOG_LEVEL_DEBUG : m->config->log_level);
	if (to->file == NULL || m->is_verbose || m->is_once)
		return;
	if (log_open_file(to->file, &f) == -1)
		log_error(
		    "there is no log file, and the log goes here: %s", f.text);
}

/* That something is to be mended is seen where the service is looked at, by
 * everybody. */
static void
keep_old(const struct manager *m, struct failure *f)
{
	char state[FAILURE_TEXT_SIZE + 64];
	char shown[FAILURE_TEXT_SIZE];

	log_error("the old configuration stays: %s", f->text);
	config_disclose(m->config_path, f);
	log_escape(shown, sizeof(shown), f->text, strlen(f->text));
	(void)snprintf(state, sizeof(state),
	    "READY=1\nSTATUS=Taking messages with the old configuration: %s",
	    shown);
	service_notify(state);
}

/* Put what the file says now in the place of the old configuration. */
static int
renew_config(struct manager *m, struct failure *f)
{
	struct config *fresh = NULL;

	if (config_load(m->config_path, &fresh, f) == -1)
		return -1;
	if (strcmp(fresh->queue_directory, m->config->queue_directory) != 0) {
		config_free(&fresh);
		return failure_set(f, FAILURE_CONFIG,
		    "[queue] directory changes with a restart only");
	}
	config_free(&m->config);
	m->config = fresh;
	return 0;
}

static void
reload(struct manager *m)
{
	struct failure f;
	int r;

	service_notify("RELOADING=1");
	r = renew_config(m, &f);
	/* Whatever became of the configuration: logrotate asks for this. */
	manager_open_log(m);
	/* Who has the old one, or the old file, ends when its work is done. */
	if (r == 0 || m->config->log_to.file != NULL)
		retire_all(m);
	if (r == 0) {
		log_info("the configuration was read again");
		service_notify("READY=1\nSTATUS=Taking messages");
	} else {
		keep_old(m, &f);
	}
	dispatch_hurry(m);
	/* What has been put off in memory alone, for a limit perhaps. */
	m->scan_ms = 0;
}

static void
stop(struct manager *m)
{
	service_notify("STOPPING=1");
	log_info("stopping");
	m->is_stopping = true;
	m->stop_ms = clock_ms() + STOP_MS;
	fd_close(&m->listen_fd);
	for (size_t i = 0; i < m->pending_count; i++)
		fd_close(&m->pending[i].fd);
	m->pending_count = 0;
	reception_stop(m);
	retire_all(m);
}

static void
take_signals(struct manager *m)
{
	struct signalfd_siginfo info;

	while (read(m->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGCHLD:
			reap(m);
			break;
		case SIGHUP:
			if (!m->is_stopping)
				reload(m);
			break;
		default:
			if (!m->is_stopping)
				stop(m);
			break;
		}
	}
}

/* ---- the loop ---- */

static bool
has_children(const struct manager *m)
{
	for (size_t i = 0; i < MANAGER_INGESTS; i++)
		if (m->ingests[i].child.pid != 0)
			return true;
	for (size_t i = 0; i < MANAGER_WORKERS; i++)
		if (m->workers[i].child.pid != 0)
			return true;
	return false;
}

/* One that works, or that ends and leaves its place to another. */
static bool
has_busy_worker(const struct manager *m)
{
	for (size_t i = 0; i < MANAGER_WORKERS; i++) {
		const struct child *c = &m->workers[i].child;

		if (c->is_busy || (c->pid != 0 && c->fd == -1))
			return true;
	}
	return false;
}

/* How long the loop may sleep. */
static int
sleep_ms(const struct manager *m)
{
	/* Who stops does not scan any more. */
	int64_t left =
	    m->is_stopping ? HOUSEKEEPING_MS : m->scan_ms - clock_ms();
	int64_t due = m->is_stopping ? -1 : dispatch_wait_ms(m);

	if (due != -1)
		left = least(left, due);
	if (m->watchdog_ms > 0)
		left = least(left, m->watchdog_ms - clock_ms());
	if (m->again_ms > 0)
		left = least(left, m->again_ms - clock_ms());
	if (m->expiry_ms > 0 && !m->is_stopping)
		left = least(left, m->expiry_ms - clock_ms());
	if (has_children(m))
		left = least(left, HOUSEKEEPING_MS);
	if (m->is_stopping)
		left = least(left, m->stop_ms - clock_ms());
	if (left <= 0)
		return 0;
	/* Time is counted from within a millisecond. */
	return left < INT_MAX ? (int)left + 1 : INT_MAX;
}

/* What is waited for, and whose it is: of the children only those that there
 * are, since poll(2) takes no more places than there may be descriptors. */
struct polls {
	struct pollfd list[N_POLLS];
	size_t child[N_POLLS];
	nfds_t count;
};

static void
fill_polls(struct manager *m, struct polls *p)
{
	p->list[0] = (struct pollfd){ .fd = m->signal_fd, .events = POLLIN };
	p->list[1] = (struct pollfd){ .fd = m->notify_fd, .events = POLLIN };
	/* Where there is no descriptor left, callers wait a moment. */
	p->list[2] = (struct pollfd){ .fd = m->again_ms > 0 ? -1 : m->listen_fd,
		.events = POLLIN };
	p->count = N_OWN_POLLS;
	for (size_t i = 0; i < MANAGER_INGESTS + MANAGER_WORKERS; i++) {
		if (child_at(m, i)->fd == -1)
			continue;
		p->child[p->count] = i;
		p->list[p->count++] = (struct pollfd){
			.fd = child_at(m, i)->fd,
			.events = POLLIN,
		};
	}
}

static void
take_polls(struct manager *m, const struct polls *p)
{
	for (nfds_t n = N_OWN_POLLS; n < p->count; n++)
		if (p->list[n].revents != 0)
			hear_last(m, p->child[n]);
	if (p->list[1].revents != 0)
		take_arrivals(m);
	if (p->list[2].revents != 0)
		reception_accept(m);
	if (p->list[0].revents != 0)
		take_signals(m);
}

/*
 * What has not been sent in time is in the queue still.  Whoever puts something
 * there finishes that, and has as much time again.
 */
static void
end_children(struct manager *m)
{
	for (size_t i = 0; i < MANAGER_INGESTS + MANAGER_WORKERS; i++) {
		bool is_asked = i < MANAGER_INGESTS && !m->is_ending;

		if (child_at(m, i)->pid != 0)
			(void)kill(child_at(m, i)->pid,
			    is_asked ? INGEST_SIGNAL_END : SIGKILL);
	}
	m->is_ending = true;
	m->stop_ms = clock_ms() + STOP_MS;
}

static bool
is_finished(struct manager *m)
{
	int64_t due;

	if (m->is_stopping) {
		if (clock_ms() >= m->stop_ms)
			end_children(m);
		return !has_children(m);
	}
	if (!m->is_once || has_busy_worker(m))
		return false;
	due = dispatch_wait_ms(m);
	if (due >= 0 && due < HOUSEKEEPING_MS)
		return false;
	stop(m);
	return false;
}

/* What has to be done now and then. */
static void
keep_time(struct manager *m)
{
	int64_t now = clock_ms();
	int64_t watchdog = service_watchdog_ms();

	if (watchdog > 0 && now >= m->watchdog_ms) {
		service_notify("WATCHDOG=1");
		m->watchdog_ms = now + watchdog / 3;
	}
	if (now >= m->again_ms)
		m->again_ms = 0;
	if (now >= m->purge_ms && !m->is_stopping) {
		purge(m);
		m->purge_ms = now + PURGE_MS;
	}
}

/* For somebody who waits at a terminal. */
static void
show_progress(const struct manager *m, size_t *shown)
{
	size_t left = backlog_total(m->backlog).messages;

	if (!m->is_once || left == *shown || isatty(STDERR_FILENO) == 0)
		return;
	*shown = left;
	(void)fprintf(stderr, "\r%zu messages in the queue   %s", left,
	    left == 0 || m->is_stopping ? "\n" : "");
}

void
manager_run(struct manager *m)
{
	struct polls polls;
	size_t shown = 0;

	m->clock_offset_ms = clock_epoch_ms() - clock_ms();
	for (;;) {
		keep_time(m);
		watch_clock(m);
		if (clock_ms() >= m->scan_ms && !m->is_stopping)
			manager_scan(m);
		reception_serve(m);
		dispatch_run(m);
		dispatch_retire_idle(m);
		if (is_finished(m))
			break;
		fill_polls(m, &polls);
		if (poll(polls.list, polls.count, sleep_ms(m)) > 0)
			take_polls(m, &polls);
		show_progress(m, &shown);
	}
}
