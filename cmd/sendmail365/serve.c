#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "core/service.h"
#include "manager.h"
#include "queue/spool.h"
#include "refuse.h"

enum {
	DESCRIPTORS = 4096
};

static const char usage[] = "serve [-C FILE] [-v]";

static const struct option long_options[] = {
	{ "verbose", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

/* Each caller that waits has a descriptor: where the limit cannot be raised,
 * some of them are asked to come again. */
static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 ||
	    limit.rlim_cur >= DESCRIPTORS)
		return;
	limit.rlim_cur =
	    limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- what the manager waits for ---- */

static int
open_signals(struct failure *f)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd == -1)
		(void)failure_os(f, FAILURE_LATER, errno, "signalfd");
	return fd;
}

/* What is renamed into queue/; -1 where the kernel has no watch to give. */
static int
open_notify(const struct spool *spool)
{
	char path[64];
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	(void)snprintf(
	    path, sizeof(path), "/proc/self/fd/%d", spool_queue_fd(spool));
	if (fd != -1 && inotify_add_watch(fd, path, IN_MOVED_TO) != -1)
		return fd;
	log_warning("inotify: %s; the queue is looked at every two seconds",
	    strerror(errno));
	fd_close(&fd);
	return -1;
}

/* ---- from start to end ---- */

static int
open_all(struct manager *m, struct failure *f)
{
	if (spool_open(m->config->queue_directory, true, &m->spool, f) == -1 ||
	    spool_lock(m->spool, f) == -1)
		return -1;
	m->signal_fd = open_signals(f);
	if (m->signal_fd == -1)
		return -1;
	m->notify_fd = open_notify(m->spool);
	if (m->is_once)
		return 0;
	m->listen_fd = service_listen_fd();
	if (m->listen_fd == -1)
		m->listen_fd = service_listen(m->config->service_socket, f);
	return m->listen_fd == -1 ? -1 : 0;
}

static struct manager *
new_manager(void)
{
	struct manager *m = xcalloc(1, sizeof(*m));

	m->listen_fd = m->signal_fd = m->notify_fd = -1;
	for (size_t i = 0; i < MANAGER_INGESTS; i++)
		m->ingests[i].child.fd = -1;
	for (size_t i = 0; i < MANAGER_WORKERS; i++)
		m->workers[i].child.fd = -1;
	m->lane_count = 1;
	m->backlog = backlog_new();
	return m;
}

static void
free_manager(struct manager *m)
{
	manager_free_lanes(m);
	fd_close(&m->listen_fd);
	fd_close(&m->signal_fd);
	fd_close(&m->notify_fd);
	backlog_free(&m->backlog);
	spool_free(&m->spool);
	config_free(&m->config);
	free(m);
}

/* ---- when it cannot start ---- */

/* What is said to callers. */
struct obstacle {
	struct manager *m;
	bool is_config; /* it may be mended any moment */
	struct failure failure;
	char line[REFUSE_LINE_SIZE];
};

/* A failure in words that everybody may read. */
static void
disclose(struct obstacle *o)
{
	struct failure f = o->failure;
	char status[FAILURE_TEXT_SIZE + 32];
	char shown[FAILURE_TEXT_SIZE];

	if (o->is_config)
		config_disclose(o->m->config_path, &f);
	refuse_line(o->is_config, &f, o->line);
	log_escape(shown, sizeof(shown), f.text, strlen(f.text));
	(void)snprintf(
	    status, sizeof(status), "STATUS=Not taking messages: %s", shown);
	service_notify(status);
}

/*
 * What callers are told now; NULL: the configuration has been mended.  That is
 * for a process to use that is started now, and has the secrets of now.
 */
static const char *
look_again(void *context)
{
	struct obstacle *o = context;

	if (!o->is_config)
		return o->line;
	if (config_load(o->m->config_path, &o->m->config, &o->failure) == 0)
		return NULL;
	disclose(o);
	return o->line;
}

/*
 * Nothing can be done, which is said once here, and to each caller who has come
 * to a socket that is not ours.  Returns the status to exit with.
 */
static int
give_up(struct manager *m, bool is_config, const struct failure *f)
{
	struct obstacle o = { m, is_config, *f, "" };
	int status = command_fail(f);
	int fd = m->is_once ? -1 : service_listen_fd();

	if (!m->is_once && !m->is_verbose) {
		log_open("sendmail365", LOG_TO_SYSLOG, LOG_LEVEL_INFO);
		log_error("fatal: %s", f->text);
	}
	disclose(&o);
	if (fd != -1)
		refuse_callers(fd, look_again, &o);
	return status;
}

static int
serve(struct manager *m)
{
	struct failure f;

	if (config_load(m->config_path, &m->config, &f) == -1)
		return give_up(m, true, &f);
	manager_open_log(m);
	raise_limit();
	if (open_all(m, &f) == -1)
		return give_up(m, false, &f);
	spool_clean(m->spool);
	manager_scan(m);
	log_info("started, %zu messages in the queue",
	    backlog_total(m->backlog).messages);
	service_notify("READY=1\nSTATUS=Taking messages");
	manager_run(m);
	log_info("stopped");
	return EX_OK;
}

int
serve_once(const char *config_path)
{
	struct manager *m = new_manager();
	int status;

	m->config_path = config_path;
	m->is_once = true;
	status = serve(m);
	free_manager(m);
	return status;
}

int
command_serve(int argc, char **argv)
{
	struct manager *m = new_manager();
	int status = EX_OK;
	int c;

	while (
	    (c = getopt_long(argc, argv, "+C:v", long_options, NULL)) != -1) {
		if (c == 'C')
			m->config_path = optarg;
		else if (c == 'v')
			m->is_verbose = true;
		else
			status = EX_USAGE;
	}
	if (status != EX_OK || optind < argc)
		status = command_usage(usage);
	else
		status = serve(m);
	free_manager(m);
	return status;
}
