#include "config/schema.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/suggest.h"
#include "core/failure.h"

#define N_ELEMENTS(a)  (sizeof(a) / sizeof((a)[0]))
#define ACCOUNT(field) offsetof(struct account, field)
#define CONFIG(field)  offsetof(struct config, field)
#define DIRECT(field)  CONFIG(direct_send.field)

static const char *const section_names[] = {
	[SCHEMA_ACCOUNT] = "account",
	[SCHEMA_REWRITE] = "rewrite",
	[SCHEMA_ALIASES] = "aliases",
	[SCHEMA_ROUTE] = "route",
	[SCHEMA_DIRECT_SEND] = "direct_send",
	[SCHEMA_QUEUE] = "queue",
	[SCHEMA_SERVICE] = "service",
	[SCHEMA_LOG] = "log",
};

static const struct schema_key keys[] = {
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "user", value_user, ACCOUNT(user) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "auth", value_auth, ACCOUNT(auth) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "tenant", value_tenant,
	    ACCOUNT(tenant) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "client_id", value_client_id,
	    ACCOUNT(client_id) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "client_secret_file", value_credential,
	    ACCOUNT(client_secret_file) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "password_file", value_credential,
	    ACCOUNT(password_file) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "login", value_login, ACCOUNT(login) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "cloud", value_cloud, ACCOUNT(cloud) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "host", value_host, ACCOUNT(host) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "port", value_port, ACCOUNT(port) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "authority", value_authority,
	    ACCOUNT(authority) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "scope", value_scope, ACCOUNT(scope) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "ca_file", value_credential,
	    ACCOUNT(ca_file) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "proxy", value_proxy, ACCOUNT(proxy) },
	{ SCHEMA_ACCOUNT, SCHEMA_REPEATABLE, "send_as", value_patterns,
	    ACCOUNT(send_as) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "recipients_per_message",
	    value_recipients, ACCOUNT(recipients_per_message) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "timeout", value_timeout,
	    ACCOUNT(timeout) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "max_connections", value_connections,
	    ACCOUNT(max_connections) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "messages_per_minute", value_rate,
	    ACCOUNT(messages_per_minute) },
	{ SCHEMA_ACCOUNT, SCHEMA_ONCE, "recipients_per_day", value_count,
	    ACCOUNT(recipients_per_day) },
	{ SCHEMA_REWRITE, SCHEMA_ONCE, "domain", value_domain,
	    CONFIG(rewrite_domain) },
	{ SCHEMA_REWRITE, SCHEMA_REPEATABLE, "rule", value_rewrite_rule,
	    CONFIG(rewrite_rules) },
	{ SCHEMA_REWRITE, SCHEMA_ONCE, "display_name", value_display_name,
	    CONFIG(display_name) },
	{ SCHEMA_REWRITE, SCHEMA_ONCE, "reply_to", value_reply_to,
	    CONFIG(no_reply_to) },
	{ SCHEMA_REWRITE, SCHEMA_ONCE, "original_from", value_never_add,
	    CONFIG(keeps_original) },
	{ SCHEMA_REWRITE, SCHEMA_ONCE, "auto_submitted", value_never_add,
	    CONFIG(marks_automatic) },
	{ SCHEMA_ALIASES, SCHEMA_ONCE, "file", value_path,
	    CONFIG(aliases_file) },
	{ SCHEMA_ALIASES, SCHEMA_ONCE, "default", value_alias_default,
	    CONFIG(alias_default) },
	{ SCHEMA_ROUTE, SCHEMA_REPEATABLE, "rule", value_route_rule,
	    CONFIG(route_rules) },
	{ SCHEMA_ROUTE, SCHEMA_ONCE, "default", value_route_default,
	    CONFIG(route_default) },
	{ SCHEMA_DIRECT_SEND, SCHEMA_ONCE, "enabled", value_yes_no,
	    DIRECT(is_enabled) },
	{ SCHEMA_DIRECT_SEND, SCHEMA_REPEATABLE, "internal_domains",
	    value_domains, DIRECT(internal_domains) },
	{ SCHEMA_DIRECT_SEND, SCHEMA_ONCE, "mx", value_host, DIRECT(mx) },
	{ SCHEMA_DIRECT_SEND, SCHEMA_ONCE, "port", value_port, DIRECT(port) },
	{ SCHEMA_DIRECT_SEND, SCHEMA_ONCE, "tls", value_direct_tls,
	    DIRECT(tls) },
	{ SCHEMA_DIRECT_SEND, SCHEMA_ONCE, "ca_file", value_credential,
	    DIRECT(ca_file) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "directory", value_path,
	    CONFIG(queue_directory) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "lifetime", value_duration,
	    CONFIG(queue_lifetime) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "retry_first", value_duration,
	    CONFIG(queue_retry_first) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "retry_longest", value_duration,
	    CONFIG(queue_retry_longest) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "keep_failed", value_duration,
	    CONFIG(queue_keep_failed) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "postmaster", value_address,
	    CONFIG(queue_postmaster) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "notices_per_hour", value_count,
	    CONFIG(queue_notices_per_hour) },
	{ SCHEMA_QUEUE, SCHEMA_ONCE, "max_size", value_size,
	    CONFIG(queue_max_size) },
	{ SCHEMA_SERVICE, SCHEMA_ONCE, "socket", value_path,
	    CONFIG(service_socket) },
	{ SCHEMA_SERVICE, SCHEMA_ONCE, "state_directory", value_path,
	    CONFIG(state_directory) },
	{ SCHEMA_SERVICE, SCHEMA_ONCE, "delivery", value_delivery,
	    CONFIG(service_delivery) },
	{ SCHEMA_SERVICE, SCHEMA_ONCE, "max_message_size", value_size,
	    CONFIG(service_max_message_size) },
	{ SCHEMA_SERVICE, SCHEMA_ONCE, "per_user_limit", value_count,
	    CONFIG(service_per_user_limit) },
	{ SCHEMA_LOG, SCHEMA_ONCE, "to", value_log_target, CONFIG(log_to) },
	{ SCHEMA_LOG, SCHEMA_ONCE, "level", value_log_level,
	    CONFIG(log_level) },
};

