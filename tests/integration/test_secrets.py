"""No secret is seen: not in output, arguments, environment or a core."""
import base64
import os
import re
import urllib.parse
from pathlib import Path

import pytest

from fake365 import ALERTS, PASSWORD, Rule
from support import (
    BOSS, BUILD, MESSAGE, assert_fatal, assert_sent, children_of, finish,
    wait_until,
)


def secrets_of(tenant):
    """All that must not be seen, in every form in which it travels."""
    plain = [tenant.client_secret, tenant.expired_secret, PASSWORD,
             *tenant.directory.tokens]
    forms = list(plain)
    for secret in plain:
        forms.append(base64.b64encode(secret.encode()).decode())
        forms.append(urllib.parse.quote(secret, safe=""))
        forms.append(urllib.parse.quote_plus(secret))
    for token in tenant.directory.tokens:
        xoauth2 = f"user={ALERTS}\x01auth=Bearer {token}\x01\x01"
        encoded = base64.b64encode(xoauth2.encode()).decode()
        # Parts, too: a line may have been cut.
        forms += [encoded, encoded[:60], encoded[-60:], token[-60:],
                  token.split(".")[1][:60]]
    return [form.encode() for form in forms]


def assert_no_secret(tenant, *texts):
    for text in texts:
        for secret in secrets_of(tenant):
            assert secret not in text


UNSUCCESSFUL = "535 5.7.3 Authentication unsuccessful"

CASES = {
    "happy": ([], {}),
    "two-steps": ([], {"auth_line_limit": 500}),
    "refused": ([Rule("auth", "reply", UNSUCCESSFUL)], {}),
    "refused-later": ([Rule("auth-continue", "reply", UNSUCCESSFUL)],
                      {"auth_line_limit": 500}),
    "challenged": ([Rule("auth", "reply", "334 eyJzdGF0dXMiOiI0MDAifQ==")],
                   {}),
    "malformed": ([Rule("auth", "garbage", "digits")], {}),
    "nul": ([Rule("auth", "nul", "535")], {}),
    "lost": ([Rule("auth", "close")], {}),
    "lost-later": ([Rule("final", "close")], {}),
    "no-mechanism": ([], {"drop": {"XOAUTH2", "LOGIN"}}),
    "bad-certificate": ([], {"submission_certificate": "expired"}),
    "entra-refuses": ([Rule("token", "error", 7000215)], {}),
    "entra-torn": ([Rule("token", "truncated")], {}),
    "entra-html": ([Rule("token", "not-json")], {}),
    "entra-lost": ([Rule("token", "close")], {}),
    "entra-redirects": ([Rule("token", "redirect", "https://x.example/")],
                        {}),
    "entra-certificate": ([], {"entra_certificate": "wrong-name"}),
    "entra-echoes": ([Rule("token", "http", {"status": 401, "body": {
        "error": "invalid_client", "error_description":
        "AADSTS999999: you sent s3cr3t~of+the/app= and it is wrong"}})], {}),
    "entra-token-in-error": ([Rule("token", "http", {
        "status": 200, "body": {"access_token": "abc", "expires_in": "x"}})],
        {}),
    "bad-configuration": ([], {"config": {"frobnicate": "yes"}}),
}


@pytest.mark.slow
@pytest.mark.parametrize("login", [False, True], ids=["XOAUTH2", "LOGIN"])
@pytest.mark.parametrize("name", CASES)
def test_output_at_its_most_talkative(given, name, login):
    rules, options = CASES[name]
    mail = given(*rules, login=login, **options)
    runs = [
        mail.sendmail365("submit", "-v", BOSS, stdin=MESSAGE),
        mail.sendmail("-v", BOSS, stdin=MESSAGE),
        mail.sendmail365("check"),
        mail.sendmail365("explain", "root@web1"),
        mail.sendmail365("submit", "--dry-run", BOSS, stdin=MESSAGE),
    ]
    for run in runs:
        assert_no_secret(mail.tenant, run.stdout, run.stderr)
    assert len({run.returncode for run in runs[:2]}) == 1


def test_credentials_in_the_debug_log_are_stars(mail):
    result = mail.sendmail365("submit", "-v", BOSS, stdin=MESSAGE)
    lines = re.findall(r" C: (.*)", result.stderr.decode())
    assert lines.count("***") == 1
    assert not [line for line in lines if line.startswith("AUTH")]


