#include "mail/address.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/log.h"

enum {
	COMMENT_DEPTH_MAX = 100, /* parentheses within parentheses */
	SHOWN_SIZE = 100         /* of an address in a failure text */
};

static const char no_files[] =
    "mail to programs and files is not supported (|, /, :include:)";

/*
 * ---- tokens ----
 *
 * word          = atom / quoted-string
 * atom          = 1*atext, here with dots among them, because names have them
 *                 ("J. Doe") and an address without dots is rare
 * quoted-string = DQUOTE *([FWS] qcontent) [FWS] DQUOTE
 * comment       = "(" *([FWS] (ctext / quoted-pair / comment)) [FWS] ")"
 * domain-literal = "[" *dtext "]"
 */

enum token_kind {
	TOKEN_END,
	TOKEN_ATOM,
	TOKEN_QUOTED,
	TOKEN_COMMENT,
	TOKEN_LITERAL,
	TOKEN_SPECIAL, /* one of < > @ , ; : */
	TOKEN_OTHER,   /* a character that only a display name may hold */
	TOKEN_BAD      /* a control character, or what is never closed */
};

struct token {
	enum token_kind kind;
	struct span text;
	bool follows_blank;
};

/* Where parsing is, and why it stopped. */
struct cursor {
	const char *at;
	const char *end;
	const char *problem; /* a constant */
};

static struct cursor
cursor_over(struct span text)
{
	/* An absent span has no address to add to. */
	const char *at = text.s != NULL ? text.s : "";

	return (struct cursor){ at, at + text.len, NULL };
}

static int
refuse(struct cursor *c, const char *problem)
{
	c->problem = problem;
	return -1;
}

static bool
skip_blanks(struct cursor *c)
{
	const char *start = c->at;

	while (c->at < c->end && ascii_is_blank(*c->at))
		c->at++;
	return c->at > start;
}

/* A backslash makes the next character an ordinary one. */
static void
skip_char(struct cursor *c)
{
	if (*c->at == '\\' && c->end - c->at > 1)
		c->at++;
	c->at++;
}

static enum token_kind
take_quoted(struct cursor *c)
{
	bool has_control = false;

	for (c->at++; c->at < c->end && *c->at != '"'; skip_char(c))
		if (ascii_is_control(*c->at) && *c->at != '\t')
			has_control = true;
	if (c->at == c->end)
		return TOKEN_BAD;
	c->at++;
	return has_control ? TOKEN_BAD : TOKEN_QUOTED;
}

/* Counts instead of recursion: the depth is the sender's choice. */
static enum token_kind
take_comment(struct cursor *c)
{
	size_t depth = 0;
	size_t deepest = 0;

	do {
		if (*c->at == '(')
			depth++;
		else if (*c->at == ')')
			depth--;
		if (depth > deepest)
			deepest = depth;
		skip_char(c);
	} while (depth > 0 && c->at < c->end);
	return depth > 0 || deepest > COMMENT_DEPTH_MAX ? TOKEN_BAD
							: TOKEN_COMMENT;
}

/* Printable without blanks, brackets and backslash (RFC 5321 4.1.3). */
static bool
is_dtext(char c)
{
	/* Less than RFC 5321 4.1.3 has: what no address needs cannot end a
	 * path. */
	return ascii_is_alnum(c) || c == '.' || c == ':' || c == '-';
}

static enum token_kind
take_literal(struct cursor *c)
{
	const char *p = c->at + 1;

	while (p < c->end && is_dtext(*p))
		p++;
	if (p == c->end || *p != ']') {
		c->at++;
		return TOKEN_OTHER;
	}
	c->at = p + 1;
	return TOKEN_LITERAL;
}

/*
 * An encoded word is one piece even where it holds a comma or a parenthesis,
 * which RFC 2047 5(3) forbids and programs do.
 */
static bool
take_encoded_word(struct cursor *c)
{
	const char *p = c->at;
	size_t marks = 0;

	if (c->end - p < 2 || p[0] != '=' || p[1] != '?')
		return false;
	for (p++; p<c->end && * p> ' ' && *p < 0x7f && marks < 4; p++)
		if (*p == '?')
			marks++;
	if (marks < 4 || p == c->end || *p != '=')
		return false;
	c->at = p + 1;
	return true;
}

static bool
take_atom(struct cursor *c)
{
	const char *start = c->at;

	while (c->at < c->end && (mailbox_is_atext(*c->at) || *c->at == '.'))
		c->at++;
	return c->at > start;
}

