/*
 * check - is what a configuration names there, and can it be used?
 */
#ifndef SENDMAIL365_CHECK_H
#define SENDMAIL365_CHECK_H

#include <stdbool.h>

struct account;
struct config;
struct failure;

/*
 * Look at secrets, certificates and aliases.  Warnings go to standard output,
 * what is wrong with aliases to standard error.  FAILURE_CONFIG.
 */
int check_config(const struct config *config, struct failure *f);

/* Will Microsoft stop taking passwords here?  Relays, and its services for
 * machines, go on. */
bool check_loses_passwords(const struct account *account);

#endif
