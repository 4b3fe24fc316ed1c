#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/alloc.h"
#include "core/failure.h"
#include "core/spill.h"

/* Octet i of a test text. */
static char
octet(size_t i)
{
	return (char)(i * 7 + i / 251);
}

static char *
make_text(size_t len)
{
	char *s = xmalloc(len);

	for (size_t i = 0; i < len; i++)
		s[i] = octet(i);
	return s;
}

static void
write_text(struct spill *s, size_t len, size_t piece)
{
	char *text = make_text(len);
	struct failure f = { 0 };

	for (size_t i = 0; i < len; i += piece)
		assert_int_equal(spill_write(s, text + i,
				     piece < len - i ? piece : len - i, &f),
		    0);
	free(text);
}

static void
check_read(const struct spill *s, uint64_t offset, size_t size, size_t want)
{
	char *data = xmalloc(size + 1);
	struct failure f = { 0 };

	assert_int_equal(spill_read(s, offset, data, size, &f), want);
	for (size_t i = 0; i < want; i++)
		assert_true(data[i] == octet((size_t)offset + i));
	free(data);
}

static void
check_contents(size_t len, size_t piece)
{
	struct spill s;

	spill_init(&s);
	write_text(&s, len, piece);
	assert_true(s.size == len);
	assert_int_equal(s.fd == -1, len <= SPILL_MEMORY);
	check_read(&s, 0, len + 10, len);
	check_read(&s, 1, 1, len > 1 ? 1 : 0);
	check_read(&s, len / 2, len, len - len / 2);
	check_read(&s, len, 10, 0);
	check_read(&s, len + 10, 10, 0);
	check_read(&s, UINT64_MAX, 10, 0);
	check_read(&s, 0, 0, 0);
	spill_done(&s);
	spill_done(&s);
}

static void
test_what_was_written_is_read(void **state)
{
	(void)state;
	check_contents(0, 1);
	check_contents(1, 1);
	check_contents(1000, 7);
	check_contents(SPILL_MEMORY, SPILL_MEMORY);
	check_contents(SPILL_MEMORY, 1000);
	check_contents(SPILL_MEMORY + 1, SPILL_MEMORY + 1);
	check_contents(SPILL_MEMORY + 1, 1000);
	check_contents((size_t)4 * SPILL_MEMORY, 65537);
}

/* No name in the file system, no way to another program, nobody else's. */
static void
test_file_is_private(void **state)
{
	char link[64];
	char target[256] = "";
	struct stat st;
	struct spill s;

	(void)state;
	assert_int_equal(setenv("TMPDIR", "/dev", 1), 0);
	spill_init(&s);
	write_text(&s, SPILL_MEMORY + 1, 1000);
	assert_int_equal(fstat(s.fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true((fcntl(s.fd, F_GETFD) & FD_CLOEXEC) != 0);
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", s.fd);
	assert_true(readlink(link, target, sizeof(target) - 1) > 0);
	assert_int_equal(strncmp(target, s.directory, strlen(s.directory)), 0);
	assert_true(strcmp(s.directory, "/var/tmp") == 0 ||
	    strcmp(s.directory, "/tmp") == 0);
	spill_done(&s);
}

/* Run check in a child whose limits may be spoilt. */
static void
in_child(int (*check)(void))
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid != -1);
	if (pid == 0)
		_exit(check());
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_int_equal(status, 0);
}

static int
write_too_much(struct failure *f)
{
	static char zeros[SPILL_MEMORY];
	struct spill s;
	int r;

	spill_init(&s);
	r = spill_write(&s, zeros, sizeof(zeros), f);
	if (r == 0)
		r = spill_write(&s, zeros, sizeof(zeros), f);
	spill_done(&s);
	return r;
}

static int
check_full_disk(void)
{
	static const struct rlimit little = { 300000, 300000 };
	static const char want[] =
	    "/tmp has no room for a large message; free some there: File too "
	    "large";
	struct failure f = { 0 };
	size_t text_len;

	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &little) == -1 || write_too_much(&f) != -1)
		return 1;
	text_len = strlen(f.text);
	if (text_len < sizeof(want) - 1 ||
	    strcmp(f.text + text_len - (sizeof(want) - 1), want) != 0)
		return 2;
	return f.kind == FAILURE_LATER && strcmp(f.dsn, "4.3.1") == 0 ? 0 : 3;
}

static void
test_full_disk(void **state)
{
	(void)state;
	in_child(check_full_disk);
}

/* The hard limit stays: valgrind, which needs files itself, insists on it. */
static int
allow_no_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return -1;
	limit.rlim_cur = 0;
	return setrlimit(RLIMIT_NOFILE, &limit);
}

static int
check_no_file(void)
{
	struct failure f = { 0 };

	if (allow_no_files() == -1 || write_too_much(&f) != -1)
		return 1;
	if (strcmp(f.text,
		"no file for a large message can be made in /var/tmp or /tmp; "
		"make one of them writable: Too many open files") != 0)
		return 2;
	return f.kind == FAILURE_LATER && strcmp(f.dsn, "4.3.0") == 0 ? 0 : 3;
}

static void
test_no_file(void **state)
{
	(void)state;
	in_child(check_no_file);
}

/* Small messages need no disk at all. */
static int
check_small_without_files(void)
{
	static char zeros[SPILL_MEMORY];
	struct failure f = { 0 };
	struct spill s;

	if (allow_no_files() == -1)
		return 1;
	spill_init(&s);
	if (spill_write(&s, zeros, sizeof(zeros), &f) == -1)
		return 2;
	spill_done(&s);
	return 0;
}

static void
test_small_without_files(void **state)
{
	(void)state;
	in_child(check_small_without_files);
}

static void
test_read_error(void **state)
{
	char data[10];
	struct failure f = { 0 };
	struct spill s;

	(void)state;
	spill_init(&s);
	write_text(&s, SPILL_MEMORY + 1, 1000);
	assert_int_equal(close(s.fd), 0);
	assert_int_equal(spill_read(&s, 0, data, sizeof(data), &f), -1);
	assert_int_equal(f.kind, FAILURE_LATER);
	assert_non_null(strstr(f.text, "read back a large message from "));
	s.fd = -1;
	spill_done(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_written_is_read),
		cmocka_unit_test(test_file_is_private),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_small_without_files),
		cmocka_unit_test(test_read_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
