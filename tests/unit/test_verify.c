/* What config_parse() refuses because of several lines together. */
/* cmocka.h needs these before it.  clang-format would sort it first. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "core/alloc.h"
#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "mail/address.h"

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))

/* Accounts of three lines each. */
#define TITLED(title, user) title "\nuser = " user "\npassword_file = p\n"
#define MAIN                TITLED("[account]", "main@contoso.com")
#define SHOP                TITLED("[account shop]", "shop@contoso.com")
#define OTHER               TITLED("[account other]", "other@x.example")
#define COPY                TITLED("[account copy]", "main@contoso.com")
#define NONE                "[account n]\nuser = n@contoso.com\nauth = none\n"
#define X10                 "xxxxxxxxxx"
#define X50                 X10 X10 X10 X10 X10

/* Of five lines. */
#define SENDER                                                     \
	"[account all]\nuser = {sender}\nclient_secret_file = s\n" \
	"tenant = contoso.com\nclient_id = "                       \
	"11111111-2222-3333-4444-555555555555\n"

static struct config *
parse(const char *name, const char *text)
{
	struct config *c = NULL;
	struct failure f = { 0 };

	if (config_parse("t.conf", "/etc/s", span_of(text), &c, &f) == -1)
		fail_msg("%s: %s", name, f.text);
	return c;
}

struct refused {
	const char *name;
	const char *in;
	const char *want;
};

static void
check_all_refused(const struct refused *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct config *c = NULL;
		struct failure f = { 0 };

		if (config_parse(
			"t.conf", "/etc/s", span_of(rows[i].in), &c, &f) == 0)
			fail_msg("%s: accepted", rows[i].name);
		assert_null(c);
		assert_int_equal(f.kind, FAILURE_CONFIG);
		if (strcmp(f.text, rows[i].want) != 0)
			fail_msg("%s: got\n%s\nnot\n%s", rows[i].name, f.text,
			    rows[i].want);
	}
}

/* ---- accounts ---- */

static void
test_the_default_account(void **state)
{
	static const struct {
		const char *name;
		const char *in;
		size_t want;
	} rows[] = {
		{ "the only one", MAIN, 0 },
		{ "the only one, with a name", SHOP, 0 },
		{ "the one without a name",
		    MAIN SHOP "[route]\nrule = a shop\n", 0 },
		{ "the one without a name, in any order",
		    SHOP MAIN "[route]\nrule = a shop\n", 1 },
		{ "by name",
		    SHOP OTHER "[route]\nrule = a shop\n"
			       "default = other\n",
		    1 },
		{ "by address",
		    SHOP OTHER "[route]\nrule = a shop\n"
			       "default = Other@X.Example\n",
		    1 },
		{ "before the accounts",
		    "[route]\ndefault = other\n"
		    "rule = a shop\n" SHOP OTHER,
		    1 },
		{ "another than the one without a name",
		    MAIN SHOP "[route]\nrule = a main@contoso.com\n"
			      "default = shop\n",
		    1 },
		{ "{sender}",
		    SHOP SENDER "send_as = *\n[route]\nrule = a shop\n"
				"default = {sender}\n",
		    1 },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = parse(rows[i].name, rows[i].in);

		if (c->route_default.account != rows[i].want)
			fail_msg(
			    "%s: %zu", rows[i].name, c->route_default.account);
		config_free(&c);
	}
}

static void
test_rules_find_their_accounts(void **state)
{
	struct config *c = parse("all",
	    MAIN SHOP OTHER SENDER "send_as = @contoso.com\n[route]\n"
				   "rule = a shop\nrule = b SHOP@contoso.com\n"
				   "rule = c other\nrule = d {sender}\n"
				   "rule = e main@contoso.com\n");
	static const size_t want[] = { 1, 1, 2, 3, 0 };

	(void)state;
	assert_int_equal(c->route_rules.count, N_ELEMENTS(want));
	for (size_t i = 0; i < N_ELEMENTS(want); i++)
		assert_int_equal(c->route_rules.items[i].account, want[i]);
	config_free(&c);
}

