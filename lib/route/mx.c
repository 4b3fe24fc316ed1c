#include "route/mx.h"

#include <sys/types.h>
#include <sys/wait.h>

#include <arpa/nameser.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <resolv.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "core/file.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

enum {
	ALIASES_MAX = 8, /* in a row; what is more is taken for a loop */
	LOOKUP_SECONDS = 30,
	/* Three servers, the most that resolv.conf can name, are then asked
	 * twice: the resolver waits 5 s, 3 s and 6 s for them. */
	SERVER_SECONDS = 5,
	ROUNDS = 2
};

/* The best hosts so far, most preferred first, then in the answer's order. */
struct ranking {
	char *hosts[MX_HOSTS_MAX];
	unsigned preferences[MX_HOSTS_MAX];
	size_t count;
	bool has_null; /* "no mail here", RFC 7505 */
};

/* ---- names ---- */

/*
 * RFC 1123 2.1: letters, digits, and hyphens but at neither end.  Whatever
 * else DNS may hold comes escaped by a backslash, which is none of them; the
 * lengths are right where a name could be expanded.
 */
static bool
is_label(struct span s)
{
	if (s.len == 0 || s.s[0] == '-' || s.s[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.s[i]) && s.s[i] != '-')
			return false;
	return true;
}

static bool
is_host_name(const char *name)
{
	for (;;) {
		size_t len = strcspn(name, ".");

		if (!is_label((struct span){ name, len }))
			return false;
		/* No top-level domain is a number: an IP address is no name. */
		if (name[len] == '\0')
			return strspn(name, "0123456789") != len;
		name += len + 1;
	}
}

bool
mx_is_exchange(const char *host)
{
	static const char *const parents[] = { ".mail.protection.outlook.com",
		".mx.microsoft" };
	struct span s = span_of(host);

	if (!is_host_name(host))
		return false;
	for (size_t i = 0; i < N_ELEMENTS(parents); i++) {
		size_t len = strlen(parents[i]);

		if (s.len > len &&
		    ascii_equal_nocase(s.s + s.len - len, parents[i], len))
			return true;
	}
	return false;
}

/* ---- which hosts, in which order ---- */

/* Take a host at its place, unless it has a better one or none at all. */
static void
rank(struct ranking *r, unsigned preference, const char *host)
{
	size_t place = 0;
	size_t last;

	for (; place < r->count && r->preferences[place] <= preference; place++)
		if (strcmp(r->hosts[place], host) == 0)
			return;
	if (place == MX_HOSTS_MAX)
		return;
	/* Those behind move down: onto the host's old place, or a free one,
	 * or the last one falls out. */
	last = place;
	while (last < r->count && last < MX_HOSTS_MAX - 1 &&
	    strcmp(r->hosts[last], host) != 0)
		last++;
	if (last == r->count)
		r->count++;
	else
		free(r->hosts[last]);
	for (size_t i = last; i > place; i--) {
		r->hosts[i] = r->hosts[i - 1];
		r->preferences[i] = r->preferences[i - 1];
	}
	r->hosts[place] = xstrdup(host);
	r->preferences[place] = preference;
}

static void
ranking_done(struct ranking *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->hosts[i]);
	r->count = 0;
}

void
mx_list_done(struct mx_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->hosts[i]);
	free(list->hosts);
	*list = (struct mx_list){ NULL, 0 };
}

/* ---- the answer ---- */

/* Expand the name that a record's data end with; -1: there is none. */
static int
read_name(const ns_msg *msg, const ns_rr *rr, int offset,
    char name[static NS_MAXDNAME])
{
	const unsigned char *data = ns_rr_rdata(*rr);

	if (ns_rr_rdlen(*rr) <= offset ||
	    dn_expand(ns_msg_base(*msg), ns_msg_end(*msg), data + offset, name,
		NS_MAXDNAME) != ns_rr_rdlen(*rr) - offset)
		return -1;
	for (char *s = name; *s != '\0'; s++)
		*s = ascii_lower(*s);
	return 0;
}

/* The record is about this name, and of this type. */
static bool
is_about(const ns_rr *rr, const char *name, ns_type type)
{
	return ns_rr_type(*rr) == type && ns_rr_class(*rr) == ns_c_in &&
	    span_is_nocase(span_of(rr->name), name);
}

