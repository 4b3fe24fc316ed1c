"""Every kind of answer in every phase of the dialogue with Exchange.

Each pair of the two tables is a test.  Whatever the server does, the client
ends with a status and a line that are right, and no message is lost or sent
twice.
"""
import itertools
import os
import select
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from conftest import Programs
from fake365 import Rule, Scenario, Tenant
from support import (
    BOSS, COLLEAGUE, IS_PLAIN, MESSAGE, STALL, STUCK, assert_fatal,
    assert_sent, finish, message,
)


@dataclass
class Phase:
    """A phase of the dialogue and how to get there."""

    phase: str  # of fake365
    name: str  # what our line calls it
    refused: int = 69  # the status after 5yz
    drop: tuple = ()
    login: bool = False
    nth: int = 1
    settings: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    rules: tuple = ()
    answers: dict = field(default_factory=dict)
    recipients: tuple = (BOSS,)


ONE_BY_ONE = ("PIPELINING",)
TWO_STEPS = {"auth_line_limit": 500}
#: The first message of two is refused; RSET makes room for the second.
AFTER_A_REFUSAL = {
    "rules": (Rule("final", "reply", "554 5.0.0 no", nth=1),),
    "config": {"recipients_per_message": 1},
    "recipients": (COLLEAGUE, BOSS),
}

PHASES = {
    "banner": Phase("banner", "greeting", 75),
    "ehlo": Phase("ehlo", "EHLO", 75),
    "starttls": Phase("starttls", "STARTTLS", 75),
    "tls": Phase("tls", "TLS handshake", 75),
    "ehlo-tls": Phase("ehlo2", "EHLO", 75),
    "auth-xoauth2": Phase("auth", "AUTH", 77),
    "auth-xoauth2-2": Phase("auth", "AUTH", 77, nth=2, settings=TWO_STEPS),
    "auth-xoauth2-token": Phase(
        "auth-continue", "AUTH", 77, settings=TWO_STEPS),
    "auth-login": Phase("auth", "AUTH", 77, login=True),
    "auth-login-user": Phase("auth-continue", "AUTH", 77, login=True),
    "auth-login-password": Phase(
        "auth-continue", "AUTH", 77, login=True, nth=2),
    "mail": Phase("mail", "MAIL FROM"),
    "mail-alone": Phase("mail", "MAIL FROM", drop=ONE_BY_ONE),
    "rcpt": Phase("rcpt", "RCPT TO"),
    "rcpt-alone": Phase("rcpt", "RCPT TO", drop=ONE_BY_ONE),
    "rcpt-2": Phase("rcpt", "RCPT TO", nth=2, recipients=(BOSS, COLLEAGUE)),
    "data": Phase("data", "DATA", drop=("CHUNKING",)),
    "data-alone": Phase("data", "DATA", drop=("CHUNKING", "PIPELINING")),
    "end-of-bdat": Phase("final", "end of data"),
    "end-of-data": Phase("final", "end of data", drop=("CHUNKING",)),
    "bdat-of-nobody": Phase(
        "bdat", "RCPT TO", 67, answers={BOSS: "550 5.1.1 no such user"}),
    "rset": Phase("rset", "RSET", **AFTER_A_REFUSAL),
    "quit": Phase("quit", "", 0),
}

#: kind -> (action of fake365, argument)
KINDS = {
    "2yz": ("reply", "259 2.5.9 as you like"),
    "3yz": ("reply", "354 3.5.9 go on"),
    "4yz": ("reply", "459 4.5.9 not now"),
    "5yz": ("reply", "559 5.5.9 never"),
    "421": ("reply", "421 4.3.2 going down"),
    "no-code": ("garbage", "digits"),
    "long-code": ("raw", "2500 ok\r\n"),
    "class-1": ("raw", "150 wait\r\n"),
    "empty-line": ("raw", "\r\n"),
    "two-codes": ("raw", "250-one\r\n550 other\r\n"),
    "nul": ("nul", None),
    "long-line": ("long-line", None),
    "endless-lines": ("endless-lines", None),
    "half-reply": ("close-mid", None),
    "closed": ("close", None),
    "reset": ("reset", None),
}

