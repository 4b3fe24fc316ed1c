"""--dry-run and explain: nothing is sent, and all of it is true."""
import json
import re

import pytest

from fake365 import ALERTS
from support import BOSS, HEADER, MESSAGE, OUTSIDER, message

MESSAGES = {
    "nothing-to-change": MESSAGE,
    "other-author": MESSAGE.replace(
        ALERTS.encode(), b"Web Shop <shop@web1.example>", 1),
    "reply-to": MESSAGE.replace(
        ALERTS.encode(), b"shop@web1.example", 1).replace(
        b"Date:", b"Reply-To: help@web1.example\r\nDate:"),
    "no-author": MESSAGE.partition(b"\r\n")[2],
    "two-authors": MESSAGE.replace(
        ALERTS.encode(), b"a@x.example, b@y.example", 1),
    "sender": MESSAGE.replace(
        b"Date:", b"Sender: x@y.example\r\nReturn-Path: <a@b.example>\r\n"
        b"Date:"),
    "names": MESSAGE.replace(
        b"backup of web1", "Grüße aus Zürich".encode()),
    "long-lines": message(b"x" * 5000 + b"\r\n"),
    "8-bit": message("Grüße\r\n".encode()),
    "mime": message(b"x" * 5000 + b"\r\n", "MIME-Version: 1.0",
                    "Content-Type: text/plain"),
    "bcc": message(b"x\r\n", f"Bcc: {OUTSIDER}"),
    "escapes": message(b"x\r\n", "X-Bell: \x07\x1b[31m"),
    "folded": message(b"x\r\n", "X-Folded: one", " two", "\tthree"),
}


def without_chance(raw):
    """A message without what differs each time."""
    return re.sub(rb"(?m)^(Date|Message-ID): .*\r\n", b"", raw)


@pytest.fixture
def submit(mail):
    """Run submit and check that nothing was sent, or everything."""
    def run(*args, stdin):
        before = len(mail.tenant.connections)
        result = mail.sendmail365("submit", "-i", *args, stdin=stdin)
        assert result.returncode == 0, result.stderr
        if "--dry-run" in args:
            assert len(mail.tenant.connections) == before
            assert mail.tenant.token_requests == []
            assert not mail.state.exists()
        return result.stdout
    return run


@pytest.mark.parametrize("name", MESSAGES)
def test_message_that_is_shown_is_the_one_that_is_sent(mail, submit, name):
    given_as = MESSAGES[name]
    shown = submit("--dry-run", "-f", "root@web1.example", BOSS,
                   stdin=given_as)
    plan, _, content = shown.partition(b"\nmessage\n")
    submit("-f", "root@web1.example", BOSS, stdin=given_as)
    [sent] = mail.tenant.messages
    assert without_chance(content) == without_chance(sent.raw)
    assert f"<{sent.sender}>" in plan.decode()
    assert re.findall(r"(?m)^recipient +<(.*)>", plan.decode()) == [BOSS]