static void
test_accounts_that_are_not_known(void **state)
{
#define NEITHER "\" is neither the name nor the user of an account; "
	static const struct refused rows[] = {
		{ "nearly a name", MAIN SHOP OTHER "[route]\nrule = a shopp\n",
		    "t.conf:11: rule: \"shopp" NEITHER
		    "did you mean \"shop\"?" },
		{ "no name is near", SHOP OTHER "[route]\nrule = a x\n",
		    "t.conf:8: rule: \"x" NEITHER "known are: shop, other" },
		{ "there are no names", MAIN "[route]\nrule = a shop\n",
		    "t.conf:5: rule: \"shop" NEITHER
		    "give one a name: [account NAME]" },
		{ "another letter", SHOP "[route]\nrule = a Shop\n",
		    "t.conf:5: rule: \"Shop" NEITHER "did you mean \"shop\"?" },
		{ "an address in send_as is no account",
		    MAIN "send_as = @x.org\n[route]\nrule = a b@x.org\n",
		    "t.conf:6: rule: \"b@x.org" NEITHER
		    "give one a name: [account NAME]" },
		{ "no account is {sender}", SHOP "[route]\nrule = a {sender}\n",
		    "t.conf:5: rule: \"{sender}" NEITHER "known are: shop" },
		{ "default", SHOP "[route]\ndefault = sop\n",
		    "t.conf:5: default: \"sop" NEITHER
		    "did you mean \"shop\"?" },
		{ "a name that is long",
		    TITLED("[account " X50 "]", "a@x.org")
			TITLED("[account " X50 X50 "]",
			    "b@x.org") "[route]\nrule = a " X50 "x\n",
		    "t.conf:8: rule: \"" X50 "x" NEITHER "known are: " X50
		    ", " X50 X50 },
		{ "nothing says which is the default", SHOP OTHER,
		    "t.conf:4: there are several accounts; say which one "
		    "sends what no rule means: default = NAME in [route]" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_accounts_that_nothing_leads_to(void **state)
{
	static const struct refused rows[] = {
		{ "a name", MAIN SHOP,
		    "t.conf:4: [account shop]: nothing leads to this account; "
		    "add a rule to [route], such as: rule = @DOMAIN shop" },
		{ "the first of two", MAIN SHOP OTHER,
		    "t.conf:4: [account shop]: nothing leads to this account; "
		    "add a rule to [route], such as: rule = @DOMAIN shop" },
		{ "the second of two",
		    MAIN SHOP OTHER "[route]\nrule = a shop\n",
		    "t.conf:7: [account other]: nothing leads to this "
		    "account; add a rule to [route], such as: rule = @DOMAIN "
		    "other" },
		{ "one without a name", MAIN SHOP "[route]\ndefault = shop\n",
		    "t.conf:1: [account]: nothing leads to this account; add "
		    "a rule to [route], such as: rule = @DOMAIN "
		    "main@contoso.com" },
		{ "one of two with the same user",
		    MAIN COPY "[route]\nrule = a MAIN@contoso.com\n",
		    "t.conf:4: [account copy]: nothing leads to this account; "
		    "add a rule to [route], such as: rule = @DOMAIN copy" },
		{ "the default behind a rule for all",
		    MAIN SHOP "[route]\nrule = a shop\nrule = * shop\n",
		    "t.conf:9: rule: \"*\" leaves nothing to [account], which "
		    "sends what no rule means; write default = shop in the "
		    "place of this rule" },
		{ "a default with a name behind a rule for all",
		    SHOP OTHER "[route]\ndefault = other\nrule = * shop\n",
		    "t.conf:9: rule: \"*\" leaves nothing to [account other], "
		    "which sends what no rule means; write default = shop in "
		    "the place of this rule" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

/* ---- the order of rules ---- */

#define REWRITE                                         \
	MAIN SHOP OTHER "[route]\nrule = user:a shop\n" \
			"rule = user:b other\n[rewrite]\n"
#define ROUTE                                           \
	MAIN SHOP OTHER "[route]\nrule = user:a shop\n" \
			"rule = user:b other\n"

static void
test_rules_that_are_never_reached(void **state)
{
#define NEVER(line, narrow, by, wide)                                      \
	"t.conf:" line ": rule: \"" narrow "\" is never reached, because " \
	"line " by " has \"" wide "\" and the first match counts; put it " \
	"before that, or remove it"
	static const struct refused rows[] = {
		{ "the same in [rewrite]",
		    REWRITE "rule = a@x.org main@contoso.com\n"
			    "rule = b@x.org main@contoso.com\n"
			    "rule = A@X.org shop@contoso.com\n",
		    NEVER("16", "A@X.org", "14", "a@x.org") },
		{ "the same in [route]", ROUTE "rule = user:a other\n",
		    NEVER("13", "user:a", "11", "user:a") },
		{ "behind its domain",
		    ROUTE "rule = @x.org shop\nrule = a@x.org other\n",
		    NEVER("14", "a@x.org", "13", "@x.org") },
		{ "behind a wider pattern",
		    ROUTE "rule = @*.x.org shop\nrule = cron@w*.x.org other\n",
		    NEVER("14", "cron@w*.x.org", "13", "@*.x.org") },
		{ "behind all",
		    REWRITE "rule = * {sender}\n"
			    "rule = user:a {sender}\n",
		    NEVER("15", "user:a", "14", "*") },
		{ "all behind all",
		    ROUTE "rule = * main@contoso.com\n"
			  "rule = * shop\n",
		    NEVER("14", "*", "13", "*") },
		{ "[rewrite] before [route]",
		    REWRITE "rule = a {sender}\nrule = a {sender}\n"
			    "[direct_send]\nenabled = no\n",
		    NEVER("15", "a", "14", "a") },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

/* [route] sees the senders that [rewrite] makes. */
static void
test_routes_of_senders_that_become_others(void **state)
{
#define BEFORE(line, pattern, by, target)                                   \
	"t.conf:" line ": rule: \"" pattern "\" is never reached, because " \
	"[rewrite] in line " by " makes these senders " target " before; "  \
	"route that address"
	static const struct refused rows[] = {
		{ "the same pattern",
		    MAIN SHOP "[rewrite]\nrule = a@x.org main@contoso.com\n"
			      "[route]\nrule = a@x.org shop\n",
		    BEFORE("10", "a@x.org", "8", "main@contoso.com") },
		{ "a wider pattern",
		    MAIN SHOP "[rewrite]\nrule = @x.org main@contoso.com\n"
			      "[route]\nrule = a@x.org shop\n",
		    BEFORE("10", "a@x.org", "8", "main@contoso.com") },
		{ "everybody",
		    MAIN SHOP "[rewrite]\nrule = * main@contoso.com\n"
			      "[route]\nrule = @x.org shop\n",
		    BEFORE("10", "@x.org", "8", "main@contoso.com") },
		{ "a name",
		    MAIN SHOP "[rewrite]\nrule = root main@contoso.com\n"
			      "[route]\nrule = root shop\n",
		    BEFORE("10", "root", "8", "main@contoso.com") },
		{ "another domain",
		    MAIN SHOP "[rewrite]\nrule = @x.org @contoso.com\n"
			      "[route]\nrule = a@x.org shop\n",
		    BEFORE("10", "a@x.org", "8", "@contoso.com") },
		{ "[route] first",
		    MAIN SHOP "[route]\nrule = @x.org shop\n"
			      "[rewrite]\nrule = a@y.org main@contoso.com\n"
			      "rule = @*.org main@contoso.com\n",
		    BEFORE("8", "@x.org", "11", "main@contoso.com") },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_routes_that_are_reached(void **state)
{
	static const struct {
		const char *name;
		const char *in;
	} rows[] = {
		{ "of the new address",
		    MAIN SHOP "[rewrite]\nrule = @x.org shop@contoso.com\n"
			      "[route]\nrule = shop@contoso.com shop\n" },
		{ "of the new domain",
		    MAIN SHOP "[rewrite]\nrule = @x.org @contoso.com\n"
			      "[route]\nrule = a@contoso.com shop\n" },
		{ "of who is not rewritten",
		    MAIN SHOP "[rewrite]\nrule = a@x.org main@contoso.com\n"
			      "[route]\nrule = @x.org shop\n" },
		{ "of who stays",
		    MAIN SHOP "[rewrite]\nrule = a@x.org {sender}\n"
			      "rule = * main@contoso.com\n"
			      "[route]\nrule = a@x.org shop\n" },
		{ "of users",
		    MAIN SHOP "[rewrite]\nrule = * main@contoso.com\n"
			      "[route]\nrule = user:a shop\n" },
		{ "of all the others",
		    MAIN SHOP "[rewrite]\nrule = * main@contoso.com\n"
			      "[route]\nrule = main@contoso.com "
			      "main@contoso.com\nrule = * shop\n" },
		{ "of what another rule makes",
		    MAIN SHOP "send_as = a@x.org\n"
			      "[rewrite]\nrule = a@x.org main@contoso.com\n"
			      "rule = root a@x.org\n"
			      "[route]\nrule = a@x.org shop\n" },
		{ "of a name, where the domain may be this host",
		    MAIN SHOP "[rewrite]\nrule = root main@contoso.com\n"
			      "[route]\nrule = main shop\n" },
		{ "of the same name, where the domain may be this host",
		    MAIN SHOP "[rewrite]\nrule = main main@contoso.com\n"
			      "[route]\nrule = main shop\n" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = parse(rows[i].name, rows[i].in);

		config_free(&c);
	}
}

/* ---- addresses that nobody may send as ---- */

static void
test_targets_that_nobody_may_send_as(void **state)
{
#define NOBODY(line, target)                                                \
	"t.conf:" line ": rule: no account may send as " target "; add it " \
	"to send_as of one, and give that mailbox Send As in Exchange"
#define WRONG_WAY(line, target, account)                                      \
	"t.conf:" line ": rule: mail from " target " goes through an "        \
	"account that may not send as it; begin [route] with: rule = " target \
	" " account
	static const struct refused rows[] = {
		{ "nobody", MAIN "[rewrite]\nrule = root root@contoso.com\n",
		    NOBODY("5", "root@contoso.com") },
		{ "the second of two rules",
		    MAIN "[rewrite]\nrule = a main@contoso.com\n"
			 "rule = b@x.org ceo@contoso.com\n",
		    NOBODY("6", "ceo@contoso.com") },
		{ "a domain below that of send_as",
		    MAIN "send_as = @x.org\n[rewrite]\nrule = a a@b.x.org\n",
		    NOBODY("6", "a@b.x.org") },
		{ "{sender} of another domain",
		    SENDER "send_as = @contoso.com\n"
			   "[rewrite]\nrule = a a@x.org\n",
		    NOBODY("8", "a@x.org") },
		{ "another account than the default",
		    MAIN SHOP "[rewrite]\nrule = a shop@contoso.com\n"
			      "[route]\nrule = b@x.org shop\n",
		    WRONG_WAY("8", "shop@contoso.com", "shop") },
		{ "another account than the rule's",
		    MAIN SHOP "[rewrite]\nrule = a main@contoso.com\n"
			      "[route]\nrule = @contoso.com shop\n",
		    WRONG_WAY("8", "main@contoso.com", "main@contoso.com") },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_targets_that_somebody_may_send_as(void **state)
{
	static const struct {
		const char *name;
		const char *in;
	} rows[] = {
		{ "the user", MAIN "[rewrite]\nrule = a MAIN@contoso.com\n" },
		{ "send_as",
		    MAIN "send_as = a@x.org, @y.org\n[rewrite]\n"
			 "rule = a A@X.ORG\nrule = b b@y.org\n" },
		{ "anybody",
		    MAIN "send_as = *\n[rewrite]\nrule = a a@x.org\n" },
		{ "{sender}",
		    SENDER "send_as = @x.org\n"
			   "[rewrite]\nrule = a a@x.org\n" },
		{ "the account of its route",
		    MAIN SHOP "[rewrite]\nrule = a shop@contoso.com\n"
			      "[route]\nrule = shop@contoso.com shop\n" },
		{ "the account of a user's route",
		    MAIN SHOP "[rewrite]\nrule = a shop@contoso.com\n"
			      "[route]\nrule = user:a shop\n" },
		{ "who stays", MAIN "[rewrite]\nrule = a {sender}\n" },
		{ "somebody of the domain",
		    MAIN "[rewrite]\nrule = a @contoso.com\n" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = parse(rows[i].name, rows[i].in);

		config_free(&c);
	}
}

/* ---- Direct Send ---- */

#define DIRECT "[direct_send]\nenabled = yes\n"

static void
test_internal_domains(void **state)
{
	static const struct {
		const char *name;
		const char *in;
		size_t count;
		const char *is_internal;
		const char *is_not;
	} rows[] = {
		{ "of the account", MAIN DIRECT, 1, "contoso.com",
		    "x.example" },
		{ "without regard to case", MAIN DIRECT, 1, "CONTOSO.com",
		    "sub.contoso.com" },
		{ "of all accounts, each once",
		    MAIN SHOP OTHER DIRECT
		    "[route]\nrule = a shop\nrule = b other\n",
		    2, "x.example", "x.org" },
		{ "of the configuration, and then no others",
		    MAIN DIRECT "internal_domains = x.org\n", 1, "x.org",
		    "contoso.com" },
		{ "of those accounts that have one",
		    SENDER "send_as = *\n" MAIN DIRECT
			   "[route]\nrule = a all\n",
		    1, "contoso.com", "x.org" },
		{ "of who does not sign in", NONE DIRECT, 1, "contoso.com",
		    "x.org" },
		{ "of nobody, where it is off", MAIN, 0, NULL, "contoso.com" },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		struct config *c = parse(rows[i].name, rows[i].in);

		assert_int_equal(
		    c->direct_send.internal_domains.count, rows[i].count);
		if (rows[i].is_internal != NULL)
			assert_true(config_is_internal(c, rows[i].is_internal));
		assert_false(config_is_internal(c, rows[i].is_not));
		config_free(&c);
	}
}

static void
test_direct_send_to_nobody(void **state)
{
	static const struct refused rows[] = {
		{ "{sender} has no domain", SENDER "send_as = *\n" DIRECT,
		    "t.conf:1: Direct Send is enabled, but no account tells "
		    "which domains are the tenant's own; set internal_domains "
		    "in [direct_send]" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

/* ---- aliases ---- */

static void
test_aliases_that_are_refused(void **state)
{
#define ALIASES(lines) MAIN "[aliases]\n" lines
	static const struct refused rows[] = {
		{ "a name that is an address", ALIASES("root@web1 = a@x.org\n"),
		    "t.conf:5: root@web1: this is no alias: only names "
		    "without a domain are looked up here" },
		{ "two words", ALIASES("a b = a@x.org\n"),
		    "t.conf:5: a b: this is no alias: a name with blanks or "
		    "special characters needs quotes" },
		{ "an option", ALIASES("-oQ = a@x.org\n"),
		    "t.conf:5: -oQ: this is no alias: no address begins so" },
		{ "all others", ALIASES("* = a@x.org\n"),
		    "t.conf:5: *: this is no alias: write default = LIST for "
		    "all other names" },
		{ "a comma too many", ALIASES("root = a@x.org,\n"),
		    "t.conf:5: root: nothing stands before or behind a "
		    "comma" },
		{ "no address", ALIASES("root = a@@x.org\n"),
		    "t.conf:5: root: bad address \"a@@x.org\": the domain is "
		    "missing" },
		{ "a program", ALIASES("root = |/bin/sh\n"),
		    "t.conf:5: root: it leads to a pipe; nothing is run here: "
		    "name an address instead" },
		{ "a quoted program", ALIASES("root = \"| /bin/sh\"\n"),
		    "t.conf:5: root: it leads to a pipe; nothing is run here: "
		    "name an address instead" },
		{ "a program behind an address",
		    ALIASES("root = a@x.org, |/bin/sh\n"),
		    "t.conf:5: root: it leads to a pipe; nothing is run here: "
		    "name an address instead" },
		{ "a file", ALIASES("root = /var/mail/root\n"),
		    "t.conf:5: root: it leads to a file; nothing is written "
		    "here: name an address instead" },
		{ "a list in a file", ALIASES("root = :include:/etc/x\n"),
		    "t.conf:5: root: it leads to a list in a file "
		    "(:include:); that is not read: name its addresses "
		    "instead" },
		{ "an instruction", ALIASES("root = :fail: gone\n"),
		    "t.conf:5: root: it leads to an instruction such as "
		    ":fail:, which has no meaning here: name an address "
		    "instead" },
		{ "default is a program", ALIASES("default = |cat\n"),
		    "t.conf:5: default: it leads to a pipe; nothing is run "
		    "here: name an address instead" },
		{ "the same name twice",
		    ALIASES("root = a@x.org\nb = c@x.org\nROOT = b@x.org\n"),
		    "t.conf:7: ROOT: \"root\" is in line 5 already" },
		{ "a loop", ALIASES("a = b\nb = c, x@x.org\nc = a\n"),
		    "t.conf:7: alias loop: a -> b -> c -> a; write an address "
		    "in the place of one of these names" },
		{ "a loop through others",
		    ALIASES("x = y\ny = a@x.org\na = \"b\"\nb = A\n"),
		    "t.conf:8: alias loop: a -> b -> a; write an address in "
		    "the place of one of these names" },
	};

	(void)state;
	check_all_refused(rows, N_ELEMENTS(rows));
}

static void
test_aliases_that_are_taken(void **state)
{
	struct config *c = parse("aliases",
	    ALIASES("root = root, \\admin, boss@contoso.com\n"
		    "\"file\" = \"default\"\n"
		    "\"default\" = John (Boss) <b@x.org>, unknown\n"
		    "default = nobody, root\n"));
	struct aliases *a;
	struct failure f;
	int line;

	(void)state;
	assert_int_equal(config_own_aliases(c, &line, &a, &f), 0);
	assert_true(aliases_has(a, "ROOT"));
	assert_true(aliases_has(a, "file"));
	assert_true(aliases_has(a, "default"));
	assert_false(aliases_has(a, "nobody"));
	aliases_free(&a);
	config_free(&c);
}

/* ---- the file of aliases ---- */

static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fputs(text, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
}

static void
count_reports(void *context, const char *file, int line, const char *problem)
{
	int *count = context;

	(void)line;
	(void)problem;
	assert_string_equal(strrchr(file, '/'), "/aliases");
	(*count)++;
}

static void
test_file_of_aliases(void **state)
{
	char directory[] = "/tmp/test_verify.XXXXXX";
	struct config *c = NULL;
	struct aliases *a = NULL;
	struct failure f;
	int reports = 0;
	char *path;
	char *want;

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(
	    config_parse("t.conf", directory,
		span_of(MAIN "[aliases]\nfile = aliases\nroot = a@x.org\n"), &c,
		&f),
	    0);
	path = xasprintf("%s/aliases", directory);
	assert_string_equal(c->aliases_file, path);

	/* It is read when it is needed, and must be there then. */
	want = xasprintf("%s: there is no such file; create it, or take "
			 "\"file\" out of [aliases]",
	    path);
	assert_int_equal(config_load_aliases(c, NULL, NULL, &a, &f), -1);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	assert_string_equal(f.text, want);
	assert_null(a);

	write_file(path, "root: b@x.org\nwww-data: root\nnothing\n");
	assert_int_equal(
	    config_load_aliases(c, count_reports, &reports, &a, &f), 0);
	assert_int_equal(reports, 1);
	assert_true(aliases_has(a, "root"));
	assert_true(aliases_has(a, "www-data"));
	assert_false(aliases_has(a, "nothing"));
	aliases_free(&a);

	assert_int_equal(truncate(path, ALIASES_FILE_MAX + 1), 0);
	assert_int_equal(config_load_aliases(c, NULL, NULL, &a, &f), -1);
	assert_int_equal(f.kind, FAILURE_CONFIG);
	assert_non_null(strstr(f.text, "it is larger than 4 MB"));
	assert_null(a);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	config_free(&c);
	free(path);
	free(want);
}

/* Without a file in the configuration the system's may be there or not. */
static void
test_no_file_of_aliases(void **state)
{
	struct config *c = parse("no file", ALIASES("root = a@x.org\n"));
	struct aliases *a = NULL;
	struct failure f;

	(void)state;
	assert_null(c->aliases_file);
	if (config_load_aliases(c, NULL, NULL, &a, &f) == -1)
		fail_msg("%s", f.text);
	assert_true(aliases_has(a, "root"));
	aliases_free(&a);
	config_free(&c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_default_account),
		cmocka_unit_test(test_rules_find_their_accounts),
		cmocka_unit_test(test_accounts_that_are_not_known),
		cmocka_unit_test(test_accounts_that_nothing_leads_to),
		cmocka_unit_test(test_rules_that_are_never_reached),
		cmocka_unit_test(test_routes_of_senders_that_become_others),
		cmocka_unit_test(test_routes_that_are_reached),
		cmocka_unit_test(test_targets_that_nobody_may_send_as),
		cmocka_unit_test(test_targets_that_somebody_may_send_as),
		cmocka_unit_test(test_internal_domains),
		cmocka_unit_test(test_direct_send_to_nobody),
		cmocka_unit_test(test_aliases_that_are_refused),
		cmocka_unit_test(test_aliases_that_are_taken),
		cmocka_unit_test(test_file_of_aliases),
		cmocka_unit_test(test_no_file_of_aliases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
