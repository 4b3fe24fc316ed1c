#!/usr/bin/python3
"""A long queue: start, listing, memory, and the cost of an attempt.

The queue is made of files as the service would have written them, one in ten
with a journal, all of them due in an hour. Beside them messages are taken and
delivered to the stand-in tenant; what the service's processes need for one of
them is compared with what a service with a short queue needs. The two take
turns.

usage: scale.py [--messages N] [--rounds N] [--cold]
"""

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mailers import BUILD, file_system, wait_until

from fake365 import Tenant
from long_queue import fill
from support import children_of, peak_memory

SHORT = 10
BATCH = 200
MESSAGE = b"""\
From: alerts@contoso.example
To: ops@contoso.example
Subject: backup of web1

all is well
"""
MIB = 1 << 20


class Service:
    """The service with a queue of its own."""

    def __init__(self, here, tenant, messages, **account):
        self.here = here
        self.messages = messages
        self.tenant = tenant
        self.spool = here / "spool"
        here.mkdir()
        self.config = tenant.write_config(here, **account, sections={
            "queue": {"directory": self.spool},
            "service": {"socket": here / "submit"},
            "log": {"level": "warning"},
        })
        self.environment = {**os.environ,
                            "SENDMAIL365_SOCKET": str(here / "submit")}
        self.process = None
        fill(self.spool, messages)

    def start(self):
        """Returns the seconds until it is ready."""
        address = self.here / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(address))
            notify.settimeout(60)
            begin = time.perf_counter()
            self.process = subprocess.Popen(
                [str(BUILD / "sendmail365"), "serve", "-C", self.config],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "NOTIFY_SOCKET": str(address)})
            while b"READY=1" not in notify.recv(4096):
                pass
            seconds = time.perf_counter() - begin
        address.unlink()
        return seconds

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
            self.process = None

    def list(self):
        """Returns the seconds of `mailq | tail -1`, and its line."""
        begin = time.perf_counter()
        done = subprocess.run(f"{BUILD}/sendmail -bp | tail -1", shell=True,
                              stdout=subprocess.PIPE, text=True, check=True,
                              env=self.environment)
        return time.perf_counter() - begin, done.stdout.strip()

    def peak(self):
        return peak_memory(self.process.pid)

    def cpu(self):
        """Nanoseconds that its processes have run."""
        pids = [self.process.pid, *children_of(self.process.pid)]
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
                   for pid in pids)

    def deliver(self, count):
        """Take and deliver messages; returns the CPU time of each."""
        self.tenant.journal.clear()
        before = self.cpu()
        for _ in range(count):
            subprocess.run([str(BUILD / "sendmail"), "-t", "-i"],
                           input=MESSAGE, env=self.environment, check=True)
        wait_until(lambda: len(self.tenant.messages) == count and
                   len(os.listdir(self.spool / "queue")) == self.messages)
        return (self.cpu() - before) / count


def forget_caches():
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def show(what, value, limit, unit):
    print(f"{what:<44}{value:9.2f} {unit:<4} (at most {limit:g})")


def bench_start(service, options):
    times = []
    for _ in range(options.rounds):
        if options.cold:
            forget_caches()
        times.append(service.start())
        service.stop()
    show("start until ready, median", statistics.median(times), 2, "s")


def bench_list(service, options):
    times = []
    for _ in range(options.rounds):
        seconds, line = service.list()
        times.append(seconds)
        if f" in {service.messages} Requests." not in line:
            sys.exit(f"bench: mailq says {line!r}")
    show("mailq | tail -1, median", statistics.median(times), 1, "s")


def bench_attempts(short, long, options):
    costs = {short: [], long: []}
    for turn in range(options.rounds + 1):
        for service in (short, long):
            cost = service.deliver(BATCH)
            if turn > 0:  # the first one warms up
                costs[service].append(cost)
    few, many = (statistics.median(costs[one]) for one in (short, long))
    print(f"CPU of a message taken and delivered, median of "
          f"{options.rounds} x {BATCH}: {few / 1e3:.0f} us with "
          f"{short.messages} in the queue, {many / 1e3:.0f} us with "
          f"{long.messages}")
    show("ratio", many / few, 1.2, "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true",
                        help="forget the kernel's caches before each start")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        here = Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="s365-scale-")))
        tenant = stack.enter_context(Tenant())
        # Both sign in as one mailbox, which may have three connections.
        services = [Service(here / name, tenant, count, max_connections=1)
                    for name, count in
                    (("short", SHORT), ("long", options.messages))]
        for one in services:
            stack.callback(one.stop)
        short, long = services
        print(f"\nA queue of {long.messages} messages, {file_system(here)}, "
              f"caches {'cold' if options.cold else 'warm'}\n")
        bench_start(long, options)
        long.start()
        bench_list(long, options)
        short.start()
        bench_attempts(short, long, options)
        show("the manager's peak resident size", long.peak() / MIB, 64, "MiB")


if __name__ == "__main__":
    main()
