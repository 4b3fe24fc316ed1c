/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>

#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "mail/address.h"
#include "mail/display_name.h"
#include "mail/header.h"
#include "mail/message.h"
#include "mail/rewrite.h"

enum {
	REASONS_MAX = 8,
	TEXT_MAX = 8 * 1024 * 1024
};

#define WHY_ACCOUNT                                                          \
	"Exchange refuses a From that is neither the account's nor allowed " \
	"by send_as"
#define WHY_ONE_AUTHOR                                                   \
	"several authors become one, because Exchange accepts one From " \
	"address"
#define WHY_NO_AUTHOR "From holds no valid address, so the account's stands in"
#define WHY_CLEAN     "what is no address was taken out of From"
#define WHY_QUOTED                                                  \
	"Exchange refuses a From whose display name holds special " \
	"characters without quotes"
#define WHY_REPLY_TO "replies are to reach the original author"
#define WHY_ORIGINAL "keeps the original author on record"
#define WHY_FORGED \
	"X-Original-From is this program's statement, not the caller's"
#define WHY_SENDER      "Sender is neither the account's nor allowed by send_as"
#define WHY_SAME_SENDER "Sender only repeats From"
#define WHY_ONCE        "RFC 5322 allows this field once"
#define WHY_EMPTY       "an empty Reply-To names nobody"
#define WHY_BARE                                                           \
	"names without a domain are completed with the configured one or " \
	"this host's"
#define WHY_8BIT                                                         \
	"header fields travel in US-ASCII, other characters as encoded " \
	"words"
#define WHY_LONG   "a line may hold at most 998 octets"
#define WHY_PATH   "Return-Path is written by the server that delivers"
#define WHY_BCC    "Bcc must not reach the other recipients"
#define WHY_LENGTH "Content-Length is no mail header field and would be wrong"
#define WHY_NULL \
	"Exchange refuses the null sender; the account's address stands in"
#define WHY_ENVELOPE                                                   \
	"Exchange refuses a sender that is neither the account's nor " \
	"allowed by send_as"
#define WHY_AUTO      "marks an automatic message, as the null sender did"
#define WHY_RULE      "a rule of [rewrite] says who sends this"
#define WHY_AUTOMATIC "marks a message that a program sends"
#define WHY_MIME                                                            \
	"the body is not plain US-ASCII in short lines, and no MIME field " \
	"says so"

/* The policy of all tests but those that say otherwise. */
static char local_part[] = "alerts";
static char account_domain[] = "contoso.com";
static const struct mailbox account = { NULL, local_part, account_domain };
static char lab[] = "lab.contoso.com";
static char ops[] = "ops.contoso.com";
static char shop[] = "shop";
static char any[] = "*";
static struct pattern send_as[] = {
	{ .kind = PATTERN_ADDRESS, .local = shop, .domain = account_domain },
	{ .kind = PATTERN_ADDRESS, .local = any, .domain = lab },
	{ .kind = PATTERN_ADDRESS, .local = any, .domain = ops },
};
static struct pattern send_as_any[] = { { .kind = PATTERN_ANY } };

static const struct rewrite_policy policy = {
	.account = &account,
	.send_as = { send_as, 3 },
	.origin = "web1.example.net",
	.recipient_domain = "contoso.com",
	.host_name = "web1.example.net",
};

static const struct rewrite_policy open_policy = {
	.account = &account,
	.send_as = { send_as_any, 1 },
	.origin = "web1.example.net",
	.host_name = "web1.example.net",
};

/* ---- helpers ---- */

static void
read_header(const char *text, struct header *out)
{
	struct header_reader r;
	struct failure f;
	struct span s = span_of(text);

	header_reader_init(&r);
	assert_int_equal(header_reader_feed(&r, s, &f), s.len);
	header_reader_finish(&r);
	*out = r.header;
	r.header = (struct header){ NULL, 0 };
	header_reader_done(&r);
}

static struct mailbox
sender_of(const char *text)
{
	struct mailbox m;
	struct failure f;

	assert_int_equal(mailbox_parse_sender(span_of(text), &m, &f), 0);
	return m;
}

struct given {
	const struct rewrite_policy *policy; /* NULL: the usual one */
	const char *sender;                  /* NULL: the account */
	const char *recipients;              /* NULL: one of them */
	const char *header;
	struct body_facts facts;
};

static void
make_plan(const struct given *g, const struct header *header,
    struct rewrite_plan *plan)
{
	const char *to = g->recipients != NULL ? g->recipients : "u@x.org";
	struct mailbox sender =
	    sender_of(g->sender != NULL ? g->sender : "alerts@contoso.com");
	struct mailbox_list recipients = { NULL, 0 };
	struct rewrite_input input = { &sender, &recipients, header,
		&g->facts };
	struct failure f;

	assert_int_equal(
	    mailbox_list_parse(span_of(to), 100, &recipients, NULL, &f), 0);
	rewrite_plan(g->policy != NULL ? g->policy : &policy, &input, plan);
	mailbox_done(&sender);
	mailbox_list_done(&recipients);
}

static char *
written_header(const struct rewrite_plan *plan, const struct header *header)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	assert_int_equal(rewrite_write_header(plan, header, &b), 0);
	return buf_take(&b);
}

/* ---- header edits ---- */

struct edit_row {
	const char *name;
	struct given given;
	const char *want; /* without the empty line; NULL: as given */
	const char *reasons[REASONS_MAX];
	bool encodes_body;
};