/* An answer, whole, to our question and to no other. */
static bool
is_answer_to(ns_msg *msg, const char *domain)
{
	ns_rr question;

	return ns_msg_getflag(*msg, ns_f_qr) == 1 &&
	    ns_msg_getflag(*msg, ns_f_opcode) == ns_o_query &&
	    ns_msg_getflag(*msg, ns_f_tc) == 0 &&
	    ns_msg_count(*msg, ns_s_qd) == 1 &&
	    ns_parserr(msg, ns_s_qd, 0, &question) == 0 &&
	    is_about(&question, domain, ns_t_mx);
}

/* Replace name by what it is an alias of: 1; 0: it is none; -1: malformed. */
static int
follow_alias(ns_msg *msg, char name[static NS_MAXDNAME])
{
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*msg, ns_s_an); i++) {
		if (ns_parserr(msg, ns_s_an, i, &rr) == -1)
			return -1;
		if (is_about(&rr, name, ns_t_cname))
			return read_name(msg, &rr, 0, name) == 0 ? 1 : -1;
	}
	return 0;
}

/* The name whose MX records count; -1: malformed, or a loop. */
static int
find_owner(ns_msg *msg, const char *domain, char owner[static NS_MAXDNAME])
{
	int r = 1;

	if (strlen(domain) >= NS_MAXDNAME)
		return -1;
	memcpy(owner, domain, strlen(domain) + 1);
	for (int i = 0; i <= ALIASES_MAX && r == 1; i++)
		r = follow_alias(msg, owner);
	return r == 0 ? 0 : -1;
}

/* Rank the hosts that the MX records of owner name; -1: malformed. */
static int
rank_all(ns_msg *msg, const char *owner, struct ranking *r)
{
	char host[NS_MAXDNAME];
	ns_rr rr;

	for (int i = 0; i < ns_msg_count(*msg, ns_s_an); i++) {
		if (ns_parserr(msg, ns_s_an, i, &rr) == -1)
			return -1;
		if (!is_about(&rr, owner, ns_t_mx))
			continue;
		if (read_name(msg, &rr, NS_INT16SZ, host) == -1)
			return -1;
		if (host[0] == '\0')
			r->has_null = true;
		if (is_host_name(host))
			rank(r, ns_get16(ns_rr_rdata(rr)), host);
	}
	return 0;
}

/* ---- what an answer without a host means ---- */

static int
refuse_malformed(const char *domain, struct failure *f)
{
	(void)failure_set(f, FAILURE_LATER,
	    "the DNS answer about mail for %s makes no sense (torn, forged, or "
	    "aliases in a loop); check the DNS server in /etc/resolv.conf",
	    domain);
	return failure_dsn(f, "4.4.3");
}

static int
refuse_silence(const char *domain, struct failure *f)
{
	(void)failure_set(f, FAILURE_LATER,
	    "the DNS server does not answer for %s (SERVFAIL, REFUSED or "
	    "time-out); check /etc/resolv.conf and the network",
	    domain);
	return failure_dsn(f, "4.4.3");
}

static int
refuse_unknown(const char *domain, struct failure *f)
{
	(void)failure_set(f, FAILURE_LATER,
	    "the domain %s does not exist; check internal_domains in "
	    "[direct_send]",
	    domain);
	return failure_dsn(f, "4.4.4");
}

static int
refuse_null(const char *domain, struct failure *f)
{
	(void)failure_set(f, FAILURE_LATER,
	    "%s takes no mail, says its MX record (\".\"); check "
	    "internal_domains in [direct_send]",
	    domain);
	return failure_dsn(f, "4.4.4");
}

static int
refuse_empty(const char *domain, struct failure *f)
{
	(void)failure_set(f, FAILURE_LATER,
	    "%s has no MX record that names a host; set mx in [direct_send], "
	    "or check DNS",
	    domain);
	return failure_dsn(f, "4.4.4");
}

/* What the code of an answer says; 0: look at the records. */
static int
check_code(const ns_msg *msg, const char *domain, struct failure *f)
{
	switch (ns_msg_getflag(*msg, ns_f_rcode)) {
	case ns_r_noerror:
		return 0;
	case ns_r_nxdomain:
		return refuse_unknown(domain, f);
	default:
		return refuse_silence(domain, f);
	}
}

