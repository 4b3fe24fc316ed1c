#include <getopt.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "advice/advice.h"
#include "command.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/message.h"
#include "route/deliver.h"
#include "show.h"

static const char usage[] =
    "explain [-C FILE] [--user NAME] [--to RECIPIENT]... [--json] ADDRESS"
    " [RECIPIENT]...\n"
    "       sendmail365 explain CODE   (535, 5.7.139, \"535 5.7.3 text\", "
    "AADSTS7000222)";

/* ---- a code ---- */

/* "5.7.139": digits and two dots. */
static bool
is_dsn(struct span word)
{
	size_t dots = 0;

	for (size_t i = 0; i < word.len; i++) {
		if (word.s[i] == '.')
			dots++;
		else if (!ascii_is_digit(word.s[i]))
			return false;
	}
	return dots == 2 && word.len <= 11;
}

/* Advice for "[535] [5.7.3] [text]"; false if that is no SMTP reply. */
static bool
find_smtp(struct span rest, const struct advice **advice)
{
	struct span whole = rest;
	struct span word;
	uint64_t code = 0;
	char *dsn = NULL;
	char *text;

	word = span_cut_word(&rest);
	if (word.len == 3 && parse_u64(word, 599, &code) == 0) {
		whole = rest;
		word = span_cut_word(&rest);
	}
	if (is_dsn(word)) {
		dsn = xstrndup(word.s, word.len);
		whole = rest;
	}
	if (code == 0 && dsn == NULL)
		return false;
	text = xstrndup(whole.s, whole.len);
	*advice = advice_smtp((int)code, dsn != NULL ? dsn : "", text);
	free(dsn);
	free(text);
	return true;
}

/* The same for "AADSTS7000222" or the number alone. */
static bool
find_aadsts(struct span word, const struct advice **advice)
{
	static const char prefix[] = "AADSTS";
	size_t len = sizeof(prefix) - 1;
	uint64_t number;

	if (word.len > len && ascii_equal_nocase(word.s, prefix, len)) {
		word.s += len;
		word.len -= len;
	}
	if (word.len < 5 || parse_u64(word, 999999999, &number) == -1)
		return false;
	*advice = advice_aadsts((unsigned long)number);
	return true;
}

static int
explain_code(const struct advice *advice, const char *code)
{
	if (advice == NULL) {
		(void)printf("%s: not in the table of known codes\n", code);
		return EX_UNAVAILABLE;
	}
	(void)printf("%s: %s\n  %s\n", code, advice->meaning, advice->cure);
	return EX_OK;
}

/* ---- an address ---- */

struct question {
	const char *config_path;
	const char *user; /* who calls; NULL: whoever has that address */
	struct mailbox_list recipients;
	bool is_json;
};

static int
add_recipient(const char *text, struct question *q, struct failure *f)
{
	struct mailbox m;

	if (mailbox_parse(span_of(text), &m, f) == -1)
		return -1;
	mailbox_list_take(&q->recipients, m);
	return 0;
}

/* A message from this sender, with nothing else in it. */
static int
make_message(
    const struct mailbox *sender, struct message *message, struct failure *f)
{
	struct buf header;
	int r;

	buf_init(&header, HEADER_MAX_BYTES);
	(void)buf_puts(&header, "From: ");
	(void)mailbox_write(&header, sender);
	(void)buf_puts(&header, "\r\n\r\n");
	r = message_write(message, buf_view(&header), f);
	buf_done(&header);
	return r == 0 ? message_finish(message, f) : -1;
}

static int
explain_message(const struct question *q, const struct config *config,
    const struct delivery_input *input, struct failure *f)
{
	struct delivery d;
	int r;

	delivery_plan(config, input, &d);
	if (q->is_json)
		show_plan_json(stdout, config, &d, input);
	else
		show_plan(stdout, config, &d, input);
	r = delivery_refusal(&d, f);
	delivery_done(&d);
	return r;
}

static int
explain_address(const struct question *q, const struct config *config,
    const char *address, struct failure *f)
{
	struct mailbox sender = { .local = NULL };
	struct message message;
	const struct delivery_input input = {
		.sender = &sender,
		.recipients = &q->recipients,
		.message = &message,
		.user = q->user,
	};
	int r;

	message_init(&message);
	r = mailbox_parse(span_of(address), &sender, f);
	if (r == 0)
		r = make_message(&sender, &message, f);
	if (r == 0)
		r = explain_message(q, config, &input, f);
	message_done(&message);
	mailbox_done(&sender);
	return r;
}

/* ---- command line ---- */

enum {
	OPT_JSON = 256,
	OPT_USER,
	OPT_TO
};

static const struct option long_options[] = {
	{ "json", no_argument, NULL, OPT_JSON },
	{ "user", required_argument, NULL, OPT_USER },
	{ "to", required_argument, NULL, OPT_TO },
	{ NULL, 0, NULL, 0 },
};

/* 0; -1 with a failure, or without one where the option is none. */
static int
take_option(struct question *q, int c, struct failure *f)
{
	switch (c) {
	case 'C':
		q->config_path = optarg;
		return 0;
	case OPT_JSON:
		q->is_json = true;
		return 0;
	case OPT_USER:
		q->user = optarg;
		return 0;
	case OPT_TO:
		return add_recipient(optarg, q, f);
	default:
		return -1;
	}
}

/* Options may stand behind the address, as one writes them. */
static int
take_options(struct question *q, int argc, char **argv, struct failure *f)
{
	int c;

	while ((c = getopt_long(argc, argv, "C:", long_options, NULL)) != -1)
		if (take_option(q, c, f) == -1)
			return -1;
	if (optind == argc)
		return -1;
	for (int i = optind + 1; i < argc; i++)
		if (add_recipient(argv[i], q, f) == -1)
			return -1;
	return 0;
}

/* Which user's mail it is: who is asked for, or who has that login name. */
static void
guess_user(struct question *q, const char *address)
{
	if (q->user == NULL && getpwnam(address) != NULL)
		q->user = address;
}

static int
answer(struct question *q, const char *what)
{
	const struct advice *advice = NULL;
	struct config *config = NULL;
	struct failure f = { .kind = FAILURE_NONE };

	if (find_aadsts(span_of(what), &advice) ||
	    find_smtp(span_of(what), &advice))
		return explain_code(advice, what);
	guess_user(q, what);
	if (config_load(q->config_path, &config, &f) == 0)
		(void)explain_address(q, config, what, &f);
	config_free(&config);
	return f.kind == FAILURE_NONE ? EX_OK : command_fail(&f);
}

int
command_explain(int argc, char **argv)
{
	struct question q = { .config_path = NULL };
	struct failure f = { .kind = FAILURE_NONE };
	int status;

	if (take_options(&q, argc, argv, &f) == 0)
		status = answer(&q, argv[optind]);
	else if (f.kind != FAILURE_NONE)
		status = command_fail(&f);
	else
		status = command_usage(usage);
	mailbox_list_done(&q.recipients);
	return status;
}
