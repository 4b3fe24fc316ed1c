/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/file.h"
#include "route/memory.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	NOBODY = 65534,
	HOUR = 3600,
	FILES_MAX = 16
};

struct fixture {
	char parent[32];
	char *directory;
};

static int
set_up(void **state)
{
	struct fixture *t = xcalloc(1, sizeof(*t));

	(void)snprintf(t->parent, sizeof(t->parent), "/tmp/memory-XXXXXX");
	if (mkdtemp(t->parent) == NULL)
		return -1;
	t->directory = xasprintf("%s/state", t->parent);
	*state = t;
	return 0;
}

/* Remove what is in a directory, and it. */
static int
remove_all(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (unlinkat(dirfd(dir), entry->d_name, 0) == -1)
			(void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	if (dir != NULL)
		(void)closedir(dir);
	return rmdir(path);
}

static int
tear_down(void **state)
{
	struct fixture *t = *state;

	(void)remove_all(t->directory);
	if (remove_all(t->parent) == -1)
		return -1;
	free(t->directory);
	free(t);
	return 0;
}

/* ---- helpers ---- */

static struct span
bytes(const char *s, size_t len)
{
	return (struct span){ s, len };
}

static void
keep(const struct fixture *t, const char *kind, const char *key,
    const char *text)
{
	memory_keep(t->directory, kind, span_of(key), span_of(text), HOUR);
}

/* What is kept under the key must be want; NULL: nothing is. */
static void
assert_kept(
    const char *directory, const char *kind, struct span key, const char *want)
{
	struct buf text;
	bool is_kept;

	buf_init(&text, MEMORY_TEXT_MAX);
	is_kept = memory_recall(directory, kind, key, &text);
	assert_int_equal(is_kept, want != NULL);
	assert_string_equal(text.s, want != NULL ? want : "");
	buf_done(&text);
}

static void
assert_recalls(const struct fixture *t, const char *key, const char *want)
{
	assert_kept(t->directory, "fact", span_of(key), want);
}

/* The names in the directory but "." and "..", for the caller to free(). */
static size_t
list(const char *path, char *names[static FILES_MAX])
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		assert_true(count < FILES_MAX);
		names[count++] = xstrdup(entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	return count;
}

static size_t
count_files(const struct fixture *t)
{
	char *names[FILES_MAX];
	size_t count = list(t->directory, names);

	for (size_t i = 0; i < count; i++)
		free(names[i]);
	return count;
}

/* The path of the only file that is kept. */
static char *
only_file(const struct fixture *t)
{
	char *names[FILES_MAX] = { NULL };
	char *path;

	assert_int_equal(list(t->directory, names), 1);
	path = xasprintf("%s/%s", t->directory, names[0]);
	free(names[0]);
	return path;
}

static void
write_file(const char *path, struct span text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(fd_write_all(fd, text.s, text.len), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

/* A file whose time ends that many seconds from now. */
static void
write_ending(const char *path, int64_t seconds, mode_t mode)
{
	char *text =
	    xasprintf("%" PRId64 "\nold", (int64_t)time(NULL) + seconds);

	write_file(path, span_of(text), mode);
	free(text);
}

/* ---- what is kept ---- */

static void
test_what_is_kept_is_recalled(void **state)
{
	const struct fixture *t = *state;
	struct buf text;

	assert_recalls(t, "key", NULL);
	keep(t, "fact", "key", "one\ntwo\n");
	assert_recalls(t, "key", "one\ntwo\n");
	assert_recalls(t, "Key", NULL);
	assert_recalls(t, "", NULL);

	/* It is appended to what is there. */
	buf_init(&text, MEMORY_TEXT_MAX);
	assert_int_equal(buf_puts(&text, "before "), 0);
	assert_true(memory_recall(t->directory, "fact", span_of("key"), &text));
	assert_string_equal(text.s, "before one\ntwo\n");
	buf_done(&text);

	keep(t, "fact", "key", "other");
	assert_recalls(t, "key", "other");
	keep(t, "fact", "key", "");
	assert_recalls(t, "key", "");
	assert_int_equal(count_files(t), 1);
}

static void
test_what_is_forgotten_is_gone(void **state)
{
	const struct fixture *t = *state;

	memory_forget(t->directory, "fact", span_of("key"));
	keep(t, "fact", "key", "text");
	keep(t, "fact", "key2", "text2");
	memory_forget(t->directory, "fact", span_of("key"));
	assert_recalls(t, "key", NULL);
	assert_recalls(t, "key2", "text2");
	memory_forget(t->directory, "fact", span_of("key"));
	assert_int_equal(count_files(t), 1);
}

static void
test_kinds_are_apart(void **state)
{
	const struct fixture *t = *state;
	struct span key = span_of("key");

	keep(t, "fact", "key", "a fact");
	keep(t, "fa", "key", "another");
	assert_kept(t->directory, "fact", key, "a fact");
	assert_kept(t->directory, "fa", key, "another");
	assert_kept(t->directory, "f", key, NULL);
	assert_false(memory_has(t->directory, "f"));
	memory_forget(t->directory, "fa", key);
	assert_false(memory_has(t->directory, "fa"));
	assert_true(memory_has(t->directory, "fact"));
	assert_kept(t->directory, "fact", key, "a fact");
}

static void
test_keys_are_any_bytes(void **state)
{
	const struct fixture *t = *state;
	char *large = xmalloc(1 << 20);
	const struct span keys[] = {
		{ "", 0 },
		{ "a", 1 },
		{ "a\0b", 3 },
		{ "a\0c", 3 },
		{ "a\0", 2 },
		{ "../../etc/passwd", 16 },
		{ "a/b", 3 },
		{ "\xff\n\x1b[2J", 6 },
		{ "%s%n", 4 },
		{ large, 1 << 20 },
		{ large, (1 << 20) - 1 },
	};

	memset(large, 'x', 1 << 20);
	for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
		char *text = xasprintf("%zu", i);

		memory_keep(t->directory, "fact", keys[i], span_of(text), HOUR);
		free(text);
	}
	for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
		char *want = xasprintf("%zu", i);

		assert_kept(t->directory, "fact", keys[i], want);
		free(want);
	}
	assert_int_equal(count_files(t), N_ELEMENTS(keys));
	free(large);
}

static void
test_texts_are_any_bytes(void **state)
{
	static const char text[] = "\0\n1\n\xff\0";
	const struct fixture *t = *state;
	struct buf got;

	memory_keep(t->directory, "fact", span_of("key"),
	    bytes(text, sizeof(text)), HOUR);
	buf_init(&got, MEMORY_TEXT_MAX);
	assert_true(memory_recall(t->directory, "fact", span_of("key"), &got));
	assert_int_equal(got.len, sizeof(text));
	assert_memory_equal(got.s, text, sizeof(text));
	buf_done(&got);
}

/* Nobody reads in a name whom a message went to. */
static void
test_files_are_private_and_tell_nothing(void **state)
{
	const struct fixture *t = *state;
	struct stat st;
	char *path;

	keep(t, "fact", "boss@contoso.com", "text");
	path = only_file(t);
	assert_null(strstr(path, "boss"));
	assert_int_equal(strlen(strrchr(path, '/')), sizeof("/fact-") + 23);
	assert_int_equal(
	    strspn(strrchr(path, '-') + 1, "0123456789abcdef"), 24);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(t->directory, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	free(path);
}

/* ---- limits ---- */

static void
test_size_is_limited(void **state)
{
	const struct fixture *t = *state;
	char *text = xmalloc(MEMORY_TEXT_MAX + 1);
	struct buf got, small;

	memset(text, 'x', MEMORY_TEXT_MAX + 1);
	memory_keep(t->directory, "fact", span_of("key"),
	    bytes(text, MEMORY_TEXT_MAX), HOUR);
	buf_init(&got, MEMORY_TEXT_MAX);
	assert_true(memory_recall(t->directory, "fact", span_of("key"), &got));
	assert_int_equal(got.len, MEMORY_TEXT_MAX);
	buf_done(&got);
	/* What is kept does not fit. */
	buf_init(&small, MEMORY_TEXT_MAX - 1);
	assert_false(
	    memory_recall(t->directory, "fact", span_of("key"), &small));
	assert_int_equal(small.len, 0);
	buf_done(&small);

	/* What is too long is not kept, and what was before is not true. */
	memory_keep(t->directory, "fact", span_of("key"),
	    bytes(text, MEMORY_TEXT_MAX + 1), HOUR);
	assert_recalls(t, "key", NULL);
	memory_keep(t->directory, "fact", span_of("other"),
	    bytes(text, MEMORY_TEXT_MAX + 1), HOUR);
	assert_recalls(t, "other", NULL);
	assert_int_equal(count_files(t), 0);
	free(text);
}

static void
test_time_ends(void **state)
{
	static const struct {
		const char *name;
		int64_t seconds;
		bool want;
	} rows[] = {
		{ "long ago", -HOUR, false },
		{ "just now", 0, false },
		{ "soon", 60, true },
		{ "as late as can be", MEMORY_SECONDS_MAX, true },
		{ "after the clock was set back", MEMORY_SECONDS_MAX + 60,
		    false },
		{ "in another century", 100LL * 365 * 24 * HOUR, false },
	};
	const struct fixture *t = *state;
	char *path;

	keep(t, "fact", "key", "text");
	path = only_file(t);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		write_ending(path, rows[i].seconds, 0600);
		assert_recalls(t, "key", rows[i].want ? "old" : NULL);
		if (memory_has(t->directory, "fact") != rows[i].want)
			fail_msg("%s: not %d", rows[i].name, rows[i].want);
		/* Who is asked whether there is any removes what is over. */
		assert_int_equal(count_files(t), rows[i].want ? 1 : 0);
	}
	free(path);
}

static void
test_no_time_at_all(void **state)
{
	static const int seconds[] = { 0, -1, -HOUR };
	const struct fixture *t = *state;

	for (size_t i = 0; i < N_ELEMENTS(seconds); i++) {
		memory_keep(t->directory, "fact", span_of("key"),
		    span_of("text"), seconds[i]);
		assert_recalls(t, "key", NULL);
	}
}

/* ---- files that are not ours ---- */

static void
test_files_of_another_form(void **state)
{
	static const struct span texts[] = {
		{ "", 0 },
		{ "\n", 1 },
		{ "\n\n", 2 },
		{ "9999999999", 10 },
		{ "text\n", 5 },
		{ "-1\n", 3 },
		{ "9223372036854775807\ntext", 24 },
		{ "9223372036854775808\ntext", 24 },
		{ "18446744073709551617\ntext", 25 },
		{ "99999999999999999999999999\ntext", 31 },
		{ "1e9\ntext", 8 },
		{ "0x7fffffff\ntext", 15 },
		{ "\0\ntext", 6 },
	};
	const struct fixture *t = *state;
	char *good = xasprintf("%" PRId64 "\nold", (int64_t)time(NULL) + HOUR);
	char *path;

	keep(t, "fact", "key", "text");
	path = only_file(t);
	for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
		write_file(path, texts[i], 0600);
		assert_recalls(t, "key", NULL);
		assert_false(memory_has(t->directory, "fact"));
		assert_int_equal(count_files(t), 0);
	}
	/* The same with a good time, but with more before or behind it. */
	for (size_t i = 0; i < 4; i++) {
		static const char *const forms[] = { " %s", "+%s", "\n%s",
			"0x%s" };
		char form[8];
		char text[64];

		(void)snprintf(form, sizeof(form), "%s", forms[i]);
		*strchr(form, '%') = '\0';
		(void)snprintf(text, sizeof(text), "%s%s", form, good);
		write_file(path, span_of(text), 0600);
		assert_recalls(t, "key", NULL);
	}
	write_file(path, span_of(good), 0600);
	assert_recalls(t, "key", "old");
	/* One that was torn before its line end. */
	write_file(path, bytes(good, strcspn(good, "\n")), 0600);
	assert_recalls(t, "key", NULL);
	/* And the next that is kept takes its place. */
	keep(t, "fact", "key", "new");
	assert_recalls(t, "key", "new");
	free(good);
	free(path);
}

