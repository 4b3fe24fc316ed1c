#include <sys/stat.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/schema.h"
#include "core/ascii.h"
#include "core/failure.h"

/* Is every directory above this one, and it, open to everybody? */
static bool
can_everybody_reach(char *path)
{
	char *slash;
	struct stat st;

	while ((slash = strrchr(path, '/')) != NULL && slash != path) {
		*slash = '\0';
		if (stat(path, &st) == -1 || (st.st_mode & S_IXOTH) == 0)
			return false;
	}
	return stat("/", &st) == 0 && (st.st_mode & S_IXOTH) != 0;
}

static bool
can_everybody_read(const char *path)
{
	char real[PATH_MAX];
	struct stat st;

	return realpath(path, real) != NULL && stat(real, &st) == 0 &&
	    (st.st_mode & S_IROTH) != 0 && can_everybody_reach(real);
}

/* What stands behind "PATH:LINE: "; NULL: the text is not of one line. */
static const char *
skip_place(const char *text, const char *path)
{
	size_t len = strlen(path);

	if (strncmp(text, path, len) != 0 || text[len] != ':' ||
	    !ascii_is_digit(text[len + 1]))
		return NULL;
	text += len + 1;
	while (ascii_is_digit(*text))
		text++;
	return strncmp(text, ": ", 2) == 0 ? text + 2 : NULL;
}

/* How long the name of a key is with which a problem begins, or 0. */
static size_t
key_length(const char *problem)
{
	size_t len = strcspn(problem, ":");
	size_t count;
	const struct schema_key *keys = schema_keys(&count);

	for (size_t i = 0; i < count; i++)
		if (span_is((struct span){ problem, len }, keys[i].name))
			return len;
	return 0;
}

void
config_disclose(const char *path, struct failure *f)
{
	char *file = config_find(path);
	char *problem = NULL;
	const char *found = skip_place(f->text, file);
	size_t len;

	/* What is said of the file as a whole quotes nothing. */
	if (found != NULL && !can_everybody_read(file))
		problem = f->text + (found - f->text);
	free(file);
	if (problem == NULL)
		return;
	len = key_length(problem);
	problem += len;
	(void)snprintf(problem, sizeof(f->text) - (size_t)(problem - f->text),
	    len > 0 ? ": the value is wrong" : "this line is wrong");
}
