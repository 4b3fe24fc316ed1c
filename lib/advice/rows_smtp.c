#include "advice/rows.h"

/* Advice that several rows share. */
static const struct advice logon_failed = {
	"the application may not open this mailbox; that does not "
	"pass by itself",
	"run Add-MailboxPermission -Identity MAILBOX -User OBJECT_ID "
	"-AccessRights FullAccess with the object id that "
	"Get-ServicePrincipal shows for the application",
	ADVICE_SCOPE_ACCOUNT
};

static const struct advice expired = {
	"the message could not be delivered for a day and has expired",
	"read the bounce for the reason that the recipient's server "
	"gave",
	ADVICE_SCOPE_RECIPIENT
};

static const struct advice held_back = {
	"this host's address is new or suspect to Exchange and held "
	"back",
	"nothing for the first hours; if it lasts, send through SMTP "
	"AUTH or set up an inbound connector for this address",
	ADVICE_SCOPE_HOST
};

static const struct advice send_as_denied = {
	"the mailbox may not send with this From address",
	"run Add-RecipientPermission -Identity FROM_ADDRESS -Trustee "
	"MAILBOX -AccessRights SendAs, or take the address out of "
	"send_as so that From is rewritten",
	ADVICE_SCOPE_MESSAGE
};

static const struct advice too_many = {
	"the mailbox has sent too many messages or to too many "
	"recipients",
	"wait: 30 messages a minute and 10,000 recipients a day are "
	"allowed; spread the load over more mailboxes",
	ADVICE_SCOPE_ACCOUNT
};

static const struct advice too_large = {
	"the message is larger than this mailbox may send",
	"run Set-Mailbox -Identity MAILBOX -MaxSendSize 150MB (35 MB "
	"is the default, and encoding adds a third)",
	ADVICE_SCOPE_MESSAGE
};

static const struct advice mailbox_full = {
	"the sending mailbox is full, often with the copies in Sent "
	"Items",
	"empty Sent Items, or put a retention policy on it; see "
	"Get-EXOMailboxStatistics MAILBOX",
	ADVICE_SCOPE_ACCOUNT
};

static const struct advice loop = { "the message goes round in a circle",
	"look at forwarding rules, connectors and MX records of the "
	"recipient",
	ADVICE_SCOPE_RECIPIENT };

static const struct advice no_direct_send = {
	"the organization refuses Direct Send from hosts that it does "
	"not know",
	"send through SMTP AUTH, set up an inbound connector for this "
	"host, or run Set-OrganizationConfig -RejectDirectSend $false",
	ADVICE_SCOPE_HOST
};

static const struct advice smtp_auth_off = {
	"SMTP AUTH is switched off for this mailbox",
	"run Set-CASMailbox -Identity MAILBOX "
	"-SmtpClientAuthenticationDisabled $false (takes up to an "
	"hour); OAuth needs it too",
	ADVICE_SCOPE_ACCOUNT
};

static const struct advice banned = {
	"Exchange has banned the account, the address or the domain "
	"for abuse",
	"find and stop what sends spam, then call Microsoft support "
	"or write to delist@microsoft.com",
	ADVICE_SCOPE_ACCOUNT
};