static const struct edit_row from_rows[] = {
	{ .name = "the account's own address stays",
	    .given.header = "From: alerts@contoso.com\r\n" },
	{ .name = "the account with a name stays",
	    .given.header = "From: The Alerts <alerts@contoso.com>\r\n" },
	{ .name = "case does not matter",
	    .given.header = "FROM: Alerts@Contoso.COM\r\n" },
	{ .name = "a name with dots stays as it is",
	    .given.header = "From: J. R. Doe <alerts@contoso.com>\r\n" },
	{ .name = "a comment with a permitted address stays",
	    .given.header = "From: alerts@contoso.com (The Alerts)\r\n" },
	{ .name = "encoded words stay",
	    .given.header =
		"From: =?utf-8?Q?J=C3=B6rg?= <alerts@contoso.com>\r\n" },
	{ .name = "a folded field stays",
	    .given.header = "From: The Alerts\r\n <alerts@contoso.com>\r\n" },
	{ .name = "an address in send_as stays",
	    .given.header = "From: Shop <shop@contoso.com>\r\n" },
	{ .name = "send_as with *@domain",
	    .given.header = "From: any@lab.contoso.com\r\n" },
	{ .name = "send_as with @domain",
	    .given.header = "From: any@OPS.contoso.com\r\n" },
	{ .name = "send_as of a domain is not of those below it",
	    .given.header = "From: a@b.ops.contoso.com\r\n",
	    .want = "From: alerts@contoso.com\r\n"
		    "Reply-To: a@b.ops.contoso.com\r\n"
		    "X-Original-From: a@b.ops.contoso.com\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "send_as with * permits all",
	    .given = { .policy = &open_policy,
		.header = "From: bob@example.org\r\n" } },
	{ .name = "send_as with * permits completed names",
	    .given = { .policy = &open_policy, .header = "From: root\r\n" },
	    .want = "From: root@web1.example.net\r\n",
	    .reasons = { WHY_BARE } },
	{ .name = "cron",
	    .given.header = "From: root (Cron Daemon)\r\n",
	    .want = "From: Cron Daemon <alerts@contoso.com>\r\n"
		    "X-Original-From: Cron Daemon <root@web1.example.net>\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "a bare name without display name is shown with its host",
	    .given.header = "From: root\r\n",
	    .want = "From: \"root@web1.example.net\" <alerts@contoso.com>\r\n"
		    "X-Original-From: root@web1.example.net\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "so is a host's address",
	    .given.header = "From: <www-data@web7>\r\n",
	    .want = "From: \"www-data@web7\" <alerts@contoso.com>\r\n"
		    "X-Original-From: www-data@web7\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "a foreign address goes to Reply-To, not into the name",
	    .given.header = "From: bob@example.org\r\n",
	    .want = "From: alerts@contoso.com\r\n"
		    "Reply-To: bob@example.org\r\n"
		    "X-Original-From: bob@example.org\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "the display name is kept",
	    .given.header = "From: Bob B <bob@example.org>\r\n",
	    .want = "From: Bob B <alerts@contoso.com>\r\n"
		    "Reply-To: Bob B <bob@example.org>\r\n"
		    "X-Original-From: Bob B <bob@example.org>\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "a quoted name stays quoted",
	    .given.header = "From: \"Doe, Jane\" <jane@web1>\r\n",
	    .want = "From: \"Doe, Jane\" <alerts@contoso.com>\r\n"
		    "X-Original-From: \"Doe, Jane\" <jane@web1>\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "encoded words are kept",
	    .given.header = "From: =?utf-8?Q?J=C3=B6rg?= <j@web1>\r\n",
	    .want = "From: =?utf-8?Q?J=C3=B6rg?= <alerts@contoso.com>\r\n"
		    "X-Original-From: =?utf-8?Q?J=C3=B6rg?= <j@web1>\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "a name that holds @ is quoted",
	    .given.header = "From: bob@example.org <alerts@contoso.com>\r\n",
	    .want = "From: \"bob@example.org\" <alerts@contoso.com>\r\n",
	    .reasons = { WHY_QUOTED } },
	{ .name = "a quoted name that holds @ stays",
	    .given.header =
		"From: \"bob@example.org\" <alerts@contoso.com>\r\n" },
	{ .name = "an 8-bit name becomes an encoded word",
	    .given.header = "From: J\303\266rg <alerts@contoso.com>\r\n",
	    .want = "From: =?utf-8?Q?J=C3=B6rg?= <alerts@contoso.com>\r\n",
	    .reasons = { WHY_8BIT } },
	{ .name = "what is no address is left out",
	    .given.header = "From: alerts@contoso.com, @@\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_CLEAN } },
	{ .name = "a group is dissolved",
	    .given.header = "From: us: alerts@contoso.com;\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_CLEAN } },
	{ .name = "an empty From becomes the account",
	    .given.header = "From:\r\nSubject: s\r\n",
	    .want = "From: alerts@contoso.com\r\nSubject: s\r\n",
	    .reasons = { WHY_NO_AUTHOR } },
	{ .name = "so does an invalid one",
	    .given.header = "From: @@\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_NO_AUTHOR } },
	{ .name = "and a null address",
	    .given.header = "From: <>\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_NO_AUTHOR } },
	{ .name = "a missing From is added",
	    .given.header = "Subject: s\r\n",
	    .want = "Subject: s\r\nFrom: alerts@contoso.com\r\n",
	    .reasons = { WHY_NO_AUTHOR } },
	{ .name = "no header at all",
	    .given.header = "",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_NO_AUTHOR } },
	{ .name = "two From fields become one",
	    .given.header = "From: Bob <bob@example.org>\r\n"
			    "Subject: s\r\n"
			    "From: eve@example.com\r\n",
	    .want = "From: Bob <alerts@contoso.com>\r\n"
		    "Subject: s\r\n"
		    "Reply-To: Bob <bob@example.org>, eve@example.com\r\n"
		    "X-Original-From: Bob <bob@example.org>,"
		    " eve@example.com\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ONCE, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "two addresses become one",
	    .given.header = "From: Us <alerts@contoso.com>,"
			    " eve@example.com\r\n",
	    .want = "From: Us <alerts@contoso.com>\r\n"
		    "Reply-To: eve@example.com\r\n"
		    "X-Original-From: Us <alerts@contoso.com>,"
		    " eve@example.com\r\n",
	    .reasons = { WHY_ONE_AUTHOR, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "two permitted addresses become the account's",
	    .given.header = "From: shop@contoso.com, a@lab.contoso.com\r\n",
	    .want = "From: alerts@contoso.com\r\n"
		    "Reply-To: shop@contoso.com, a@lab.contoso.com\r\n"
		    "X-Original-From: shop@contoso.com,"
		    " a@lab.contoso.com\r\n",
	    .reasons = { WHY_ONE_AUTHOR, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "the same author twice is one",
	    .given.header = "From: alerts@contoso.com\r\n"
			    "From: ALERTS@contoso.com\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_ONCE } },
	{ .name = "an empty From before a good one goes",
	    .given.header = "From:\r\nFrom: alerts@contoso.com\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_ONCE } },
	{ .name = "an invalid From before a good one goes",
	    .given.header = "From: @@\r\nFrom: alerts@contoso.com\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_ONCE } },
};

static const struct edit_row author_rows[] = {
	{ .name = "a Reply-To of the caller stays",
	    .given.header = "From: bob@example.org\r\n"
			    "Reply-To: help@example.org\r\n",
	    .want = "From: alerts@contoso.com\r\n"
		    "Reply-To: help@example.org\r\n"
		    "X-Original-From: bob@example.org\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "an empty Reply-To gives way",
	    .given.header = "Reply-To:\r\nFrom: bob@example.org\r\n",
	    .want = "From: alerts@contoso.com\r\n"
		    "Reply-To: bob@example.org\r\n"
		    "X-Original-From: bob@example.org\r\n",
	    .reasons = { WHY_EMPTY, WHY_ACCOUNT, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "the first Reply-To that says something stays",
	    .given.header = "From: alerts@contoso.com\r\n"
			    "Reply-To:\r\n"
			    "Reply-To: a@x.org\r\n"
			    "Reply-To: b@x.org\r\n",
	    .want = "From: alerts@contoso.com\r\nReply-To: a@x.org\r\n",
	    .reasons = { WHY_ONCE, WHY_ONCE } },
	{ .name = "a caller's X-Original-From goes",
	    .given.header = "From: alerts@contoso.com\r\n"
			    "X-Original-From: ceo@contoso.com\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_FORGED } },
	{ .name = "no reply to this host",
	    .given.header = "From: a@web1.example.net\r\n",
	    .want = "From: \"a@web1.example.net\" <alerts@contoso.com>\r\n"
		    "X-Original-From: a@web1.example.net\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "nor below it",
	    .given.header = "From: A <a@c1.web1.example.net>\r\n",
	    .want = "From: A <alerts@contoso.com>\r\n"
		    "X-Original-From: A <a@c1.web1.example.net>\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "a domain that only ends like the host's is foreign",
	    .given.header = "From: a@myweb1.example.net\r\n",
	    .want = "From: alerts@contoso.com\r\n"
		    "Reply-To: a@myweb1.example.net\r\n"
		    "X-Original-From: a@myweb1.example.net\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "no reply to an address literal",
	    .given.header = "From: A <a@[192.0.2.1]>\r\n",
	    .want = "From: A <alerts@contoso.com>\r\n"
		    "X-Original-From: A <a@[192.0.2.1]>\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "no reply to localhost.localdomain",
	    .given.header = "From: A <a@localhost.localdomain>\r\n",
	    .want = "From: A <alerts@contoso.com>\r\n"
		    "X-Original-From: A <a@localhost.localdomain>\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "Sender of the account beside a From of send_as stays",
	    .given.header = "From: shop@contoso.com\r\n"
			    "Sender: alerts@contoso.com\r\n" },
	{ .name = "a bare Sender is completed",
	    .given = { .policy = &open_policy,
		.header = "From: shop@contoso.com\r\nSender: root\r\n" },
	    .want = "From: shop@contoso.com\r\n"
		    "Sender: root@web1.example.net\r\n",
	    .reasons = { WHY_BARE } },
	{ .name = "a Sender that repeats From goes",
	    .given.header = "From: alerts@contoso.com\r\n"
			    "Sender: alerts@contoso.com\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_SAME_SENDER } },
	{ .name = "a Sender that repeats the new From goes",
	    .given.header = "Sender: alerts@contoso.com\r\nFrom: a@web1\r\n",
	    .want = "From: \"a@web1\" <alerts@contoso.com>\r\n"
		    "X-Original-From: a@web1\r\n",
	    .reasons = { WHY_SAME_SENDER, WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "a foreign Sender goes",
	    .given.header = "From: alerts@contoso.com\r\n"
			    "Sender: eve@example.com\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_SENDER } },
	{ .name = "an invalid Sender goes",
	    .given.header = "From: alerts@contoso.com\r\nSender: @@\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_SENDER } },
	{ .name = "several in Sender go",
	    .given.header = "From: alerts@contoso.com\r\n"
			    "Sender: shop@contoso.com, b@x.org\r\n",
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_SENDER } },
	{ .name = "of two Sender fields the first is judged",
	    .given.header = "From: shop@contoso.com\r\n"
			    "Sender: alerts@contoso.com\r\n"
			    "Sender: shop@contoso.com\r\n",
	    .want = "From: shop@contoso.com\r\n"
		    "Sender: alerts@contoso.com\r\n",
	    .reasons = { WHY_ONCE } },
};

#define OURS "From: alerts@contoso.com\r\n"

static const struct edit_row field_rows[] = {
	{ .name = "a message that needs nothing",
	    .given.header = "Received: from a by b; date\r\n"
			    "Date: Fri, 20 Nov 2026 19:27:45 +0100\r\n"
			    "Message-ID: <1@x.org>\r\n" OURS "To: u@x.org\r\n"
			    "Subject: =?utf-8?Q?=C3=B6?=\r\n"
			    "MIME-Version: 1.0\r\n"
			    "DKIM-Signature: v=1; a=rsa-sha256\r\n"
			    "X-Odd:no blank\r\n" },
	{ .name = "bare recipients are completed",
	    .given.header = OURS "To: jdoe, u@x.org\r\nCc: root (R)\r\n",
	    .want = OURS "To: jdoe@web1.example.net, u@x.org\r\n"
			 "Cc: R <root@web1.example.net>\r\n",
	    .reasons = { WHY_BARE, WHY_BARE } },
	{ .name = "those of a resent message, too",
	    .given.header = OURS "Resent-From: a\r\nResent-To: b\r\n"
				 "Resent-Cc: c\r\n",
	    .want = OURS "Resent-From: a@web1.example.net\r\n"
			 "Resent-To: b@web1.example.net\r\n"
			 "Resent-Cc: c@web1.example.net\r\n",
	    .reasons = { WHY_BARE, WHY_BARE, WHY_BARE } },
	{ .name = "and those of Reply-To",
	    .given.header = OURS "Reply-To: root\r\n",
	    .want = OURS "Reply-To: root@web1.example.net\r\n",
	    .reasons = { WHY_BARE } },
	{ .name = "the spelling of a field name stays",
	    .given.header = OURS "TO: jdoe\r\n",
	    .want = OURS "TO: jdoe@web1.example.net\r\n",
	    .reasons = { WHY_BARE } },
	{ .name = "a list that is no list stays",
	    .given.header = OURS "To: jdoe, @@\r\n" },
	{ .name = "a group stays",
	    .given.header = OURS "To: undisclosed-recipients:;\r\n"
				 "Cc: us: jdoe;\r\n" },
	{ .name = "To may be there twice",
	    .given.header = OURS "To: undisclosed-recipients:;\r\n"
				 "To: u@x.org\r\n" },
	{ .name = "Subject, Date and Message-ID may not",
	    .given.header = OURS "Subject: a\r\nSubject: b\r\n"
				 "Date: \r\nDate: d\r\n"
				 "Message-ID: <1@x>\r\nMessage-Id: <2@x>\r\n",
	    .want = OURS "Subject: a\r\nDate: d\r\nMessage-ID: <1@x>\r\n",
	    .reasons = { WHY_ONCE, WHY_ONCE, WHY_ONCE } },
	{ .name = "fields that must not travel",
	    .given.header = "Return-Path: <a@x>\r\nBcc: a@x,\r\n b@x\r\n" OURS
			    "Resent-Bcc: c@x\r\nContent-Length: 7\r\n",
	    .want = OURS,
	    .reasons = { WHY_PATH, WHY_BCC, WHY_BCC, WHY_LENGTH } },
	{ .name = "8-bit text becomes encoded words",
	    .given.header = OURS "Subject: gr\303\274n is it\r\n",
	    .want = OURS "Subject: =?utf-8?Q?gr=C3=BCn?= is it\r\n",
	    .reasons = { WHY_8BIT } },
	{ .name = "in unknown fields, too",
	    .given.header = OURS "X-Note: \374\r\n",
	    .want = OURS "X-Note: =?unknown-8bit?B?/A==?=\r\n",
	    .reasons = { WHY_8BIT } },
	{ .name = "8-bit names in address fields",
	    .given.header = OURS "To: J\303\266rg <u@x.org>\r\n",
	    .want = OURS "To: =?utf-8?Q?J=C3=B6rg?= <u@x.org>\r\n",
	    .reasons = { WHY_8BIT } },
	{ .name = "8-bit in structured fields is not ours to encode",
	    .given.header = OURS
	    "Content-Disposition: attachment; filename=\"\303\266\"\r\n"
	    "List-Id: \303\266\r\nReferences: <\303\266@x>\r\n" },
	{ .name = "an 8-bit list that is no list stays",
	    .given.header = OURS "To: J\303\266rg <u@x.org>, @@\r\n" },
};

static void
check_reasons(const struct edit_row *row, const struct rewrite_plan *plan)
{
	size_t n = 0;

	while (n < REASONS_MAX && row->reasons[n] != NULL)
		n++;
	if (plan->edit_count != n)
		fail_msg("%s: %zu edits, not %zu; the first: %s", row->name,
		    plan->edit_count, n,
		    plan->edit_count > 0 ? plan->edits[0].reason : "none");
	for (size_t i = 0; i < n; i++)
		if (strcmp(plan->edits[i].reason, row->reasons[i]) != 0)
			fail_msg("%s: edit %zu: \"%s\", not \"%s\"", row->name,
			    i, plan->edits[i].reason, row->reasons[i]);
}

static void
check_edits(const struct edit_row *row)
{
	const char *text = row->want != NULL ? row->want : row->given.header;
	char *want = xasprintf("%s\r\n", text);
	struct header header;
	struct rewrite_plan plan;
	char *got;

	read_header(row->given.header, &header);
	make_plan(&row->given, &header, &plan);
	got = written_header(&plan, &header);
	if (strcmp(got, want) != 0)
		fail_msg("%s: got\n%s\nwant\n%s", row->name, got, want);
	check_reasons(row, &plan);
	assert_int_equal(plan.encodes_body, row->encodes_body);
	rewrite_plan_done(&plan);
	header_done(&header);
	free(got);
	free(want);
}

static void
test_from(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(from_rows) / sizeof(*from_rows); i++)
		check_edits(&from_rows[i]);
}

static void
test_other_author_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(author_rows) / sizeof(*author_rows); i++)
		check_edits(&author_rows[i]);
}

static void
test_other_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(field_rows) / sizeof(*field_rows); i++)
		check_edits(&field_rows[i]);
}

/* Where no mail for names without a domain is foreign. */
static void
test_private_domains_get_no_reply(void **state)
{
	static const char *const domains[] = { "a.local", "a.localdomain",
		"a.localhost", "a.internal", "a.lan", "a.HOME.ARPA",
		"a.invalid", "a.test", "single" };

	(void)state;
	for (size_t i = 0; i < sizeof(domains) / sizeof(*domains); i++) {
		char *given = xasprintf("From: A <a@%s>\r\n", domains[i]);
		char *want = xasprintf("From: A <alerts@contoso.com>\r\n"
				       "X-Original-From: A <a@%s>\r\n",
		    domains[i]);
		struct edit_row row = { .name = domains[i],
			.given.header = given,
			.want = want,
			.reasons = { WHY_ACCOUNT, WHY_ORIGINAL } };

		check_edits(&row);
		free(given);
		free(want);
	}
}

/* ---- who is appointed by a rule ---- */

static const struct mailbox shop_mailbox = { NULL, shop, account_domain };

static const struct rewrite_policy appointing = {
	.account = &account,
	.appointed = &shop_mailbox,
	.send_as = { send_as, 3 },
	.origin = "web1.example.net",
	.recipient_domain = "contoso.com",
	.host_name = "web1.example.net",
};

static const struct edit_row appointed_rows[] = {
	{ .name = "who is appointed takes the author's place",
	    .given.header = "From: Bob B <bob@example.org>\r\n",
	    .want = "From: Bob B <shop@contoso.com>\r\n"
		    "Reply-To: Bob B <bob@example.org>\r\n"
		    "X-Original-From: Bob B <bob@example.org>\r\n",
	    .reasons = { WHY_RULE, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "the account's, too",
	    .given.header = "From: alerts@contoso.com\r\n",
	    .want = "From: shop@contoso.com\r\n"
		    "X-Original-From: alerts@contoso.com\r\n",
	    .reasons = { WHY_RULE, WHY_ORIGINAL } },
	{ .name = "and that of another whom send_as allows",
	    .given.header = "From: a@lab.contoso.com\r\n",
	    .want = "From: shop@contoso.com\r\n"
		    "Reply-To: a@lab.contoso.com\r\n"
		    "X-Original-From: a@lab.contoso.com\r\n",
	    .reasons = { WHY_RULE, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "an author who is appointed stays",
	    .given.header = "From: The Shop <SHOP@contoso.com>\r\n" },
	{ .name = "and is only cleaned",
	    .given.header = "From: Sh\303\266p <shop@contoso.com>, @@\r\n",
	    .want = "From: =?utf-8?Q?Sh=C3=B6p?= <shop@contoso.com>\r\n",
	    .reasons = { WHY_CLEAN } },
	{ .name = "several authors become who is appointed",
	    .given.header = "From: shop@contoso.com, Eve <eve@example.com>\r\n",
	    .want = "From: shop@contoso.com\r\n"
		    "Reply-To: shop@contoso.com, Eve <eve@example.com>\r\n"
		    "X-Original-From: shop@contoso.com, Eve "
		    "<eve@example.com>\r\n",
	    .reasons = { WHY_ONE_AUTHOR, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "several others, too",
	    .given.header = "From: bob@example.org, eve@example.com\r\n",
	    .want = "From: shop@contoso.com\r\n"
		    "Reply-To: bob@example.org, eve@example.com\r\n"
		    "X-Original-From: bob@example.org, eve@example.com\r\n",
	    .reasons = { WHY_RULE, WHY_REPLY_TO, WHY_ORIGINAL } },
	{ .name = "where there is no author, who is appointed is it",
	    .given.header = "Subject: s\r\n",
	    .want = "Subject: s\r\nFrom: shop@contoso.com\r\n",
	    .reasons = { WHY_RULE } },
	{ .name = "and where From is invalid",
	    .given.header = "From: @@\r\n",
	    .want = "From: shop@contoso.com\r\n",
	    .reasons = { WHY_RULE } },
	{ .name = "Sender of the account stays",
	    .given.header = "From: shop@contoso.com\r\n"
			    "Sender: alerts@contoso.com\r\n" },
	{ .name = "Sender that repeats who is appointed goes",
	    .given.header = "From: alerts@contoso.com\r\n"
			    "Sender: shop@contoso.com\r\n",
	    .want = "From: shop@contoso.com\r\n"
		    "X-Original-From: alerts@contoso.com\r\n",
	    .reasons = { WHY_RULE, WHY_SAME_SENDER, WHY_ORIGINAL } },
};

static void
test_the_appointed_author(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(appointed_rows) / sizeof(*appointed_rows);
	     i++) {
		struct edit_row row = appointed_rows[i];

		row.given.policy = &appointing;
		row.given.sender = "shop@contoso.com";
		check_edits(&row);
	}
}

/* ---- what the configuration leaves out or adds ---- */

static const struct rewrite_policy no_reply_to = {
	.account = &account,
	.origin = "web1.example.net",
	.host_name = "web1.example.net",
	.no_reply_to = true,
};
static const struct rewrite_policy no_original = {
	.account = &account,
	.origin = "web1.example.net",
	.host_name = "web1.example.net",
	.no_original = true,
};
static const struct rewrite_policy automatic = {
	.account = &account,
	.origin = "web1.example.net",
	.host_name = "web1.example.net",
	.marks_automatic = true,
};

static const struct edit_row option_rows[] = {
	{ .name = "no Reply-To for the author",
	    .given = { .policy = &no_reply_to,
		.header = "From: bob@example.org\r\n" },
	    .want = "From: alerts@contoso.com\r\n"
		    "X-Original-From: bob@example.org\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_ORIGINAL } },
	{ .name = "a Reply-To of the caller stays all the same",
	    .given = { .policy = &no_reply_to,
		.header = "From: alerts@contoso.com\r\n"
			  "Reply-To: bob@example.org\r\n" } },
	{ .name = "no X-Original-From",
	    .given = { .policy = &no_original,
		.header = "From: bob@example.org\r\n" },
	    .want = "From: alerts@contoso.com\r\n"
		    "Reply-To: bob@example.org\r\n",
	    .reasons = { WHY_ACCOUNT, WHY_REPLY_TO } },
	{ .name = "nor the caller's",
	    .given = { .policy = &no_original,
		.header = "From: alerts@contoso.com\r\n"
			  "X-Original-From: bob@example.org\r\n" },
	    .want = "From: alerts@contoso.com\r\n",
	    .reasons = { WHY_FORGED } },
	{ .name = "Auto-Submitted is added",
	    .given = { .policy = &automatic,
		.header = "From: alerts@contoso.com\r\n" },
	    .want = "From: alerts@contoso.com\r\n"
		    "Auto-Submitted: auto-generated\r\n",
	    .reasons = { WHY_AUTOMATIC } },
	{ .name = "what the caller says stays",
	    .given = { .policy = &automatic,
		.header = "From: alerts@contoso.com\r\n"
			  "AUTO-SUBMITTED: no\r\n" } },
	{ .name = "the null sender says more",
	    .given = { .policy = &automatic,
		.sender = "<>",
		.header = "From: alerts@contoso.com\r\n" },
	    .want = "From: alerts@contoso.com\r\n"
		    "Auto-Submitted: auto-replied\r\n",
	    .reasons = { WHY_AUTO } },
};

static void
test_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(option_rows) / sizeof(*option_rows); i++)
		check_edits(&option_rows[i]);
}

/* ---- templates for the display name ---- */

struct name_row {
	const char *name;
	const char *display_name; /* the template */
	const char *from;
	const char *want; /* what stands before the account's address */
};

static const struct name_row name_rows[] = {
	{ "a name", "{name} via {host}", "Bob <bob@example.org>",
	    "\"Bob via web1.example.net\" " },
	{ "no name and a foreign address", "{name} via {host}",
	    "bob@example.org", "\"bob via web1.example.net\" " },
	{ "no name and an address of this host", "{name} for us",
	    "root@web1.example.net", "\"root@web1.example.net for us\" " },
	{ "no name and no domain", "{name} for us", "root",
	    "\"root@web1.example.net for us\" " },
	{ "an address", "{name} ({address})", "Bob <bob@example.org>",
	    "\"Bob (bob@example.org)\" " },
	{ "a bare address", "{address}!", "root", "root! " },
	{ "the calling user", "{user} at {host}", "Bob <bob@example.org>",
	    "\"www-data at web1.example.net\" " },
	{ "plain text", "Web shop", "Bob <bob@example.org>", "Web shop " },
	{ "text that needs quotes", "Shop, Inc.: \"{name}\"",
	    "Bob <bob@example.org>", "\"Shop, Inc.: \\\"Bob\\\"\" " },
	{ "a name that needs quotes", "{name} via us",
	    "\"B, Bob\" <bob@example.org>", "\"B, Bob via us\" " },
	{ "a name that looks like an address", "{name} via us",
	    "\"x <y@z>\" <bob@example.org>", "\"x <y@z> via us\" " },
	{ "8-bit text", "B\303\274ro {name}", "Bob <bob@example.org>",
	    "=?utf-8?Q?B=C3=BCro_Bob?= " },
	{ "an 8-bit name", "{name} via us", "B\303\266b <bob@example.org>",
	    "=?utf-8?Q?B=C3=B6b_via_us?= " },
	{ "an encoded word", "{name} via us",
	    "=?utf-8?Q?B=C3=B6b?= <bob@example.org>",
	    "=?utf-8?Q?B=C3=B6b?= via us " },
	{ "all words at once", "{name}{address}{user}{host}",
	    "Bob <b@example.org>",
	    "\"Bobb@example.orgwww-dataweb1.example.net\" " },
	{ "a closing brace", "} {name} }", "Bob <bob@example.org>",
	    "} Bob } " },
};

static void
check_name(const struct name_row *row)
{
	char *from = xasprintf("From: %s\r\n", row->from);
	char *want =
	    xasprintf("From: %s<alerts@contoso.com>\r\n\r\n", row->want);
	const struct rewrite_policy with_template = {
		.account = &account,
		.origin = "web1.example.net",
		.host_name = "web1.example.net",
		.user = "www-data",
		.display_name = row->display_name,
		.no_reply_to = true,
		.no_original = true,
	};
	struct given given = { .policy = &with_template, .header = from };
	struct rewrite_plan plan;
	struct header header;
	struct failure f;
	char *got;

	assert_int_equal(display_name_check(span_of(row->display_name), &f), 0);
	read_header(from, &header);
	make_plan(&given, &header, &plan);
	got = written_header(&plan, &header);
	if (strcmp(got, want) != 0)
		fail_msg("%s: got\n%s\nwant\n%s", row->name, got, want);
	rewrite_plan_done(&plan);
	header_done(&header);
	free(got);
	free(want);
	free(from);
}

static void
test_templates(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(name_rows) / sizeof(*name_rows); i++)
		check_name(&name_rows[i]);
}

static char *
name_for(const struct rewrite_policy *with_template, const char *name)
{
	char bob[] = "bob";
	char org[] = "example.org";
	struct mailbox author = { NULL, bob, org };
	char *made;

	mailbox_set_name(&author, name);
	made = display_name_make(with_template, &author);
	mailbox_set_name(&author, NULL);
	return made;
}

static void
test_templates_know_nothing_that_is_not_there(void **state)
{
	struct rewrite_policy p = { .account = &account,
		.display_name = "{user}{host}" };
	char *got = name_for(&p, NULL);

	(void)state;
	assert_string_equal(got, "");
	free(got);
	p.display_name = "{name}";
	got = name_for(&p, NULL);
	assert_string_equal(got, "bob");
	free(got);
	p.display_name = NULL;
	assert_null(name_for(&p, NULL));
}

/* What is too long is no name at all, instead of a part of one. */
static void
test_templates_have_a_limit(void **state)
{
	static const char *const templates[] = { "{name}!", "!{name}",
		"{host}{name}", "{name} via {host}" };
	struct rewrite_policy p = { .account = &account, .host_name = "h" };
	char name[MAILBOX_NAME_MAX + 1];
	char *got;

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	p.display_name = "{name}";
	got = name_for(&p, name);
	assert_string_equal(got, name);
	free(got);
	for (size_t i = 0; i < sizeof(templates) / sizeof(*templates); i++) {
		p.display_name = templates[i];
		assert_null(name_for(&p, name));
	}
	name[sizeof(name) - 2] = '\0';
	p.display_name = templates[0];
	got = name_for(&p, name);
	assert_int_equal(strlen(got), MAILBOX_NAME_MAX);
	free(got);
}

static void
test_words_that_stand_for_nothing(void **state)
{
	static const char *const rows[][2] = {
		{ "{nmae}", "{nmae}" },
		{ "{name} {}", "{}" },
		{ "{Name}", "{Name}" },
		{ "{ name }", "{ name }" },
		{ "x {name", "{name" },
		{ "{", "{" },
		{ "{{name}}", "{{name}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *want = xasprintf("\"%s\" stands for nothing; known are "
				       "{name}, {address}, {user} and {host}",
		    rows[i][1]);
		struct failure f = { 0 };

		assert_int_equal(
		    display_name_check(span_of(rows[i][0]), &f), -1);
		assert_int_equal(f.kind, FAILURE_CONFIG);
		assert_string_equal(f.text, want);
		free(want);
	}
}

/* ---- bodies ---- */

#define PLAIN OURS "To: u@x.org\r\n"
#define MIME(type, encoding)                                                 \
	PLAIN "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=" type \
	      "\r\nContent-Transfer-Encoding: " encoding "\r\n"

static const struct edit_row body_rows[] = {
	{ .name = "998 octets are a line",
	    .given = { .header = PLAIN, .facts.longest_line = 998 } },
	{ .name = "UTF-8",
	    .given = { .header = PLAIN,
		.facts = { .has_8bit = true,
		    .is_utf8 = true,
		    .longest_line = 998 } },
	    .want = MIME("utf-8", "8bit"),
	    .reasons = { WHY_MIME, WHY_MIME, WHY_MIME } },
	{ .name = "8-bit that is not UTF-8",
	    .given = { .header = PLAIN, .facts = { .has_8bit = true } },
	    .want = MIME("unknown-8bit", "8bit"),
	    .reasons = { WHY_MIME, WHY_MIME, WHY_MIME } },
	{ .name = "a long line",
	    .given = { .header = PLAIN, .facts.longest_line = 999 },
	    .want = MIME("us-ascii", "quoted-printable"),
	    .reasons = { WHY_MIME, WHY_MIME, WHY_MIME },
	    .encodes_body = true },
	{ .name = "a NUL",
	    .given = { .header = PLAIN, .facts = { .has_nul = true } },
	    .want = MIME("us-ascii", "quoted-printable"),
	    .reasons = { WHY_MIME, WHY_MIME, WHY_MIME },
	    .encodes_body = true },
	{ .name = "a long line in UTF-8",
	    .given = { .header = PLAIN,
		.facts = { .has_8bit = true,
		    .is_utf8 = true,
		    .longest_line = 5000 } },
	    .want = MIME("utf-8", "quoted-printable"),
	    .reasons = { WHY_MIME, WHY_MIME, WHY_MIME },
	    .encodes_body = true },
	{ .name = "a message with MIME-Version is not touched",
	    .given = { .header = PLAIN "MIME-Version: 1.0\r\n",
		.facts = { .has_8bit = true, .longest_line = 5000 } } },
	{ .name = "nor one with Content-Type",
	    .given = { .header = PLAIN "content-type: text/html\r\n",
		.facts = { .has_nul = true } } },
	{ .name = "nor one with Content-Transfer-Encoding",
	    .given = { .header = PLAIN "Content-Transfer-Encoding: 7bit\r\n",
		.facts = { .has_nul = true } } },
};

static void
test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(body_rows) / sizeof(*body_rows); i++)
		check_edits(&body_rows[i]);
}

/* ---- the envelope ---- */

struct envelope_row {
	const char *name;
	struct given given;
	const char *want_sender;
	const char *want_reason;
	const char *want_recipients;
	const char *want_header; /* what is added, or NULL */
};

#define SHOPS "From: shop@contoso.com\r\n"

static const struct envelope_row envelope_rows[] = {
	{ .name = "the account stays",
	    .given = { .sender = "Alerts@contoso.com", .header = OURS },
	    .want_sender = "Alerts@contoso.com",
	    .want_recipients = "u@x.org" },
	{ .name = "a sender of send_as stays",
	    .given = { .sender = "x@lab.contoso.com", .header = OURS },
	    .want_sender = "x@lab.contoso.com",
	    .want_recipients = "u@x.org" },
	{ .name = "a bare sender is completed before it is judged",
	    .given = { .policy = &open_policy,
		.sender = "root",
		.header = OURS },
	    .want_sender = "root@web1.example.net",
	    .want_reason = WHY_BARE,
	    .want_recipients = "u@x.org" },
	{ .name = "a bare sender becomes the account",
	    .given = { .sender = "root", .header = OURS },
	    .want_sender = "alerts@contoso.com",
	    .want_reason = WHY_ENVELOPE,
	    .want_recipients = "u@x.org" },
	{ .name = "a foreign sender becomes the account",
	    .given = { .sender = "bob@example.org", .header = OURS },
	    .want_sender = "alerts@contoso.com",
	    .want_reason = WHY_ENVELOPE,
	    .want_recipients = "u@x.org" },
	{ .name = "the null sender becomes the account, marked",
	    .given = { .sender = "<>", .header = OURS },
	    .want_sender = "alerts@contoso.com",
	    .want_reason = WHY_NULL,
	    .want_recipients = "u@x.org",
	    .want_header = "Auto-Submitted: auto-replied\r\n" },
	{ .name = "an Auto-Submitted of the caller stays",
	    .given = { .sender = "",
		.header = OURS "auto-submitted: auto-generated\r\n" },
	    .want_sender = "alerts@contoso.com",
	    .want_reason = WHY_NULL,
	    .want_recipients = "u@x.org" },
	{ .name = "who is appointed takes the sender's place",
	    .given = { .policy = &appointing,
		.sender = "bob@example.org",
		.header = SHOPS },
	    .want_sender = "shop@contoso.com",
	    .want_reason = WHY_RULE,
	    .want_recipients = "u@x.org" },
	{ .name = "and the account's",
	    .given = { .policy = &appointing, .header = SHOPS },
	    .want_sender = "shop@contoso.com",
	    .want_reason = WHY_RULE,
	    .want_recipients = "u@x.org" },
	{ .name = "and the null sender's, marked",
	    .given = { .policy = &appointing, .sender = "<>", .header = SHOPS },
	    .want_sender = "shop@contoso.com",
	    .want_reason = WHY_RULE,
	    .want_recipients = "u@x.org",
	    .want_header = "Auto-Submitted: auto-replied\r\n" },
	{ .name = "a sender who is appointed stays",
	    .given = { .policy = &appointing,
		.sender = "Shop@Contoso.com",
		.header = SHOPS },
	    .want_sender = "Shop@Contoso.com",
	    .want_recipients = "u@x.org" },
	{ .name = "bare recipients are completed",
	    .given = { .recipients = "root, u@x.org, jdoe", .header = OURS },
	    .want_sender = "alerts@contoso.com",
	    .want_recipients = "root@contoso.com, u@x.org, jdoe@contoso.com" },
	{ .name = "each recipient once",
	    .given = { .recipients = "u@x.org, root, U@X.ORG,"
				     " root@contoso.com, v@x.org",
		.header = OURS },
	    .want_sender = "alerts@contoso.com",
	    .want_recipients = "u@x.org, root@contoso.com, v@x.org" },
};

static void
check_address_list(
    const char *name, const struct mailbox_list *list, const char *want)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	for (size_t i = 0; i < list->count; i++) {
		assert_int_equal(buf_puts(&b, i > 0 ? ", " : ""), 0);
		assert_int_equal(mailbox_write_address(&b, &list->items[i]), 0);
	}
	if (strcmp(b.s, want) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", name, b.s, want);
	buf_done(&b);
}

static void
check_envelope(const struct envelope_row *row)
{
	char *want = xasprintf("%s%s\r\n", row->given.header,
	    row->want_header != NULL ? row->want_header : "");
	struct mailbox_list sender = { NULL, 1 };
	struct header header;
	struct rewrite_plan plan;
	char *got;

	read_header(row->given.header, &header);
	make_plan(&row->given, &header, &plan);
	sender.items = &plan.sender;
	check_address_list(row->name, &sender, row->want_sender);
	check_address_list(row->name, &plan.recipients, row->want_recipients);
	if (row->want_reason == NULL)
		assert_null(plan.sender_reason);
	else
		assert_string_equal(plan.sender_reason, row->want_reason);
	got = written_header(&plan, &header);
	assert_string_equal(got, want);
	rewrite_plan_done(&plan);
	header_done(&header);
	free(got);
	free(want);
}

static void
test_envelopes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(envelope_rows) / sizeof(*envelope_rows);
	     i++)
		check_envelope(&envelope_rows[i]);
}

static void
test_bare_recipient_without_domain_stays_bare(void **state)
{
	struct given given = { .policy = &open_policy,
		.recipients = "u@x.org, jdoe",
		.header = OURS };
	struct rewrite_plan plan;
	struct header header;

	(void)state;
	read_header(given.header, &header);
	make_plan(&given, &header, &plan);
	assert_int_equal(plan.recipients.count, 2);
	assert_string_equal(plan.recipients.items[1].local, "jdoe");
	assert_null(plan.recipients.items[1].domain);
	rewrite_plan_done(&plan);
	header_done(&header);
}

/* ---- who the author is ---- */

static void
test_the_first_author_is_found(void **state)
{
	static const struct {
		const char *header;
		const char *want; /* NULL: there is none */
	} rows[] = {
		{ "From: a@x.org\r\n", "a@x.org" },
		{ "Subject: s\r\nFROM: A <a@x.org>\r\n", "A <a@x.org>" },
		{ "From: root\r\n", "root" },
		{ "From: a@x.org, b@x.org\r\n", "a@x.org" },
		{ "From: @@, b@x.org\r\n", "b@x.org" },
		{ "From:\r\nFrom: b@x.org\r\n", "b@x.org" },
		{ "From: us: b@x.org;\r\n", "b@x.org" },
		{ "From: @@\r\nSender: b@x.org\r\n", NULL },
		{ "From: <>\r\n", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct mailbox author = { NULL, NULL, NULL };
		struct header header;
		struct buf b;

		read_header(rows[i].header, &header);
		buf_init(&b, TEXT_MAX);
		assert_int_equal(rewrite_find_author(&header, &author),
		    rows[i].want != NULL);
		assert_int_equal(mailbox_write(&b, &author), 0);
		assert_string_equal(
		    b.s, rows[i].want != NULL ? rows[i].want : "");
		buf_done(&b);
		mailbox_done(&author);
		header_done(&header);
	}
}

/* ---- limits ---- */

static char *
repeated(const char *before, const char *s, size_t n)
{
	struct buf b;

	buf_init(&b, TEXT_MAX);
	assert_int_equal(buf_puts(&b, before), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_puts(&b, s), 0);
	return buf_take(&b);
}

static size_t
longest_line(const char *s)
{
	size_t longest = 0;

	while (*s != '\0') {
		size_t len = strcspn(s, "\r");

		longest = len > longest ? len : longest;
		s += len + 2;
	}
	return longest;
}

struct long_row {
	const char *name;
	const char *before;
	const char *piece;
	size_t n;
	bool is_edited;
};

static const struct long_row long_rows[] = {
	{ "998 octets stay", "X-A:12", "12345678", 124, false },
	{ "999 do not", "X-A: 12", " 1234567", 124, true },
	{ "addresses", "To: a@x.org", ", bbbbbbbb@x.org", 70, true },
	{ "structured", "References: <a@x>", " <bbbbbbbbb@x.org>", 70, true },
	{ "From", "From: alerts@contoso.com (a", " bbbbbbb", 150, true },
	{ "a word without blanks cannot be folded", "X-A: ", "12345678", 200,
	    false },
};

static void
check_long(const struct long_row *row)
{
	char *field = repeated(row->before, row->piece, row->n);
	bool is_from = strncmp(field, "From", 4) == 0;
	char *text = xasprintf(
	    "%s%s%s\r\n", is_from ? "" : OURS, field, is_from ? ")" : "");
	struct given given = { .header = text };
	struct header header;
	struct rewrite_plan plan;
	char *got;

	read_header(text, &header);
	make_plan(&given, &header, &plan);
	assert_int_equal(plan.edit_count, row->is_edited ? 1 : 0);
	got = written_header(&plan, &header);
	if (row->is_edited) {
		assert_string_equal(plan.edits[0].reason, WHY_LONG);
		if (longest_line(got) > 78)
			fail_msg(
			    "%s: %zu octets", row->name, longest_line(got));
	}
	rewrite_plan_done(&plan);
	header_done(&header);
	free(got);
	free(text);
	free(field);
}

static void
test_long_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(long_rows) / sizeof(*long_rows); i++)
		check_long(&long_rows[i]);
}

/* As many fields as a header may hold, in the worst kinds. */
static void
test_many_fields(void **state)
{
	static const char *const pieces[] = { "From: a@example.org\r\n",
		"Date:\r\n", "Bcc: a@b\r\n", "Reply-To: a\r\n", "To: a\r\n",
		"X: \303\266\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		char *text = repeated("", pieces[i], 40000);
		struct given given = { .header = text };
		struct header header;
		struct rewrite_plan plan;

		read_header(text, &header);
		make_plan(&given, &header, &plan);
		assert_true(plan.edit_count > 39000 || plan.edit_count == 1);
		rewrite_plan_done(&plan);
		header_done(&header);
		free(text);
	}
}

/* Of many authors the first twenty are named. */
static void
test_many_authors(void **state)
{
	struct buf b;
	struct given given = { 0 };
	struct header header;
	struct rewrite_plan plan;
	const struct edit *original;

	(void)state;
	buf_init(&b, TEXT_MAX);
	assert_int_equal(buf_puts(&b, "From: a0@example.org"), 0);
	for (int i = 1; i < 30; i++)
		assert_int_equal(buf_printf(&b, ", a%d@example.org", i), 0);
	assert_int_equal(buf_puts(&b, "\r\n"), 0);
	given.header = b.s;
	read_header(b.s, &header);
	make_plan(&given, &header, &plan);
	assert_int_equal(plan.edit_count, 3);
	original = &plan.edits[2];
	assert_string_equal(original->name, "X-Original-From");
	assert_non_null(strstr(original->value, "a19@example.org"));
	assert_null(strstr(original->value, "a20@example.org"));
	rewrite_plan_done(&plan);
	header_done(&header);
	buf_done(&b);
}

static void
test_header_that_does_not_fit(void **state)
{
	struct given given = { .header = "Subject: s\r\n" };
	struct header header;
	struct rewrite_plan plan;
	size_t want;
	char *whole;

	(void)state;
	read_header(given.header, &header);
	make_plan(&given, &header, &plan);
	whole = written_header(&plan, &header);
	want = strlen(whole);
	for (size_t max = 0; max < want; max++) {
		struct buf b;

		buf_init(&b, max);
		assert_int_equal(rewrite_write_header(&plan, &header, &b), -1);
		buf_done(&b);
	}
	rewrite_plan_done(&plan);
	rewrite_plan_done(&plan);
	header_done(&header);
	free(whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from),
		cmocka_unit_test(test_other_author_fields),
		cmocka_unit_test(test_other_fields),
		cmocka_unit_test(test_private_domains_get_no_reply),
		cmocka_unit_test(test_the_appointed_author),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_templates_know_nothing_that_is_not_there),
		cmocka_unit_test(test_templates_have_a_limit),
		cmocka_unit_test(test_words_that_stand_for_nothing),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_envelopes),
		cmocka_unit_test(test_bare_recipient_without_domain_stays_bare),
		cmocka_unit_test(test_the_first_author_is_found),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_many_fields),
		cmocka_unit_test(test_many_authors),
		cmocka_unit_test(test_header_that_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
