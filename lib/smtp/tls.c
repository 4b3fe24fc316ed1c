#include "smtp/tls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/alloc.h"
#include "core/failure.h"

static const char *
last_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "unknown reason";
}

/* The latest session of a context, so that the next connection resumes it. */
struct memory {
	SSL_SESSION *session;
	char *host;
};

static void
forget(struct memory *m)
{
	SSL_SESSION_free(m->session);
	free(m->host);
	*m = (struct memory){ NULL, NULL };
}

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct memory *m = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (host == NULL)
		return 0;
	forget(m);
	m->host = xstrdup(host);
	m->session = session;
	/* The reference is ours now. */
	return 1;
}

/* What was verified holds for the same host only; elsewhere, and where there
 * is no session, the handshake is a whole one. */
static void
resume_session(SSL *ssl, const char *host)
{
	const struct memory *m = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (m->session != NULL && strcmp(m->host, host) == 0)
		(void)SSL_set_session(ssl, m->session);
}

void
tls_context_free(SSL_CTX **context)
{
	struct memory *m;

	if (*context == NULL)
		return;
	m = SSL_CTX_get_app_data(*context);
	SSL_CTX_free(*context);
	forget(m);
	free(m);
	*context = NULL;
}

int
tls_context_new(const char *ca_file, SSL_CTX **out, struct failure *f)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int r;

	if (context == NULL)
		return failure_set(
		    f, FAILURE_BUG, "OpenSSL: %s", last_reason());
	r = (int)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	assert(r == 1);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_mode(context,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_options(
	    context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	r = SSL_CTX_set_app_data(context, xcalloc(1, sizeof(struct memory)));
	assert(r == 1);
	(void)SSL_CTX_set_session_cache_mode(
	    context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, keep_session);
	if (ca_file != NULL)
		r = SSL_CTX_load_verify_file(context, ca_file);
	else
		r = SSL_CTX_set_default_verify_paths(context);
	if (r != 1) {
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: cannot be used as ca_file: %s; it must hold "
		    "certificates in PEM form",
		    ca_file != NULL ? ca_file : "the system's certificates",
		    last_reason());
		tls_context_free(&context);
		return -1;
	}
	*out = context;
	return 0;
}

void
tls_context_trust_anyone(SSL_CTX *context)
{
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
}

bool
tls_context_verifies(const SSL_CTX *context)
{
	return (SSL_CTX_get_verify_mode(context) & SSL_VERIFY_PEER) != 0;
}

SSL *
tls_new(SSL_CTX *context, int fd, const char *host)
{
	SSL *ssl = SSL_new(context);
	int r = ssl != NULL;

	if (r == 1)
		r = SSL_set_fd(ssl, fd);
	/* Names are compared with subjectAltName only, '*' alone in a label:
	 * a subject's CN and partial wildcards have been abused. */
	if (r == 1) {
		SSL_set_hostflags(ssl,
		    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
			X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		r = SSL_set1_host(ssl, host);
	}
	if (r == 1)
		r = (int)SSL_set_tlsext_host_name(ssl, host);
	if (r == 1)
		resume_session(ssl, host);
	/* Fails for want of memory only. */
	assert(r == 1);
	return ssl;
}

int
tls_check(SSL *ssl, const char *peer, struct failure *f)
{
	if (!tls_context_verifies(SSL_get_SSL_CTX(ssl)))
		return 0;
	if (SSL_get_verify_result(ssl) == X509_V_OK &&
	    SSL_get0_peer_certificate(ssl) != NULL)
		return 0;
	return tls_failure(ssl, peer, f);
}

int
tls_failure(SSL *ssl, const char *peer, struct failure *f)
{
	long verdict = SSL_get_verify_result(ssl);
	int reason = ERR_GET_REASON(ERR_peek_error());

	if (verdict != X509_V_OK)
		(void)failure_set(f, FAILURE_LATER,
		    "the certificate of %s does not verify: %s; check "
		    "host, the clock and ca-certificates, or whether "
		    "something inspects TLS (its CA then belongs into ca_file)",
		    peer, X509_verify_cert_error_string(verdict));
	else if (reason == SSL_R_WRONG_VERSION_NUMBER)
		(void)failure_set(f, FAILURE_LATER,
		    "%s does not speak TLS after STARTTLS: somebody on the "
		    "network interferes, or host or port is wrong",
		    peer);
	else
		(void)failure_set(
		    f, FAILURE_LATER, "TLS with %s: %s", peer, last_reason());
	return failure_dsn(f, "4.7.5");
}
