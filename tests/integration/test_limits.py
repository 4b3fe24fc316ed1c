"""What the programs use: memory, descriptors, files, processes, time."""
import contextlib
import ctypes
import os
import resource
import time
from pathlib import Path

import pytest

from fake365 import Rule
from support import (
    BOSS, HEADER, MESSAGE, STUCK, assert_fatal, assert_sent, children_of,
    finish, least, message, peak_memory, wait_until,
)

MEGABYTE = 1024 * 1024
PEAK = 16 * MEGABYTE

pytestmark = pytest.mark.limits

LINE = b"x" * 98 + b"\r\n"
MIME = ("MIME-Version: 1.0", "Content-Type: text/plain")

LARGE = {
    "lines": message(LINE * (35 * MEGABYTE // len(LINE)), *MIME),
    "one-line": message(b"x" * (35 * MEGABYTE) + b"\r\n", *MIME),
    "encoded": message(b"y" * (12 * MEGABYTE) + b"\r\n"),
    "CRs": message(b"\r" * (12 * MEGABYTE), *MIME),
    "empty-lines": message(b"\n" * (12 * MEGABYTE), *MIME),
    "8-bit": message("ü".encode() * (12 * MEGABYTE), *MIME),
}


@pytest.fixture
def large_file(tmp_path):
    """Write a message and return its path."""
    def make(name):
        path = tmp_path / "message"
        path.write_bytes(LARGE[name])
        return path
    return make


@pytest.mark.slow
@pytest.mark.parametrize("drop", [(), {"CHUNKING"}], ids=["BDAT", "DATA"])
@pytest.mark.parametrize("name", LARGE)
def test_memory_does_not_grow_with_the_message(given, large_file, drop, name):
    """Both processes are looked at when Exchange has all of it."""
    mail = given(Rule("final", "stall"), drop=drop,
                 config={"timeout": STUCK})
    with open(large_file(name), "rb") as source:
        process = mail.start("-i", BOSS, stdin=source)
    wait_until(lambda: mail.tenant.scenario.occurrences("final") == 1)
    [child] = children_of(process.pid)
    peaks = peak_memory(process.pid), peak_memory(child)
    mail.tenant.stop()
    assert_fatal(finish(process), 75)
    assert max(peaks) <= PEAK, peaks


@pytest.mark.slow
def test_memory_of_the_companion_program_alone(given, large_file):
    mail = given(Rule("final", "stall"), config={"timeout": STUCK})
    with open(large_file("lines"), "rb") as source:
        process = mail.start365("submit", "-i", BOSS, stdin=source)
    wait_until(lambda: mail.tenant.scenario.occurrences("final") == 1)
    peak = peak_memory(process.pid)
    mail.tenant.stop()
    assert finish(process).returncode == 75
    assert peak <= PEAK


@pytest.mark.parametrize("limit, least", [
    (resource.RLIMIT_NOFILE, 32), (resource.RLIMIT_FSIZE, MEGABYTE),
    (resource.RLIMIT_STACK, 512 * 1024),
])
def test_low_limits_are_enough(mail, limit, least):
    def lower():
        resource.setrlimit(limit, (least, least))
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE, preexec_fn=lower))


@pytest.mark.parametrize("size", [0, 100_000])
def test_file_that_may_not_grow_is_a_failure_with_a_reason(mail, size):
    """SIGXFSZ would be an end without a word."""
    def lower():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    result = mail.sendmail(
        "-i", BOSS, stdin=message(LINE * 50_000), preexec_fn=lower)
    assert_fatal(result, 75, "large message")
    assert mail.tenant.messages == []


# ---- descriptors ----

def descriptors(pid):
    """{number: what it is} of a process."""
    out = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            out[int(link.name)] = os.readlink(link)
        except FileNotFoundError:
            continue  # closed meanwhile
    return out


@pytest.mark.skipif(os.geteuid() != 0, reason="a process that is not "
                    "dumpable shows its descriptors to root alone")
@pytest.mark.parametrize("phase", ["banner", "auth", "final"])
def test_companion_program_gets_its_three_descriptors(given, phase):
    mail = given(Rule(phase, "stall"))
    process = mail.start(BOSS)
    process.stdin.write(MESSAGE)
    process.stdin.close()
    process.stdin = None
    wait_until(lambda: mail.tenant.scenario.occurrences(phase) == 1)
    [child] = children_of(process.pid)
    front_end, companion = descriptors(process.pid), descriptors(child)
    mail.tenant.stop()
    finish(process)
    assert companion[0] == companion[1]
    assert companion[0].startswith("socket:")
    assert companion[2] == "/dev/null"
    inherited = {companion[fd] for fd in companion if fd > 2}
    assert not inherited & set(front_end.values())
    # One connection, to Exchange, and the state directory at most.
    assert len([fd for fd in companion if fd > 2]) <= 2
    assert len([fd for fd in front_end if fd > 2]) == 1


