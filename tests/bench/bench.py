#!/usr/bin/python3
"""Time, CPU and memory of one message, beside msmtp, as ratios.

Both programs send the same message to the same stand-in, in turn, so that
what else the host does meets both. What is shown are medians, and no
verdict: figures of one host say little about another, ratios more. The time
that passes holds the stand-in's own work (Python); CPU and memory do not.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))

from fake365 import ALERTS, PASSWORD, Proxy, Tenant  # noqa: E402

BUILD = Path(os.environ.get("SENDMAIL365_BUILD", TOP / "build"))
RECIPIENT = "ops@contoso.example"
SIZES = {"1 kB": (1000, 20), "35 MB": (35_000_000, 5)}  # octets, rounds
STARTS = 200
RULES = 200
ALIASES = 10_000
DELAY_MS = 20
WARM_UP = 2
MIB = 1 << 20


@dataclass
class Figures:
    """What one program needed for one kind of message, run by run."""

    wall: List[float] = field(default_factory=list)  # seconds
    cpu: List[float] = field(default_factory=list)  # seconds
    peak: List[float] = field(default_factory=list)  # octets

    def median(self, name: str) -> float:
        return statistics.median(getattr(self, name))


def spawn(command: List[str], stdin: str = os.devnull) -> int:
    """Start a program that says nothing; returns its process ID."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawn(command[0], command, os.environ,
                          file_actions=actions)


def check(command: List[str], status: int) -> None:
    if status != 0:
        sys.exit(f"bench: {command[0]} failed with wait status {status:#x}")


def measure_time(command: List[str], stdin: str, into: Figures) -> None:
    """One run; the CPU is that of the program and those it waited for."""
    start = time.perf_counter()
    _, status, usage = os.wait4(spawn(command, stdin), 0)
    into.wall.append(time.perf_counter() - start)
    into.cpu.append(usage.ru_utime + usage.ru_stime)
    check(command, status)


def measure_memory(command: List[str], stdin: str, into: Figures) -> None:
    """One run: the sum of the highest resident sizes of all its processes.

    ru_maxrss would be ours as well: Linux hands it on through execve(2).
    """
    peaks: Dict[int, int] = {}
    pid = spawn(command, stdin)
    while True:
        for one in family(pid):
            peaks[one] = max(peaks.get(one, 0), resident_peak(one, command))
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.0002)
    check(command, status)
    into.peak.append(sum(peaks.values()))


