/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <string.h>

#include "advice/advice.h"
#include "advice/rows.h"
#include "core/ascii.h"
#include "core/buf.h"

enum {
	TEXT_MAX = 300
};

/* Replies as Exchange gives them, and a piece of the advice for each. */
struct example {
	int code;
	enum advice_scope scope;
	const char *dsn;
	const char *text;
	const char *want; /* in meaning or cure */
};

#define TRAILER " [XX0P000CA0001.NAMPRD00.PROD.OUTLOOK.COM 2026-11-20T08:00Z]"

static const struct example examples[] = {
	{ 421, ADVICE_SCOPE_HOST, "4.3.2", "Service not active",
	    "out of service" },
	{ 421, ADVICE_SCOPE_HOST, "4.4.2",
	    "Connection dropped due to SocketError", "connection broke" },
	{ 421, ADVICE_SCOPE_HOST, "4.4.1",
	    "Connection timed out. Total session duration: 00:20:55.1",
	    "lasted too long" },
	{ 421, ADVICE_SCOPE_HOST, "4.7.66",
	    "TLS 1.0 and 1.1 are not supported. Please upgrade. Visit "
	    "https://aka.ms/smtp_auth_tls",
	    "TLS 1.2" },
	{ 421, ADVICE_SCOPE_HOST, "", "closing", "closes the connection" },
	{ 430, ADVICE_SCOPE_ACCOUNT, "4.2.0",
	    "STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:"
	    "ConnectionFailedTransientException.MapiExceptionLogonFailed",
	    "Add-MailboxPermission" },
	{ 430, ADVICE_SCOPE_ACCOUNT, "",
	    "STOREDRV.Submission.Exception:"
	    "ConnectionFailedTransientException.MapiExceptionLogonFailed",
	    "Add-MailboxPermission" },
	{ 432, ADVICE_SCOPE_ACCOUNT, "4.3.2",
	    "Concurrent connections limit exceeded. Visit "
	    "https://aka.ms/concurrent_sending",
	    "more than 3 connections" },
	{ 432, ADVICE_SCOPE_ACCOUNT, "4.3.2",
	    "STOREDRV.ClientSubmit; sender thread limit exceeded",
	    "more than 3 connections" },
	{ 432, ADVICE_SCOPE_RECIPIENT, "4.3.2",
	    "STOREDRV.Deliver; recipient thread limit exceeded",
	    "receiving mailbox" },
	{ 450, ADVICE_SCOPE_HOST, "4.7.25",
	    "Service unavailable, sending IPv6 address [2001:db8::1] must "
	    "have a reverse DNS record",
	    "PTR" },
	{ 550, ADVICE_SCOPE_HOST, "5.7.25", "must have a reverse DNS record",
	    "PTR" },
	{ 450, ADVICE_SCOPE_HOST, "4.7.26",
	    "message sent over IPv6 must pass either SPF or DKIM", "SPF" },
	{ 451, ADVICE_SCOPE_HOST, "4.4.62",
	    "Mail sent to the wrong Office 365 region. ATTR35", "MX" },
	{ 451, ADVICE_SCOPE_ACCOUNT, "4.7.0",
	    "Temporary server error. Please try again later. PRX2",
	    "licensed mailbox" },
	{ 451, ADVICE_SCOPE_HOST, "4.7.0",
	    "Temporary server error. Please try again later.",
	    "temporary fault" },
	{ 451, ADVICE_SCOPE_HOST, "4.7.500",
	    "Access denied, please try again later (AS843)", "held back" },
	{ 451, ADVICE_SCOPE_HOST, "4.7.699",
	    "Access denied, please try again later", "held back" },
	{ 451, ADVICE_SCOPE_HOST, "4.7.850",
	    "Access denied, please try again later", "held back" },
	{ 451, ADVICE_SCOPE_HOST, "4.7.651",
	    "The mail server [192.0.2.1] has been temporarily rate limited "
	    "due to IP reputation. (S844)",
	    "reputation" },
	{ 451, ADVICE_SCOPE_HOST, "5.7.3",
	    "Must issue a STARTTLS command first", "STARTTLS" },
	{ 452, ADVICE_SCOPE_RECIPIENT, "4.5.3", "Too many recipients",
	    "next one" },
	{ 454, ADVICE_SCOPE_ACCOUNT, "4.7.0",
	    "Temporary authentication failure", "sign-ins" },
	{ 500, ADVICE_SCOPE_NONE, "5.3.3", "Unrecognized command 'XYZ'",
	    "command" },
	{ 501, ADVICE_SCOPE_HOST, "5.5.4", "Invalid domain name", "hostname" },
	{ 501, ADVICE_SCOPE_NONE, "5.5.4", "Unrecognized parameter",
	    "parameters" },
	{ 501, ADVICE_SCOPE_MESSAGE, "5.1.7", "Invalid address", "malformed" },
	{ 550, ADVICE_SCOPE_MESSAGE, "5.1.7", "Invalid address", "malformed" },
	{ 501, ADVICE_SCOPE_ACCOUNT, "5.5.124", "Invalid XOAUTH2 auth data",
	    "XOAUTH2" },
	{ 501, ADVICE_SCOPE_ACCOUNT, "5.5.127",
	    "Invalid XOAUTH2 auth data - Token will expire soon",
	    "ends too soon" },
	{ 503, ADVICE_SCOPE_NONE, "5.5.2", "Send hello first",
	    "did not expect" },
	{ 504, ADVICE_SCOPE_ACCOUNT, "5.7.4",
	    "Unrecognized authentication type", "XOAUTH2" },
	{ 530, ADVICE_SCOPE_ACCOUNT, "5.7.57",
	    "Client not authenticated to send mail. Error: 535 5.7.3 "
	    "Authentication unsuccessful",
	    "before the sign-in" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.3", "Authentication unsuccessful",
	    "SMTP.SendAsApp" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, SmtpClientAuthentication is "
	    "disabled for the Tenant. Visit "
	    "https://aka.ms/smtp_auth_disabled for more information.",
	    "for the organization" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, SmtpClientAuthentication is "
	    "disabled for the Mailbox. Visit "
	    "https://aka.ms/smtp_auth_disabled for more information.",
	    "for this mailbox" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, basic authentication is disabled.",
	    "client_secret_file" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, the user credentials were "
	    "incorrect.",
	    "password_file" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, user is locked by your "
	    "organization's security defaults policy. Contact your "
	    "administrator.",
	    "security defaults" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, the request did not meet the "
	    "criteria to be authenticated successfully.",
	    "Conditional Access" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, federated STS service was "
	    "unreachable.",
	    "federation" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, the federated STS URL does not "
	    "support HTTPS.",
	    "not https" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "5.7.139",
	    "Authentication unsuccessful, new reason", "Sign-in logs" },
	{ 535, ADVICE_SCOPE_ACCOUNT, "", "no", "credentials" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.30",
	    "Basic authentication is not supported for Client Submission.",
	    "retired" },
	{ 554, ADVICE_SCOPE_MESSAGE, "5.2.252",
	    "SendAsDenied; a@x.example not allowed to send as b@y.example; "
	    "STOREDRV.Submission.Exception:"
	    "SendAsDeniedException.MapiExceptionSendAsDenied",
	    "Add-RecipientPermission" },
	{ 554, ADVICE_SCOPE_MESSAGE, "5.2.0",
	    "STOREDRV.Submission.Exception:"
	    "SendAsDeniedException.MapiExceptionSendAsDenied; Failed to "
	    "process message due to a permanent exception",
	    "Add-RecipientPermission" },
	{ 550, ADVICE_SCOPE_MESSAGE, "5.7.60",
	    "SMTP; Client does not have permissions to send as this sender",
	    "Add-RecipientPermission" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.1.90",
	    "Your message can't be sent because you've reached your daily "
	    "limit for message recipients",
	    "10,000 recipients" },
	{ 554, ADVICE_SCOPE_ACCOUNT, "5.2.0",
	    "STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
	    "30 messages a minute" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.2.2", "Submission quota exceeded",
	    "30 messages a minute" },
	{ 554, ADVICE_SCOPE_ACCOUNT, "5.2.2", "mailbox full", "Sent Items" },
	{ 554, ADVICE_SCOPE_ACCOUNT, "5.2.2",
	    "STOREDRV.Submission.Exception:"
	    "QuotaExceededException.MapiExceptionShutoffQuotaExceeded",
	    "Sent Items" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.1.8",
	    "Access denied, bad outbound sender", "spam" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.502", "Access denied, banned sender",
	    "banned" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.511", "Access denied, banned sender",
	    "banned" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.705",
	    "Access denied, tenant has exceeded threshold", "sent too much" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.708",
	    "Access denied, traffic not accepted from this IP", "trial" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.750",
	    "Service unavailable. Client blocked from sending from "
	    "unregistered domains",
	    "not registered" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.233",
	    "Your message can't be sent because your tenant exceeded its "
	    "daily limit for sending email to external recipients",
	    "external recipients" },
	{ 550, ADVICE_SCOPE_ACCOUNT, "5.7.236", "limit for onmicrosoft.com",
	    "onmicrosoft.com" },
	{ 550, ADVICE_SCOPE_MESSAGE, "5.5.3", "Too many recipients",
	    "RecipientLimits" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.1.10",
	    "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP "
	    "address lookup",
	    "no such recipient" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.1.1",
	    "RESOLVER.ADR.RecipientNotFound; not found", "no such recipient" },
	{ 550, ADVICE_SCOPE_MESSAGE, "5.1.20",
	    "Multiple From addresses are not allowed without Sender address",
	    "several addresses" },
	{ 550, ADVICE_SCOPE_MESSAGE, "5.7.512",
	    "Access denied, message must be RFC 5322 section 3.6.2 compliant "
	    "and include a valid From address",
	    "From header" },
	{ 552, ADVICE_SCOPE_MESSAGE, "5.3.4",
	    "Message size exceeds fixed maximum message size",
	    "too large for the server" },
	{ 552, ADVICE_SCOPE_MESSAGE, "5.3.4",
	    "Header size exceeds fixed maximum size", "header of the message" },
	{ 554, ADVICE_SCOPE_MESSAGE, "5.2.0",
	    "STOREDRV.Submission.Exception:MessageSubmissionExceededException."
	    "MapiExceptionMaxSubmissionExceeded",
	    "MaxSendSize" },
	{ 554, ADVICE_SCOPE_MESSAGE, "5.6.0",
	    "Invalid message content when handling MIME exception. IMC53",
	    "MIME" },
	{ 554, ADVICE_SCOPE_MESSAGE, "5.6.211",
	    "Invalid MIME Content: Single text value size (33061) exceeded "
	    "allowed maximum (32768) for the 'X' header",
	    "32,768" },
	{ 550, ADVICE_SCOPE_HOST, "5.7.68",
	    "TenantInboundAttribution; Direct Send not allowed for this "
	    "organization from unauthorized sources",
	    "RejectDirectSend" },
	{ 550, ADVICE_SCOPE_HOST, "5.7.51",
	    "TenantInboundAttribution; There is a partner connector "
	    "configured that matched",
	    "partner connector" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.7.64",
	    "TenantAttribution; Relay Access Denied", "external recipient" },
	{ 550, ADVICE_SCOPE_MESSAGE, "5.7.64",
	    "TenantAttribution; Relay Access Denied ATTR36.",
	    "accepted domain" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.4.1",
	    "Recipient address rejected: Access denied.",
	    "in the organization" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.4.1", "Relay Access Denied",
	    "recipient's domain" },
	{ 550, ADVICE_SCOPE_HOST, "5.7.606",
	    "Access denied, banned sending IP [192.0.2.1]. (AS16012609)",
	    "sender.office.com" },
	{ 550, ADVICE_SCOPE_HOST, "5.7.649",
	    "Access denied, banned sending IP [192.0.2.1]",
	    "sender.office.com" },
	{ 550, ADVICE_SCOPE_HOST, "5.7.1",
	    "Service unavailable, Client host [192.0.2.1] blocked using "
	    "Spamhaus",
	    "block list" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.7.1", "Unable to relay",
	    "does not forward" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.7.1",
	    "Delivery not authorized, message refused", "does not take mail" },
	{ 550, ADVICE_SCOPE_MESSAGE, "5.7.509",
	    "Access denied, sending domain example.com does not pass DMARC "
	    "verification and has a DMARC policy of reject",
	    "DMARC" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.5.0",
	    "Requested action not taken: mailbox unavailable",
	    "no such recipient" },
	{ 550, ADVICE_SCOPE_RECIPIENT, "5.7.134",
	    "RESOLVER.RST.SenderNotAuthenticatedForMailbox; authentication "
	    "required",
	    "signed-in" },
};

