"""explain and submit --dry-run with rules, accounts, aliases, Direct Send.

What they say is what sending does, and they send nothing.
"""
import json
import os
import re
from pathlib import Path

import pytest

from fake365 import ALERTS, PASSWORD
from support import BOSS, COLLEAGUE, OUTSIDER, configure, line_of

SHOP = "shop@contoso.example"
REPORTS = "reports@contoso.example"
MAILBOXES = {
    ALERTS: {"password": PASSWORD, "send_as": [REPORTS]},
    SHOP: {"send_as": ["orders@shop.example", "@help.shop.example"]},
    REPORTS: {},
}
RULES = f"""\
[account shop]
send_as = orders@shop.example, @help.shop.example
[rewrite]
rule = root@web1 {ALERTS}
rule = user:shop orders@shop.example
rule = help @help.shop.example
rule = *@reports.example {REPORTS}
display_name = {{name}} via {{user}}
[route]
rule = user:shop shop
rule = *@*shop.example shop
[aliases]
root = ops, {BOSS}
ops = {OUTSIDER}, \\root
default = {COLLEAGUE}
[direct_send]
enabled = yes
mx = localhost
"""


@pytest.fixture
def rules(given):
    """Programs with several accounts, rules, aliases and Direct Send."""
    mail = given(mailboxes=MAILBOXES)
    configure(mail, RULES, send_as=REPORTS)
    return mail


def assert_untouched(mail):
    """No connection was made, and nothing was kept."""
    assert mail.tenant.connections == []
    assert not mail.state.exists()


def explain(mail, *args, status=0):
    """What explain says, as text and as JSON."""
    text = mail.sendmail365("explain", *args)
    plan = mail.sendmail365("explain", "--json", *args)
    assert (text.returncode, plan.returncode) == (status, status), text.stderr
    assert (text.stderr == b"") == (status == 0)
    assert_untouched(mail)
    return text.stdout.decode(), json.loads(plan.stdout)


# ---- what a person sees ----

def test_explain_as_in_the_manual(rules):
    line = line_of(rules, "rule = root@web1")
    route = line_of(rules, "[route]")
    port = rules.tenant.smtp_port
    account = f"OAuth (XOAUTH2), through localhost port {port}"
    text, _ = explain(rules, "root@web1", "--user", "www-data", "--to", BOSS)
    assert text == f"""\
rule        [rewrite] line {line}, root@web1 {ALERTS}: matches From
rule        [route] line {route + 1}, user:shop shop: does not match
rule        [route] line {route + 2}, *@*shop.example shop: does not match
account     {ALERTS}, {account}
sender      <root@web1> becomes <{ALERTS}>
      a rule of [rewrite] says who sends this
recipient   <{BOSS}>, by Direct Send if submission fails
header
  - From: root@web1
  + From: "root@web1 via www-data" <{ALERTS}>
      a rule of [rewrite] says who sends this
  + X-Original-From: root@web1
      keeps the original author on record
"""


def test_explain_names_aliases_and_ways(rules):
    text, _ = explain(rules, "help", "--to", "ROOT", "--to", OUTSIDER)
    aliases = line_of(rules, "root = ops")
    assert [line for line in text.splitlines()
            if line.startswith(("alias ", "recipient "))] == [
        f"alias       root ({rules.config}:{aliases}): ops, {BOSS}",
        f"alias       ops ({rules.config}:{aliases + 1}): {OUTSIDER}, \\root",
        f"alias       default ({rules.config}:{aliases + 2}): {COLLEAGUE}",
        f"recipient   <{OUTSIDER}>, by submission only",
        f"recipient   <{BOSS}>, by Direct Send if submission fails",
        f"recipient   <{COLLEAGUE}>, by Direct Send if submission fails",
    ]


