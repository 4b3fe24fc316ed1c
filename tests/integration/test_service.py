"""The service: what it takes, keeps, sends and gives back."""
import os
import pwd
import signal
import socket
import stat
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fake365 import Rule
from service import make_service, process_of, service  # noqa: F401
from support import (ALERTS, BOSS, BUILD, COLLEAGUE, IS_PLAIN, MESSAGE,
                     STUCK, assert_fatal, assert_sent, message, wait_until)
from test_storm import assert_rate


def test_a_message_is_queued_and_sent(service):
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    assert service.mail.tenant.messages[0].recipients == [BOSS]
    service.wait_until_empty()
    service.wait_for_log(r"[0-9A-F]{16}: to=<boss@contoso.example>, "
                         r"relay=.* status=sent")
    assert service.files("journal") == service.files("incoming") == []


def test_it_is_on_disk_before_sendmail_returns(make_service):
    may_go_on = threading.Event()
    service = make_service(Rule("connect", "hold", may_go_on)).start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    [name] = service.files()
    assert name.endswith(f".{os.getuid()}")
    path = service.spool / "queue" / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().endswith(b"all is well\r\n")
    may_go_on.set()


@pytest.mark.parametrize("size", [0, 70_000, 3_000_000])
def test_what_is_sent_is_what_was_given(service, size):
    body = (b"x" * 75 + b"\r\n") * (size // 77)
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=message(body)))
    assert service.mail.tenant.wait_for_messages(1)
    assert service.mail.tenant.messages[0].raw.endswith(b"\r\n\r\n" + body)


def test_many_recipients_and_odd_addresses(service):
    people = [f"user{i}@contoso.example" for i in range(300)]
    people.append('"a b > c"@contoso.example')
    service.start()
    assert_sent(service.sendmail(*people, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    assert service.mail.tenant.messages[0].recipients == people


def test_without_a_service_there_is_no_difference(service):
    # Nothing listens; -C is root's, so the user's own file is used.
    env = {**service.environment(),
           "XDG_CONFIG_HOME": str(service.mail.home)}
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE, env=env))
    assert len(service.mail.tenant.messages) == 1


def test_a_dead_service_is_no_difference(service):
    service.start()
    service.kill()
    env = {**service.environment(),
           "XDG_CONFIG_HOME": str(service.mail.home)}
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE, env=env))
    assert len(service.mail.tenant.messages) == 1


def test_what_was_queued_is_sent_by_the_next_service(make_service):
    service = make_service(
        Rule("connect", "close", nth=1, last=3), queue={"retry_first": "1h"})
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("status=deferred")
    service.stop()
    [name] = service.files()
    path = service.spool / "queue" / name
    assert path.stat().st_mtime > time.time() + 600
    os.utime(path, (0, 0))
    service.mail.tenant.scenario._rules.clear()
    service.start()
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_until_empty()


def test_a_message_in_the_spool_is_found_at_once(service):
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)


def test_a_temporary_refusal_is_retried(make_service):
    service = make_service(
        Rule("rcpt", "reply", "451 4.7.0 later", nth=1, last=2)).start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_until_empty()
    assert service.log().count("status=deferred") == 2


def test_who_has_it_does_not_get_it_again(make_service):
    service = make_service(
        Rule("rcpt", "reply", "451 4.7.0 later", nth=2, last=3)).start()
    assert_sent(service.sendmail(BOSS, COLLEAGUE, stdin=MESSAGE))
    service.wait_until_empty()
    assert [m.recipients for m in service.mail.tenant.messages] == [
        [BOSS], [COLLEAGUE]]


def test_a_refused_message_is_kept_and_its_sender_told(make_service):
    service = make_service(
        recipients={BOSS: "550 5.1.10 RESOLVER.ADR.RecipientNotFound"})
    service.start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_until_empty()
    [notice] = service.mail.tenant.messages
    assert notice.recipients == [COLLEAGUE]
    assert b"Content-Type: multipart/report" in notice.raw
    assert b"Final-Recipient: rfc822; " + BOSS.encode() in notice.raw
    assert b"Status: 5.1.10" in notice.raw
    assert b"Auto-Submitted: auto-replied" in notice.raw
    [failed] = service.files("failed")
    assert failed in service.files("journal")