static enum token_kind
take_token(struct cursor *c)
{
	if (c->at == c->end)
		return TOKEN_END;
	switch (*c->at) {
	case '"':
		return take_quoted(c);
	case '(':
		return take_comment(c);
	case '[':
		return take_literal(c);
	case '<':
	case '>':
	case '@':
	case ',':
	case ';':
	case ':':
		c->at++;
		return TOKEN_SPECIAL;
	default:
		if (take_encoded_word(c) || take_atom(c))
			return TOKEN_ATOM;
		return ascii_is_control(*c->at++) ? TOKEN_BAD : TOKEN_OTHER;
	}
}

static struct token
next_token(struct cursor *c)
{
	struct token t = { .follows_blank = skip_blanks(c) };
	const char *start = c->at;

	t.kind = take_token(c);
	t.text = (struct span){ start, (size_t)(c->at - start) };
	return t;
}

static struct token
next_but_comments(struct cursor *c)
{
	struct token t;

	do
		t = next_token(c);
	while (t.kind == TOKEN_COMMENT);
	return t;
}

static bool
token_is(const struct token *t, char special)
{
	return t->kind == TOKEN_SPECIAL && t->text.s[0] == special;
}

/* Append what a quoted string or a comment says: without the delimiters, the
 * backslashes gone. */
static int
add_unquoted(struct buf *b, struct span text)
{
	for (size_t i = 1; i + 1 < text.len; i++) {
		if (text.s[i] == '\\' && i + 2 < text.len)
			i++;
		if (buf_putc(b, text.s[i]) == -1)
			return -1;
	}
	return 0;
}

/*
 * ---- addr-spec ----
 *
 * addr-spec  = local-part "@" domain     ; or, here, a bare local-part
 * local-part = dot-atom / quoted-string
 * domain     = dot-atom / domain-literal
 */

static bool
is_dot_atom(struct span s)
{
	char last = '.';

	for (size_t i = 0; i < s.len; i++) {
		if (s.s[i] == '.' ? last == '.' : !mailbox_is_atext(s.s[i]))
			return false;
		last = s.s[i];
	}
	return last != '.';
}

static int
check_local(struct cursor *c, struct span local)
{
	static const char include[] = ":include:";

	if (local.len == 0)
		return refuse(c, "nothing is before the @");
	if (local.s[0] == '-')
		return refuse(c, "it looks like an option");
	if (local.s[0] == '|' || local.s[0] == '/' ||
	    (local.len >= sizeof(include) - 1 &&
		span_is_nocase(
		    (struct span){ local.s, sizeof(include) - 1 }, include)))
		return refuse(c, no_files);
	if (ascii_has_control(local))
		return refuse(c, "a control character is in it");
	if (!utf8_is_valid(local.s, local.len))
		return refuse(c, "it is neither ASCII nor UTF-8");
	return 0;
}

/*
 * Append the local part in the form in which it is sent: quotes only where
 * they are needed, so that "a"@x and a@x are the same address, and there
 * always, so that the widespread a..b@x obeys RFC 5321.
 */
static int
parse_local(struct cursor *c, const struct token *t, struct buf *out)
{
	struct buf plain;
	int r;

	buf_init(&plain, ADDRESS_MAX);
	if (t->kind == TOKEN_QUOTED)
		r = add_unquoted(&plain, t->text);
	else
		r = buf_span(&plain, t->text);
	if (r == 0)
		r = check_local(c, buf_view(&plain));
	else
		(void)refuse(c, "it is too long");
	if (r == 0) {
		r = is_dot_atom(buf_view(&plain))
		    ? buf_span(out, buf_view(&plain))
		    : mailbox_write_quoted(out, buf_view(&plain));
		if (r == -1)
			(void)refuse(c, "it is too long");
	}
	buf_done(&plain);
	return r;
}

static bool
is_domain_char(char c)
{
	return ascii_is_alnum(c) || ascii_is_8bit(c) || c == '-' || c == '_' ||
	    c == '.';
}

