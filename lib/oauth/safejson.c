#include "oauth/safejson.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/ascii.h"

/* What Jansson gets is data; the size in front of it is for wiping. */
struct block {
	size_t size;
	max_align_t data[];
};

static void *
take_block(size_t size)
{
	struct block *block;

	if (size > SIZE_MAX - sizeof(*block))
		return NULL;
	block = xmalloc(sizeof(*block) + size);
	block->size = size;
	return block->data;
}

static void
wipe_block(void *data)
{
	struct block *block;

	if (data == NULL)
		return;
	block = (void *)((char *)data - offsetof(struct block, data));
	explicit_bzero(block->data, block->size);
	free(block);
}

json_t *
safejson_parse(struct span text)
{
	json_t *json;

	json_set_alloc_funcs(take_block, wipe_block);
	json = json_loadb(text.s, text.len, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(json))
		return json;
	json_decref(json);
	return NULL;
}

json_t *
safejson_object(void)
{
	json_set_alloc_funcs(take_block, wipe_block);
	return json_object();
}

bool
safejson_text(const json_t *object, const char *key, struct span *out)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_string(value))
		return false;
	*out = (struct span){ json_string_value(value),
		json_string_length(value) };
	return true;
}

bool
safejson_number(
    const json_t *object, const char *key, int64_t max, int64_t *out)
{
	const json_t *value = json_object_get(object, key);
	struct span text;
	uint64_t number;

	if (json_is_integer(value)) {
		json_int_t n = json_integer_value(value);

		if (n < 0 || n > max)
			return false;
		*out = n;
		return true;
	}
	if (!safejson_text(object, key, &text) ||
	    parse_u64(text, (uint64_t)max, &number) == -1)
		return false;
	*out = (int64_t)number;
	return true;
}

static int
add_piece(const char *piece, size_t len, void *out)
{
	return buf_add(out, piece, len);
}

int
safejson_write(const json_t *object, struct buf *out)
{
	return json_dump_callback(object, add_piece, out, JSON_COMPACT);
}
