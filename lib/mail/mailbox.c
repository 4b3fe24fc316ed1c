#include "mail/mailbox.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "mail/encode.h"

struct mailbox
mailbox_copy(const struct mailbox *m)
{
	return (struct mailbox){
		.name = m->name != NULL ? xstrdup(m->name) : NULL,
		.local = m->local != NULL ? xstrdup(m->local) : NULL,
		.domain = m->domain != NULL ? xstrdup(m->domain) : NULL,
	};
}

void
mailbox_done(struct mailbox *m)
{
	free(m->name);
	free(m->local);
	free(m->domain);
	*m = (struct mailbox){ NULL, NULL, NULL };
}

void
mailbox_set_name(struct mailbox *m, const char *name)
{
	struct span s = span_of(name != NULL ? name : "");
	struct buf b;
	int r = 0;

	buf_init(&b, MAILBOX_NAME_MAX);
	s = span_trim(s);
	for (size_t i = 0; i < s.len && r == 0; i++) {
		if (s.s[i] == '\t')
			r = buf_putc(&b, ' ');
		else if (!ascii_is_control(s.s[i]))
			r = buf_putc(&b, s.s[i]);
	}
	free(m->name);
	m->name = r == 0 && b.len > 0 ? buf_take(&b) : NULL;
	buf_done(&b);
}

bool
mailbox_is_null(const struct mailbox *m)
{
	return m->local == NULL;
}

/* Order of two strings, NULL before all others. */
static int
compare_nocase(const char *a, const char *b)
{
	size_t i = 0;

	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	while (a[i] != '\0' && ascii_lower(a[i]) == ascii_lower(b[i]))
		i++;
	return (unsigned char)ascii_lower(a[i]) -
	    (unsigned char)ascii_lower(b[i]);
}

static int
compare_mailboxes(const struct mailbox *a, const struct mailbox *b)
{
	int order = compare_nocase(a->local, b->local);

	return order != 0 ? order : compare_nocase(a->domain, b->domain);
}

bool
mailbox_equal(const struct mailbox *a, const struct mailbox *b)
{
	return compare_mailboxes(a, b) == 0;
}

bool
mailbox_is_local(const struct mailbox *m, const char *host_name)
{
	struct span domain, label;

	if (mailbox_is_null(m) || m->domain == NULL)
		return !mailbox_is_null(m);
	domain = span_of(m->domain);
	if (span_is_nocase(domain, "localhost") ||
	    span_is_nocase(domain, "localhost.localdomain"))
		return true;
	if (host_name == NULL)
		return false;
	label = (struct span){ host_name, strcspn(host_name, ".") };
	return span_is_nocase(domain, host_name) ||
	    span_is_nocase(label, m->domain);
}

void
mailbox_qualify(struct mailbox *m, const char *domain)
{
	if (m->local != NULL && m->domain == NULL)
		m->domain = xstrdup(domain);
}

void
mailbox_list_add(struct mailbox_list *list, const struct mailbox *m)
{
	mailbox_list_take(list, mailbox_copy(m));
}

void
mailbox_list_take(struct mailbox_list *list, struct mailbox m)
{
	list->items = xgrow(list->items, list->count, sizeof(m));
	list->items[list->count++] = m;
}

/* For qsort(): equal mailboxes beside each other, the earlier one first. */
static int
compare_places(const void *a, const void *b)
{
	const struct mailbox *const *x = a;
	const struct mailbox *const *y = b;
	int order = compare_mailboxes(*x, *y);

	return order != 0 ? order : (*x > *y) - (*x < *y);
}

