"""Each failure has its exit status and one line with cause and cure."""
import os
import subprocess

import pytest

from fake365 import ALERTS, Rule, Scenario
from support import (BOSS, BUILD, HEADER, MESSAGE, STUCK, assert_fatal,
                     assert_sent)

EX_USAGE = 64
EX_DATAERR = 65
EX_NOUSER = 67
EX_UNAVAILABLE = 69
EX_TEMPFAIL = 75
EX_NOPERM = 77
EX_CONFIG = 78


def test_success_is_silent(mail):
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))


# ---- 64: the command line ----

@pytest.mark.parametrize("args, words", [
    ([], ["no recipients", "-t"]),
    (["-t"], ["no recipients"]),
    (["-z", BOSS], ["unknown option", "-z"]),
    (["--bogus", BOSS], ["unknown option", "--bogus"]),
    (["-f"], ["-f", "needs a value"]),
    (["-bz"], ["unknown mode", "-bz"]),
    (["-bd"], ["-bd", "not available"]),
    (["-f", "two@a.example,three@a.example", BOSS], ["-f"]),
    (["-f", "@", BOSS], ["-f"]),
], ids=" ".join)
def test_usage(mail, args, words):
    subject = b"Subject: nobody is named\n\nbody\n"
    assert_fatal(mail.sendmail(*args, stdin=subject), EX_USAGE, *words)
    assert mail.tenant.connections == []


# ---- 65: the message ----

def test_all_recipients_are_malformed(mail):
    result = mail.sendmail("@", "<", "a b@", stdin=MESSAGE)
    assert_fatal(result, EX_DATAERR, "bad recipient address", '"@"')
    assert mail.tenant.connections == []


def test_recipient_without_a_domain(mail):
    result = mail.sendmail("root", stdin=MESSAGE)
    assert_fatal(result, EX_DATAERR, '"root" has no domain', "[rewrite]")
    assert mail.tenant.connections == []


def test_header_that_no_server_takes(mail):
    header = HEADER + b"X-Long: " + b"x" * 1024 * 1024 + b"\r\n"
    result = mail.sendmail(BOSS, stdin=header + b"\r\nbody\r\n")
    assert_fatal(result, EX_DATAERR, "header")
    assert mail.tenant.connections == []


def test_message_is_larger_than_the_server_announces(given):
    mail = given(size_limit=1000)
    result = mail.sendmail(BOSS, stdin=MESSAGE + b"x" * 1000)
    assert_fatal(result, EX_DATAERR, "1000", "octets")
    assert mail.tenant.messages == []


def test_message_is_larger_than_the_server_takes(given):
    mail = given(drop={"SIZE"}, size_limit=1000)
    result = mail.sendmail(BOSS, stdin=MESSAGE + b"x" * 1000)
    assert_fatal(result, EX_DATAERR, "552 5.3.4", "too large",
                 "Set-Mailbox")


def test_header_is_larger_than_exchange_takes(given):
    mail = given(header_limit=1000)
    header = HEADER + b"X-Long: " + b"x " * 600 + b"\r\n"
    result = mail.sendmail(BOSS, stdin=header + b"\r\nbody\r\n")
    assert_fatal(result, EX_DATAERR, "552 5.3.4", "header", "256 KB")


# ---- what Exchange says: (rule, status, words of cause and cure) ----

STOREDRV = "STOREDRV.Submission.Exception:"

