#include "mail/display_name.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/mailbox.h"
#include "mail/permit.h"
#include "mail/rewrite.h"

/*
 * The display name under which the account speaks for an author.  Who has no
 * name is shown as "root@web1" if it is an address of this host, because it
 * would be lost; not if it is a foreign address, because another's address
 * as a display name is a mark of phishing.
 */
static char *
own_name(const struct rewrite_policy *policy, const struct mailbox *author)
{
	const char *domain = author->domain;

	if (author->name != NULL && author->name[0] != '\0')
		return xstrdup(author->name);
	if (mailbox_equal(author, policy->account) ||
	    permit_is_foreign(policy, author))
		return NULL;
	if (domain == NULL)
		domain = policy->host_name;
	if (domain == NULL)
		return xstrdup(author->local);
	return xasprintf("%s@%s", author->local, domain);
}

static const char *const words[] = { "{name}", "{address}", "{user}",
	"{host}" };

static bool
is_word(struct span piece)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(piece, words[i]))
			return true;
	return false;
}

/* What a piece of a template stands for; -1: it does not fit. */
static int
fill_in(const struct rewrite_policy *policy, const struct mailbox *author,
    struct span piece, struct buf *b)
{
	const char *text = policy->host_name;
	char *name = NULL;
	int r;

	if (!is_word(piece))
		return buf_span(b, piece);
	if (span_is(piece, "{address}"))
		return mailbox_write_address(b, author);
	if (span_is(piece, "{name}")) {
		name = own_name(policy, author);
		text = name != NULL ? name : author->local;
	} else if (span_is(piece, "{user}")) {
		text = policy->user;
	}
	r = buf_puts(b, text != NULL ? text : "");
	free(name);
	return r;
}

/* Cut plain text, or a word in braces, off *rest. */
static struct span
cut_piece(struct span *rest)
{
	const char *brace = memchr(rest->s, '{', rest->len);
	const char *end = brace;
	struct span piece = *rest;

	if (brace == rest->s)
		end = memchr(rest->s, '}', rest->len);
	if (end != NULL)
		piece.len = (size_t)(end - rest->s) + (brace == rest->s);
	rest->s += piece.len;
	rest->len -= piece.len;
	return piece;
}

char *
display_name_make(
    const struct rewrite_policy *policy, const struct mailbox *author)
{
	struct span rest;
	struct buf b;
	int r = 0;

	if (policy->display_name == NULL)
		return own_name(policy, author);
	rest = span_of(policy->display_name);
	buf_init(&b, MAILBOX_NAME_MAX);
	while (rest.len > 0 && r == 0)
		r = fill_in(policy, author, cut_piece(&rest), &b);
	if (r == 0)
		return buf_take(&b);
	buf_done(&b);
	return NULL;
}

int
display_name_check(struct span text, struct failure *f)
{
	while (text.len > 0) {
		struct span piece = cut_piece(&text);

		if (piece.s[0] == '{' && !is_word(piece))
			return failure_set(f, FAILURE_CONFIG,
			    "\"%.*s\" stands for nothing; known are {name}, "
			    "{address}, {user} and {host}",
			    (int)piece.len, piece.s);
	}
	return 0;
}
