/*
 * speak - "sendmail -bs": SMTP on standard input and output
 *
 * For programs that keep one sendmail for many messages (Symfony, nmh).  Each
 * message takes the way of one that is read from standard input: the same
 * clean-up, the same answer, and nothing is kept in between.
 */
#ifndef SENDMAIL_SPEAK_H
#define SENDMAIL_SPEAK_H

struct options;

/*
 * Serve until QUIT or the end of input; a message that is not complete then is
 * forgotten.  What goes wrong with one is told to the peer, who need not look
 * at the exit status.
 */
void speak_smtp(const struct options *o);

#endif
