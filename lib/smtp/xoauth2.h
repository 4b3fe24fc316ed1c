/*
 * xoauth2 - the SASL mechanism XOAUTH2 as a client plug-in for libsasl2
 *
 * One message from the client: "user=" address ^A "auth=Bearer " token ^A ^A,
 * and the server decides.  The address is asked for with SASL_CB_AUTHNAME,
 * the token with SASL_CB_PASS.
 */
#ifndef SMTP_XOAUTH2_H
#define SMTP_XOAUTH2_H

#include <sasl/sasl.h>
#include <sasl/saslplug.h>

#define XOAUTH2_NAME "XOAUTH2"

/* For sasl_client_add_plugin(). */
sasl_client_plug_init_t xoauth2_plug_init;

#endif
