#include "refuse.h"

#include <sys/socket.h>

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "core/clock.h"
#include "core/failure.h"
#include "core/file.h"
#include "core/log.h"

enum {
	/* Each start of a service counts, and systemd allows five in ten
	 * seconds. */
	QUIET_MS = 3000,
	LONGEST_MS = 10 * 1000,
	TEXT_SIZE = 440 /* leaves room for what stands around it */
};

void
refuse_line(
    bool is_config, const struct failure *f, char out[static REFUSE_LINE_SIZE])
{
	bool is_passing = failure_exit_status(f) == EX_TEMPFAIL;
	char text[TEXT_SIZE];

	log_escape(text, sizeof(text), f->text, strlen(f->text));
	if (is_config)
		(void)snprintf(out, REFUSE_LINE_SIZE,
		    "421 4.3.5 Configuration: %s; run: sendmail365 check\r\n",
		    text);
	else
		(void)snprintf(out, REFUSE_LINE_SIZE,
		    "421 %s The service cannot start: %s\r\n",
		    is_passing ? "4.3.0" : "4.3.5", text);
}

static void
turn_away_one(int listen_fd, const char *line)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd == -1)
		return;
	(void)send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	fd_close(&fd);
}

void
refuse_callers(int listen_fd, const char *(*look)(void *context), void *context)
{
	const int64_t end = clock_ms() + LONGEST_MS;
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };

	while (clock_ms() < end && poll(&p, 1, QUIET_MS) > 0) {
		const char *line = look(context);

		if (line == NULL)
			return;
		turn_away_one(listen_fd, line);
	}
}
