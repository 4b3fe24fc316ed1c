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

#include "config/cloud.h"
#include "core/log.h"
#include "mail/mailbox.h"
#include "mail/pattern.h"

struct failure;

enum {
	CONFIG_SECRET_MAX = 16 * 1024 /* octets of a secret */
};

enum auth_kind {
	AUTH_CLIENT_SECRET, /* OAuth 2.0 client credentials, XOAUTH2 */
	AUTH_PASSWORD       /* LOGIN */
};

struct account {
	char *name; /* of [account NAME]; "" for [account] */
	int line;   /* of the section, for messages */
	enum auth_kind auth;
	enum cloud_kind cloud;
	unsigned recipients_per_message;
	unsigned timeout; /* longest wait for one answer in seconds; 0: as
	                     RFC 5321 recommends */
	uint16_t port;
	struct mailbox user;
	char *tenant;
	char *client_id;
	char *client_secret_file; /* absolute after loading */
	char *password_file;      /* absolute after loading */
	char *host;
	char *authority; /* "https://login.microsoftonline.com" */
	char *scope;
	char *ca_file; /* NULL: the system's certificates */
	char *proxy;   /* as libcurl writes them; NULL: none */
	struct pattern_list send_as;
};

struct config {
	char *path; /* the file it came from */
	struct account *accounts;
	size_t account_count;  /* at least 1 after loading */
	char *rewrite_domain;  /* [rewrite] domain, or NULL */
	char *state_directory; /* NULL: there is nowhere to keep state */
	enum log_sink log_sink;
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

/* The same from memory: name stands for the file in messages, directory is
 * what relative paths begin with. */
int config_parse(const char *name, const char *directory, struct span text,
    struct config **out, struct failure *f);

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

/*
 * Has the form of the ID that Entra shows beside a client secret's value?
 * Taking the one for the other is the usual cause of AADSTS7000215.
 */
bool config_secret_looks_like_id(struct span secret);

#endif
