"""sendmail -bs: SMTP on standard input and output."""
import os
import subprocess

import pytest
from fake365 import Rule
from support import (ALERTS, BOSS, COLLEAGUE, STUCK, finish, spoken,
                     wait_until)

HELLO = b"EHLO client.example\r\n"
ENVELOPE = f"MAIL FROM:<{ALERTS}>\r\nRCPT TO:<{BOSS}>\r\n".encode()
TEXT = b"Subject: s\r\n\r\nbody\r\n"
MESSAGE = ENVELOPE + b"DATA\r\n" + TEXT + b".\r\n"
QUIT = b"QUIT\r\n"


def speak(mail, octets, *words):
    """The codes of all replies to what is written at once, and the texts."""
    done = mail.sendmail("-bs", *words, stdin=octets)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"\r\n")
    lines = done.stdout.decode().split("\r\n")[:-1]
    codes = [int(line[:3]) for line in lines if line[3] == " "]
    assert codes[0] == 220
    return codes[1:], done.stdout.decode()


class Session:
    """One command at a time, as clients without PIPELINING speak."""

    def __init__(self, mail, *words):
        self.process = mail.start("-bs", *words)
        self.code()

    def code(self):
        while True:
            line = self.process.stdout.readline()
            if line[3:4] != b"-":
                return int(line[:3])

    def say(self, octets):
        self.process.stdin.write(octets)
        self.process.stdin.flush()
        return self.code()


def test_two_messages_one_command_at_a_time(mail):
    session = Session(mail)
    assert session.say(b"HELO [127.0.0.1]\r\n") == 250
    for number in 1, 2:
        assert session.say(b"MAIL FROM:<alerts@contoso.example>\r\n") == 250
        assert session.say(b"RCPT TO:<boss@contoso.example>\r\n") == 250
        assert session.say(b"RCPT TO:<colleague@contoso.example>\r\n") == 250
        assert session.say(b"DATA\r\n") == 354
        assert session.say(b"Subject: %d\r\n\r\nbody\r\n.\r\n" % number) == 250
        assert mail.tenant.wait_for_messages(number)
        assert session.say(b"NOOP\r\n") == 250
    assert session.say(QUIT) == 221
    done = finish(session.process)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [m.parsed["Subject"] for m in mail.tenant.messages] == ["1", "2"]
    assert mail.tenant.messages[0].recipients == [BOSS, COLLEAGUE]


@pytest.mark.parametrize("octets, codes, sent", [
    (HELLO + MESSAGE + MESSAGE + QUIT,
     [250, 250, 250, 354, 250, 250, 250, 354, 250, 221], 2),
    # nmh: a trial of the envelope, then twice
    (HELLO + ENVELOPE + b"RSET\r\n" + MESSAGE + b"RSET\r\n" + MESSAGE + QUIT,
     [250, 250, 250, 250, 250, 250, 354, 250, 250, 250, 250, 354, 250, 221],
     2),
    (MESSAGE + QUIT, [250, 250, 354, 250, 221], 1),
    (MESSAGE, [250, 250, 354, 250], 1),
    (MESSAGE.replace(b"\r", b"") + b"quit\n", [250, 250, 354, 250, 221], 1),
    (b"helo\r\nehlo \r\nNOOP\r\nVRFY x\r\nHELP\r\n" + QUIT,
     [501, 501, 250, 252, 214, 221], 0),
    (b"AUTH LOGIN\r\nSTARTTLS\r\nBDAT 4\r\nEXPN x\r\nETRN x\r\nX\r\n\r\n" +
     QUIT, [502, 502, 502, 502, 502, 500, 500, 221], 0),
    (b"DATA\r\nRCPT TO:<a@x>\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nDATA\r\n" +
     QUIT, [503, 503, 250, 503, 554, 221], 0),
    (b"MAIL\r\nMAIL FROM:\r\nMAIL FROM:<a@x> FOO=1\r\nMAIL FROM:<a@@x>\r\n" +
     QUIT, [501, 501, 555, 553, 221], 0),
    (b"MAIL FROM: a@x.org SIZE=10 BODY=8BITMIME RET=HDRS ENVID=x\r\n"
     b"RCPT TO: boss@contoso.example NOTIFY=NEVER ORCPT=rfc822;b\r\n"
     b"RCPT TO:<>\r\nRCPT TO:<|/bin/true>\r\nRCPT TO:<-x@y>\r\n"
     b"RCPT TO:<a@x> FOO\r\nRCPT TO:<a\x00@x>\r\n" + QUIT,
     [250, 250, 550, 550, 550, 555, 550, 221], 0),
    (b"NOOP" + b" " * 5000 + b"\r\n" + MESSAGE + QUIT,
     [500, 250, 250, 354, 250, 221], 1),
    # After HELO there is no envelope any more.
    (ENVELOPE + HELLO + b"DATA\r\n" + QUIT, [250, 250, 250, 503, 221], 0),
], ids=range(12))
def test_dialogues_written_at_once(mail, octets, codes, sent):
    assert speak(mail, octets)[0] == codes
    assert len(mail.tenant.messages) == sent


