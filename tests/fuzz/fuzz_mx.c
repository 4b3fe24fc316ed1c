/*
 * The answer of a DNS server about the mail of contoso.com, and, since they
 * cost nothing, the same octets as a host's name.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/alloc.h"
#include "core/ascii.h"
#include "core/failure.h"
#include "route/mx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Fit for a log, a resolver and TLS. */
static void
check_host(const char *host)
{
	size_t len = strlen(host);

	assert(len > 0 && len <= 253);
	assert(host[0] != '.' && host[len - 1] != '.');
	assert(strstr(host, "..") == NULL);
	for (const char *s = host; *s != '\0'; s++) {
		assert(*s == '-' || *s == '.' || ascii_is_alnum(*s));
		assert(*s == ascii_lower(*s));
	}
}

static void
check_list(const struct mx_list *list)
{
	assert(list->count > 0 && list->count <= MX_HOSTS_MAX);
	for (size_t i = 0; i < list->count; i++) {
		check_host(list->hosts[i]);
		for (size_t k = 0; k < i; k++)
			assert(strcmp(list->hosts[i], list->hosts[k]) != 0);
	}
}

static void
check_failure(const struct failure *f)
{
	assert(f->kind == FAILURE_LATER);
	assert(strcmp(f->dsn, "4.4.3") == 0 || strcmp(f->dsn, "4.4.4") == 0);
	assert(strstr(f->text, "contoso.com") != NULL);
	assert(!ascii_has_control(span_of(f->text)));
	assert(!ascii_has_8bit(span_of(f->text)));
}

/* An Exchange host is a host, and ends in one of two ways. */
static void
check_exchange(const char *host)
{
	size_t len = strlen(host);

	if (!mx_is_exchange(host))
		return;
	assert(strspn(host,
		   "abcdefghijklmnopqrstuvwxyz"
		   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == len);
	assert(ascii_is_alnum(host[0]));
	assert(strcasecmp(host + len - 13, ".mx.microsoft") == 0 ||
	    strcasecmp(host + len - 28, ".mail.protection.outlook.com") == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span answer = { (const char *)data, size };
	struct failure f = { .kind = FAILURE_NONE };
	struct mx_list list;
	char *host;

	if (mx_parse(answer, "contoso.com", &list, &f) == 0) {
		check_list(&list);
	} else {
		assert(list.hosts == NULL && list.count == 0);
		check_failure(&f);
	}
	mx_list_done(&list);
	host = xstrndup(answer.s, answer.len);
	check_exchange(host);
	free(host);
	return 0;
}
