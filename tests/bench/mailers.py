"""The mail programs that are compared: ours, Postfix and dma.

Each is a private instance below one directory, so that all of them write to
the same file system, and each keeps what it takes: nobody is to be reached.
"""
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("SENDMAIL365_BUILD", TOP / "build"))
sys.path[:0] = [str(TOP / "tests"), str(TOP / "tests/integration")]

from postfix import QUEUES, daemon_directory, stop_group  # noqa: E402

START_SECONDS = 30
UNSHARED = "SENDMAIL365_BENCH_UNSHARED"

CONFIG = """\
[account]
user = alerts@contoso.example
auth = none
host = localhost
port = {port}
[aliases]
file = {here}/aliases
[queue]
directory = {here}/spool
[service]
socket = {here}/submit
state_directory = {here}/state
"""

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {here}/queue
data_directory = {here}/data
daemon_directory = {daemons}
maillog_file = {here}/log
maillog_file_prefixes = {here}
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
alias_maps =
local_recipient_maps =
# What has come in stays where it is: the least that Postfix can do.
header_checks = static:HOLD
"""

MASTER_CF = """\
pickup    unix n - n 60   1 pickup
cleanup   unix n - n -    0 cleanup
qmgr      unix n - n 300  1 qmgr
rewrite   unix - - n -    - trivial-rewrite
bounce    unix - - n -    0 bounce
defer     unix - - n -    0 bounce
trace     unix - - n -    0 bounce
proxymap  unix - - n -    - proxymap
error     unix - - n -    - error
retry     unix - - n -    - error
smtp      unix - - n -    - smtp
postlog   unix-dgram n - n - 1 postlogd
"""


class Missing(Exception):
    """A program cannot be had here."""


def wait_until(condition):
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit("bench: a program does not start, or does not end")
        time.sleep(0.01)


def file_system(path):
    """What a directory is on."""
    out = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", path],
                         stdout=subprocess.PIPE, text=True, check=False)
    return " on ".join(out.stdout.split()) or "unknown"


class Ours:
    """The service, with an account whose server does not answer."""

    name = "sendmail365"

    def __init__(self, here):
        self.here = here / "ours"
        self.command = [str(BUILD / "sendmail")]
        self.environment = {**os.environ,
                            "SENDMAIL365_SOCKET": f"{self.here}/submit"}
        self.process = None

    def __enter__(self):
        self.here.mkdir()
        (self.here / "aliases").touch()
        config = self.here / "sendmail365.conf"
        self._closed = socket.socket()  # bound, and nobody listens
        self._closed.bind(("127.0.0.1", 0))
        config.write_text(CONFIG.format(
            here=self.here, port=self._closed.getsockname()[1]))
        self.start()
        return self

    def start(self):
        with open(self.here / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(BUILD / "sendmail365"), "serve", "-C",
                 str(self.here / "sendmail365.conf")],
                stdin=subprocess.DEVNULL, stderr=log)
        wait_until(lambda: (self.here / "submit").exists() or
                   self.process.poll() is not None)
        if self.process.poll() is not None:
            sys.exit("bench: the service does not start:\n" +
                     (self.here / "log").read_text())

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self._closed.close()

    def count(self):
        """Messages that it has safe."""
        return len(os.listdir(self.here / "spool/queue"))

    def settle(self):
        """Wait until it has done what can be done."""

    def empty(self):
        subprocess.run([str(BUILD / "sendmail365"), "queue", "-C",
                        str(self.here / "sendmail365.conf"), "delete",
                        "--all"], env=self.environment, check=True,
                       stdout=subprocess.DEVNULL)


class Postfix:
    """What its sendmail has taken goes on to its cleanup, and is on hold."""

    name = "Postfix"

    def __init__(self, here):
        self.here = here / "postfix"
        self.command = ["/usr/sbin/sendmail", "-C", str(self.here)]
        self.environment = os.environ
        self.process = None

    def __enter__(self):
        if os.geteuid() != 0 or not shutil.which("postdrop"):
            raise Missing("it is not installed, or this is not root")
        self.here.mkdir()
        (self.here / "main.cf").write_text(MAIN_CF.format(
            here=self.here, daemons=daemon_directory()))
        (self.here / "master.cf").write_text(MASTER_CF)
        for name in ("data", *(f"queue/{one}" for one in QUEUES)):
            folder = self.here / name
            folder.mkdir(parents=True)
            if name != "queue/pid":
                shutil.chown(folder, "postfix")
            folder.chmod(0o700)
        with open(self.here / "output", "ab") as output:
            self.process = subprocess.Popen(
                [f"{daemon_directory()}/master", "-c", str(self.here), "-d"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True)
        wait_until((self.here / "queue/public/pickup").exists)
        return self

    def __exit__(self, *_):
        stop_group(self.process)

    def count(self):
        return sum(len(files) for name in ("maildrop", "incoming", "active",
                                           "deferred", "hold")
                   for _, _, files in os.walk(self.here / "queue" / name))

    def settle(self):
        wait_until(lambda: not os.listdir(self.here / "queue/maildrop"))

    def empty(self):
        shutil.rmtree(self.here / "queue/hold")
        (self.here / "queue/hold").mkdir(mode=0o700)
        shutil.chown(self.here / "queue/hold", "postfix")


class Dma:
    """dma with DEFER: each message is kept until somebody flushes.

    Its paths are compiled in, and its package replaces Postfix: the package
    is unpacked, and its folders are mounted where nobody else sees them.
    """

    name = "dma DEFER"

    def __init__(self, here):
        self.here = here / "dma"
        self.command = [str(self.here / "sendmail")]
        self.environment = os.environ

    def __enter__(self):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Missing("its package is Debian's, and it needs root")
        etc, spool, work = (self.here / name for name in (
            "etc", "spool", "work"))
        for folder in (etc / "dma", spool / "dma", work):
            folder.mkdir(parents=True)
        self.unpack()
        (etc / "dma/dma.conf").write_text("DEFER\nMAILNAME dma.example\n")
        shutil.chown(spool / "dma", "root", "mail")
        (spool / "dma").chmod(0o2775)
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir=/etc,upperdir={etc},workdir={work}", "/etc")
        run("mount", "--bind", str(spool), "/var/spool")
        return self

    def unpack(self):
        run("apt-get", "download", "-q", "dma", cwd=self.here)
        [package] = self.here.glob("dma_*.deb")
        run("dpkg-deb", "-x", str(package), str(self.here / "package"))
        os.link(self.here / "package/usr/sbin/dma", self.here / "sendmail")
        shutil.chown(self.here / "sendmail", "root", "mail")
        (self.here / "sendmail").chmod(0o2755)

    def __exit__(self, *_):
        run("umount", "/var/spool")
        run("umount", "/etc")

    def count(self):
        """Each message is two files."""
        return len(list((self.here / "spool/dma").glob("Q*")))

    def settle(self):
        """Nothing runs."""

    def empty(self):
        for path in (self.here / "spool/dma").glob("[MQ]*"):
            path.unlink()


def run(*command, cwd=None):
    """Run a program that says something only where it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise Missing(f"{' '.join(command)}: {done.stdout}")


def unshare():
    """Go on in a mount namespace of our own; as root only."""
    if os.geteuid() != 0 or os.environ.get(UNSHARED):
        return
    os.environ[UNSHARED] = "yes"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private",
                          sys.executable, *sys.argv])
