/*
 * config - sendmail365.conf, checked and complete
 *
 * Nothing of a file is used unless all of it is right.  Every mistake is
 * reported with file, line and, for a word that is not known, the nearest one
 * that is.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/amounts.h"
#include "config/cloud.h"
#include "core/log.h"
#include "mail/aliases.h"
#include "mail/mailbox.h"
#include "mail/pattern.h"
#include "mail/rule.h"

struct failure;

enum {
	CONFIG_SECRET_MAX = 16 * 1024 /* octets of a secret */
};

/* As whom the service runs where it was installed from a package. */
#define CONFIG_SERVICE_USER "sendmail365"

enum auth_kind {
	AUTH_CLIENT_SECRET, /* OAuth 2.0 client credentials, XOAUTH2 */
	AUTH_PASSWORD,      /* LOGIN, or PLAIN where that is not offered */
	AUTH_NONE           /* a relay that wants none; or Direct Send only */
};

enum direct_tls {
	DIRECT_TLS_VERIFY, /* the certificate must verify and name the host */
	DIRECT_TLS_ENCRYPT /* any certificate will do */
};

/* When the service answers whoever hands a message in. */
enum delivery_mode {
	DELIVERY_BACKGROUND,  /* as soon as it is safe */
	DELIVERY_INTERACTIVE, /* when Exchange has answered, or soon */
	DELIVERY_CALLER       /* as -odb, -odi and -odq say */
};

struct string_list {
	char **items;
	size_t count;
};

struct account {
	char *name; /* of [account NAME]; "" for [account] */
	int line;   /* of the section, for messages */
	enum auth_kind auth;
	enum cloud_kind cloud;
	unsigned recipients_per_message;
	unsigned recipients_per_day;
	unsigned max_connections;
	struct rate messages_per_minute;
	unsigned timeout; /* longest wait for one answer in seconds; 0: as
	                     RFC 5321 recommends */
	uint16_t port;
	bool is_sender; /* each message signs in as its own sender */
	/* The mailbox that signs in; null where is_sender. */
	struct mailbox user;
	char *login; /* what stands for user with AUTH_PASSWORD, or NULL */
	char *tenant;
	char *client_id;
	char *client_secret_file; /* absolute after loading */
	char *password_file;      /* absolute after loading */
	char *host;      /* NULL with AUTH_NONE: there is Direct Send only */
	char *authority; /* "https://login.microsoftonline.com" */
	char *scope;
	char *ca_file; /* NULL: the system's certificates */
	char *proxy;   /* as libcurl writes them; NULL: none */
	struct pattern_list send_as;
};

struct direct_send {
	bool is_enabled;
	enum direct_tls tls;
	uint16_t port;
	char *mx;      /* NULL: looked up for each domain */
	char *ca_file; /* NULL: the system's certificates */
	struct string_list internal_domains; /* not empty where enabled */
};

/* The file is the service's; all others log to sink. */
struct log_target {
	enum log_sink sink;
	char *file; /* absolute; NULL: none */
};

struct alias_setting {
	char *name;
	char *list; /* NULL: not set */
	int line;
};

struct config {
	char *path; /* the file it came from */
	struct account *accounts;
	size_t account_count; /* at least 1 after loading */
	struct rule_list rewrite_rules;
	struct rule_list route_rules; /* accounts looked up */
	struct rule route_default;    /* its account is for all other mail */
	struct direct_send direct_send;
	struct alias_setting *aliases; /* [aliases] NAME = LIST */
	size_t alias_count;
	struct alias_setting alias_default; /* its name is NULL */
	char *aliases_file;   /* NULL: the system's, if there is one */
	char *rewrite_domain; /* [rewrite] domain, or NULL */
	char *display_name;   /* template, or NULL: it stays */
	struct pattern_list no_reply_to;
	bool keeps_original;  /* X-Original-From is added */
	bool marks_automatic; /* Auto-Submitted is added */
	char *queue_directory;
	unsigned queue_lifetime; /* this and what follows in seconds */
	unsigned queue_retry_first;
	unsigned queue_retry_longest;
	unsigned queue_keep_failed;
	struct mailbox queue_postmaster; /* null: notices go to the sender */
	unsigned queue_notices_per_hour; /* about messages of one user */
	uint64_t queue_max_size;         /* octets */
	char *service_socket;
	char *state_directory; /* NULL: there is nowhere to keep state */
	enum delivery_mode service_delivery;
	uint64_t service_max_message_size; /* octets */
	unsigned service_per_user_limit;   /* messages in the queue */
	struct log_target log_to;
	enum log_level log_level;
};