/* *domain loses the dot that only DNS needs at its end. */
static int
check_domain(struct cursor *c, const struct token *t, struct span *domain)
{
	*domain = t->text;
	if (t->kind == TOKEN_LITERAL)
		return t->text.len > 2 ? 0 : refuse(c, "the domain is empty");
	if (t->kind != TOKEN_ATOM)
		return refuse(c, "the domain is missing");
	if (domain->s[domain->len - 1] == '.')
		domain->len--;
	for (size_t i = 0; i < domain->len; i++)
		if (!is_domain_char(domain->s[i]))
			return refuse(c, "the domain has a wrong character");
	if (!is_dot_atom(*domain) || domain->s[0] == '-')
		return refuse(c, "the domain is malformed");
	if (!utf8_is_valid(domain->s, domain->len))
		return refuse(c, "it is neither ASCII nor UTF-8");
	return 0;
}

/* "=?" is how an encoded word begins that a comma or a blank has torn. */
static int
check_bare(struct cursor *c, struct span name)
{
	if (!is_dot_atom(name) ||
	    (name.len > 1 && memcmp(name.s, "=?", 2) == 0))
		return refuse(c, "it is no address");
	return 0;
}

/* Take "@" domain if it is there; else *domain stays empty. */
static int
parse_domain(struct cursor *c, struct span *domain)
{
	struct cursor ahead = *c;
	struct token t = next_but_comments(&ahead);

	if (!token_is(&t, '@'))
		return 0;
	*c = ahead;
	t = next_but_comments(c);
	return check_domain(c, &t, domain);
}

/* Parse one addr-spec or bare name at the cursor into *out, an empty one. */
static int
parse_spec(struct cursor *c, struct mailbox *out)
{
	struct token t = next_but_comments(c);
	struct span domain = { NULL, 0 };
	struct buf local;
	int r;

	if (token_is(&t, '@'))
		return refuse(c, "nothing is before the @");
	if (t.kind != TOKEN_ATOM && t.kind != TOKEN_QUOTED)
		return refuse(c, "it is no address");
	buf_init(&local, ADDRESS_MAX);
	r = parse_local(c, &t, &local);
	if (r == 0)
		r = parse_domain(c, &domain);
	if (r == 0 && domain.s == NULL)
		r = check_bare(c, buf_view(&local));
	if (r == 0 && local.len + 1 + domain.len > ADDRESS_MAX)
		r = refuse(c, "it is too long");
	if (r == 0) {
		out->local = buf_take(&local);
		if (domain.s != NULL)
			out->domain = xstrndup(domain.s, domain.len);
	}
	buf_done(&local);
	return r;
}

/*
 * ---- list entries ----
 *
 * mailbox    = [display-name] "<" [route] addr-spec ">" / addr-spec
 * route      = 1*("@" domain ",") ":"            ; obsolete, dropped
 * group      = display-name ":" [mailbox-list] ";"
 * address-list = address *("," address)          ; ';' and blanks too
 */

/* One entry of a list, cut out but not yet looked into. */
struct entry {
	struct span text;    /* all of it, for messages */
	struct span phrase;  /* what is before the angle, or all */
	struct span angle;   /* what is within the angle brackets */
	struct span comment; /* the first one, with its parentheses */
	bool has_angle;
	char end;            /* its separator: , ; : blank, or NUL at the end */
	const char *problem; /* why it is no mailbox, or NULL */
};

/* Having taken "<", take the rest of angle-addr.  A comma ends one that is not
 * closed, so that it does not swallow the next address. */
static void
scan_angle(struct cursor *c, struct entry *e)
{
	struct cursor before = *c;
	struct token t = next_but_comments(c);
	bool has_route = token_is(&t, '@');

	e->angle.s = before.at;
	while (!token_is(&t, '>')) {
		if (token_is(&t, ':'))
			has_route = false;
		if (t.kind == TOKEN_END || t.kind == TOKEN_BAD ||
		    token_is(&t, '<') || (token_is(&t, ',') && !has_route)) {
			e->problem = "a < is not closed";
			*c = before;
			return;
		}
		before = *c;
		t = next_but_comments(c);
	}
	e->angle.len = (size_t)(t.text.s - e->angle.s);
	e->has_angle = true;
}

/* Take a special at the level of the list.  True: the entry ends with it. */
static bool
scan_special(struct cursor *c, struct entry *e, const struct token *t)
{
	char special = t->text.s[0];

	if (special == ',' || special == ';') {
		e->end = special;
		return true;
	}
	if (e->problem != NULL)
		return false;
	if (special == ':' && e->phrase.s < t->text.s) {
		e->end = special;
		return true;
	}
	if (special == '<') {
		e->phrase.len = (size_t)(t->text.s - e->phrase.s);
		scan_angle(c, e);
	} else if (special == ':') {
		e->problem = no_files;
	} else if (special == '>') {
		e->problem = "a > is not expected";
	}
	return false;
}

