/*
 * message - one message as it was given: header in memory, body in a spill
 *
 * Built by writing its bytes in blocks of any size and in any kind of line
 * ends; what is stored is clean (lines.h).  The facts about the body that
 * later decisions need are collected on the way.
 */
#ifndef MAIL_MESSAGE_H
#define MAIL_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/spill.h"
#include "mail/header.h"
#include "mail/split.h"

struct failure;

struct body_facts {
	bool has_8bit;
	bool has_nul;
	bool is_utf8;        /* meaningful with has_8bit */
	size_t longest_line; /* octets without CRLF */
};

struct message {
	struct header header;
	struct spill body;
	struct body_facts facts;
	/* while it is built */
	struct split split;
	size_t line_length;
	char torn[4]; /* a UTF-8 character that a block's end has cut */
	size_t torn_len;
};

/* Prepare for the start of a message. */
void message_init(struct message *m);

/* Release everything, the file as well; done twice is fine. */
void message_done(struct message *m);

/* Take the next bytes, any number of them.  FAILURE_DATA: the header is too
 * long; FAILURE_LATER: no room. */
int message_write(struct message *m, struct span data, struct failure *f);

/* All is written: header and facts are valid from here. */
int message_finish(struct message *m, struct failure *f);

#endif
