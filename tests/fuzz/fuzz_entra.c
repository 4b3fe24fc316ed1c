/*
 * The answer of a token endpoint: two bytes for status and Retry-After, then
 * the body.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/config.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "oauth/entra.h"
#include "oauth/http.h"
#include "oauth/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const long statuses[] = { 200, 400, 401, 403, 404, 429, 500, 503 };

static void
check_token(const struct buf *token, int lifetime)
{
	assert(token->len > 0 && token->len <= TOKEN_MAX_BYTES);
	assert(lifetime > 0 && lifetime <= ENTRA_LIFETIME_MAX);
	assert(!ascii_has_control(buf_view(token)));
	assert(!ascii_has_8bit(buf_view(token)));
	assert(memchr(token->s, ' ', token->len) == NULL);
	assert(memchr(token->s, ',', token->len) == NULL);
}

static void
check_failure(const struct failure *f)
{
	struct span text = span_of(f->text);

	assert(f->kind == FAILURE_AUTH || f->kind == FAILURE_CONFIG ||
	    f->kind == FAILURE_LATER);
	assert(strncmp(f->dsn, "4.", 2) == 0);
	assert(text.len > 0 && !ascii_has_control(text));
	assert(utf8_is_valid(text.s, text.len));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char authority[] = "https://login.microsoftonline.com";
	static char secret_file[] = "/etc/sendmail365/client-secret";
	struct account account = { .authority = authority,
		.client_secret_file = secret_file };
	struct http_answer answer = { .status = 200 };
	struct failure f = { .kind = FAILURE_NONE };
	struct buf token;
	int lifetime = 0;

	if (size < 2)
		return 0;
	answer.status = statuses[data[0] % 8];
	answer.retry_after = data[1];
	buf_init_secret(&answer.body, HTTP_ANSWER_MAX);
	buf_init_secret(&token, TOKEN_MAX_BYTES);
	if (buf_add(&answer.body, data + 2, size - 2) == 0) {
		if (entra_parse_answer(
			&account, &answer, &token, &lifetime, &f) == 0) {
			assert(answer.status == 200);
			check_token(&token, lifetime);
		} else {
			assert(token.len == 0);
			check_failure(&f);
		}
	}
	buf_done(&token);
	http_answer_done(&answer);
	return 0;
}
