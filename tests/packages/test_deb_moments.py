"""Upgrade and removal while messages are on their way."""
import subprocess

import pytest

from debian import INIT, SPOOL, Host, changed, with_callers, why_not
from fake365 import Rule, Scenario
from roots import ENVIRONMENT

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

LOG = "/var/log/sendmail365/service.log"


def caller(host, text):
    """A program of www-data's that has written but a part of its message."""
    process = subprocess.Popen(
        host.command(["sendmail", "root"], user="www-data"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=ENVIRONMENT)
    process.stdin.write(text)
    process.stdin.flush()
    return process


def send_three(host):
    """Three messages that a delivery is busy with: the tenant has accepted the
    first and does not say so, answers the second never, and the third late."""
    tenant = host.tenant
    tenant.scenario = Scenario(
        Rule("final", "mute", nth=1), Rule("mail", "stall", nth=2),
        Rule("final", "delay", 1, nth=2))
    before = len(tenant.transcript)

    def is_seen(text, count):
        lines = [line for line in tenant.transcript[before:]
                 if line.direction == "C" and line.text.startswith(text)]
        return len(lines) == count

    for number, text in enumerate(("unheard", "stalled", "late"), 1):
        host.send(text)
        assert tenant.wait_for(lambda: is_seen("MAIL FROM", number))
    assert tenant.wait_for(lambda: is_seen("(", 2))


def ends(host):
    """How often the service has ended, of itself: who is killed, because it
    takes longer than it may, does not say so."""
    return host.read(LOG).count(" info: stopped\n")


def test_what_is_on_its_way(debs, tmp_path):
    with Host(*with_callers()) as host:
        host.install(changed(debs["sendmail365"], "0.0.9", tmp_path))
        host.configure(f"[log]\nto = {LOG}\n")
        host.run([INIT, "start"])

        # An upgrade.
        send_three(host)
        small = caller(host, b"Subject: small\n\nwritten before\n")
        large = caller(host, b"Subject: large\n\n" + b"before\n" * 300_000)
        said = host.install(debs["sendmail365"]).stdout
        assert ends(host) == 1
        assert "sendmail365: " not in said.partition("Unpacking")[2]
        # Who has begun to hand over a message to the service that has ended is
        # told so; others do not notice.
        assert large.communicate(b"after\n")[0].startswith(b"sendmail: ")
        assert large.returncode == 75
        assert small.communicate(b"after\n")[0] == b""
        assert small.returncode == 0
        # All are sent once, but for the one of which nobody can know.
        bodies = sorted(host.received(5))
        assert bodies == ["late", "stalled", "unheard", "unheard",
                          "written before\r\nafter"]
        assert host.tenant.wait_for(lambda: host.queued() == 0)

        # A removal.
        send_three(host)
        small = caller(host, b"Subject: small\n\nwritten before\n")
        said = host.apt("remove", "sendmail365").stdout
        assert ends(host) == 2
        assert f"keeping {SPOOL}, the queue with 2 messages " in said
        assert "is not installed" in small.communicate(b"after\n")[0].decode()
        assert small.returncode == 75
        assert sorted(host.received(7)[5:]) == ["late", "unheard"]
        host.install(debs["sendmail365"])
        assert sorted(host.received(9)[7:]) == ["stalled", "unheard"]
        assert host.tenant.wait_for(lambda: host.queued() == 0)

        # And for good.
        host.tenant.scenario = Scenario(Rule("final", "delay", 1))
        host.send("last")
        said = host.apt("purge", "sendmail365").stdout
        assert host.received(10)[9:] == ["last"]
        assert f"deleting {SPOOL}: the queue, which is empty\n" in said
        assert host.running() == []
