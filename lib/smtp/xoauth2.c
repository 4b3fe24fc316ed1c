#include "smtp/xoauth2.h"

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"

enum {
	MESSAGE_MAX = 128 * 1024
};

static int
new_exchange(void *global, sasl_client_params_t *params, void **out)
{
	struct buf *message = xmalloc(sizeof(*message));

	(void)global;
	(void)params;
	buf_init_secret(message, MESSAGE_MAX);
	*out = message;
	return SASL_OK;
}

static void
dispose(void *context, const sasl_utils_t *utils)
{
	struct buf *message = context;

	(void)utils;
	if (message != NULL)
		buf_done(message);
	free(message);
}

static int
ask_user(const sasl_utils_t *utils, const char **user)
{
	sasl_getsimple_t *ask = NULL;
	void *context = NULL;
	int r = utils->getcallback(
	    utils->conn, SASL_CB_AUTHNAME, (sasl_callback_ft *)&ask, &context);

	return r == SASL_OK ? ask(context, SASL_CB_AUTHNAME, user, NULL) : r;
}

static int
ask_token(const sasl_utils_t *utils, sasl_secret_t **token)
{
	sasl_getsecret_t *ask = NULL;
	void *context = NULL;
	int r = utils->getcallback(
	    utils->conn, SASL_CB_PASS, (sasl_callback_ft *)&ask, &context);

	return r == SASL_OK ? ask(utils->conn, context, SASL_CB_PASS, token)
			    : r;
}

/* The eight parameters are libsasl2's: sasl_client_plug.mech_step. */
static int /* NOLINTNEXTLINE(readability-function-size) */
step(void *context, sasl_client_params_t *params, const char *from_server,
    unsigned from_server_len, sasl_interact_t **prompts, const char **out,
    unsigned *out_len, sasl_out_params_t *result)
{
	struct buf *message = context;
	sasl_secret_t *token = NULL;
	const char *user = NULL;
	int r;

	(void)from_server;
	(void)from_server_len;
	(void)prompts;
	r = ask_user(params->utils, &user);
	if (r == SASL_OK)
		r = ask_token(params->utils, &token);
	if (r == SASL_OK)
		r = params->canon_user(params->utils->conn, user, 0,
		    SASL_CU_AUTHID | SASL_CU_AUTHZID, result);
	if (r != SASL_OK)
		return r;
	buf_reset(message);
	if (buf_printf(message, "user=%s\001auth=Bearer ", user) == -1 ||
	    buf_add(message, token->data, token->len) == -1 ||
	    buf_puts(message, "\001\001") == -1)
		return SASL_BUFOVER;
	*out = message->s;
	*out_len = (unsigned)message->len;
	result->doneflag = 1;
	return SASL_OK;
}

/* The type of this function is given by sasl_client_plug_init_t. */
int
xoauth2_plug_init(const sasl_utils_t *utils, int max_version, int *out_version,
    sasl_client_plug_t **out_plugs, int *out_count)
{
	/* libsasl2 wants it writable, but writes nothing. */
	static sasl_client_plug_t plug = {
		.mech_name = XOAUTH2_NAME,
		.security_flags =
		    SASL_SEC_NOANONYMOUS | SASL_SEC_PASS_CREDENTIALS,
		.features = SASL_FEAT_WANT_CLIENT_FIRST,
		.mech_new = new_exchange,
		.mech_step = step,
		.mech_dispose = dispose,
	};

	(void)utils;
	if (max_version < SASL_CLIENT_PLUG_VERSION)
		return SASL_BADVERS;
	*out_version = SASL_CLIENT_PLUG_VERSION;
	*out_plugs = &plug;
	*out_count = 1;
	return SASL_OK;
}
