"""Who sends as whom, through which account: what Exchange then sees."""
import os
import pwd

import pytest

from fake365 import ALERTS, PASSWORD
from support import (
    BOSS, HEADER, OUTSIDER, assert_fatal, assert_sent, configure,
)

SHOP = "shop@contoso.example"
REPORTS = "reports@contoso.example"
OPS = "ops@contoso.example"
HOST = os.uname().nodename
#: fake365 refuses whatever these do not allow (554 5.2.252)
MAILBOXES = {
    ALERTS: {"password": PASSWORD, "send_as": [REPORTS, "@web.example"]},
    SHOP: {"password": "another one", "send_as": ["@shop.example"]},
    REPORTS: {},
    OPS: {},
}


@pytest.fixture
def rules(given):
    """Make programs with these sections behind [account]."""
    def make(text, **account):
        mail = given(mailboxes=MAILBOXES)
        configure(mail, text, **account)
        return mail
    return make


def message(author, *more):
    """A message with this From (None: without) and more fields."""
    fields = [f"From: {author}"] if author is not None else []
    return "\n".join([*fields, *more, "Subject: x", "", "text", ""]).encode()


def send(mail, author=None, envelope=None, *more, **options):
    """Send a message to BOSS; returns what Exchange has got."""
    sender = [] if envelope is None else ["-f", envelope]
    before = len(mail.tenant.messages)
    assert_sent(mail.sendmail(
        "-i", *sender, BOSS, stdin=message(author, *more), **options))
    [sent] = mail.tenant.messages[before:]
    assert sent.recipients == [BOSS]
    return sent


def field(sent, name):
    """A field's value without folds; None: it is not there."""
    values = sent.parsed.get_all(name, [])
    assert len(values) <= 1
    return str(values[0]) if values else None


# ---- which messages a pattern means ----

#: pattern, -f, From, does it mean this message
PATTERNS = [
    ("jane@web.example", None, "jane@web.example", True),
    ("jane@web.example", None, "Jane Doe <JANE@Web.Example>", True),
    ("JANE@Web.Example", None, "jane@web.example", True),
    ("<jane@web.example>", None, "jane@web.example", True),
    ("jane@web.example", "jane@web.example", OUTSIDER, True),
    ("jane@web.example", None, "xjane@web.example", False),
    ("jane@web.example", None, "jane@sub.web.example", False),
    ("jane@web.example", None, f"\"jane@web.example\" <{OUTSIDER}>", False),
    ("@web.example", None, "anybody@web.example", True),
    ("@WEB.example", "anybody@web.example", OUTSIDER, True),
    ("@web.example", None, "anybody@sub.web.example", False),
    ("@web.example", None, "web.example@fabrikam.example", False),
    ("cron-*@web*.example", None, "cron-daily@web42.example", True),
    ("cron-*@web*.example", None, "Cron-@web.example", True),
    ("cron-*@web*.example", None, "cron@web1.example", False),
    ("cron-*@web*.example", None, "cron-daily@web.example.org", False),
    ("*@*.web.example", None, "a@b.web.example", True),
    ("*@*.web.example", None, "a@web.example", False),
    ("*.doe@web.example", None, "jane.doe@web.example", True),
    ("root", None, "root", True),
    ("root", None, f"root@{HOST}", True),
    ("root", None, "root@localhost", True),
    ("root", None, "root@localhost.localdomain", True),
    ("root", None, "ROOT (Cron Daemon)", True),
    ("Root", "root", OUTSIDER, True),
    ("root", None, "root@web.example", False),
    ("root", "toor", "toor", False),
    ("www-*", None, "www-data", True),
    ("www-*", None, f"www-data@{HOST}", True),
    ("www-*", None, "www-data@web.example", False),
    (f"root@{HOST}", None, "root", True),
    (f"@{HOST}", None, "anybody", True),
    ("*", None, OUTSIDER, True),
    ("*", "", OUTSIDER, True),
    ("@web.example", "", OUTSIDER, False),
]


@pytest.mark.parametrize("pattern, envelope, author, is_meant", PATTERNS)
def test_pattern(rules, pattern, envelope, author, is_meant):
    mail = rules(f"[rewrite]\nrule = {pattern} {REPORTS}\n", send_as=REPORTS)
    if envelope is None:
        envelope = author if "@" in author else "nobody"
    sent = send(mail, author, envelope)
    sender = REPORTS if is_meant else ALERTS
    assert sent.sender == sender
    assert [a.addr_spec for a in sent.parsed["From"].addresses] == [sender]
    assert sent.user == ALERTS


