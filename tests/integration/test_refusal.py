"""A service that cannot start says why to those who called it."""
import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from service import Service
from support import (BOSS, BUILD, MESSAGE, OUTSIDER, STUCK, assert_fatal,
                     assert_sent, is_listening, wait_until)
from test_service_secrets import OTHER, is_root
from test_supervision import Supervisor, notify_environment

EX_CONFIG = 78
#: What no answer of the service has room for.
LINE_MAX = 512

pytestmark = pytest.mark.slow


class Activation(threading.Thread):
    """What a service manager does with a socket unit.

    It holds the socket, starts the service when somebody comes, and again
    after each end of it.
    """

    def __init__(self, service, environment=None):
        super().__init__()
        self.service = service
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(service.socket))
        self.listener.listen(100)
        service.socket.chmod(0o666)
        self.environment = {**os.environ, "LISTEN_FDS": "1",
                            **(environment or {})}
        self.statuses = []
        #: What each start gets a copy of, as LoadCredential= names it.
        self.secrets = None
        self.may_start = threading.Event()
        self.may_start.set()
        self.is_over = False
        self.process = None

    def run(self):
        while not self.is_over:
            ready, _, _ = select.select([self.listener], [], [], 0.05)
            if not ready or not self.may_start.is_set():
                continue
            self.process = subprocess.Popen(
                [str(BUILD / "sendmail365"), "serve", "-v", "-C",
                 self.service.mail.config],
                env={**self.environment, **self.load_credentials()},
                stdin=subprocess.DEVNULL,
                pass_fds=(3,),
                preexec_fn=lambda: os.dup2(self.listener.fileno(), 3),
                stderr=self.service.log_path.open("ab"))
            self.statuses.append(self.process.wait())

    def load_credentials(self):
        if self.secrets is None:
            return {}
        copies = Path(tempfile.mkdtemp(dir=self.service.home))
        for secret in self.secrets.iterdir():
            shutil.copy(secret, copies / f"{self.secrets.name}_{secret.name}")
        return {"CREDENTIALS_DIRECTORY": str(copies)}

    def stop(self):
        self.is_over = True
        while self.is_alive():
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            self.join(0.05)
        self.listener.close()


@pytest.fixture
def unit(mail):
    """A service with a socket of its manager's, reached by everybody."""
    with contextlib.ExitStack() as stack:
        service = Service(mail, retry_first="1s")
        service.open_to_others(stack).configure()

        def make(**environment):
            one = Activation(service, environment)
            stack.callback(one.stop)
            one.start()
            return service, one

        yield make


def spoil(service, text="\n[qeueu]\n"):
    """Write a mistake; returns what mends it."""
    path = Path(service.mail.config)
    good = path.read_text()
    path.write_text(good + text)
    return lambda: path.write_text(good)


