/*
 * server - the end of local SMTP that receives mail (RFC 5321, 3030)
 *
 * Speaks to programs of this host over a Unix socket or a pipe; the other end
 * is usually our own sendmail, which writes all of a message at once
 * (PIPELINING, BDAT).  Addresses without a domain are taken: what they mean
 * is policy, and decided later.
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include <stdint.h>

#include "core/buf.h"
#include "mail/mailbox.h"

struct failure;
struct message;
struct stream;

enum {
	SERVER_RECIPIENTS_MAX = 10000
};

struct server_envelope {
	struct mailbox sender; /* null: "<>" */
	struct mailbox_list recipients;
};

/*
 * What is done with a complete message.  Returns 0 with *text set to what
 * follows "250 ", or -1 with the reason in *f; kind and dsn become the reply.
 */
typedef int server_deliver(void *context,
    const struct server_envelope *envelope, const struct message *message,
    struct buf *text, struct failure *f);

struct server {
	const char *host_name;
	uint64_t size_max; /* of a message in octets */
	/* Seconds that the caller may be silent; 0: any time, because its
	 * end is seen as the end of the connection. */
	int timeout;
	server_deliver *deliver;
	void *context;
};

/*
 * Serve one connection until QUIT or its end.  An unfinished message is
 * forgotten.  Returns 0, or -1 if the connection failed.
 */
int server_run(
    const struct server *server, struct stream *stream, struct failure *f);

/*
 * Instead of serving: greet with the reason why nothing can be served, so
 * that the caller can tell its user.
 */
void server_turn_away(struct stream *stream, const struct failure *reason);

#endif
