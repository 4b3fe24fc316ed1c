#include "smtp/auth.h"

#include <assert.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <sasl/sasl.h>
#include <sasl/saslutil.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "smtp/xoauth2.h"

struct mechanism {
	const char *name;
	const char *module; /* file name up to the first dot; NULL: ours */
};

static const struct mechanism mechanisms[] = {
	{ .name = XOAUTH2_NAME, .module = NULL },
	{ .name = "LOGIN", .module = "liblogin" },
	{ .name = "PLAIN", .module = "libplain" },
};

enum {
	N_MECHANISMS = sizeof(mechanisms) / sizeof(mechanisms[0]),
	N_CALLBACKS = 4
};

struct auth {
	const struct mechanism *mechanism;
	sasl_conn_t *conn;
	char *user;
	bool has_said_all; /* the mechanism waits for the verdict only */
	sasl_secret_t *secret;
	size_t secret_size;
	sasl_callback_t library[N_CALLBACKS];
	sasl_callback_t connection[N_CALLBACKS];
};

static const struct mechanism *
find_mechanism(struct span name)
{
	for (size_t i = 0; i < N_MECHANISMS; i++)
		if (span_is(name, mechanisms[i].name))
			return &mechanisms[i];
	return NULL;
}

/* ---- callbacks: libsasl2 asks ---- */

/* Which of the files in the module directory may be loaded: one or none. */
static int
verify_file(void *context, const char *file, sasl_verify_type_t type)
{
	const struct auth *a = context;
	const char *module = a->mechanism->module;
	const char *slash = strrchr(file, '/');
	const char *base = slash != NULL ? slash + 1 : file;
	size_t len = module != NULL ? strlen(module) : 0;

	if (type == SASL_VRFY_PLUGIN && len > 0 &&
	    strncmp(base, module, len) == 0 && base[len] == '.')
		return SASL_OK;
	return SASL_CONTINUE;
}

/* What goes wrong is reported once, by us. */
static int
ignore_log(void *context, int level, const char *text)
{
	(void)context;
	(void)level;
	(void)text;
	return SASL_OK;
}

static int
give_user(void *context, int id, const char **out, unsigned *len)
{
	const struct auth *a = context;

	/* Nobody to act for: who signs in acts for himself (RFC 4616 2). */
	*out = id == SASL_CB_AUTHNAME ? a->user : "";
	if (len != NULL)
		*len = (unsigned)strlen(*out);
	return SASL_OK;
}

static int
give_secret(sasl_conn_t *conn, void *context, int id, sasl_secret_t **out)
{
	const struct auth *a = context;

	(void)conn;
	(void)id;
	*out = a->secret;
	return SASL_OK;
}

/* libsasl2 keeps functions of all kinds as one type, and calls each as what
 * its id says. */
#define CALLBACK(id, function, context)                                    \
	{                                                                  \
		(id), (int (*)(void))(void (*)(void))(function), (context) \
	}

static void
set_callbacks(struct auth *a)
{
	const sasl_callback_t library[N_CALLBACKS] = {
		CALLBACK(SASL_CB_VERIFYFILE, verify_file, a),
		CALLBACK(SASL_CB_LOG, ignore_log, NULL),
		{ SASL_CB_LIST_END, NULL, NULL },
	};
	const sasl_callback_t connection[N_CALLBACKS] = {
		CALLBACK(SASL_CB_USER, give_user, a),
		CALLBACK(SASL_CB_AUTHNAME, give_user, a),
		CALLBACK(SASL_CB_PASS, give_secret, a),
		{ SASL_CB_LIST_END, NULL, NULL },
	};

	memcpy(a->library, library, sizeof(library));
	memcpy(a->connection, connection, sizeof(connection));
}

