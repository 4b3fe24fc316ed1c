"""Disks and hosts that fail: 75 and a clear line, or the message is safe.

And the service goes on with the next message.
"""
import contextlib
import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from fake365 import Rule
from service import Service
from support import (BOSS, BUILD, COLLEAGUE, MESSAGE, STUCK,
                     assert_fatal, assert_sent, await_sleep, children_of,
                     finish, message, wait_until)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0, reason="only root mounts, and traces a service"),
    pytest.mark.skipif(
        BUILD.name == "valgrind", reason="valgrind has calls of its own"),
]

LARGE = message((b"x" * 75 + b"\r\n") * 4000)


@pytest.fixture
def make_service(given):
    """Make and start a service for a tenant that follows these rules."""
    with contextlib.ExitStack() as stack:
        def make(*rules, queue=None, before=None, **options):
            one = Service(given(*rules, **options),
                          **{"retry_first": "1s", **(queue or {})})
            one.configure()
            if before is not None:
                before(one, stack)
            stack.callback(one.stop)
            return one.start()

        yield make


def assert_goes_on(service):
    """The next message is taken and sent, and nothing is left behind."""
    before = len(service.mail.tenant.messages)
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(before + 1)
    service.wait_until_empty()
    wait_until(lambda: not service.files("incoming"))


def drain(service):
    """Have the queue tried until it is empty."""
    def is_empty():
        service.sendmail("-q")
        return not service.files()

    wait_until(is_empty)


def processes(service, name):
    """The processes of the service that are called so; one at least."""
    def find():
        found = []
        for pid in children_of(service.process.pid):
            with contextlib.suppress(OSError), \
                    open(f"/proc/{pid}/status") as f:
                status = f.read()
                if f"Name:\t{name}\n" in status and "State:\tZ" not in status:
                    found.append(pid)
        return found

    if not find():
        assert_goes_on(service)
    pids = find()
    # Who is still busy with the last message leaves the next one to another.
    with contextlib.suppress(OSError):  # it has ended
        for pid in [*pids, service.process.pid]:
            await_sleep(pid)
    return pids


def attach(pids, options):
    """strace of these processes; None if one has ended meanwhile."""
    command = ["strace", "-o", "/dev/null", *options]
    for pid in pids:
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = [tracer.stderr.readline() for _ in pids]
    if all("attached" in line for line in said):
        return tracer
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=STUCK)
    if any("not permitted" in line for line in said):
        pytest.skip(f"strace: {said[0].strip()}")
    return None


@contextlib.contextmanager
def failing(service, name, call, error, nth):
    """The nth such system call of each process of that name fails."""
    options = ["-e", f"trace={call}",
               "-e", f"inject={call}:error={error}:when={nth}"]
    tracer = None
    while tracer is None:
        pids = ([service.process.pid] if name == "manager"
                else processes(service, name))
        tracer = attach(pids, options)
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=STUCK)


def assert_safe_or_told(service, result, before):
    """Either it was taken, and arrives, or its caller was told one line."""
    if result.returncode == 0:
        assert service.mail.tenant.wait_for_messages(before + 1)
    else:
        assert_fatal(result, 75)


# What an ingest process does

@pytest.mark.parametrize("call, error, last, words", [
    ("openat", "EMFILE", 1, ["too many open files", "LimitNOFILE"]),
    ("openat", "ENOSPC", 1, ["no space left", "make room"]),
    ("openat", "EIO", 1, ["input/output error", "kernel's log"]),
    ("openat", "EACCES", 1, ["permission denied", "who owns it"]),
    ("fsync", "EIO", 2, ["cannot be written", "input/output error"]),
    ("fsync", "ENOSPC", 2, ["no space left", "make room"]),
    ("fsync", "EROFS", 2, ["read-only", "mount it"]),
    ("renameat2", "EIO", 1, ["cannot be written", "input/output error"]),
    ("renameat2", "EDQUOT", 1, ["disk quota exceeded", "make room"]),
])
def test_ingest_says_what_is_wrong_with_the_spool(
        make_service, call, error, last, words):
    service = make_service()
    assert_goes_on(service)
    for nth in range(1, last + 1):
        with failing(service, "s365-ingest", call, error, nth):
            result = service.sendmail(BOSS, stdin=MESSAGE)
        assert_fatal(result, 75, str(service.spool), *words)
        wait_until(lambda: not service.files("incoming"))
        assert service.files() == []
    assert_goes_on(service)


