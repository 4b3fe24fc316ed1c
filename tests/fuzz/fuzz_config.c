/*
 * A configuration of any bytes is taken whole or refused with a place: it
 * never crashes, and what is taken is complete.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/config.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "core/failure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_refusal(const struct config *c, const struct failure *f)
{
	assert(c == NULL);
	assert(f->kind == FAILURE_CONFIG);
	assert(strncmp(f->text, "fuzz.conf:", strlen("fuzz.conf:")) == 0);
	assert(!ascii_has_control(span_of(f->text)));
}

static void
check_complete(const struct config *c)
{
	const struct account *a = &c->accounts[0];

	assert(c->account_count == 1);
	assert(a->user.local != NULL && a->user.domain != NULL);
	assert(a->host != NULL && a->authority != NULL && a->scope != NULL);
	assert(a->port > 0 && a->recipients_per_message > 0);
	if (a->auth == AUTH_PASSWORD) {
		assert(a->password_file[0] == '/');
		return;
	}
	assert(a->client_secret_file[0] == '/');
	assert(strpbrk(a->tenant, "/?#@: ") == NULL);
	assert(a->client_id != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct config *c = NULL;
	struct failure f = { 0 };

	if (config_parse("fuzz.conf", "/etc", text, &c, &f) == -1)
		check_refusal(c, &f);
	else
		check_complete(c);
	config_free(&c);
	return 0;
}
