/*
 * cloud - what differs between Microsoft's national clouds
 */
#ifndef CONFIG_CLOUD_H
#define CONFIG_CLOUD_H

#include <stdbool.h>
#include <stddef.h>

enum cloud_kind {
	CLOUD_WORLDWIDE,
	CLOUD_US_GOV_HIGH,
	CLOUD_US_GOV_DOD,
	CLOUD_CHINA
};

struct cloud {
	const char *host;      /* SMTP submission, port 587 */
	const char *authority; /* token endpoint */
	const char *scope;     /* of client credentials */
};

/* The row of a cloud; a constant. */
const struct cloud *cloud_get(enum cloud_kind kind);

/* Their names as the configuration writes them, in the order of the enum. */
const char *const *cloud_names(size_t *out_count);

/* Is this a token endpoint of one of these clouds? */
bool cloud_has_authority(const char *authority);

/* Is this one of Microsoft's own hosts that take mail? */
bool cloud_has_host(const char *host);

#endif
