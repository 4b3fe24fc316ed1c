"""Submission hosts other than Exchange Online's, by configuration alone."""
import base64
import json
import os
import re
import time
from pathlib import Path

import pytest

from fake365 import ALERTS, COSTUMES, PASSWORD, Rule
from support import (
    BOSS, MESSAGE, OUTSIDER, assert_fatal, assert_sent, message, outcomes,
    spoken,
)
from test_secrets import Stalled

#: A relay whose users are mailboxes: no `login` is needed.
RELAY = {"costume": "relay", "login": True,
         "mailboxes": {ALERTS: {"password": PASSWORD}}}


def send(mail, *recipients, **options):
    return mail.sendmail(*(recipients or [BOSS]), stdin=MESSAGE, **options)


def age_token(mail, left, is_known):
    """Let the kept token end in so many seconds; we may know it."""
    [path] = mail.state.glob("token-????????????????")
    entry = json.loads(path.read_text())
    now = int(time.time())
    mail.tenant.directory.token(entry["access_token"]).expires = now + left
    if is_known:
        entry["requested_at"] = now + left - 3600
        entry["expires_at"] = now + left
        path.write_text(json.dumps(entry))


# ---- Microsoft's clouds and services ----

@pytest.mark.parametrize("login", [False, True], ids=["token", "password"])
@pytest.mark.parametrize("costume", [
    "exchange", "us-gov-high", "us-gov-dod", "china", "hve", "consumer"])
def test_message_is_accepted(given, costume, login):
    if login and costume == "consumer":
        pytest.skip("there are no passwords")
    mail = given(costume=costume, login=login)
    assert_sent(send(mail))
    [sent] = mail.tenant.messages
    assert sent.mechanism == ("LOGIN" if login else "XOAUTH2")
    if not login:
        [request] = mail.tenant.token_requests
        audience = COSTUMES[costume].audiences[0]
        assert request.form["scope"] == audience + "/.default"
        # All of them are known to take a long initial response.
        [command] = spoken(mail.tenant, "AUTH")
        assert command.startswith("AUTH XOAUTH2 ")


@pytest.mark.parametrize("costume, cloud", [
    ("exchange", "us-gov-high"), ("us-gov-high", "worldwide"),
    ("us-gov-high", "us-gov-dod"), ("china", "worldwide"),
])
def test_token_of_another_cloud_is_refused(given, costume, cloud):
    mail = given(costume=costume, config={"cloud": cloud})
    assert_fatal(send(mail), 77, "535 5.7.3 Authentication unsuccessful")
    assert mail.tenant.messages == []


def test_high_volume_email_refuses_outsiders_alone(given):
    mail = given(costume="hve")
    result = mail.sendmail365(
        "submit", "-v", OUTSIDER, BOSS, stdin=MESSAGE)
    assert outcomes(result) == {
        OUTSIDER: "bounced 5.7.1", BOSS: "sent 2.0.0"}
    [sent] = mail.tenant.messages
    assert sent.recipients == [BOSS]


@pytest.mark.parametrize("is_known, tries", [(True, 2), (False, 3)])
def test_high_volume_email_gets_a_token_that_lasts(given, is_known, tries):
    """It refuses what ends within 600 s: another is tried once."""
    mail = given(costume="hve")
    assert_sent(send(mail))
    age_token(mail, 590, is_known)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2
    assert len(spoken(mail.tenant, "AUTH")) == tries


def test_consumer_refuses_the_password(given):
    mail = given(costume="consumer", login=True)
    assert_fatal(send(mail), 77, "basic authentication is disabled")
    assert len(spoken(mail.tenant, "AUTH")) == 1


def test_communication_services_know_a_user_who_is_no_mailbox(given):
    mail = given(costume="acs")
    assert_sent(send(mail, OUTSIDER))
    [sent] = mail.tenant.messages
    assert sent.user == (
        f"contoso-mail|{mail.tenant.client_id}|{mail.tenant.tenant_id}")
    assert (sent.sender, sent.mechanism) == (ALERTS, "LOGIN")