/* Cut the next entry out of the list. */
static void
scan_entry(struct cursor *c, struct entry *e)
{
	bool has_separator;

	*e = (struct entry){ .end = '\0' };
	(void)skip_blanks(c);
	e->text.s = e->phrase.s = c->at;
	for (;;) {
		struct cursor before = *c;
		struct token t = next_token(c);

		if (t.kind == TOKEN_END)
			break;
		if (t.kind == TOKEN_COMMENT) {
			if (e->comment.s == NULL)
				e->comment = t.text;
			continue;
		}
		/* Only a separator may follow angle-addr.  What else is there
		 * is taken for the next address. */
		if (e->has_angle && e->problem == NULL && !token_is(&t, ',') &&
		    !token_is(&t, ';')) {
			e->end = ' ';
			*c = before;
			break;
		}
		if (t.kind == TOKEN_BAD)
			e->problem = "a control character is in it, or a quote "
				     "or parenthesis is not closed";
		if (t.kind == TOKEN_SPECIAL && scan_special(c, e, &t))
			break;
	}
	has_separator = e->end != '\0' && e->end != ' ';
	e->text.len = (size_t)(c->at - e->text.s) - (has_separator ? 1 : 0);
	if (!e->has_angle)
		e->phrase = e->text;
	e->text = span_trim(e->text);
	e->phrase = span_trim(e->phrase);
}

/* Append the words of a display name, one blank where there are blanks. */
static int
add_phrase(struct buf *b, struct span phrase)
{
	struct cursor c = cursor_over(phrase);
	int r = 0;

	for (struct token t = next_token(&c); t.kind != TOKEN_END && r == 0;
	     t = next_token(&c)) {
		if (t.kind == TOKEN_COMMENT)
			continue;
		if (t.follows_blank && b->len > 0)
			r = buf_putc(b, ' ');
		if (r == 0)
			r = t.kind == TOKEN_QUOTED ? add_unquoted(b, t.text)
						   : buf_span(b, t.text);
	}
	return r;
}

/* The display name, else what a comment says, else NULL. */
static char *
make_name(const struct entry *e)
{
	struct mailbox holder = { NULL, NULL, NULL };
	struct buf b;
	int r = 0;

	buf_init(&b, MAILBOX_NAME_MAX);
	if (e->has_angle)
		r = add_phrase(&b, e->phrase);
	if (r == 0 && b.len == 0)
		r = add_unquoted(&b, e->comment);
	if (r == 0)
		mailbox_set_name(&holder, b.s);
	buf_done(&b);
	return holder.name;
}

static void
skip_route(struct cursor *c)
{
	struct cursor ahead = *c;
	struct token t = next_but_comments(&ahead);

	if (!token_is(&t, '@'))
		return;
	while (t.kind != TOKEN_END && !token_is(&t, ':'))
		t = next_but_comments(&ahead);
	if (t.kind != TOKEN_END)
		*c = ahead;
}

/* What a list is being parsed into. */
struct harvest {
	struct mailbox_list *list;
	size_t max;
	struct mailbox_list_notes notes;
	bool is_full;
};

static void
note_skipped(struct harvest *h, struct span text, const char *problem)
{
	if (h->notes.skipped++ == 0) {
		h->notes.first_skipped = text;
		h->notes.first_reason = problem;
	}
}

static void
harvest_add(struct harvest *h, struct mailbox m)
{
	if (h->list->count < h->max) {
		mailbox_list_take(h->list, m);
	} else {
		h->is_full = true;
		mailbox_done(&m);
	}
}

static int
parse_angle(struct cursor *c, const struct entry *e, struct mailbox *m)
{
	struct token t;

	skip_route(c);
	if (parse_spec(c, m) == -1)
		return -1;
	t = next_but_comments(c);
	if (t.kind != TOKEN_END)
		return refuse(c, "it is no address");
	m->name = make_name(e);
	return 0;
}

static bool
is_at_end(const struct cursor *c)
{
	struct cursor ahead = *c;

	return next_but_comments(&ahead).kind == TOKEN_END;
}

/* There must not be more of this address: in "a@x@y" and "a @ x . com" what is
 * before the cursor is the address of somebody else. */
