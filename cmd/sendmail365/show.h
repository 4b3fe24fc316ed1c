/*
 * show - a delivery's plan for people and as JSON
 */
#ifndef SENDMAIL365_SHOW_H
#define SENDMAIL365_SHOW_H

#include <stdio.h>

struct config;
struct delivery;
struct delivery_input;

/* Rules that were tried, account, envelope before and after, and every edit
 * with its reason. */
void show_plan(FILE *to, const struct config *config, const struct delivery *d,
    const struct delivery_input *input);

/* The same as one JSON object. */
void show_plan_json(FILE *to, const struct config *config,
    const struct delivery *d, const struct delivery_input *input);

#endif
