"""The service and who supervises it: stop, reload, watchdog, sockets."""
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from crash import INGEST, can_trace
from fake365 import Rule
from service import make_service, process_of, service  # noqa: F401
from support import (BOSS, IS_PLAIN, MESSAGE, STALL, STUCK, assert_sent,
                     is_listening, least, wait_until)
from test_storm import arrived, call


def tracer_of(service, name):
    """The process that follows one of the service's, or 0."""
    status = Path(f"/proc/{process_of(service, name)}/status").read_text()
    return int(re.search(r"TracerPid:\s+(\d+)", status)[1])


class Supervisor:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(STUCK)

    def hear(self):
        return self.socket.recv(4096).decode()

    def hear_until(self, line):
        """Datagrams up to the first with this line."""
        heard = []
        while not heard or line not in heard[-1].splitlines():
            heard.append(self.hear())
        return heard


@pytest.fixture(params=["path", "abstract"])
def supervisor(request, tmp_path):
    name = str(tmp_path / "notify")
    one = Supervisor(name if request.param == "path" else "\0" + name)
    yield one
    one.socket.close()


def notify_environment(supervisor, **more):
    name = supervisor.path.replace("\0", "@")
    return {**os.environ, "NOTIFY_SOCKET": name, **more}


def test_the_supervisor_is_told(service, supervisor):
    service.start(env=notify_environment(supervisor))
    assert supervisor.hear().splitlines()[0] == "READY=1"
    # Who was told that it is ready can send.
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.signal(signal.SIGHUP)
    assert supervisor.hear_until("READY=1")[0].startswith("RELOADING=1")
    service.stop()
    assert supervisor.hear() == "STOPPING=1"


def test_the_watchdog_is_fed(service, supervisor):
    def listen():
        began = time.monotonic()
        for _ in range(5):
            supervisor.hear_until("WATCHDOG=1")
        return time.monotonic() - began

    # Some may have been said before they are heard.
    started = time.monotonic()
    service.start(env=notify_environment(supervisor, WATCHDOG_USEC="300000"))
    supervisor.hear_until("READY=1")
    assert least(listen, 5) < 5
    assert time.monotonic() - started > 0.3


def test_the_watchdog_of_another_process_is_not(service, supervisor):
    service.start(env=notify_environment(
        supervisor, WATCHDOG_USEC="1000", WATCHDOG_PID="1"))
    supervisor.hear_until("READY=1")
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    service.stop()
    assert supervisor.hear() == "STOPPING=1"


def test_a_bad_configuration_is_told_and_the_old_one_kept(
        service, supervisor):
    service.start(env=notify_environment(supervisor))
    supervisor.hear_until("READY=1")
    with open(service.mail.config, "a") as f:
        f.write("\n[qeueu]\n")
    service.signal(signal.SIGHUP)
    # Ready again, with what it had.
    assert supervisor.hear_until("READY=1")[0].startswith("RELOADING=1")
    service.wait_for_log("the old configuration stays: .*qeueu")
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)


# Stopping

@pytest.mark.slow
@pytest.mark.parametrize("timeout", [STALL, 100])
def test_what_cannot_be_finished_is_given_back(make_service, timeout):
    """Exchange does not answer: the message stays in the queue.

    Who is still busy after twenty seconds is ended.
    """
    service = make_service(
        Rule("final", "stall", nth=1), config={"timeout": timeout}).start()
    tenant = service.mail.tenant
    recipients = call(service, 1, 1)
    wait_until(lambda: any("BDAT" in line for line in tenant.dialogue()))
    service.signal(signal.SIGTERM)
    assert service.process.wait(STUCK) == 0
    assert len(service.files()) == 1
    service.configure().start()  # as patient as others
    assert tenant.wait_for_messages(1)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(recipients)


def test_what_waits_is_not_begun_any_more(make_service):
    may_end = threading.Event()
    service = make_service(
        Rule("final", "hold", may_end, nth=1),
        config={"max_connections": 1}).start()
    tenant = service.mail.tenant
    recipients = call(service, 1, 5)
    wait_until(lambda: any("BDAT" in line for line in tenant.dialogue()))
    service.signal(signal.SIGTERM)
    service.wait_for_log(r"\bstopping\n")
    may_end.set()
    assert service.process.wait(STUCK) == 0
    assert len(tenant.messages) == 1
    assert len(service.files()) == 4
    service.start()
    assert tenant.wait_for_messages(5)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(recipients)


