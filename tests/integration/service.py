"""A running service for tests, and what it has on disk."""
import contextlib
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import BUILD, STUCK, children_of, wait_until

DAY = 24 * 60 * 60
SALT_BITS = 12  # of the number of a message: a time, and chance


class Service:
    """`sendmail365 serve` with a configuration of its own."""

    def __init__(self, mail, **queue):
        """mail is conftest's Programs; `queue` are keys of [queue]."""
        self.mail = mail
        self.home = mail.home
        self.spool = self.home / "spool"
        self.socket = self.home / "submit"
        self.log_path = self.home / "service.log"
        self.queue = {"directory": self.spool, **queue}
        self.process = None

    def configure(self, login=False, sections=None, **account):
        """Write the configuration."""
        sections = dict(sections or {})
        sections["queue"] = {**self.queue, **sections.get("queue", {})}
        sections["service"] = {
            "socket": self.socket, **sections.get("service", {})}
        self.mail.use(self.mail.tenant, login=login, sections=sections,
                      **account)
        return self

    def start(self, **options):
        """Start it and wait until it listens."""
        # Another one may have been here before.
        starts = (self.log().count("started, ")
                  if self.log_path.exists() else 0)
        self.process = subprocess.Popen(
            [str(BUILD / "sendmail365"), "serve", "-v", "-C",
             self.mail.config],
            stdin=subprocess.DEVNULL, stderr=self.log_path.open("ab"),
            **options)
        wait_until(lambda: self.log().count("started, ") > starts or
                   self.process.poll() is not None)
        assert self.process.poll() is None, self.log()
        return self

    def open_to_others(self, stack):
        """Put the socket where other users reach it; before configure().

        pytest closes its directories whenever a further pytest begins.
        """
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.chmod(0o711)
        self.socket = home / "submit"
        return self

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, pattern):
        wait_until(lambda: re.search(pattern, self.log()))

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """End it in order, if it still runs."""
        if self.process is None or self.process.poll() is not None:
            return
        self.signal(signal.SIGTERM)
        assert self.process.wait(STUCK) == 0, self.log()

    def kill(self):
        self.process.kill()
        self.process.wait(STUCK)
        # Its children end by themselves: their channel is closed.

    def environment(self):
        return {**os.environ, "SENDMAIL365_SOCKET": str(self.socket)}

    def sendmail(self, *args, stdin=b"", **options):
        """Run sendmail as a user of the service would."""
        return self.mail._run(
            self.mail.sendmail_path, *args, stdin=stdin,
            **{"env": self.environment(), **options})

    def files(self, place="queue"):
        """Names in a place of the spool."""
        return sorted(p.name for p in (self.spool / place).iterdir())

    def wait_until_empty(self):
        wait_until(lambda: not self.files())


def process_of(service, name):
    """The id of a process that the service has started, or None."""
    for pid in children_of(service.process.pid):
        with contextlib.suppress(OSError):  # it has just ended
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                return pid
    return None


def make_old(service, days):
    """Let what is in the queue of a stopped service be as old as that."""
    for name in service.files():
        number, _, user = name.partition(".")
        earlier = int(number, 16) - (days * DAY * 1_000_000 << SALT_BITS)
        path = service.spool / "queue" / name
        path.rename(path.with_name(f"{earlier:016X}.{user}"))


@pytest.fixture
def service(mail):
    """A service that is not started yet."""
    one = Service(mail, retry_first="1s").configure()
    yield one
    one.stop()


@pytest.fixture
def make_service(given):
    """Make a service for a tenant that follows these rules."""
    made = []

    def make(*rules, config=None, queue=None, **options):
        queue = {"retry_first": "1s", **(queue or {})}
        made.append(Service(given(*rules, **options), **queue))
        return made[-1].configure(**(config or {}))

    yield make
    for one in made:
        one.stop()
