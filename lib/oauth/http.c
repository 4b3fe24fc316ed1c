#include "oauth/http.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/failure.h"
#include "core/log.h"

enum {
	CONNECT_SECONDS = 15,
	TOTAL_SECONDS = 60,
	HOST_SIZE = 256
};

struct trouble {
	CURLcode code;
	enum failure_kind kind;
	const char *dsn;
	const char *what;
	const char *cure;
};

/* What each libcurl error means here.  The first row is for all others. */
static const struct trouble troubles[] = {
	{ CURLE_OK, FAILURE_LATER, "4.4.2", "the connection broke",
	    "it is tried again later" },
	/* The address is https (entra.c): it is the answer that is not. */
	{ CURLE_UNSUPPORTED_PROTOCOL, FAILURE_LATER, "4.4.2",
	    "the answer is not HTTP", "check authority, and proxy if any" },
	{ CURLE_URL_MALFORMAT, FAILURE_CONFIG, "4.3.5",
	    "the address is malformed", "correct authority and tenant" },
	{ CURLE_COULDNT_RESOLVE_PROXY, FAILURE_LATER, "4.4.3",
	    "the name of the proxy is not found",
	    "check proxy and this host's DNS" },
	{ CURLE_COULDNT_RESOLVE_HOST, FAILURE_LATER, "4.4.3",
	    "the name is not found", "check authority and this host's DNS" },
	{ CURLE_COULDNT_CONNECT, FAILURE_LATER, "4.4.1", "no connection",
	    "check that the firewall lets this host reach port 443, or set "
	    "proxy" },
	{ CURLE_PROXY, FAILURE_LATER, "4.4.1", "the proxy does not connect us",
	    "check proxy" },
	{ CURLE_OPERATION_TIMEDOUT, FAILURE_LATER, "4.4.1", "no answer in time",
	    "check that the firewall lets this host reach port 443, or set "
	    "proxy" },
	{ CURLE_PEER_FAILED_VERIFICATION, FAILURE_LATER, "4.7.5",
	    "the server's certificate is not accepted",
	    "check this host's clock and ca-certificates, and set ca_file if "
	    "a proxy inspects TLS here" },
	{ CURLE_SSL_CONNECT_ERROR, FAILURE_LATER, "4.7.5", "no TLS connection",
	    "TLS 1.2 or newer is needed; check for a proxy that inspects TLS" },
	{ CURLE_SSL_CACERT_BADFILE, FAILURE_CONFIG, "4.3.5",
	    "the certificates to trust cannot be read",
	    "check ca_file, or install ca-certificates" },
};

/* The host of a URL, for messages; "?" if there is none. */
static void
find_host(const char *url, char out[static HOST_SIZE])
{
	CURLU *parsed = curl_url();
	char *host = NULL;

	(void)snprintf(out, HOST_SIZE, "?");
	if (parsed != NULL && url != NULL &&
	    curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		log_escape(out, HOST_SIZE, host, strlen(host));
	curl_free(host);
	curl_url_cleanup(parsed);
}

static size_t
collect(char *data, size_t size, size_t count, void *arg)
{
	struct buf *body = arg;

	/* Less than was offered ends the transfer with CURLE_WRITE_ERROR. */
	return buf_add(body, data, size * count) == -1 ? 0 : size * count;
}

static CURLcode
set_numbers(CURL *curl, unsigned timeout)
{
	const struct {
		CURLoption option;
		long value;
	} options[] = {
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS },
		{ CURLOPT_TIMEOUT,
		    timeout > 0 && timeout < TOTAL_SECONDS ? (long)timeout
							   : TOTAL_SECONDS },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_NETRC, CURL_NETRC_IGNORED },
		{ CURLOPT_DISALLOW_USERNAME_IN_URL, 1 },
		{ CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
		{ CURLOPT_FORBID_REUSE, 1 },
		{ CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
		{ CURLOPT_SSL_VERIFYPEER, 1 },
		{ CURLOPT_SSL_VERIFYHOST, 2 },
		{ CURLOPT_PROXY_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
		{ CURLOPT_PROXY_SSL_VERIFYPEER, 1 },
		{ CURLOPT_PROXY_SSL_VERIFYHOST, 2 },
		{ CURLOPT_SUPPRESS_CONNECT_HEADERS, 1 },
#if LIBCURL_VERSION_NUM < 0x075500
		{ CURLOPT_PROTOCOLS, CURLPROTO_HTTPS },
#endif
	};
	CURLcode rc = CURLE_OK;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(
			    curl, options[i].option, options[i].value);
	return rc;
}

static CURLcode
set_texts(CURL *curl, const struct http_request *request)
{
	const struct {
		CURLoption option;
		const char *value;
	} options[] = {
		{ CURLOPT_URL, request->url },
		{ CURLOPT_USERAGENT, "sendmail365/" SENDMAIL365_VERSION },
		/* "" is "none, whatever the environment says". */
		{ CURLOPT_PROXY, request->proxy ? request->proxy : "" },
		{ CURLOPT_NOPROXY, "" },
#if LIBCURL_VERSION_NUM >= 0x075500
		{ CURLOPT_PROTOCOLS_STR, "https" },
#endif
	};
	CURLcode rc = CURLE_OK;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(
			    curl, options[i].option, options[i].value);
	return rc;
}

/* Trust what is in ca_file and nothing else, for the proxy as well. */
static CURLcode
set_trust(CURL *curl, const char *ca_file)
{
	CURLcode rc;

	if (ca_file == NULL)
		return CURLE_OK;
	if ((rc = curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file)) ==
		CURLE_OK &&
	    (rc = curl_easy_setopt(curl, CURLOPT_CAPATH, NULL)) == CURLE_OK &&
	    (rc = curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, ca_file)) ==
		CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_PROXY_CAPATH, NULL);
	return rc;
}

