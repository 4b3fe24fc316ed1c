/*
 * setup_steps - what is to be done at Microsoft for a configuration
 */
#ifndef SENDMAIL365_SETUP_STEPS_H
#define SENDMAIL365_SETUP_STEPS_H

#include <stdio.h>

struct config;

/* Print the steps for each account, with its own values. */
void setup_steps(FILE *to, const struct config *config);

#endif
