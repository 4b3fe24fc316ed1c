#include "mail/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/mailbox.h"

/* ---- parsing ---- */

static int
refuse(struct span s, const char *reason, struct failure *f)
{
	return failure_set(
	    f, FAILURE_CONFIG, "\"%.*s\" %s", (int)s.len, s.s, reason);
}

/* More than one '*' is in s; NULL has none. */
static bool
has_stars(const char *s)
{
	const char *first = s != NULL ? strchr(s, '*') : NULL;

	return first != NULL && strchr(first + 1, '*') != NULL;
}

/* A local part or a name, as a mailbox has it; '*' is an ordinary character
 * of both. */
static int
parse_local(struct span text, struct pattern *p, struct failure *f)
{
	char *address = xasprintf("%.*s@x.invalid", (int)text.len, text.s);
	struct mailbox m;
	int r = mailbox_parse(span_of(address), &m, f);

	free(address);
	if (r == -1)
		return refuse(span_of(p->text),
		    "is no address; write LOCAL@DOMAIN, @DOMAIN, a name such "
		    "as root, user:NAME or *",
		    f);
	if (m.name == NULL)
		p->local = xstrdup(m.local);
	mailbox_done(&m);
	if (p->local != NULL)
		return 0;
	return refuse(
	    span_of(p->text), "is more than an address; leave the name out", f);
}

/* Labels of letters, digits, hyphens, underscores and '*' between dots. */
static bool
is_domain(const char *s)
{
	char before = '.';

	for (const char *at = s; *at != '\0'; before = *at++) {
		if (*at == '.' && before == '.')
			return false;
		if (!ascii_is_alnum(*at) && !ascii_is_8bit(*at) &&
		    (*at == '\0' || strchr("-_.*", *at) == NULL))
			return false;
	}
	return before != '.';
}

static int
check_stars(const struct pattern *p, struct failure *f)
{
	if (!has_stars(p->local) && !has_stars(p->domain))
		return 0;
	return refuse(span_of(p->text),
	    "has more than one \"*\" before or behind the \"@\"; one stands "
	    "for any text",
	    f);
}

static int
parse_address(
    struct span local, struct span domain, struct pattern *p, struct failure *f)
{
	p->kind = PATTERN_ADDRESS;
	p->domain = xstrndup(domain.s, domain.len);
	if (!is_domain(p->domain))
		return refuse(domain, "is not a domain such as contoso.com", f);
	if (parse_local(local.len > 0 ? local : span_of("*"), p, f) == -1)
		return -1;
	return check_stars(p, f);
}

static int
parse_user(struct span name, struct pattern *p, struct failure *f)
{
	p->kind = PATTERN_USER;
	p->local = xstrndup(name.s, name.len);
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_is_alnum(name.s[i]) &&
		    strchr("._-$+", name.s[i]) == NULL)
			name.len = 0;
	if (name.len == 0)
		return refuse(span_of(p->text),
		    "names no user; write user:NAME, such as user:www-data", f);
	return 0;
}

static int
parse_name(struct span name, struct pattern *p, struct failure *f)
{
	p->kind = PATTERN_NAME;
	if (parse_local(name, p, f) == -1)
		return -1;
	return check_stars(p, f);
}

/* s without the brackets around an address. */
static struct span
without_brackets(struct span s)
{
	if (s.len >= 2 && s.s[0] == '<' && s.s[s.len - 1] == '>')
		return span_trim((struct span){ s.s + 1, s.len - 2 });
	return s;
}

static int
parse(struct span s, struct pattern *p, struct failure *f)
{
	static const char user[] = "user:";
	size_t len = sizeof(user) - 1;
	const char *at;

	p->kind = PATTERN_ANY;
	if (span_is(s, "*"))
		return 0;
	if (s.len >= len && strncmp(s.s, user, len) == 0)
		return parse_user(
		    (struct span){ s.s + len, s.len - len }, p, f);
	s = without_brackets(s);
	at = memrchr(s.s, '@', s.len);
	if (at == NULL)
		return parse_name(s, p, f);
	return parse_address((struct span){ s.s, (size_t)(at - s.s) },
	    (struct span){ at + 1, s.len - (size_t)(at - s.s) - 1 }, p, f);
}

