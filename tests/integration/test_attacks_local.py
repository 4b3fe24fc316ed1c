"""Attacks by local callers on programs of this kind, and what stops each.

ATTACKS says where each one is tested; a test below makes sure that those tests
are still there. What no other file tests follows.
"""
import os
import random
import re
import shutil
import signal
import string
import subprocess
from pathlib import Path

import pytest
from support import ALERTS, BOSS, BUILD, MESSAGE, TOP, assert_sent, message
from test_sendmail_options import FrontEnd

OPTIONS = "tests/integration/test_sendmail_options.py::"
BAD = "tests/integration/test_bad_input.py::"
SECRETS = "tests/integration/test_secrets.py::"
LIMITS = "tests/integration/test_limits.py::"
STATUSES = "tests/integration/test_statuses.py::"
BS = "tests/integration/test_bs.py::"
CALLERS = "tests/callers/test_callers.py::"
HERE = "tests/integration/test_attacks_local.py::"
LOG_FILE = "tests/integration/test_log_file.py::"
# of the service, where there is one
SERVICE = "tests/integration/test_service.py"
QUEUE = "tests/integration/test_queue.py"
SPOOL = "tests/unit/test_spool.c"

#: what is done -> what guards against it
ATTACKS = {
    "1 options through the fifth argument of mail()": [
        CALLERS + "test_php_fifth_parameter_cannot_write_files",
        OPTIONS + "test_files_are_never_opened",
        BAD + "test_only_root_names_a_configuration",
        STATUSES + "test_configuration_of_a_caller_s_choice"],
    "2 a recipient that looks like an option": [
        BAD + "test_address_that_looks_like_an_option",
        OPTIONS + "test_options_end_at_the_first_operand",
        HERE + "test_nothing_is_executed_for_an_address"],
    "3 MAILTO of cron as an option for root": [
        HERE + "test_options_give_root_no_contents_of_files",
        OPTIONS + "test_files_are_never_opened"],
    "4 an address that reaches a shell": [
        HERE + "test_nothing_is_executed_for_an_address",
        HERE + "test_every_octet_in_an_address"],
    "5 replies and queue files that are read as commands": [
        "tests/unit/test_reply.c", "tests/fuzz/fuzz_reply.c",
        STATUSES + "test_reply_of_exchange", SPOOL],
    "6 line breaks in addresses and options": [
        OPTIONS + "test_wrong_command_lines",
        OPTIONS + "test_operands_that_are_no_addresses",
        BAD + "test_control_characters_in_options",
        "tests/integration/test_dsn.py::test_values_never_become_commands"],
    "7 formats, expansions, overflows": [
        HERE + "test_formats_and_expansions_stay_text",
        HERE + "test_random_command_lines", "tests/fuzz/fuzz_address.c",
        "tests/fuzz/fuzz_header.c", "tests/fuzz/fuzz_rewrite.c"],
    "8 uninitialised memory that is mailed": [
        HERE + "test_valgrind_and_sanitizers_run_the_same_tests"],
    "9 buffers that shrink": [
        BAD + "test_10000_recipients", BAD + "test_header_of_a_megabyte",
        "tests/unit/test_buf.c"],
    "10 repeated options": [HERE + "test_repeated_options_take_no_memory"],
    "11 the environment": [
        SECRETS + "test_environment_of_the_companion_program_is_dropped",
        HERE + "test_a_hostile_environment"],
    "12 files in the working directory": [
        HERE + "test_nothing_is_read_from_the_working_directory"],
    "13 closed descriptors, limits, signals": [
        OPTIONS + "test_closed_descriptors", BAD + "test_closed_output",
        LIMITS + "test_low_limits_are_enough",
        LIMITS + "test_file_that_may_not_grow_is_a_failure_with_a_reason",
        BAD + "test_blocked_signals_are_no_obstacle",
        BAD + "test_caller_is_killed_before_its_message_ends",
        HERE + "test_a_caller_that_is_stopped"],
    "14 descriptors that leak": [
        LIMITS + "test_companion_program_gets_its_three_descriptors",
        OPTIONS + "test_descriptors_of_the_child"],
    "15 privileged helpers for local delivery": [
        HERE + "test_nothing_is_installed_with_privileges"],
    "16 links and renames in the queue": [
        SPOOL, LIMITS + "test_no_file_is_left"],
    "17 log files": [
        LOG_FILE + "test_a_file_that_is_unsafe_is_not_used",
        LOG_FILE + "test_other_programs_do_not_open_it"],
    "18 garbage on the local socket": [
        HERE + "test_garbage_for_the_companion_program",
        "tests/unit/test_server.c", SERVICE],
    "19 slow and endless callers": [
        LIMITS + "test_memory_does_not_grow_with_the_message",
        BAD + "test_input_octet_by_octet", SERVICE],
    "20 a message that stops the queue": [
        HERE + "test_one_that_waits_stops_no_other", SERVICE],
    "21 storms of reports": [
        HERE + "test_a_refused_message_makes_no_other", SERVICE],
    "22 a user id that is another's": [QUEUE],
    "23 mail of another user": [QUEUE],
    "24 header injection": [
        CALLERS + "test_php_line_breaks_in_to_and_subject_add_no_recipient",
        BAD + "test_10001_recipients_are_too_many",
        HERE + "test_injected_fields_count_once"],
    "25 an author of the attacker's choice": [
        HERE + "test_the_sender_is_ours_whatever_the_caller_says"],
    "26 core dumps and debuggers": [
        SECRETS + "test_no_core_is_dumped",
        SECRETS + "test_other_processes_of_the_user_cannot_look"],
}


