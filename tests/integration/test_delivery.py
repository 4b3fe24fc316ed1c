"""Messages arrive: whole, once for each recipient, whatever the way."""
import email.base64mime
import quopri
import random
import string

import pytest

from support import (
    ALERTS, BOSS, HEADER, MESSAGE, OUTSIDER, assert_sent, message, spoken,
)

MEGABYTE = 1024 * 1024

slow = pytest.mark.slow

WAYS = [
    pytest.param((), id="BDAT"),
    pytest.param({"CHUNKING"}, id="DATA"),
    pytest.param({"PIPELINING"}, id="BDAT-one-by-one", marks=slow),
    pytest.param(
        {"CHUNKING", "PIPELINING"}, id="DATA-one-by-one", marks=slow),
    pytest.param(
        {"CHUNKING", "PIPELINING", "SIZE", "8BITMIME", "BINARYMIME",
         "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"}, id="bare-SMTP",
        marks=slow),
]


# ---- signing in ----

@pytest.mark.parametrize("login, mechanism", [
    (False, "XOAUTH2"), (True, "LOGIN"),
])
def test_message_arrives_as_the_mailbox(given, login, mechanism):
    mail = given(login=login)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    [sent] = mail.tenant.messages
    assert (sent.user, sent.mechanism, sent.tls) == (ALERTS, mechanism, True)
    assert (sent.sender, sent.recipients) == (ALERTS, [BOSS])
    assert sent.raw == MESSAGE
    assert mail.tenant.wait_for(
        lambda: "C: QUIT" in mail.tenant.dialogue())


@pytest.mark.parametrize("version, name", [
    ("1.2", "TLSv1.2"), ("1.3", "TLSv1.3"),
])
def test_tls_versions_that_are_good(given, version, name):
    mail = given(tls_version=version)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    connection = next(
        c for c in mail.tenant.connections if c.service == "submission")
    assert connection.tls_version == name
    assert connection.server_name == "localhost"


def test_message_from_the_companion_program(mail):
    result = mail.sendmail365("submit", "-i", BOSS, stdin=MESSAGE)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert mail.tenant.messages[0].raw == MESSAGE


# ---- bodies ----

def alphabet_line(chance, length):
    return "".join(
        chance.choices(string.ascii_letters + " .", k=length)).encode()


def random_mime(seed):
    """A message of many kinds of parts, as real programs make them."""
    chance = random.Random(seed)
    noise = chance.randbytes(chance.randrange(1000, 60000))
    text = "Grüße aus Zürich – 東京\r\n" * chance.randrange(1, 200)
    dots = [b"." * n for n in range(1, 5)] + [b".", b"..x", b".\t."]
    long = [alphabet_line(chance, 998), b"." + alphabet_line(chance, 997),
            alphabet_line(chance, 998)[:997] + b"."]
    signed = b"\r\n".join([
        b"--inner", b"Content-Type: text/plain", b"",
        b"trailing blanks   ", b"\ttabs\t", b"From here on", *dots,
        b"--inner", b"Content-Type: application/pgp-signature", b"",
        b"-----BEGIN PGP SIGNATURE-----", b"", b"iQ==",
        b"-----END PGP SIGNATURE-----", b"--inner--", b""])
    parts = [
        (b"application/octet-stream", b"base64", base64_lines(noise)),
        (b"text/plain; charset=utf-8", b"8bit", text.encode()),
        (b"text/plain; charset=iso-8859-1", b"8bit",
         bytes(range(0xa0, 0x100)) + b"\r\n"),
        (b'multipart/signed; boundary="inner"', b"7bit", signed),
        (b"text/plain", b"7bit", b"\r\n".join(long + dots) + b"\r\n"),
        (b"text/plain", b"7bit", b"\r\n\r\n\r\n"),
    ]
    chance.shuffle(parts)
    body = b"preamble\r\n" + b"".join(
        b"--outer\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n"
        b"\r\n%s" % part for part in parts) + b"--outer--\r\n"
    return message(
        body, "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="outer"',
        "Content-Transfer-Encoding: 8bit")


def base64_lines(data):
    text = email.base64mime.body_encode(data)
    return text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=slow)])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("drop", WAYS)
def test_mime_is_the_same_after_transport(given, drop, line_end, seed):
    mail = given(drop=drop)
    whole = random_mime(seed)
    given_as = whole.replace(b"\r\n", line_end)
    assert_sent(mail.sendmail("-i", BOSS, stdin=given_as))
    [sent] = mail.tenant.messages
    assert sent.raw == whole
    assert sent.via == ("DATA" if "CHUNKING" in drop else "BDAT")


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("given_as, arrives", [
    pytest.param(HEADER, HEADER + b"\r\n", id="header-only"),
    pytest.param(HEADER + b"\r\n", HEADER + b"\r\n", id="empty-line"),
    pytest.param(HEADER + b"\r\n\r\n", HEADER + b"\r\n\r\n", id="two-lines"),
    pytest.param(HEADER + b"\r\n.", HEADER + b"\r\n.\r\n", id="a-dot"),
    pytest.param(HEADER + b"\r\n..\r\n", HEADER + b"\r\n..\r\n", id="dots"),
])
def test_small_bodies(given, drop, given_as, arrives):
    mail = given(drop=drop)
    assert_sent(mail.sendmail("-i", BOSS, stdin=given_as))
    [sent] = mail.tenant.messages
    assert sent.raw == arrives


