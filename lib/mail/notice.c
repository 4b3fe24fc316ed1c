#include "mail/notice.h"

#include <time.h>

#include "core/clock.h"
#include "core/failure.h"
#include "mail/complete.h"
#include "mail/header.h"
#include "mail/mailbox.h"

enum {
	ADDRESS_FIELD_MAX = 2000,
	BOUNDARY_SIZE = 64
};

static void
add_fields(const struct notice *n, const char *boundary, struct header *h)
{
	struct buf value;

	buf_init(&value, ADDRESS_FIELD_MAX);
	(void)mailbox_write_address(&value, n->to);
	header_add(h, "To", value.s);
	buf_done(&value);
	header_add(h, "Subject", "Mail could not be delivered");
	/* RFC 3834: nobody answers an answer. */
	header_add(h, "Auto-Submitted", "auto-replied");
	header_add(h, "MIME-Version", "1.0");
	buf_init(&value, ADDRESS_FIELD_MAX);
	(void)buf_printf(&value,
	    "multipart/report; report-type=delivery-status;\r\n"
	    " boundary=\"%s\"",
	    boundary);
	header_add(h, "Content-Type", value.s);
	buf_done(&value);
}

static int
write_header(const struct notice *n, const char *boundary, struct buf *b,
    struct failure *f)
{
	static char name[] = "Mail Delivery System";
	static char local[] = "MAILER-DAEMON";
	const struct mailbox from = { .name = name, .local = local };
	struct header h = { NULL, 0 };
	int r;

	add_fields(n, boundary, &h);
	r = complete_header(&h, &from, f);
	if (r == 0 && (header_write(&h, b) == -1 || buf_puts(b, "\r\n") == -1))
		r = failure_set(f, FAILURE_DATA, "the notice is too large");
	header_done(&h);
	return r;
}

/* "--boundary", and the header of a part. */
static int
begin_part(struct buf *b, const char *boundary, const char *type)
{
	return buf_printf(
	    b, "--%s\r\nContent-Type: %s\r\n\r\n", boundary, type);
}

static int
write_text(const struct notice *n, const char *boundary, struct buf *b)
{
	char date[CLOCK_DATE_SIZE];
	int r;

	clock_date((time_t)(n->arrival_ms / 1000), date);
	r = begin_part(b, boundary,
	    "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit");
	if (r == 0)
		r = buf_printf(b,
		    "A message that was handed in on host %s\r\n"
		    "on %s\r\n"
		    "could not be delivered to:\r\n\r\n",
		    n->host, date);
	for (size_t i = 0; i < n->recipient_count && r == 0; i++)
		r = buf_printf(b, "<%s>\r\n    %s\r\n\r\n",
		    n->recipients[i].address, n->recipients[i].text);
	if (r == 0)
		r = buf_printf(b,
		    "The message is kept on that host: sendmail365 queue show "
		    "%s\r\n\r\n",
		    n->id);
	if (r == 0 && n->is_last)
		r = buf_puts(b,
		    "This is the last notice for now: no more are sent in an "
		    "hour.\r\nWhat else fails is kept there: sendmail365 "
		    "queue list --failed\r\n\r\n");
	return r;
}

static int
write_report(const struct notice *n, const char *boundary, struct buf *b)
{
	char date[CLOCK_DATE_SIZE];
	int r;

	clock_date((time_t)(n->arrival_ms / 1000), date);
	r = begin_part(b, boundary, "message/delivery-status");
	if (r == 0)
		r = buf_printf(b,
		    "Reporting-MTA: dns; %s\r\n"
		    "Original-Envelope-Id: %s\r\n"
		    "Arrival-Date: %s\r\n",
		    n->host, n->id, date);
	for (size_t i = 0; i < n->recipient_count && r == 0; i++)
		r = buf_printf(b,
		    "\r\nFinal-Recipient: rfc822; %s\r\n"
		    "Action: failed\r\n"
		    "Status: %s\r\n"
		    "Diagnostic-Code: smtp; %s\r\n",
		    n->recipients[i].address, n->recipients[i].dsn,
		    n->recipients[i].text);
	return r == 0 ? buf_puts(b, "\r\n") : -1;
}

static int
write_parts(const struct notice *n, const char *boundary, struct buf *b)
{
	if (write_text(n, boundary, b) == -1 ||
	    write_report(n, boundary, b) == -1 ||
	    begin_part(b, boundary, "text/rfc822-headers") == -1 ||
	    header_write(n->header, b) == -1)
		return -1;
	return buf_printf(b, "\r\n--%s--\r\n", boundary);
}

int
notice_write(const struct notice *n, struct buf *b, struct failure *f)
{
	struct buf boundary;
	int r;

	/* The ID occurs nowhere at the start of a line of a part. */
	buf_init(&boundary, BOUNDARY_SIZE);
	(void)buf_printf(&boundary, "%.16s/notice", n->id);
	r = write_header(n, boundary.s, b, f);
	if (r == 0 && write_parts(n, boundary.s, b) == -1)
		r = failure_set(f, FAILURE_DATA, "the notice is too large");
	buf_done(&boundary);
	return r;
}