def test_every_attack_has_its_guard():
    assert [int(name.split()[0]) for name in ATTACKS] == list(range(1, 27))
    has_service = (TOP / "lib/queue").exists()
    for name, guards in ATTACKS.items():
        for guard in guards:
            path, _, test = guard.partition("::")
            if path in (SERVICE, QUEUE, SPOOL) and not has_service:
                continue
            assert (TOP / path).exists(), (name, guard)
            assert f"def {test}(" in (TOP / path).read_text() or not test, (
                name, guard)


@pytest.fixture
def front(tmp_path):
    return FrontEnd(tmp_path)


def traced(mail, tmp_path, calls, *words, stdin=MESSAGE, **options):
    """The system calls of sendmail and all that it starts."""
    if not shutil.which("strace") or BUILD.name != "build":
        pytest.skip("needs strace and a plain build")
    path = tmp_path / "trace"
    mail.prefix = ("strace", "-f", "-qq", "-s", "500", "-e",
                   f"trace={calls}", "-o", path)
    done = mail.sendmail(*words, stdin=stdin, **options)
    mail.prefix = ()
    return done, path.read_text(errors="replace").splitlines()


SHELL = "$(touch x)`id`;reboot|sh&"


@pytest.mark.parametrize("words", [
    [f'"{SHELL}"@x.org'], ["-f", f'"{SHELL}"@x.org', BOSS],
    ["-F", SHELL, BOSS],
    ["--", "-oQ/tmp", BOSS], ["|/bin/sh", BOSS], ["-bv", f'"{SHELL}"@x.org'],
], ids=str)
def test_nothing_is_executed_for_an_address(mail, tmp_path, words):
    _, calls = traced(mail, tmp_path, "execve", *words)
    programs = [re.search(r'execve\("(.*?)"', c)[1] for c in calls
                if "execve(" in c]
    assert programs == [mail.sendmail_path, mail.sendmail365_path]
    if "-bv" not in words:
        assert "reboot" not in calls[1]
    assert not list(tmp_path.rglob("x"))


def test_nothing_is_read_from_the_working_directory(mail, tmp_path):
    for name in "DB_CONFIG", "openssl.cnf", ".curlrc", ".netrc", "aliases":
        (tmp_path / name).write_text("evil\n")
    done, calls = traced(
        mail, tmp_path, "open,openat,openat2", BOSS, cwd=tmp_path)
    assert_sent(done)
    opened = re.findall(r'AT_FDCWD, "(.*?)"', "\n".join(calls))
    assert len(opened) > 10
    assert [name for name in opened if not name.startswith("/")] == []
    assert not [n for n in opened if n.startswith(f"{tmp_path}/")
                and "/sendmail365/" not in n]


@pytest.mark.skipif(os.geteuid() != 0, reason="it is about root")
@pytest.mark.parametrize("words", [
    ["-C/etc/shadow"], ["-C", "/proc/self/environ"], ["-C/dev/zero"],
    ["-oA/etc/shadow"], ["-be", "${readfile{/etc/shadow}}"]], ids=str)
