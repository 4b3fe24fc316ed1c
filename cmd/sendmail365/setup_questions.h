/*
 * setup_questions - what a configuration needs, from whoever knows it
 *
 * Where there is a configuration, what it says is what an empty answer means,
 * and where nobody is asked, it stays.
 */
#ifndef SENDMAIL365_SETUP_QUESTIONS_H
#define SENDMAIL365_SETUP_QUESTIONS_H

#include <stdbool.h>

#include "config/config.h"

struct account;
struct buf;
struct failure;
struct settings;

enum questions_about {
	QUESTIONS_ACCOUNT, /* who signs in, and how; before the secret */
	QUESTIONS_NAMES    /* where names without a domain go */
};

/*
 * Complete the settings.  Somebody is asked for what is missing, until each
 * answer is right; where nobody can be, nothing is guessed, and what is
 * required and missing is FAILURE_USAGE with the name of its option.
 */
int questions_answer(struct settings *settings, enum questions_about about,
    bool is_interactive, struct failure *f);

/*
 * The secret that goes with the settings, into a secret buffer that is
 * initialised here and is the caller's to buf_done() in any case: from a file
 * ("-": standard input), or NULL: somebody is asked.  Empty where the settings
 * need none, or that of old, the account that is there (NULL: none), goes on
 * to be used.  FAILURE_USAGE, FAILURE_CONFIG.
 */
int questions_secret(const struct settings *settings, const char *file,
    const struct account *old, bool is_interactive, struct buf *out,
    struct failure *f);

/* The last thing: take out what goes with another way to sign in only, and what
 * the rest says anyway. */
void questions_settle(struct settings *settings);

/* How to sign in, by what the settings say so far. */
enum auth_kind questions_auth(const struct settings *settings);

/*
 * Where a test mail is to go, for the caller to free(): one who is asked,
 * with the mailbox of the settings as the suggestion.  NULL: nowhere.
 */
char *questions_test(const struct settings *settings);

#endif