def test_a_reload_does_not_disturb_what_is_in_flight(make_service):
    service = make_service(
        Rule("final", "delay", 0.3, nth=1, last=3)).start()
    tenant = service.mail.tenant
    recipients = call(service, 2, 5)
    for _ in range(5):
        service.signal(signal.SIGHUP)
        count = len(tenant.messages)
        wait_until(lambda: len(tenant.messages) > count or
                   len(tenant.messages) == 10)
    assert tenant.wait_for_messages(10)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(recipients)


INTERACTIVE = {"sections": {"service": {"delivery": "interactive"}}}


def start_caller(service, *args):
    """A sendmail that has said all it has to say."""
    caller = subprocess.Popen(
        [service.mail.sendmail_path, *args, BOSS],
        env=service.environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    caller.stdin.write(MESSAGE)
    caller.stdin.close()
    caller.stdin = None
    return caller


def assert_taken(caller):
    """It has succeeded: it must not send the message again."""
    assert caller.communicate(timeout=STUCK) == (b"", b"")
    assert caller.returncode == 0


@pytest.mark.parametrize("delivery, args", [
    ("interactive", []), ("caller", ["-odi"])])
def test_who_waits_for_a_message_that_waits_has_handed_it_over(
        make_service, delivery, args):
    """The account may send no more for a while."""
    service = make_service(config={
        "messages_per_minute": "1/100s",
        "sections": {"service": {"delivery": delivery}}}).start()
    assert_sent(service.sendmail(*args, BOSS, stdin=MESSAGE))
    caller = start_caller(service, *args)
    service.wait_for_log("its limits allow nothing")
    service.stop()
    assert_taken(caller)
    assert len(service.mail.tenant.messages) == 1
    assert len(service.files()) == 1


def test_who_waits_for_what_is_in_flight_has_handed_it_over(make_service):
    service = make_service(
        Rule("final", "stall", nth=1),
        config={"timeout": 3 * STALL, **INTERACTIVE}).start()
    caller = start_caller(service)
    wait_until(lambda: any("BDAT" in line for line in
                           service.mail.tenant.dialogue()))
    service.signal(signal.SIGTERM)
    assert_taken(caller)
    assert service.process.wait(STUCK) == 0
    assert len(service.files()) == 1


@pytest.mark.slow
@pytest.mark.skipif(not IS_PLAIN or not can_trace(), reason="needs strace")
def test_who_writes_on_a_slow_disk_is_not_cut_off(make_service):
    """It takes as long as all have, and some seconds, to sync queue/."""
    service = make_service(Rule("connect", "stall")).start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    trace = service.home / "trace"
    with subprocess.Popen(
            ["strace", "-o", str(trace), "-e", "trace=fsync", "-e",
             "inject=fsync:delay_enter=25000000:when=2",
             "-p", str(process_of(service, INGEST))]) as tracer:
        wait_until(lambda: trace.exists() and tracer_of(service, INGEST))
        caller = start_caller(service)
        wait_until(lambda: len(service.files()) == 2)
        service.signal(signal.SIGTERM)
        assert_taken(caller)
        assert service.process.wait(STUCK) == 0
        tracer.wait(STUCK)
    assert len(service.files()) == 2


@pytest.mark.slow
def test_who_brings_half_a_message_has_handed_nothing_over(make_service):
    service = make_service().start()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(STUCK)
        caller.connect(str(service.socket))
        caller.sendall(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<b@b.example>\r\n"
                       b"BDAT 1000 LAST\r\nSubject: half of it\r\n")
        wait_until(lambda: service.files("incoming"))
        service.signal(signal.SIGTERM)
        said = b"".join(iter(lambda: caller.recv(4096), b""))
    assert [line[:3] for line in said.splitlines()] == [
        b"220", b"250", b"250"]
    assert service.process.wait(STUCK) == 0
    assert service.files() == service.files("incoming") == []


# Socket activation

@pytest.mark.skipif(not shutil.which("systemd-socket-activate"),
                    reason="systemd-socket-activate is not installed")
def test_a_socket_is_handed_over(service):
    """It listens before there is a service, which the first caller starts."""
    service.mail.use(
        service.mail.tenant,
        sections={"queue": service.queue,
                  "service": {"socket": service.home / "unused"}})
    service.process = subprocess.Popen(
        ["systemd-socket-activate", "-l", str(service.socket),
         service.mail.sendmail365_path, "serve", "-v", "-C",
         service.mail.config],
        stdin=subprocess.DEVNULL, stderr=service.log_path.open("ab"))
    wait_until(lambda: is_listening(service.socket))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    assert not (service.home / "unused").exists()
    service.stop()
    # It is not the service's to take away.
    assert service.socket.exists()
