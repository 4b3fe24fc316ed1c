#include "setup_steps.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "config/config.h"
#include "core/alloc.h"
#include "core/ascii.h"
#include "core/buf.h"
#include "mail/mailbox.h"
#include "mail/pattern.h"

enum {
	WORD_MAX = 2048
};

/* ---- words of PowerShell ---- */

/* Needs no quotes wherever it stands. */
static bool
is_plain(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.s[i]) &&
		    (i == 0 || strchr("@.-_+", s.s[i]) == NULL))
			return false;
	return true;
}

/* How long a single quote is that s begins with, or 0: U+2018 to U+201B are
 * some as well. */
static size_t
quote_length(struct span s)
{
	if (s.len > 0 && s.s[0] == '\'')
		return 1;
	return s.len >= 3 && memcmp(s.s, "\xe2\x80", 2) == 0 &&
		(unsigned char)s.s[2] >= 0x98 && (unsigned char)s.s[2] <= 0x9b
	    ? 3
	    : 0;
}

/* In single quotes nothing has a meaning but they themselves, which count once
 * where they stand twice. */
static char *
quoted(struct span s)
{
	struct buf b;

	if (is_plain(s))
		return xstrndup(s.s, s.len);
	buf_init(&b, WORD_MAX);
	(void)buf_putc(&b, '\'');
	for (size_t i = 0; i < s.len; i++) {
		const struct span rest = { s.s + i, s.len - i };

		(void)buf_add(&b, rest.s, quote_length(rest));
		(void)buf_putc(&b, s.s[i]);
	}
	(void)buf_putc(&b, '\'');
	return buf_take(&b);
}

/* The mailbox that signs in. */
static char *
mailbox_word(const struct account *a)
{
	struct buf b;
	char *word;

	if (a->is_sender)
		return xstrdup("MAILBOX");
	buf_init(&b, WORD_MAX);
	(void)mailbox_write_address(&b, &a->user);
	word = quoted(buf_view(&b));
	buf_done(&b);
	return word;
}

/* ---- the steps ---- */

static void
print_application(FILE *to, const struct account *a)
{
	(void)fprintf(to,
	    "1. Entra admin center > App registrations > the one with the\n"
	    "   application (client) ID %s\n"
	    "   - API permissions > Add a permission > APIs my organization "
	    "uses >\n"
	    "     Office 365 Exchange Online > Application permissions: "
	    "SMTP.SendAsApp;\n"
	    "     then Grant admin consent\n"
	    "   - Certificates & secrets: note the day on which the client "
	    "secret expires;\n"
	    "     mail waits from then on until there is a new one\n"
	    "2. Entra admin center > Enterprise applications > the same one: "
	    "its Object ID\n"
	    "   is OBJECT_ID below; the one under App registrations is "
	    "another, and fails\n",
	    a->client_id);
}

static void
print_mailbox_permission(FILE *to, const struct account *a, const char *mailbox)
{
	char *tenant = quoted(span_of(a->tenant));

	(void)fprintf(to,
	    "       Connect-ExchangeOnline -Organization %s\n"
	    "       New-ServicePrincipal -AppId %s -ObjectId OBJECT_ID\n"
	    "       Add-MailboxPermission -Identity %s -User OBJECT_ID "
	    "-AccessRights FullAccess\n",
	    tenant, a->client_id, mailbox);
	free(tenant);
}

/* For other addresses in From; a pattern is not an address. */
static void
print_send_as(FILE *to, const struct account *a, const char *mailbox)
{
	for (size_t i = 0; i < a->send_as.count; i++) {
		const struct pattern *p = &a->send_as.items[i];
		char *other;

		if (a->is_sender || p->kind != PATTERN_ADDRESS ||
		    p->local == NULL || strchr(p->text, '*') != NULL)
			continue;
		other = quoted(span_of(p->text));
		(void)fprintf(to,
		    "       Add-RecipientPermission -Identity %s -Trustee %s "
		    "-AccessRights SendAs\n",
		    other, mailbox);
		free(other);
	}
}

static void
print_exchange(FILE *to, const struct account *a)
{
	char *mailbox = mailbox_word(a);

	(void)fprintf(to, "%s Exchange Online PowerShell%s:\n\n",
	    a->auth == AUTH_CLIENT_SECRET ? "3." : "1.",
	    a->is_sender ? ", for each MAILBOX that sends" : "");
	if (a->auth == AUTH_CLIENT_SECRET)
		print_mailbox_permission(to, a, mailbox);
	else
		(void)fprintf(to, "       Connect-ExchangeOnline\n");
	(void)fprintf(to,
	    "       Set-CASMailbox -Identity %s "
	    "-SmtpClientAuthenticationDisabled $false\n",
	    mailbox);
	print_send_as(to, a, mailbox);
	(void)fprintf(to, "\n   It may be an hour before this takes effect.\n");
	free(mailbox);
}

static void
print_password_rules(FILE *to)
{
	(void)fprintf(to,
	    "2. A password is refused where the tenant has security defaults, "
	    "or where\n"
	    "   multi-factor authentication, a Conditional Access rule or an "
	    "authentication\n"
	    "   policy applies to the mailbox: exclude it there, or use "
	    "OAuth\n");
}

static void
print_account(FILE *to, const struct account *a)
{
	char *title = config_account_title(a);

	(void)fprintf(to, "\n");
	if (a->auth == AUTH_CLIENT_SECRET) {
		(void)fprintf(to, "At Microsoft, once, for %s:\n\n", title);
		print_application(to, a);
		print_exchange(to, a);
	} else if (a->auth == AUTH_PASSWORD && check_loses_passwords(a)) {
		(void)fprintf(to, "At Microsoft, once, for %s:\n\n", title);
		print_exchange(to, a);
		print_password_rules(to);
	} else {
		(void)fprintf(
		    to, "For %s there is nothing to do at Microsoft.\n", title);
	}
	free(title);
}

void
setup_steps(FILE *to, const struct config *config)
{
	for (size_t i = 0; i < config->account_count; i++)
		print_account(to, &config->accounts[i]);
}
