/*
 * options - the command line of sendmail, mailq and newaliases
 *
 * Every option that a mainstream mail agent takes is taken, with the same
 * number of arguments: a wrong count would turn a value into a recipient.
 * What has no meaning here is ignored, and what names a file to write is
 * never opened.
 */
#ifndef SENDMAIL_OPTIONS_H
#define SENDMAIL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "mail/dsn.h"

struct failure;

enum mode {
	MODE_DELIVER,
	MODE_LIST,       /* -bp, mailq */
	MODE_FLUSH,      /* -q, runq: try what is in the queue */
	MODE_NOTHING,    /* newaliases, -bi: there is nothing to do */
	MODE_SMTP,       /* -bs: on standard input and output */
	MODE_VERIFY,     /* -bv: say what addresses stand for */
	MODE_UNAVAILABLE /* -bd, -bt, ...: refused without reading stdin */
};

/* All strings are parts of argv or constants. */
struct options {
	enum mode mode;
	char mode_letter;        /* of -b */
	bool reads_recipients;   /* -t */
	bool ignores_dots;       /* -i, -oi */
	bool is_verbose;         /* -v */
	char delivery;           /* 'b', 'i', 'q' of -od; NUL: not given */
	const char *sender;      /* -f, -r; may be ""; NULL: not given */
	const char *full_name;   /* -F, or NULL */
	const char *config_file; /* -C, or NULL */
	const char *log_tag;     /* -L, or NULL */
	const char *queue_id;    /* of -qI, or NULL: all */
	struct dsn dsn;          /* -N, -R, -V */
	const char *const *operands;
	size_t operand_count;
};

/*
 * Understand argv, whose first word may decide the mode.  FAILURE_USAGE: an
 * unknown option or mode, a value that is missing, or one with a control
 * character; *out is complete up to the mistake.
 */
int options_parse(
    int argc, char *const *argv, struct options *out, struct failure *f);

#endif
