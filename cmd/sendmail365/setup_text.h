/*
 * setup_text - settings as the text of a file
 *
 * A configuration that is there is changed: what was added for a key takes the
 * place of what its lines say, and every other line stays as it is, with
 * comments, order, and the accounts that setup does not ask about.
 */
#ifndef SENDMAIL365_SETUP_TEXT_H
#define SENDMAIL365_SETUP_TEXT_H

#include "core/buf.h"

struct account;
struct config;
struct settings;

/* The account that setup is about: [account], or where all have names the
 * first. */
const struct account *text_account(const struct config *config);

/* Note what is there: a text, and what config_parse() made of it. */
void text_take_over(
    struct settings *s, const struct config *config, struct span text);

/* Append the file; what is new in it, in the order of the manual.  -1: out
 * cannot take all of it. */
int text_write(const struct settings *s, struct buf *out);

#endif
