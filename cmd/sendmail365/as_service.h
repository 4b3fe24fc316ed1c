/*
 * as_service - what the service would find, seen by its administrator
 */
#ifndef SENDMAIL365_AS_SERVICE_H
#define SENDMAIL365_AS_SERVICE_H

struct failure;

/* 0, or -1 with a failure. */
typedef int as_service_look(const char *path, struct failure *f);

/*
 * Look at a path with the rights of the service's user.  That is this process
 * itself, where it has that user or where there is none, as without a package.
 * Returns what look does; or 0 where neither is so: it cannot be told.
 */
int as_service(as_service_look *look, const char *path, struct failure *f);

#endif
