#!/usr/bin/python3
"""How soon `sendmail` returns: ours, beside those of Postfix and dma.

Callers come one after the other, and then in parallel. Every program keeps
its messages on the same file system, made safe with fsync(2), and delivers
none of them: ours has an account whose server does not answer, Postfix puts
all on hold, dma is told to defer. The rounds alternate, so that what else
the host does meets all of them; what is shown are medians.

usage: return_time.py [--rounds N] [--messages N]
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from mailers import Dma, Missing, Ours, Postfix, file_system, unshare

MESSAGE = b"""\
From: alerts@contoso.example
To: ops@contoso.example
Subject: backup of web1

all is well
"""
PARALLEL = 20
WARM_UP = 20


def send(mailer, stdin, count, parallel):
    """Send messages, so many at a time; returns the seconds it took."""
    command = [*mailer.command, "-t", "-i"]
    running = 0
    start = time.perf_counter()
    for started in range(count + parallel):
        if started < count:
            os.posix_spawn(command[0], command, mailer.environment,
                           file_actions=[(os.POSIX_SPAWN_OPEN, 0, stdin,
                                          os.O_RDONLY, 0)])
            running += 1
        if running == parallel or started >= count:
            if running == 0:
                break
            _, status = os.wait()
            running -= 1
            if status != 0:
                sys.exit(f"bench: {command[0]}: wait status {status:#x}")
    return time.perf_counter() - start


def measure(mailer, stdin, count, parallel):
    """The rate, in messages a second; afterwards nothing is left to do."""
    before = mailer.count()
    seconds = send(mailer, stdin, count, parallel)
    mailer.settle()
    if mailer.count() - before != count:
        sys.exit(f"bench: {mailer.name} has {mailer.count() - before} of "
                 f"{count} messages")
    mailer.empty()
    os.sync()
    return count / seconds


def print_table(kinds, mailers, rates):
    print(f"{'messages a second':<26}" +
          "".join(f"{one.name:>14}        " for one in mailers).rstrip())
    for kind in kinds:
        ours = statistics.median(rates[kind, mailers[0]])
        cells = [f"{kind:<26}"]
        for one in mailers:
            rate = statistics.median(rates[kind, one])
            cells.append(f"{rate:14.0f}")
            cells.append(" " * 8 if one is mailers[0]
                         else f" (x{ours / rate:5.2f})")
        print("".join(cells).rstrip())


def compare(mailers, stdin, options):
    kinds = {f"{options.messages} one by one": 1,
             f"{options.messages} in {PARALLEL} parallel": PARALLEL}
    rates = {(kind, one): [] for kind in kinds for one in mailers}
    for one in mailers:
        measure(one, stdin, WARM_UP, PARALLEL)
    for _ in range(options.rounds):
        for kind, parallel in kinds.items():
            for one in mailers:
                rates[kind, one].append(
                    measure(one, stdin, options.messages, parallel))
    print_table(kinds, mailers, rates)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=500)
    options = parser.parse_args()
    unshare()
    with contextlib.ExitStack() as stack:
        here = Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="s365-bench-")))
        here.chmod(0o755)
        (here / "message").write_bytes(MESSAGE)
        print(f"\nReturn time of sendmail -t -i, {len(MESSAGE)} octets, "
              f"{file_system(here)}, {options.rounds} rounds; in brackets: "
              "our rate as a multiple of it\n")
        mailers = [stack.enter_context(Ours(here))]
        for kind in (Postfix, Dma):
            try:
                mailers.append(stack.enter_context(kind(here)))
            except Missing as why:
                print(f"without {kind.name}: {why}")
        compare(mailers, str(here / "message"), options)


if __name__ == "__main__":
    main()
