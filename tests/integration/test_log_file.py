"""[log] to = FILE: what the service writes, and what it does without."""
import os
import re
import resource
import signal
import subprocess

import pytest

from service import Service
from support import (BOSS, BUILD, MESSAGE, assert_sent, is_listening,
                     wait_until)

pytestmark = pytest.mark.slow

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d "
    r"sendmail365\[\d+\] (error|warning|info): [^\n]+")


class Logging(Service):
    """Without -v, which would keep the log on standard error."""

    def start(self, **options):
        before = self.text().count("started, ")
        self.process = subprocess.Popen(
            [str(BUILD / "sendmail365"), "serve", "-C", self.mail.config],
            stdin=subprocess.DEVNULL, stderr=self.log_path.open("ab"),
            **options)
        wait_until(lambda: self.text().count("started, ") > before)
        return self

    @property
    def file(self):
        return self.home / "log" / "mail.log"

    def text(self, path=None):
        path = path or self.file
        return path.read_text() if path.is_file() else ""


@pytest.fixture
def logging(mail):
    one = Logging(mail, retry_first="1s")
    one.file.parent.mkdir(mode=0o755)
    one.configure(sections={"log": {"to": one.file}})
    yield one
    one.stop()


def send(service):
    count = len(service.mail.tenant.messages)
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(count + 1)
    service.wait_until_empty()


def test_lines_go_to_the_file(logging):
    logging.start()
    send(logging)
    wait_until(lambda: "status=sent" in logging.text())
    lines = logging.text().splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    # Manager, ingest and delivery process.
    assert len({re.search(r"\[(\d+)\]", line)[1] for line in lines}) == 3
    assert logging.file.stat().st_mode & 0o7777 == 0o640
    assert logging.log() == ""


@pytest.mark.parametrize("is_bad", [False, True])
def test_a_rotated_file_is_left_alone(logging, is_bad):
    """Also where the configuration has become wrong meanwhile."""
    logging.start()
    send(logging)
    # The last line about it.
    wait_until(lambda: ": removed\n" in logging.text())
    old = logging.file.rename(logging.file.with_suffix(".log.1"))
    if is_bad:
        with open(logging.mail.config, "a") as f:
            f.write("\n[qeueu]\n")
    logging.signal(signal.SIGHUP)
    word = "the old configuration stays" if is_bad else "was read again"
    wait_until(lambda: word in logging.text())
    rotated = logging.text(old)
    send(logging)
    wait_until(lambda: "status=sent" in logging.text())
    assert "queued" in logging.text()
    assert logging.text(old) == rotated


def test_another_file_is_used_after_a_reload(logging):
    logging.start()
    other = logging.file.with_name("other.log")
    logging.configure(sections={"log": {"to": other}})
    logging.signal(signal.SIGHUP)
    wait_until(lambda: "was read again" in logging.text(other))
    assert "was read again" not in logging.text()


def spoil_directory(logging):
    logging.file.parent.chmod(0o775)


def spoil_link(logging):
    victim = logging.home / "victim"
    victim.write_text("")
    logging.file.symlink_to(victim)


def spoil_hard_link(logging):
    victim = logging.home / "victim"
    victim.write_text("")
    logging.file.hardlink_to(victim)


def spoil_file(logging):
    logging.file.mkdir()


@pytest.mark.parametrize("spoil", [
    spoil_directory, spoil_link, spoil_file, spoil_hard_link])
def test_a_file_that_is_unsafe_is_not_used(logging, spoil):
    spoil(logging)
    logging.process = subprocess.Popen(
        [str(BUILD / "sendmail365"), "serve", "-C", logging.mail.config],
        stdin=subprocess.DEVNULL, stderr=logging.log_path.open("ab"))
    wait_until(lambda: is_listening(logging.socket))
    send(logging)
    assert logging.text() == ""
    victim = logging.home / "victim"
    assert not victim.exists() or victim.read_text() == ""


def test_a_full_disk_stops_no_mail(logging):
    """The file is at the limit of what a process may write."""
    logging.start()
    size = logging.file.stat().st_size
    os.truncate(logging.file, 1000000)
    resource.prlimit(logging.process.pid, resource.RLIMIT_FSIZE,
                     (500000, 500000))
    for _ in range(3):
        send(logging)
    assert logging.file.stat().st_size == 1000000
    os.truncate(logging.file, size)
    send(logging)
    wait_until(lambda: "status=sent" in logging.text())


def test_other_programs_do_not_open_it(logging):
    assert logging.mail.sendmail365(
        "submit", BOSS, stdin=MESSAGE).returncode == 0
    assert not logging.file.exists()


@pytest.mark.parametrize("path", ["log/mail.log", "./x", "/var/log/"])
def test_a_relative_path_is_a_mistake(logging, path):
    logging.configure(sections={"log": {"to": path}})
    result = logging.mail.sendmail365("check")
    assert result.returncode == 78
    assert b"to: a log file is written with its whole path" in result.stderr