#: arguments, the account's name and user, the sender, the rules that apply
ANSWERS = {
    "by-author": (
        ["root@web1", "--user", "www-data"], ("", ALERTS), ALERTS,
        ["root@web1 matches From"]),
    "by-user": (
        ["a@b.example", "--user", "shop"], ("shop", SHOP),
        "orders@shop.example",
        ["user:shop matches the calling user",
         "user:shop matches the calling user"]),
    "author-before-user": (
        ["root@web1", "--user", "shop"], ("shop", SHOP), SHOP,
        ["root@web1 matches From", "user:shop matches the calling user"]),
    "by-name": (
        ["help", "--user", "nobody"], ("shop", SHOP),
        "help@help.shop.example",
        ["help matches From", "*@*shop.example matches From"]),
    "by-domain": (
        ["Jane Doe <jane@Reports.example>"], ("", ALERTS), REPORTS,
        ["*@reports.example matches From"]),
    "no-rule": (["jane@fabrikam.example"], ("", ALERTS), ALERTS, []),
    "itself": ([ALERTS], ("", ALERTS), ALERTS, []),
    "login-name": (["nobody"], ("", ALERTS), ALERTS, []),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_explain_of_a_sender(rules, name):
    args, account, sender, applied = ANSWERS[name]
    text, plan = explain(rules, *args)
    assert (plan["account_name"], plan["account"]) == account
    assert plan["sender"] == sender
    assert (plan["transport"], plan["host"]) == ("submission", "localhost")
    assert [f"{r['pattern']} {r['reason']}" for r in plan["rules"]
            if r["applies"]] == applied
    for rule in plan["rules"]:
        line = f"rule = {rule['pattern']} {rule['target']}"
        assert rule["line"] == line_of(rules, line)
        assert (f"rule        [{rule['section']}] line {rule['line']}, "
                f"{line[7:]}: {rule['reason']}\n") in text
        assert rule["applies"] != (rule["reason"] == "does not match")
    shown = f"{account[0]}: {account[1]}" if account[0] else account[1]
    assert f"account     {shown}, OAuth (XOAUTH2), " in text
    assert (f"becomes <{sender}>" in text) == (
        plan["sender"] != plan["sender_before"])
    assert all(e["reason"] for e in plan["edits"])


def test_rule_that_the_account_cannot_follow(rules):
    """The user's account has no right to what the first rule says."""
    text, _ = explain(rules, "root@web1", "--user", "shop")
    assert (f"      not <{ALERTS}> as the rule says, which is not in send_as "
            "of this account\n") in text


def test_only_rules_that_were_tried_are_shown(rules):
    _, plan = explain(rules, "x@web1", "--user", "shop")
    assert [(r["section"], r["pattern"]) for r in plan["rules"]] == [
        ("rewrite", "root@web1"), ("rewrite", "user:shop"),
        ("route", "user:shop")]


def test_steps_of_aliases_as_json(rules):
    _, plan = explain(rules, "root", "--to", "root", "--to", "Any.Body")
    assert [(a["name"], a["list"]) for a in plan["aliases"]] == [
        ("root", f"ops, {BOSS}"), ("ops", f"{OUTSIDER}, \\root"),
        ("default", COLLEAGUE)]
    for step in plan["aliases"]:
        assert step["file"] == rules.config
        assert step["line"] == line_of(rules, f"{step['name']} = ")
    assert plan["recipients"] == [OUTSIDER, BOSS, COLLEAGUE]
    assert plan["direct_send"] == [BOSS, COLLEAGUE]


def test_message_that_nobody_may_send(given):
    """{sender}, and the sender is none of those who may sign in."""
    mail = given(mailboxes=MAILBOXES)
    configure(mail, "", user="{sender}", send_as=SHOP)
    text, plan = explain(mail, "x@web1.example", "--to", BOSS, status=78)
    assert "account     nobody, " in text and "sender      <x@web1.ex" in text
    assert "becomes" not in text and "From" not in text
    assert f"recipient   <{BOSS}>: not sent\n      <x@web1.example> is" in text
    assert (plan["sender"], plan["recipients"], plan["edits"]) == ("", [], [])
    assert "add it there, or say in [rewrite]" in plan["refused"][BOSS]
    explain(mail, "x@web1.example", status=78)
    shown = mail.sendmail365(
        "submit", "--dry-run", "-f", "x@web1.example", BOSS,
        stdin=b"Subject: x\n\nx\n")
    assert shown.returncode == 78
    assert b"Subject" not in shown.stdout
    assert_untouched(mail)


def test_direct_send_only(given):
    mail = given()
    configure(mail, "[direct_send]\nenabled = yes\nmx = localhost\n",
              auth="none", host=None, tenant=None, client_id=None,
              client_secret_file=None)
    text, plan = explain(mail, "root", "--to", BOSS)
    assert f"account     {ALERTS}, by Direct Send only\n" in text
    assert f"recipient   <{BOSS}>, by Direct Send\n" in text
    assert (plan["transport"], plan["direct_send"]) == ("direct_send", [BOSS])
    text, plan = explain(mail, "root", "--to", OUTSIDER, status=69)
    assert f"recipient   <{OUTSIDER}>: not sent\n" in text
    assert "set up an account" in plan["refused"][OUTSIDER]
    assert mail.sendmail(OUTSIDER, stdin=b"\nx\n").returncode == 69
    assert_untouched(mail)


# ---- what it says is true ----

def fields(*lines):
    return "".join(f"{line}\n" for line in lines).encode() + b"\ntext\n"


#: options of submit, recipients, message
MESSAGES = {
    "bare": ([], [BOSS], fields("Subject: x")),
    "cron": (["-F", "Cron Daemon"], ["root"],
             fields("From: root (Cron Daemon)", "To: root")),
    "author": (["-f", "www-data"], [BOSS],
               fields("From: Orders <orders@shop.example>")),
    "author-of-a-domain": (["-f", "www-data"], [BOSS, OUTSIDER],
                           fields("From: Help <help@help.shop.example>")),
    "envelope": (["-f", "x@reports.example"], [BOSS],
                 fields("From: Jane <jane@fabrikam.example>")),
    "name": (["-f", "help"], [BOSS], fields("From: help", "To: root")),
    "null-sender": (["-f", ""], [BOSS], fields("From: root@web1")),
    "duplicates": ([], ["root", "ROOT", BOSS, BOSS.upper(), "ops"],
                   fields("Subject: x")),
    "refused-member": ([], ["list", COLLEAGUE], fields("Subject: x")),
    "loop": ([], ["loop"], fields("Subject: x")),
    "nobody": ([], ["bare"], fields("Subject: x")),
    "long-lines": (["-f", "help"], [OUTSIDER], b"\n" + b"x" * 3000 + b"\n"),
}
ALIASES = f"""\
list: |/bin/false, {OUTSIDER}, /dev/null
loop: loop2, {BOSS}
loop2: loop
bare: \\bare
"""


def without_chance(raw):
    """A message without what differs each time."""
    return re.sub(rb"(?m)^(Date|Message-ID): .*\r\n", b"", raw)


@pytest.mark.parametrize("name", MESSAGES)
def test_dry_run_is_what_is_sent(rules, name):
    """Account, sender, recipients, message and exit status are the same."""
    options, recipients, given_as = MESSAGES[name]
    (rules.directory / "aliases").write_text(ALIASES)
    command = ["submit", "-i", *options, "--", *recipients]
    dry = ["submit", "--dry-run", *command[1:]]
    text = rules.sendmail365(*dry, stdin=given_as)
    result = rules.sendmail365(
        "submit", "--dry-run", "--json", *command[1:], stdin=given_as)
    plan = json.loads(result.stdout)
    assert text.returncode == result.returncode
    assert_untouched(rules)
    sent = rules.sendmail365(*command, stdin=given_as)
    assert sent.returncode == result.returncode, sent.stderr
    if not plan["recipients"]:
        assert_untouched(rules)
        assert sent.stderr == result.stderr
        return
    [message] = rules.tenant.messages
    assert plan["account"] == message.user
    assert plan["sender"] == message.sender
    assert plan["recipients"] == message.recipients
    shown, _, content = text.stdout.partition(b"\nmessage\n")
    assert without_chance(content) == without_chance(message.raw)
    assert f"<{message.sender}>" in shown.decode()
    for edit in plan["edits"]:
        if edit["edit"] != "remove" and edit["field"] not in (
                "Date", "Message-ID"):
            line = f"{edit['field']}: {edit['after']}\r\n".encode()
            assert line in message.raw
    for reason in plan["refused"].values():
        assert reason in shown.decode()


@pytest.mark.parametrize("sender", [
    "root@web1", "help", "jane@fabrikam.example", "a@reports.example", ALERTS])
def test_explain_is_what_is_sent(rules, sender):
    _, plan = explain(rules, sender, "--to", "root", "--user", "root")
    given_as = f"From: {sender}\n\ntext\n".encode()
    result = rules.sendmail365("submit", "-f", sender, "root", stdin=given_as)
    assert result.returncode == 0
    [message] = rules.tenant.messages
    assert (plan["account"], plan["sender"], plan["recipients"]) == (
        message.user, message.sender, message.recipients)
    expected = {e["field"]: e["after"] for e in plan["edits"]}
    for field in ("From", "Reply-To", "X-Original-From"):
        found = message.parsed[field]
        if field in expected:
            assert f"{field}: {expected[field]}\r\n".encode() in message.raw
        else:
            assert found is None or found == sender


# ---- secrets, and hostile names ----

COMMANDS = {
    "explain": (["explain", "root", "--to", "root"], b""),
    "explain-json": (["explain", "--json", "root", "--to", "root"], b""),
    "dry-run": (["submit", "--dry-run", "root"], b"\nx\n"),
    "dry-run-json": (["submit", "--dry-run", "--json", "root"], b"\nx\n"),
}


@pytest.mark.parametrize("login", [False, True], ids=["OAuth", "password"])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_secret_is_read_or_shown(given, name, login):
    """They work where the secret is not even there."""
    mail = given()
    command, given_as = COMMANDS[name]
    configure(mail, f"[aliases]\nroot = {BOSS}\n", login=login,
              **({} if login else {"proxy": "http://me:hunter2@localhost:1"}))
    for secret in ("client-secret", "password"):
        Path(mail.directory / secret).unlink(missing_ok=True)
    result = mail.sendmail365(*command, stdin=given_as)
    assert (result.returncode, result.stderr) == (0, b"")
    for secret in (mail.tenant.client_secret, PASSWORD, "hunter2"):
        assert secret.encode() not in result.stdout
    assert_untouched(mail)


#: what moves a terminal or lets a line read as another
CSI, RIGHT_TO_LEFT, LINE, ISOLATE = "\x9b31m", "\u202e", "\u2028", "\u2066"
HOSTILE = f"{CSI}{RIGHT_TO_LEFT}{LINE}{ISOLATE}"
HOSTILE_RULES = f"""\
[account shop]
send_as = a{HOSTILE}@shop.example
[rewrite]
rule = b{HOSTILE} {ALERTS}
rule = *{HOSTILE}@web1.example {ALERTS}
rule = c a{HOSTILE}@shop.example
rule = * {ALERTS}
display_name = {HOSTILE} {{name}}
[route]
rule = d{HOSTILE}@x.example shop
rule = @shop.example shop
[aliases]
root = a{HOSTILE}, a{HOSTILE}@x.example
a{HOSTILE} = list{HOSTILE}, \\b{HOSTILE}
default = default{HOSTILE}
"""
HOSTILE_ALIASES = (
    f"list{HOSTILE}: {HOSTILE}@x.example, |{HOSTILE}, loop{HOSTILE}\n"
    f"loop{HOSTILE}: loop{HOSTILE}2\nloop{HOSTILE}2: loop{HOSTILE}\n"
    f"x{HOSTILE}: \"{HOSTILE}, \x1b]0;y\x07\n").encode() + b"\xff\xfe: \xff\n"


def assert_harmless(octets):
    """Text that a terminal shows as it is."""
    text = octets.decode("utf-8")
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("command", [
    ["check"],
    ["explain", "c", "--to", "root"],
    ["explain", "--json", "c", "--to", "root"],
    ["explain", f"b{HOSTILE}", "--to", f"x{HOSTILE}", "--user", HOSTILE],
    ["explain", "--json", f"b{HOSTILE}", "--to", f"x{HOSTILE}"],
    ["explain", f"{HOSTILE} <b@x.example>", "--to", f"b@{HOSTILE}"],
    ["explain", "--json", f"{HOSTILE} <b@x.example>"],
    ["explain", "\x1b]0;x\x07", "--to", BOSS],
    ["explain", "root", "--to", "\x1b]0;x\x07"],
    ["submit", "--dry-run", "--json", "-f", f"b{HOSTILE}", "root"],
], ids=lambda c: ascii(c[0] + c[-1]))
def test_hostile_names_do_not_move_the_terminal(given, command):
    mail = given(mailboxes=MAILBOXES)
    home = mail.directory / f"home{HOSTILE}"
    home.mkdir()
    configure(mail, HOSTILE_RULES)
    for name in ("sendmail365.conf", "client-secret", "aliases"):
        os.rename(mail.directory / name, home / name)
    mail.config = str(home / "sendmail365.conf")
    text = Path(mail.config).read_text().replace(
        f"file = {mail.directory}/aliases", "file = aliases")
    Path(mail.config).write_text(text)
    (home / "aliases").write_bytes(HOSTILE_ALIASES)
    result = mail.sendmail365(*command, stdin=b"\nx\n")
    assert result.returncode in (0, 65, 78)
    assert result.stdout + result.stderr
    assert_harmless(result.stdout + result.stderr)
    assert_untouched(mail)


def test_hostile_names_in_a_dry_run(given):
    """The plan is harmless; the message behind it is the caller's own."""
    mail = given(mailboxes=MAILBOXES)
    configure(mail, HOSTILE_RULES)
    (mail.directory / "aliases").write_bytes(HOSTILE_ALIASES)
    result = mail.sendmail365(
        "submit", "--dry-run", "-f", f"b{HOSTILE}", "root",
        stdin=f"X-{CSI[1:]}: {HOSTILE}\n\nx\n".encode())
    assert_harmless(result.stdout.partition(b"\nmessage\n")[0])
    assert_harmless(result.stderr)


# ---- the command line ----

@pytest.mark.parametrize("args, status, word", [
    ([], 64, "usage"), (["root", "--to"], 64, "usage"),
    (["root", "--frob"], 64, "usage"), (["a b"], 65, "bad address"),
    (["root", "--to", "@"], 65, "bad address"), (["@x"], 65, "bad address"),
])
def test_questions_that_are_none(mail, args, status, word):
    result = mail.sendmail365("explain", *args)
    assert (result.returncode, result.stdout) == (status, b"")
    assert word in result.stderr.decode()


def test_options_stand_anywhere(rules):
    first = rules.sendmail365("explain", "--to", BOSS, "--user", "shop", "a@b")
    last = rules.sendmail365("explain", "a@b", BOSS, "--user", "shop")
    assert first.stdout == last.stdout and first.returncode == 0


def test_explain_with_a_configuration_that_is_refused(mail):
    configure(mail, "[rewrite]\nrule = root\n")
    result = mail.sendmail365("explain", "root")
    assert (result.returncode, result.stdout) == (78, b"")
    assert f"{mail.config}:{line_of(mail, 'rule')}: rule: " in (
        result.stderr.decode())


def test_another_user_asks(rules, other_user):
    """explain needs what the configuration needs, and no secret."""
    options = other_user(rules)
    (rules.directory / "client-secret").chmod(0)
    result = rules.sendmail365("explain", "root@web1", "--to", "root",
                               **options)
    assert (result.returncode, result.stderr) == (0, b"")
    assert_untouched(rules)
