"""Hundreds of hostile callers at once do not stop others' mail."""
import array
import contextlib
import os
import random
import socket

import pytest

from service import Service
from support import (BOSS, BUILD, MESSAGE, STUCK, assert_fatal, assert_sent,
                     message, wait_until)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root is many users"),
    pytest.mark.skipif(
        BUILD.name == "valgrind", reason="a hundred processes on valgrind"),
]

HONEST = 65534
HOSTILE = range(20001, 20007)


@pytest.fixture
def make_service(mail):
    """Make and start a service that other users can reach."""
    with contextlib.ExitStack() as stack:
        def make(**keys):
            service = Service(mail).open_to_others(stack)
            service.configure(sections={"service": keys})
            stack.callback(service.stop)
            return service.start()

        yield make


def connect(service, uid):
    """A connection of that user: the kernel notes who connects."""
    one = socket.socket(socket.AF_UNIX)
    os.seteuid(uid)
    try:
        one.connect(str(service.socket))
    finally:
        os.seteuid(0)
    one.setblocking(False)
    return one


def user(uid):
    return {"user": uid, "group": uid, "extra_groups": []}


def assert_honest_mail_passes(service, uid=HONEST, count=3):
    """Whatever others do; they could do it for half an hour."""
    before = len(service.mail.tenant.messages)
    for _ in range(count):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE, timeout=STUCK,
                                     **user(uid)))
    assert service.mail.tenant.wait_for_messages(before + count)


# What they say: each yields what is sent next, for ever if need be.

ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d.example>\r\n"
CHANCE = random.Random(365)


def silent():
    return
    yield


def slow():
    for octet in ENVELOPE * 100:
        yield bytes([octet])


def endless_line():
    while True:
        yield b"x" * 65536


def endless_message():
    yield ENVELOPE + b"BDAT 9223372036854775807 LAST\r\n"
    while True:
        yield b"x" * 65536


def endless_chunks():
    yield ENVELOPE
    while True:
        yield b"BDAT 1\r\nx" * 1000


def endless_recipients():
    yield ENVELOPE
    while True:
        yield b"RCPT TO:<c@d.example>\r\n" * 1000


def garbage():
    while True:
        yield CHANCE.randbytes(4096)


def out_of_order():
    while True:
        yield (b"BDAT 3 LAST\r\nabcRCPT TO:<a>\r\nMAIL FROM:<a>\r\nMAIL\r\n"
               b"RSET\r\nXQUEUE\r\nXQUEUE DELETE ALL\r\nDATA\r\n\r\n")


def torn_message():
    yield ENVELOPE + b"BDAT 100 LAST\r\nabc"


SPEECHES = [silent, slow, endless_line, endless_message, endless_chunks,
            endless_recipients, garbage, out_of_order, torn_message]


class Caller:
    """One hostile connection, which never reads."""

    def __init__(self, service, uid, speech):
        self.socket = connect(service, uid)
        self.words = speech()

    def speak(self):
        """Say something, if the other end takes it."""
        with contextlib.suppress(OSError, StopIteration):
            self.socket.send(next(self.words))

    def pass_descriptors(self, null, times=20):
        many = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                 array.array("i", [null] * 250))]
        with contextlib.suppress(OSError):
            for _ in range(times):
                self.socket.sendmsg([b"N"], many)


@contextlib.contextmanager
def callers(service, uids, each, speeches):
    """So many connections of each of these users."""
    made = [Caller(service, uid, speeches[i % len(speeches)])
            for i in range(each) for uid in uids]
    try:
        yield made
    finally:
        for one in made:
            one.socket.close()


def test_hundreds_of_every_kind(make_service):
    service = make_service()
    with callers(service, HOSTILE, 60, SPEECHES) as hostile:
        for i, one in enumerate(hostile):
            one.speak()
            if i % 5 == 0:
                with contextlib.suppress(OSError):
                    one.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            for one in hostile:
                one.speak()
            assert_honest_mail_passes(service, HONEST, 1)
            assert_honest_mail_passes(service, 0, 1)
        assert_honest_mail_passes(service, HONEST + 1, 1)
    wait_until(lambda: not service.files("incoming"))
    service.wait_until_empty()
    assert {m.recipients[0] for m in service.mail.tenant.messages} == {BOSS}


