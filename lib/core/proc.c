#include "core/proc.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"

static const char *const kept_names[] = {
	"CREDENTIALS_DIRECTORY", /* systemd: where LoadCredential= puts files */
	"HOME",
	"LISTEN_FDS",
	"LISTEN_PID",
	"NOTIFY_SOCKET",
	"SENDMAIL365_SOCKET",
	"TZ",
	"WATCHDOG_PID",
	"WATCHDOG_USEC",
	"XDG_CONFIG_HOME",
	"XDG_STATE_HOME",
};

enum {
	N_KEPT = sizeof(kept_names) / sizeof(kept_names[0])
};

/* Without this the first file that is opened becomes standard output. */
static void
open_standard_descriptors(void)
{
	int fd;

	/* Reading from a closed input is to fail, and not to look empty. */
	do
		fd = open("/dev/null", O_WRONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

/* SIGHUP stays as it is: nohup(1) set it on purpose. */
static void
reset_signals(void)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM,
		SIGCHLD };
	sigset_t none;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		(void)signal(ending[i], SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

void
proc_harden(void)
{
	static const struct rlimit no_core = { 0, 0 };

	open_standard_descriptors();
	(void)umask(077);
	reset_signals();
	(void)setrlimit(RLIMIT_CORE, &no_core);
}

void
proc_drop_environment(void)
{
	char *kept[N_KEPT] = { NULL };

	for (size_t i = 0; i < N_KEPT; i++) {
		const char *value = secure_getenv(kept_names[i]);

		if (value != NULL)
			kept[i] = xstrdup(value);
	}
	(void)clearenv();
	(void)setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	for (size_t i = 0; i < N_KEPT; i++) {
		if (kept[i] != NULL)
			(void)setenv(kept_names[i], kept[i], 1);
		free(kept[i]);
	}
	(void)prctl(PR_SET_DUMPABLE, 0);
}

void
proc_close_inherited(void)
{
	/* Where the kernel does not know it they stay open, as they were. */
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
}

void
proc_hold_ending(sigset_t *out_held, sigset_t *out_before)
{
	(void)sigemptyset(out_held);
	(void)sigaddset(out_held, SIGHUP);
	(void)sigaddset(out_held, SIGINT);
	(void)sigaddset(out_held, SIGQUIT);
	(void)sigaddset(out_held, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, out_held, out_before);
}
