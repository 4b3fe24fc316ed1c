"""Programs started through the fixture `resolver` ask its server only."""
import subprocess
import time
from pathlib import Path

import pytest

from fake365 import Dns, Question
from support import BOSS, MESSAGE, STUCK, assert_fatal, assert_sent
from support_dns import PATIENCE

NAME = "mx.contoso.example"
FOUND = ["127.0.0.1", "127.0.0.2"]
UNKNOWN = 2  # the status of getent


@pytest.fixture
def lookup(resolver):
    """Resolve a name by getent: (its status, the addresses)."""
    resolver.dns.records[NAME] = [("A", address) for address in FOUND]

    def look_up(name, *command):
        done = subprocess.run(
            [*resolver.prefix, *(command or ("getent", "ahosts")), name],
            stdout=subprocess.PIPE, timeout=STUCK, text=True)
        lines = done.stdout.splitlines()
        return done.returncode, sorted({line.split()[0] for line in lines})

    return look_up


def test_names_come_from_the_server(resolver, lookup):
    assert lookup(NAME) == (0, FOUND)
    assert resolver.questions == [f"A {NAME}", f"AAAA {NAME}"]


def test_other_names_do_not_exist(resolver, lookup):
    assert lookup("www.contoso.example") == (UNKNOWN, [])
    assert resolver.questions == [
        "A www.contoso.example", "AAAA www.contoso.example"]


def test_etc_hosts_stays(resolver, lookup):
    status, addresses = lookup("localhost")
    assert status == 0
    assert "127.0.0.1" in addresses or "::1" in addresses
    assert resolver.questions == []


def test_aliases_are_followed(resolver, lookup):
    resolver.dns.records["alias.contoso.example"] = [("CNAME", NAME)]
    assert lookup("alias.contoso.example") == (0, FOUND)


@pytest.mark.parametrize("behaviour", ["truncate", "largest"])
def test_tcp_where_udp_is_too_small(resolver, lookup, behaviour):
    resolver.dns.behaviours[NAME] = behaviour
    assert lookup(NAME, "getent", "ahostsv4") == (0, FOUND)
    assert resolver.dns.questions[-1] == Question(NAME, "A", "tcp")


@pytest.mark.parametrize("behaviour", [
    "nxdomain", "nodata", "servfail", "refused", "malformed"])
def test_failures_come_through(resolver, lookup, behaviour):
    resolver.dns.behaviours[NAME] = behaviour
    assert lookup(NAME) == (UNKNOWN, [])


def test_silence_takes_a_second_or_two(resolver, lookup):
    resolver.dns.behaviours[NAME] = "silence"
    resolver.wait_for_answers(1)
    started = time.monotonic()
    assert lookup(NAME, "getent", "ahostsv4") == (UNKNOWN, [])
    assert 0.9 < time.monotonic() - started < PATIENCE


@pytest.fixture
def mail(given, resolver):
    """Programs, and a tenant whose host has a name in the server only."""
    programs = given(names=[NAME], config={"host": NAME})
    programs.prefix = resolver.prefix
    return programs


def test_our_programs_find_their_host(mail, resolver):
    resolver.dns.records[NAME] = [("A", "127.0.0.1")]
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert len(mail.tenant.messages) == 1
    assert resolver.questions == [f"A {NAME}", f"AAAA {NAME}"]


def test_our_programs_say_what_they_cannot_find(mail):
    done = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(done, 75, f"cannot resolve {NAME}", "check DNS")


def test_input_output_and_status_are_the_commands(resolver):
    done = subprocess.run(
        [*resolver.prefix, "sh", "-c", "cat; cat /etc/resolv.conf; exit 7"],
        input=b"in\n", stdout=subprocess.PIPE)
    assert done.returncode == 7
    assert done.stdout.startswith(
        f"in\nnameserver {resolver.dns.address}\n".encode())


def test_the_host_sees_nothing_of_it(resolver, lookup):
    files = [p for p in map(Path, ("/etc/resolv.conf", "/etc/nsswitch.conf"))
             if p.exists()]
    before = [file.read_bytes() for file in files]
    mounts = Path("/proc/self/mounts").read_text()
    assert lookup(NAME) == (0, FOUND)
    assert [file.read_bytes() for file in files] == before
    assert Path("/proc/self/mounts").read_text() == mounts
    assert resolver.dns.address.encode() not in before[0]


def test_two_servers_do_not_meet(resolver, lookup):
    seen = len(resolver.dns.questions)
    with Dns({NAME: [("A", "127.0.0.9")]}, port=53) as other:
        assert other.address != resolver.dns.address
        assert lookup(NAME) == (0, FOUND)
        assert other.questions == []
    assert len(resolver.dns.questions) > seen
