/*
 * spoolid - what queued messages and their files are called
 */
#ifndef QUEUE_SPOOLID_H
#define QUEUE_SPOOLID_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SPOOL_ID_SIZE = 17,  /* 16 digits and NUL */
	SPOOL_NAME_SIZE = 28 /* "ID.UID" and NUL */
};

/* The number sorts by time of arrival; the user is who handed it in. */
struct spool_id {
	uint64_t number;
	uint32_t uid;
};

/* For a message that comes now: the time in microseconds, and chance. */
struct spool_id spool_new_id(uint32_t uid);

/* The 16 digits. */
void spool_id_text(struct spool_id id, char out[static SPOOL_ID_SIZE]);

/* "ID.UID", the name of its file and of its journal. */
void spool_name(struct spool_id id, char out[static SPOOL_NAME_SIZE]);

/* The same read; false: it is none of ours. */
bool spool_parse_name(const char *name, struct spool_id *out);

/* The digits alone, as people write them; out->uid stays. */
bool spool_parse_id(const char *text, struct spool_id *out);

/* When it came, in milliseconds since the epoch. */
int64_t spool_arrival_ms(struct spool_id id);

#endif
