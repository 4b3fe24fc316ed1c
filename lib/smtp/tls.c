#include "smtp/tls.h"

#include <assert.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/failure.h"

static const char *
last_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	return reason != NULL ? reason : "unknown reason";
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
	if (ca_file != NULL)
		r = SSL_CTX_load_verify_file(context, ca_file);
	else
		r = SSL_CTX_set_default_verify_paths(context);
	if (r != 1) {
		(void)failure_set(f, FAILURE_CONFIG,
		    "%s: cannot be used as ca_file: %s",
		    ca_file != NULL ? ca_file : "the system's certificates",
		    last_reason());
		SSL_CTX_free(context);
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

void
tls_context_free(SSL_CTX **context)
{
	SSL_CTX_free(*context);
	*context = NULL;
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