static bool
holds(const struct advice *advice, const char *piece)
{
	return strstr(advice->meaning, piece) != NULL ||
	    strstr(advice->cure, piece) != NULL;
}

static void
test_known_replies_get_their_advice(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *e = &examples[i];
		const struct advice *advice =
		    advice_smtp(e->code, e->dsn, e->text);

		if (advice == NULL || !holds(advice, e->want))
			fail_msg("%d %s %s: not \"%s\" but \"%s\"", e->code,
			    e->dsn, e->text, e->want,
			    advice != NULL ? advice->meaning : "nothing");
		else if (advice->scope != e->scope)
			fail_msg("%d %s %s: scope %d", e->code, e->dsn, e->text,
			    advice->scope);
	}
}

static void
test_text_is_matched_in_any_case_and_place(void **state)
{
	const struct advice *advice = advice_smtp(550, "5.7.1",
	    "CLIENT HOST [192.0.2.1] BLOCKED USING SPAMHAUS" TRAILER);

	(void)state;
	assert_non_null(advice);
	assert_true(holds(advice, "block list"));
}

static void
test_unknown_replies_get_none(void **state)
{
	static const struct example unknown[] = {
		{ .code = 550, .dsn = "5.9.9", .text = "new" },
		{ .code = 250, .dsn = "2.0.0", .text = "OK" },
		{ .code = 550, .dsn = "", .text = "" },
		{ .code = 550, .dsn = "5.7.605", .text = "" },
		{ .code = 550, .dsn = "5.7.650", .text = "" },
		{ .code = 550, .dsn = "5.7.", .text = "" },
		{ .code = 550, .dsn = "5.7.60x", .text = "" },
		{ .code = 550, .dsn = "5.7.99999999999999999999", .text = "" },
		{ .code = 550, .dsn = "5", .text = "" },
		{ .code = 550, .dsn = "5.7.606-649x", .text = "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		if (advice_smtp(unknown[i].code, unknown[i].dsn,
			unknown[i].text) != NULL)
			fail_msg("%s has advice", unknown[i].dsn);
}