def test_descriptors_of_the_caller_do_no_harm(mail):
    """mailutils leaks one, and cron did."""
    extra = [os.open("/dev/null", os.O_RDWR) for _ in range(20)]
    try:
        assert_sent(mail.sendmail(BOSS, stdin=MESSAGE, pass_fds=extra))
    finally:
        for fd in extra:
            os.close(fd)


# ---- what is left behind ----

@pytest.fixture
def subreaper():
    """Processes whose parent has ended become children of this one."""
    libc = ctypes.CDLL(None, use_errno=True)
    set_child_subreaper = 36
    assert libc.prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(set_child_subreaper, 0, 0, 0, 0) == 0


@pytest.mark.parametrize("rules, status", [
    ([], 0), ([Rule("final", "reply", "554 5.9.9 no")], 69),
    ([Rule("banner", "close")], 75), ([Rule("token", "error", 90002)], 78),
    ([Rule("quit", "stall")], 0),
], ids=["sent", "refused", "lost", "configuration", "no-goodbye"])
def test_no_process_is_left(given, subreaper, rules, status):
    mail = given(*rules)

    def count():
        """Those that are left; a caller waits two seconds for their end."""
        assert mail.sendmail(BOSS, stdin=MESSAGE).returncode == status
        left = 0
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, 0):
                left += 1
        return left

    assert least(count, 0, tries=3) == 0


def temporary_files():
    """What of ours is in the directories for temporary files."""
    return {path for directory in ("/tmp", "/var/tmp")
            for path in Path(directory).glob("sendmail365*")}


def assert_no_more_than(before):
    """Where files are made with names, others have one for a moment."""
    wait_until(lambda: temporary_files() <= before)


@pytest.mark.parametrize("rules, status", [
    ([], 0), ([Rule("final", "reply", "554 5.9.9 no")], 69),
    ([Rule("body", "close", 100_000)], 75),
], ids=["sent", "refused", "lost"])
def test_no_file_is_left(given, rules, status):
    mail = given(*rules)
    before = temporary_files()
    large = message(LINE * 60_000)
    assert mail.sendmail("-i", BOSS, stdin=large).returncode == status
    assert_no_more_than(before)
    names = [path.name for path in mail.state.iterdir()]
    assert not [name for name in names if name.endswith(".tmp")]
    assert len(names) == 3


def test_no_file_is_left_by_the_killed(given):
    mail = given(Rule("body", "stall"))
    before = temporary_files()
    process = mail.start("-i", BOSS)
    process.stdin.write(message(LINE * 60_000))
    process.stdin.close()
    process.stdin = None
    wait_until(lambda: mail.tenant.scenario.occurrences("body") == 1)
    [child] = children_of(process.pid)
    os.kill(child, 9)
    assert_fatal(finish(process), 75)
    assert_no_more_than(before)


# ---- time ----

@pytest.mark.slow
@pytest.mark.parametrize("given_as", [
    HEADER + b"To: " + b"a@b.example," * 60_000 + b"\n\nx\n",
    HEADER + b"X:" + b"\n y" * 300_000 + b"\n\nx\n",
    HEADER + b"To: " + b"(" * 500_000 + b"\n\nx\n",
    HEADER + b"To: " + b'"' * 500_001 + b"\n\nx\n",
    HEADER + b"To: " + b"<" * 500_000 + b"\n\nx\n",
    HEADER + b"From: " + b"=?x?q?" * 100_000 + b"\n\nx\n",
    message(b"\r\n." * 1_000_000),
    message(b"." * 3_000_000),
], ids=["recipients", "folds", "comments", "quotes", "angles", "words",
        "dots", "line-of-dots"])
def test_no_input_takes_long(mail, given_as):
    """A text of a megabyte costs no more than some seconds of computing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    mail.sendmail("-i", "-t", BOSS, stdin=given_as, timeout=STUCK)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 3


def test_small_message_is_quick(mail):
    """The best of some: a machine may be busy."""
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))

    def once():
        began = time.monotonic()
        assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
        return time.monotonic() - began

    assert least(once, 0.2, tries=100) < 0.2