/* libsasl2 and its modules free what holds a password as it is. */
static void
wipe_and_free(void *memory)
{
	if (memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

/* ---- the exchange ---- */

static int
sasl_failure(const struct auth *a, int r, struct failure *f)
{
	if (r == SASL_NOMECH) {
		(void)failure_set(f, FAILURE_CONFIG,
		    "libsasl2 has no mechanism %s: install libsasl2-modules "
		    "(Debian, Ubuntu) or cyrus-sasl-plain (Fedora, RHEL)",
		    a->mechanism->name);
		return failure_dsn(f, "4.3.5");
	}
	(void)failure_set(f, FAILURE_AUTH, "SASL %s: %s", a->mechanism->name,
	    sasl_errstring(r, NULL, NULL));
	return failure_dsn(f, "4.7.8");
}

static void
copy_secret(struct auth *a, struct span secret)
{
	a->secret_size = sizeof(*a->secret) + secret.len;
	a->secret = xcalloc(1, a->secret_size);
	a->secret->len = secret.len;
	memcpy(a->secret->data, secret.s, secret.len);
}

int
auth_new(struct span mechanism, const char *host, const char *user,
    struct span secret, struct auth **out, struct failure *f)
{
	struct auth *a = xcalloc(1, sizeof(*a));
	int r;

	a->mechanism = find_mechanism(mechanism);
	assert(a->mechanism != NULL && !ascii_has_control(span_of(user)));
	a->user = xstrdup(user);
	copy_secret(a, secret);
	set_callbacks(a);
	sasl_set_alloc(malloc, calloc, realloc, wipe_and_free);
	r = sasl_client_init(a->library);
	if (r == SASL_OK)
		r = sasl_client_add_plugin(XOAUTH2_NAME, xoauth2_plug_init);
	if (r == SASL_OK)
		r = sasl_client_new(
		    "smtp", host, NULL, NULL, a->connection, 0, &a->conn);
	if (r != SASL_OK) {
		(void)sasl_failure(a, r, f);
		auth_free(&a);
		return -1;
	}
	*out = a;
	return 0;
}

const char *
auth_mechanism(const struct auth *a)
{
	return a->mechanism->name;
}

/* Append data in base64, through a buffer that is wiped. */
static int
add_base64(struct buf *b, const char *data, unsigned len, struct failure *f)
{
	unsigned size = (len + 2) / 3 * 4 + 1;
	char *text = xmalloc(size);
	unsigned n = 0;
	int r = sasl_encode64(data, len, text, size, &n);

	assert(r == SASL_OK);
	r = buf_add(b, text, n);
	explicit_bzero(text, size);
	free(text);
	if (r == -1)
		return failure_set(
		    f, FAILURE_CONFIG, "the credentials are too long");
	return 0;
}

int
auth_start(struct auth *a, struct buf *b, struct failure *f)
{
	const char *data = NULL;
	unsigned len = 0;
	int r = sasl_client_start(
	    a->conn, a->mechanism->name, NULL, &data, &len, NULL);

	if (r != SASL_OK && r != SASL_CONTINUE)
		return sasl_failure(a, r, f);
	a->has_said_all = r == SASL_OK;
	return data != NULL ? add_base64(b, data, len, f) : 0;
}

int
auth_step(
    struct auth *a, struct span challenge, struct buf *b, struct failure *f)
{
	unsigned size = (unsigned)challenge.len + 1;
	char *decoded;
	const char *data = NULL;
	unsigned decoded_len = 0;
	unsigned len = 0;
	int r;

	/* XOAUTH2: the challenge tells why it failed, an empty answer ends
	 * the exchange. */
	if (a->has_said_all)
		return 0;
	decoded = xmalloc(size);
	r = sasl_decode64(
	    challenge.s, (unsigned)challenge.len, decoded, size, &decoded_len);
	/* It ends in the middle of a group. */
	if (r == SASL_CONTINUE)
		r = SASL_BADPROT;
	if (r == SASL_OK)
		r = sasl_client_step(
		    a->conn, decoded, decoded_len, NULL, &data, &len);
	free(decoded);
	if (r != SASL_OK && r != SASL_CONTINUE)
		return sasl_failure(a, r, f);
	a->has_said_all = r == SASL_OK;
	return data != NULL ? add_base64(b, data, len, f) : 0;
}

void
auth_free(struct auth **auth)
{
	struct auth *a = *auth;

	if (a == NULL)
		return;
	sasl_dispose(&a->conn);
	/* The library is set up for one exchange: see set_callbacks(). */
	(void)sasl_client_done();
	explicit_bzero(a->secret, a->secret_size);
	free(a->secret);
	free(a->user);
	free(a);
	*auth = NULL;
}
