"""Processes that are killed at any system call, and the order of those calls.

Each sweep prints how often what has happened; build/check/crash-*.txt has each
run. SENDMAIL365_CRASH=all leaves no call out.
"""
import re

import pytest

from crash import (DELIVERY, INGEST, IS_WHOLE, MANAGER, Bench, Trace,
                   can_trace, strace, sweep, sweep_program, tell)
from fake365 import Rule, Scenario
from support import ALERTS, BUILD, IS_PLAIN, message

pytestmark = [
    pytest.mark.skipif(not IS_PLAIN, reason="has system calls of its own"),
    pytest.mark.skipif(not can_trace(), reason="strace may trace nothing"),
]

BODY = b"all is well\r\n" * 10
#: of several chunks
LONG_BODY = (b"x" * 75 + b"\r\n") * 2000

#: strace's line of a message that was removed from the queue
REMOVED = r'^unlinkat\(\d+<.*/queue>, .* = 0$'
NOBODY = "550 5.1.10 RESOLVER.ADR.RecipientNotFound"


def is_recorded(run):
    """The killed process has seen the message off."""
    return any(re.search(REMOVED, line) for line in run.trace.lines)


def assert_whole(runs, body):
    """None is lost, none arrives in part."""
    for run in runs:
        assert run.outcome not in ("LOST", "MORE"), str(run)
        assert all(copy.body == body for copy in run.copies), str(run)


@pytest.mark.parametrize("role, body", [
    pytest.param(INGEST, BODY, id="ingest"),
    pytest.param(INGEST, LONG_BODY, id="ingest, long message"),
    pytest.param(MANAGER, BODY, id="manager"),
])
def test_who_does_not_send_is_killed(tmp_path, capsys, request, role, body):
    plain, runs = sweep(tmp_path, role, message(body))
    tell(capsys, request.node.callspec.id, runs)
    assert (plain.status, plain.outcome) == (0, "once")
    assert_whole(runs, body)
    assert all(len(run.copies) < 2 for run in runs), [*map(str, runs)]


@pytest.mark.parametrize("keeps_token", [
    pytest.param(True, id="delivery"),
    pytest.param(False, id="delivery, new token", marks=pytest.mark.skipif(
        not IS_WHOLE, reason="the calls are OpenSSL's and libcurl's")),
])
def test_who_sends_is_killed(tmp_path, capsys, request, keeps_token):
    plain, runs = sweep(
        tmp_path, DELIVERY, message(BODY), keeps_token=keeps_token)
    tell(capsys, request.node.callspec.id, runs)
    assert (plain.status, plain.outcome) == (0, "once")
    assert_whole(runs, BODY)
    for run in runs:
        # Exchange has it, and we do not know.
        is_unsure = run.was_heard and not is_recorded(run)
        assert len(run.copies) == (2 if is_unsure else 1), str(run)
        assert run.status == 0


def test_who_gives_a_message_back_is_killed(tmp_path, capsys):
    nobody = {f"r{i}@contoso.example": NOBODY for i in range(1000)}
    plain, runs = sweep(
        tmp_path, DELIVERY, message(BODY),
        scenario=Scenario(recipients=nobody), postmaster=ALERTS)
    tell(capsys, "notice", runs)
    assert (plain.status, plain.outcome) == (0, "once")
    for run in runs:
        is_queued = any(re.search(SAFE[3], line) for line in run.trace.lines)
        assert run.outcome in ("once", "twice" if is_queued else "once"), (
            str(run))
    for host in tmp_path.iterdir():
        failed = {p.name for p in (host / "spool" / "failed").iterdir()}
        journals = {p.name for p in (host / "spool" / "journal").iterdir()}
        assert failed == journals
    assert len(list(tmp_path.glob("*/spool/failed/*"))) >= len(runs)


