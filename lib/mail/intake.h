/*
 * intake - what sendmail(8) does to a message on its standard input
 *
 * Reads the header, finds the recipients, drops what must not travel, adds
 * what is missing; then hands the body on block by block, so that memory does
 * not grow with it.  Everything that comes out has CRLF lines.
 */
#ifndef MAIL_INTAKE_H
#define MAIL_INTAKE_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/split.h"

struct failure;

/*
 * Where a message comes from, if not from a descriptor: read(2) that waits,
 * with errno.
 */
typedef ssize_t intake_read(void *context, void *data, size_t size);

enum {
	INTAKE_RECIPIENTS_MAX = 10000, /* Exchange's limit for a day */
	INTAKE_BLOCK = SPLIT_BLOCK     /* what is read at once */
};

/* What the command line says; all of it borrowed. */
struct intake_options {
	bool reads_recipients; /* -t */
	bool ignores_dots;     /* -i, -oi */
	const char *full_name; /* for From: -F, $NAME, or gecos; or NULL */
	struct mailbox sender; /* -f, or the caller's login; may be null */
	struct mailbox author; /* for From where sender is null: the login */
	const char *const *operands; /* each is an address list */
	size_t operand_count;
	const struct mailbox_list *given; /* recipients beside them, or NULL */
	intake_read *read;                /* NULL: from the descriptor */
	void *context;                    /* of read */
};

struct intake {
	int fd;
	intake_read *read; /* in its place, or NULL */
	void *context;
	bool ignores_dots;
	bool at_line_start; /* of the input: a dot may come */
	size_t held;        /* octets of ".", CR... not yet judged */
	bool has_ended;     /* end of file, or a lone dot */
	bool is_handed_on;  /* what is in split.body */
	char *raw;          /* INTAKE_BLOCK octets, as they were read */
	struct split split;
	struct header header;           /* complete after intake_start() */
	struct mailbox_list recipients; /* each once */
};

/*
 * Read from fd, or by options->read, up to the end of the header.  Afterwards
 * in->header and in->recipients are final.  The caller intake_done()s it,
 * whatever comes.  What is no address is left out as long as there is another.
 * Kinds: FAILURE_USAGE no recipients; FAILURE_DATA none that is valid, too
 * many (before duplicates are merged), header too long; FAILURE_LATER read
 * error.
 */
int intake_start(struct intake *in, int fd,
    const struct intake_options *options, struct failure *f);

/*
 * The next block of the body, valid until the next call; an empty one is the
 * end.  Returns 0 or -1: FAILURE_LATER.
 */
int intake_body(struct intake *in, struct span *out, struct failure *f);

/*
 * Read and forget until the end of file, so that no caller gets SIGPIPE.
 * Owed after a failure and after a lone dot; harmless otherwise.
 */
void intake_drain(int fd);

/* Release everything but the descriptor; done twice is fine. */
void intake_done(struct intake *in);

#endif
