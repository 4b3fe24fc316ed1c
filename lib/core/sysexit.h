/*
 * sysexit - an SMTP reply as an exit status of sysexits(3)
 *
 * What a caller of sendmail sees of an answer.  The enhanced code (RFC 3463)
 * says more than the reply code, so it is asked first.
 */
#ifndef CORE_SYSEXIT_H
#define CORE_SYSEXIT_H

/*
 * code is the reply code, such as 550; dsn the enhanced code, such as
 * "5.1.1", or "" if the reply has none.  Always one of the EX_ constants;
 * EX_PROTOCOL for what is no final reply.
 */
int sysexit_from_reply(int code, const char *dsn);

#endif
