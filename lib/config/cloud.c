#include "config/cloud.h"

#include <string.h>

#include "core/ascii.h"
#include "core/buf.h"

/*
 * Where published sources disagree, [account] host, authority and scope are
 * the way out:
 * - us-gov-high: deployed programs use smtp.office365.us, the published list
 *   of endpoints names outlook.office365.us instead.
 * - us-gov-dod: no source names a submission host; this one is derived from
 *   the family of host names.  For the scope one source has the name below,
 *   another outlook.office365.us.
 * - china: older pages name login.chinacloudapi.cn as the authority.
 */
static const struct cloud clouds[] = {
	[CLOUD_WORLDWIDE] = {
		.host = "smtp.office365.com",
		.authority = "https://login.microsoftonline.com",
		.scope = "https://outlook.office365.com/.default",
	},
	[CLOUD_US_GOV_HIGH] = {
		.host = "smtp.office365.us",
		.authority = "https://login.microsoftonline.us",
		.scope = "https://outlook.office365.us/.default",
	},
	[CLOUD_US_GOV_DOD] = {
		.host = "outlook-dod.office365.us",
		.authority = "https://login.microsoftonline.us",
		.scope = "https://outlook-dod.office365.us/.default",
	},
	[CLOUD_CHINA] = {
		.host = "smtp.partner.outlook.cn",
		.authority = "https://login.partner.microsoftonline.cn",
		.scope = "https://partner.outlook.cn/.default",
	},
};

static const char *const names[] = {
	[CLOUD_WORLDWIDE] = "worldwide",
	[CLOUD_US_GOV_HIGH] = "us-gov-high",
	[CLOUD_US_GOV_DOD] = "us-gov-dod",
	[CLOUD_CHINA] = "china",
};

const struct cloud *
cloud_get(enum cloud_kind kind)
{
	return &clouds[kind];
}

const char *const *
cloud_names(size_t *out_count)
{
	*out_count = sizeof(names) / sizeof(names[0]);
	return names;
}

bool
cloud_has_authority(const char *authority)
{
	for (size_t i = 0; i < sizeof(clouds) / sizeof(clouds[0]); i++)
		if (span_is_nocase(span_of(authority), clouds[i].authority))
			return true;
	return false;
}

bool
cloud_has_host(const char *host)
{
	static const char *const domains[] = { ".office365.com", ".outlook.com",
		".office365.us", ".outlook.cn", ".azurecomm.net",
		".mx.microsoft" };
	size_t host_len = strlen(host);

	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		size_t len = strlen(domains[i]);

		if (host_len > len &&
		    ascii_equal_nocase(host + host_len - len, domains[i], len))
			return true;
	}
	return false;
}