REPLIES = {
    "no-such-user": (
        ("rcpt", "550 5.1.1 User unknown"),
        EX_NOUSER, ["5.1.1", "no such recipient", "Get-EXORecipient"]),
    "not-found": (
        ("rcpt", "550 5.1.10 RESOLVER.ADR.RecipientNotFound"),
        EX_NOUSER, ["5.1.10", "no such recipient", "correct the address"]),
    "edge-block": (
        ("rcpt", "550 5.4.1 Recipient address rejected: Access denied."),
        EX_UNAVAILABLE, ["5.4.1", "no such recipient"]),
    "not-allowed": (
        ("rcpt", "550 5.7.1 TRANSPORT.RULES.RejectMessage"),
        EX_UNAVAILABLE, ["5.7.1", "does not take mail", "Set-Distribution"]),
    "signed-in-only": (
        ("rcpt", "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup"),
        EX_UNAVAILABLE, ["5.7.133", "signed-in"]),
    "unknown-refusal": (
        ("final", "554 5.9.9 for reasons of our own"),
        EX_UNAVAILABLE, ["5.9.9", "for reasons of our own", "end of data"]),
    "content": (
        ("final", "554 5.6.0 Corrupt message content"),
        EX_DATAERR, ["5.6.0", "MIME"]),
    "size-of-mailbox": (
        ("final", f"554 5.2.0 {STOREDRV}MessageSubmissionExceededException."
         "MapiExceptionMaxSubmissionExceeded"),
        EX_UNAVAILABLE, ["larger than this mailbox", "MaxSendSize"]),
    "daily-limit": (
        ("final", f"554 5.2.0 {STOREDRV}SubmissionQuotaExceededException"),
        EX_TEMPFAIL, ["too many", "wait"]),
    "mailbox-full": (
        ("final", f"554 5.2.0 {STOREDRV}QuotaExceededException"),
        EX_TEMPFAIL, ["full", "Sent Items"]),
    "banned": (
        ("final", "550 5.1.8 Access denied, bad outbound sender"),
        EX_TEMPFAIL, ["blocked", "restrictedentities"]),
    "throttled": (
        ("final", "432 4.3.2 Concurrent connections limit exceeded."),
        EX_TEMPFAIL, ["432 4.3.2", "more than 3 connections"]),
    "stopped": (
        ("mail", "421 4.3.2 Service not active"),
        EX_TEMPFAIL, ["421 4.3.2", "out of service"]),
    "busy-banner": (
        ("banner", "421 4.3.2 Service not available"),
        EX_TEMPFAIL, ["421", "greeting"]),
    "refused-banner": (
        ("banner", "554 5.7.1 go away"), EX_TEMPFAIL, ["554", "greeting"]),
    "temporary": (
        ("final", "451 4.7.0 Temporary server error. Please try again "
         "later. PRX5"),
        EX_TEMPFAIL, ["451 4.7.0", "Get-EXOMailbox"]),
    "auth-temporary": (
        ("auth", "454 4.7.0 Temporary authentication failure"),
        EX_TEMPFAIL, ["454 4.7.0", "cannot check sign-ins"]),
    "auth-off-for-all": (
        ("auth", "535 5.7.139 Authentication unsuccessful, "
         "SmtpClientAuthentication is disabled for the Tenant."),
        EX_NOPERM, ["switched off for the organization", "Set-CASMailbox"]),
    "auth-off": (
        ("auth", "535 5.7.139 Authentication unsuccessful, "
         "SmtpClientAuthentication is disabled for the Mailbox."),
        EX_NOPERM, ["switched off for this mailbox", "Set-CASMailbox"]),
    "conditional-access": (
        ("auth", "535 5.7.139 Authentication unsuccessful, the request did "
         "not meet the criteria to be authenticated successfully."),
        EX_NOPERM, ["Conditional Access", "Sign-in logs"]),
    "not-permitted": (
        ("auth", "535 5.7.3 Authentication unsuccessful"),
        EX_NOPERM, ["535 5.7.3", "Add-MailboxPermission",
                    "New-ServicePrincipal", "SMTP.SendAsApp"]),
    "logon-failed": (
        ("auth", "430 4.2.0 STOREDRV; mailbox logon failure; "
         "MapiExceptionLogonFailed"),
        EX_TEMPFAIL, ["may not open this mailbox", "Add-MailboxPermission"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REPLIES)
def test_reply_of_exchange(given, name):
    (phase, text), status, words = REPLIES[name]
    mail = given(Rule(phase, "reply", text))
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), status, *words)
    assert mail.tenant.messages == []


def test_sender_that_is_not_allowed(given):
    """send_as says more than Exchange allows."""
    mail = given(config={"send_as": "shop@contoso.example"})
    given_as = MESSAGE.replace(ALERTS.encode(), b"shop@contoso.example", 1)
    result = mail.sendmail("-f", "shop@contoso.example", BOSS,
                           stdin=given_as)
    assert_fatal(result, EX_UNAVAILABLE, "SendAsDenied",
                 "Add-RecipientPermission", "send_as")


# ---- 75: the network ----

def test_connection_is_refused(given, dead_port):
    mail = given(config={"port": dead_port})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "no connection", str(dead_port),
                 "refused", "firewall")


def test_host_has_no_address(given):
    mail = given(config={"host": "nosuch.invalid"})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "nosuch.invalid", "DNS")


def test_exchange_stalls(given):
    mail = given(Rule("banner", "stall"), stalls=True)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "does not answer", "localhost")


# ---- the token endpoint ----

def test_token_endpoint_is_down(given, dead_port):
    mail = given(config={"authority": f"https://localhost:{dead_port}"})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "localhost", "no connection", "443",
                 "proxy")


def test_token_endpoint_has_no_address(given):
    mail = given(config={"authority": "https://nosuch.invalid"})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "nosuch.invalid", "DNS")