@pytest.mark.parametrize("author, status", [
    ("noreply@contoso.example", 0), ("noreply@other.example", 69),
])
def test_communication_services_want_a_domain_of_theirs(
        given, author, status):
    mail = given(costume="acs", config={"send_as": f"*, {author}"})
    result = mail.sendmail(
        "-f", author, BOSS,
        stdin=MESSAGE.replace(ALERTS.encode(), author.encode()))
    assert result.returncode == status
    assert len(mail.tenant.messages) == (status == 0)
    assert (b"DomainNotLinked" in result.stderr) == (status != 0)


# ---- a relay ----

def test_relay_with_a_user_of_its_own(given):
    mail = given(costume="relay")
    assert_sent(send(mail, OUTSIDER))
    [sent] = mail.tenant.messages
    assert (sent.user, sent.sender) == ("apikey", ALERTS)


def test_relay_that_trusts_everybody(given):
    """Nobody signs in, but TLS is verified all the same."""
    mail = given(costume="relay", mechanisms=[])
    assert_sent(send(mail, OUTSIDER))
    [sent] = mail.tenant.messages
    assert (sent.user, sent.tls) == ("", True)
    assert spoken(mail.tenant, "AUTH") == []
    assert mail.tenant.token_requests == []


@pytest.mark.parametrize("mechanisms", [[], ["PLAIN"]])
def test_relay_that_is_an_impostor(given, mechanisms):
    mail = given(costume="relay", mechanisms=mechanisms,
                 submission_certificate="untrusted-ca")
    assert_fatal(send(mail), 75, "does not verify")
    assert spoken(mail.tenant, "AUTH") == spoken(mail.tenant, "MAIL") == []


def test_relay_that_wants_a_sign_in_after_all(given):
    mail = given(costume="relay", config={"sections": {"account": {
        "auth": "none", "login": None, "password_file": None}}})
    assert_fatal(send(mail), 69, f"554 5.7.1 <{BOSS}>: Relay access denied")


@pytest.mark.parametrize("offered, chosen", [
    (["LOGIN"], "LOGIN"),
    (["PLAIN"], "PLAIN"),
    (["PLAIN", "LOGIN"], "LOGIN"),
    (["CRAM-MD5", "plain", "GSSAPI"], "PLAIN"),
    (["XOAUTH2", "PLAINER", "PLAIN"], "PLAIN"),
])
def test_first_mechanism_that_is_offered_is_used(given, offered, chosen):
    hello = f"250-relay.example\n250-PIPELINING\n250 AUTH {' '.join(offered)}"
    mail = given(Rule("ehlo2", "reply", hello), **RELAY)
    assert_sent(send(mail, BOSS, OUTSIDER))
    [sent] = mail.tenant.messages
    assert (sent.mechanism, sent.user) == (chosen, ALERTS)
    assert len(spoken(mail.tenant, "AUTH")) == 1


def test_plain_goes_with_its_command(given):
    """RFC 4616: nobody to act for, the user, the password."""
    mail = given(mechanisms=["PLAIN"], **RELAY)
    assert_sent(send(mail))
    [command] = spoken(mail.tenant, "AUTH")
    encoded = command.removeprefix("AUTH PLAIN ")
    assert base64.b64decode(encoded) == (
        f"\0{ALERTS}\0{PASSWORD}".encode())


@pytest.mark.parametrize("length, words", [
    # "AUTH PLAIN " and the line end leave 499 of 512 octets, which is base64
    # of 372: two NULs, the user, the password.
    (370 - len(ALERTS), 3), (371 - len(ALERTS), 2), (4000, 2),
])
def test_long_password_waits_for_the_server(given, length, words):
    """RFC 4954: a command has 512 octets, the initial response counts."""
    mail = given(costume="relay", mechanisms=["PLAIN"], login=True,
                 mailboxes={ALERTS: {"password": "x" * length}},
                 auth_line_limit=512)
    assert_sent(send(mail))
    [command] = spoken(mail.tenant, "AUTH")
    assert len(command.split()) == words