#: kinds after which the client has to wait for its time-out
STALLS = {
    "stalled": ("stall", None),
    "no-line-end": ("garbage", None),
    "half-code": ("raw", "25"),
    "unfinished-reply": ("raw", "250-half\r\n"),
}

#: Pairs for which 75 and no message is not what is right.
ORDINARY = {
    "2yz": {"banner", "auth-xoauth2", "auth-xoauth2-token",
            "auth-login-password", "mail", "mail-alone", "rcpt",
            "rcpt-alone", "rcpt-2", "end-of-bdat", "end-of-data"},
    "3yz": {"data", "data-alone"},
}
#: "Welcome" before the credentials were given: MAIL is refused then.
TOO_EARLY = {"auth-xoauth2-2", "auth-login", "auth-login-user"}
#: The server does the work when it says 2yz or 3yz, and knows better.
MAY_HAVE_ARRIVED = {
    "3yz": {"mail", "mail-alone", "rcpt", "rcpt-alone", "rcpt-2",
            "end-of-bdat", "end-of-data"},
}


def expected(name, phase, kind):
    """The status and how many messages arrive at least and at most."""
    if name == "quit" or name in ORDINARY.get(kind, ()):
        return 0, 1, 1
    if name == "bdat-of-nobody":
        return 67, 0, 0
    if name == "rset":
        # What it answers is no matter; that it answers is.
        return (69, 1, 1) if kind[1:] == "yz" else (75, 0, 0)
    if name == "rcpt-2" and kind in ("4yz", "5yz"):
        return (75 if kind == "4yz" else 69), 1, 1
    if name in TOO_EARLY and kind == "2yz":
        return 77, 0, 0
    # The message to the first recipient follows without waiting.
    most = name == "rcpt-2" or name in MAY_HAVE_ARRIVED.get(kind, ())
    return (phase.refused if kind == "5yz" else 75), 0, most


def pairs(kinds, is_enough):
    """All pairs; "slow" but for those that are enough for valgrind."""
    return [pytest.param(name, kind, marks=(
                [] if is_enough(name, kind) else pytest.mark.slow))
            for name, kind in itertools.product(PHASES, kinds)]


def run(directory, phase, rule, stalls):
    """Send one message; returns the result and the messages."""
    scenario = Scenario(
        *phase.rules, rule, drop_capability=phase.drop,
        recipients=phase.answers)
    with Tenant(scenario=scenario, **phase.settings) as tenant:
        keys = {"timeout": STALL} if stalls else {}
        mail = Programs(directory).use(
            tenant, login=phase.login, **{**phase.config, **keys})
        result = run_to_the_end(mail, *phase.recipients)
        return result, tenant.messages


def run_to_the_end(mail, *recipients):
    """Run sendmail and wait until none of its processes is left."""
    reader, writer = os.pipe()
    try:
        process = mail.start(*recipients, pass_fds=(writer,))
        os.close(writer)
        process.stdin.write(MESSAGE)
        result = finish(process)
        assert select.select([reader], [], [], STUCK)[0], "still running"
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)
    return result


def check(name, kind, result, messages):
    phase = PHASES[name]
    status, least, most = expected(name, phase, kind)
    if status == 0:
        assert_sent(result)
    else:
        assert_fatal(result, status)
        text = result.stderr.decode()
        assert phase.name in text or "localhost" in text, text
    assert least <= len(messages) <= most


@pytest.mark.parametrize("name, kind", pairs(
    KINDS, lambda name, kind: kind == "half-reply" or name == "end-of-data"))