@pytest.mark.parametrize("phase", ["token-connect", "token-tls", "token"])
def test_token_endpoint_stalls(given, phase):
    mail = given(Rule(phase, "stall"), stalls=True)
    result = mail.sendmail(BOSS, stdin=MESSAGE, timeout=STUCK)
    assert_fatal(result, EX_TEMPFAIL, "localhost", "no answer in time")


@pytest.mark.slow
@pytest.mark.parametrize("phase, action", [
    (phase, action)
    for phase in ("token-connect", "token-tls", "token")
    for action in ("close", "reset", "garbage")
])
def test_token_endpoint_breaks(given, phase, action):
    mail = given(Rule(phase, action))
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "localhost")
    assert "submission" not in {c.service for c in mail.tenant.connections}


@pytest.mark.parametrize("status, words", [
    (429, ["HTTP 429"]), (500, ["HTTP 500"]), (503, ["HTTP 503"]),
])
def test_token_endpoint_is_busy(given, status, words):
    mail = given(Rule("token", "http", {"status": status}))
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "Entra gives no token now", *words)


ENTRA = {
    "transient": (90033, EX_TEMPFAIL, ["temporary fault of Entra"]),
    "loop": (50196, EX_TEMPFAIL, ["too often", "state_directory"]),
    "wrong-secret": (7000215, EX_NOPERM, [
        "AADSTS7000215", "client secret is wrong", "Value",
        "client_secret_file"]),
    "expired-secret": (7000222, EX_NOPERM, [
        "AADSTS7000222", "has expired", "Certificates & secrets",
        "client_secret_file"]),
    "conditional-access": (53003, EX_NOPERM, [
        "Conditional Access", "Sign-in logs"]),
    "wrong-tenant": (90002, EX_CONFIG, [
        "AADSTS90002", "no such tenant", "check tenant"]),
    "unknown-app": (700016, EX_CONFIG, [
        "AADSTS700016", "not known in this tenant", "client_id"]),
    "disabled-app": (7000112, EX_CONFIG, ["disabled", "enable it"]),
    "wrong-scope": (70011, EX_CONFIG, ["scope is wrong", ".default"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRA)
def test_error_of_entra(given, name):
    number, status, words = ENTRA[name]
    mail = given(Rule("token", "error", number))
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), status, *words)
    assert "submission" not in {c.service for c in mail.tenant.connections}


@pytest.mark.parametrize("config, status, words", [
    ({"tenant": "typo.example"}, EX_CONFIG, ["AADSTS90002"]),
    ({"client_id": "99999999-2222-3333-4444-555555555555"}, EX_CONFIG,
     ["AADSTS700016"]),
])
def test_typo_that_only_entra_can_find(given, config, status, words):
    mail = given(config=config)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), status, *words)


@pytest.mark.parametrize("secret, words", [
    ("not the secret", ["AADSTS7000215"]),
    ("0ld~s3cr3t+of/the=app", ["AADSTS7000222"]),
])
def test_secret_file_holds_another_secret(mail, secret, words):
    (mail.directory / "client-secret").write_text(secret + "\n")
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), EX_NOPERM, *words)


@pytest.mark.parametrize("options, words", [
    ({"basic_authentication": False},
     ["535 5.7.139", "not allowed", "client_secret_file"]),
    ({"mailboxes": {ALERTS: {"password": "p", "smtp_auth_disabled":
                             "Mailbox"}}},
     ["535 5.7.139", "Set-CASMailbox"]),
    ({"mailboxes": {ALERTS: {"password": "p", "smtp_auth_disabled":
                             "Tenant"}}},
     ["535 5.7.139", "switched off for the organization"]),
])
def test_password_that_exchange_does_not_take(given, options, words):
    mail = given(login=True, **options)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), EX_NOPERM, *words)


def test_wrong_password(given):
    mail = given(login=True)
    (mail.directory / "password").write_text("wrong\n")
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_NOPERM, "user or password is wrong",
                 "password_file")


# ---- 78: the configuration ----

as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="-C is for root alone")


@as_root
def test_no_configuration(programs):
    programs.config = programs.directory / "none.conf"
    result = programs.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_CONFIG, "none.conf", "no such file",
                 "sendmail365.conf(5)")


@as_root
def test_configuration_is_a_directory(programs):
    programs.config = programs.directory
    result = programs.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_CONFIG, "not a regular file")