def name_of(options):
    """The login name of who runs with these options of subprocess."""
    uid = options.get("user", os.geteuid())
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid{uid}"


def test_pattern_of_a_user(rules, other_user):
    """It goes by the real user, whatever address and environment say."""
    mail = rules("", send_as=REPORTS)
    options = other_user(mail)
    name = name_of(options)
    configure(mail, f"[rewrite]\nrule = user:{name} {REPORTS}\n",
              send_as=REPORTS)
    options = other_user(mail)
    sent = send(mail, OUTSIDER, "root@web.example", **options)
    assert (sent.sender, sent.user) == (REPORTS, ALERTS)
    assert field(sent, "From") == REPORTS
    # nobody else is this user
    configure(mail, f"[rewrite]\nrule = user:x{name} {REPORTS}\n",
              send_as=REPORTS)
    options = other_user(mail)
    env = {**os.environ, "USER": f"x{name}", "LOGNAME": f"x{name}"}
    sent = send(mail, f"x{name}", f"x{name}", env=env, **options)
    assert sent.sender == ALERTS


# ---- the first that matches ----

@pytest.mark.parametrize("text, sender", [
    (f"rule = jane@web.example {REPORTS}\nrule = @web.example {ALERTS}\n",
     REPORTS),
    (f"rule = john@web.example {ALERTS}\nrule = @web.example {REPORTS}\n",
     REPORTS),
    (f"rule = *@web.example {REPORTS}\nrule = jane@web* {ALERTS}\n", REPORTS),
    (f"rule = root {REPORTS}\nrule = * {ALERTS}\n", ALERTS),
    (f"rule = nobody {REPORTS}\nrule = @web.example {ALERTS}\n", REPORTS),
    ("rule = jane@web.example {sender}\n" f"rule = * {REPORTS}\n",
     "jane@web.example"),
], ids=["exact-first", "behind-another", "wide-first", "last", "envelope",
        "{sender}"])
def test_first_match_counts(rules, text, sender):
    """Also where a later one means From, and it only the envelope."""
    mail = rules(f"[rewrite]\n{text}", send_as=f"{REPORTS}, @web.example")
    sent = send(mail, "Jane <jane@web.example>", "nobody")
    assert sent.sender == sender
    assert field(sent, "From") == f"Jane <{sender}>"


# ---- what becomes of a sender ----