def test_line_that_is_too_long_for_a_server_is_said_in_two(given):
    mail = given(mechanisms=["PLAIN"], auth_line_limit=40, **RELAY)
    assert_sent(send(mail))
    assert len(spoken(mail.tenant, "AUTH")) == 2


@pytest.mark.parametrize("offered, words", [
    ([], "it offers nothing"),
    (["XOAUTH2", "CRAM-MD5"], "it offers XOAUTH2 CRAM-MD5"),
])
def test_missing_mechanisms_are_named(given, offered, words):
    auth = f"250-AUTH {' '.join(offered)}\n" if offered else ""
    mail = given(
        Rule("ehlo2", "reply", f"250-relay.example\n{auth}250 8BITMIME"),
        **RELAY)
    result = send(mail)
    assert_fatal(result, 75, "does not offer AUTH LOGIN or PLAIN", words)
    for verb in ("AUTH", "MAIL"):
        assert spoken(mail.tenant, verb) == []


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_refused_password_is_not_repeated(given, mechanism):
    """Not even with the other mechanism: each try counts for a lock."""
    mail = given(**RELAY)
    mail.tenant.settings.mechanisms = [mechanism]
    (mail.directory / "password").write_text("wrong\n")
    assert_fatal(send(mail), 77, "535 5.7.8 Error: authentication failed")
    assert len(spoken(mail.tenant, "AUTH")) == 1
    assert mail.tenant.messages == []


def test_long_lines_reach_a_relay_without_binarymime(given):
    mail = given(mechanisms=["PLAIN"], **RELAY)
    body = b"x" * 5000 + b"\r\n"
    assert_sent(mail.sendmail(BOSS, stdin=message(body)))
    [sent] = mail.tenant.messages
    assert "BODY" not in sent.parameters
    assert sent.parsed.get_payload(decode=True) == body


# ---- no secret is seen ----

def forms(user=ALERTS, password=PASSWORD):
    """The password in every form in which it travels."""
    one = base64.b64encode(password.encode())
    both = base64.b64encode(f"\0{user}\0{password}".encode())
    return [password.encode(), one, both, both[-24:]]


def memory_of(pid):
    """All that a process could write to."""
    out = []
    maps = Path(f"/proc/{pid}/maps").read_text()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for begin, end in re.findall(r"^(\w+)-(\w+) rw.. ", maps, re.M):
            memory.seek(int(begin, 16))
            out.append(memory.read(int(end, 16) - int(begin, 16)))
    return b"".join(out)


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
@pytest.mark.parametrize("rules", [
    [], [Rule("auth", "reply", "535 5.7.8 no")],
    [Rule("auth", "reply", "334 eyJzdGF0dXMiOiI0MDAifQ==")],
    [Rule("auth", "close")], [Rule("auth", "garbage", "digits")],
    [Rule("auth-continue", "reply", "535 5.7.8 no")],
    [Rule("final", "reply", "554 5.0.0 no")],
], ids=["accepted", "refused", "challenged", "lost", "malformed",
        "refused-later", "message-refused"])
def test_password_is_not_in_the_log(given, mechanism, rules):
    mail = given(*rules, mechanisms=[mechanism], **RELAY)
    for result in (
            mail.sendmail365("submit", "-v", BOSS, stdin=MESSAGE),
            mail.sendmail("-v", BOSS, stdin=MESSAGE)):
        for form in forms():
            assert form not in result.stdout + result.stderr
        assert b"C: AUTH" not in result.stderr
    assert spoken(mail.tenant, "AUTH " + mechanism)


@pytest.mark.limits
@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_password_is_wiped_once_it_is_used(given, mechanism):
    if os.geteuid() != 0:
        pytest.skip("only root may look into the process")
    mail = given(Rule("final", "stall"), mechanisms=[mechanism], **RELAY)
    with Stalled(mail, "final") as stalled:
        memory = memory_of(stalled.child)
        # What is looked for would be found.
        assert b"backup of web1" in memory
        for form in forms():
            assert form not in memory