static CURLcode
set_form(CURL *curl, struct span form, struct buf *body)
{
	CURLcode rc;

	/* POSTFIELDS is not copied and sets the content type of a form. */
	if ((rc = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form.s)) ==
		CURLE_OK &&
	    (rc = curl_easy_setopt(
		 curl, CURLOPT_POSTFIELDSIZE, (long)form.len)) == CURLE_OK &&
	    (rc = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect)) ==
		CURLE_OK)
		rc = curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	return rc;
}

/*
 * libcurl takes a name from the subject where a certificate has no
 * subjectAltName; OpenSSL can be told not to (RFC 9525 does away with it).
 */
static CURLcode
demand_host(CURL *curl, void *ssl_context, void *host)
{
	X509_VERIFY_PARAM *p = SSL_CTX_get0_param(ssl_context);

	(void)curl;
	X509_VERIFY_PARAM_set_hostflags(p,
	    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
		X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(p, host, 0) == 1
	    ? CURLE_OK
	    : CURLE_SSL_CERTPROBLEM;
}

/* The host is what TLS leads to, unless it leads to a proxy first. */
static CURLcode
set_host(CURL *curl, const struct http_request *request, char *host)
{
	CURLcode rc;

	if (request->proxy != NULL && strncmp(request->proxy, "https:", 6) == 0)
		return CURLE_OK;
	rc = curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, host);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(
		    curl, CURLOPT_SSL_CTX_FUNCTION, demand_host);
	return rc;
}

static CURLcode
transfer(CURL *curl, const struct http_request *request, struct buf *body)
{
	char host[HOST_SIZE];
	CURLcode rc;

	find_host(request->url, host);

	if ((rc = set_numbers(curl, request->timeout)) == CURLE_OK &&
	    (rc = set_texts(curl, request)) == CURLE_OK &&
	    (rc = set_trust(curl, request->ca_file)) == CURLE_OK &&
	    (rc = set_host(curl, request, host)) == CURLE_OK &&
	    (rc = set_form(curl, request->form, body)) == CURLE_OK)
		rc = curl_easy_perform(curl);
	return rc;
}

static int
fail_transfer(
    const char *url, CURLcode rc, const char *detail, struct failure *f)
{
	const struct trouble *trouble = &troubles[0];
	char host[HOST_SIZE];
	char shown[300];

	find_host(url, host);
	if (rc == CURLE_WRITE_ERROR) {
		failure_set(f, FAILURE_LATER,
		    "%s: the answer is larger than %d bytes; check authority "
		    "and proxy",
		    host, HTTP_ANSWER_MAX);
		return failure_dsn(f, "4.7.0");
	}
	for (size_t i = 1; i < sizeof(troubles) / sizeof(troubles[0]); i++)
		if (troubles[i].code == rc)
			trouble = &troubles[i];
	if (detail[0] == '\0')
		detail = curl_easy_strerror(rc);
	log_escape(shown, sizeof(shown), detail, strlen(detail));
	failure_set(f, trouble->kind, "%s: %s (%s); %s", host, trouble->what,
	    shown, trouble->cure);
	return failure_dsn(f, trouble->dsn);
}

static int
fail_redirected(CURL *curl, const char *url, const struct http_answer *out,
    struct failure *f)
{
	char from[HOST_SIZE];
	char to[HOST_SIZE];
	char *target = NULL;

	(void)curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &target);
	find_host(url, from);
	find_host(target, to);
	failure_set(f, FAILURE_LATER,
	    "%s: HTTP %ld sends us to %s, which is not followed because the "
	    "request holds a secret; check authority and proxy",
	    from, out->status, to);
	return failure_dsn(f, "4.7.0");
}

static int
read_head(
    CURL *curl, const char *url, struct http_answer *out, struct failure *f)
{
	curl_off_t seconds = 0;

	(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
	/* libcurl understands both forms, seconds and date; a date that is
	 * over comes out negative. */
	(void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
	if (seconds > HTTP_RETRY_AFTER_MAX)
		seconds = HTTP_RETRY_AFTER_MAX;
	out->retry_after = seconds > 0 ? (int)seconds : 0;
	if (out->status >= 300 && out->status < 400)
		return fail_redirected(curl, url, out, f);
	return 0;
}

int
http_post(const struct http_request *request, struct http_answer *out,
    struct failure *f)
{
	char detail[CURL_ERROR_SIZE] = "";
	CURLcode rc = CURLE_FAILED_INIT;
	CURL *curl = NULL;
	int r = -1;

	*out = (struct http_answer){ .status = 0 };
	buf_init_secret(&out->body, HTTP_ANSWER_MAX);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return fail_transfer(request->url, rc, detail, f);
	curl = curl_easy_init();
	if (curl != NULL) {
		(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
		rc = transfer(curl, request, &out->body);
	}
	if (rc == CURLE_OK)
		r = read_head(curl, request->url, out, f);
	else
		fail_transfer(request->url, rc, detail, f);
	curl_easy_cleanup(curl);
	curl_global_cleanup();
	return r;
}

void
http_answer_done(struct http_answer *answer)
{
	buf_done(&answer->body);
}