def greeting(service):
    """All that a caller is told, who says nothing."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(STUCK)
        s.connect(str(service.socket))
        return s.makefile("rb").read()


@pytest.mark.parametrize("options", [["-t"], ["-i", BOSS]])
def test_a_missing_configuration_is_named_to_the_caller(unit, options):
    service, activation = unit()
    path = Path(service.mail.config)
    away = path.rename(path.with_suffix(".away"))
    result = service.sendmail(*options, stdin=MESSAGE + b"x" * 1000000)
    assert_fatal(result, EX_CONFIG, f"Configuration: {path}: ",
                 "no such file", "run: sendmail365 check")
    assert not service.spool.exists()
    # Written, it is in force: for the next caller, whoever waits for it.
    away.rename(path)
    assert_sent(service.sendmail(*options, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    # It has said it once, and was not started for each of us.
    assert service.log().count("no such file") == 1
    assert activation.statuses == [EX_CONFIG]


def test_what_is_used_is_the_secret_of_now(unit):
    """Written together with the configuration, after the first start."""
    service, activation = unit()
    path = Path(service.mail.config)
    secrets = path.parent / "secrets"
    secrets.mkdir()
    activation.secrets = secrets
    text = path.read_text()
    [given] = re.findall(r"^client_secret_file = (.*)", text, re.M)
    path.unlink()
    assert greeting(service).startswith(b"421 4.3.5 ")
    shutil.move(path.parent / given, secrets / "client-secret")
    path.write_text(text.replace(given, "secrets/client-secret"))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)


def test_it_ends_when_nobody_comes_any_more(unit):
    service, activation = unit()
    mend = spoil(service)
    assert greeting(service).startswith(b"421 4.3.5 Configuration: ")
    wait_until(lambda: activation.statuses == [EX_CONFIG])
    # Who comes while there is none waits for the next one.
    activation.may_start.clear()
    caller = service.mail._start(
        service.mail.sendmail_path, BOSS, stdin=subprocess.PIPE,
        env=service.environment())
    caller.stdin.write(MESSAGE)
    caller.stdin.close()
    wait_until(lambda: select.select([activation.listener], [], [], 0)[0])
    mend()
    activation.may_start.set()
    assert caller.wait(STUCK) == 0, caller.stderr.read()
    caller.stdout.close()
    caller.stderr.close()
    assert service.mail.tenant.wait_for_messages(1)


def test_who_calls_without_end_does_not_keep_it(unit):
    service, activation = unit()
    spoil(service)
    began = time.monotonic()
    while not activation.statuses:
        assert greeting(service).startswith(b"421 4.3.5 ")
        assert time.monotonic() - began < STUCK
    # They are served by the next one.
    assert greeting(service).startswith(b"421 4.3.5 ")
    assert activation.statuses[0] == EX_CONFIG


def test_many_callers_each_get_the_reason(unit):
    service, _ = unit()
    spoil(service)
    callers = []
    for _ in range(30):
        callers.append(service.mail._start(
            service.mail.sendmail_path, BOSS, stdin=subprocess.PIPE,
            env=service.environment()))
        callers[-1].stdin.write(MESSAGE)
        callers[-1].stdin.close()
    for caller in callers:
        assert caller.wait(STUCK) == EX_CONFIG
        assert b"this line is wrong" in caller.stderr.read()
        caller.stdout.close()
        caller.stderr.close()


@pytest.mark.parametrize("text", [
    "\n[log]\nlevel = s3cret\n", "\n[log]\ns3cret = info\n",
    "\n[s3cret]\n", "\n[account s3cret]\n"])
def test_a_file_that_is_not_everybodys_is_not_quoted(unit, tmp_path, text):
    service, _ = unit(NOTIFY_SOCKET=str(tmp_path / "notify"))
    supervisor = Supervisor(str(tmp_path / "notify"))
    spoil(service, text)
    Path(service.mail.config).chmod(0o600)
    said = greeting(service).decode()
    heard = supervisor.hear()
    supervisor.socket.close()
    assert re.fullmatch(
        rf"421 4\.3\.5 Configuration: {service.mail.config}:\d+: "
        r"(level: the value|this line) is wrong; run: sendmail365 check\r\n",
        said)
    assert re.fullmatch(r"STATUS=Not taking messages: [^\n]* is wrong", heard)
    assert "s3cret" in service.log()


@pytest.mark.parametrize("word", ["x" * 150, "\N{SNOWMAN}" * 45, "\x7f"])
def test_the_line_is_one_line_of_smtp(unit, word):
    service, _ = unit()
    directory = service.home / ("d" * 200) / ("e" * 200)
    directory.mkdir(parents=True)
    service.mail.config = str(directory / "a\r\nb.conf")
    Path(service.mail.config).write_text(f"[{word}]\n")
    said = greeting(service)
    assert len(said) <= LINE_MAX
    assert said.startswith(b"421 4.3.5 Configuration: ")
    assert said.endswith(b"; run: sendmail365 check\r\n")
    assert said.count(b"\n") == said.count(b"\r") == 1


def test_a_queue_that_cannot_be_opened_is_told(unit):
    service, activation = unit()
    service.spool.mkdir(mode=0o755)
    result = service.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, EX_CONFIG, "The service cannot start: ",
                 str(service.spool))
    wait_until(lambda: activation.statuses == [EX_CONFIG])


@pytest.mark.parametrize("program", ["sendmail -bp", "sendmail365 queue list"])
def test_a_listing_says_why_there_is_none(unit, program):
    service, _ = unit()
    spoil(service)
    name, *arguments = program.split()
    result = subprocess.run(
        [str(BUILD / name), *arguments], env=service.environment(),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=STUCK)
    assert result.returncode in (75, EX_CONFIG)
    assert result.stdout == b""
    assert b"Configuration: " in result.stderr
    assert b"run: sendmail365 check" in result.stderr


def test_a_speaker_of_smtp_is_told(unit):
    service, _ = unit()
    spoil(service)
    result = service.sendmail(
        "-bs", stdin=b"EHLO x\r\nMAIL FROM:<a@contoso.example>\r\n"
        b"RCPT TO:<boss@contoso.example>\r\nDATA\r\n" + MESSAGE +
        b".\r\nQUIT\r\n")
    assert re.search(rb"\r\n451[- ]4\.3\.5 Configuration: ", result.stdout)


@is_root
def test_another_user_does_not_send_it_alone(unit):
    """Not even one who could: it has a configuration of its own."""
    service, _ = unit()
    spoil(service)
    result = subprocess.run(
        [service.mail.sendmail_path, BOSS], input=MESSAGE,
        capture_output=True, env=service.environment(), **OTHER)
    assert_fatal(result, EX_CONFIG, "Configuration: ")
    assert service.mail.tenant.messages == []


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"),
                    reason="systemd-socket-activate is not installed")
def test_with_systemds_own_program(mail, tmp_path):
    """Four lines of configuration take effect without a further command."""
    with contextlib.ExitStack() as stack:
        service = Service(mail, retry_first="1s")
        service.open_to_others(stack).configure()
        path = Path(mail.config)
        away = path.rename(path.with_suffix(".away"))
        service.process = subprocess.Popen(
            ["/bin/sh", "-c",
             'while :; do systemd-socket-activate -l "$@"; done', "sh",
             str(service.socket), mail.sendmail365_path, "serve", "-C",
             mail.config],
            stdin=subprocess.DEVNULL, stderr=service.log_path.open("ab"),
            start_new_session=True)
        stack.callback(service.process.wait)
        stack.callback(os.killpg, service.process.pid, signal.SIGKILL)
        wait_until(lambda: is_listening(service.socket))
        assert_fatal(service.sendmail("-t", stdin=MESSAGE), EX_CONFIG,
                     "no such file")
        away.rename(path)
        # Unlike systemd, it closes its socket whenever the service ends.
        wait_until(lambda: service.log().count("Listening on ") == 2)
        assert_sent(service.sendmail("-t", OUTSIDER, stdin=MESSAGE))
        assert mail.tenant.wait_for_messages(1)


# A service that runs

def test_a_reload_that_fails_is_seen_until_it_is_mended(
        service_with_supervisor):
    service, supervisor = service_with_supervisor
    ready = supervisor.hear_until("READY=1")[-1]
    assert "STATUS=Taking messages" in ready.splitlines()
    mend = spoil(service)
    service.signal(signal.SIGHUP)
    heard = supervisor.hear_until("READY=1")[-1].splitlines()
    assert re.fullmatch(
        r"STATUS=Taking messages with the old configuration: .*:\d+: .*",
        heard[1])
    mend()
    service.signal(signal.SIGHUP)
    heard = supervisor.hear_until("READY=1")[-1].splitlines()
    assert heard == ["READY=1", "STATUS=Taking messages"]


@pytest.fixture
def service_with_supervisor(mail, tmp_path):
    supervisor = Supervisor(str(tmp_path / "notify"))
    service = Service(mail, retry_first="1s").configure()
    service.start(env=notify_environment(supervisor))
    yield service, supervisor
    service.stop()
    supervisor.socket.close()