def test_what_is_offered(mail):
    text = speak(mail, HELLO + QUIT)[1]
    offered = {line[4:] for line in text.split("\r\n")
               if line.startswith("250")}
    assert {"PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES",
            "SMTPUTF8"} <= offered
    assert not {"STARTTLS", "AUTH", "CHUNKING", "ETRN"} & offered


def test_the_message_is_cleaned_as_that_of_a_pipe(mail):
    data = (b"To: x@y.org\r\nBcc: hidden@x.org\r\nReturn-Path: <a@x>\r\n\r\n"
            b"..dot\r\n.\rx\r\nlast\r\n.\r\n")
    codes, _ = speak(mail, ENVELOPE + b"DATA\r\n" + data + QUIT)
    assert codes == [250, 250, 354, 250, 221]
    message, = mail.tenant.messages
    assert message.recipients == [BOSS]
    assert message.body == b".dot\r\n\r\nx\r\nlast\r\n"
    assert b"hidden" not in message.raw
    assert message.parsed["Return-Path"] is None
    for name in "Date", "Message-ID", "From":
        assert message.parsed[name]


@pytest.mark.parametrize("end", [
    b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n.\n", b"\r.\r\n"])
def test_only_crlf_dot_crlf_ends_the_data(mail, end):
    """Text that other hosts would take for the end smuggles nothing in."""
    inner = end + b"MAIL FROM:<evil@x.org>\r\nRCPT TO:<evil@x.org>\r\n"
    codes, _ = speak(mail, ENVELOPE + b"DATA\r\n" + b"Subject: s\r\n\r\nb" +
                     inner + b"DATA\r\nx\r\n.\r\n" + QUIT)
    assert codes == [250, 250, 354, 250, 221]
    message, = mail.tenant.messages
    assert message.recipients == [BOSS]
    assert b"evil@x.org" in message.body


@pytest.mark.parametrize("octets", [
    HELLO, ENVELOPE, ENVELOPE + b"DATA\r\n", MESSAGE[:-3], MESSAGE[:-1],
    ENVELOPE + b"DATA\r\n" + TEXT + b"line\r\n" * 40000], ids=range(6))
def test_the_end_of_input_forgets_what_is_unfinished(mail, octets):
    speak(mail, octets)
    assert not mail.tenant.messages


def test_a_message_of_many_blocks(mail):
    body = b"".join(b".%d\r\n" % i for i in range(100000))
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    codes, _ = speak(mail, ENVELOPE + b"DATA\r\n" + b"Subject: s\r\n\r\n." +
                     stuffed + b".\r\n" + MESSAGE + QUIT)
    assert codes == [250, 250, 354, 250] * 2 + [221]
    assert mail.tenant.messages[0].body == body


def test_many_recipients(mail):
    many = b"".join(b"RCPT TO:<u%d@x.org>\r\n" % i for i in range(10001))
    codes, _ = speak(mail, b"MAIL FROM:<>\r\n" + many + QUIT)
    assert codes[1:10001] == [250] * 10000
    assert codes[10001:] == [452, 221]


@pytest.mark.parametrize("words", [
    ["-i"], ["-odb", "-oem", "-om"], ["-t", "-i", "-f", "s@x.org"],
    ["operand@x.org"], ["-v"]], ids=str)
def test_other_options_change_nothing(mail, words):
    done = mail.sendmail("-bs", *words, stdin=MESSAGE + QUIT)
    assert done.returncode == 0
    assert b"\r\n250 2.0.0 " in done.stdout
    message, = mail.tenant.messages
    assert message.recipients == [BOSS]


@pytest.mark.parametrize("reply, code, dsn", [
    ("554 5.2.0 STOREDRV.Submission.Exception", 554, "5.2.0"),
    ("451 4.7.0 later", 451, "4.7.0"),
    ("552 5.3.4 too large", 554, "5.3.4")])
def test_what_exchange_says_becomes_the_reply(given, reply, code, dsn):
    mail = given(Rule("final", "reply", reply, nth=1))
    codes, text = speak(mail, MESSAGE + MESSAGE + QUIT)
    assert codes == [250, 250, 354, code, 250, 250, 354, 250, 221]
    assert f"\r\n{code} {dsn} " in text.replace(f"{code}-", f"{code} ")
    assert reply[10:20] in text
    assert len(mail.tenant.messages) == 1


def test_a_wrong_configuration_is_a_reply(mail):
    codes, text = speak(mail, MESSAGE + QUIT, "-C", "/nonexistent")
    assert codes == [250, 250, 354, 451, 221]
    assert "there is no such file" in text


def test_a_peer_that_does_not_listen(mail):
    process = mail.start("-bs")
    process.stdout.close()
    process.stdin.write(MESSAGE * 3)
    process.stdin.close()
    assert process.wait(STUCK) == 0


def test_one_that_is_killed_sends_nothing(mail):
    process = mail.start("-bs")
    process.stdin.write(MESSAGE[:-3])
    process.stdin.flush()
    wait_until(lambda: b"354" in process.stdout.readline())
    process.kill()
    process.wait()
    assert not spoken(mail.tenant, "RCPT")
    assert not mail.tenant.messages


# ---- -bv ----

def test_verify_says_what_addresses_stand_for(given):
    mail = given(config={"sections": {
        "rewrite": {"domain": "contoso.example"},
        "aliases": {"root": f"{BOSS}, team", "team": COLLEAGUE}}})
    done = mail.sendmail("-bv", "root", BOSS)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        f"root... deliverable: {BOSS}, {COLLEAGUE}",
        f"{BOSS}... deliverable: {BOSS}"]
    assert not mail.tenant.connections


@pytest.mark.parametrize("address", [
    "a@@b", "|/bin/true", "-x@y.org", "a\x1b[2J@x y"])
def test_verify_tells_what_is_no_address(mail, address):
    done = mail.sendmail("-bv", BOSS, "--", address)
    done = mail.sendmail("-bv", "--", address, BOSS)
    assert (done.returncode, done.stderr) == (os.EX_NOUSER, b"")
    first, second = done.stdout.decode().splitlines()
    assert "... not deliverable: " in first
    assert "\x1b" not in first
    assert second == f"{BOSS}... deliverable: {BOSS}"


def test_verify_reads_and_sends_nothing(mail):
    process = mail.start("-bv", BOSS)
    assert process.wait(STUCK) == 0
    assert b"deliverable" in process.stdout.read()
    process.stdin.close()
    done = mail.sendmail("-bv")
    assert done.returncode == os.EX_USAGE
    assert done.stderr.startswith(b"sendmail: fatal: ")
    assert not mail.tenant.messages


def test_verify_with_a_wrong_configuration(mail):
    done = subprocess.run(
        [mail.sendmail_path, "-bv", "-C", "/nonexistent", BOSS],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.count(b"\n") == 1
