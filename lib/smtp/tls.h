/*
 * tls - OpenSSL as a client that verifies
 *
 * With no way around it where credentials are sent: client.c refuses to sign
 * in on a connection that was not verified.
 */
#ifndef SMTP_TLS_H
#define SMTP_TLS_H

#include <stdbool.h>

#include <openssl/types.h>

struct failure;

/*
 * Settings for connections: TLS 1.2 or newer, chain and name verified against
 * ca_file alone, or the system's certificates where it is NULL.  Connections
 * with the same settings resume each other's sessions, if the host is the
 * same.  On success
 * *out is the caller's to tls_context_free().  FAILURE_CONFIG: ca_file cannot
 * be used.
 */
int tls_context_new(const char *ca_file, SSL_CTX **out, struct failure *f);

/*
 * Let connections of this context be encrypted only, whoever the peer is: for
 * mail without credentials, which could be read in the clear otherwise.
 */
void tls_context_trust_anyone(SSL_CTX *context);

/* Are its peers verified? */
bool tls_context_verifies(const SSL_CTX *context);

/* Accepts a pointer to NULL, sets it to NULL. */
void tls_context_free(SSL_CTX **context);

/* A connection on fd to a server whose certificate must name host.  The
 * caller SSL_free()s it. */
SSL *tls_new(SSL_CTX *context, int fd, const char *host);

/* After the handshake: fails unless the peer was verified, where its context
 * wants that.  FAILURE_LATER. */
int tls_check(SSL *ssl, const char *peer, struct failure *f);

/* Describe the failure that OpenSSL has queued, with the cure for a
 * certificate that does not verify.  FAILURE_LATER, dsn 4.7.5.  Returns -1. */
int tls_failure(SSL *ssl, const char *peer, struct failure *f);

#endif