def test_secret_that_strayed_into_the_configuration(given):
    """A line that is wrong is not quoted: it may be a secret."""
    mail = given()
    with open(mail.config, "a") as config:
        config.write(mail.tenant.client_secret + "\n")
    result = mail.sendmail("-v", BOSS, stdin=MESSAGE)
    assert result.returncode == 78
    assert_no_secret(mail.tenant, result.stderr)


def test_message_is_not_in_the_log(mail):
    result = mail.sendmail365(
        "submit", "-v", BOSS, stdin=MESSAGE.replace(b"all is well", b"XYZZY"))
    assert result.returncode == 0
    assert b"XYZZY" not in result.stderr
    assert b"backup of web1" not in result.stderr


@pytest.mark.parametrize("text", [
    "550 5.1.1 \x1b]0;owned\x07\x1b[31mred",
    "550 5.1.1 line\x0done", "550 5.1.1 \x9b31m",
])
def test_server_cannot_move_the_terminal(given, text):
    mail = given(Rule("rcpt", "raw", text + "\r\n"))
    for result in (mail.sendmail("-v", BOSS, stdin=MESSAGE),
                   mail.sendmail365("submit", "-v", BOSS, stdin=MESSAGE)):
        assert result.returncode != 0
        shown = result.stderr.replace(b"\n", b"").decode()
        assert shown.isprintable(), shown


# ---- processes ----

class Stalled:
    """sendmail and its companion while the server does not answer."""

    def __init__(self, mail, phase, *args, **options):
        self.process = mail.start(*args, BOSS, **options)
        self.process.stdin.write(MESSAGE)
        self.process.stdin.close()
        self.process.stdin = None
        wait_until(lambda: mail.tenant.scenario.occurrences(phase) == 1)
        [self.child] = children_of(self.process.pid)
        self._tenant = mail.tenant

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._tenant.stop()
        self.result = finish(self.process)

    def read(self, name):
        """A file of /proc of each of the two processes."""
        return [Path(f"/proc/{pid}/{name}").read_bytes()
                for pid in (self.process.pid, self.child)]


@pytest.mark.parametrize("login, phase", [
    (False, "auth"), (False, "final"), (True, "auth-continue"),
    (True, "final"),
])
def test_arguments_and_environment_of_the_processes(given, login, phase):
    mail = given(Rule(phase, "stall"), login=login)
    with Stalled(mail, phase, "-v") as stalled:
        assert_no_secret(mail.tenant, *stalled.read("cmdline"))
        assert b"submit" in stalled.read("cmdline")[1]
        if os.geteuid() == 0:
            assert_no_secret(mail.tenant, *stalled.read("environ"))
    assert stalled.result.returncode == 75
    assert_no_secret(mail.tenant, stalled.result.stderr)


@pytest.mark.limits
def test_no_core_is_dumped(given):
    mail = given(Rule("auth", "stall"))
    with Stalled(mail, "auth") as stalled:
        for limits in stalled.read("limits"):
            row = re.search(rb"Max core file size +(\d+) +(\d+)", limits)
            assert row.groups() == (b"0", b"0")


@pytest.mark.limits
def test_other_processes_of_the_user_cannot_look(given, other_user):
    """/proc belongs to root where a process is not dumpable."""
    mail = given(Rule("auth", "stall"))
    user = other_user(mail)
    with Stalled(mail, "auth", **user) as stalled:
        for name in ("environ", "mem", "maps"):
            path = Path(f"/proc/{stalled.child}/{name}")
            assert path.stat().st_uid == 0
        front_end = Path(f"/proc/{stalled.process.pid}")
        uid = re.search(r"Uid:\s+(\d+)", (front_end / "status").read_text())
        assert int(uid[1]) == user.get("user", os.geteuid())
    assert_fatal(stalled.result, 75)


@pytest.mark.skipif(BUILD.name == "valgrind", reason="it has one on valgrind")
def test_environment_of_the_companion_program_is_dropped(given):
    """What the caller has in it does not reach what OpenSSL starts with."""
    mail = given()
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE, env={
        "PATH": "/nonexistent", "PASSWORD": PASSWORD, "A": "b" * 100_000}))