/*
 * Load FILE, or where path is NULL the caller's own file
 * ($XDG_CONFIG_HOME or ~/.config, sendmail365/sendmail365.conf) if there is
 * one that belongs to the effective user, else
 * SYSCONFDIR/sendmail365/sendmail365.conf.  *out is the caller's to
 * config_free().  Kind: FAILURE_CONFIG; the text is "FILE:LINE: what is
 * wrong; what to do".
 */
int config_load(const char *path, struct config **out, struct failure *f);

/* Which file config_load() loads, for the caller to free(). */
char *config_find(const char *path);

/*
 * Make of a failure of config_load(path) one whose text everybody may read: of
 * a file that not everybody can read, it quotes nothing but a line's number
 * and key.
 */
void config_disclose(const char *path, struct failure *f);

/*
 * Where the effective user's configuration belongs, whether or not there is
 * one: root's is the system's, others have one of their own if its directory
 * is there and theirs.  The caller free()s it; NULL: there is no such
 * directory.
 */
char *config_place(void);

/* Load from memory: name stands for the file in messages, directory is
 * what relative paths begin with. */
int config_parse(const char *name, const char *directory, struct span text,
    struct config **out, struct failure *f);

/*
 * Those of the configuration alone, for the caller to aliases_free().
 * FAILURE_CONFIG: a line is wrong, which is in *line.
 */
int config_own_aliases(const struct config *config, int *line,
    struct aliases **out, struct failure *f);

/*
 * All aliases: those of the configuration, which count first, and those of
 * the file as it is now.  *out is the caller's to aliases_free().  What is
 * wrong in the file goes to report, if that is not NULL.  FAILURE_CONFIG: the
 * file cannot be read.
 */
int config_load_aliases(const struct config *config, aliases_report *report,
    void *context, struct aliases **out, struct failure *f);

/* "[account]" or "[account NAME]", for messages; the caller free()s it. */
char *config_account_title(const struct account *account);

/* Is this one of the tenant's own domains, to which Direct Send delivers? */
bool config_is_internal(const struct config *config, const char *domain);

/* Accepts a pointer to NULL; sets the pointer to NULL. */
void config_free(struct config **config);

/*
 * Read a file with one secret, line end cut off, into a secret buffer that is
 * initialised here and is the caller's to buf_done() in any case.
 * FAILURE_CONFIG: it is missing, empty, larger than CONFIG_SECRET_MAX, not a
 * regular file, not text, or others can read it; the text names the cure and
 * never the contents.
 */
int config_read_secret(const char *path, struct buf *out, struct failure *f);

/* Is this one of the files that the service is given copies of? */
bool config_is_copied(const char *path);

/*
 * Can this user read a ca_file, which may be NULL?  What is in it is not looked
 * at.  FAILURE_CONFIG; the text names the cure.
 */
int config_check_ca_file(const char *path, struct failure *f);

/*
 * The name of systemd's copy of a secret, which stays as it is until the
 * service is started again; a view into path.  NULL: this is the file itself.
 */
const char *config_credential_name(const char *path);

/*
 * What config_read_secret() does with the contents of a file: cut the line end
 * off and look at the rest.  name stands for the file in messages.
 * FAILURE_CONFIG.
 */
int config_clean_secret(const char *name, struct buf *b, struct failure *f);

/*
 * Has the form of the ID that Entra shows beside a client secret's value?
 * Taking the one for the other is the usual cause of AADSTS7000215.
 */
bool config_secret_looks_like_id(struct span secret);

/*
 * Is a blank, a quotation mark or what is not ASCII in it?  Entra makes client
 * secrets without.
 */
bool config_secret_has_strange(struct span secret);

#endif
