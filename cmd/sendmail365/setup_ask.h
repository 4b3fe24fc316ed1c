/*
 * setup_ask - questions at a terminal
 *
 * Answers come from standard input, questions go to standard error.  A signal
 * that ends the program does so here, with the echo of the terminal restored.
 */
#ifndef SENDMAIL365_SETUP_ASK_H
#define SENDMAIL365_SETUP_ASK_H

#include <stdbool.h>

struct buf;
struct failure;

enum {
	ASK_ANSWER_MAX = 8192 /* octets that a buffer for answers can take */
};

/* Is somebody there to ask? */
bool ask_is_possible(void);

/*
 * Ask for one line, into out, which is emptied before; without line end, and
 * tidied.  suggestion is what an empty line means; NULL: nothing.
 * FAILURE_USAGE: there is no answer any more.
 */
int ask_line(const char *question, const char *suggestion, struct buf *out,
    struct failure *f);

/* The same without echo, as it was typed: out is to be a secret buffer. */
int ask_secret(const char *question, struct buf *out, struct failure *f);

/* Take blanks off both ends, and out of all of it the characters that are not
 * seen, which come along when something is copied from a page. */
void ask_tidy(struct buf *answer);

/* Say why the answer will not do. */
void ask_complain(const struct failure *f);

#endif