def family(pid: int) -> List[int]:
    """A process and its children."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [pid, *map(int, text.split())]


def resident_peak(pid: int, command: List[str]) -> int:
    """VmHWM in octets; 0 if it is gone or not yet the program we started."""
    try:
        if os.readlink(f"/proc/{pid}/exe") == os.readlink("/proc/self/exe"):
            return 0
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def write_message(path: Path, size: int) -> None:
    """A message with an attachment's lines, as long as asked for."""
    head = (f"From: {ALERTS}\nTo: {RECIPIENT}\nSubject: bench\n"
            "MIME-Version: 1.0\nContent-Type: application/octet-stream\n"
            "Content-Transfer-Encoding: base64\n\n").encode()
    line = b"QmVuY2htYXJr" * 6 + b"QUJD\n"
    body = line * ((size - len(head)) // len(line))
    path.write_bytes(head + body)


def write_msmtprc(path: Path, tenant: Tenant, port: int) -> None:
    """The password is in the file: msmtp's cheapest way to get it."""
    path.touch(mode=0o600)
    path.write_text(
        f"account default\nhost localhost\nport {port}\n"
        f"tls on\ntls_starttls on\ntls_trust_file {tenant.ca_file}\n"
        f"auth login\nuser {ALERTS}\npassword {PASSWORD}\nfrom {ALERTS}\n")


def programs(tenant: Tenant, where: Path, port: int) -> Dict[str, List[str]]:
    """The command lines by name, configured for the tenant at a port."""
    out = {}
    arguments = ["-i", "-f", ALERTS, "--", RECIPIENT]
    for name, login in (("ours LOGIN", True), ("ours XOAUTH2", False)):
        folder = where / f"{name.replace(' ', '-')}-{port}"
        folder.mkdir()
        config = tenant.write_config(folder, login=login, port=port)
        out[name] = [str(BUILD / "sendmail"), "-C", config, *arguments]
    msmtp = shutil.which("msmtp")
    if msmtp:
        rc = where / f"msmtprc-{port}"
        write_msmtprc(rc, tenant, port)
        out["msmtp LOGIN"] = [msmtp, "-C", str(rc), *arguments]
    return out


def compare(tenant: Tenant, commands: Dict[str, List[str]], message: str,
            rounds: int) -> Dict[str, Figures]:
    """Run them in turn; the first rounds warm up and do not count."""
    figures = {name: Figures() for name in commands}
    unused = Figures()
    for turn in range(WARM_UP + rounds):
        for name, command in commands.items():
            into = figures[name] if turn >= WARM_UP else unused
            measure_time(command, message, into)
            measure_memory(command, message, into)
            check_bodies(tenant, message)
            tenant.journal.clear()
    return figures


def check_bodies(tenant: Tenant, message: str) -> None:
    """What is fast must also be right: both runs delivered all of it."""
    _, _, body = Path(message).read_bytes().partition(b"\n\n")
    seen = [one.body for one in tenant.messages]
    if seen != 2 * [body.replace(b"\n", b"\r\n")]:
        sys.exit("bench: what arrived is not what was sent")


def print_comparison(size: str, figures: Dict[str, Figures]) -> None:
    rows = (("time, ms", "wall", 1e3), ("CPU, ms", "cpu", 1e3),
            ("peak, MiB", "peak", 1 / MIB))
    reference = figures.get("msmtp LOGIN")
    for title, name, unit in rows:
        cells = [f"{size + ' ' + title:<18}"]
        for one in figures.values():
            value = one.median(name)
            cells.append(f"{value * unit:9.1f}")
            if reference and one is not reference:
                cells.append(f" ({value / reference.median(name):5.2f})")
            else:
                cells.append(" " * 8)
        print("".join(cells).rstrip())


def print_head(commands: Dict[str, List[str]]) -> None:
    print(" " * 18 + "".join(f"{name:>13}    " for name in commands))


def bench_messages(tenant: Tenant, where: Path) -> None:
    commands = programs(tenant, where, tenant.smtp_port)
    print("One message; in brackets: as a ratio of msmtp's\n")
    print_head(commands)
    for size, (octets, rounds) in SIZES.items():
        message = where / "message"
        write_message(message, octets)
        figures = compare(tenant, commands, str(message), rounds)
        print_comparison(size, figures)


def bench_round_trips(tenant: Tenant, where: Path) -> None:
    """Each program once cold (a token to get), once warm, through a proxy
    that makes a round trip last 2 DELAY_MS; the warm one is shown."""
    print(f"\n1 kB on a wire with {2 * DELAY_MS} ms for a round trip\n")
    message = where / "message"
    write_message(message, SIZES["1 kB"][0])
    with Proxy(tenant.smtp_port, delay_ms=DELAY_MS) as proxy:
        for name, command in programs(tenant, where, proxy.port).items():
            figures = Figures()
            measure_time(command, str(message), figures)
            proxy.connections.clear()
            measure_time(command, str(message), figures)
            print(f"{name:<18}{proxy.round_trips:3} round trips, "
                  f"{figures.wall[-1] * 1e3:.0f} ms")


def policies(tenant: Tenant, where: Path) -> Dict[str, List[str]]:
    """What decides about a message to root, with little and much to read."""
    out = {}
    empty = where / "no-aliases"
    empty.write_text("")
    many = where / "aliases"
    many.write_text("".join(
        f"user{i}: user{i}@contoso.example\n" for i in range(ALIASES)))
    rules = [f"user{i}@site{i}.example {{sender}}" for i in range(RULES)]
    for name, sections in (
            ("one alias", {"aliases": {"root": RECIPIENT, "file": empty}}),
            (f"{RULES} rules, {ALIASES} aliases", {
                "aliases": {"root": RECIPIENT, "file": many},
                "rewrite": {"rule": rules}})):
        folder = where / name.replace(" ", "-").replace(",", "")
        folder.mkdir()
        config = tenant.write_config(folder, sections=sections)
        out[name] = [str(BUILD / "sendmail365"), "submit", "-C", config,
                     "--dry-run", "root"]
    return out


def bench_policy(tenant: Tenant, where: Path) -> None:
    """What rules and aliases add to a message."""
    commands = policies(tenant, where)
    message = where / "message"
    write_message(message, SIZES["1 kB"][0])
    figures = {name: Figures() for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            measure_time(command, str(message), figures[name])
    few, many = (one.median("wall") for one in figures.values())
    print(f"\nplan of a message to root with {' and '.join(commands)}: "
          f"{few * 1e3:.2f} and {many * 1e3:.2f} ms, "
          f"{(many - few) * 1e3:.2f} ms more (median of {STARTS})")


def bench_start() -> None:
    """What it costs to start: beside a program that does nothing."""
    commands = {"sendmail --version": [str(BUILD / "sendmail"), "--version"],
                "/bin/true": ["/bin/true"]}
    figures = {name: Figures() for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            measure_time(command, os.devnull, figures[name])
    ours, nothing = (one.median("wall") for one in figures.values())
    print(f"\nsendmail --version {ours * 1e3:.2f} ms, "
          f"/bin/true {nothing * 1e3:.2f} ms: ratio {ours / nothing:.2f} "
          f"(median of {STARTS})")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sendmail365-bench-") as name:
        with Tenant() as tenant:
            bench_messages(tenant, Path(name))
            bench_round_trips(tenant, Path(name))
            bench_policy(tenant, Path(name))
    bench_start()
    if not shutil.which("msmtp"):
        print("\nmsmtp is not installed: nothing to compare with")


if __name__ == "__main__":
    main()