def test_the_postmaster_is_told_where_there_is_one(make_service):
    service = make_service(
        recipients={BOSS: "550 5.1.10 no"}, queue={"postmaster": ALERTS})
    service.start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    assert service.mail.tenant.messages[0].recipients == [ALERTS]


def test_nobody_is_told_of_a_notice(make_service):
    service = make_service(recipients={
        BOSS: "550 5.1.10 no", COLLEAGUE: "550 5.1.10 no"})
    service.start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    wait_until(lambda: len(service.files("failed")) == 2)
    assert_sent(service.sendmail("-f", "<>", BOSS, stdin=MESSAGE))
    wait_until(lambda: len(service.files("failed")) == 3)
    service.wait_until_empty()
    assert service.mail.tenant.messages == []


def test_what_is_too_old_fails(make_service):
    service = make_service(
        recipients={BOSS: "451 4.7.0 later"},
        queue={"lifetime": "1s", "retry_first": "2s"})
    service.start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    assert b"Status: 5.4.7" in service.mail.tenant.messages[0].raw
    assert len(service.files("failed")) == 1


# The account

def test_an_expired_secret_holds_all_mail_and_drains_when_mended(
        make_service):
    service = make_service(queue={"retry_first": "1h"})
    tenant = service.mail.tenant
    secret = service.mail.directory / "client-secret"
    good = secret.read_text()
    secret.write_text(tenant.expired_secret + "\n")
    service.start()
    for _ in range(10):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("all mail of account .* waits: .*AADSTS7000222")
    assert len(service.files()) == 10
    # As many as were on their way when the first was refused.
    assert len(tenant.token_requests) <= 3
    secret.write_text(good)
    service.signal(signal.SIGHUP)
    assert tenant.wait_for_messages(10)
    service.wait_until_empty()
    assert service.log().count("all mail of account") == 1
    assert service.log().count("works again") == 1
    assert service.files("failed") == []


def test_a_throttled_account_is_not_an_attempt(make_service):
    service = make_service(
        Rule("final", "reply", "432 4.3.2 Concurrent connections limit",
             nth=1), queue={"retry_first": "1s"})
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_until_empty()


def test_limits_are_kept(make_service):
    service = make_service(config={"messages_per_minute": "3/2s"})
    service.start()
    for _ in range(7):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(7)
    assert_rate(service.mail.tenant.messages, (3, 2))
    assert " 432 " not in "".join(service.mail.tenant.dialogue())


def test_there_are_no_more_connections_than_allowed(make_service):
    service = make_service(
        Rule("final", "delay", 0.2),
        config={"max_connections": 2, "messages_per_minute": 100}).start()
    for _ in range(8):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(8)
    assert " 432 " not in service.log()


def test_many_callers_at_once(service):
    count = 200 if IS_PLAIN else 50
    service.start()

    def send(number):
        return service.sendmail(
            BOSS, stdin=message(b"%d\r\n" % number)).returncode

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(send, range(count))) == {0}
    assert service.mail.tenant.wait_for_messages(count)
    assert len({m.raw for m in service.mail.tenant.messages}) == count
    service.wait_until_empty()
    assert " 432 " not in service.log()


