"""Line ends and smuggling: one message goes in, exactly one comes out.

Whatever stands for a line end in what the caller writes, CR and LF arrive as
pairs only, and nothing in a message can end it or begin another one.
"""
import pytest

from support import (
    BOSS, HEADER, assert_sent, feed, finish, spoken,
)

WAYS = [
    pytest.param((), id="BDAT", marks=pytest.mark.slow),
    pytest.param({"CHUNKING"}, id="DATA"),
]

#: What an attacker wants to be heard as commands.
FORGED = (
    b"MAIL FROM:<boss@contoso.example>\r\n"
    b"RCPT TO:<victim@contoso.example>\r\n"
    b"DATA\r\nFrom: boss@contoso.example\r\n\r\nforged\r\n.\r\n"
)

#: (name, body as given, body as it arrives) with -i
BODIES = [
    ("LF", b"a\nb\n", b"a\r\nb\r\n"),
    ("CRLF", b"a\r\nb\r\n", b"a\r\nb\r\n"),
    ("mixture", b"a\r\nb\nc\r\n\nd\n", b"a\r\nb\r\nc\r\n\r\nd\r\n"),
    ("CR-CR-LF", b"a\r\r\nb\r\r\r\nc\r\n", b"a\r\nb\r\nc\r\n"),
    ("no-last-line-end", b"a\nb", b"a\r\nb\r\n"),
    ("CR-at-the-end", b"a\nb\r", b"a\r\nb\r\n"),
    ("bare-CR", b"a\rb\n", b"a\r\nb\r\n"),
    ("bare-CRs", b"a\r\rb\n", b"a\r\n\r\nb\r\n"),
    ("LF-dot-LF", b"a\n.\nb\n", b"a\r\n.\r\nb\r\n"),
    ("CR-dot-CR", b"a\r.\rb\n", b"a\r\n.\r\nb\r\n"),
    ("LF-dot-CRLF", b"a\n.\r\nb\n", b"a\r\n.\r\nb\r\n"),
    ("CRLF-dot-LF", b"a\r\n.\nb\n", b"a\r\n.\r\nb\r\n"),
    ("CRLF-dot-CRLF", b"a\r\n.\r\nb\r\n", b"a\r\n.\r\nb\r\n"),
    ("CR-dot-LF", b"a\r.\nb\n", b"a\r\n.\r\nb\r\n"),
    ("LF-dot-CR", b"a\n.\rb\n", b"a\r\n.\r\nb\r\n"),
    ("NUL-after-dot", b"a\n.\0\nb\n", None),
]

ENDINGS = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r\n",
           b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r.\n", b"\n\r.\r\n",
           b"\r\r\n.\r\r\n"]


def check_the_one_message(tenant):
    """Exactly one message was sent, with pairs of CR and LF only."""
    [sent] = tenant.messages
    rest = sent.raw.replace(b"\r\n", b"")
    assert b"\r" not in rest and b"\n" not in rest
    assert sent.recipients == [BOSS]
    assert spoken(tenant, "RCPT") == [f"RCPT TO:<{BOSS}>"]
    assert len(spoken(tenant, "MAIL")) == 1
    return sent


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize(
    "body, arrives", [row[1:] for row in BODIES],
    ids=[row[0] for row in BODIES])
def test_bodies(given, drop, body, arrives):
    mail = given(drop=drop)
    assert_sent(mail.sendmail("-i", BOSS, stdin=HEADER + b"\r\n" + body))
    sent = check_the_one_message(mail.tenant)
    if arrives is not None:
        assert sent.body == arrives