static void
test_files_that_others_can_open(void **state)
{
	static const mode_t modes[] = { 0644, 0640, 0604, 0620, 0602, 0666,
		0700 | 0001 };
	const struct fixture *t = *state;
	char *path;

	keep(t, "fact", "key", "text");
	path = only_file(t);
	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		write_ending(path, HOUR, modes[i]);
		assert_recalls(t, "key", NULL);
		assert_false(memory_has(t->directory, "fact"));
		assert_int_equal(count_files(t), 0);
	}
	if (geteuid() == 0) {
		write_ending(path, HOUR, 0600);
		assert_int_equal(chown(path, NOBODY, (gid_t)-1), 0);
		assert_recalls(t, "key", NULL);
	}
	keep(t, "fact", "key", "new");
	assert_recalls(t, "key", "new");
	free(path);
}

static void
test_links_are_not_followed(void **state)
{
	const struct fixture *t = *state;
	char *target = xasprintf("%s/target", t->parent);
	char *path;
	struct stat st;

	keep(t, "fact", "key", "text");
	path = only_file(t);
	write_ending(target, HOUR, 0600);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_recalls(t, "key", NULL);
	/* What is kept replaces the link, and not what it leads to. */
	keep(t, "fact", "key", "new");
	assert_recalls(t, "key", "new");
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(unlink(path), 0);

	assert_int_equal(symlink(target, path), 0);
	assert_false(memory_has(t->directory, "fact"));
	assert_int_equal(count_files(t), 0);
	assert_int_equal(lstat(target, &st), 0);
	free(path);
	free(target);
}