def test_options_give_root_no_contents_of_files(mail, words):
    done = subprocess.run(
        [mail.sendmail_path, "-FCronDaemon", "-i", "-B8BITMIME", "-oem",
         *words, BOSS], input=MESSAGE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=60)
    assert done.returncode != 0
    assert b"root:" not in done.stdout + done.stderr
    assert b"PATH=" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_every_octet_in_an_address(front):
    """It is refused, or arrives as the one address that it is."""
    plain = (string.ascii_letters + string.digits).encode()
    for octet in range(1, 256):
        if octet in plain[2:]:
            continue
        address = b"a" + bytes([octet]) + b"b@x.org"
        result = front.run("-f", address, "u@x.org")
        assert result.status in (0, 64)
        commands = result.record["commands"] if result.record else []
        assert [c.split(" ")[0] for c in commands] == (
            ["EHLO", "MAIL", "RCPT", "BDAT", "QUIT"] if commands else [])
        assert (result.status == 0) == bool(commands)
        if octet < 32 or octet == 127:
            assert not commands


def test_formats_and_expansions_stay_text(front):
    text = "%n%s%99999999d${run{/bin/id}}$(id)"
    result = front.run(
        "-F", text, "-f", "%n%s@x.org", "-L", "%n%s", "-X", text,
        "%s%n@x.org", stdin=f"Subject: {text}\n\n{text}\n".encode())
    assert result.is_silent_success()
    assert result.sender == "%n%s@x.org"
    assert result.recipients == ["%s%n@x.org"]
    assert text in result.header["From"]
    assert result.header["Subject"] == text
    assert result.body == text + "\r\n"
    result = front.run("-F.('", "%s%n@@x.org")
    assert result.status == os.EX_DATAERR
    assert b"%s%n" in result.stderr


def test_random_command_lines(front):
    """Whatever the words are, it ends by itself and with one line."""
    source = random.Random(1)
    pieces = [*string.printable, "-", "-t", "-f", "-bs", "-q", "--", "u@x.org",
              "\u20ac", "x" * 5000, "-oi", "-C", "<>", "\\", "\x01"]
    for _ in range(100):
        words = ["".join(source.choices(pieces, k=source.randrange(1, 5)))
                 for _ in range(source.randrange(1, 8))]
        result = front.run(*words)
        assert result.status >= 0, words
        assert result.stderr.count(b"\n") <= 1, words


def test_valgrind_and_sanitizers_run_the_same_tests():
    suites = subprocess.run(
        [TOP / "tests/run", "list"], stdout=subprocess.PIPE, check=True
        ).stdout.decode().split()
    for kind in "sanitize", "valgrind":
        names = [s for s in suites if s.startswith(f"integration-{kind}/")]
        assert len(names) >= 15
        assert any(s.startswith(f"{kind}/test_address") for s in suites)
    assert "-Wformat=2" in (TOP / "Makefile").read_text()


@pytest.mark.limits
def test_repeated_options_take_no_memory(front):
    def peak(*words):
        with subprocess.Popen([front.path, *words, "-bi"]) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
        return usage.ru_maxrss

    # What grows are the words themselves.
    words = ["-fa@x.org", "-Fname", "-Nnever", "-v", "-oi", "-Ltag"] * 5000
    assert peak(*words) - peak() < 3000


EVIL = {
    "SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nonexistent",
    "OPENSSL_CONF": "/dev/zero", "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5://127.0.0.1:9", "CURL_CA_BUNDLE": "/dev/null",
    "HOSTALIASES": "/dev/zero", "LOCALDOMAIN": "evil.example",
    "RES_OPTIONS": "attempts:0 debug", "RESOLV_HOST_CONF": "/etc/shadow",
    "TZ": ":/dev/zero", "MAIL_CONFIG": "/tmp", "EMAIL": "evil@x.org",
    "NAME": "a\nBcc: evil@x.org", "LOGNAME": "evil", "USER": "evil",
    "PERL5OPT": "-Mevil", "IFS": "s", "NULLMAILER_USER": "evil",
    "POSIXLY_CORRECT": "1", "MALLOC_CHECK_": "3", "LANG": "tr_TR.UTF-8",
}


def test_a_hostile_environment(mail, tmp_path):
    keys = tmp_path / "keys"
    done = mail.sendmail(BOSS, stdin=b"Subject: s\n\nbody\n", env={
        **os.environ, **EVIL, "SSLKEYLOGFILE": str(keys)})
    assert_sent(done)
    sent, = mail.tenant.messages
    assert sent.recipients == [BOSS]
    assert b"evil" not in sent.raw
    assert re.search(r" [+-]\d{4}$", sent.parsed["Date"])
    assert not keys.exists()


