#include "smtp/client.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/clock.h"
#include "core/log.h"
#include "smtp/auth.h"
#include "smtp/net.h"
#include "smtp/reply.h"
#include "smtp/session.h"
#include "smtp/stream.h"
#include "smtp/tls.h"

enum {
	COMMAND_MAX = 2048,         /* addresses and parameters fit */
	AUTH_LINE_MAX = 256 * 1024, /* a token of TOKEN_MAX_BYTES in base64 */
	AUTH_COMMAND_MAX = 512,     /* RFC 4954 4, for servers unknown to us */
	AUTH_STEPS_MAX = 8,
	ADDRESSES_TRIED = 6,
	/* For all addresses but the last: another may answer. */
	FIRST_CONNECT_TIMEOUT = 10,
	/* All of a session, below the half hour that our sendmail waits. */
	SESSION_SECONDS = 25 * 60,
	CONNECT_TIMEOUT = 30
};

/* ---- phases ---- */

/* Seconds to wait for the peer, RFC 5321 4.5.3.2. */
static const int timeouts[] = {
	[PHASE_CONNECT] = CONNECT_TIMEOUT,
	[PHASE_BANNER] = 300,
	[PHASE_EHLO] = 300,
	[PHASE_STARTTLS] = 120,
	[PHASE_TLS] = 120,
	[PHASE_EHLO_TLS] = 300,
	[PHASE_AUTH] = 120,
	[PHASE_MAIL] = 300,
	[PHASE_RCPT] = 300,
	[PHASE_DATA] = 120,
	[PHASE_BODY] = 180,
	[PHASE_END] = 600,
	[PHASE_RSET] = 60,
};

static_assert(sizeof(timeouts) / sizeof(timeouts[0]) == PHASE_COUNT,
    "a phase has no time-out");

int
session_timeout(enum smtp_phase phase, int cap)
{
	return cap > 0 && cap < timeouts[phase] ? cap : timeouts[phase];
}

void
session_enter(struct smtp *c, enum smtp_phase phase)
{
	int64_t deadline = clock_deadline(session_timeout(phase, c->timeout));

	c->phase = phase;
	stream_set_deadline(c->stream, deadline < c->end ? deadline : c->end);
}

int
session_failed(struct smtp *c, struct trouble *t)
{
	c->is_broken = true;
	return verdict_host(c->phase, t);
}

/* ---- commands and replies ---- */

/* The only writer of lines: no control character gets past it. */
static int
write_line(struct smtp *c, struct span line, struct trouble *t)
{
	if (ascii_has_control(line)) {
		(void)failure_set(&t->failure, FAILURE_BUG,
		    "a command with a control character was about to be sent");
		t->scope = SCOPE_MESSAGE;
		c->is_broken = true;
		return -1;
	}
	if (stream_write(c->stream, line, &t->failure) == -1 ||
	    stream_write(c->stream, span_of("\r\n"), &t->failure) == -1)
		return session_failed(c, t);
	return 0;
}

