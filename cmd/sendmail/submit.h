/*
 * submit - one message, spoken as SMTP to the service or, where none answers,
 * to "sendmail365 submit"
 *
 * Everything is written without waiting for answers (PIPELINING, CHUNKING):
 * a small message is one write.  Nothing is delivered before the last chunk
 * is announced as such, so a caller that dies half-way sends nothing.
 */
#ifndef SENDMAIL_SUBMIT_H
#define SENDMAIL_SUBMIT_H

#include <stdbool.h>

struct dsn;
struct failure;
struct intake;
struct mailbox;

struct submission {
	const struct mailbox *sender; /* may be null, may be a bare name */
	const char *config_file;      /* -C, or NULL */
	char delivery;                /* 'b', 'i', 'q' of -od, or NUL */
	const struct dsn *dsn;        /* what was asked for */
	bool is_verbose;
};

/*
 * Send the message of in, which intake_start() has begun, to in's recipients.
 * Returns EX_OK if all of them are taken care of, else the status to exit
 * with, and f->text says why.  Standard input may be left half read.
 */
int submit_message(
    struct intake *in, const struct submission *s, struct failure *f);

#endif