def test_slow_callers_of_one_user_do_not_stop_others(service, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs a second user")
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o711)
    service.start()
    nobody = pwd.getpwnam("nobody").pw_uid
    code = ("import socket, sys\n"
            "all = [socket.socket(socket.AF_UNIX) for _ in range(100)]\n"
            "for s in all:\n"
            "    s.connect(sys.argv[1])\n"
            "    s.send(b'MAIL FROM:<a@x>\\r\\nRCPT TO:<b@x>\\r\\n"
            "BDAT 1000000\\r\\nx')\n"
            "print(flush=True)\n"
            "sys.stdin.read()\n")
    with subprocess.Popen(
            ["/usr/bin/python3", "-c", code, str(service.socket)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            user=nobody) as hostile:
        hostile.stdout.readline()
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
        assert service.mail.tenant.wait_for_messages(1)
    assert len(service.mail.tenant.messages) == 1


# Warm connections

def send_one_by_one(service, count):
    before = len(service.mail.tenant.messages)
    for i in range(count):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
        assert service.mail.tenant.wait_for_messages(before + i + 1)
        service.wait_until_empty()


def connections(service):
    return [c for c in service.mail.tenant.connections
            if c.service == "submission"]


def test_a_session_is_kept_for_the_next_message(service):
    service.configure(max_connections=1).start()
    send_one_by_one(service, 5)
    assert len(connections(service)) == 1
    verbs = [line.split()[1] for line in service.mail.tenant.dialogue()
             if line.startswith("C: ")]
    assert verbs.count("EHLO") == 2
    assert verbs.count("MAIL") == 5
    assert "RSET" not in verbs
    service.stop()
    # It does not wait for an answer to that.
    tenant = service.mail.tenant
    assert tenant.wait_for(lambda: "C: QUIT" in tenant.dialogue())


@pytest.mark.parametrize("rule", [
    Rule("final", "then-close", nth=1),
    Rule("mail", "reply-close", "421 4.4.2 idle", nth=2),
    Rule("mail", "reset", 0, nth=2),
], ids=lambda rule: rule.action)
def test_a_server_that_hangs_up_is_called_again(make_service, rule):
    service = make_service(rule, config={"max_connections": 1}).start()
    send_one_by_one(service, 2)
    assert [c.resumed for c in connections(service)] == [False, True]
    assert len(service.mail.tenant.messages) == 2


def test_what_may_have_arrived_is_not_sent_again_at_once(make_service):
    service = make_service(
        Rule("final", "lose", nth=2), queue={"retry_first": "1h"}).start()
    send_one_by_one(service, 1)
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("status=deferred .*it may have been delivered")
    assert len(service.mail.tenant.messages) == 2
    assert len(service.files()) == 1


def test_a_failed_message_does_not_spoil_the_session(make_service):
    service = make_service(recipients={COLLEAGUE: "550 5.1.10 no"},
                           config={"max_connections": 1}).start()
    send_one_by_one(service, 1)
    assert_sent(service.sendmail("-f", "<>", COLLEAGUE, stdin=MESSAGE))
    wait_until(lambda: service.files("failed"))
    send_one_by_one(service, 1)
    assert len(connections(service)) == 1


# Signals

def test_a_bad_new_configuration_is_refused(service):
    service.start()
    path = service.mail.config
    good = open(path).read()
    with open(path, "w") as f:
        f.write(good.replace("[queue]\n", "[queue]\nretry = 5\n"))
    service.signal(signal.SIGHUP)
    service.wait_for_log("the old configuration stays: .*retry")
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)


def test_a_new_configuration_is_used(service):
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    service.configure(sections={"rewrite": {"domain": "fabrikam.example"}})
    service.signal(signal.SIGHUP)
    service.wait_for_log("configuration was read again")
    assert_sent(service.sendmail("root", stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(2)
    assert service.mail.tenant.messages[1].recipients == [
        "root@fabrikam.example"]


def test_stopping_finishes_what_is_in_flight(make_service):
    service = make_service(Rule("final", "delay", 0.5)).start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    wait_until(lambda: any("BDAT" in line for line in
                           service.mail.tenant.dialogue()))
    service.stop()
    assert len(service.mail.tenant.messages) == 1
    assert service.files() == []


def test_readiness_watchdog_and_end_are_told(service, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(STUCK)
        service.start(env={
            **os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "200000"})
        assert listener.recv(500).startswith(b"READY=1\n")
        assert listener.recv(500) == b"WATCHDOG=1"
        assert listener.recv(500) == b"WATCHDOG=1"
        service.stop()
        said = b""
        while said != b"STOPPING=1":
            said = listener.recv(500)


def test_a_socket_is_taken_over(service):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(service.home / "handed"))
        listener.listen()

        def hand_over():
            os.dup2(listener.fileno(), 3)
            os.environ["LISTEN_PID"] = str(os.getpid())

        service.socket = service.home / "handed"
        env = {**os.environ, "LISTEN_FDS": "1"}
        service.process = subprocess.Popen(
            ["/bin/sh", "-c",
             'LISTEN_PID=$$ exec "$0" serve -v -C "$1"',
             str(BUILD / "sendmail365"), service.mail.config],
            env=env, pass_fds=(3,), preexec_fn=hand_over,
            stderr=service.log_path.open("ab"))
        service.wait_for_log("started, ")
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
        assert service.mail.tenant.wait_for_messages(1)


# How callers are answered

def test_interactive_delivery_waits_for_the_answer(make_service):
    service = make_service(
        config={"sections": {"service": {"delivery": "interactive"}}},
        recipients={BOSS: "550 5.1.10 no such user"})
    service.start()
    assert_sent(service.sendmail(COLLEAGUE, stdin=MESSAGE))
    assert len(service.mail.tenant.messages) == 1
    assert_fatal(service.sendmail(BOSS, stdin=MESSAGE), 67, "no such user")


def test_the_caller_decides_where_it_may(make_service):
    service = make_service(
        Rule("connect", "close", nth=2),
        config={"sections": {"service": {"delivery": "caller"}}})
    service.start()
    assert_sent(service.sendmail("-odi", BOSS, stdin=MESSAGE))
    assert len(service.mail.tenant.messages) == 1
    # Later is as good: it is in the queue.
    assert_sent(service.sendmail("-odi", BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(2)
    service.wait_until_empty()
    assert_sent(service.sendmail("-odq", BOSS, stdin=MESSAGE))
    [name] = service.files()
    assert (service.spool / "queue" / name).stat().st_mtime > time.time()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_user_has_a_limit(make_service, tmp_path):
    service = make_service(
        Rule("connect", "close"),
        config={"sections": {"service": {"per_user_limit": 2}}})
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o711)
    nobody = pwd.getpwnam("nobody")
    user = {"user": nobody.pw_uid, "group": nobody.pw_gid,
            "extra_groups": []}
    service.start()
    for _ in range(2):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE, **user))
    assert_fatal(service.sendmail(BOSS, stdin=MESSAGE, **user), 75,
                 "per_user_limit")
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))