def test_sendmail_is_killed_while_it_hands_over(tmp_path, capsys):
    with Bench(tmp_path / "home") as bench:
        bench.host.start()
        plain, runs = sweep_program(
            bench, message(LONG_BODY), BUILD / "sendmail")
        bench.host.stop()  # takes what it was given before
        bench.host.end()
        bench.deliver_rest()
        for run in (plain, *runs):
            run.find_copies(bench.tenant.messages)
        assert bench.host.files("incoming") == []
    tell(capsys, "sendmail", runs)
    assert (plain.status, plain.outcome) == (0, "once")
    assert_whole(runs, LONG_BODY)
    assert all(len(run.copies) < 2 for run in runs), [*map(str, runs)]


def test_submit_is_killed_while_it_queues(tmp_path, capsys):
    scenario = Scenario(Rule("connect", "close"))
    with Bench(tmp_path / "home", scenario, retry_first="1s") as bench:
        bench.host.start().end()  # makes the spool
        plain, runs = sweep_program(
            bench, message(LONG_BODY), BUILD / "sendmail365", "submit", "-C",
            bench.mail.config)
        scenario._rules.clear()
        bench.deliver_rest()
        for run in (plain, *runs):
            run.find_copies(bench.tenant.messages)
    tell(capsys, "submit", runs)
    assert (plain.status, plain.outcome) == (0, "once")
    assert_whole(runs, LONG_BODY)
    assert all(len(run.copies) < 2 for run in runs), [*map(str, runs)]


# The order of system calls

def assert_order(trace, *patterns):
    """Each is found behind the one before."""
    at = -1
    for pattern in patterns:
        at = trace.find(pattern, at + 1)
    return at


SAFE = [
    r"^openat\(.*/incoming>, .*O_CREAT\|O_EXCL",
    r"^write\(\d+<.*/incoming/",
    r"^fsync\(\d+<.*/incoming/.* = 0$",
    r"^renameat2\(\d+<.*/incoming>, .*/queue>, .* = 0$",
    r"^fsync\(\d+<.*/queue>\) += 0$",
]


@pytest.mark.parametrize("body", [BODY, LONG_BODY], ids=["short", "long"])
def test_a_message_is_safe_before_it_is_confirmed(tmp_path, body):
    with Bench(tmp_path / "home") as bench:
        trace = bench.run(INGEST, message(body)).trace
    assert_order(trace, *SAFE, r"^write\(\d+<socket:.*250 2.0.0 Ok: queued")
    synced = trace.find(SAFE[2])
    assert trace.find_last(r"^p?write(64)?\(\d+<.*/incoming/") < synced
    assert trace.find("250 2.0.0 Ok: queued") > trace.find(SAFE[4])


def test_the_same_holds_in_the_foreground(tmp_path):
    with Bench(tmp_path / "home", Scenario(Rule("connect", "close"))) as bench:
        bench.host.start().end()
        run = bench.run_program(
            message(BODY), None, BUILD / "sendmail365", "submit", "-C",
            bench.mail.config)
    assert run.status == 0
    assert_order(
        run.trace, *SAFE, r"^write\(\d+<.*/journal/",
        r"^fdatasync\(\d+<.*/journal/.* = 0$",
        r"^fsync\(\d+<.*/journal>\) += 0$", r"^exit_group\(0\)")


def test_nothing_comes_between_the_answer_and_its_record(tmp_path):
    with Bench(tmp_path / "home") as bench:
        trace = bench.run(DELIVERY, message(BODY)).trace
    removed = trace.find(REMOVED)
    assert re.match(r"read\(\d+<socket:.* = [1-9]\d*$",
                    trace.lines[removed - 1])


def test_a_new_spool_is_safe_before_it_is_used(tmp_path):
    path = tmp_path / "trace"
    with Bench(tmp_path / "home") as bench:
        # With -D it is strace that is the child.
        bench.mail.prefix = strace(path, None, "-D")
        bench.host.start().end()
    trace = Trace(path)
    assert_order(trace, r"^mkdir\(.*/spool\"", r"^fsync\(\d+<.*/home>\) += 0$")
    for folder in "queue", "failed", "incoming", "journal":
        assert_order(trace, rf'^mkdirat\(.*"{folder}"',
                     r"^fsync\(\d+<.*/spool>\) += 0$", r"^flock\(")