def test_a_caller_that_is_stopped(mail):
    """Half a message waits as long as its caller does, and is not sent."""
    process = mail.start("-t")
    process.stdin.write(MESSAGE)
    process.stdin.flush()
    os.kill(process.pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGCONT)
    assert not mail.tenant.messages
    process.stdin.close()
    assert process.wait(60) == 0
    assert len(mail.tenant.messages) == 1


@pytest.mark.skipif(BUILD.name != "build", reason="installs what is there")
def test_nothing_is_installed_with_privileges(tmp_path):
    subprocess.run(["make", "-s", "-C", TOP, f"DESTDIR={tmp_path}", "install"],
                   check=True, stdout=subprocess.DEVNULL)
    modes = {p.relative_to(tmp_path): p.stat().st_mode & 0o7777
             for p in tmp_path.rglob("*") if not p.is_symlink()}
    assert modes.pop(Path("etc/sendmail365/secrets")) == 0o700
    assert set(modes.values()) == {0o755, 0o644}
    assert not any("security.capability" in os.listxattr(tmp_path / p)
                   for p in modes)


def test_garbage_for_the_companion_program(mail):
    """It answers or ends, and never by a signal."""
    source = random.Random(2)
    verbs = [b"MAIL FROM:<", b"RCPT TO:<", b"BDAT ", b"EHLO ", b"\r\n", b"\n",
             b" LAST", b"> SIZE=", b"99999999999999999999", b"5", b"\0",
             b"a@x.org>", b"NOTIFY=", b"\xff", b"x" * 3000, b"DATA\r\n"]
    for _ in range(60):
        octets = b"".join(source.choices(verbs, k=40))
        done = mail.sendmail365("submit", "--smtp", stdin=octets)
        assert done.returncode in (0, 75), octets
        done = mail.sendmail("-bs", stdin=octets)
        assert done.returncode == 0, octets
        assert b"\n" in done.stdout
    assert not mail.tenant.connections


def test_one_that_waits_stops_no_other(mail):
    waiting = [mail.start("-t") for _ in range(5)]
    for process in waiting:
        process.stdin.write(MESSAGE)
        process.stdin.flush()
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    for process in waiting:
        process.kill()
        process.communicate()
    assert len(mail.tenant.messages) == 1


@pytest.mark.parametrize("mode", ["-oem", "-oee", "-em", "-oep"])
def test_a_refused_message_makes_no_other(given, mode):
    mail = given(recipients={BOSS: "550 5.1.1 unknown"})
    done = mail.sendmail(mode, BOSS, stdin=MESSAGE)
    assert done.returncode == os.EX_NOUSER
    assert not mail.tenant.messages
    assert len(mail.tenant.connections) <= 2  # Entra and one session


def test_injected_fields_count_once(mail):
    """One author, one place for replies; who it was stays."""
    extra = ("From: evil@x.org", "Sender: evil@x.org", "Sender: more@x.org",
             "Reply-To: a@x.org", "Reply-To: evil@x.org",
             "X-PHP-Originating-Script: 33:contact.php",
             "Bcc: hidden@x.org")
    assert_sent(mail.sendmail(BOSS, stdin=message(b"x\r\n", *extra)))
    sent, = mail.tenant.messages
    head = sent.parsed
    assert sent.recipients == [BOSS]
    for name in "From", "Reply-To":
        assert len(head.get_all(name)) == 1, name
    assert len(head.get_all("Sender") or []) <= 1
    assert head["From"].addresses[0].addr_spec == ALERTS
    assert head["X-PHP-Originating-Script"] == "33:contact.php"
    assert head["Bcc"] is None


@pytest.mark.parametrize("words", [[], ["-f", "ceo@contoso.example"],
                                   ["-f", "wordpress@evil.example"]])
def test_the_sender_is_ours_whatever_the_caller_says(mail, words):
    text = (b"From: WordPress <wordpress@evil.example>\r\n"
            b"Return-Path: <evil@x.org>\r\nSubject: reset\r\n\r\nbody\r\n")
    assert_sent(mail.sendmail(*words, BOSS, stdin=text))
    sent, = mail.tenant.messages
    assert sent.sender == ALERTS
    assert [a.addr_spec for a in sent.parsed["From"].addresses] == [ALERTS]
    assert sent.parsed["Return-Path"] is None