def test_a_message_that_is_too_large_is_refused(make_service):
    service = make_service(
        config={"sections": {"service": {"max_message_size": "1k"}}})
    service.start()
    assert_fatal(service.sendmail(BOSS, stdin=message(b"x" * 2000)), 65,
                 "larger than 1024")
    wait_until(lambda: not service.files("incoming"))
    assert service.files() == []


# Crashes

def test_a_killed_delivery_process_loses_nothing(make_service):
    service = make_service(Rule("mail", "stall", nth=1)).start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    wait_until(lambda: service.mail.tenant.scenario.occurrences("mail") == 1)
    os.kill(process_of(service, "s365-delivery"), signal.SIGKILL)
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_for_log("ended without a result")
    service.wait_until_empty()


def test_a_killed_ingest_process_is_replaced(service):
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    os.kill(process_of(service, "s365-ingest"), signal.SIGKILL)
    service.wait_for_log("ended by signal 9")
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(2)


def test_a_killed_manager_does_not_send_twice(make_service):
    service = make_service(Rule("final", "delay", 1, nth=1)).start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    wait_until(lambda: any("BDAT" in line for line in
                           service.mail.tenant.dialogue()))
    service.kill()
    service.start()
    service.wait_until_empty()
    assert len(service.mail.tenant.messages) == 1


def test_foreign_files_are_left_alone(service):
    service.start()
    service.stop()
    queue = service.spool / "queue"
    (queue / "README").write_text("hello")
    (queue / "0006423A1B2C3D4E.0").write_text("")
    (queue / "0006423A1B2C3D4F.0").write_text("x" * 500)
    os.mkfifo(queue / "0006423A1B2C3D50.0")
    (queue / "0006423A1B2C3D51.0").symlink_to("/etc/passwd")
    for path in queue.iterdir():
        if path.is_file() and not path.is_symlink():
            path.chmod(0o600)
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    wait_until(lambda: len(service.files()) == 5)
    assert service.log().count("left alone") >= 5


@pytest.mark.skipif(not IS_PLAIN, reason="the sanitizer wants /proc")
def test_ingest_processes_are_locked_up(service):
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    pid = process_of(service, "s365-ingest")
    with open(f"/proc/{pid}/status") as f:
        status = f.read()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def call_at_once(service, count):
    """So many callers who say nothing but QUIT are answered."""
    service.signal(signal.SIGSTOP)  # meanwhile they queue up
    callers = []
    for _ in range(count):
        caller = socket.socket(socket.AF_UNIX)
        caller.settimeout(STUCK)
        caller.connect(str(service.socket))
        caller.sendall(b"QUIT\r\n")
        callers.append(caller)
    service.signal(signal.SIGCONT)
    for caller in callers:
        with caller, caller.makefile("rb") as answers:
            assert [line[:3] for line in answers] == [b"220", b"221"]


def test_callers_that_come_at_once_are_all_served(service):
    service.start()
    call_at_once(service, 3)
    # Some find an idle process, and for the others one is started.
    call_at_once(service, 20)