#: target, From, envelope sender -> both of Exchange's
TARGETS = {
    "address": (REPORTS, "Jane <jane@x.example>", "root",
                (f"Jane <{REPORTS}>", REPORTS)),
    "address-in-capitals": (
        REPORTS.upper(), "jane@x.example", "root",
        (REPORTS.upper(), REPORTS.upper())),
    "domain": ("@web.example", "Jane <jane@x.example>", "root@x.example",
               ("Jane <jane@web.example>", "jane@web.example")),
    "domain-of-a-name": ("@web.example", "root (Cron Daemon)", "root",
                         ("Cron Daemon <root@web.example>",
                          "root@web.example")),
    "domain-of-an-envelope": (
        "@web.example", None, "jane@x.example",
        (None, "jane@web.example")),
    "domain-of-the-account-alone": (
        "@contoso.example", "Jane <jane@x.example>", "alerts@x.example",
        (f"Jane <{ALERTS}>", ALERTS)),
    "domain-of-the-account-itself": (
        "@contoso.example", "Alerts <alerts@x.example>", "root",
        (f"Alerts <{ALERTS}>", ALERTS)),
    "sender": ("{sender}", "Jane <jane@web.example>", "jane@web.example",
               ("Jane <jane@web.example>", "jane@web.example")),
    "sender-of-two": ("{sender}", "Jane <jane@web.example>", "root",
                      ("Jane <jane@web.example>", "jane@web.example")),
    "sender-not-in-send_as": ("{sender}", "Jane <jane@x.example>", "root",
                              (f"Jane <{ALERTS}>", ALERTS)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target(rules, name):
    target, author, envelope, (new_author, sender) = TARGETS[name]
    mail = rules(f"[rewrite]\nrule = * {target}\n",
                 send_as=f"{REPORTS}, @web.example")
    sent = send(mail, author, envelope)
    assert sent.sender == sender
    if new_author is not None:
        assert field(sent, "From") == new_author
    assert [a.addr_spec for a in sent.parsed["From"].addresses] == [sender]


def test_originals_are_kept(rules):
    """Replies reach the author, and who that was stays on record."""
    mail = rules(f"[rewrite]\nrule = @fabrikam.example {REPORTS}\n",
                 send_as=REPORTS)
    sent = send(mail, "Jane Doe <jane@fabrikam.example>", "www-data")
    assert (sent.sender, sent.user) == (REPORTS, ALERTS)
    assert field(sent, "From") == f"Jane Doe <{REPORTS}>"
    for name in ("Reply-To", "X-Original-From"):
        assert field(sent, name) == "Jane Doe <jane@fabrikam.example>"
    assert field(sent, "Sender") is None


# ---- display names ----

@pytest.mark.parametrize("template, author, name", [
    ("keep", "Jane <jane@fabrikam.example>", "Jane"),
    ("keep", "jane@fabrikam.example", ""),
    ("{name} via {host}", "Jane <jane@fabrikam.example>", f"Jane via {HOST}"),
    ("{name} via {host}", "jane@fabrikam.example", f"jane via {HOST}"),
    ("{name} ({address})", "Jane <jane@fabrikam.example>",
     "Jane (jane@fabrikam.example)"),
    ("{address}", "Jane <jane@fabrikam.example>", "jane@fabrikam.example"),
    ("{user} on web1", "Jane <jane@fabrikam.example>",
     f"{name_of({})} on web1"),
    ("Web shop", "Jane <jane@fabrikam.example>", "Web shop"),
    ("{name}: \"a\", <b>; [c]@d\\e", "Grüße <jane@fabrikam.example>",
     "Grüße: \"a\", <b>; [c]@d\\e"),
    ("Grüße von {name}", "\"Doe, Jane\" <jane@fabrikam.example>",
     "Grüße von Doe, Jane"),
    ("{name}", "=?utf-8?B?R3LDvMOfZQ==?= <jane@fabrikam.example>", "Grüße"),
])
def test_display_name(rules, template, author, name):
    mail = rules(f"[rewrite]\ndisplay_name = {template}\n")
    sent = send(mail, author, "www-data")
    [address] = sent.parsed["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, ALERTS)
    assert all(octet < 128 for octet in sent.head)


def test_display_name_of_who_may_stay(rules):
    """A template names who stands in for another, and nobody else."""
    mail = rules("[rewrite]\ndisplay_name = {name} via {host}\n")
    assert field(send(mail, f"Alerts <{ALERTS}>"), "From") == (
        f"Alerts <{ALERTS}>")


# ---- Reply-To, X-Original-From, Auto-Submitted ----

JANE = "jane@fabrikam.example"


@pytest.mark.parametrize("policy, replies", [
    ("original", JANE), ("never", None), ("never @fabrikam.example", None),
    ("never @web.example", JANE), ("never @web.example, jane@*", None),
    ("never root", JANE), ("never www-data", None),
    (f"never user:{name_of({})}", None), ("never user:somebody", JANE),
])
def test_reply_to(rules, policy, replies):
    mail = rules(f"[rewrite]\nreply_to = {policy}\n")
    sent = send(mail, JANE, "www-data")
    assert field(sent, "Reply-To") == replies
    assert field(sent, "X-Original-From") == JANE
    # What the message says itself is never touched.
    sent = send(mail, JANE, "www-data", "Reply-To: help@fabrikam.example")
    assert field(sent, "Reply-To") == "help@fabrikam.example"


@pytest.mark.parametrize("policy, original", [("add", JANE), ("never", None)])
def test_original_from(rules, policy, original):
    mail = rules(f"[rewrite]\noriginal_from = {policy}\n")
    sent = send(mail, JANE, "www-data", "X-Original-From: forged@x.example")
    assert field(sent, "X-Original-From") == original
    assert field(sent, "Reply-To") == JANE


@pytest.mark.parametrize("policy, envelope, more, value", [
    ("never", "root", [], None),
    ("add", "root", [], "auto-generated"),
    ("add", "root", ["Auto-Submitted: no"], "no"),
    ("add", "", [], "auto-replied"),
    ("never", "", [], "auto-replied"),
])
def test_auto_submitted(rules, policy, envelope, more, value):
    mail = rules(f"[rewrite]\nauto_submitted = {policy}\n")
    sent = send(mail, JANE, envelope, *more)
    assert field(sent, "Auto-Submitted") == value


# ---- several accounts ----

ROUTES = f"""\
[account shop]
send_as = @shop.example
[account ops]
[account reports]
[route]
rule = @shop.example shop
rule = ops@web.example {OPS.upper()}
rule = backup ops
rule = @reports.example reports
"""


#: From, envelope -> who signs in, and is the sender
@pytest.mark.parametrize("author, envelope, user, sender", [
    ("Orders <orders@shop.example>", "www-data", SHOP, SHOP),
    ("ORDERS@Shop.Example", "ORDERS@Shop.Example", SHOP,
     "ORDERS@Shop.Example"),
    (JANE, "orders@shop.example", SHOP, "orders@shop.example"),
    ("ops@web.example", "www-data", OPS, OPS),
    ("backup", "root", OPS, OPS),
    (f"root@{HOST}", f"backup@{HOST}", OPS, OPS),
    ("a@reports.example", "b@shop.example", SHOP, "b@shop.example"),
    ("a@reports.example", "b@reports.example", REPORTS, REPORTS),
    (JANE, "www-data", ALERTS, ALERTS),
    ("ops@shop.example.org", "www-data", ALERTS, ALERTS),
    (None, None, ALERTS, ALERTS),
])
def test_route(rules, author, envelope, user, sender):
    sent = send(rules(ROUTES), author, envelope)
    assert (sent.user, sent.sender) == (user, sender)
    assert sent.mechanism == "XOAUTH2"


@pytest.mark.parametrize("default, user", [
    ("shop", SHOP), (SHOP, SHOP), ("ops", OPS), (ALERTS, ALERTS),
    (ALERTS.upper(), ALERTS)])
def test_default_account(rules, default, user):
    text = (f"[account shop]\n[account ops]\n[route]\ndefault = {default}\n"
            "rule = @s.example shop\nrule = @o.example ops\n"
            f"rule = @a.example {ALERTS}\n")
    sent = send(rules(text), "root", "root")
    assert (sent.user, sent.sender) == (user, user)


def test_route_of_a_user(rules, other_user):
    mail = rules("")
    name = name_of(other_user(mail))
    configure(mail, "[account shop]\nsend_as = @shop.example\n"
              f"[route]\nrule = user:{name} shop\n")
    options = other_user(mail)
    sent = send(mail, "Orders <orders@shop.example>", **options)
    assert (sent.user, field(sent, "From")) == (
        SHOP, "Orders <orders@shop.example>")
    assert send(mail, JANE, **options).sender == SHOP
    if options:
        (mail.directory / "client-secret").chmod(0o600)
        for path in (mail.directory, *mail.directory.rglob("*")):
            os.chown(path, 0, 0)
        assert send(mail, "orders@shop.example").user == ALERTS


def test_routes_see_what_rules_make_of_a_sender(rules):
    mail = rules(f"[rewrite]\nrule = backup@* {OPS}\n[account ops]\n"
                 f"[route]\nrule = {OPS} ops\n")
    for author, user in (("backup@db1", OPS), (OPS, OPS), (JANE, ALERTS)):
        assert send(mail, author, "root").user == user


def test_accounts_sign_in_each_in_its_own_way(rules):
    """Different secrets, mechanisms and limits; one token for one account."""
    mail = rules("")
    password = mail.directory / "shop-password"
    password.write_text("another one\n")
    password.chmod(0o600)
    configure(mail, f"""\
[account shop]
password_file = shop-password
auth = password
recipients_per_message = 2
[route]
rule = @shop.example shop
""")
    assert (send(mail, JANE, "root").mechanism, send(
        mail, "a@shop.example", "root").mechanism) == ("XOAUTH2", "LOGIN")
    assert [m.user for m in mail.tenant.messages] == [ALERTS, SHOP]
    people = [f"p{i}@contoso.example" for i in range(5)]
    assert_sent(mail.sendmail("-f", "a@shop.example", *people,
                              stdin=message("a@shop.example")))
    assert_sent(mail.sendmail("-f", JANE, *people, stdin=message(JANE)))
    assert [(m.user, len(m.recipients)) for m in mail.tenant.messages[2:]] == [
        (SHOP, 2), (SHOP, 2), (SHOP, 1), (ALERTS, 5)]
    assert len(mail.tenant.token_requests) == 1


def test_failure_of_one_account_is_not_the_others(rules):
    mail = rules("[account shop]\n[route]\nrule = @shop.example shop\n")
    mail.tenant.directory.mailbox(SHOP).smtp_auth_disabled = "Mailbox"
    result = mail.sendmail(BOSS, stdin=message("a@shop.example"))
    assert_fatal(result, 77, "5.7.139", "Set-CASMailbox")
    assert send(mail, JANE).user == ALERTS


# ---- {sender}: each message signs in as its own sender ----

MEMBERS = [SHOP, REPORTS, OPS]


def test_each_sender_signs_in(rules):
    """One application, one token, and no Send As."""
    mail = rules("", user="{sender}", send_as="@contoso.example")
    for number, member in enumerate(MEMBERS * 2):
        envelope = member if number % 2 else "www-data"
        sent = send(mail, f"Name <{member}>", envelope)
        assert (sent.user, sent.sender) == (member, member)
        assert field(sent, "From") == f"Name <{member}>"
        assert field(sent, "X-Original-From") is None
    assert len(mail.tenant.token_requests) == 1


def test_limits_are_those_of_the_mailbox_however_it_is_written(rules):
    mail = rules("", user="{sender}", send_as="@contoso.example")
    for member in [SHOP, SHOP.upper()]:
        send(mail, f"Name <{member}>")
    assert [p.name for p in mail.state.glob("limits-*")] == [f"limits-{SHOP}"]


@pytest.mark.parametrize("author, envelope, user", [
    (f"Shop <{SHOP.upper()}>", "root", SHOP),
    (JANE, OPS, OPS),
    (SHOP, OPS, SHOP),
    ("root", REPORTS, REPORTS),
    (f"{JANE}, {SHOP}", OPS, OPS),
    (SHOP, "", SHOP),
])
def test_who_of_two_senders_signs_in(rules, author, envelope, user):
    mail = rules("", user="{sender}", send_as=", ".join(MEMBERS))
    sent = send(mail, author, envelope)
    assert (sent.user.lower(), sent.sender.lower()) == (user, user)
    [address] = sent.parsed["From"].addresses
    assert address.addr_spec.lower() == user


@pytest.mark.parametrize("author, envelope, named", [
    (JANE, "www-data", JANE), ("root", "root", "root@"),
    (f"x{SHOP}", f"{SHOP}.org", f"x{SHOP}"),
    (JANE, "", JANE), ("boss@contoso.example", "root", BOSS),
])
def test_sender_that_is_no_member(rules, author, envelope, named):
    """Cause and cure, and nobody is asked for anything."""
    mail = rules("", user="{sender}", send_as=", ".join(MEMBERS))
    result = mail.sendmail("-f", envelope, BOSS, OUTSIDER,
                           stdin=message(author))
    assert_fatal(result, 78, f"<{named}", "not in send_as of [account]",
                 "add it there", "[rewrite]", "rule = * ADDRESS")
    assert mail.tenant.connections == []


@pytest.mark.parametrize("author, envelope, user", [
    (JANE, "www-data", ALERTS), ("root", "root", ALERTS),
    (OPS, "www-data", OPS), (JANE, "", ALERTS),
])
def test_rule_for_all_others(rules, author, envelope, user):
    """The cure does what it says."""
    mail = rules(f"[rewrite]\nrule = {OPS} {{sender}}\nrule = * {ALERTS}\n",
                 user="{sender}", send_as=f"{ALERTS}, {OPS}")
    sent = send(mail, author, envelope)
    assert (sent.user, sent.sender) == (user, user)
    assert [a.addr_spec for a in sent.parsed["From"].addresses] == [user]


def test_sender_among_other_accounts(rules):
    text = ("[route]\ndefault = shop\nrule = @contoso.example {sender}\n"
            "[account shop]\n")
    mail = rules(text, user="{sender}", send_as="@contoso.example")
    for author, user in ((OPS, OPS), (REPORTS, REPORTS), (JANE, SHOP)):
        assert send(mail, author, "root").user == user
    assert len(mail.tenant.token_requests) == 1


def test_mailbox_that_does_not_exist(rules):
    """send_as allows it, Exchange knows nobody of that name."""
    mail = rules("", user="{sender}", send_as="@contoso.example")
    result = mail.sendmail(BOSS, stdin=message("gone@contoso.example"))
    assert_fatal(result, 77, "535")
    assert mail.tenant.messages == []


# ---- send_as is a promise that Exchange checks ----

def test_send_as_that_exchange_does_not_know(rules):
    """What the configuration says is not enough."""
    mail = rules(f"[rewrite]\nrule = * {SHOP}\n", send_as=SHOP)
    result = mail.sendmail(BOSS, stdin=HEADER + b"\r\nx\r\n")
    assert_fatal(result, 69, "5.2.252", "SendAs")
    assert mail.tenant.messages == []