int
session_command(struct smtp *c, struct trouble *t, const char *fmt, ...)
{
	char line[COMMAND_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* Addresses are bounded by ADDRESS_MAX, names by the resolver. */
	assert(n > 0 && (size_t)n < sizeof(line));
	log_debug("%s C: %s", c->relay, line);
	return write_line(c, (struct span){ line, (size_t)n }, t);
}

int
session_reply(struct smtp *c, struct trouble *t)
{
	struct buf line;
	int r = 0;

	reply_reset(&c->reply);
	buf_init_secret(&line, REPLY_LINE_MAX + 2);
	while (r == 0) {
		buf_reset(&line);
		r = stream_read_line(
		    c->stream, REPLY_LINE_MAX, &line, &t->failure);
		if (r == 0) {
			r = failure_set(&t->failure, FAILURE_LATER,
			    "%s closed the connection", c->relay);
		} else if (r == 1) {
			log_debug("%s S: %s", c->relay, line.s);
			r = reply_feed(&c->reply, buf_view(&line), &t->failure);
		}
	}
	buf_done(&line);
	if (r == -1)
		return session_failed(c, t);
	c->has_answered = true;
	/* RFC 5321 3.8: the server closes after 421, whenever it says so. */
	if (c->reply.code == 421)
		c->is_broken = true;
	return 0;
}

int
session_expect(struct smtp *c, int class, struct trouble *t)
{
	if (session_reply(c, t) == -1)
		return -1;
	if (reply_class(&c->reply) == class)
		return 0;
	return verdict_reply(c->phase, &c->reply, c->relay, t);
}

/* ---- EHLO ---- */

static const struct {
	const char *keyword;
	enum extension bit;
} extensions[] = {
	{ "PIPELINING", EXT_PIPELINING },
	{ "CHUNKING", EXT_CHUNKING },
	{ "8BITMIME", EXT_8BITMIME },
	{ "BINARYMIME", EXT_BINARYMIME },
	{ "SMTPUTF8", EXT_SMTPUTF8 },
	{ "STARTTLS", EXT_STARTTLS },
	{ "SIZE", EXT_SIZE },
	{ "DSN", EXT_DSN },
};

/* The mechanisms: "AUTH LOGIN XOAUTH2", or "AUTH=LOGIN" as of old. */
static void
learn_mechanisms(struct smtp *c, struct span line)
{
	while (line.len > 0) {
		struct span word = span_cut_word(&line);

		if (buf_putc(&c->mechanisms, ' ') == -1 ||
		    buf_span(&c->mechanisms, word) == -1)
			return;
	}
}

static void
learn_extension(struct smtp *c, struct span line)
{
	struct span keyword = span_cut_word(&line);

	if (span_is_nocase(keyword, "AUTH"))
		learn_mechanisms(c, line);
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++)
		if (span_is_nocase(keyword, extensions[i].keyword))
			c->extensions |= extensions[i].bit;
	if (span_is_nocase(keyword, "SIZE"))
		/* A size that is no number is as good as none. */
		(void)!parse_u64(span_trim(line), INT64_MAX, &c->size_max);
}

/*
 * Exchange Online takes a long initial response (observed), other servers
 * only what fits a command line.  It is known by the name it gives itself
 * under TLS.
 */
static bool
is_exchange(struct span greeting)
{
	static const char *const domains[] = { ".outlook.com", ".office365.com",
		".office365.us", ".outlook.cn" };
	struct span name = span_cut_word(&greeting);

	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		size_t len = strlen(domains[i]);

		if (name.len > len &&
		    ascii_equal_nocase(
			name.s + name.len - len, domains[i], len))
			return true;
	}
	return false;
}

static int
say_hello(
    struct smtp *c, enum smtp_phase phase, const char *name, struct trouble *t)
{
	const char *line, *end;

	/* Nothing that was learnt in the clear is believed under TLS. */
	c->extensions = 0;
	c->size_max = 0;
	buf_reset(&c->mechanisms);
	session_enter(c, phase);
	if (session_command(c, t, "EHLO %s", name) == -1 ||
	    session_expect(c, 2, t) == -1)
		return -1;
	line = c->reply.text.s;
	end = strchrnul(line, '\n');
	c->is_exchange =
	    is_exchange((struct span){ line, (size_t)(end - line) });
	while (*end != '\0') {
		line = end + 1;
		end = strchrnul(line, '\n');
		learn_extension(c, (struct span){ line, (size_t)(end - line) });
	}
	return 0;
}

/* ---- connecting ---- */