def fields_of(raw):
    """[(name, unfolded value)] of a header."""
    head = re.sub(rb"\r\n([ \t])", rb"\1", raw.partition(b"\r\n\r\n")[0])
    return [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")]


@pytest.mark.slow
@pytest.mark.parametrize("name", MESSAGES)
def test_edits_are_what_happens_to_the_header(mail, submit, name):
    given_as = MESSAGES[name]
    plan = json.loads(submit(
        "--dry-run", "--json", "-f", "root@web1.example", BOSS,
        stdin=given_as))
    submit("-f", "root@web1.example", BOSS, stdin=given_as)
    [sent] = mail.tenant.messages
    assert plan["sender"] == sent.sender
    assert plan["sender_before"] == "root@web1.example"
    assert plan["recipients"] == sent.recipients
    assert plan["account"] == ALERTS
    arrived = fields_of(sent.raw)
    for edit in plan["edits"]:
        assert edit["reason"]
        field = edit["field"].encode()
        before = (field, edit.get("before", "").encode())
        after = (field, re.sub("\r\n", "", edit.get("after", "")).encode())
        if edit["edit"] == "add":
            assert before not in fields_of(given_as)
        if edit["edit"] in ("remove", "replace"):
            assert before not in arrived
        if edit["edit"] in ("add", "replace"):
            assert after in arrived
    # What no edit names is as it was.
    edited = {edit["field"].lower() for edit in plan["edits"]}
    kept = {b"date", b"message-id", b"bcc", b"return-path", b"from"}
    for field in fields_of(given_as):
        known = field[0].lower()
        if known.decode() not in edited and known not in kept:
            assert field in arrived
    is_encoded = b"quoted-printable" in sent.head.lower()
    assert plan["encodes_body"] == is_encoded


@pytest.mark.parametrize("address, becomes", [
    ("root@web1.example", ALERTS), (ALERTS, ALERTS), ("root", ALERTS),
])
def test_explain_says_what_becomes_of_a_sender(mail, address, becomes):
    result = mail.sendmail365("explain", "--json", address, BOSS)
    assert (result.returncode, result.stderr) == (0, b"")
    plan = json.loads(result.stdout)
    assert (plan["sender"], plan["recipients"]) == (becomes, [BOSS])
    text = mail.sendmail365("explain", address, BOSS).stdout.decode()
    assert f"<{becomes}>" in text and f"<{BOSS}>" in text
    assert mail.tenant.connections == []
    assert not mail.state.exists()
    mail.sendmail("-f", address, BOSS, stdin=HEADER + b"\r\n")
    assert mail.tenant.messages[0].sender == becomes


def test_explain_is_the_plan_of_a_message(mail, submit):
    """The same policy answers both."""
    given_as = b"From: shop@web1.example\r\n\r\n"
    of_message = json.loads(submit(
        "--dry-run", "--json", "-f", "shop@web1.example", BOSS,
        stdin=given_as))
    result = mail.sendmail365("explain", "--json", "shop@web1.example", BOSS)
    of_address = json.loads(result.stdout)
    chance = ("Date", "Message-ID")
    for plan in (of_message, of_address):
        plan["edits"] = [e for e in plan["edits"] if e["field"] not in chance]
    assert of_message == of_address


@pytest.mark.parametrize("code, words", [
    (["535 5.7.139 disabled for the Tenant"], "Set-CASMailbox"),
    (["5.7.139"], "Sign-in logs"), (["535"], "sign-in"),
    (["AADSTS7000222"], "has expired"), (["7000215"], "secret is wrong"),
    (["5.2.252"], "SendAs"),
])
def test_explain_a_code(mail, code, words):
    result = mail.sendmail365("explain", *code)
    assert (result.returncode, result.stderr) == (0, b"")
    assert words in result.stdout.decode()


def test_explain_an_unknown_code(mail):
    result = mail.sendmail365("explain", "AADSTS12345678")
    assert result.returncode == 69
    assert b"not in the table" in result.stdout


@pytest.mark.parametrize("login", [False, True], ids=["OAuth", "password"])
def test_check_of_a_good_configuration(given, login):
    mail = given(login=login)
    result = mail.sendmail365("check")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().endswith(f"{mail.config}: ok\n")
    assert mail.tenant.connections == []


@pytest.mark.parametrize("keys", [
    {"usr": "x"}, {"ca_file": "nowhere"}, {"client_secret_file": "nowhere"},
])
def test_check_of_a_bad_configuration(given, keys):
    mail = given(config=keys)
    result = mail.sendmail365("check")
    assert (result.returncode, result.stdout) == (78, b"")
    text = result.stderr.decode()
    assert text.startswith("sendmail365: fatal: ") and text.count("\n") == 1


def test_dry_run_of_what_cannot_be_sent(mail):
    """Sending would say that root has no domain."""
    result = mail.sendmail365("submit", "--dry-run", "root", stdin=MESSAGE)
    assert b"has no domain" in result.stdout + result.stderr
    assert mail.tenant.connections == []
