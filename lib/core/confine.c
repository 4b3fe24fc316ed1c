#include "core/confine.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>

#include "core/file.h"
#include "core/log.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

/* Access rights are bits, and each version of Landlock has more of them. */
enum {
	RIGHTS_1 = (1 << 13) - 1, /* of files and directories */
	RIGHT_REFER = 1 << 13,    /* version 2: rename between directories */
	RIGHT_TRUNCATE = 1 << 14, /* version 3 */
	FIRST_VERSION = 2,        /* without "refer" nothing can be renamed */
	TRUNCATE_VERSION = 3
};

static uint64_t
rights_of_version(long version)
{
	uint64_t rights = RIGHTS_1 | RIGHT_REFER;

	if (version >= TRUNCATE_VERSION)
		rights |= RIGHT_TRUNCATE;
	return rights;
}

/* Files: -1 with errno. */
static int
restrict_files(const char *directory)
{
	struct landlock_ruleset_attr ruleset = { 0 };
	struct landlock_path_beneath_attr rule = { .parent_fd = -1 };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	long fd;
	int ruleset_fd;
	int directory_fd;
	int r = -1;

	if (version < FIRST_VERSION)
		return -1;
	ruleset.handled_access_fs = rights_of_version(version);
	rule.allowed_access = ruleset.handled_access_fs &
	    ~(uint64_t)(LANDLOCK_ACCESS_FS_EXECUTE |
		LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_MAKE_FIFO |
		LANDLOCK_ACCESS_FS_MAKE_SOCK);
	fd = syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
	if (fd == -1)
		return -1;
	ruleset_fd = (int)fd;
	directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	rule.parent_fd = directory_fd;
	if (directory_fd != -1 &&
	    syscall(SYS_landlock_add_rule, ruleset_fd,
		LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0)
		r = (int)syscall(SYS_landlock_restrict_self, ruleset_fd, 0);
	fd_close(&directory_fd);
	fd_close(&ruleset_fd);
	return r;
}

/* The one architecture that this program was built for. */
static uint32_t
this_architecture(void)
{
#if defined(__x86_64__)
	return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
	return AUDIT_ARCH_AARCH64;
#else
	return 0;
#endif
}

/* Calls that are refused with EACCES, beside socket(2) for what is no Unix
 * socket, as the log's is one; the rest is allowed. */
static const int refused_calls[] = { SYS_execve, SYS_execveat, SYS_ptrace,
	SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd,
	SYS_io_uring_setup };

enum {
	PROLOGUE = 6, /* instructions before the first comparison */
	EPILOGUE = 2,
	PROGRAM_SIZE = PROLOGUE + N_ELEMENTS(refused_calls) + EPILOGUE
};

#define REFUSE (SECCOMP_RET_ERRNO | EACCES)
#define LOAD(member) \
	BPF_STMT(    \
	    BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define IF_EQUAL(value, then, otherwise) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then), (otherwise))

static int
restrict_calls(void)
{
	const uint8_t count = N_ELEMENTS(refused_calls);
	struct sock_filter program[PROGRAM_SIZE] = {
		LOAD(arch),
		/* A call of another architecture has other numbers. */
		IF_EQUAL(this_architecture(), 0, count + 5),
		LOAD(nr),
		IF_EQUAL(SYS_socket, 0, 2),
		/* The low half, on machines that begin with it. */
		LOAD(args),
		IF_EQUAL(AF_UNIX, count, count + 1),
	};
	const struct sock_fprog filter = { PROGRAM_SIZE, program };

	if (this_architecture() == 0)
		return -1;
	for (uint8_t i = 0; i < count; i++)
		program[PROLOGUE + i] = (struct sock_filter)IF_EQUAL(
		    (uint32_t)refused_calls[i], (uint8_t)(count - i), 0);
	program[PROLOGUE + count] =
	    (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program[PROLOGUE + count + 1] =
	    (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, REFUSE);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

void
confine_to_directory(const char *directory)
{
#if defined(__SANITIZE_ADDRESS__)
	/* The sanitizer looks at /proc and traces this process at its end. */
	log_debug("not confined to %s", directory);
	return;
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		log_debug("no_new_privs: %s", strerror(errno));
	if (restrict_files(directory) == -1)
		log_debug("Landlock is not there: %s", strerror(errno));
	if (restrict_calls() == -1)
		log_debug("seccomp is not there: %s", strerror(errno));
}
