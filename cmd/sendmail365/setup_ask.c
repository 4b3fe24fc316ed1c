#include "setup_ask.h"

#include <sys/signalfd.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "config/values.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"
#include "core/proc.h"

/* Signals that end the program, held back while a question is open. */
struct watch {
	sigset_t before;
	int fd;
};

bool
ask_is_possible(void)
{
	return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

static int
begin_watch(struct watch *w, struct failure *f)
{
	sigset_t held;

	proc_hold_ending(&held, &w->before);
	w->fd = signalfd(-1, &held, SFD_CLOEXEC);
	if (w->fd != -1)
		return 0;
	(void)failure_os(f, FAILURE_LATER, errno, "signalfd");
	(void)sigprocmask(SIG_SETMASK, &w->before, NULL);
	return -1;
}

/* A signal that came and was not taken ends the program here. */
static void
end_watch(struct watch *w, int caught)
{
	fd_close(&w->fd);
	if (caught != 0) {
		(void)fputs("\n", stderr);
		(void)raise(caught);
	}
	(void)sigprocmask(SIG_SETMASK, &w->before, NULL);
}

/* Wait for input (0), or for a signal: its number. */
static int
wait_for_input(const struct watch *w)
{
	struct signalfd_siginfo info;
	struct pollfd fds[] = {
		{ .fd = w->fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};

	while (poll(fds, 2, -1) == -1 && errno == EINTR)
		continue;
	if ((fds[0].revents & POLLIN) != 0 &&
	    fd_read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		return (int)info.ssi_signo;
	return 0;
}

/* Read up to the line end, which is cut off; *caught: a signal ended it. */
static int
read_line(
    const struct watch *w, struct buf *out, int *caught, struct failure *f)
{
	char block[512];
	ssize_t n = 0;
	int r = 0;

	buf_reset(out);
	while (r == 0 && (out->len == 0 || out->s[out->len - 1] != '\n')) {
		*caught = wait_for_input(w);
		n = *caught == 0 ? fd_read(STDIN_FILENO, block, sizeof(block))
				 : 0;
		if (n <= 0)
			r = failure_set(
			    f, FAILURE_USAGE, "no answer; nothing is written");
		else if (buf_add(out, block, (size_t)n) == -1)
			r = failure_set(
			    f, FAILURE_USAGE, "the answer is too long");
	}
	explicit_bzero(block, sizeof(block));
	if (r == 0)
		buf_truncate(out, out->len - 1);
	return r;
}

/* ---- what comes along with a paste ---- */

void
ask_tidy(struct buf *answer)
{
	const struct span all = buf_view(answer);
	struct span trimmed;
	size_t kept = 0;

	for (size_t i = 0; i < all.len;) {
		size_t len = value_unseen_length(
		    (struct span){ all.s + i, all.len - i });

		if (len == 0)
			answer->s[kept++] = all.s[i++];
		i += len;
	}
	buf_truncate(answer, kept);
	trimmed = span_trim(buf_view(answer));
	buf_consume(answer, (size_t)(trimmed.s - answer->s));
	buf_truncate(answer, trimmed.len);
}

/* ---- questions ---- */

int
ask_line(const char *question, const char *suggestion, struct buf *out,
    struct failure *f)
{
	char shown[ASK_ANSWER_MAX];
	struct watch w;
	int caught = 0;
	int r;

	(void)fprintf(stderr, "%s", question);
	if (suggestion != NULL) {
		log_escape(
		    shown, sizeof(shown), suggestion, strlen(suggestion));
		(void)fprintf(stderr, " [%s]", shown);
	}
	(void)fprintf(stderr, ": ");
	if (begin_watch(&w, f) == -1)
		return -1;
	r = read_line(&w, out, &caught, f);
	end_watch(&w, caught);
	if (r == -1) {
		(void)fputs("\n", stderr);
		return -1;
	}
	ask_tidy(out);
	if (out->len == 0 && suggestion != NULL)
		return buf_puts(out, suggestion);
	return 0;
}

/*
 * Ctrl-Z is off as well: who comes back finds the echo on, since the shell
 * sees to that.
 */
static int
turn_echo_off(struct termios *before)
{
	struct termios silent;

	if (tcgetattr(STDIN_FILENO, before) == -1)
		return -1;
	silent = *before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ECHONL;
	silent.c_cc[VSUSP] = _POSIX_VDISABLE;
	return tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
}

int
ask_secret(const char *question, struct buf *out, struct failure *f)
{
	struct termios before;
	struct watch w;
	int caught = 0;
	int r;

	if (begin_watch(&w, f) == -1)
		return -1;
	r = turn_echo_off(&before);
	if (r == -1) {
		(void)failure_os(f, FAILURE_USAGE, errno,
		    "the terminal shows what is typed; use --secret-file");
	} else {
		/* Only now: what is typed before is seen. */
		(void)fprintf(stderr, "%s: ", question);
		r = read_line(&w, out, &caught, f);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		if (r == -1 && caught == 0)
			(void)fputs("\n", stderr);
	}
	end_watch(&w, caught);
	return r;
}

void
ask_complain(const struct failure *f)
{
	char shown[FAILURE_TEXT_SIZE];

	log_escape(shown, sizeof(shown), f->text, strlen(f->text));
	(void)fprintf(stderr, "  %s\n", shown);
}