static int
start_tls(struct smtp *c, const struct smtp_target *target, struct trouble *t)
{
	session_enter(c, PHASE_STARTTLS);
	if ((c->extensions & EXT_STARTTLS) == 0) {
		(void)failure_set(&t->failure, FAILURE_LATER,
		    "%s does not offer STARTTLS; nothing is sent in the clear: "
		    "check host and port, or what stands in between",
		    c->relay);
		(void)failure_dsn(&t->failure, "4.7.5");
		return session_failed(c, t);
	}
	if (session_command(c, t, "STARTTLS") == -1 ||
	    session_expect(c, 2, t) == -1)
		return -1;
	session_enter(c, PHASE_TLS);
	if (stream_start_tls(
		c->stream, target->tls, target->host, &t->failure) == -1)
		return session_failed(c, t);
	c->is_verified = tls_context_verifies(target->tls);
	log_debug("%s: %s, %s%s", c->relay, stream_tls_version(c->stream),
	    c->is_verified ? "verified" : "not verified",
	    stream_is_resumed(c->stream) ? ", resumed" : "");
	return 0;
}

static int
greet(struct smtp *c, const struct smtp_target *target, struct trouble *t)
{
	session_enter(c, PHASE_BANNER);
	if (session_expect(c, 2, t) == -1 ||
	    say_hello(c, PHASE_EHLO, target->ehlo_name, t) == -1 ||
	    start_tls(c, target, t) == -1)
		return -1;
	return say_hello(c, PHASE_EHLO_TLS, target->ehlo_name, t);
}

/* What one of several attempts may take. */
struct attempt {
	int connect_timeout; /* seconds */
	int64_t end;         /* of the session, clock_ms() */
};

static int
open_address(const struct smtp_target *target, const struct addrinfo *address,
    const struct attempt *attempt, struct smtp **out, struct trouble *t)
{
	char name[NET_NAME_SIZE];
	struct smtp *c;
	int fd;

	if (net_connect(address, clock_deadline(attempt->connect_timeout), &fd,
		&t->failure) == -1)
		return verdict_host(PHASE_CONNECT, t);
	c = xcalloc(1, sizeof(*c));
	net_name(address, name);
	c->relay =
	    xasprintf("%s[%s]:%u", target->host, name, (unsigned)target->port);
	c->timeout = target->timeout;
	c->end = attempt->end;
	c->host = xstrdup(target->host);
	reply_init(&c->reply);
	buf_init(&c->mechanisms, REPLY_TOTAL_MAX);
	{
		int write_fd = fd;

		c->stream = stream_new(&fd, &write_fd, c->relay);
	}
	if (greet(c, target, t) == -1) {
		smtp_close(&c);
		return -1;
	}
	*out = c;
	return 0;
}

/* The first address of that family, or of another, from a on. */
static const struct addrinfo *
next_address(const struct addrinfo *a, int family, bool is_same)
{
	while (a != NULL && (a->ai_family == family) != is_same)
		a = a->ai_next;
	return a;
}

/*
 * The addresses to try, of both families in turn: where one has no route, the
 * other may have one.  Returns how many.
 */
static size_t
choose_in_turn(const struct addrinfo *all, const struct addrinfo **out)
{
	const struct addrinfo *next[2] = { all, all };
	size_t count = 0;

	for (size_t turn = 0; count < ADDRESSES_TRIED; turn = !turn) {
		next[turn] =
		    next_address(next[turn], all->ai_family, turn == 0);
		if (next[turn] != NULL) {
			out[count++] = next[turn];
			next[turn] = next[turn]->ai_next;
		} else if (next_address(next[!turn], all->ai_family,
			       turn != 0) == NULL) {
			break;
		}
	}
	return count;
}

/* The same with all IPv4 addresses first: Exchange asks more of those who come
 * over IPv6 without signing in. */
static size_t
choose_ipv4_first(const struct addrinfo *all, const struct addrinfo **out)
{
	size_t count = 0;

	for (int is_ipv4 = 1; is_ipv4 >= 0; is_ipv4--) {
		const struct addrinfo *a = next_address(all, AF_INET, is_ipv4);

		while (a != NULL && count < ADDRESSES_TRIED) {
			out[count++] = a;
			a = next_address(a->ai_next, AF_INET, is_ipv4);
		}
	}
	return count;
}

