#include "mail/aliastext.h"

#include <stdio.h>
#include <string.h>

#include "core/ascii.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"

enum {
	SHOWN_SIZE = 100, /* of a text in a problem */
	BLOCK = 16
};

static const char has_control[] = "a control character is in it";
static const char has_domain[] =
    "only names without a domain are looked up here";
static const char needs_quotes[] =
    "a name with blanks or special characters needs quotes";

/* 1 for a control character but a tab and this other one, else 0; without a
 * branch. */
static unsigned char
is_refused(char octet, unsigned char other)
{
	unsigned char c = (unsigned char)octet;

	return (unsigned char)(((c < ' ') & (c != '\t') & (c != other)) |
	    (c == 0x7f));
}

/* All octets of a file come by here: in blocks, compilers use their vectors. */
static bool
has_controls_but(unsigned char other, struct span s)
{
	unsigned char found = 0;
	size_t i = 0;

	for (; s.len - i >= BLOCK; i += BLOCK)
		for (size_t k = 0; k < BLOCK; k++)
			found |= is_refused(s.s[i + k], other);
	for (; i < s.len; i++)
		found |= is_refused(s.s[i], other);
	return found != 0;
}

static bool
has_controls(struct span s)
{
	return has_controls_but('\t', s);
}

/* ---- names ---- */

static bool
is_name_char(char c)
{
	/* The usual ones without a call: a file is full of them. */
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '.')
		return true;
	return c != ':' && mailbox_is_atext(c);
}

size_t
aliastext_scan_name(struct span s, struct span *name)
{
	const char *end;
	size_t n = 0;

	if (s.len > 0 && s.s[0] == '"') {
		end = memchr(s.s + 1, '"', s.len - 1);
		n = end != NULL ? (size_t)(end - s.s) - 1 : 0;
		*name = (struct span){ s.s + 1, n };
		return end != NULL ? n + 2 : 0;
	}
	while (n < s.len && is_name_char(s.s[n]))
		n++;
	*name = (struct span){ s.s, n };
	return n;
}

/* Why no recipient can have this name, or NULL. */
static const char *
find_problem(struct span name)
{
	if (name.len == 0)
		return "it is empty";
	if (name.len >= ADDRESS_MAX)
		return "it is too long";
	if (name.s[0] == '-' || name.s[0] == '|' || name.s[0] == '/' ||
	    name.s[0] == ':')
		return "no address begins so";
	for (size_t i = 0; i < name.len; i++) {
		if (name.s[i] == '@')
			return has_domain;
		if (name.s[i] == '\\')
			return "a backslash is in it";
		if (name.s[i] == '\t')
			return "a tab is in it";
	}
	if (ascii_has_8bit(name) && !utf8_is_valid(name.s, name.len))
		return "it is neither ASCII nor UTF-8";
	return NULL;
}

/* Why this, in the place of a name, is none. */
static const char *
explain_no_name(struct span s)
{
	return memchr(s.s, '@', s.len) != NULL ? has_domain : needs_quotes;
}

const char *
aliastext_check_name(struct span s, struct span *name)
{
	size_t len = aliastext_scan_name(s, name);

	if (has_controls(s))
		return has_control;
	return len == s.len ? find_problem(*name) : explain_no_name(s);
}

/* ---- members of a list ---- */

static const char *const kind_problems[] = {
	[MEMBER_PIPE] = "it leads to a pipe; nothing is run here: name an "
			"address instead",
	[MEMBER_FILE] = "it leads to a file; nothing is written here: name an "
			"address instead",
	[MEMBER_INCLUDE] = "it leads to a list in a file (:include:); that is "
			   "not read: name its addresses instead",
	[MEMBER_INSTRUCTION] = "it leads to an instruction such as :fail:, "
			       "which has no meaning here: name an address "
			       "instead",
};

static bool
has_prefix(struct span s, const char *prefix)
{
	size_t len = strlen(prefix);

	return s.len >= len && ascii_equal_nocase(s.s, prefix, len);
}

