/*
 * complete - the header fields that every message must have
 */
#ifndef MAIL_COMPLETE_H
#define MAIL_COMPLETE_H

#include <sys/types.h>

#include "core/buf.h"

struct failure;
struct header;
struct mailbox;

/*
 * Add Date, Message-ID and From where they are missing or empty (an empty
 * From is replaced), and Resent-Date and Resent-Message-ID where the message
 * is resent.  from is the author for a message that names none.
 * FAILURE_LATER: the kernel gives no random bytes.
 */
int complete_header(
    struct header *h, const struct mailbox *from, struct failure *f);

/*
 * The name of this host for Message-ID, EHLO and bare addresses: the first
 * line of /etc/mailname where wants_mail_name, else the fully qualified host
 * name as far as the host knows it without a network.  The caller free()s it.
 */
char *complete_host_name(int wants_mail_name);

/*
 * From the text of hosts(5): the first name with a dot on the first line that
 * names host and has one.  A view into hosts, with length 0 if there is none.
 */
struct span complete_find_host(struct span hosts, struct span host);

/*
 * A user of this host as a bare mailbox: the login name; "uid1234" where there
 * is none, as in containers, or one that is no mailbox ("CONTOSO\jdoe").  The
 * caller mailbox_done()s it.
 */
void complete_user(uid_t uid, struct mailbox *out);

/* The same for the caller, who is the real user id, never what $LOGNAME or
 * $USER say. */
void complete_author(struct mailbox *out);

#endif