static int
open_any(const struct smtp_target *target, const struct addrinfo *all,
    struct smtp **out, struct trouble *t)
{
	const struct addrinfo *chosen[ADDRESSES_TRIED];
	size_t count = target->is_ipv4_first ? choose_ipv4_first(all, chosen)
					     : choose_in_turn(all, chosen);
	int timeout = session_timeout(PHASE_CONNECT, target->timeout);
	struct attempt attempt = { .end = clock_deadline(SESSION_SECONDS) };
	int r = -1;

	for (size_t i = 0; i < count && r == -1; i++) {
		attempt.connect_timeout = timeout;
		if (i + 1 < count && timeout > FIRST_CONNECT_TIMEOUT)
			attempt.connect_timeout = FIRST_CONNECT_TIMEOUT;
		r = open_address(target, chosen[i], &attempt, out, t);
		if (r == -1)
			log_debug("%s", t->failure.text);
	}
	return r;
}

int
smtp_open(
    const struct smtp_target *target, struct smtp **out, struct trouble *t)
{
	struct addrinfo *addresses = NULL;
	int r;

	if (net_resolve(target->host, target->port, &addresses, &t->failure) ==
	    -1)
		return verdict_host(PHASE_CONNECT, t);
	r = open_any(target, addresses, out, t);
	freeaddrinfo(addresses);
	if (r == -1 && strcmp(t->failure.dsn, "4.4.1") == 0)
		(void)failure_at(&t->failure,
		    "no connection to %s port %u (does a firewall block it?)",
		    target->host, (unsigned)target->port);
	return r;
}

bool
smtp_renew(struct smtp *c)
{
	if (c->is_broken || !stream_is_quiet(c->stream)) {
		c->is_broken = true;
		return false;
	}
	c->end = clock_deadline(SESSION_SECONDS);
	c->has_answered = false;
	return true;
}

bool
smtp_has_answered(const struct smtp *c)
{
	return c->has_answered;
}

const char *
smtp_relay(const struct smtp *c)
{
	return c->relay;
}

void
smtp_close(struct smtp **session)
{
	struct smtp *c = *session;
	struct trouble ignored;

	if (c == NULL)
		return;
	if (!c->is_broken) {
		/* A courtesy: what fails here has failed nobody. */
		stream_set_deadline(c->stream, clock_deadline(1));
		if (session_command(c, &ignored, "QUIT") == 0)
			(void)stream_flush(c->stream, &ignored.failure);
	}
	stream_free(&c->stream);
	reply_done(&c->reply);
	buf_done(&c->mechanisms);
	free(c->relay);
	free(c->host);
	free(c);
	*session = NULL;
}

/* ---- AUTH ---- */

static bool
offers(const struct smtp *c, struct span mechanism)
{
	struct span rest = buf_view(&c->mechanisms);

	while (rest.len > 0) {
		struct span word = span_cut_word(&rest);

		if (word.len == mechanism.len &&
		    ascii_equal_nocase(word.s, mechanism.s, word.len))
			return true;
	}
	return false;
}

/* The first of the mechanisms that the server offers; empty: none. */
static struct span
choose_mechanism(const struct smtp *c, const char *mechanisms)
{
	struct span rest = span_of(mechanisms);
	struct span word;

	do
		word = span_cut_word(&rest);
	while (word.len > 0 && !offers(c, word));
	return word;
}

static int
refuse_mechanisms(struct smtp *c, const char *mechanisms, struct trouble *t)
{
	struct span rest = span_of(mechanisms);
	struct buf wanted;

	buf_init(&wanted, COMMAND_MAX);
	(void)buf_span(&wanted, span_cut_word(&rest));
	while (rest.len > 0) {
		(void)buf_puts(&wanted, " or ");
		(void)buf_span(&wanted, span_cut_word(&rest));
	}
	(void)failure_set(&t->failure, FAILURE_LATER,
	    "%s does not offer AUTH %s (it offers%s): check host and port, "
	    "and how the account signs in",
	    c->relay, wanted.s,
	    c->mechanisms.len > 0 ? c->mechanisms.s : " nothing");
	(void)failure_dsn(&t->failure, "4.7.0");
	buf_done(&wanted);
	return verdict_host(PHASE_AUTH, t);
}

