#include "options.h"

#include <string.h>
#include <unistd.h>

#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"

enum {
	LOG_TAG_MAX = 48
};

enum argument {
	ARGUMENT_NONE,
	ARGUMENT_VALUE,   /* the rest of the word, else the next word */
	ARGUMENT_ATTACHED /* the rest of the word, even if empty */
};

static const char default_config[] =
    SENDMAIL365_SYSCONFDIR "/sendmail365/sendmail365.conf";

struct option {
	char letter;
	enum argument argument;
	/* NULL: accepted and ignored */
	int (*take)(struct options *o, const char *value, struct failure *f);
};

struct mode_name {
	const char *name;
	enum mode mode;
};

static int
take_text(
    const char *name, const char *value, const char **out, struct failure *f)
{
	/* A line break in an address or a name would be a new command or a new
	 * header field. */
	if (ascii_has_control(span_of(value)))
		return failure_set(f, FAILURE_USAGE,
		    "the value of %s holds a control character", name);
	*out = value;
	return 0;
}

static int
take_sender(struct options *o, const char *value, struct failure *f)
{
	return take_text("-f or -r", value, &o->sender, f);
}

static int
take_full_name(struct options *o, const char *value, struct failure *f)
{
	return take_text("-F", value, &o->full_name, f);
}

/*
 * Web programs can be made to pass options (the fifth parameter of PHP's
 * mail()): a configuration of an uploader's choice would send the secret that
 * this user can read to a host of the uploader's choice.
 */
static int
take_config_file(struct options *o, const char *value, struct failure *f)
{
	if (getuid() != 0 && strcmp(value, default_config) != 0)
		return failure_set(f, FAILURE_AUTH,
		    "option -C is for root only; a user's own configuration "
		    "is ~/.config/sendmail365/sendmail365.conf");
	return take_text("-C", value, &o->config_file, f);
}

/* A tag that would look odd in a log is ignored. */
static int
take_log_tag(struct options *o, const char *value, struct failure *f)
{
	size_t len = strlen(value);

	(void)f;
	if (len == 0 || len > LOG_TAG_MAX)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (!ascii_is_alnum(value[i]) && value[i] != '-' &&
		    value[i] != '_' && value[i] != '.')
			return 0;
	o->log_tag = value;
	return 0;
}

static int
take_mode(struct options *o, const char *value, struct failure *f)
{
	static const struct mode_name modes[] = {
		{ "m", MODE_DELIVER },
		{ "p", MODE_LIST },
		{ "i", MODE_NOTHING },
		{ "h", MODE_NOTHING },
		{ "H", MODE_NOTHING },
		{ "s", MODE_SMTP },
		{ "v", MODE_VERIFY },
		{ "t", MODE_UNAVAILABLE },
		{ "d", MODE_UNAVAILABLE },
		{ "D", MODE_UNAVAILABLE },
		{ "l", MODE_UNAVAILABLE },
		{ "P", MODE_UNAVAILABLE },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(value, modes[i].name) == 0) {
			o->mode = modes[i].mode;
			o->mode_letter = value[0];
			return 0;
		}
	return failure_set(f, FAILURE_USAGE, "unknown mode -b%s", value);
}

static int
take_nothing_mode(struct options *o, const char *value, struct failure *f)
{
	(void)value;
	(void)f;
	o->mode = MODE_NOTHING;
	return 0;
}

/*
 * -q and -qf, -qI, -qR, -qS try the queue once; -q30m would be a daemon, which
 * the service is.  A mode that was named by -b or argv[0] stays.
 */
static int
take_queue_run(struct options *o, const char *value, struct failure *f)
{
	if (o->mode != MODE_DELIVER)
		return 0;
	o->mode = value[0] == '\0' || strchr("fIRS", value[0]) != NULL
	    ? MODE_FLUSH
	    : MODE_NOTHING;
	if (value[0] == 'I')
		return take_text("-qI", value + 1, &o->queue_id, f);
	return 0;
}

static int
take_dots(struct options *o, const char *value, struct failure *f)
{
	(void)value;
	(void)f;
	o->ignores_dots = true;
	return 0;
}

/* Of the -o family only -oi and -od mean something here. */
static int
take_setting(struct options *o, const char *value, struct failure *f)
{
	if (strcmp(value, "i") == 0 || strcmp(value, "itrue") == 0)
		return take_dots(o, value, f);
	if (value[0] == 'd' && value[1] != '\0' && strchr("biq", value[1]))
		o->delivery = value[1];
	return 0;
}

static int
take_recipients(struct options *o, const char *value, struct failure *f)
{
	(void)value;
	(void)f;
	o->reads_recipients = true;
	return 0;
}

/* What is wrong with these three is not asked for: a sender that cannot be told
 * about it has still to be served. */
static int
take_notify(struct options *o, const char *value, struct failure *f)
{
	(void)f;
	(void)dsn_take_notify(&o->dsn, span_of(value));
	return 0;
}

static int
take_returned(struct options *o, const char *value, struct failure *f)
{
	(void)f;
	(void)dsn_take_ret(&o->dsn, span_of(value));
	return 0;
}

