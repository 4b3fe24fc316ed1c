"""Killing a process of ours at one system call, and what came of it.

strace does the killing: `inject=NAME:signal=KILL:when=N` ends a process as it
enters its Nth call of that name. So a place to die is a pair (NAME, N), and
one run without a kill shows which there are.
"""
import collections
import contextlib
import itertools
import os
import queue
import re
import select
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conftest import Programs
from fake365 import Tenant
from service import Service
from support import STUCK, TOP, await_sleep, children_of, wait_until

#: Without it a sweep leaves out calls that change and tell nobody anything.
IS_WHOLE = os.environ.get("SENDMAIL365_CRASH") == "all"
SILENT = {
    "brk", "close", "epoll_ctl", "fcntl", "fstat", "futex", "getegid",
    "geteuid", "getgid", "getpid", "getrandom", "getsockname", "getsockopt",
    "getuid", "lseek", "madvise", "mmap", "mprotect", "munmap", "newfstatat",
    "pread64", "prlimit64", "rt_sigaction", "rt_sigprocmask", "setsockopt",
    "sysinfo", "uname",
}
JOBS = 2  # processors that a sweep keeps busy
TRIES = 3  # no two runs have quite the same calls

INGEST, DELIVERY, MANAGER = "s365-ingest", "s365-delivery", "sendmail365"


def can_trace():
    """Nobody forbids it."""
    return (os.geteuid() == 0 and shutil.which("strace") and
            subprocess.run(["strace", "-o", "/dev/null", "/bin/true"],
                           stderr=subprocess.DEVNULL).returncode == 0)


def strace(trace, point, *target):
    """The command line that follows a process and kills it at a point."""
    kill = ["-e", "inject={}:signal=KILL:when={}".format(*point)] if (
        point) else []
    return ["strace", "-y", "-s", "500", "-o", str(trace), *kill, *target]


class Trace:
    """The system calls of one process, as strace has written them."""

    def __init__(self, path):
        text = path.read_text(errors="replace")
        self.lines = [line for line in text.splitlines()
                      if re.match(r"\w+\(", line)]
        self.was_killed = "+++ killed by SIGKILL +++" in text

    def find(self, pattern, start=0):
        """The place of the first line from there on that matches."""
        for i, line in enumerate(self.lines[start:], start):
            if re.search(pattern, line):
                return i
        raise AssertionError(f"no {pattern} in\n" + self.tail(start))

    def find_last(self, pattern):
        """The place of the last one that does."""
        for i in reversed(range(len(self.lines))):
            if re.search(pattern, self.lines[i]):
                return i
        raise AssertionError(f"no {pattern} in\n" + self.tail(0))

    def tail(self, start):
        return "\n".join(line[:160] for line in self.lines[start:][-50:])

    def points(self):
        """[(name, how many of that name there are up to here)]."""
        seen = collections.Counter()
        out = []
        for line in self.lines:
            name = line.partition("(")[0]
            # What it slept in when strace came.
            if name == "restart_syscall":
                continue
            seen[name] += 1
            out.append((name, seen[name]))
        return out


def choose(points):
    """Those at which a sweep kills."""
    return [p for p in points if IS_WHOLE or p[0] not in SILENT]


class Host(Service):
    """A service whose end, with that of all its processes, can be seen."""

    def __init__(self, mail, **queue_keys):
        super().__init__(mail, **queue_keys)
        self.said = b""

    def start(self, **options):
        """Start it and wait until it says that it is ready."""
        path = str(self.home / "notify")
        Path(path).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(path)
            ready.settimeout(STUCK)
            self.said = b""
            self.process = subprocess.Popen(
                [*self.mail.prefix, self.mail.sendmail365_path, "serve",
                 "-C", self.mail.config], stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "NOTIFY_SOCKET": path}, **options)
            assert ready.recv(500).startswith(b"READY=1")
        await_sleep(self.process.pid)
        return self

    def hear(self, word=None):
        """Read its log until there is a word in it, or to its end."""
        pipe = self.process.stderr
        while word is None or word not in self.said:
            assert select.select([pipe], [], [], STUCK)[0], self.said
            more = os.read(pipe.fileno(), 65536)
            assert more or word is None, self.said
            if not more:
                return
            self.said += more

    def process_of(self, role):
        """The process of a role, made to be there, with nothing to do."""
        if role == MANAGER:
            return self.process.pid
        if role == INGEST:
            self.greet()
        else:
            self.offer_rubbish()
        [pid] = [p for p in children_of(self.process.pid) if
                 Path(f"/proc/{p}/comm").read_text().strip() == role]
        await_sleep(pid)
        await_sleep(self.process.pid)
        return pid

    def greet(self):
        """Call as somebody who has nothing to say."""
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(self.socket))
            caller.recv(500)
            caller.send(b"QUIT\r\n")
            while caller.recv(500):
                pass

    def offer_rubbish(self):
        """A delivery process looks at it and has not signed in after."""
        rubbish = self.home / "0006423A1B2C3D4F.0"
        rubbish.write_bytes(b"x" * 500)
        rubbish.chmod(0o600)
        rubbish = rubbish.rename(self.spool / "queue" / rubbish.name)
        self.hear(b"left alone")
        rubbish.unlink()

    def wait_until_empty(self):
        try:
            super().wait_until_empty()
        except AssertionError as late:
            self.end()
            raise AssertionError(self.said.decode()) from late

    def end(self):
        """Kill what is left, and wait until all of it has gone."""
        self.kill()
        self.hear()
        self.process.stderr.close()


