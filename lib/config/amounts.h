/*
 * amounts - the values of a configuration file that count something
 *
 * As values.h, whose contract these functions share.
 */
#ifndef CONFIG_AMOUNTS_H
#define CONFIG_AMOUNTS_H

struct failure;
struct value;

/* How many in how long. */
struct rate {
	unsigned count;
	unsigned seconds;
};

/* unsigned, in seconds: "90", "90s", "5m", "1h", "5d"; 1 s to 10 years. */
int value_duration(const struct value *v, void *field, struct failure *f);

/* uint64_t, in octets: "150000", "100k", "35M", "2G". */
int value_size(const struct value *v, void *field, struct failure *f);

/* unsigned: 1 to a million. */
int value_count(const struct value *v, void *field, struct failure *f);

/* unsigned: 1 to 100. */
int value_connections(const struct value *v, void *field, struct failure *f);

/* struct rate: "30" a minute, or "30/10s"; at most 10000 at once. */
int value_rate(const struct value *v, void *field, struct failure *f);

/* enum delivery_mode: one of its names. */
int value_delivery(const struct value *v, void *field, struct failure *f);

#endif