static int
take_envelope_id(struct options *o, const char *value, struct failure *f)
{
	(void)f;
	(void)dsn_take_envid(&o->dsn, span_of(value));
	return 0;
}

static int
take_verbose(struct options *o, const char *value, struct failure *f)
{
	(void)value;
	(void)f;
	o->is_verbose = true;
	return 0;
}

static const struct option table[] = {
	{ 'A', ARGUMENT_VALUE, NULL },
	{ 'B', ARGUMENT_VALUE, NULL },
	{ 'b', ARGUMENT_VALUE, take_mode },
	{ 'C', ARGUMENT_VALUE, take_config_file },
	{ 'c', ARGUMENT_NONE, NULL },
	{ 'D', ARGUMENT_VALUE, NULL },
	{ 'd', ARGUMENT_ATTACHED, NULL },
	{ 'E', ARGUMENT_ATTACHED, NULL },
	{ 'e', ARGUMENT_VALUE, NULL },
	{ 'F', ARGUMENT_VALUE, take_full_name },
	{ 'f', ARGUMENT_VALUE, take_sender },
	{ 'G', ARGUMENT_NONE, NULL },
	{ 'h', ARGUMENT_VALUE, NULL },
	{ 'I', ARGUMENT_NONE, take_nothing_mode },
	{ 'i', ARGUMENT_NONE, take_dots },
	{ 'J', ARGUMENT_ATTACHED, NULL },
	{ 'L', ARGUMENT_VALUE, take_log_tag },
	{ 'M', ARGUMENT_VALUE, NULL },
	{ 'm', ARGUMENT_NONE, NULL },
	{ 'N', ARGUMENT_VALUE, take_notify },
	{ 'n', ARGUMENT_NONE, NULL },
	{ 'O', ARGUMENT_VALUE, NULL },
	{ 'o', ARGUMENT_VALUE, take_setting },
	{ 'p', ARGUMENT_VALUE, NULL },
	{ 'Q', ARGUMENT_ATTACHED, NULL },
	{ 'q', ARGUMENT_ATTACHED, take_queue_run },
	{ 'R', ARGUMENT_VALUE, take_returned },
	{ 'r', ARGUMENT_VALUE, take_sender },
	{ 's', ARGUMENT_NONE, NULL },
	{ 'T', ARGUMENT_ATTACHED, NULL },
	{ 't', ARGUMENT_NONE, take_recipients },
	{ 'U', ARGUMENT_NONE, NULL },
	{ 'V', ARGUMENT_VALUE, take_envelope_id },
	{ 'v', ARGUMENT_NONE, take_verbose },
	{ 'X', ARGUMENT_VALUE, NULL },
	{ 'x', ARGUMENT_NONE, NULL },
};

static const struct option *
find_option(char letter)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].letter == letter)
			return &table[i];
	return NULL;
}

/*
 * Take the option at *letter, whose value may be the rest of the word or the
 * next one.  Returns how many words are used up, or 0 if the word has more
 * letters; -1: FAILURE_USAGE.
 */
static int
take_option(
    struct options *o, const char *letter, const char *next, struct failure *f)
{
	const struct option *option = find_option(*letter);
	const char *value = letter + 1;
	int used = 1;

	if (option == NULL)
		return failure_set(
		    f, FAILURE_USAGE, "unknown option -%s", letter);
	if (option->argument == ARGUMENT_NONE)
		used = *value != '\0' ? 0 : 1;
	if (option->argument == ARGUMENT_VALUE && *value == '\0') {
		if (next == NULL)
			return failure_set(f, FAILURE_USAGE,
			    "option -%c needs a value", *letter);
		value = next;
		used = 2;
	}
	if (option->take != NULL && option->take(o, value, f) == -1)
		return -1;
	return used;
}

/* The word at argv[0] is a cluster of letters: "-ti", "-itfme@x". */
static int
take_word(struct options *o, char *const *argv, struct failure *f)
{
	const char *letter = argv[0] + 1;
	int used;

	if (*letter == '-')
		return failure_set(
		    f, FAILURE_USAGE, "unknown option %s", argv[0]);
	do
		used = take_option(o, letter++, argv[1], f);
	while (used == 0);
	return used;
}

/* Callers start a program under any name; few of them mean something. */
static enum mode
mode_of_name(const char *path)
{
	static const struct mode_name names[] = {
		{ "mailq", MODE_LIST },
		{ "newaliases", MODE_NOTHING },
		{ "hoststat", MODE_NOTHING },
		{ "purgestat", MODE_NOTHING },
		{ "runq", MODE_FLUSH },
		{ "smtpd", MODE_UNAVAILABLE },
	};
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i].name) == 0)
			return names[i].mode;
	return MODE_DELIVER;
}

int
options_parse(
    int argc, char *const *argv, struct options *out, struct failure *f)
{
	int i = 1;

	*out = (struct options){ .mode_letter = 'd' };
	if (argc == 0)
		return 0;
	out->mode = mode_of_name(argv[0]);
	while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
		int used;

		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		used = take_word(out, argv + i, f);
		if (used == -1)
			return -1;
		i += used;
	}
	if (i < argc) {
		out->operands = (const char *const *)(argv + i);
		out->operand_count = (size_t)(argc - i);
	}
	return 0;
}
