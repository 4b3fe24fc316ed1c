#include "mail/permit.h"

#include <string.h>

#include "core/ascii.h"
#include "core/buf.h"
#include "mail/pattern.h"
#include "mail/rewrite.h"

/* Is domain this name, or below it? */
static bool
is_within(const char *domain, const char *name)
{
	size_t domain_len = strlen(domain);
	size_t len = strlen(name);

	if (len == 0 || domain_len < len)
		return false;
	if (!ascii_equal_nocase(domain + domain_len - len, name, len))
		return false;
	return domain_len == len || domain[domain_len - len - 1] == '.';
}

bool
permit_is_private(const char *domain)
{
	/* RFC 6762, 6761, 8375, and what hosts without a domain are commonly
	 * called. */
	static const char *const private_names[] = { "local", "localdomain",
		"localhost", "internal", "lan", "home.arpa", "invalid",
		"test" };

	if (domain[0] == '[' || strchr(domain, '.') == NULL)
		return true;
	for (size_t i = 0; i < sizeof(private_names) / sizeof(*private_names);
	     i++)
		if (is_within(domain, private_names[i]))
			return true;
	return false;
}

bool
permit_is_foreign(const struct rewrite_policy *policy, const struct mailbox *m)
{
	if (m->domain == NULL || permit_is_private(m->domain) ||
	    mailbox_equal(m, policy->account))
		return false;
	return policy->host_name == NULL ||
	    !is_within(m->domain, policy->host_name);
}

bool
permit_allows(const struct rewrite_policy *policy, const struct mailbox *m)
{
	const struct pattern_subject subject = { .address = m };

	if (m->local == NULL || m->domain == NULL)
		return false;
	return mailbox_equal(m, policy->account) ||
	    pattern_list_matches(&policy->send_as, &subject);
}