def test_nothing_at_all_is_a_message(mail):
    assert_sent(mail.sendmail(BOSS, stdin=b""))
    [sent] = mail.tenant.messages
    assert sent.body == b""
    assert set(sent.parsed.keys()) >= {"From", "Date", "Message-ID"}


@pytest.mark.slow
@pytest.mark.parametrize("drop", WAYS[:2])
def test_body_of_35_megabytes(given, drop):
    mail = given(drop=drop)
    line = random.Random(35).randbytes(57).hex().encode()[:98] + b"\r\n"
    body = b".dot at the start\r\n" + line * (35 * MEGABYTE // len(line))
    assert_sent(mail.sendmail("-i", BOSS, stdin=message(body)))
    [sent] = mail.tenant.messages
    assert sent.body == body


LONG_LINES = [
    pytest.param("x" * 999, id="999-octets"),
    pytest.param("a " * 5000, id="10000-octets"),
    pytest.param("ü" * 4000, id="8000-octets-of-UTF-8"),
    pytest.param("a\0b", id="NUL"),
]


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("text", LONG_LINES)
def test_text_that_does_not_fit_lines_is_encoded(given, drop, text):
    mail = given(drop=drop)
    body = f"begin\r\n{text}\r\n.\r\nend = 3D\r\n".encode()
    assert_sent(mail.sendmail("-i", BOSS, stdin=message(body)))
    [sent] = mail.tenant.messages
    assert max(map(len, sent.raw.split(b"\r\n"))) <= 78
    assert sent.parsed["Content-Transfer-Encoding"] == "quoted-printable"
    assert quopri.decodestring(sent.body) == body


@pytest.mark.parametrize("drop", WAYS[:2])
@pytest.mark.parametrize("text", LONG_LINES)
def test_mime_that_does_not_fit_lines_stays(given, drop, text):
    """It may be signed: nobody but its author can change it."""
    mail = given(drop=drop)
    whole = message(
        f"begin\r\n{text}\r\n.\r\nend\r\n".encode(), "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: binary")
    assert_sent(mail.sendmail("-i", BOSS, stdin=whole))
    [sent] = mail.tenant.messages
    assert sent.raw == whole
    if not drop:
        assert sent.parameters["BODY"] == "BINARYMIME"


def test_8bit_is_announced(mail):
    assert_sent(mail.sendmail(BOSS, stdin=message("Grüße\r\n".encode())))
    [sent] = mail.tenant.messages
    assert sent.parameters["BODY"] == "8BITMIME"


def test_size_is_announced(mail):
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    [sent] = mail.tenant.messages
    assert int(sent.parameters["SIZE"]) == len(sent.raw)


# ---- what the caller's header becomes ----

def test_author_of_another_domain_becomes_the_mailbox(mail):
    given_as = MESSAGE.replace(
        ALERTS.encode(), b"Web Shop <shop@web1.example>", 1)
    assert_sent(mail.sendmail("-f", "shop@web1.example", BOSS,
                              stdin=given_as))
    [sent] = mail.tenant.messages
    assert sent.sender == ALERTS
    assert f"<{ALERTS}>" in sent.parsed["From"]
    assert "Web Shop" in sent.parsed["From"]


def test_author_that_send_as_allows_stays(given):
    boss = {ALERTS: {"send_as": ["@contoso.example"]}}
    mail = given(mailboxes=boss, config={"send_as": "@contoso.example"})
    given_as = MESSAGE.replace(ALERTS.encode(), b"shop@contoso.example", 1)
    assert_sent(mail.sendmail("-f", "shop@contoso.example", BOSS,
                              stdin=given_as))
    [sent] = mail.tenant.messages
    assert sent.sender == "shop@contoso.example"
    assert sent.raw == given_as


def test_blind_copies_get_the_message_and_nobody_sees_them(mail):
    given_as = message(b"x\r\n", f"Bcc: {OUTSIDER}")
    assert_sent(mail.sendmail("-t", stdin=given_as))
    [sent] = mail.tenant.messages
    assert sent.recipients == [BOSS, OUTSIDER]
    assert b"bcc" not in sent.raw.lower()
    assert OUTSIDER.encode() not in sent.raw


# ---- many recipients ----

@pytest.mark.slow
@pytest.mark.parametrize("drop", WAYS[:4])
def test_1200_recipients_take_three_transactions(given, drop):
    mail = given(drop=drop)
    recipients = [f"r{i}@contoso.example" for i in range(1200)]
    assert_sent(mail.sendmail(*recipients, stdin=MESSAGE))
    got = [m.recipients for m in mail.tenant.messages]
    assert [len(some) for some in got] == [500, 500, 200]
    assert sum(got, []) == recipients
    assert {m.raw for m in mail.tenant.messages} == {MESSAGE}
    assert len(spoken(mail.tenant, "AUTH")) == 1


def test_recipients_per_message_is_configured(given):
    mail = given(config={"recipients_per_message": 2})
    recipients = [f"r{i}@contoso.example" for i in range(5)]
    assert_sent(mail.sendmail(*recipients, stdin=MESSAGE))
    got = [m.recipients for m in mail.tenant.messages]
    assert got == [recipients[:2], recipients[2:4], recipients[4:]]


def test_recipient_that_is_named_twice_gets_one_message(mail):
    assert_sent(mail.sendmail("-t", BOSS, OUTSIDER, BOSS, stdin=MESSAGE))
    [sent] = mail.tenant.messages
    assert sorted(sent.recipients) == [BOSS, OUTSIDER]
