#include <getopt.h>
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
    "explain [-C FILE] [--json] ADDRESS [RECIPIENT]...\n"
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

static int
add_recipients(
    char **operands, int count, struct mailbox_list *list, struct failure *f)
{
	for (int i = 0; i < count; i++) {
		struct mailbox m;

		if (mailbox_parse(span_of(operands[i]), &m, f) == -1)
			return -1;
		mailbox_list_add(list, &m);
		mailbox_done(&m);
	}
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
explain_message(const struct config *config, const struct delivery_input *input,
    bool is_json, struct failure *f)
{
	struct delivery d;
	int r;

	delivery_plan(config, input, &d);
	if (is_json)
		show_plan_json(stdout, &d, input);
	else
		show_plan(stdout, &d, input);
	r = delivery_refusal(&d, f);
	delivery_done(&d);
	return r;
}

static int
explain_address(const struct config *config, char **operands, int count,
    bool is_json, struct failure *f)
{
	struct mailbox_list recipients = { .count = 0 };
	struct mailbox sender = { .local = NULL };
	struct message message;
	const struct delivery_input input = {
		.sender = &sender,
		.recipients = &recipients,
		.message = &message,
	};
	int r;

	message_init(&message);
	r = mailbox_parse(span_of(operands[0]), &sender, f);
	if (r == 0)
		r = add_recipients(operands + 1, count - 1, &recipients, f);
	if (r == 0)
		r = make_message(&sender, &message, f);
	if (r == 0)
		r = explain_message(config, &input, is_json, f);
	message_done(&message);
	mailbox_list_done(&recipients);
	mailbox_done(&sender);
	return r;
}

int
command_explain(int argc, char **argv)
{
	enum {
		OPT_JSON = 256
	};
	static const struct option long_options[] = {
		{ "json", no_argument, NULL, OPT_JSON },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = NULL;
	const struct advice *advice = NULL;
	struct config *config = NULL;
	struct failure f = { .kind = FAILURE_NONE };
	bool is_json = false;
	int c;

	while ((c = getopt_long(argc, argv, "+C:", long_options, NULL)) != -1) {
		if (c == 'C')
			path = optarg;
		else if (c == OPT_JSON)
			is_json = true;
		else
			return command_usage(usage);
	}
	if (optind == argc)
		return command_usage(usage);
	if (find_aadsts(span_of(argv[optind]), &advice) ||
	    find_smtp(span_of(argv[optind]), &advice))
		return explain_code(advice, argv[optind]);
	if (config_load(path, &config, &f) == 0)
		(void)explain_address(
		    config, argv + optind, argc - optind, is_json, &f);
	config_free(&config);
	return f.kind == FAILURE_NONE ? EX_OK : command_fail(&f);
}