/* Sources: the NDR list of Exchange Online and replies seen in public. */
static const struct smtp_row rows[] = {
	/* Class 4: Exchange may take it later. */
	{ 430, "4.2.0", NULL, &logon_failed },
	{ 421, "4.3.2", NULL,
	    &(const struct advice){
		"this front end of Exchange is out of service",
		"nothing; another address or a later attempt helps",
		ADVICE_SCOPE_HOST } },
	{ 432, "4.3.2", "recipient thread limit",
	    &(const struct advice){
		"the receiving mailbox gets more mail at once than Exchange "
		"delivers",
		"nothing; it is tried again later", ADVICE_SCOPE_RECIPIENT } },
	{ 432, "4.3.2", NULL,
	    &(const struct advice){
		"more than 3 connections send for this mailbox at the same "
		"time",
		"send less at once: see which other programs sign in as this "
		"mailbox, or spread the load over more mailboxes",
		ADVICE_SCOPE_ACCOUNT } },
	{ 421, "4.4.1", NULL,
	    &(const struct advice){
		"the server ended a session that lasted too long",
		"nothing; it is tried again on a new connection",
		ADVICE_SCOPE_HOST } },
	{ 421, "4.4.2", NULL,
	    &(const struct advice){ "the connection broke or was idle too long",
		"if it happens every time, look for a firewall or proxy that "
		"cuts or inspects connections to port 587 or 25",
		ADVICE_SCOPE_HOST } },
	{ 0, "4.4.7", NULL, &expired },
	{ 0, "4.4.8", NULL,
	    &(const struct advice){
		"the recipient's server does not meet the MTA-STS policy of "
		"its domain",
		"tell the recipient's postmaster", ADVICE_SCOPE_RECIPIENT } },
	{ 451, "4.4.62", NULL,
	    &(const struct advice){
		"the server cannot tell which organization this mail belongs "
		"to: the MX or the connector's address or certificate is wrong",
		"check the domain's MX record, and the connector with "
		"Get-InboundConnector | fl "
		"SenderIPAddresses,TlsSenderCertificateName",
		ADVICE_SCOPE_HOST } },
	{ 0, "4.4.316-317", NULL,
	    &(const struct advice){
		"Exchange cannot reach the recipient's server, or not with TLS",
		"tell the recipient's postmaster", ADVICE_SCOPE_RECIPIENT } },
	{ 452, "4.5.3", NULL,
	    &(const struct advice){ "too many recipients for one message",
		"nothing; those that are left are sent in the next one. Lower "
		"recipients_per_message to avoid the question",
		ADVICE_SCOPE_RECIPIENT } },
	{ 451, "4.7.0", "PRX",
	    &(const struct advice){
		"Exchange cannot reach the mailbox's server; for an "
		"unlicensed shared mailbox or an address that is an alias "
		"this never passes",
		"wait; if it lasts longer than an hour, check that user is "
		"the primary address of a licensed mailbox: Get-EXOMailbox "
		"ADDRESS",
		ADVICE_SCOPE_ACCOUNT } },
	{ 451, "4.7.0", NULL,
	    &(const struct advice){ "a temporary fault of the server",
		"nothing; it is tried again later", ADVICE_SCOPE_HOST } },
	{ 454, "4.7.0", NULL,
	    &(const struct advice){
		"Exchange cannot check sign-ins at the moment",
		"nothing; it is tried again later", ADVICE_SCOPE_ACCOUNT } },
	{ 450, "4.7.26", NULL,
	    &(const struct advice){
		"mail over IPv6 must pass SPF or DKIM, and this message does "
		"not",
		"send over IPv4, or add this host's IPv6 address to the SPF "
		"record of the sender's domain",
		ADVICE_SCOPE_HOST } },
	{ 421, "4.7.66", NULL,
	    &(const struct advice){ "TLS 1.0 and 1.1 are not accepted",
		"let this host's OpenSSL use TLS 1.2 or newer, and check for "
		"a proxy that lowers the version",
		ADVICE_SCOPE_HOST } },
	{ 451, "4.7.651", NULL,
	    &(const struct advice){
		"this host's address is slowed down because of its reputation",
		"send through SMTP AUTH instead of port 25; the limit rises "
		"when little of the mail is reported",
		ADVICE_SCOPE_HOST } },
	{ 451, "4.7.500-699", NULL, &held_back },
	{ 451, "4.7.850-899", NULL, &held_back },

	/* Either class, as the sources disagree or both occur. */
	{ 0, "*.2.121-122", NULL,
	    &(const struct advice){
		"the receiving mailbox has had its share of mail for this hour",
		"send less to this recipient; the limit passes within an hour",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "*.7.5", NULL,
	    &(const struct advice){
		"the recipient's server failed a check of its TLS certificate",
		"tell the recipient's postmaster", ADVICE_SCOPE_RECIPIENT } },
	{ 0, "*.7.25", NULL,
	    &(const struct advice){
		"this host's IPv6 address has no name in DNS (PTR record)",
		"let Direct Send use IPv4, or ask your provider for a PTR "
		"record",
		ADVICE_SCOPE_HOST } },
	{ 0, "*.7.321-325", NULL,
	    &(const struct advice){
		"the recipient's server failed a DANE check",
		"tell the recipient's postmaster", ADVICE_SCOPE_RECIPIENT } },

	/* Class 5: addresses and mailboxes. */
	{ 0, "5.1.1", NULL,
	    &(const struct advice){ "there is no such recipient",
		"correct the address; if it is right, look for it with "
		"Get-EXORecipient ADDRESS",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.1.7", NULL,
	    &(const struct advice){ "the sender's address is malformed",
		"give the sender a complete address such as name@example.com, "
		"or set [rewrite] domain",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.1.8", NULL,
	    &(const struct advice){
		"the mailbox is blocked because it sent what looked like spam",
		"change its secret or password, find what sent, then remove "
		"the block at "
		"https://security.microsoft.com/restrictedentities",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.1.10", NULL,
	    &(const struct advice){ "there is no such recipient",
		"correct the address; if it is right, look for it with "
		"Get-EXORecipient ADDRESS",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.1.20", NULL,
	    &(const struct advice){
		"From has several addresses and there is no Sender",
		"let the program write one address into From, or add a Sender "
		"header",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.1.90", NULL,
	    &(const struct advice){
		"the mailbox has used up its 10,000 recipients of this day",
		"wait up to 24 hours, send less, or spread the load over more "
		"mailboxes",
		ADVICE_SCOPE_ACCOUNT } },
	{ 554, "5.2.0", "SendAsDenied", &send_as_denied },
	{ 554, "5.2.0", "SubmissionQuotaExceeded", &too_many },
	{ 554, "5.2.0", "MaxSubmissionExceeded", &too_large },
	{ 554, "5.2.0", "QuotaExceeded", &mailbox_full },
	{ 0, "5.2.2", "Submission quota", &too_many },
	{ 0, "5.2.2", "SubmissionQuotaExceeded", &too_many },
	{ 554, "5.2.2", NULL, &mailbox_full },
	{ 0, "5.2.3", NULL, &too_large },
	{ 0, "5.2.252", NULL, &send_as_denied },

	/* Class 5: size, routing, protocol, content. */
	{ 500, "5.3.3", NULL,
	    &(const struct advice){ "the server does not know a command",
		"look for a firewall or proxy that changes SMTP ('ESMTP "
		"inspection'); else report it as a bug of sendmail365",
		ADVICE_SCOPE_NONE } },
	{ 552, "5.3.4", "Header size",
	    &(const struct advice){ "the header of the message is too large",
		"let the program write fewer or shorter header fields: 256 KB "
		"is the limit for all",
		ADVICE_SCOPE_MESSAGE } },
	{ 552, "5.3.4", NULL,
	    &(const struct advice){ "the message is too large for the server",
		"send a link instead of the attachment, or raise the limit "
		"with Set-Mailbox -Identity MAILBOX -MaxSendSize 150MB",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.4.1", "Relay Access Denied",
	    &(const struct advice){
		"this server does not take mail for the recipient's domain",
		"check the address and the domain's MX record",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.4.1", NULL,
	    &(const struct advice){
		"there is no such recipient in the organization",
		"correct the address; if it is right, look for it with "
		"Get-EXORecipient ADDRESS (a new one takes up to a day to be "
		"known at the edge)",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.4.6", NULL, &loop },
	{ 0, "5.4.14", NULL, &loop },
	{ 0, "5.4.300", NULL, &expired },
	{ 550, "5.5.0", NULL,
	    &(const struct advice){ "there is no such recipient",
		"correct the address", ADVICE_SCOPE_RECIPIENT } },
	{ 503, "5.5.2", NULL,
	    &(const struct advice){
		"the server did not expect this command now",
		"look for a firewall or proxy that changes SMTP; else report "
		"it as a bug of sendmail365",
		ADVICE_SCOPE_NONE } },
	{ 550, "5.5.3", NULL,
	    &(const struct advice){
		"the message has more recipients than this mailbox may "
		"address at once",
		"lower recipients_per_message, or run Set-Mailbox -Identity "
		"MAILBOX -RecipientLimits 1000",
		ADVICE_SCOPE_MESSAGE } },
	{ 501, "5.5.4", "Invalid domain name",
	    &(const struct advice){
		"the server does not accept the name by which this host says "
		"hello",
		"give this host a proper name: see hostname -f",
		ADVICE_SCOPE_HOST } },
	{ 501, "5.5.4", NULL,
	    &(const struct advice){
		"the server does not understand an address or one of its "
		"parameters",
		"correct the sender's or recipient's address that the reply "
		"belongs to",
		ADVICE_SCOPE_NONE } },
	{ 500, "5.5.6", NULL,
	    &(const struct advice){
		"the access token is too long for the server's AUTH line",
		"take permissions that are not needed from the application in "
		"Entra: they make the token long",
		ADVICE_SCOPE_ACCOUNT } },
	{ 501, "5.5.124", NULL,
	    &(const struct advice){ "the server cannot read the XOAUTH2 data",
		"check that user is a plain address; else report it as a bug "
		"of sendmail365",
		ADVICE_SCOPE_ACCOUNT } },
	{ 501, "5.5.127", NULL,
	    &(const struct advice){
		"the access token ends too soon for this server",
		"nothing; a new token is requested. If it repeats, check this "
		"host's clock",
		ADVICE_SCOPE_ACCOUNT } },
	{ 554, "5.6.0", NULL,
	    &(const struct advice){
		"Exchange cannot read the message's MIME structure",
		"look at the message that the program made: over-long "
		"References, broken boundaries or encodings",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.6.11", NULL,
	    &(const struct advice){
		"the message holds line ends that the recipient's server "
		"refuses (bare LF)",
		"let the program end lines with CR LF or plain newline, not a "
		"mixture",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.6.211", NULL,
	    &(const struct advice){
		"one header field is longer than 32,768 bytes",
		"let the program shorten that field, often References or an "
		"X- header",
		ADVICE_SCOPE_MESSAGE } },

	/* Class 5: permission and policy. */
	{ 550, "5.7.1", "blocked using",
	    &(const struct advice){ "this host's address is on a block list",
		"use the link in the reply to have it removed, and send "
		"through SMTP AUTH meanwhile",
		ADVICE_SCOPE_HOST } },
	{ 550, "5.7.1", "relay",
	    &(const struct advice){
		"this server does not forward mail from here to that recipient",
		"send through SMTP AUTH, or set up an inbound connector for "
		"this host's address or certificate",
		ADVICE_SCOPE_RECIPIENT } },
	{ 550, "5.7.1", NULL,
	    &(const struct advice){
		"the recipient does not take mail from this sender",
		"let the recipient's owner allow the sender: for a group, "
		"Set-DistributionGroup GROUP "
		"-RequireSenderAuthenticationEnabled $false",
		ADVICE_SCOPE_RECIPIENT } },
	{ 451, "5.7.3", NULL,
	    &(const struct advice){
		"the server wants STARTTLS first, with TLS 1.2 or newer",
		"look for a firewall or proxy that removes STARTTLS ('ESMTP "
		"inspection')",
		ADVICE_SCOPE_HOST } },
	{ 535, "5.7.3", NULL,
	    &(const struct advice){
		"Exchange refuses the sign-in: token, permission or mailbox "
		"is wrong",
		"check the three: New-ServicePrincipal with the object id of "
		"Enterprise applications, Add-MailboxPermission MAILBOX -User "
		"OBJECT_ID -AccessRights FullAccess, and SMTP.SendAsApp with "
		"admin consent; or correct password_file",
		ADVICE_SCOPE_ACCOUNT } },
	{ 504, "5.7.4", NULL,
	    &(const struct advice){
		"the server does not offer this way to sign in",
		"check host (smtp.office365.com) and port (587); Exchange "
		"knows XOAUTH2 and LOGIN only, after STARTTLS",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.12", NULL,
	    &(const struct advice){
		"the recipient takes mail from inside the organization only",
		"send through SMTP AUTH, or let the recipient's owner allow "
		"the sender",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.13", NULL,
	    &(const struct advice){
		"the recipient takes mail from senders on its list only",
		"let the recipient's owner allow the sender",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.23", NULL,
	    &(const struct advice){
		"the sender's domain does not name this host in its SPF record",
		"add this host's address to it: v=spf1 ip4:ADDRESS "
		"include:spf.protection.outlook.com ~all",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.7.30", NULL,
	    &(const struct advice){
		"Exchange no longer takes passwords for sending mail (Basic "
		"authentication is retired)",
		"register an application in Entra and set tenant, client_id "
		"and client_secret_file instead of password_file",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.51", NULL,
	    &(const struct advice){
		"a partner connector restricts who may send to this "
		"organization",
		"add this host's address to it: Get-InboundConnector, then "
		"Set-InboundConnector NAME -SenderIPAddresses @{Add='ADDRESS'}",
		ADVICE_SCOPE_HOST } },
	{ 0, "5.7.57", NULL,
	    &(const struct advice){
		"mail was sent before the sign-in succeeded",
		"look at the error within the reply; check host, port, user "
		"and the credentials",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.60", NULL, &send_as_denied },
	{ 0, "5.7.64", "ATTR36",
	    &(const struct advice){
		"the sender's domain does not belong to the organization that "
		"the connector is for",
		"send from an accepted domain (Get-AcceptedDomain), or put "
		"that domain into the connector's certificate",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.7.64", NULL,
	    &(const struct advice){
		"this server does not forward mail from here to an external "
		"recipient",
		"send through SMTP AUTH; Direct Send reaches recipients of "
		"the own organization only (check internal_domains), unless "
		"there is an inbound connector",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.68", NULL, &no_direct_send },
	{ 0, "5.7.124", NULL,
	    &(const struct advice){
		"the recipient is a group, and the sender is not allowed to "
		"write to it",
		"let the group's owner add the sender to the allowed senders",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.133-136", NULL,
	    &(const struct advice){
		"the recipient takes mail from signed-in or listed senders "
		"only",
		"send through SMTP AUTH, or let the recipient's owner allow "
		"the sender",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.139", "disabled for the Tenant",
	    &(const struct advice){
		"SMTP AUTH is switched off for the organization and not "
		"switched on for this mailbox",
		"run Set-CASMailbox -Identity MAILBOX "
		"-SmtpClientAuthenticationDisabled $false (takes up to an "
		"hour); OAuth needs it too",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.139", "disabled for the Mailbox", &smtp_auth_off },
	{ 0, "5.7.139", "basic authentication is disabled",
	    &(const struct advice){ "signing in with a password is not allowed",
		"register an application in Entra and set tenant, client_id "
		"and client_secret_file instead of password_file",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.139", "credentials were incorrect",
	    &(const struct advice){ "user or password is wrong",
		"correct user and password_file; stop other programs that use "
		"the old password, or the account gets locked",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.139", "security defaults",
	    &(const struct advice){
		"the organization's security defaults forbid signing in with "
		"a password",
		"register an application in Entra and set tenant, client_id "
		"and client_secret_file instead of password_file",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.139", "did not meet the criteria",
	    &(const struct advice){
		"a Conditional Access rule, an authentication policy or MFA "
		"stops this sign-in",
		"look the attempt up under Entra admin center > Sign-in logs; "
		"exclude the account from that policy, or sign in with a "
		"client secret",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.139", "STS service was unreachable",
	    &(const struct advice){
		"the organization's own sign-in server (federation) does not "
		"answer",
		"wait, or get that server running; a client secret does not "
		"need it",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.139", "does not support HTTPS",
	    &(const struct advice){
		"the address of the organization's own sign-in server "
		"(federation) is not https",
		"correct it: Get-MgDomainFederationConfiguration -DomainId "
		"DOMAIN",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.139", NULL,
	    &(const struct advice){
		"Exchange refuses this way to sign in: switched off, locked, "
		"expired or against a policy",
		"look the attempt up under Entra admin center > Sign-in logs, "
		"and at Get-CASMailbox MAILBOX | fl "
		"SmtpClientAuthenticationDisabled",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.232-233", NULL,
	    &(const struct advice){
		"the organization has used up its external recipients of "
		"these 24 hours",
		"wait, or buy licences: the limit grows with them. See "
		"Reports > Mail flow > Tenant outbound external recipients in "
		"the Exchange admin center",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.236", NULL,
	    &(const struct advice){
		"senders in an onmicrosoft.com domain may write to 100 "
		"external recipients a day",
		"give the mailbox a primary address in a domain of your own, "
		"and use it as user",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.501-503", NULL, &banned },
	{ 0, "5.7.504-505", NULL,
	    &(const struct advice){
		"Exchange does not deliver to this recipient",
		"correct the address, or ask Microsoft support",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.506", NULL,
	    &(const struct advice){
		"this host says hello with the server's own name",
		"give this host a proper name: see hostname -f",
		ADVICE_SCOPE_HOST } },
	{ 0, "5.7.507", NULL,
	    &(const struct advice){
		"the recipient's organization blocks this host's address",
		"ask the recipient's postmaster to allow it",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.508", NULL,
	    &(const struct advice){
		"this host's IPv6 network has sent too much",
		"let Direct Send use IPv4, or wait", ADVICE_SCOPE_HOST } },
	{ 0, "5.7.509", NULL,
	    &(const struct advice){
		"From fails the DMARC check of its domain, which asks to "
		"reject such mail",
		"send through SMTP AUTH, or put this host into the domain's "
		"SPF record",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.7.510", NULL,
	    &(const struct advice){
		"the recipient's domain takes no mail over IPv6",
		"let Direct Send use IPv4", ADVICE_SCOPE_HOST } },
	{ 0, "5.7.511", NULL,
	    &(const struct advice){ "Exchange has banned this sender",
		"find and stop what sends spam, then write to "
		"delist@microsoft.com with the whole reply",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.512", NULL,
	    &(const struct advice){
		"the From header is missing or holds no address",
		"let the program write From: Name <name@example.com>; a name "
		"with @ in it belongs in quotes",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.7.513", NULL,
	    &(const struct advice){
		"the recipient's organization blocks this host's address",
		"ask the recipient's postmaster to allow it",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.515", NULL,
	    &(const struct advice){
		"Outlook.com wants SPF, DKIM and DMARC of domains that send "
		"much",
		"publish all three for the sender's domain",
		ADVICE_SCOPE_MESSAGE } },
	{ 0, "5.7.606-649", NULL,
	    &(const struct advice){ "this host's address is banned by Exchange",
		"have it removed at https://sender.office.com, and send "
		"through SMTP AUTH meanwhile",
		ADVICE_SCOPE_HOST } },
	{ 0, "5.7.703", NULL,
	    &(const struct advice){
		"your organization's own block list stops this message",
		"look at the Tenant Allow/Block List: "
		"https://security.microsoft.com/tenantAllowBlockList",
		ADVICE_SCOPE_RECIPIENT } },
	{ 0, "5.7.705", NULL,
	    &(const struct advice){
		"the organization has sent too much, or too much of it as "
		"spam, and is stopped",
		"find compromised accounts, register all sending domains, "
		"then call Microsoft support",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.708", NULL,
	    &(const struct advice){
		"Exchange takes no mail from this address, as happens to new "
		"and trial organizations",
		"call Microsoft support; a paid licence ends it for most",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.750", NULL,
	    &(const struct advice){
		"the organization is stopped because it sends from domains "
		"that it has not registered",
		"add every sending domain under Microsoft 365 admin center > "
		"Settings > Domains, then call Microsoft support",
		ADVICE_SCOPE_ACCOUNT } },
	{ 0, "5.7.800", NULL, &banned },

	/* Without an enhanced code, or with one that is not listed. */
	{ 0, NULL, "SendAsDenied", &send_as_denied },
	{ 0, NULL, "MapiExceptionLogonFailed", &logon_failed },
	{ 0, NULL, "TransientException",
	    &(const struct advice){ "a temporary fault of the mailbox's server",
		"nothing; it is tried again later", ADVICE_SCOPE_NONE } },
	{ 0, NULL, "Direct Send not allowed", &no_direct_send },
	{ 0, NULL, "SmtpClientAuthentication is disabled", &smtp_auth_off },
	{ 421, NULL, NULL,
	    &(const struct advice){ "the server closes the connection",
		"nothing; it is tried again later", ADVICE_SCOPE_HOST } },
	{ 530, NULL, NULL,
	    &(const struct advice){ "the server wants a sign-in before mail",
		"check host, port, user and the credentials",
		ADVICE_SCOPE_ACCOUNT } },
	{ 535, NULL, NULL,
	    &(const struct advice){ "the server refuses the sign-in",
		"check user and the credentials", ADVICE_SCOPE_ACCOUNT } },
};

const struct smtp_row *
rows_smtp(size_t *count)
{
	*count = sizeof(rows) / sizeof(rows[0]);
	return rows;
}
