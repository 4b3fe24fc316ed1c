/*
 * openfile - open what an administrator wrote, and say why it cannot be read
 */
#ifndef CONFIG_OPENFILE_H
#define CONFIG_OPENFILE_H

#include <stdbool.h>

struct failure;
struct stat;

/*
 * Open a regular file for reading and describe it in *st.  Returns the
 * descriptor, or -1 with FAILURE_CONFIG and a text that begins with the path
 * and names the cure; missing is the cure where there is no such file.
 * os_error is EACCES where this user may not read it.
 */
int openfile_read(
    const char *path, const char *missing, struct stat *st, struct failure *f);

/* Is this process the service's, by its user? */
bool openfile_is_service(void);

/*
 * Refuse a file that belongs to someone who is neither root nor the user
 * whom this process runs as.  FAILURE_CONFIG.
 */
int openfile_check_owner(
    const char *path, const struct stat *st, struct failure *f);

#endif
