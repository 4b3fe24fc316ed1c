"""Many messages at once, within what Exchange allows."""
import os
import subprocess

import pytest

from fake365 import ALERTS
from service import make_service, service  # noqa: F401
from support import MESSAGE, STUCK, wait_until

CALLERS = 50
EACH = 20
#: messages, and the seconds that are a minute here
RATE = (400, 8)

#: One caller: so many messages, one after the other, each to an address of
#: its own; ends at the first that is not taken.
CALL = """
i=0
while [ $i -lt $COUNT ]; do
    "$SENDMAIL" -i -f "$SENDER" "$NAME-$i@contoso.example" <"$MESSAGE" ||
        exit
    i=$((i + 1))
done
"""


def start_callers(service, callers, each, name="c"):
    """Start callers at once; returns processes, and whom they write to."""
    path = service.home / "message"
    path.write_bytes(MESSAGE)
    processes = [
        subprocess.Popen(
            ["/bin/sh", "-c", CALL],
            env={**service.environment(), "COUNT": str(each),
                 "SENDMAIL": service.mail.sendmail_path, "SENDER": ALERTS,
                 "NAME": f"{name}{i}", "MESSAGE": str(path)},
            stdin=subprocess.DEVNULL, stderr=service.log_path.open("ab"))
        for i in range(callers)]
    return processes, {f"{name}{i}-{j}@contoso.example"
                       for i in range(callers) for j in range(each)}


def call(service, callers, each, name="c"):
    """The same; waits until all is taken."""
    processes, recipients = start_callers(service, callers, each, name)
    assert [p.wait(STUCK) for p in processes] == [0] * callers
    return recipients


def arrived(tenant):
    """To whom, as often as it was."""
    return sorted(to for m in tenant.messages for to in m.recipients)


def refusals(tenant):
    """What Exchange has said no to, throttling included."""
    return [line for line in tenant.dialogue()
            if line.startswith(("S: 4", "S: 5"))]


def assert_rate(messages, rate):
    """No more of these in any window than `rate` says."""
    count, seconds = rate
    times = sorted(m.time for m in messages)
    assert all(later - earlier >= seconds
               for earlier, later in zip(times, times[count:]))


@pytest.mark.slow
def test_a_storm_is_sent_within_the_limit(make_service):
    """How fast, tests/bench/storm.py tells."""
    service = make_service(
        mailboxes={ALERTS: {"password": "x", "rate": RATE}},
        config={"messages_per_minute": f"{RATE[0]}/{RATE[1]}s"}).start()
    tenant = service.mail.tenant
    recipients = call(service, CALLERS, EACH)
    assert tenant.wait_for_messages(len(recipients), 5 * STUCK)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(recipients)
    assert refusals(tenant) == []
    assert_rate(tenant.messages, RATE)
    assert service.files("failed") == service.files("journal") == []


def test_the_foreground_shares_the_limits(make_service):
    """A submit that signs in for itself, while the service has much to do."""
    rate = (20, 1)
    service = make_service(
        mailboxes={ALERTS: {"password": "x", "rate": rate}},
        config={"messages_per_minute": f"{rate[0]}/{rate[1]}s"}).start()
    tenant = service.mail.tenant
    callers, recipients = start_callers(service, 4, 20)
    wait_until(lambda: len(tenant.messages) >= 3)
    others = {f"other{i}@contoso.example" for i in range(6)}
    submits = [service.mail.start365("submit", "-i", to) for to in others]
    for process in submits:
        _, err = process.communicate(MESSAGE, timeout=STUCK)
        assert process.returncode == 0, err
    assert [p.wait(STUCK) for p in callers] == [0] * 4
    assert tenant.wait_for_messages(86, STUCK)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(recipients | others)
    assert refusals(tenant) == []
    assert_rate(tenant.messages, rate)
