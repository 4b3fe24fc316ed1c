/*
 * Lines of a configuration, a line "[file]", and the text of a file.  What is
 * before the first ':' or '=' of a line is looked up.  Every recipient ends in
 * a mailbox that keeps the promises of mail/mailbox.h, or in a refusal, and in
 * no more of them than there may be; where the check finds nothing, nothing is
 * refused.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/aliases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	LOOK_UPS = 50,
	MANY = 1000,
	FEW = 5
};

struct reports {
	size_t count;
	int lines; /* of the longest file */
};

static void
check_report(void *context, const char *file, int line, const char *problem)
{
	struct reports *r = context;

	r->count++;
	assert(strcmp(file, "c") == 0 || strcmp(file, "f") == 0);
	assert(line > 0 && line <= r->lines);
	assert(problem[0] != '\0' && !ascii_has_control(span_of(problem)));
	assert(utf8_is_valid(problem, strlen(problem)));
}

static bool
cut_line(struct span *text, struct span *line)
{
	const char *lf = memchr(text->s, '\n', text->len);

	if (text->len == 0)
		return false;
	*line = *text;
	if (lf != NULL)
		line->len = (size_t)(lf - text->s);
	text->s += line->len;
	text->len -= line->len;
	if (lf != NULL) {
		text->s++;
		text->len--;
	}
	return true;
}

static struct span
before_separator(struct span line)
{
	struct span s = { line.s, 0 };

	while (s.len < line.len && s.s[s.len] != ':' && s.s[s.len] != '=')
		s.len++;
	return s;
}

/* ---- adding ---- */

static void
configure(struct aliases *a, struct span text)
{
	struct failure f = { 0 };
	struct span line;

	for (int number = 1; cut_line(&text, &line); number++) {
		struct span key = before_separator(line);
		char *name = xstrndup(key.s, key.len);
		char *list = xstrndup(line.s + key.len, line.len - key.len);
		const char *value = list[0] != '\0' ? list + 1 : list;
		int r = strcmp(name, "default") == 0
		    ? aliases_set_default(a, "c", number, value, &f)
		    : aliases_add(a, "c", number, name, value, &f);

		assert(r == 0 || f.kind == FAILURE_CONFIG);
		assert(!ascii_has_control(span_of(f.text)));
		free(name);
		free(list);
	}
}

/* r may be NULL: nobody wants to know. */
static void
add_file(struct aliases *a, struct span text, struct reports *r)
{
	struct buf b;

	buf_init(&b, ALIASES_FILE_MAX);
	assert(buf_span(&b, text) == 0);
	aliases_add_file(a, "f", &b, r != NULL ? check_report : NULL, r);
	assert(b.len == 0);
	buf_done(&b);
}

/* ---- looking up ---- */

static void
check_mailbox(const struct mailbox *m)
{
	struct mailbox again;
	struct failure f;
	struct buf b;

	buf_init(&b, ADDRESS_MAX);
	assert(mailbox_write_address(&b, m) == 0);
	assert(!ascii_has_control(buf_view(&b)));
	assert(mailbox_parse(buf_view(&b), &again, &f) == 0);
	assert(mailbox_equal(&again, m));
	mailbox_done(&again);
	/* At this host, only what is no name without its domain. */
	if (m->domain != NULL &&
	    span_is_nocase(span_of(m->domain), "localhost"))
		assert(mailbox_parse(span_of(m->local), &again, &f) == -1);
	buf_done(&b);
}

static void
check_expansion(
    const struct alias_expansion *e, size_t max, const struct reports *r)
{
	size_t count = e->recipients.count + e->refusal_count;

	assert(count > 0 && count <= max + (e->is_full ? 1 : 0));
	for (size_t i = 0; i < e->recipients.count; i++)
		check_mailbox(&e->recipients.items[i]);
	for (size_t i = 0; i < e->refusal_count; i++) {
		struct span text = span_of(e->refusals[i].text);

		assert(text.len > 0 && e->refusals[i].name[0] != '\0');
		assert(!ascii_has_control(text));
		assert(utf8_is_valid(text.s, text.len));
	}
	/* An entry for each line, and each at most twice. */
	assert(e->step_count <= 4 * (size_t)r->lines);
	for (size_t i = 0; i < e->step_count; i++)
		assert(e->steps[i].list[0] != '\0' && e->steps[i].line > 0);
}

static void
check_same(const struct alias_expansion *x, const struct alias_expansion *y)
{
	assert(x->recipients.count == y->recipients.count);
	for (size_t i = 0; i < x->recipients.count; i++)
		assert(mailbox_equal(
		    &x->recipients.items[i], &y->recipients.items[i]));
	assert(x->refusal_count == y->refusal_count);
	for (size_t i = 0; i < x->refusal_count; i++)
		assert(strcmp(x->refusals[i].text, y->refusals[i].text) == 0);
	assert(x->step_count == y->step_count);
	for (size_t i = 0; i < x->step_count; i++)
		assert(x->steps[i].line == y->steps[i].line);
}

/* Each alone, and all together.  quiet has the same aliases, but nobody asked
 * what is wrong with them: names are looked for in another way. */
static void
look_up(const struct aliases *a, const struct aliases *quiet, struct span text,
    size_t max, const struct reports *r, bool is_clean)
{
	struct alias_expansion all = { 0 };
	struct span line;

	for (int i = 0; i < LOOK_UPS && cut_line(&text, &line); i++) {
		struct alias_expansion one = { 0 };
		struct alias_expansion other = { 0 };
		struct mailbox m;
		struct failure f;

		if (mailbox_parse(before_separator(line), &m, &f) == -1)
			continue;
		aliases_expand(a, &m, max, &one);
		check_expansion(&one, max, r);
		assert(!is_clean || one.is_full || one.refusal_count == 0);
		aliases_expand(quiet, &m, max, &other);
		check_same(&one, &other);
		alias_expansion_done(&one);
		alias_expansion_done(&other);
		aliases_expand(a, &m, max, &all);
		check_expansion(&all, max, r);
		mailbox_done(&m);
	}
	alias_expansion_done(&all);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char separator[] = "[file]\n";
	struct span text = { size > 0 ? (const char *)data : "", size };
	struct span file = text;
	struct span configuration = { text.s, 0 };
	struct aliases *a = aliases_new();
	struct aliases *quiet = aliases_new();
	struct reports r = { 0, 1 };
	struct reports checked;
	const char *at = memmem(text.s, text.len, separator, strlen(separator));

	for (size_t i = 0; i < text.len; i++)
		r.lines += text.s[i] == '\n' ? 1 : 0;
	if (at != NULL) {
		configuration.len = (size_t)(at - text.s);
		file.s = at + strlen(separator);
		file.len = text.len - configuration.len - strlen(separator);
	}
	aliases_add_host(a, "localhost");
	aliases_add_host(quiet, "localhost");
	configure(a, configuration);
	configure(quiet, configuration);
	add_file(a, file, &r);
	add_file(quiet, file, NULL);
	checked = (struct reports){ 0, r.lines };
	assert(aliases_check(a, NULL, check_report, &checked) == checked.count);
	assert(aliases_check(a, "c", NULL, NULL) <= checked.count);
	look_up(a, quiet, text, MANY, &r, checked.count == 0);
	look_up(a, quiet, text, FEW, &r, checked.count == 0);
	assert(aliases_check(quiet, NULL, NULL, NULL) == checked.count);
	aliases_free(&a);
	aliases_free(&quiet);
	return 0;
}
