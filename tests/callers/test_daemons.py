"""Daemons that mail what they have seen: cron, at, fail2ban.

cron looks at its tables once a minute, so all of them are started together,
each on a host of its own, and waited for afterwards.  Its jobs take themselves
out of the tables: there is one message, however late it is looked for.
"""
import contextlib
import os
import signal

import machine
import pytest
from fake365 import Tenant
from machine import BOSS, CC, JDOE, TO, Machine, find_program, text_of

pytestmark = pytest.mark.skipif(
    machine.why_not() is not None, reason=str(machine.why_not()))

WAIT_SECONDS = 300
JOB = "printf 'one\\n.\\ntwo'"
FAIL2BAN = {
    "fail2ban/jail.local": (
        "[DEFAULT]\ndestemail = root\nsender = fail2ban\nmta = sendmail\n"
        "[sshd]\nenabled = false\n"
        "[test]\nenabled = true\nfilter = sshd\nbackend = polling\n"
        "logpath = /etc/hostname\nbanaction = noop\n"
        "action = sendmail-buffered[name=test, dest=root, sender=fail2ban, "
        "lines=1]\n         sendmail[name=test, dest=root, "
        "sender=fail2ban]\n"),
}

#: name -> (program, text for sh, files below /etc, user)
DAEMONS = {
    "cron": (
        "cron", "exec cron -f -L 15", {"cron.d/job": (
            f"MAILTO={TO},{CC}\nMAILFROM=backup\n"
            f"* * * * * root rm -f /etc/cron.d/job; {JOB}\n")}),
    "cron, of a user": (
        "cron", "mkdir -p /var/spool/cron/crontabs; "
        "printf '%s\\n' '* * * * * crontab -r; echo jdoe' | "
        "crontab -u jdoe -; "
        "exec cron -f", {}),
    "at": (
        # Who asks a daemon that has hardly begun may not be heard.
        "atd", "echo 'echo out' | at -M now 2>/dev/null; "
        "echo 'echo hi' | at -m now 2>/dev/null; exec atd -f", {}),
    "fail2ban": (
        "fail2ban-server", "mkdir -p /run/fail2ban; fail2ban-server -b && "
        "until fail2ban-client status test >/dev/null 2>&1; do sleep 0.1; "
        "done; fail2ban-client set test banip 192.0.2.7; "
        "while :; do sleep 9; done", FAIL2BAN),
}


class Running:
    """A daemon on its host."""

    def __init__(self, tenant, directory, text, files):
        self.host = Machine(tenant, directory)
        for name, content in files.items():
            self.host.file(name, content)
        self.process = self.host.start("sh", "-c", text)

    def end(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.communicate()


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    """{name: Running} of those that are installed."""
    with contextlib.ExitStack() as stack:
        out = {}
        for name, (program, text, files) in DAEMONS.items():
            if find_program(program) is None:
                continue
            tenant = stack.enter_context(Tenant())
            out[name] = Running(
                tenant, tmp_path_factory.mktemp("daemon"), text, files)
            stack.callback(out[name].end)
        yield out


@pytest.fixture
def received(daemons):
    """Make the list of messages that came from a daemon."""
    def make(name, count=1):
        if name not in daemons:
            pytest.skip(f"{DAEMONS[name][0]} is not installed")
        host = daemons[name].host
        assert host.tenant.wait_for_messages(count, WAIT_SECONDS), name
        return host.received(count)

    return make


def test_fail2ban_reports_a_ban(received):
    messages = received("fail2ban", 1)
    assert messages.recipients == [BOSS]
    assert "[Fail2Ban] test: " in messages.parsed["Subject"]


def test_at_mails_what_a_job_says(received):
    message = received("at")
    assert message.recipients == [BOSS]
    assert message.parsed["Subject"].startswith("Output from your job")
    assert text_of(message) == "hi\n"


def test_cron_mails_to_several(received):
    message = received("cron")
    assert sorted(message.recipients) == [CC, TO]
    assert message.parsed["Subject"].startswith("Cron <root@web1")
    assert text_of(message) == "one\n.\ntwo\n"
    assert message.parsed["X-Cron-Env"]


def test_cron_mails_to_the_user_of_the_table(received):
    message = received("cron, of a user")
    assert message.recipients == [JDOE]
    assert text_of(message) == "jdoe\n"