static void
test_what_is_no_file(void **state)
{
	const struct fixture *t = *state;
	char *path;

	keep(t, "fact", "key", "text");
	path = only_file(t);
	assert_int_equal(unlink(path), 0);
	/* A reader of a FIFO would wait for ever. */
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_recalls(t, "key", NULL);
	assert_false(memory_has(t->directory, "fact"));
	assert_int_equal(count_files(t), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_recalls(t, "key", NULL);
	assert_false(memory_has(t->directory, "fact"));
	memory_forget(t->directory, "fact", span_of("key"));
	keep(t, "fact", "key", "new");
	assert_recalls(t, "key", NULL);
	assert_int_equal(count_files(t), 1);
	free(path);
}

static void
test_other_files_are_left_alone(void **state)
{
	static const char *const names[] = { "fact", "xfact-1", ".fact-1.tmp",
		"facts-1", "token-1" };
	const struct fixture *t = *state;

	keep(t, "fact", "key", "text");
	memory_forget(t->directory, "fact", span_of("key"));
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		char *path = xasprintf("%s/%s", t->directory, names[i]);

		write_file(path, span_of("x"), 0600);
		free(path);
	}
	assert_false(memory_has(t->directory, "fact"));
	assert_int_equal(count_files(t), N_ELEMENTS(names));
}

