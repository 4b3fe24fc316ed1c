/*
 * http - one POST over HTTPS, for the token endpoint
 *
 * Strict on purpose: https only, TLS 1.2 or newer, the certificate and its
 * name verified, no redirection, no cookies, no netrc, a proxy only from the
 * configuration, an answer of bounded size in bounded time.
 *
 * Request and answer live in secret buffers of ours; libcurl keeps copies of
 * its own while it works, which it frees, unwiped, before http_post()
 * returns.  libcurl is started and ended within each call, so that nothing of
 * it remains.  It reads SSLKEYLOGFILE from the environment: programs call
 * proc_drop_environment() first.
 */
#ifndef OAUTH_HTTP_H
#define OAUTH_HTTP_H

#include "core/buf.h"

struct failure;

enum {
	HTTP_ANSWER_MAX = 256 * 1024, /* bytes */
	HTTP_RETRY_AFTER_MAX = 3600   /* seconds */
};

struct http_request {
	const char *url;
	const char *ca_file; /* NULL: the system's certificates */
	const char *proxy;   /* as libcurl writes them; NULL: none */
	unsigned timeout;    /* seconds for all of it; 0: 60 */
	struct span form;    /* application/x-www-form-urlencoded */
};

struct http_answer {
	long status;
	int retry_after; /* seconds, at most the maximum; 0: not said */
	struct buf body; /* secret */
};

/*
 * Send the form and wait for the answer, so long at most.  Any status but
 * a redirection is an answer.  *out is the caller's to http_answer_done()
 * whatever is returned.  Kinds: FAILURE_LATER (network, TLS, a redirection,
 * an answer too large), FAILURE_CONFIG (the URL or ca_file is no good).
 */
int http_post(const struct http_request *request, struct http_answer *out,
    struct failure *f);

/* Wipe and release; done twice is fine. */
void http_answer_done(struct http_answer *answer);

#endif