def test_answer(tmp_path, name, kind):
    phase = PHASES[name]
    rule = Rule(phase.phase, *KINDS[kind], nth=phase.nth)
    # Where TLS does not begin both sides wait for the other.
    stalls = phase.phase in ("starttls", "tls") and kind in (
        "2yz", "3yz", "nul")
    check(name, kind, *run(tmp_path, phase, rule, stalls))


# ---- who stalls: all at once, since each takes its time-out ----

@pytest.fixture(scope="module")
def stalled(request, tmp_path_factory):
    """{(phase, kind): future of what run() returns}, of what is asked for"""
    wanted = [tuple(item.callspec.params[key] for key in ("name", "kind"))
              for item in request.session.items
              if item.name.startswith("test_time_out[")]
    with ThreadPoolExecutor(max_workers=10 if IS_PLAIN else 3) as pool:
        yield {
            (name, kind): pool.submit(
                run, tmp_path_factory.mktemp("stalled"), PHASES[name],
                Rule(PHASES[name].phase, *STALLS[kind],
                     nth=PHASES[name].nth), True)
            for name, kind in wanted
        }


@pytest.mark.parametrize(
    "name, kind", pairs(STALLS, lambda name, _: name == "end-of-bdat"))
def test_time_out(stalled, name, kind):
    result, messages = stalled[name, kind].result()
    check(name, kind, result, messages)
    status, _, _ = expected(name, PHASES[name], kind)
    if kind == "stalled" and status == 75:
        assert "time-out" in result.stderr.decode()


# ---- where there is no reply ----

@pytest.mark.parametrize("action", ["close", "reset", "stall"])
def test_connection_that_leads_nowhere(given, action):
    mail = given(Rule("connect", action), stalls=True)
    result = run_to_the_end(mail, BOSS)
    # A reset may come while the connection is being made.
    assert_fatal(result, 75, "localhost")


@pytest.mark.parametrize("drop", [(), {"CHUNKING"}], ids=["BDAT", "DATA"])
@pytest.mark.parametrize("action", ["close", "reset", "stall"])
@pytest.mark.parametrize(
    "octets", [pytest.param(None, marks=pytest.mark.slow), 100_000])
def test_connection_is_lost_within_the_message(given, drop, action, octets):
    """The message is larger than what the sockets hold."""
    # fake365 counts octets that it reads as one piece.
    mail = given(Rule("body", action, octets), drop=drop, stalls=True)
    whole = message(b"x" * 98 + b"\r\n" * 160_000)
    result = mail.sendmail("-i", BOSS, stdin=whole)
    assert_fatal(result, 75, "localhost")
    assert mail.tenant.messages == []


@pytest.mark.parametrize("drop", [(), {"CHUNKING"}], ids=["BDAT", "DATA"])
def test_lost_answer_is_told(given, drop):
    """It was delivered, and nobody can know."""
    mail = given(Rule("final", "lose"), drop=drop)
    result = run_to_the_end(mail, BOSS)
    assert_fatal(result, 75, "end of data", "may have been delivered")
    assert len(mail.tenant.messages) == 1


def test_all_answers_to_one_flight_are_lost(given):
    """The message went with the commands, and nobody can know."""
    mail = given(Rule("mail", "mute"), Rule("rcpt", "mute"),
                 Rule("final", "lose"))
    result = run_to_the_end(mail, BOSS)
    assert_fatal(result, 75, "may have been delivered")
    assert len(mail.tenant.messages) == 1


@pytest.mark.parametrize("drop", [(), {"CHUNKING"}], ids=["BDAT", "DATA"])
def test_server_that_closes_after_its_answer_has_the_message(given, drop):
    mail = given(Rule("final", "then-close"), drop=drop)
    assert_sent(run_to_the_end(mail, BOSS))
    assert len(mail.tenant.messages) == 1


def test_slow_server_is_waited_for(given):
    mail = given(*[
        Rule(phase, "delay", 0.05) for phase in (
            "banner", "ehlo", "starttls", "tls", "ehlo2", "auth", "mail",
            "rcpt", "body", "final")])
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