/* A line with credentials: never logged. */
static int
write_secret(struct smtp *c, const struct buf *line, struct trouble *t)
{
	log_debug("%s C: ***", c->relay);
	return write_line(c, buf_view(line), t);
}

/* The text of a 334 reply, without the blanks that EXO may add. */
static struct span
challenge(const struct smtp *c)
{
	return span_trim(buf_view(&c->reply.text));
}

/* The next answer, into *response, unless its first is there already. */
static int
answer_challenge(
    struct smtp *c, struct auth *a, struct buf *response, struct trouble *t)
{
	buf_reset(response);
	if (auth_step(a, challenge(c), response, &t->failure) == 0)
		return 0;
	/* The server waits for an answer that there is not. */
	c->is_broken = true;
	t->scope = SCOPE_ACCOUNT;
	t->code = 0;
	return -1;
}

/*
 * Answer 334 replies until the server decides.  has_first: *response is the
 * answer to the first of them.
 */
static int
exchange(struct smtp *c, struct auth *a, struct buf *response, bool has_first,
    struct trouble *t)
{
	for (int steps = 0; steps < AUTH_STEPS_MAX; steps++) {
		if (session_reply(c, t) == -1)
			return -1;
		if (reply_class(&c->reply) == 2)
			return 0;
		if (c->reply.code != 334)
			break;
		if (!has_first && answer_challenge(c, a, response, t) == -1)
			return -1;
		has_first = false;
		if (write_secret(c, response, t) == -1)
			return -1;
	}
	return verdict_reply(PHASE_AUTH, &c->reply, c->relay, t);
}

/* One AUTH command, with the initial response on its line or without. */
static int
try_auth(struct smtp *c, struct auth *a, struct buf *response, bool is_on_line,
    struct trouble *t)
{
	struct buf line;
	int r;

	buf_init_secret(&line, AUTH_LINE_MAX);
	r = buf_printf(&line, "AUTH %s", auth_mechanism(a));
	if (r == 0 && is_on_line)
		r = buf_printf(&line, " %s", response->s);
	/* response is bounded by AUTH_LINE_MAX minus room for the command. */
	assert(r == 0);
	session_enter(c, PHASE_AUTH);
	r = write_secret(c, &line, t);
	buf_done(&line);
	if (r == -1)
		return -1;
	return exchange(c, a, response, response->len > 0 && !is_on_line, t);
}

static int
run_auth(struct smtp *c, struct auth *a, struct trouble *t)
{
	struct buf response;
	bool is_on_line;
	int r;

	buf_init_secret(&response, AUTH_LINE_MAX - AUTH_COMMAND_MAX);
	t->scope = SCOPE_ACCOUNT;
	t->code = 0;
	r = auth_start(a, &response, &t->failure);
	if (r == 0) {
		is_on_line = response.len > 0 &&
		    (c->is_exchange ||
			strlen(auth_mechanism(a)) + response.len + 8 <=
			    AUTH_COMMAND_MAX);
		r = try_auth(c, a, &response, is_on_line, t);
		/* RFC 4954 4: the line was too long; in two steps then. */
		if (r == -1 && is_on_line && t->code == 500 && !c->is_broken)
			r = try_auth(c, a, &response, false, t);
	}
	buf_done(&response);
	return r;
}

int
smtp_authenticate(struct smtp *c, const char *mechanisms, const char *user,
    struct span secret, struct trouble *t)
{
	struct span mechanism = choose_mechanism(c, mechanisms);
	struct auth *a = NULL;
	int r;

	c->phase = PHASE_AUTH;
	/* Nobody gets a credential who has not proved who he is. */
	assert(c->is_verified);
	if (mechanism.len == 0)
		return refuse_mechanisms(c, mechanisms, t);
	t->scope = SCOPE_ACCOUNT;
	t->code = 0;
	r = auth_new(mechanism, c->host, user, secret, &a, &t->failure);
	if (r == 0)
		r = run_auth(c, a, t);
	auth_free(&a);
	return r;
}
