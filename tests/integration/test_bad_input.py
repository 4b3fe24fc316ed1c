"""What callers do wrong: messages, addresses, descriptors, and their end."""
import fcntl
import os
import select
import signal
import subprocess

import pytest

from fake365 import ALERTS, Rule
from support import (
    BOSS, HEADER, MESSAGE, STUCK, assert_fatal, assert_sent, children_of,
    feed, finish, message, spoken, wait_until,
)

MEGABYTE = 1024 * 1024


# ---- many recipients ----

def many(count):
    return [f"r{i}@contoso.example" for i in range(count)]


def to_field(recipients):
    return "To: " + ",\r\n ".join(recipients)


@pytest.mark.slow
@pytest.mark.parametrize("drop", [(), {"CHUNKING"}], ids=["BDAT", "DATA"])
def test_10000_recipients(given, drop):
    mail = given(drop=drop)
    recipients = many(10000)
    given_as = f"From: {ALERTS}\r\n{to_field(recipients)}\r\n\r\nx\r\n"
    assert_sent(mail.sendmail("-t", stdin=given_as.encode()))
    got = [m.recipients for m in mail.tenant.messages]
    assert [len(some) for some in got] == [500] * 20
    assert sum(got, []) == recipients
    assert len(spoken(mail.tenant, "AUTH")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("as_operands", [False, True], ids=["-t", "operands"])
def test_10001_recipients_are_too_many(mail, as_operands):
    recipients = many(10001)
    if as_operands:
        result = mail.sendmail(*recipients, stdin=MESSAGE)
    else:
        result = mail.sendmail(
            "-t", stdin=f"{to_field(recipients)}\r\n\r\nx\r\n".encode())
    assert_fatal(result, 65, "more than 10000 recipients")
    assert mail.tenant.connections == []


# ---- headers ----

def test_large_header_arrives(given):
    """Exchange takes 256 KB, we take more and let it judge."""
    mail = given(header_limit=MEGABYTE)
    fields = b"".join(b"X-Field-%d: %s\r\n" % (i, b"x" * 900)
                      for i in range(1000))
    whole = HEADER + fields + b"\r\nbody\r\n"
    assert_sent(mail.sendmail(BOSS, stdin=whole))
    assert mail.tenant.messages[0].raw == whole


def test_header_of_a_megabyte(mail):
    fields = b"".join(b"X-Field-%d: %s\r\n" % (i, b"x" * 900)
                      for i in range(MEGABYTE // 920))
    result = mail.sendmail(BOSS, stdin=HEADER + fields + b"\r\nbody\r\n")
    assert_fatal(result, 65, "header", "256 KB")


@pytest.mark.parametrize("fields", [
    b"X: " + b"y" * 2 * MEGABYTE + b"\n",
    b"X: y\n" * (2 * MEGABYTE // 5),
    b"X: y\n" + b" z\n" * MEGABYTE,
], ids=["one-line", "fields", "folds"])
def test_header_of_two_megabytes(mail, fields):
    result = mail.sendmail(BOSS, stdin=HEADER + fields + b"\nbody\n")
    assert_fatal(result, 65, "header")
    assert mail.tenant.connections == []


HEADS_AND_BODIES = {
    "nothing": (b"", b""),
    "header-without-a-line-end": (b"Subject: x", b""),
    "header-only": (b"Subject: x\n", b""),
    "body-only": (b"\nno header\n", b"no header\r\n"),
    "text": (b"no header at all\n", b"no header at all\r\n"),
    "text-with-colon": (b"it is 12:30 now\n", b"it is 12:30 now\r\n"),
    "text-after-field": (b"Subject: x\nno field\nmore\n",
                         b"no field\r\nmore\r\n"),
    "fold-at-first": (b" folded\nSubject: x\n\nb\n", None),
    "mbox": (b"From root Sat Nov 21 07:37:54 2026\nSubject: x\n\nb\n",
             b"b\r\n"),
    "blank-before-colon": (b"Subject : x\n\nb\n", b"b\r\n"),
    "only-line-ends": (b"\n\n\n", b"\r\n\r\n"),
    "only-NULs": (b"\0\0\0\n\0\0\n", None),
    "binary": (bytes(range(256)) * 20, None),
    "NUL-in-header": (b"Subject: a\0b\n\nb\n", b"b\r\n"),
    "8-bit-header": ("Subject: Grüße\n\nb\n".encode(), b"b\r\n"),
    "latin-1-header": (b"Subject: Gr\xfc\xdfe\n\nb\n", b"b\r\n"),
    "escapes-in-header": (b"Subject: \x1b[31mred\x07\n\nb\n", b"b\r\n"),
    "two-of-all": (b"From: a@x.example\nFrom: b@x.example\nSubject: 1\n"
                   b"Subject: 2\nDate: x\nDate: y\nMessage-ID: 1\n\nb\n",
                   b"b\r\n"),
    "empty-fields": (b"From:\nTo:\nSubject:\nDate:\nMessage-ID:\n\nb\n",
                     b"b\r\n"),
    "bad-from": (b"From: <<<>>>\n\nb\n", b"b\r\n"),
    "from-group": (b"From: all: a@x.example, b@x.example;\n\nb\n", b"b\r\n"),
}


@pytest.mark.parametrize("drop", [
    (), pytest.param({"CHUNKING"}, marks=pytest.mark.slow),
], ids=["BDAT", "DATA"])
@pytest.mark.parametrize("name", HEADS_AND_BODIES)
def test_strange_message_arrives(given, drop, name):
    given_as, body = HEADS_AND_BODIES[name]
    mail = given(drop=drop)
    assert_sent(mail.sendmail("-i", BOSS, stdin=given_as))
    [sent] = mail.tenant.messages
    assert sent.recipients == [BOSS]
    assert b"\0" not in sent.raw
    assert all(octet < 128 for octet in sent.head)
    assert len(sent.parsed.get_all("From")) == 1
    if body is not None:
        assert sent.body == body


# ---- addresses ----

LONG = "x" * 4985 + "@contoso.example"


@pytest.mark.parametrize("recipient", [
    LONG, "x" * 65 + "@" + "y" * 300 + ".example", "a" * 100_000,
    "a\0b@x.example".replace("\0", "\1"), "a b@x.example>", "<>", "@x",
    "a@", "a@b..example", "a\tb@", "a@[300.0.0.1", '"a@x.example',
], ids=lambda r: repr(r[:12]))
def test_address_that_is_none(mail, recipient):
    """It harms nothing: it is refused here, or an address is found in it."""
    result = mail.sendmail("--", recipient, stdin=MESSAGE)
    assert result.returncode in (0, 64, 65, 67, 69)
    if result.returncode == 0:
        assert_sent(result)
    else:
        assert_fatal(result, result.returncode)
    for line in spoken(mail.tenant, "RCPT"):
        assert len(line) < 1000 and line.isprintable()


def test_long_address_is_refused_here(mail):
    result = mail.sendmail(LONG, stdin=MESSAGE)
    assert_fatal(result, 65, "bad recipient address")
    assert len(result.stderr) < 1100
    assert mail.tenant.connections == []


def test_long_address_does_not_stop_the_others(mail):
    assert_sent(mail.sendmail("-t", stdin=(
        f"From: {ALERTS}\nTo: {LONG}, {BOSS}\n\nx\n".encode())))
    assert mail.tenant.messages[0].recipients == [BOSS]


@pytest.mark.parametrize("recipient", [
    "-odi", "-OQueueDirectory=/tmp", "-X/tmp/x.php", "-C/tmp/x",
])
def test_address_that_looks_like_an_option(mail, recipient):
    result = mail.sendmail("-i", "--", recipient, stdin=MESSAGE)
    assert_fatal(result, 65)
    assert mail.tenant.messages == []


@pytest.mark.parametrize("option", ["-f", "-F", "-r"])
@pytest.mark.parametrize("value", [
    "a@x.example\nRCPT TO:<evil@x.example>", "a\rb@x.example", "a\tb",
    "a@x.example\r\nBcc: evil@x.example", "\x1b[31m@x.example",
], ids=repr)
def test_control_characters_in_options(mail, option, value):
    result = mail.sendmail(option, value, BOSS, stdin=MESSAGE)
    assert_fatal(result, 64, "control character")
    assert mail.tenant.connections == []


@pytest.mark.parametrize("value", ["A" * 300, "a, b <c@d.example>", '"\\',
                                   "Grüße", "(comment)", "=?utf-8?q?x?="])
def test_full_name_of_any_kind(mail, value):
    assert_sent(mail.sendmail("-F", value, BOSS, stdin=b"\nbody\n"))
    [sent] = mail.tenant.messages
    assert len(sent.parsed.get_all("From")) == 1
    assert [a.addr_spec for a in sent.parsed["From"].addresses] == [ALERTS]


# ---- descriptors that are closed ----

def close_descriptors(*descriptors):
    """What subprocess calls in the child, before it starts the program."""
    def close():
        for descriptor in descriptors:
            os.close(descriptor)
    return close


@pytest.mark.parametrize("descriptors", [(1,), (2,), (1, 2)], ids=str)
def test_closed_output(mail, descriptors):
    """The first file that is opened does not become an output."""
    result = mail.sendmail(BOSS, stdin=MESSAGE,
                           preexec_fn=close_descriptors(*descriptors))
    assert_sent(result)
    assert mail.tenant.messages[0].raw == MESSAGE


@pytest.mark.parametrize("descriptors", [(1,), (2,), (1, 2)], ids=str)
def test_closed_output_of_the_companion_program(mail, descriptors):
    result = mail.sendmail365("submit", BOSS, stdin=MESSAGE,
                              preexec_fn=close_descriptors(*descriptors))
    assert result.returncode == 0
    assert mail.tenant.messages[0].raw == MESSAGE


@pytest.mark.parametrize("descriptors", [(2,), (1, 2)], ids=str)
def test_failure_without_anywhere_to_tell_it(given, descriptors):
    mail = given(Rule("banner", "close"))
    result = mail.sendmail(BOSS, stdin=MESSAGE,
                           preexec_fn=close_descriptors(*descriptors))
    assert (result.returncode, result.stderr) == (75, b"")


@pytest.mark.parametrize("descriptors", [(0,), (0, 1), (0, 1, 2)], ids=str)
def test_closed_input_is_no_empty_message(mail, descriptors):
    result = mail.sendmail(BOSS, stdin=subprocess.DEVNULL,
                           preexec_fn=close_descriptors(*descriptors))
    if 2 in descriptors:
        assert (result.returncode, result.stderr) == (75, b"")
    else:
        assert_fatal(result, 75, "standard input is closed")
    assert mail.tenant.messages == []


def test_input_is_a_directory(mail, tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        result = mail.sendmail(BOSS, stdin=fd)
    finally:
        os.close(fd)
    assert_fatal(result, 75, "standard input", "directory")
    assert mail.tenant.messages == []


def test_input_cannot_be_read(mail):
    fd = os.open("/dev/null", os.O_WRONLY)
    try:
        result = mail.sendmail(BOSS, stdin=fd)
    finally:
        os.close(fd)
    assert_fatal(result, 75, "standard input")
    assert mail.tenant.messages == []


def test_input_does_not_wait(mail):
    """Somebody has set O_NONBLOCK on the pipe."""
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_NONBLOCK)
    process = mail.start(BOSS, stdin=reader)
    os.close(reader)
    with open(writer, "wb", buffering=0) as pipe:
        feed(pipe, [HEADER, b"\r\n", b"one\r\n", b"two\r\n"])
    assert_sent(finish(process))
    assert mail.tenant.messages[0].body == b"one\r\ntwo\r\n"


def test_input_octet_by_octet(mail):
    process = mail.start("-t")
    feed(process.stdin, [bytes([octet]) for octet in MESSAGE])
    assert_sent(finish(process))
    assert mail.tenant.messages[0].raw == MESSAGE


# ---- writers ----

def write_all(process, data):
    """Write as a caller who would die of SIGPIPE."""
    process.stdin.write(data)
    process.stdin.close()
    process.stdin = None


def test_writer_gets_no_sigpipe_without_recipients(mail):
    process = mail.start()
    write_all(process, HEADER + b"\r\n" + b"x" * MEGABYTE)
    assert_fatal(finish(process), 64, "no recipients")


@pytest.mark.parametrize("args, status", [
    (["--bogus"], 64), (["@"], 65), (["nobody"], 65),
])
def test_writer_gets_no_sigpipe_when_nothing_is_sent(mail, args, status):
    process = mail.start(*args)
    write_all(process, HEADER + b"\r\n" + b"x" * MEGABYTE)
    assert_fatal(finish(process), status)


@pytest.mark.parametrize("rule, status", [
    (Rule("banner", "reply", "554 no"), 75),
    (Rule("rcpt", "reply", "550 5.1.1 no"), 67),
    (Rule("final", "reply", "552 5.3.4 no"), 65),
], ids=["banner", "rcpt", "final"])
def test_writer_gets_no_sigpipe_when_exchange_refuses(given, rule, status):
    mail = given(rule)
    process = mail.start("-i", BOSS)
    write_all(process, HEADER + b"\r\n" + b"x\n" * 4 * MEGABYTE)
    assert_fatal(finish(process), status)


def test_rest_after_a_lone_dot_is_read(mail):
    process = mail.start(BOSS)
    write_all(process, MESSAGE + b".\r\n" + b"x" * MEGABYTE)
    assert_sent(finish(process))
    assert mail.tenant.messages[0].raw == MESSAGE


# ---- killed ----

def wait_for_end(reader):
    """Wait until nobody holds the other end of a pipe any more."""
    assert select.select([reader], [], [], STUCK)[0], "still running"
    assert os.read(reader, 1) == b""


@pytest.mark.parametrize("octets", [0, 10, len(HEADER), len(HEADER) + 10,
                                    300_000])
@pytest.mark.parametrize("number", [
    signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_caller_is_killed_before_its_message_ends(mail, octets, number):
    """What was not finished is not sent, not even a part of it."""
    whole = message(b"x" * 98 + b"\r\n" * 10_000)
    reader, writer = os.pipe()
    process = mail.start("-i", BOSS, pass_fds=(writer,))
    os.close(writer)
    feed(process.stdin, [whole[:octets]])
    process.send_signal(number)
    result = finish(process)
    wait_for_end(reader)
    os.close(reader)
    assert result.returncode == -number
    assert result.stderr == b""
    assert mail.tenant.messages == []


@pytest.mark.parametrize("phase", ["banner", "tls", "auth", "final"])
def test_companion_program_is_killed(given, phase):
    mail = given(Rule(phase, "stall"))
    process = mail.start(BOSS)
    write_all(process, MESSAGE)
    wait_until(lambda: mail.tenant.scenario.occurrences(phase) == 1)
    [child] = children_of(process.pid)
    os.kill(child, signal.SIGKILL)
    assert_fatal(finish(process), 75, "ended without an answer")
    assert mail.tenant.messages == []


def test_companion_program_does_not_outlive_the_front_end(given):
    """Killed while Exchange has the message: it ends, too, soon after."""
    mail = given(Rule("final", "stall"), stalls=True)
    reader, writer = os.pipe()
    process = mail.start(BOSS, pass_fds=(writer,))
    os.close(writer)
    write_all(process, MESSAGE)
    wait_until(lambda: mail.tenant.scenario.occurrences("final") == 1)
    process.kill()
    finish(process)
    wait_for_end(reader)
    os.close(reader)


@pytest.mark.parametrize("status", [
    signal.SIGALRM, signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP])
def test_ignored_signals_are_no_obstacle(mail, status):
    def ignore():
        signal.signal(status, signal.SIG_IGN)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE, preexec_fn=ignore))


def test_blocked_signals_are_no_obstacle(mail):
    def block():
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE, preexec_fn=block))


def test_only_root_names_a_configuration(mail, other_user):
    """Else a web program's caller could have its secret sent anywhere."""
    result = mail._run(mail.sendmail_path, "-C", mail.config, BOSS,
                       stdin=MESSAGE, **other_user(mail))
    assert_fatal(result, 77, "option -C is for root")
    assert mail.tenant.connections == []