@pytest.mark.parametrize("call, error, last", [
    ("write", "EIO", 9), ("write", "ENOSPC", 9), ("pwrite64", "EIO", 1),
    ("read", "EIO", 3), ("read", "ENOMEM", 3), ("close", "EIO", 2),
    ("poll", "ENOMEM", 3), ("recvmsg", "ENOMEM", 2), ("sendmsg", "EPIPE", 2),
])
def test_ingest_survives_whatever_fails(make_service, call, error, last):
    service = make_service()
    assert_goes_on(service)
    for nth in range(1, last + 1):
        for content in (MESSAGE, LARGE):
            with failing(service, "s365-ingest", call, error, nth):
                before = len(service.mail.tenant.messages)
                result = service.sendmail(BOSS, stdin=content)
            assert_safe_or_told(service, result, before)
            wait_until(lambda: not service.files())
            # A leftover is nothing that is sent; it goes after a day.
    assert_goes_on(service)


# What a delivery process does

@pytest.mark.parametrize("call, error, last", [
    ("openat", "EMFILE", 3), ("openat", "EIO", 3), ("pread64", "EIO", 3),
    ("utimensat", "EROFS", 1), ("unlinkat", "EIO", 1), ("sendmsg", "EPIPE", 2),
    ("flock", "ENOLCK", 1), ("write", "EIO", 3), ("read", "EIO", 3),
])
def test_delivery_loses_nothing(make_service, call, error, last):
    service = make_service()
    assert_goes_on(service)
    for nth in range(1, last + 1):
        with failing(service, "s365-delivery", call, error, nth):
            before = len(service.mail.tenant.messages)
            assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
            drain(service)
        assert service.mail.tenant.wait_for_messages(before + 1)
    assert_goes_on(service)


def test_what_was_sent_and_cannot_be_deleted_is_not_sent_again(make_service):
    service = make_service()
    assert_goes_on(service)
    with failing(service, "s365-delivery", "unlinkat", "EIO", 1):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
        service.wait_for_log("it was sent and cannot be deleted")
    drain(service)
    assert len(service.mail.tenant.messages) == 2


# What the manager does

@pytest.mark.parametrize("call, error", [
    ("accept4", "EMFILE"), ("accept4", "ECONNABORTED"), ("accept4", "EPERM"),
    ("socketpair", "EMFILE"), ("clone", "EAGAIN"), ("getsockopt", "EIO"),
    ("newfstatat", "EIO"), ("recvmsg", "ENOMEM"), ("sendmsg", "EPIPE"),
    ("read", "EIO"), ("poll", "ENOMEM"), ("write", "EIO"),
])
def test_the_manager_goes_on(make_service, call, error):
    service = make_service()
    for nth in (1, 2):
        before = len(service.mail.tenant.messages)
        with failing(service, "manager", call, error, nth):
            result = service.sendmail(BOSS, stdin=MESSAGE)
            assert_safe_or_told(service, result, before)
        drain(service)
    assert_goes_on(service)


def test_a_listing_that_fails_forgets_nothing(make_service):
    service = make_service(Rule("connect", "close", nth=1))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("status=deferred")
    with failing(service, "manager", "getdents64", "EIO", 1):
        for pid in processes(service, "s365-ingest"):
            os.kill(pid, signal.SIGKILL)
        service.wait_for_log("cannot be listed: Input/output error")
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_until_empty()


def test_without_descriptors_callers_wait(make_service):
    service = make_service()
    pid = service.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    assert usual[0] == usual[1]
    await_sleep(pid)  # with nothing open for a moment
    count = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, usual[1]))
    caller = service.mail._start(
        service.mail.sendmail_path, BOSS, stdin=subprocess.PIPE,
        env=service.environment())
    caller.stdin.write(MESSAGE)
    caller.stdin.close()
    caller.stdin = None
    service.wait_for_log("accept: Too many open files")
    await_sleep(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    assert_sent(finish(caller))
    assert service.mail.tenant.wait_for_messages(1)


def test_as_many_descriptors_as_are_in_use_are_enough(make_service):
    """A container may allow few: there are places for many more processes."""
    service = make_service()
    resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    assert_goes_on(service)
    await_sleep(service.process.pid)
    service.signal(signal.SIGTERM)
    assert service.process.wait(STUCK) == 0


# Disks

PAGE = os.sysconf("SC_PAGE_SIZE")


def small_disk(service, stack):
    """Make the spool a file system of its own."""
    service.spool.mkdir(mode=0o700)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={256 * PAGE},mode=700", "tmpfs",
         service.spool], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no file system can be mounted: {made.stderr.strip()}")
    stack.callback(subprocess.run, ["umount", "-l", service.spool])