static_assert(N_ELEMENTS(keys) <= SCHEMA_KEYS_MAX, "too many keys");
static_assert(
    N_ELEMENTS(section_names) == SCHEMA_SECTIONS, "a section has no name");

const struct schema_key *
schema_keys(size_t *out_count)
{
	*out_count = N_ELEMENTS(keys);
	return keys;
}

const char *
schema_section_name(enum schema_section section)
{
	return section_names[section];
}

int
schema_find_section(
    struct span name, enum schema_section *out, struct failure *f)
{
	char problem[256];

	for (size_t i = 0; i < SCHEMA_SECTIONS; i++) {
		if (span_is(name, section_names[i])) {
			*out = (enum schema_section)i;
			return 0;
		}
	}
	(void)snprintf(problem, sizeof(problem), "unknown section [%.*s]",
	    (int)name.len, name.s);
	return suggest_refuse(
	    problem, name, section_names, N_ELEMENTS(section_names), f);
}

/* The key is not in this section: in another, misspelt, or nowhere. */
static const struct schema_key *
refuse_key(enum schema_section section, const char *name, struct failure *f)
{
	const char *known[N_ELEMENTS(keys)];
	char problem[256];
	size_t count = 0;

	(void)snprintf(problem, sizeof(problem), "unknown key \"%s\" in [%s]",
	    name, section_names[section]);
	for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
		if (keys[i].section == section)
			known[count++] = keys[i].name;
		else if (strcmp(keys[i].name, name) == 0) {
			failure_set(f, FAILURE_CONFIG, "%s; it belongs in [%s]",
			    problem, section_names[keys[i].section]);
			return NULL;
		}
	}
	suggest_refuse(problem, span_of(name), known, count, f);
	return NULL;
}

static const struct schema_key *
find_key(enum schema_section section, const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(keys); i++)
		if (keys[i].section == section &&
		    strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

bool
schema_has_key(enum schema_section section, const char *name)
{
	return find_key(section, name) != NULL;
}

const struct schema_key *
schema_find_key(
    enum schema_section section, const char *name, struct failure *f)
{
	const struct schema_key *key = find_key(section, name);

	return key != NULL ? key : refuse_key(section, name, f);
}