int
mx_parse(struct span answer, const char *domain, struct mx_list *out,
    struct failure *f)
{
	struct ranking r = { .count = 0 };
	char owner[NS_MAXDNAME];
	ns_msg msg;

	*out = (struct mx_list){ NULL, 0 };
	if (answer.len > NS_MAXMSG ||
	    ns_initparse(
		(const unsigned char *)answer.s, (int)answer.len, &msg) == -1 ||
	    !is_answer_to(&msg, domain))
		return refuse_malformed(domain, f);
	if (check_code(&msg, domain, f) == -1)
		return -1;
	if (find_owner(&msg, domain, owner) == -1 ||
	    rank_all(&msg, owner, &r) == -1) {
		ranking_done(&r);
		return refuse_malformed(domain, f);
	}
	if (r.count == 0)
		return r.has_null ? refuse_null(domain, f)
				  : refuse_empty(domain, f);
	out->hosts = xcalloc(r.count, sizeof(*out->hosts));
	memcpy(out->hosts, r.hosts, r.count * sizeof(*out->hosts));
	out->count = r.count;
	return 0;
}

/* ---- the question ---- */

/*
 * Ask the servers of resolv.conf; the length of the answer, or -1.  This is
 * res_nquery() but that an answer which says "no" is an answer too, for
 * mx_parse() to read, and that there is no EDNS: what does not fit 512 octets
 * comes by TCP.
 */
static int
ask(const char *domain, unsigned char answer[static NS_MAXMSG])
{
	unsigned char query[NS_PACKETSZ];
	struct __res_state state;
	int len;

	memset(&state, 0, sizeof(state));
	if (res_ninit(&state) == -1)
		return -1;
	if (state.retrans > SERVER_SECONDS)
		state.retrans = SERVER_SECONDS;
	if (state.retry > ROUNDS)
		state.retry = ROUNDS;
	len = res_nmkquery(&state, ns_o_query, domain, ns_c_in, ns_t_mx, NULL,
	    0, NULL, query, sizeof(query));
	if (len > 0)
		len = res_nsend(&state, query, len, answer, NS_MAXMSG);
	res_nclose(&state);
	return len;
}

/* The life of the child: write the answer, or nothing, to fd. */
static _Noreturn void
ask_and_exit(const char *domain, int fd)
{
	unsigned char answer[NS_MAXMSG];
	sigset_t none;
	int len;

	(void)signal(SIGALRM, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)alarm(LOOKUP_SECONDS);
	len = ask(domain, answer);
	if (len > 0)
		(void)fd_write_all(fd, answer, (size_t)len);
	_exit(0);
}

/* Read until the writer has ended. */
static void
read_answer(int fd, struct buf *answer)
{
	char chunk[4096];
	ssize_t n;

	while ((n = fd_read(fd, chunk, sizeof(chunk))) > 0)
		if (buf_add(answer, chunk, (size_t)n) == -1)
			return;
}

/*
 * On TCP the resolver waits as long as the other end likes, and begins anew
 * when a signal comes.  A child can be ended.
 */
static int
ask_in_child(const char *domain, struct buf *answer, struct failure *f)
{
	int ends[2];
	pid_t child;
	int saved;

	if (pipe2(ends, O_CLOEXEC) == -1)
		return failure_os(f, FAILURE_LATER, errno, "pipe");
	child = fork();
	saved = errno;
	if (child == 0)
		ask_and_exit(domain, ends[1]);
	fd_close(&ends[1]);
	if (child > 0)
		read_answer(ends[0], answer);
	fd_close(&ends[0]);
	if (child == -1)
		return failure_os(f, FAILURE_LATER, saved, "fork");
	while (waitpid(child, NULL, 0) == -1 && errno == EINTR)
		;
	return 0;
}

int
mx_lookup(const char *domain, struct mx_list *out, struct failure *f)
{
	struct buf answer;
	int r;

	*out = (struct mx_list){ NULL, 0 };
	buf_init(&answer, NS_MAXMSG);
	r = ask_in_child(domain, &answer, f);
	if (r == 0 && answer.len == 0)
		r = refuse_silence(domain, f);
	else if (r == 0)
		r = mx_parse(buf_view(&answer), domain, out, f);
	buf_done(&answer);
	return r;
}