def holds_only_what_it_lists(spool):
    """Whether no deleted file that is still open holds room there.

    Whoever deletes a message closes it a moment later.
    """
    room = os.statvfs(spool)
    listed = 0
    for path in spool.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            listed += path.lstat().st_blocks * 512
    return (room.f_blocks - room.f_bfree) * room.f_frsize == listed


@contextlib.contextmanager
def full(service, left=0):
    """Leave so many pages of that file system."""
    filler = service.spool / "filler"
    wait_until(lambda: holds_only_what_it_lists(service.spool))
    room = os.statvfs(service.spool)
    with filler.open("wb") as f:
        os.posix_fallocate(
            f.fileno(), 0, room.f_bavail * room.f_frsize - left * PAGE)
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_disk_at_each_stage_of_taking_a_message(make_service):
    service = make_service(before=small_disk)
    content = message(b"x" * 75 * 60)  # two pages
    for left in range(4):
        before = len(service.mail.tenant.messages)
        with full(service, left):
            for taken in (content, LARGE):
                result = service.sendmail(BOSS, stdin=taken)
                if taken is content and left >= 2:
                    assert_sent(result)
                    assert service.mail.tenant.wait_for_messages(before + 1)
                    service.wait_until_empty()
                else:
                    assert_fatal(result, 75, str(service.spool),
                                 "No space left on device", "make room")
                # It goes away after the answer.
                wait_until(lambda: not service.files("incoming"))
        assert_goes_on(service)
    assert_sent(service.sendmail(BOSS, stdin=LARGE))
    service.wait_until_empty()


def test_without_room_for_outcomes_nothing_is_sent_to_many(make_service):
    service = make_service(
        Rule("rcpt", "reply", "451 4.7.0 later", nth=2), before=small_disk)
    with full(service, 1):
        assert_sent(service.sendmail(BOSS, COLLEAGUE, stdin=MESSAGE))
        service.wait_for_log("journal of message .*: No space left")
        assert service.mail.tenant.messages == []
    drain(service)
    assert [m.recipients for m in service.mail.tenant.messages] == [
        [BOSS], [COLLEAGUE]]


def test_a_notice_waits_for_room(make_service):
    service = make_service(
        recipients={BOSS: "550 5.1.10 no"}, before=small_disk)
    with full(service, 1):
        assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
        service.wait_for_log("no notice could be sent: .*No space left")
        assert len(service.files()) == 1
    drain(service)
    assert service.mail.tenant.wait_for_messages(1)
    assert [m.recipients for m in service.mail.tenant.messages] == [
        [COLLEAGUE]]
    assert len(service.files("failed")) == 1


def remount(service, how):
    subprocess.run(["mount", "-o", f"remount,{how}", service.spool],
                   check=True)


def test_a_disk_that_became_read_only(make_service):
    service = make_service(
        Rule("connect", "close", nth=1), before=small_disk)
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("status=deferred")
    remount(service, "ro")
    assert_fatal(service.sendmail(BOSS, stdin=MESSAGE), 75,
                 str(service.spool), "Read-only file system", "mount it")
    # What is in the queue is not sent where that cannot be noted.
    wait_until(lambda: service.log().count("Read-only file system") > 1)
    assert service.mail.tenant.messages == []
    remount(service, "rw")
    drain(service)
    assert len(service.mail.tenant.messages) == 1
    assert_goes_on(service)


# What else is in the spool

ID = "0006423A1B2C3D{:02X}.0"


