#include "verify.h"

#include <stdlib.h>
#include <sysexits.h>

#include "child.h"
#include "core/alloc.h"
#include "core/failure.h"
#include "options.h"

int
verify_addresses(const struct options *o, struct failure *f)
{
	const char **words = xcalloc(o->operand_count + 5, sizeof(*words));
	size_t n = 0;

	words[n++] = "verify";
	if (o->config_file != NULL) {
		words[n++] = "-C";
		words[n++] = o->config_file;
	}
	words[n++] = "--";
	for (size_t i = 0; i < o->operand_count; i++)
		words[n++] = o->operands[i];
	if (o->operand_count > 0)
		(void)child_become(words, n, f);
	else
		(void)failure_set(
		    f, FAILURE_USAGE, "-bv needs addresses as arguments");
	free(words);
	return failure_exit_status(f);
}
