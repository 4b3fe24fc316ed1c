/*
 * manager - the process that owns the socket and the schedule
 *
 * It holds no credential and reads no message.  One loop waits for callers,
 * for the processes that it has started, for the spool and for time.
 */
#ifndef SENDMAIL365_MANAGER_H
#define SENDMAIL365_MANAGER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc.h"
#include "queue/backlog.h"
#include "queue/schedule.h"

enum {
	MANAGER_INGESTS = 100, /* connections that are served at once */
	MANAGER_WORKERS = 100, /* delivery processes */
	MANAGER_PENDING = 1000 /* connections that wait to be served */
};

struct config;

/* A process that we have started; pid 0: none is. */
struct child {
	pid_t pid;
	int fd; /* our end of its channel */
	bool is_busy;
	bool is_retired; /* it ends when it is no longer busy */
	int64_t idle_ms; /* since when it is not */
};

/* Who is at the other end of a connection. */
struct caller {
	uint32_t uid;
	bool is_admin; /* no limit, and everybody's mail */
};

struct ingest {
	struct child child;
	struct caller caller;    /* whose connection it serves */
	struct spool_id awaited; /* number 0: it waits for no message */
};

struct worker {
	struct child child;
	struct spool_id job;
	unsigned job_lane; /* of the job as it was given */
	unsigned lane;     /* to which it is bound; 0: to none yet */
	bool has_gone;     /* the job was let through */
	bool is_probe;     /* of its lane's circuit */
	bool is_held;      /* the job: Direct Send only */
};

/* What the messages of one account share. */
struct lane {
	char *name;
	unsigned max_connections;
	struct circuit circuit;
	char *why;          /* the circuit is open, or NULL */
	int64_t blocked_ms; /* until then the limits allow nothing */
	bool is_spent;      /* those of the day */
};

/* A caller that nobody serves yet. */
struct pending {
	int fd;
	struct caller caller;
};

struct manager {
	const char *config_path; /* of -C, or NULL */
	bool is_verbose;
	bool is_once; /* end when nothing is left to do now */
	struct config *config;
	struct spool *spool;
	struct backlog *backlog;
	int listen_fd;
	int signal_fd;
	int notify_fd; /* inotify on queue/; -1: the kernel has none left */
	bool is_stopping;
	bool is_ending;      /* who was busy for too long was told to end */
	int64_t stop_ms;     /* when what is still busy is ended */
	int64_t scan_ms;     /* of the next scan of the queue */
	int64_t purge_ms;    /* when old failed messages are deleted next */
	int64_t again_ms;    /* when something is tried that this host had no
	                        means for; 0: nothing is */
	int64_t watchdog_ms; /* when the service manager is told next */
	int64_t expiry_ms;   /* when what is too old is looked for among what
	                        is held; 0: nothing is */
	int64_t clock_offset_ms;
	struct lane lanes[BACKLOG_LANES_MAX]; /* 0: of nobody */
	unsigned lane_count;
	struct ingest ingests[MANAGER_INGESTS];
	struct worker workers[MANAGER_WORKERS];
	struct pending pending[MANAGER_PENDING];
	size_t pending_count;
};

/* ---- manager.c ---- */

/* Serve until a signal says to stop.  Everything in m is open and set. */
void manager_run(struct manager *m);

/*
 * Start a process that runs on the other end of a channel.  Returns 0 and
 * fills *child, or -1.
 */
int manager_start(struct manager *m, struct child *child,
    void (*run)(const struct config *config, struct spool *spool, int channel),
    const char *name);

/* Log to where the configuration says, to a file of the service's opened anew
 * or, where that cannot be had, to syslog. */
void manager_open_log(const struct manager *m);

/* Release what the lanes own. */
void manager_free_lanes(struct manager *m);

/* This host is short of something: stop for a moment. */
void manager_pause(struct manager *m);

/* Close its channel: it ends by itself. */
void manager_retire(struct child *child);

/* Look at one message in the spool again. */
void manager_touch(struct manager *m, struct spool_id id);

/* The same for one that was just put back, but keep the time it is due. */
void manager_check_hold(struct manager *m, struct spool_id id);

/* Look at all of them. */
void manager_scan(struct manager *m);

/* ---- reception.c: callers and ingest processes ---- */

/* Take the callers that knock, and serve as many as may be served. */
void reception_accept(struct manager *m);
void reception_serve(struct manager *m);

/* What an ingest process says, or that it is gone. */
void reception_hear(struct manager *m, struct ingest *i);

/* Tell whoever waits for this message. */
void reception_tell(struct manager *m, const struct ipc *result);

/* Tell all who wait that what they have brought is in the queue: whatever
 * becomes of it, they must not send it again. */
void reception_stop(struct manager *m);

/* ---- dispatch.c: lanes and delivery processes ---- */

/* Give out every message that may be tried now. */
void dispatch_run(struct manager *m);

/* What a delivery process says, or that it is gone. */
void dispatch_hear(struct manager *m, struct worker *w);

/* It has ended, or ends because its channel does: the message it had is tried
 * again, later each time. */
void dispatch_lose(struct manager *m, struct worker *w);

/* Try every lane again at once: something was mended. */
void dispatch_hurry(struct manager *m);

/* Let go of processes that were idle for long. */
void dispatch_retire_idle(struct manager *m);

/* In how many milliseconds dispatch_run() has something to do; -1: nothing
 * that time brings. */
int64_t dispatch_wait_ms(const struct manager *m);

#endif
