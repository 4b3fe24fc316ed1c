/*
 * tls - OpenSSL as a client that verifies, with no way around it
 */
#ifndef SMTP_TLS_H
#define SMTP_TLS_H

#include <openssl/types.h>

struct failure;

/*
 * Settings for connections: TLS 1.2 or newer, chain and name verified against
 * ca_file alone, or the system's certificates where it is NULL.  On success
 * *out is the caller's to tls_context_free().  FAILURE_CONFIG: ca_file cannot
 * be used.
 */
int tls_context_new(const char *ca_file, SSL_CTX **out, struct failure *f);

/* Accepts a pointer to NULL, sets it to NULL. */
void tls_context_free(SSL_CTX **context);

/* A connection on fd to a server whose certificate must name host.  The
 * caller SSL_free()s it. */
SSL *tls_new(SSL_CTX *context, int fd, const char *host);

/* After the handshake: fails unless the peer was verified.  FAILURE_LATER. */
int tls_check(SSL *ssl, const char *peer, struct failure *f);

/* Describe the failure that OpenSSL has queued, with the cure for a
 * certificate that does not verify.  FAILURE_LATER, dsn 4.7.5.  Returns -1. */
int tls_failure(SSL *ssl, const char *peer, struct failure *f);

#endif
