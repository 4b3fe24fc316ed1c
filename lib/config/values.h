/*
 * values - the kinds of value a configuration file has
 *
 * Each function checks one value and stores it in the field it is given; the
 * field's type stands behind the name.  On failure the kind is
 * FAILURE_CONFIG, the field still holds what may be released, and the text
 * says what is wrong with the value, without file, line and key.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include <stdbool.h>

#include "core/buf.h"

struct failure;
struct mailbox;

/* A value, and what one must know of the file that it is in. */
struct value {
	const char *text;      /* not empty; UTF-8 without control characters */
	int line;              /* it stands in */
	const char *directory; /* where relative paths begin */
	bool is_private;       /* not everybody can read the file */
};

/* struct mailbox: an address with a domain and without a name. */
int value_address(const struct value *v, void *field, struct failure *f);

/* struct mailbox: an address with a domain and without a name; or "{sender}",
 * which has no domain. */
int value_user(const struct value *v, void *field, struct failure *f);

/* enum auth_kind: one of its names. */
int value_auth(const struct value *v, void *field, struct failure *f);

/* The name of such a one. */
const char *value_auth_name(const void *field);

/* enum cloud_kind: one of its names. */
int value_cloud(const struct value *v, void *field, struct failure *f);

/* struct log_target: a sink, or an absolute path. */
int value_log_target(const struct value *v, void *field, struct failure *f);

/* enum log_level: one of its names. */
int value_log_level(const struct value *v, void *field, struct failure *f);

/* char *: a GUID or domain that names one directory. */
int value_tenant(const struct value *v, void *field, struct failure *f);

/* char *: the GUID of an application. */
int value_client_id(const struct value *v, void *field, struct failure *f);

/* char *: an absolute path, made from a relative one or from %d/NAME. */
int value_path(const struct value *v, void *field, struct failure *f);

/* The same for a secret or a certificate: a relative one is systemd's copy, if
 * there is one (config/credential.h). */
int value_credential(const struct value *v, void *field, struct failure *f);

/* char *: a DNS name. */
int value_host(const struct value *v, void *field, struct failure *f);

/* char *: a DNS name with a dot in it. */
int value_domain(const struct value *v, void *field, struct failure *f);

/* uint16_t: 1 to 65535. */
int value_port(const struct value *v, void *field, struct failure *f);

/* unsigned: 1 to 1000. */
int value_recipients(const struct value *v, void *field, struct failure *f);

/* unsigned, in seconds: 1 to 3600. */
int value_timeout(const struct value *v, void *field, struct failure *f);

/* char *: https://HOST[:PORT]. */
int value_authority(const struct value *v, void *field, struct failure *f);

/* char *: printable ASCII without blanks. */
int value_scope(const struct value *v, void *field, struct failure *f);

/* char *: http, https or socks5h URL, with a password in private files. */
int value_proxy(const struct value *v, void *field, struct failure *f);

/* char *: a user name for LOGIN and PLAIN. */
int value_login(const struct value *v, void *field, struct failure *f);

/* bool: yes or no. */
int value_yes_no(const struct value *v, void *field, struct failure *f);

/* bool: add or never. */
int value_never_add(const struct value *v, void *field, struct failure *f);

/* enum direct_tls: one of its names. */
int value_direct_tls(const struct value *v, void *field, struct failure *f);

/* struct string_list, appended to: domains with a dot. */
int value_domains(const struct value *v, void *field, struct failure *f);

/* struct pattern_list: the senders to whom replies are not directed. */
int value_reply_to(const struct value *v, void *field, struct failure *f);

/* struct rule_list, appended to: "PATTERN ADDRESS". */
int value_rewrite_rule(const struct value *v, void *field, struct failure *f);

/* struct rule_list, appended to: "PATTERN ACCOUNT", not looked up yet. */
int value_route_rule(const struct value *v, void *field, struct failure *f);

/* struct rule: the name of an account, not looked up yet. */
int value_route_default(const struct value *v, void *field, struct failure *f);

/* struct alias_setting: a list, looked at with all aliases. */
int value_alias_default(const struct value *v, void *field, struct failure *f);

/* char *: a template for display names; "keep": NULL. */
int value_display_name(const struct value *v, void *field, struct failure *f);

/* struct pattern_list, appended to: addresses, "@domain", "*". */
int value_patterns(const struct value *v, void *field, struct failure *f);

/* How long the character is that s begins with, if nobody sees it: a blank that
 * is no plain one, a mark, a joiner.  0: it is seen. */
size_t value_unseen_length(struct span s);

/* An address that stands for itself, with a domain and without a name.  On
 * success *out is the caller's to mailbox_done().  FAILURE_CONFIG. */
int value_parse_address(struct span s, struct mailbox *out, struct failure *f);

/* A DNS name with a dot in it. */
bool value_is_domain(struct span s);

/* "11111111-2222-3333-4444-555555555555", in either case. */
bool value_is_guid(struct span s);

#endif
