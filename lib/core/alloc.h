/*
 * alloc - memory that is there, or the end of the program
 *
 * When memory ends the program says so on stderr and exits with EX_TEMPFAIL:
 * to its caller that means "the message is still yours".  Limits on untrusted
 * input are set by those who read it, so that input cannot get here.
 */
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H

#include <stddef.h>

/* Memory for the caller to free(); never NULL. */
void *xmalloc(size_t size) __attribute__((malloc, alloc_size(1)));

/* The same, zeroed, for n elements; the product is checked. */
void *xcalloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2)));

/* A copy of a string for the caller to free(). */
char *xstrdup(const char *s) __attribute__((malloc));

/* A string of exactly len bytes of s, for the caller to free(). */
char *xstrndup(const char *s, size_t len) __attribute__((malloc));

/* Grow or shrink p to n elements of the given size. */
void *xreallocarray(void *p, size_t n, size_t size)
    __attribute__((alloc_size(2, 3)));

/* printf into new memory. */
char *xasprintf(const char *fmt, ...)
    __attribute__((malloc, format(printf, 1, 2)));

/*
 * Make room for one more element in an array that has count of them and
 * grows by doubling: returns items, moved if count is a power of two.
 */
void *xgrow(void *items, size_t count, size_t size);

#endif