static int
check_whole(struct cursor *c)
{
	struct cursor ahead = *c;
	struct token t = next_but_comments(&ahead);

	if (t.kind == TOKEN_END)
		return 0;
	if (token_is(&t, '@'))
		return refuse(c, "nothing is before the @");
	if (!t.follows_blank || c->at[-1] == '.' || t.text.s[0] == '.')
		return refuse(c, "it is no address");
	return 0;
}

/* "a@x", "root", or "a@x b@y": several need a domain each, for words in a row
 * are a name that lacks its address. */
static void
harvest_specs(struct harvest *h, const struct entry *e, bool is_alone)
{
	struct cursor c = cursor_over(e->phrase);

	for (bool is_first = true; !is_at_end(&c); is_first = false) {
		struct mailbox m = { NULL, NULL, NULL };

		if (parse_spec(&c, &m) == 0 && check_whole(&c) == 0 &&
		    m.domain == NULL &&
		    !(is_first && is_alone && is_at_end(&c)))
			(void)refuse(&c, "it is no address");
		if (c.problem != NULL) {
			mailbox_done(&m);
			note_skipped(h, e->text, c.problem);
			return;
		}
		if (is_first && is_at_end(&c))
			m.name = make_name(e);
		harvest_add(h, m);
	}
}

/* follows_angle: only blanks separate the entry from an earlier one. */
static void
harvest_entry(struct harvest *h, const struct entry *e, bool follows_angle)
{
	struct mailbox m = { NULL, NULL, NULL };
	struct cursor c = cursor_over(e->angle);

	if (e->problem != NULL) {
		note_skipped(h, e->text, e->problem);
	} else if (e->end == ':') {
		h->notes.has_group = true;
	} else if (!e->has_angle) {
		harvest_specs(h, e, !follows_angle);
	} else if (parse_angle(&c, e, &m) == 0) {
		harvest_add(h, m);
	} else {
		mailbox_done(&m);
		note_skipped(h, e->text, c.problem);
	}
}

static bool
has_line_break(struct span text)
{
	return text.len > 0 &&
	    (memchr(text.s, '\n', text.len) != NULL ||
		memchr(text.s, '\r', text.len) != NULL ||
		memchr(text.s, '\0', text.len) != NULL);
}

int
mailbox_list_parse(struct span text, size_t max, struct mailbox_list *list,
    struct mailbox_list_notes *notes, struct failure *f)
{
	struct harvest h = { .list = list, .max = max };
	struct cursor c = cursor_over(text);
	struct entry e = { .end = ',' };

	if (has_line_break(text)) {
		note_skipped(&h, text, "a line end or NUL is in it");
		e.end = '\0';
	}
	while (e.end != '\0' && !h.is_full) {
		bool follows_angle = e.end == ' ';

		scan_entry(&c, &e);
		harvest_entry(&h, &e, follows_angle);
	}
	if (notes != NULL)
		*notes = h.notes;
	if (h.is_full)
		return failure_set(
		    f, FAILURE_DATA, "more than %zu addresses", max);
	return 0;
}

/* ---- one mailbox ---- */

static int
refuse_text(struct failure *f, struct span text, const char *problem)
{
	char shown[SHOWN_SIZE];

	log_escape(shown, sizeof(shown), text.s, text.len);
	(void)failure_set(
	    f, FAILURE_DATA, "bad address \"%s\": %s", shown, problem);
	return failure_dsn(f, "5.1.3");
}

int
mailbox_parse(struct span text, struct mailbox *out, struct failure *f)
{
	struct mailbox_list list = { NULL, 0 };
	struct mailbox_list_notes notes;
	const char *problem = NULL;

	if (mailbox_list_parse(text, 1, &list, &notes, f) == -1)
		problem = "it is more than one address";
	else if (notes.skipped > 0)
		problem = notes.first_reason;
	else if (notes.has_group)
		problem = "it is a group";
	else if (list.count == 0)
		problem = "it is empty";
	if (problem != NULL) {
		mailbox_list_done(&list);
		return refuse_text(f, text, problem);
	}
	assert(list.items != NULL);
	*out = list.items[0];
	free(list.items);
	return 0;
}

int
mailbox_parse_sender(struct span text, struct mailbox *out, struct failure *f)
{
	struct span s = span_trim(text);

	if (s.len >= 2 && s.s[0] == '<' && s.s[s.len - 1] == '>')
		s = span_trim((struct span){ s.s + 1, s.len - 2 });
	if (s.len > 0)
		return mailbox_parse(text, out, f);
	*out = (struct mailbox){ NULL, NULL, NULL };
	return 0;
}