@pytest.mark.slow
@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("ending", ENDINGS, ids=repr)
def test_smuggled_commands_stay_text(given, drop, ending):
    mail = given(drop=drop)
    body = b"first" + ending + FORGED + b"last\r\n"
    assert_sent(mail.sendmail("-i", BOSS, stdin=HEADER + b"\r\n" + body))
    sent = check_the_one_message(mail.tenant)
    assert sent.body.startswith(b"first\r\n")
    assert b"\r\nRCPT TO:<victim@contoso.example>\r\n" in sent.body
    assert sent.body.endswith(b"\r\nlast\r\n")


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("ending", ENDINGS[:5], ids=repr)
def test_smuggled_commands_that_writes_divide(given, drop, ending):
    body = b"first" + ending + FORGED + b"last\r\n"
    first = len(HEADER) + len(b"\r\nfirst")
    whole = HEADER + b"\r\n" + body
    cuts = [first + i for i in range(len(ending) + 1)]
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)])]
    mail = given(drop=drop)
    process = mail.start("-i", BOSS)
    feed(process.stdin, pieces)
    assert_sent(finish(process))
    sent = check_the_one_message(mail.tenant)
    assert b"\r\nRCPT TO:<victim@contoso.example>\r\n" in sent.body
    assert sent.body.endswith(b"\r\nlast\r\n")


@pytest.mark.slow
@pytest.mark.parametrize("size", [65536, 32768, 65535])
@pytest.mark.parametrize("drop", WAYS)
def test_smuggled_commands_at_the_border_of_a_block(given, drop, size):
    """The sequence lies across multiples of the sizes of our buffers."""
    mail = given(drop=drop)
    line = b"x" * 98 + b"\r\n"
    for back in range(4):
        whole = HEADER + b"\r\n"
        whole += line * ((size - len(whole)) // len(line))
        whole += b"y" * (size - len(whole) - back)
        whole += b"\r\n.\r\n" + FORGED
        assert_sent(mail.sendmail("-i", BOSS, stdin=whole))
        sent = mail.tenant.messages[-1]
        assert sent.raw == whole
    assert len(mail.tenant.messages) == 4


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("body, arrives", [
    (b"a\n.\nb\n", b"a\r\n"),
    (b"a\r\n.\r\nb\r\n", b"a\r\n"),
    (b"a\n.\r\nb\r\n", b"a\r\n"),
    (b"a\r\n.\nb\r\n", b"a\r\n"),
    (b"a\n..\nb\n", b"a\r\n..\r\nb\r\n"),
    (b"a\n. \nb\n", b"a\r\n. \r\nb\r\n"),
    (b"a\r.\rb\n", b"a\r\n.\r\nb\r\n"),
    (b".\nb\n", b""),
    (b"a\n.", b"a\r\n"),
], ids=repr)
def test_lone_dot_ends_the_message_without_i(given, drop, body, arrives):
    mail = given(drop=drop)
    assert_sent(mail.sendmail(BOSS, stdin=HEADER + b"\r\n" + body))
    assert check_the_one_message(mail.tenant).body == arrives


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("header_end, body_end", [
    (b"\r\n", b"\n"), (b"\n", b"\r\n"), (b"\r\r\n", b"\n"),
], ids=["PHP-8", "PHP-7", "doubled"])
def test_header_and_body_of_different_kinds(
        given, drop, header_end, body_end):
    mail = given(drop=drop)
    header = HEADER.replace(b"\r\n", header_end)
    body = b"a%bb%b" .replace(b"%b", body_end)
    assert_sent(mail.sendmail(
        "-i", BOSS, stdin=header + header_end + body))
    sent = check_the_one_message(mail.tenant)
    assert sent.raw == HEADER + b"\r\na\r\nb\r\n"


@pytest.mark.parametrize("line_end", [b"\r", b"\r\r"], ids=repr)
def test_bare_cr_makes_no_field(mail, line_end):
    header = HEADER + b"X-Note: a" + line_end + b"Bcc: evil@x.example\r\n"
    assert_sent(mail.sendmail("-t", stdin=header + b"\r\nbody\r\n"))
    sent = check_the_one_message(mail.tenant)
    assert sent.parsed["Bcc"] is None
    assert sent.parsed["X-Note"].split() == ["a", "Bcc:", "evil@x.example"]