/* The dsn of a row as a server would send it: class 5, first of a range. */
static void
make_dsn(const struct smtp_row *row, struct buf *out)
{
	const char *dsn = row->dsn != NULL ? row->dsn : "";
	const char *dash = strchr(dsn, '-');

	assert_int_equal(buf_add(out, dsn,
			     dash != NULL ? (size_t)(dash - dsn) : strlen(dsn)),
	    0);
	if (out->len > 0 && out->s[0] == '*')
		out->s[0] = '5';
}

static void
test_no_row_hides_behind_another(void **state)
{
	size_t count;
	const struct smtp_row *rows = rows_smtp(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const char *text = rows[i].text != NULL ? rows[i].text : "";
		int code = rows[i].code != 0 ? rows[i].code : 599;
		struct buf dsn;

		buf_init(&dsn, 64);
		make_dsn(&rows[i], &dsn);
		if (advice_smtp(code, dsn.s, text) != rows[i].advice)
			fail_msg("row %zu, %d %s %s, is never reached", i, code,
			    dsn.s, text);
		buf_done(&dsn);
	}
}

static void
check_text(const char *text, const char *where)
{
	struct span s = span_of(text);

	if (s.len == 0 || s.len >= TEXT_MAX || ascii_has_control(s) ||
	    ascii_has_8bit(s) || text[s.len - 1] == '.' ||
	    strstr(text, "  ") != NULL)
		fail_msg("%s: \"%s\"", where, text);
}

