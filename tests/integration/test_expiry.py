"""Nobody waits for longer than [queue] lifetime, held or not."""
import json
import time

import pytest

from fake365 import Rule
from service import make_old, make_service, service  # noqa: F401
from support import BOSS, COLLEAGUE, MESSAGE, STUCK, assert_sent, wait_until
from test_held import EXPIRED
from test_notices import report_of
from test_storm import arrived, call

#: The second and the third attempt come soon, and none for long after that.
BACK_OFF = {"retry_first": "1s", "retry_longest": "1h"}
#: Seconds that a process waits for a server.
PATIENCE = 2 * STUCK


def failures(service):
    """{recipient: reason} of what has failed."""
    shown = service.mail.sendmail365(
        "queue", "list", "--failed", "--json", env=service.environment())
    return {row["address"]: row["reason"]
            for line in shown.stdout.splitlines()
            for row in json.loads(line)["delivery"]}


def put_by(service, count):
    """So many messages in the queue of a service that is stopped then."""
    recipients = call(service, 2, count // 2)
    service.wait_for_log("all mail of account .* waits")
    service.stop()
    assert len(service.files()) == count
    return recipients


@pytest.mark.slow
def test_what_a_failing_account_holds_expires_without_attempts(make_service):
    service = make_service(queue=BACK_OFF)
    tenant = service.mail.tenant
    EXPIRED.begin(service)
    recipients = put_by(service.start(), 100)
    make_old(service, 6)
    attempts = len(EXPIRED.attempts(tenant))
    service.start()
    wait_until(lambda: len(service.files("failed")) == 100)
    # As many as there are connections, and probes.
    assert len(EXPIRED.attempts(tenant)) - attempts <= 6
    assert tenant.messages == []
    found = failures(service)
    assert set(found) == recipients
    for reason in found.values():
        assert reason.startswith("not delivered within 120 hours: ")
        assert "AADSTS7000222" in reason
    # The sender is told when the account works again.
    EXPIRED.mend(service)
    service.configure(messages_per_minute=1000)
    service.stop()
    service.start()
    assert tenant.wait_for_messages(100, STUCK)
    service.wait_until_empty()
    told = [report_of(m)[1] for m in tenant.messages]
    assert {r["Status"] for [r] in told} == {"5.4.7"}
    assert {r["Final-Recipient"].partition("; ")[2]
            for [r] in told} == recipients


def test_what_is_young_stays(make_service):
    """Among those that expire, and with a person's hold among the old."""
    service = make_service(queue=BACK_OFF)
    EXPIRED.begin(service)
    put_by(service.start(), 10)
    make_old(service, 6)
    stays, *goes = service.files()
    (service.spool / "queue" / stays).chmod(0o400)
    service.start()
    young = call(service, 1, 5, "young")
    wait_until(lambda: len(service.files("failed")) == len(goes))
    assert service.files("failed") == goes
    # Each of them has left a notice.
    wait_until(lambda: len(service.files()) == 1 + len(young) + len(goes))
    assert stays in service.files()


@pytest.mark.slow
def test_a_probe_without_an_end_keeps_nobody(make_service):
    """Its process is the only one that the account may have."""
    service = make_service(
        Rule("connect", "close", nth=1, last=2), Rule("connect", "stall"),
        config={"max_connections": 1, "timeout": PATIENCE},
        queue={**BACK_OFF, "lifetime": "8s"}).start()
    began = time.monotonic()
    recipients = call(service, 1, 5)
    wait_until(lambda: service.mail.tenant.scenario.occurrences(
        "connect") == 3)
    wait_until(lambda: len(service.files("failed")) >= 4)
    assert 8 < time.monotonic() - began < PATIENCE
    assert set(failures(service)) < recipients
    assert service.mail.tenant.scenario.occurrences("connect") == 3
    service.kill()


@pytest.mark.parametrize("reply, attempts", [
    ("450 4.2.1 Mailbox busy", 2),  # of the recipient
    ("451 4.7.0 Temporary server error", 1),  # of the account
])
def test_what_is_put_off_for_longer_expires_in_time(
        make_service, reply, attempts):
    """It is tried a last time when its time ends, if it may be."""
    service = make_service(
        Rule("rcpt", "reply", reply, nth=1, last=2),
        queue={"lifetime": "4s", "retry_first": "1h"}).start()
    began = time.monotonic()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    wait_until(lambda: service.files("failed"))
    assert time.monotonic() - began > 4
    assert failures(service)[BOSS].startswith("not delivered within ")
    assert service.mail.tenant.scenario.occurrences("rcpt") >= attempts
    if attempts == 1:
        # Its notice waits as it has.
        assert service.mail.tenant.scenario.occurrences("rcpt") == 1
        return
    assert service.mail.tenant.wait_for_messages(1, STUCK)
    [notice] = service.mail.tenant.messages
    _, [recipient] = report_of(notice)
    assert recipient["Status"] == "5.4.7"


def test_what_waits_for_a_new_day_expires(make_service):
    service = make_service(
        config={"recipients_per_day": 1},
        queue={"lifetime": "2s"}).start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    recipients = call(service, 1, 3)
    service.wait_for_log("recipients_per_day: its mail waits")
    # Their notices have no better luck.
    wait_until(lambda: len(service.files("failed")) == 6)
    service.wait_until_empty()
    found = failures(service)
    assert recipients < set(found)
    for reason in found.values():
        assert "recipients_per_day" in reason
    assert arrived(service.mail.tenant) == [BOSS]


def test_one_run_of_the_queue_is_enough(make_service):
    """Where no service runs, each run tries the account once."""
    service = make_service(queue={"retry_first": "1m"})
    tenant = service.mail.tenant
    EXPIRED.begin(service)
    put_by(service.start(), 10)
    make_old(service, 6)
    attempts = len(EXPIRED.attempts(tenant))
    assert service.mail.sendmail("-q").returncode == 0
    assert len(service.files("failed")) == 10
    assert len(EXPIRED.attempts(tenant)) - attempts <= 3