/* FNV-1a, without regard to case. */
static uint32_t
hash(const char *s)
{
	uint32_t h = 2166136261;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)ascii_lower(*s)) * 16777619;
	return h;
}

static void
add_half(struct pattern *p, const char *half)
{
	p->key <<= 32;
	p->mask <<= 32;
	if (half == NULL)
		return;
	p->key |= hash(half);
	if (strchr(half, '*') == NULL)
		p->mask |= UINT32_MAX;
}

int
pattern_parse(struct span text, struct pattern *out, struct failure *f)
{
	struct pattern p = { .text = xstrndup(text.s, text.len) };

	if (parse(text, &p, f) == -1) {
		pattern_done(&p);
		return -1;
	}
	add_half(&p, p.local);
	add_half(&p, p.domain);
	*out = p;
	return 0;
}

/* ---- matching ---- */

static bool
ends_with(struct span s, struct span end)
{
	return s.len >= end.len &&
	    ascii_equal_nocase(s.s + s.len - end.len, end.s, end.len);
}

/* Text that may itself hold a '*', which then is as good as any text. */
static bool
half_matches(const char *half, const char *text)
{
	/* Most texts differ in the first characters: no look at the rest. */
	for (; *half != '*'; half++, text++) {
		if (ascii_lower(*half) != ascii_lower(*text))
			return false;
		if (*half == '\0')
			return true;
	}
	half++;
	return *half == '\0' || ends_with(span_of(text), span_of(half));
}

static bool
domain_matches(const struct pattern *p, const struct pattern_subject *subject)
{
	if (subject->address->domain != NULL)
		return half_matches(p->domain, subject->address->domain);
	return (subject->origin != NULL &&
		   half_matches(p->domain, subject->origin)) ||
	    (subject->host_name != NULL &&
		half_matches(p->domain, subject->host_name));
}

bool
pattern_matches(const struct pattern *p, const struct pattern_subject *subject)
{
	const struct mailbox *m = subject->address;
	bool has_address = m != NULL && !mailbox_is_null(m);

	switch (p->kind) {
	case PATTERN_ANY:
		return true;
	case PATTERN_USER:
		return subject->user != NULL &&
		    strcmp(subject->user, p->local) == 0;
	case PATTERN_ADDRESS:
		return has_address && half_matches(p->local, m->local) &&
		    domain_matches(p, subject);
	case PATTERN_NAME:
		return has_address && half_matches(p->local, m->local) &&
		    mailbox_is_local(m, subject->host_name);
	}
	return false;
}

bool
pattern_list_matches(
    const struct pattern_list *list, const struct pattern_subject *subject)
{
	for (size_t i = 0; i < list->count; i++)
		if (pattern_matches(&list->items[i], subject))
			return true;
	return false;
}

bool
pattern_covers(const struct pattern *wide, const struct pattern *narrow)
{
	if (wide->kind == PATTERN_ANY)
		return true;
	/* Lists are long, and nearly all pairs end here. */
	if (wide->kind != narrow->kind ||
	    ((wide->key ^ narrow->key) & wide->mask) != 0)
		return false;
	if (wide->kind == PATTERN_USER)
		return strcmp(wide->local, narrow->local) == 0;
	return half_matches(wide->local, narrow->local) &&
	    (wide->domain == NULL ||
		half_matches(wide->domain, narrow->domain));
}

/* ---- the end ---- */

void
pattern_done(struct pattern *p)
{
	free(p->text);
	free(p->local);
	free(p->domain);
	*p = (struct pattern){ NULL };
}

void
pattern_list_done(struct pattern_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		pattern_done(&list->items[i]);
	free(list->items);
	*list = (struct pattern_list){ NULL, 0 };
}
