#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/confine.h"

/* What the confined child was able to do, as bits of its exit status. */
enum {
	DID_READ_OUTSIDE = 1,
	DID_INTERNET = 2,
	DID_EXECUTE = 4,
	CANNOT_USE_SPOOL = 8,
	CANNOT_UNIX = 16
};

static int
try_all(const char *directory)
{
	char a[128], b[128];
	int did = 0;
	int fd;

	(void)snprintf(a, sizeof(a), "%s/incoming/x", directory);
	(void)snprintf(b, sizeof(b), "%s/queue/x", directory);
	fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	did |= fd >= 0 ? DID_READ_OUTSIDE : 0;
	did |= socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0
	    ? DID_INTERNET
	    : 0;
	did |= socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? CANNOT_UNIX
								  : 0;
	(void)execl("/bin/true", "true", (char *)NULL);
	did |= errno != EACCES ? DID_EXECUTE : 0;
	fd = open(a, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || rename(a, b) == -1 || unlink(b) == -1)
		did |= CANNOT_USE_SPOOL;
	return did;
}

static void
test_a_confined_process_has_its_directory_only(void **state)
{
	char directory[] = "/tmp/test_confine.XXXXXX";
	char path[128];
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/incoming", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/queue", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		confine_to_directory(directory);
		_exit(try_all(directory));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(rmdir(path), 0);
	(void)snprintf(path, sizeof(path), "%s/incoming", directory);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_true(WIFEXITED(status));
	status = WEXITSTATUS(status);
	assert_int_equal(status & (CANNOT_USE_SPOOL | CANNOT_UNIX), 0);
#if !defined(__SANITIZE_ADDRESS__)
	assert_int_equal(status & (DID_INTERNET | DID_EXECUTE), 0);
	/* Where the kernel has no Landlock the files are left. */
	if ((status & DID_READ_OUTSIDE) != 0)
		skip();
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_a_confined_process_has_its_directory_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
