"""A long queue costs no more for each message than a short one."""
import os
import re
import signal
import socket
import subprocess

import pytest

from long_queue import CONTENT, fill
from service import Service
from support import (BOSS, MESSAGE, STUCK, assert_sent, children_of,
                     wait_until)

LONG = 5000
SHORT = 10
ATTEMPTS = 20


@pytest.fixture
def service(mail):
    """A service that is not started yet."""
    one = Service(mail).configure()
    yield one
    one.stop()


def processes(service):
    return [service.process.pid, *children_of(service.process.pid)]


def deliver(service, count):
    """Have messages delivered, one after the other."""
    others = len(service.files())
    for _ in range(count):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
        wait_until(lambda: len(service.files()) == others)


def count_calls(service, run):
    """How many system calls the service makes meanwhile."""
    pids = processes(service)
    words = [word for pid in pids for word in ("-p", str(pid))]
    out = service.home / "strace"
    with subprocess.Popen(["strace", "-c", "-f", "-o", out, *words],
                          stderr=subprocess.PIPE) as strace:
        try:
            for _ in pids:
                assert b" attached" in strace.stderr.readline()
            run()
        finally:
            strace.send_signal(signal.SIGINT)
    return int(re.search(r" (\d+) +(?:\d+ )?total$", out.read_text(),
                         re.MULTILINE)[1])


@pytest.mark.limits
@pytest.mark.skipif(os.geteuid() != 0,
                    reason="needs to trace what is not to be traced")
def test_an_attempt_makes_as_many_calls_as_with_a_short_queue(service):
    calls = []
    for more in SHORT, LONG:
        fill(service.spool, more)
        service.start()
        deliver(service, 2)  # starts the processes
        calls.append(count_calls(
            service, lambda: deliver(service, ATTEMPTS)))
        service.stop()
    short, long = calls
    assert short > 20 * ATTEMPTS
    # Where time is short some are made twice; LONG is far more than that.
    assert long < short + 20 * ATTEMPTS


def test_a_long_list_is_complete_and_in_order(service):
    fill(service.spool, LONG)
    service.start()
    result = service.sendmail("-bp")
    assert (result.returncode, result.stderr) == (0, b"")
    head, _, text = result.stdout.decode().partition("\n")
    *entries, last = text.split("\n\n")
    assert head.startswith("----Queue ID-----")
    assert [one.split()[0] for one in entries] == [
        name.partition(".")[0] for name in service.files()]
    kib = (LONG * len(CONTENT) + 1023) // 1024
    assert last == f"-- {kib} Kbytes in {LONG} Requests.\n"


def test_a_reader_who_leaves_a_long_list_leaves_nothing_behind(service):
    fill(service.spool, LONG)
    service.start()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(STUCK)
        caller.connect(str(service.socket))
        caller.sendall(b"XQUEUE LIST\r\n")
        assert b"----Queue ID-----" in caller.recv(4096) + caller.recv(4096)
    wait_until(lambda: not any(
        children_of(pid) for pid in children_of(service.process.pid)))
    assert service.sendmail("-bp").stdout.decode().endswith(
        f" in {LONG} Requests.\n")