static enum member_kind
classify(struct span s)
{
	if (s.len == 0)
		return MEMBER_NOTHING;
	if (s.s[0] == '"')
		s = span_trim((struct span){ s.s + 1, s.len - 1 });
	switch (s.len > 0 ? s.s[0] : '"') {
	case '|':
		return MEMBER_PIPE;
	case '/':
		return MEMBER_FILE;
	case '\\':
		return MEMBER_FINAL;
	case ':':
		return has_prefix(s, ":include:") ? MEMBER_INCLUDE
						  : MEMBER_INSTRUCTION;
	default:
		return MEMBER_ADDRESS;
	}
}

/*
 * How many bytes there are to the next comma, but for those in quotes and
 * comments.  What is never closed reaches to the end: rather no address than
 * one out of the middle of a command.
 */
static size_t
member_length(const char *s)
{
	bool is_quoted = false;
	size_t depth = 0;
	size_t i;

	for (i = 0; s[i] != '\0'; i++) {
		if (s[i] == '\\' && (is_quoted || depth > 0) &&
		    s[i + 1] != '\0')
			i++;
		else if (s[i] == '"' && depth == 0)
			is_quoted = !is_quoted;
		else if (s[i] == '(' && !is_quoted)
			depth++;
		else if (s[i] == ')' && depth > 0)
			depth--;
		else if (s[i] == ',' && !is_quoted && depth == 0)
			break;
	}
	return i;
}

bool
aliastext_cut_member(
    const char **rest, struct span *member, enum member_kind *kind)
{
	size_t len;

	if (*rest == NULL)
		return false;
	len = member_length(*rest);
	*member = span_trim((struct span){ *rest, len });
	*kind = classify(*member);
	if (*kind == MEMBER_INSTRUCTION)
		len += strlen(*rest + len);
	*rest = (*rest)[len] == ',' ? *rest + len + 1 : NULL;
	return true;
}

int
aliastext_parse_member(struct span member, enum member_kind kind,
    struct mailbox *out, struct failure *f)
{
	struct span s = member;

	if (kind_problems[kind] != NULL)
		return failure_set(f, FAILURE_DATA, "%s", kind_problems[kind]);
	if (s.s[0] == '\\') {
		s.s++;
		s.len--;
	}
	if (mailbox_parse(s, out, f) == 0)
		return 0;
	if (memmem(s.s, s.len, " #", 2) != NULL)
		return failure_at(f, "a comment needs a line of its own");
	return -1;
}

int
aliastext_check_list(const char *list, struct failure *f)
{
	enum member_kind kind;
	struct span member;
	struct mailbox m;

	if (has_controls(span_of(list)))
		return failure_set(f, FAILURE_DATA, "%s", has_control);
	while (aliastext_cut_member(&list, &member, &kind)) {
		if (kind == MEMBER_NOTHING)
			return failure_set(f, FAILURE_DATA,
			    "nothing stands before or behind a comma");
		if (aliastext_parse_member(member, kind, &m, f) == -1)
			return -1;
		mailbox_done(&m);
	}
	return 0;
}

/* ---- a file ---- */

/* A part of the text. */
struct piece {
	char *s;
	size_t len;
};

struct reader {
	const struct aliastext_events *events;
	void *user;
	bool is_clean; /* in no line there is a control character */
	struct piece rest;
	int line; /* of what was taken off the rest last */
	enum {
		READING_NOTHING, /* no entry has begun yet */
		READING_ENTRY,
		READING_SKIPPED /* an entry that has a problem */
	} state;
	const char *name; /* of the entry at hand */
	struct piece list;
	int first_line;
};

static struct span
view(struct piece p)
{
	return (struct span){ p.s, p.len };
}

/* Leave out the entry at hand, of which what is shown. */
static void
skip_entry(struct reader *r, int line, struct span what, const char *problem)
{
	char text[ALIASTEXT_PROBLEM_SIZE];
	char shown[SHOWN_SIZE];

	log_escape(shown, sizeof(shown), what.s, what.len);
	(void)snprintf(
	    text, sizeof(text), "\"%s\" is skipped: %s", shown, problem);
	r->events->problem(r->user, line, text);
	r->state = READING_SKIPPED;
}

