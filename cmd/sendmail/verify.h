/*
 * verify - "sendmail -bv": what addresses stand for, and whether they are any
 */
#ifndef SENDMAIL_VERIFY_H
#define SENDMAIL_VERIFY_H

struct failure;
struct options;

/*
 * Let sendmail365 print a line for each operand and exit in our place.
 * Returns only if that cannot be: the status to exit with, f->text says why.
 * Nothing is read, and nothing sent.
 */
int verify_addresses(const struct options *o, struct failure *f);

#endif