def put_hostile_files(directory):
    """Everything that a message's file is not; returns how many."""
    whole = (b"sendmail365 spool 1 00000068 0000000000000001\n"
             b"U 0\nS \nR root@a.b\nE\nx")

    def put(number, data=b"", mode=0o600):
        path = directory / ID.format(number)
        path.write_bytes(data)
        path.chmod(mode)
        return path

    put(0)
    put(1, os.urandom(5000))
    put(2, whole[:-1])
    put(3, whole + b"y")
    put(4, whole, mode=0o644)
    os.chown(put(5, whole), 65534, 65534)
    os.link(put(6, whole), directory / ID.format(7))
    (directory / ID.format(8)).symlink_to("/etc/passwd")
    (directory / ID.format(9)).symlink_to("nowhere")
    os.mkfifo(directory / ID.format(10), 0o600)
    (directory / ID.format(11)).mkdir(mode=0o700)
    with put(12, b"\n" * 4096).open("ab") as f:
        f.truncate(1 << 26)
    put(13, whole.replace(b"00000068", b"99999999"))
    put(14, whole.replace(b"00000068 0000000000000001",
                          b"00000046 0000000000000023"))
    put(15, whole.replace(b"U 0", b"U 7"))
    put(16, whole.replace(b"R root@a.b", b"R \x1b[31m@a.b"))
    os.mknod(directory / ID.format(17), 0o600 | 0o010000)
    (directory / "a\nname: of two lines").write_bytes(whole)
    (directory / ("n" * 255)).write_bytes(whole)
    (directory / (os.fsdecode(b"\xff\xfe\x1b[2J"))).write_bytes(whole)
    return len(list(directory.iterdir()))


@pytest.mark.parametrize("place", ["queue", "failed", "incoming", "journal"])
def test_files_that_are_none_of_ours(make_service, place):
    def before(service, stack):
        for name in ("", "queue", "failed", "incoming", "journal"):
            (service.spool / name).mkdir(mode=0o700)
        service.count = put_hostile_files(service.spool / place)

    service = make_service(before=before)
    before = len(service.mail.tenant.messages)
    for _ in range(3):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(before + 3)
    wait_until(lambda: len(service.files()) == (
        service.count if place == "queue" else 0))
    if place != "journal":
        # Journals without a message are leftovers, others somebody's.
        assert len(service.files(place)) == service.count
    assert service.mail.sendmail365("queue", "list").returncode in (0, 75)
    for line in service.log().splitlines():
        assert line.startswith("sendmail365"), line
        assert line.isprintable(), line
    assert len(service.mail.tenant.messages) == 3


@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "foreign"])
def test_a_journal_that_is_none_of_ours_stops_its_own_message_only(
        make_service, kind):
    service = make_service(Rule("connect", "close", nth=1),
                           queue={"retry_first": "1h"})
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("status=deferred")
    [name] = service.files()
    path = service.spool / "journal" / name
    path.unlink()
    {
        "fifo": lambda: os.mkfifo(path, 0o600),
        "link": lambda: path.symlink_to("/etc/passwd"),
        "directory": path.mkdir,
        "foreign": lambda: (path.touch(), os.chown(path, 65534, 65534)),
    }[kind]()
    service.sendmail("-q")
    service.wait_for_log("journal of message " + name.split(".")[0])
    assert_sent(service.sendmail(COLLEAGUE, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    assert service.mail.tenant.messages[0].recipients == [COLLEAGUE]
    (path.rmdir if kind == "directory" else path.unlink)()
    drain(service)
    assert len(service.mail.tenant.messages) == 2


# Clocks

@pytest.mark.parametrize("moment", ["past", "future"])
def test_a_message_from_another_time_is_sent(make_service, moment):
    """As after a jump of the clock: its name and its due time are wrong."""
    service = make_service(Rule("connect", "close", nth=1),
                           queue={"retry_first": "1h", "retry_longest": "1h"})
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("status=deferred")
    service.stop()
    [name] = service.files()
    number = {"past": 1, "future": (1 << 63) - 1}[moment]
    renamed = f"{number:016X}.{name.split('.')[1]}"
    for place in ("queue", "journal"):
        (service.spool / place / name).rename(service.spool / place / renamed)
    due = {"past": 1, "future": 1 << 33}[moment]
    os.utime(service.spool / "queue" / renamed, (due, due))
    text = Path(service.mail.config).read_text()
    Path(service.mail.config).write_text(
        text.replace("= 1h", "= 1s"))
    service.start()
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_until_empty()
    assert service.mail.tenant.messages[0].recipients == [BOSS]