/* Take the next line, without its end, off the rest. */
static bool
next_line(struct reader *r, struct piece *line)
{
	size_t len = r->rest.len;
	const char *lf;

	if (len == 0)
		return false;
	lf = memchr(r->rest.s, '\n', len);
	*line = r->rest;
	if (lf != NULL)
		line->len = (size_t)(lf - r->rest.s);
	if (lf != NULL)
		len = line->len + 1;
	if (line->len > 0 && line->s[line->len - 1] == '\r')
		line->len--;
	r->rest.s += len;
	r->rest.len -= len;
	r->line++;
	return true;
}

static bool
is_clean(const struct reader *r, struct piece line)
{
	return r->is_clean || !has_controls(view(line));
}

static bool
is_comment(struct piece line)
{
	size_t i = 0;

	while (i < line.len && ascii_is_blank(line.s[i]))
		i++;
	return i == line.len || line.s[i] == '#';
}

/* The line does not begin with a name and a colon. */
static void
skip_line(struct reader *r, struct span line)
{
	const char *colon = memchr(line.s, ':', line.len);

	if (colon == NULL) {
		skip_entry(r, r->line, line,
		    "there is no colon; write NAME: ADDRESS, ...");
		return;
	}
	line.len = (size_t)(colon - line.s);
	skip_entry(r, r->line, line, explain_no_name(line));
}

static void
begin_entry(struct reader *r, struct piece line)
{
	const char *problem;
	struct span name;
	size_t i = aliastext_scan_name(view(line), &name);

	while (i < line.len && ascii_is_blank(line.s[i]))
		i++;
	if (i == line.len || line.s[i] != ':') {
		skip_line(r, view(line));
		return;
	}
	problem = is_clean(r, line) ? find_problem(name) : has_control;
	if (problem != NULL) {
		skip_entry(r, r->line, name, problem);
		return;
	}
	r->state = READING_ENTRY;
	r->first_line = r->line;
	r->name = name.s;
	r->list = (struct piece){ line.s + i + 1, line.len - i - 1 };
	/* Instead of the quote, the blank or the colon. */
	line.s[(size_t)(name.s - line.s) + name.len] = '\0';
}

/* Blanks take the place of the line end and of comments before the line. */
static void
join_line(struct piece *list, struct piece line)
{
	char *end = list->s + list->len;

	memset(end, ' ', (size_t)(line.s - end));
	list->len = (size_t)(line.s + line.len - list->s);
}

static void
continue_entry(struct reader *r, struct piece line)
{
	if (r->state == READING_NOTHING)
		skip_entry(r, r->line, span_trim(view(line)),
		    "the line begins with a blank, but continues no alias");
	else if (r->state == READING_ENTRY && !is_clean(r, line))
		skip_entry(r, r->line, span_of(r->name), has_control);
	else if (r->state == READING_ENTRY)
		join_line(&r->list, line);
}

static void
end_entry(struct reader *r)
{
	struct span list = span_trim(view(r->list));

	if (r->state != READING_ENTRY)
		return;
	if (list.len == 0) {
		skip_entry(
		    r, r->first_line, span_of(r->name), "it has no address");
		return;
	}
	/* Instead of a blank or the line end, or again behind the text. */
	r->list.s[(size_t)(list.s - r->list.s) + list.len] = '\0';
	r->events->entry(r->user, r->first_line, r->name, list.s);
}

static void
skip_byte_order_mark(struct reader *r)
{
	static const char mark[] = "\xef\xbb\xbf";

	if (!has_prefix(view(r->rest), mark))
		return;
	r->rest.s += strlen(mark);
	r->rest.len -= strlen(mark);
}

void
aliastext_read(
    struct buf *text, const struct aliastext_events *events, void *user)
{
	struct reader r = {
		.events = events,
		.user = user,
		.is_clean = !has_controls_but('\n', buf_view(text)),
		.rest = { text->s, text->len },
	};
	struct piece line;

	skip_byte_order_mark(&r);
	while (next_line(&r, &line)) {
		if (is_comment(line))
			continue;
		if (ascii_is_blank(line.s[0])) {
			continue_entry(&r, line);
		} else {
			end_entry(&r);
			begin_entry(&r, line);
		}
	}
	end_entry(&r);
}