/* ---- directories ---- */

static void
assert_keeps_nothing(const char *directory)
{
	struct span key = span_of("key");

	memory_keep(directory, "fact", key, span_of("text"), HOUR);
	assert_kept(directory, "fact", key, NULL);
	assert_false(memory_has(directory, "fact"));
	memory_forget(directory, "fact", key);
}

static void
test_without_a_directory_nothing_is_kept(void **state)
{
	const struct fixture *t = *state;
	char *file = xasprintf("%s/file", t->parent);
	char *link = xasprintf("%s/link", t->parent);

	assert_keeps_nothing(NULL);
	assert_keeps_nothing("");
	assert_keeps_nothing("/proc/nothing");
	write_file(file, span_of("x"), 0600);
	assert_keeps_nothing(file);
	assert_int_equal(mkdir(t->directory, 0700), 0);
	assert_int_equal(symlink(t->directory, link), 0);
	assert_keeps_nothing(link);
	free(file);
	free(link);
}

static void
test_directory_of_others_is_not_used(void **state)
{
	static const mode_t modes[] = { 0755, 0750, 0701, 0770, 01777 };
	const struct fixture *t = *state;
	struct span key = span_of("key");

	keep(t, "fact", "key", "text");
	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		assert_int_equal(chmod(t->directory, modes[i]), 0);
		assert_keeps_nothing(t->directory);
	}
	if (geteuid() == 0) {
		assert_int_equal(chmod(t->directory, 0700), 0);
		assert_int_equal(chown(t->directory, NOBODY, (gid_t)-1), 0);
		assert_keeps_nothing(t->directory);
		assert_int_equal(chown(t->directory, 0, (gid_t)-1), 0);
	}
	assert_int_equal(chmod(t->directory, 0700), 0);
	assert_kept(t->directory, "fact", key, "text");
}

static void
test_who_only_asks_makes_no_directory(void **state)
{
	const struct fixture *t = *state;
	struct stat st;

	assert_recalls(t, "key", NULL);
	assert_false(memory_has(t->directory, "fact"));
	memory_forget(t->directory, "fact", span_of("key"));
	assert_int_equal(stat(t->directory, &st), -1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_what_is_kept_is_recalled),
		TEST(test_what_is_forgotten_is_gone),
		TEST(test_kinds_are_apart),
		TEST(test_keys_are_any_bytes),
		TEST(test_texts_are_any_bytes),
		TEST(test_files_are_private_and_tell_nothing),
		TEST(test_size_is_limited),
		TEST(test_time_ends),
		TEST(test_no_time_at_all),
		TEST(test_files_of_another_form),
		TEST(test_files_that_others_can_open),
		TEST(test_links_are_not_followed),
		TEST(test_what_is_no_file),
		TEST(test_other_files_are_left_alone),
		TEST(test_without_a_directory_nothing_is_kept),
		TEST(test_directory_of_others_is_not_used),
		TEST(test_who_only_asks_makes_no_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