class Run:
    """What has become of one message."""

    def __init__(self, point, recipient, status, trace):
        self.point = point
        self.recipient = recipient
        self.status = status  # of sendmail
        self.trace = trace
        self.copies = []  # of what has arrived, the message or its notice
        #: the end of its data has arrived from the process that was killed
        self.was_heard = False

    def __str__(self):
        name, n = self.point or ("none", 0)
        heard = ", data heard" if self.was_heard else ""
        return (f"{name}#{n}: exit {self.status}, "
                f"{len(self.copies)} arrived{heard}")

    @property
    def outcome(self):
        """In words; it is in capitals where it must not be."""
        if self.status == 0:
            known = {0: "LOST", 1: "once", 2: "twice"}
        else:
            known = {0: "not taken", 1: "not confirmed, once"}
        return known.get(len(self.copies), "MORE")

    def find_copies(self, messages):
        self.copies = [
            m for m in messages if self.recipient in m.recipients or
            b"Final-Recipient: rfc822; " + self.recipient.encode() in m.raw]


class Bench:
    """A host and a tenant of its own, for one run after the other."""

    def __init__(self, home, scenario=None, keeps_token=True, **queue_keys):
        home.mkdir()
        self.keeps_token = keeps_token
        self.tenant = Tenant(scenario=scenario)
        self.tenant.start()
        self.mail = Programs(home).use(self.tenant)
        # Nobody tries again before the restart.
        queue_keys = {"retry_first": "1h", **queue_keys}
        self.host = Host(self.mail, **queue_keys).configure(
            sections={"log": {"to": "stderr"}})
        self.home = home
        self.numbers = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.host.process and self.host.process.poll() is None:
            self.host.end()
        self.tenant.stop()

    def next_recipient(self):
        return f"r{next(self.numbers)}@contoso.example"

    def run(self, role, message, point=None):
        """Send a message while a process is killed, and start again."""
        recipient = self.next_recipient()
        path = self.home / "trace"
        if not self.keeps_token:
            for token in self.mail.state.glob("token-*"):
                token.unlink()
        self.host.start()
        tracer = self.follow(path, self.host.process_of(role), point)
        status = self.host.sendmail(recipient, stdin=message).returncode
        wait_until(lambda: tracer.poll() is not None or
                   not self.host.files())
        if tracer.poll() is None:
            # In order: the calls of its end are calls, too.
            self.host.process.terminate()
        tracer.communicate(timeout=STUCK)
        self.host.end()
        run = Run(point, recipient, status, Trace(path))
        run.was_heard = self.has_heard(recipient)
        self.deliver_rest()
        run.find_copies(self.tenant.messages)
        return run

    def run_program(self, message, point, *command):
        """The same for a program that is started and ends by itself.

        What it leaves is yet to be delivered.
        """
        recipient = self.next_recipient()
        path = self.home / f"trace-{recipient}"
        status = subprocess.run(
            strace(path, point, *command, recipient), input=message,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=self.host.environment(), timeout=STUCK).returncode
        return Run(point, recipient, status, Trace(path))

    def deliver_rest(self):
        """Deliver whatever is in the queue."""
        self.host.start()
        self.host.wait_until_empty()
        self.host.end()
        self.await_silence()

    @staticmethod
    def follow(path, pid, point):
        tracer = subprocess.Popen(
            strace(path, point, "-p", str(pid)),
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = tracer.stderr.readline()
        assert b"attached" in said, said
        return tracer

    def has_heard(self, recipient):
        """Has the end of a message for somebody arrived?"""
        self.await_silence()
        own = {line.connection for line in self.tenant.transcript
               if line.text.startswith(f"RCPT TO:<{recipient}>")}
        return any(line.connection in own and line.phase == "body"
                   for line in self.tenant.transcript)

    def await_silence(self):
        """Wait until the tenant has heard all that was said to it."""
        assert self.tenant.wait_for(
            lambda: all(c.closed for c in self.tenant.connections), STUCK)


def insist(point, run):
    """Run, and run again where the process was to be killed and was not."""
    for _ in range(TRIES if point else 1):
        done = run()
        if done.trace.was_killed:
            break
    return done


def sweep(home, role, message, **options):
    """(the run without a kill, [a run for each place to die])."""
    benches = queue.SimpleQueue()

    def run(point):
        bench = benches.get()
        try:
            return insist(point, lambda: bench.run(role, message, point))
        finally:
            benches.put(bench)

    with contextlib.ExitStack() as stack:
        for i in range(JOBS):
            bench = stack.enter_context(Bench(home / str(i), **options))
            bench.run(role, message)  # leaves a token, and limits
            benches.put(bench)
        plain = run(None)
        with ThreadPoolExecutor(JOBS) as pool:
            return plain, list(pool.map(run, choose(plain.trace.points())))


def sweep_program(bench, message, *command):
    """The same for a program; what it leaves is yet to be delivered."""
    def run(point):
        return insist(point, lambda: bench.run_program(
            message, point, *command))

    run(None)
    plain = run(None)
    with ThreadPoolExecutor(JOBS) as pool:
        return plain, list(pool.map(run, choose(plain.trace.points())))


def tell(capsys, title, runs):
    """Print how often what has happened; tests/run shows that line."""
    killed = [r for r in runs if r.trace.was_killed]
    counts = collections.Counter(r.outcome for r in killed)
    text = f"counted: {title}: {len(killed)} kills: " + "; ".join(
        f"{n} {what}" for what, n in sorted(counts.items()))
    with capsys.disabled():
        print("\n" + text)
    directory = TOP / "build" / "check"
    directory.mkdir(parents=True, exist_ok=True)
    name = title.replace(" ", "-").replace(",", "")
    (directory / f"crash-{name}.txt").write_text(
        "\n".join([text, *map(str, runs)]) + "\n")
    assert len(killed) > 0.8 * len(runs)
