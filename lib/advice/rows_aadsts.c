#include "advice/rows.h"

/* Entra's own list of error codes, sorted by the first number of a row. */
static const struct aadsts_row rows[] = {
	{ { 50001, 500011 },
	    { "the resource in scope is not known to this tenant",
		"check scope (https://outlook.office365.com/.default) and "
		"cloud; a tenant without Exchange Online cannot send",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50005, 50131, 50158 },
	    { "a Conditional Access rule stops this sign-in",
		"look the attempt up under Entra admin center > Sign-in logs "
		"and exclude the account from that rule",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50011 },
	    { "the redirect address is not registered for the application",
		"add http://localhost under Entra admin center > App "
		"registrations > APP > Authentication",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50012, 50013, 700027 },
	    { "the signature of the sign-in is not accepted: key or "
	      "certificate is unknown",
		"upload the certificate under Entra admin center > App "
		"registrations > APP > Certificates & secrets and check its "
		"thumbprint",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50020 },
	    { "the account belongs to another tenant",
		"sign in with an account of this tenant, or correct tenant",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50034 },
	    { "there is no such user in this tenant", "check user and tenant",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50053 },
	    { "the account is locked, or the sign-in came from an address "
	      "known for attacks",
		"wait some minutes; then look the attempt up under Entra "
		"admin center > Sign-in logs",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50055, 50135, 50144 },
	    { "the password has expired or must be changed",
		"change the password, then sign in again",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50057 },
	    { "the account is disabled",
		"enable it: Microsoft 365 admin center > Users > Active users",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50059, 50128 },
	    { "the request does not say which tenant",
		"set tenant to the tenant's GUID or one of its domains",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50072, 50074, 50076, 50078, 50079 },
	    { "the sign-in needs multi-factor authentication",
		"sign in with a client secret, which needs none",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50089 },
	    { "the sign-in took too long", "sign in again",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50097 },
	    { "a rule demands a registered device",
		"exclude the account from that rule: Entra admin center > "
		"Conditional Access",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50105 },
	    { "the user is not assigned to the application",
		"assign it: Entra admin center > Enterprise applications > "
		"APP > Users and groups",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50126 },
	    { "user or password is wrong",
		"correct them, or use a client secret",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50132, 50133, 50173 },
	    { "the sign-in was revoked, often because the password changed",
		"sign in again", ADVICE_SCOPE_ACCOUNT } },
	{ { 50194 },
	    { "the application belongs to one tenant and was asked for "
	      "without it",
		"set tenant to the tenant's GUID or one of its domains",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 50196 },
	    { "the same request came too often",
		"wait; if it repeats, make state_directory writable so that "
		"tokens are kept",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 53000, 53001, 53002, 53004 },
	    { "a Conditional Access rule demands a managed device or more "
	      "proof",
		"exclude the account or application from that rule: Entra "
		"admin center > Conditional Access",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 53003, 530003 },
	    { "a Conditional Access rule blocks this sign-in",
		"look the attempt up under Entra admin center > Sign-in logs "
		"and exclude the account or application from that rule",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 54005 },
	    { "the sign-in code has been used before", "sign in again",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 65001, 65004 },
	    { "nobody has consented to the application's permissions",
		"grant it: Entra admin center > App registrations > APP > API "
		"permissions > Grant admin consent",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 65005, 650056, 650057 },
	    { "the application lacks a permission that it asks for",
		"add Office 365 Exchange Online > Application permissions > "
		"SMTP.SendAsApp under Entra admin center > App registrations "
		"> APP > API permissions, then grant admin consent",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70000, 70008, 700082 },
	    { "the stored sign-in is no longer valid", "sign in again",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70001, 700016 },
	    { "the application is not known in this tenant",
		"check client_id (Application (client) ID, not Object ID) and "
		"tenant; an application of another tenant needs admin consent "
		"first",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70002 },
	    { "the application's credential is wrong",
		"check client_secret_file: it holds the secret's Value, not "
		"its Secret ID",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70003 },
	    { "this way to sign in is not known to Entra",
		"check authority; else report it as a bug of sendmail365",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70011 },
	    { "scope is wrong",
		"set scope = https://outlook.office365.com/.default, or leave "
		"it out",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70016 },
	    { "the sign-in has not been finished in the browser yet",
		"finish it there", ADVICE_SCOPE_ACCOUNT } },
	{ { 70018, 70019 },
	    { "the sign-in code is wrong or has expired", "sign in again",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70021, 700211, 700213 },
	    { "no federated credential matches issuer, subject and audience "
	      "of this token",
		"correct it under Entra admin center > App registrations > "
		"APP > Certificates & secrets > Federated credentials",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 70043 },
	    { "a rule about sign-in frequency has ended the sign-in",
		"sign in again, or use a client secret",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 90002 },
	    { "there is no such tenant",
		"check tenant (GUID or domain, see Entra admin center > "
		"Overview) and cloud",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 90006, 90024, 90033, 90055, 90090 },
	    { "a temporary fault of Entra", "nothing; it is tried again later",
		ADVICE_SCOPE_NONE } },
	{ { 90014, 900144 },
	    { "the request lacks a part",
		"check that tenant, client_id and scope are set; else report "
		"it as a bug of sendmail365",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 90038 },
	    { "the tenant belongs to another cloud",
		"set cloud to the tenant's: us-gov-high, us-gov-dod or china",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 90061 },
	    { "Entra cannot reach the issuer of the federated token",
		"check that the issuer's address is reachable from the "
		"Internet",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 90072 },
	    { "the account is not known in this tenant",
		"sign in with another account, or correct tenant",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 90094 },
	    { "an administrator must consent to the application",
		"grant it: Entra admin center > App registrations > APP > API "
		"permissions > Grant admin consent",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 501481 },
	    { "the sign-in was finished by another request than the one "
	      "that began it",
		"sign in again", ADVICE_SCOPE_ACCOUNT } },
	{ { 530032, 530034, 530035 },
	    { "a security policy of the organization blocks this sign-in",
		"look the attempt up under Entra admin center > Sign-in logs, "
		"and at security defaults under Overview > Properties",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 700022 },
	    { "scope names more than one resource",
		"set scope = https://outlook.office365.com/.default",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 700023 },
	    { "the sign-in is meant for another address",
		"check authority and tenant", ADVICE_SCOPE_ACCOUNT } },
	{ { 700024 },
	    { "the sign-in is too old or not valid yet",
		"correct this host's clock: timedatectl",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 700025 },
	    { "the application is a public client and may not send a secret",
		"take the application that has the secret: check client_id",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 700030 },
	    { "the certificate's subject is not allowed for this application",
		"use the certificate that is registered under Entra admin "
		"center > App registrations > APP > Certificates & secrets",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 700229 },
	    { "only a token of an application can serve as federated "
	      "credential",
		"check which token is used", ADVICE_SCOPE_ACCOUNT } },
	{ { 900382, 900432 },
	    { "the application belongs to another cloud than the tenant",
		"register the application in the tenant's own cloud",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 7000112 },
	    { "the application is disabled",
		"enable it: Entra admin center > Enterprise applications > "
		"APP > Properties > Enabled for users to sign in",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 7000215 },
	    { "the client secret is wrong",
		"write the secret's Value, not its Secret ID, to "
		"client_secret_file; make a new one under Entra admin center "
		"> App registrations > APP > Certificates & secrets if it is "
		"lost",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 7000218 },
	    { "no secret reached Entra", "set client_secret_file",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 7000222 },
	    { "the client secret has expired",
		"make a new one under Entra admin center > App registrations "
		"> APP > Certificates & secrets and write its Value to "
		"client_secret_file",
		ADVICE_SCOPE_ACCOUNT } },
	{ { 9001023 },
	    { "this way to sign in needs a tenant of its own",
		"set tenant to the tenant's GUID or one of its domains, not "
		"common",
		ADVICE_SCOPE_ACCOUNT } },
};

const struct aadsts_row *
rows_aadsts(size_t *count)
{
	*count = sizeof(rows) / sizeof(rows[0]);
	return rows;
}
