/*
 * verify - what no single line of a configuration can get wrong
 *
 * Rules, accounts and Direct Send, seen together: rules that are never
 * reached, accounts that nothing leads to, addresses that no account may use.
 */
#ifndef CONFIG_VERIFY_H
#define CONFIG_VERIFY_H

struct config;
struct failure;

/*
 * Look up the accounts of rules, complete what follows from the rest, and
 * refuse what cannot be meant.  name stands for the file in messages.
 * FAILURE_CONFIG, with file and line.
 */
int verify_config(const char *name, struct config *config, struct failure *f);

#endif