static void
test_texts_are_short_single_lines(void **state)
{
	size_t count;
	const struct smtp_row *smtp = rows_smtp(&count);
	const struct aadsts_row *aadsts;

	(void)state;
	for (size_t i = 0; i < count; i++) {
		check_text(smtp[i].advice->meaning, "meaning");
		check_text(smtp[i].advice->cure, "cure");
	}
	aadsts = rows_aadsts(&count);
	for (size_t i = 0; i < count; i++) {
		check_text(aadsts[i].advice.meaning, "meaning");
		check_text(aadsts[i].advice.cure, "cure");
	}
}

static void
test_aadsts_rows_are_sorted_and_reached(void **state)
{
	size_t count;
	const struct aadsts_row *rows = rows_aadsts(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			assert_true(
			    rows[i - 1].numbers[0] < rows[i].numbers[0]);
		for (size_t n = 0; n < ROWS_NUMBERS; n++)
			if (rows[i].numbers[n] != 0)
				assert_ptr_equal(
				    advice_aadsts(rows[i].numbers[n]),
				    &rows[i].advice);
	}
}

static void
test_aadsts_numbers_get_their_advice(void **state)
{
	static const struct {
		unsigned long number;
		const char *want;
	} cases[] = {
		{ 50126, "user or password" },
		{ 50196, "too often" },
		{ 53003, "Conditional Access" },
		{ 65001, "consent" },
		{ 700016, "client_id" },
		{ 7000112, "disabled" },
		{ 7000215, "Secret ID" },
		{ 7000222, "has expired" },
		{ 90002, "no such tenant" },
		{ 90033, "temporary" },
		{ 500011, "scope" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct advice *advice = advice_aadsts(cases[i].number);

		if (advice == NULL || !holds(advice, cases[i].want))
			fail_msg("AADSTS%lu", cases[i].number);
	}
	assert_null(advice_aadsts(0));
	assert_null(advice_aadsts(1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_replies_get_their_advice),
		cmocka_unit_test(test_text_is_matched_in_any_case_and_place),
		cmocka_unit_test(test_unknown_replies_get_none),
		cmocka_unit_test(test_no_row_hides_behind_another),
		cmocka_unit_test(test_texts_are_short_single_lines),
		cmocka_unit_test(test_aadsts_rows_are_sorted_and_reached),
		cmocka_unit_test(test_aadsts_numbers_get_their_advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