def descriptors(service):
    """How many the manager and all its children have."""
    pids = [service.process.pid]
    with open(f"/proc/{pids[0]}/task/{pids[0]}/children") as f:
        pids += [int(pid) for pid in f.read().split()]
    count = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # it has just ended
            count += len(os.listdir(f"/proc/{pid}/fd"))
    return count


def test_descriptors_that_are_passed_stay_outside(make_service):
    service = make_service()
    assert_honest_mail_passes(service)
    before = descriptors(service)
    with open(os.devnull) as null, \
            callers(service, [0], 1, [silent]) as [one]:
        one.socket.setblocking(True)
        for _ in range(20):
            one.pass_descriptors(null.fileno(), 1)
            one.socket.send(b"OOP\r\n")
            while b"250 2.0.0 Ok" not in one.socket.recv(4096):
                pass
        # 5000 of them; each process has a few for a connection.
        assert descriptors(service) < before + 50
        assert_honest_mail_passes(service)


def test_floods_of_descriptors(make_service):
    service = make_service()
    with open(os.devnull) as null, \
            callers(service, HOSTILE, 10, [silent]) as hostile:
        for one in hostile:
            one.pass_descriptors(null.fileno())
        assert_honest_mail_passes(service)


def test_one_user_has_so_many_connections_and_no_more(make_service):
    service = make_service()
    uid = HOSTILE[0]
    with callers(service, [uid], 400, [silent]) as hostile:
        assert_honest_mail_passes(service)
        # Honest mail came after them: who is too many knows by now.
        said = []

        def hear():
            for one in hostile:
                with contextlib.suppress(BlockingIOError):
                    said.append(one.socket.recv(4096)[:9])
            # Who was turned away hears an end again and again.
            said[:] = filter(None, said)
            return len(said) >= 100

        wait_until(hear)
        assert said.count(b"421 4.3.2") == 80
        assert len(said) == 100
        assert_fatal(service.sendmail(BOSS, stdin=MESSAGE, **user(uid)), 75,
                     "too many connections")
    # Once the service has noticed that they are gone.
    wait_until(lambda: service.sendmail(
        BOSS, stdin=MESSAGE, **user(uid)).returncode == 0)


def test_who_comes_and_goes_stops_nobody(make_service):
    service = make_service()
    for _ in range(5):
        with callers(service, HOSTILE, 60, [silent, torn_message]) as hostile:
            for one in hostile:
                one.speak()
        assert_honest_mail_passes(service, count=1)
    wait_until(lambda: not service.files("incoming"))


# What one user may queue

def hold(service):
    """Nothing leaves."""
    service.mail.tenant.stop()


def test_a_user_may_queue_so_many_messages(make_service):
    service = make_service(per_user_limit=5)
    hold(service)
    for _ in range(5):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE, **user(HONEST)))
    assert_fatal(service.sendmail(BOSS, stdin=MESSAGE, **user(HONEST)), 75,
                 "per_user_limit")
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE, **user(HONEST + 1)))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))


def test_a_user_may_queue_so_many_octets(make_service):
    service = make_service(per_user_limit=5)
    hold(service)
    large = message((b"x" * 75 + b"\r\n") * 5000)
    assert_sent(service.sendmail(BOSS, stdin=large, **user(HONEST)))
    assert_fatal(service.sendmail(BOSS, stdin=large, **user(HONEST)), 75,
                 "per_user_limit")
    assert_sent(service.sendmail(BOSS, stdin=large, **user(HONEST + 1)))


def test_many_connections_at_once_are_no_way_around_it(make_service):
    service = make_service(per_user_limit=5)
    hold(service)
    transaction = b"MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nBDAT 1 LAST\r\nx"
    with callers(service, [HONEST], 10, [silent]) as made:
        for one in made:
            one.socket.setblocking(True)
            assert one.socket.recv(4096).startswith(b"220 ")
        for _ in range(10):
            for one in made:
                one.socket.send(transaction)
                said = b""
                while said.count(b"\r\n") < 3:
                    said += one.socket.recv(4096)
    # All began before the first had queued anything, so each has one.
    assert 5 <= len(service.files()) <= 5 + len(made)