@pytest.mark.parametrize("keys, words", [
    ({"user": "no address"}, ["user"]),
    ({"user": None}, ['"user" is missing']),
    ({"port": "smtp"}, ["port"]),
    ({"tenant": None}, ['"tenant" is missing']),
    ({"client_secret_file": None}, ['"client_secret_file" is missing']),
    ({"client_secret_file": "nowhere"}, ["nowhere", "no such file"]),
    ({"ca_file": "nowhere"}, ["nowhere"]),
    ({"authority": "http://localhost"}, ["authority", "https"]),
    ({"tenant": "../../evil"}, ["tenant"]),
    ({"timeout": "soon"}, ["timeout"]),
    ({"recipients_per_message": "0"}, ["recipients_per_message"]),
], ids=lambda v: "+".join(v) if isinstance(v, dict) else "")
def test_configuration_is_wrong(given, keys, words):
    mail = given(config=keys)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_CONFIG, *words)
    assert mail.tenant.messages == []


@pytest.mark.parametrize("keys, words", [
    ({"usr": "x@y.example"}, ['unknown key "usr"', "user"]),
    ({"tennant": "contoso.example"}, ['unknown key "tennant"', "tenant"]),
    ({"state_directory": "/tmp"}, ["state_directory", "[service]"]),
    ({"frobnicate": "yes"}, ['unknown key "frobnicate"', "[account]"]),
])
def test_unknown_key(given, keys, words):
    mail = given(config=keys)
    [key] = keys
    lines = open(mail.config).read().split("\n")
    number = lines.index(f"{key} = {keys[key]}") + 1
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_CONFIG, f"{mail.config}:{number}: ", *words)
    assert mail.tenant.connections == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_secret_that_others_can_read(mail, mode):
    (mail.directory / "client-secret").chmod(mode)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_CONFIG, "client-secret", "chmod 600")
    assert mail.tenant.connections == []


def test_configuration_that_others_can_write(mail):
    os.chmod(mail.config, 0o666)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_CONFIG, "chmod go-w")


def test_configuration_of_a_caller_s_choice(mail, other_user):
    """A web program's options would send our secret to any host."""
    user = other_user(mail)
    result = mail.sendmail("-C", mail.config, BOSS, stdin=MESSAGE, **user)
    assert_fatal(result, EX_NOPERM, "-C", "root only")
    assert mail.tenant.connections == []


def test_unreadable_configuration(mail, other_user):
    """Nobody's own: root would read it all the same."""
    mail.directory.chmod(0o755)
    os.chmod(mail.config, 0)
    result = mail.sendmail(BOSS, stdin=MESSAGE, **other_user(mail))
    assert_fatal(result, EX_CONFIG, "sendmail365.conf", "cannot read it",
                 "run this as")


def test_companion_program_is_missing(mail):
    lonely = mail.directory / "sendmail"
    lonely.write_bytes(open(mail.sendmail_path, "rb").read())
    lonely.chmod(0o755)
    if os.path.exists("/usr/sbin/sendmail365"):
        pytest.skip("the installed one would be started")
    mail.sendmail_path = lonely
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_TEMPFAIL, "sendmail365", "is not installed")


# ---- the same for the companion program, which names itself ----

@pytest.mark.parametrize("rule, status, words", [
    (Rule("rcpt", "reply", "550 5.1.1 no"), EX_NOUSER, "no such recipient"),
    (Rule("final", "reply", "554 5.9.9 no"), EX_UNAVAILABLE, "5.9.9"),
    (Rule("banner", "reply", "421 4.3.2 no"), EX_TEMPFAIL, "greeting"),
    (Rule("token", "error", 7000222), EX_NOPERM, "expired"),
    (Rule("token", "error", 90002), EX_CONFIG, "no such tenant"),
], ids=["67", "69", "75", "77", "78"])
def test_companion_program_has_the_same_statuses(given, rule, status, words):
    mail = given(rule)
    result = mail.sendmail365("submit", BOSS, stdin=MESSAGE)
    assert result.returncode == status
    assert result.stdout == b""
    text = result.stderr.decode()
    assert text.startswith("sendmail365: fatal: ") and words in text
    assert text.count("\n") == 1


def test_scenarios_are_what_they_say():
    """A misspelt phase would make a test that shows nothing."""
    with pytest.raises(ValueError):
        Scenario(Rule("tokem", "error", 1))


@pytest.mark.parametrize("words", [
    ["check"], ["explain", ALERTS], ["explain", "5.7.139"], ["verify", BOSS],
    ["queue", "list"], ["setup", "--print"], ["--version"], ["--help"],
], ids=" ".join)
def test_what_cannot_be_printed_is_no_success(mail, words):
    command = [BUILD / "sendmail365", *words]
    if not words[0].startswith("-"):
        command[2:2] = ["-C", mail.config]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 74, done.stderr