void
mailbox_list_unique(struct mailbox_list *list)
{
	struct mailbox **places;
	bool *is_repeated;
	size_t kept = 0;

	if (list->count < 2)
		return;
	places = xcalloc(list->count, sizeof(struct mailbox *));
	is_repeated = xcalloc(list->count, sizeof(*is_repeated));
	for (size_t i = 0; i < list->count; i++)
		places[i] = &list->items[i];
	qsort(places, list->count, sizeof(struct mailbox *), compare_places);
	for (size_t i = 1; i < list->count; i++)
		if (mailbox_equal(places[i - 1], places[i]))
			is_repeated[places[i] - list->items] = true;
	for (size_t i = 0; i < list->count; i++) {
		if (is_repeated[i])
			mailbox_done(&list->items[i]);
		else
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
	free(places);
	free(is_repeated);
}

void
mailbox_list_done(struct mailbox_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		mailbox_done(&list->items[i]);
	free(list->items);
	*list = (struct mailbox_list){ NULL, 0 };
}

/* ---- writing ---- */

bool
mailbox_is_atext(char c)
{
	/* The NUL at the end of the set is no member of it. */
	return ascii_is_alnum(c) || ascii_is_8bit(c) ||
	    (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

int
mailbox_write_quoted(struct buf *b, struct span s)
{
	int r = buf_putc(b, '"');

	for (size_t i = 0; i < s.len && r == 0; i++) {
		if (s.s[i] == '"' || s.s[i] == '\\')
			r = buf_putc(b, '\\');
		if (r == 0)
			r = buf_putc(b, s.s[i]);
	}
	return r == 0 ? buf_putc(b, '"') : -1;
}

int
mailbox_write_address(struct buf *b, const struct mailbox *m)
{
	if (m->local == NULL)
		return 0;
	if (buf_puts(b, m->local) == -1)
		return -1;
	if (m->domain == NULL)
		return 0;
	return buf_putc(b, '@') == -1 ? -1 : buf_puts(b, m->domain);
}

/* The next word of s, blanks before it skipped; s moves on. */
static struct span
next_word(struct span *s)
{
	struct span word = { s->s, 0 };

	while (word.len < s->len && !ascii_is_blank(word.s[word.len]))
		word.len++;
	s->s += word.len;
	s->len -= word.len;
	*s = span_trim(*s);
	return word;
}

/* An encoded word that needs no quotes: RFC 2047 5(3) has no specials in it.
 * With one it would be an address of its own. */
static bool
is_bare_encoded_word(struct span s)
{
	if (!encoded_word_is(s))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!mailbox_is_atext(s.s[i]) && s.s[i] != '.')
			return false;
	return true;
}

/* Append some words of a name, none of them an encoded word. */
static int
write_words(struct buf *b, struct span words)
{
	if (ascii_has_8bit(words))
		return encoded_words_write(b, words);
	for (size_t i = 0; i < words.len; i++)
		if (!mailbox_is_atext(words.s[i]) && words.s[i] != ' ')
			return mailbox_write_quoted(b, words);
	return buf_span(b, words);
}

static int
write_name(struct buf *b, struct span name)
{
	struct span rest = span_trim(name);
	size_t start_len = b->len;
	int r = 0;

	while (rest.len > 0 && r == 0) {
		struct span run = { rest.s, 0 };
		struct span word = next_word(&rest);
		bool is_encoded = is_bare_encoded_word(word);

		run.len = word.len;
		while (!is_encoded && rest.len > 0) {
			struct span ahead = rest;

			word = next_word(&ahead);
			if (is_bare_encoded_word(word))
				break;
			run.len = (size_t)(word.s + word.len - run.s);
			rest = ahead;
		}
		if (b->len > start_len)
			r = buf_putc(b, ' ');
		if (r == 0)
			r = is_encoded ? buf_span(b, run) : write_words(b, run);
	}
	return r;
}

int
mailbox_write(struct buf *b, const struct mailbox *m)
{
	if (m->name == NULL || m->local == NULL)
		return mailbox_write_address(b, m);
	if (write_name(b, span_of(m->name)) == -1 || buf_puts(b, " <") == -1 ||
	    mailbox_write_address(b, m) == -1)
		return -1;
	return buf_putc(b, '>');
}
