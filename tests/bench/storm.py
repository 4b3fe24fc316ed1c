#!/usr/bin/python3
"""Many messages at once: how much of what Exchange allows is used.

Callers fill the queue faster than the account may send; whatever the service
waits longer than it has to is throughput lost.

usage: storm.py [--callers N] [--messages N]
"""

import argparse
import contextlib
import os
import subprocess
import tempfile
import time
from pathlib import Path

from mailers import BUILD, file_system, wait_until
from scale import MESSAGE, Service

from fake365 import ALERTS, Tenant

#: messages, and the seconds that are a minute here
RATE = (400, 8)


def call(service, callers, messages):
    """So many callers at once, each with so many messages in a row."""
    path = service.here / "message"
    path.write_bytes(MESSAGE)
    script = (f"i=0; while [ $i -lt {messages} ]; do i=$((i + 1)); "
              f"'{BUILD}/sendmail' -t -i <'{path}' || exit; done")
    processes = [subprocess.Popen(["/bin/sh", "-c", script],
                                  env=service.environment)
                 for _ in range(callers)]
    if any([process.wait() != 0 for process in processes]):
        raise SystemExit("bench: a caller was refused")


def efficiency(messages):
    """How much of the throughput that the limit allows was used.

    The limit allows `count` messages at once, and the next as many when a
    window has passed since; so the first message of the last such portion
    can be there after that many windows, and no earlier.
    """
    count, seconds = RATE
    times = sorted(m.time for m in messages)
    windows = (len(times) - 1) // count
    return windows * seconds / (times[windows * count] - times[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--messages", type=int, default=20)
    options = parser.parse_args()
    total = options.callers * options.messages
    with contextlib.ExitStack() as stack:
        here = Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="s365-storm-")))
        tenant = stack.enter_context(Tenant(mailboxes={
            ALERTS: {"password": "x", "rate": RATE}}))
        service = Service(here / "service", tenant, 0, max_connections=3,
                          messages_per_minute=f"{RATE[0]}/{RATE[1]}s")
        stack.callback(service.stop)
        service.start()
        print(f"\nA storm of {total} messages, {RATE[0]} in {RATE[1]} s "
              f"allowed, {file_system(here)}\n")
        begin = time.perf_counter()
        call(service, options.callers, options.messages)
        print(f"{'all taken after':<44}{time.perf_counter() - begin:9.2f} s")
        wait_until(lambda: len(tenant.messages) == total and
                   not os.listdir(service.spool / "queue"))
        used = efficiency(tenant.messages)
        print(f"{'used of what the limit allows':<44}{used:9.1%}"
              "      (at least 95%)")


if __name__ == "__main__":
    main()
