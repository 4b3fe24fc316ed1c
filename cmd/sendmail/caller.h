/*
 * caller - who runs this program, by its real user id
 *
 * Never by $LOGNAME or $USER, which the caller may set to anything.
 */
#ifndef SENDMAIL_CALLER_H
#define SENDMAIL_CALLER_H

/*
 * The full name for a From field that has to be written: given (of -F, or
 * NULL), else $NAME, else the user's entry in the password file.  NULL if
 * there is none.  The caller free()s it.
 */
char *caller_full_name(const char *given);

#endif
