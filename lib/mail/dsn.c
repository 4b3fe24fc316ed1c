#include "mail/dsn.h"

#include <stdio.h>
#include <string.h>

#include "core/ascii.h"

static const struct {
	const char *word;
	enum dsn_notify bit;
} conditions[] = {
	{ "NEVER", DSN_NEVER },
	{ "SUCCESS", DSN_SUCCESS },
	{ "FAILURE", DSN_FAILURE },
	{ "DELAY", DSN_DELAY },
};

enum {
	N_CONDITIONS = sizeof(conditions) / sizeof(conditions[0])
};

/* Up to the comma, which is cut off as well. */
static struct span
cut_item(struct span *text)
{
	const char *comma = memchr(text->s, ',', text->len);
	struct span item = *text;

	if (comma != NULL)
		item.len = (size_t)(comma - text->s);
	text->s += item.len;
	text->len -= item.len;
	if (comma != NULL) {
		text->s++;
		text->len--;
	}
	return span_trim(item);
}

int
dsn_take_notify(struct dsn *d, struct span text)
{
	unsigned notify = 0;

	while (text.len > 0) {
		struct span item = cut_item(&text);
		size_t i = 0;

		while (i < N_CONDITIONS &&
		    !span_is_nocase(item, conditions[i].word))
			i++;
		if (i == N_CONDITIONS)
			return -1;
		notify |= conditions[i].bit;
	}
	if (notify == 0 || ((notify & DSN_NEVER) && notify != DSN_NEVER))
		return -1;
	d->notify = notify;
	return 0;
}

int
dsn_take_ret(struct dsn *d, struct span text)
{
	if (span_is_nocase(text, "FULL"))
		d->ret = 'F';
	else if (span_is_nocase(text, "HDRS"))
		d->ret = 'H';
	else
		return -1;
	return 0;
}

/* xchar: any ASCII from "!" to "~" but "+" and "="       (RFC 3461 4) */
static bool
is_xchar(char c)
{
	return c > ' ' && c < 0x7f && c != '+' && c != '=';
}

static bool
is_xhex(char c)
{
	return ascii_is_digit(c) || (c >= 'A' && c <= 'F');
}

int
dsn_take_envid(struct dsn *d, struct span text)
{
	char out[DSN_ENVID_SIZE];
	size_t n = 0;

	if (text.len == 0 || text.len > DSN_ENVID_TEXT)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (ascii_is_control(text.s[i]) || ascii_is_8bit(text.s[i]))
			return -1;
		if (is_xchar(text.s[i]))
			out[n++] = text.s[i];
		else
			n += (size_t)snprintf(out + n, sizeof(out) - n, "+%02X",
			    (unsigned char)text.s[i]);
	}
	out[n] = '\0';
	memcpy(d->envid, out, n + 1);
	return 0;
}

int
dsn_take_xtext(struct dsn *d, struct span text)
{
	if (text.len == 0 || text.len >= DSN_ENVID_SIZE)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (is_xchar(text.s[i]))
			continue;
		if (text.s[i] != '+' || text.len - i < 3 ||
		    !is_xhex(text.s[i + 1]) || !is_xhex(text.s[i + 2]))
			return -1;
		i += 2;
	}
	memcpy(d->envid, text.s, text.len);
	d->envid[text.len] = '\0';
	return 0;
}

void
dsn_take_parameter(struct dsn *d, struct span word)
{
	static const struct {
		const char *name;
		int (*take)(struct dsn *d, struct span text);
	} parameters[] = {
		{ "RET=", dsn_take_ret },
		{ "ENVID=", dsn_take_xtext },
		{ "NOTIFY=", dsn_take_notify },
	};

	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]);
	     i++) {
		size_t len = strlen(parameters[i].name);

		/* What is wrong is not asked for; the message goes all the
		 * same. */
		if (word.len > len &&
		    ascii_equal_nocase(word.s, parameters[i].name, len))
			(void)parameters[i].take(
			    d, (struct span){ word.s + len, word.len - len });
	}
}

bool
dsn_wants_failure(const struct dsn *d)
{
	return d->notify == 0 || (d->notify & DSN_FAILURE) != 0;
}

int
dsn_write_mail(const struct dsn *d, struct buf *b)
{
	if (d->ret != '\0' &&
	    buf_puts(b, d->ret == 'F' ? " RET=FULL" : " RET=HDRS") == -1)
		return -1;
	return d->envid[0] != '\0' ? buf_printf(b, " ENVID=%s", d->envid) : 0;
}

int
dsn_write_rcpt(const struct dsn *d, struct buf *b)
{
	const char *separator = " NOTIFY=";

	for (size_t i = 0; i < N_CONDITIONS; i++) {
		if ((d->notify & conditions[i].bit) == 0)
			continue;
		if (buf_puts(b, separator) == -1 ||
		    buf_puts(b, conditions[i].word) == -1)
			return -1;
		separator = ",";
	}
	return 0;
}
