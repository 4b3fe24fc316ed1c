/*
 * ipc - what the manager and the processes it has started say to each other
 *
 * Whole messages over a socket pair of kind SOCK_SEQPACKET.  Both ends are
 * the same program, so there is no format to parse; texts are terminated all
 * the same by whoever reads them.
 */
#ifndef SENDMAIL365_IPC_H
#define SENDMAIL365_IPC_H

#include <stdint.h>

#include "queue/spool.h"

enum {
	IPC_TEXT_SIZE = 600
};

enum ipc_kind {
	/* to an ingest process */
	IPC_CONNECTION, /* with a descriptor: serve this user */
	IPC_ANSWER,     /* what became of a message that it waits for */
	IPC_ROOM,       /* what its user may queue now; the same asks for it */
	/* from an ingest process */
	IPC_IDLE,  /* the connection is over */
	IPC_WAIT,  /* for what becomes of a message */
	IPC_TOUCH, /* look at this message again */
	IPC_HURRY, /* try every account again, as an administrator wants */
	/* to a delivery process */
	IPC_JOB,  /* deliver this message */
	IPC_GO,   /* its lane is free */
	IPC_NO,   /* it is not: give it back */
	IPC_HELD, /* the account does not work, for the reason in text:
	             Direct Send may be tried */
	/* from a delivery process */
	IPC_LANE,  /* the message leaves through this account */
	IPC_RESULT /* what became of it */
};

/* What has become of a message. */
enum ipc_verdict {
	VERDICT_SENT,      /* to all of its recipients */
	VERDICT_FAILED,    /* for good, for some of them: it is in failed/ */
	VERDICT_DEFERRED,  /* it is due again */
	VERDICT_LIMITED,   /* the account may not send now: wait_ms */
	VERDICT_SPENT,     /* nor on this day */
	VERDICT_TOO_LARGE, /* for this day: it is due again, others may go */
	VERDICT_REFUSED,   /* IPC_NO was said */
	VERDICT_GONE,      /* there is no such message */
	VERDICT_BAD        /* its file is none of ours: it is left alone */
};

/* What it says of the account. */
enum ipc_circuit {
	CIRCUIT_UNKNOWN, /* nothing */
	CIRCUIT_WORKS,
	CIRCUIT_FAILED,
	CIRCUIT_THROTTLED
};

struct ipc {
	enum ipc_kind kind;
	struct spool_id id;
	union {
		struct {
			uint32_t uid;
			bool is_admin; /* no limit, and everybody's mail */
			/* what the user may still queue */
			uint64_t messages;
			uint64_t bytes;
		} connection;
		struct {
			unsigned max_connections;
		} lane;
		struct {
			/* Of IPC_NO and IPC_HELD: the message may wait no
			 * longer, for the reason in text. */
			bool is_late;
		} leave;
		struct {
			enum ipc_verdict verdict;
			enum ipc_circuit circuit;
			int64_t due_ms;
			int64_t wait_ms;
			int code; /* of a reply for whoever waits */
			char dsn[12];
		} result;
	} u;
	char text[IPC_TEXT_SIZE]; /* a reason, or the name of a lane */
	char why[IPC_TEXT_SIZE];  /* the account fails */
};

/* The two ends, non-blocking for the manager's sake.  -1 with errno. */
int ipc_pair(int out[static 2]);

/* Send a message, with a descriptor unless that is -1; waits until there is
 * room.  -1 with errno: the other end is gone. */
int ipc_send(int fd, const struct ipc *message, int passed_fd);

/* Receive one if there is one: 1, 0 the other end is gone, -1 with errno
 * (EAGAIN: there is none).  *out_fd is a descriptor that came with it, or
 * -1; out_fd may be NULL. */
int ipc_receive(int fd, struct ipc *out, int *out_fd);

/* The same, waiting for one up to so many milliseconds, -1: for ever.
 * EAGAIN: none came. */
int ipc_await(int fd, int timeout_ms, struct ipc *out, int *out_fd);

#endif
