"""Who may send may not read: secrets, others' messages, the service."""
import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from fake365 import Rule
from service import Service, service  # noqa: F401
from support import (BOSS, IS_PLAIN, MESSAGE, assert_sent,
                     children_of, wait_until)
from test_secrets import assert_no_secret, secrets_of

NOBODY = 65534
OTHER = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

is_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be another user")
is_plain = pytest.mark.skipif(
    not IS_PLAIN, reason="an instrumented process is not locked up")


@pytest.fixture
def make_service(given):
    """Make and start a service that other users can reach."""
    with contextlib.ExitStack() as stack:
        def make(*rules, **options):
            service = Service(given(*rules, **options), retry_first="1s")
            service.open_to_others(stack).configure()
            stack.callback(service.stop)
            return service.start()

        yield make


def as_other(*command, stdin=b"", **options):
    """Run a command as nobody."""
    return subprocess.run([str(c) for c in command], input=stdin,
                          capture_output=True, **{**OTHER, **options})


def processes(service):
    """{name: process id} of the service and its children."""
    out = {"manager": service.process.pid}
    for pid in children_of(service.process.pid):
        with contextlib.suppress(OSError):  # it has just ended
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            out[name.removeprefix("s365-")] = pid
    return out


@is_root
@pytest.mark.slow
def test_another_user_sends_without_new_privileges(make_service):
    service = make_service()
    # Only root can take capabilities out of the bounding set.
    command = ["setpriv", "--no-new-privs", "--bounding-set=-all",
               f"--reuid={OTHER['user']}", f"--regid={OTHER['group']}",
               "--clear-groups", "--"]
    result = subprocess.run(
        [*command, service.mail.sendmail_path, BOSS], input=MESSAGE,
        capture_output=True, env=service.environment())
    assert_sent(result)
    assert service.mail.tenant.wait_for_messages(1)


@is_root
@pytest.mark.slow
def test_another_user_reads_nothing(make_service):
    """Neither files nor processes, though the way to them is open."""
    service = make_service(Rule("final", "delay", 2))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    wait_until(lambda: set(processes(service)) ==
               {"manager", "ingest", "delivery"})
    kept = service.files()
    home = service.home
    # What stands above the installed files is open to everybody.
    above = [home, *home.parents, service.mail.directory]
    for directory in above:
        if directory not in (Path("/"), Path("/tmp")):
            directory.chmod(0o711)
    secret = [service.mail.directory / "client-secret",
              *service.mail.state.rglob("*"), service.spool,
              *(service.spool / p for p in
                ("queue", "failed", "incoming", "journal")),
              *(service.spool / "queue" / name for name in kept)]
    assert len(secret) > 6
    for pid in processes(service).values():
        secret += [Path(f"/proc/{pid}/{name}") for name in
                   ("environ", "mem", "maps", "fd", "cwd", "exe", "root",
                    "stack", "auxv", "map_files", "syscall")]
    script = ("import os, sys\n"
              "for path in sys.argv[1:]:\n"
              "    for attempt in (lambda: open(path, 'rb').read(1),\n"
              "                    lambda: os.listdir(path),\n"
              "                    lambda: os.readlink(path),\n"
              "                    lambda: open(path, 'r+b')):\n"
              "        try:\n"
              "            attempt()\n"
              "        except OSError:\n"
              "            continue\n"
              "        print(path)\n")
    result = as_other("/usr/bin/python3", "-c", script, *secret)
    assert (result.stdout, result.stderr) == (b"", b"")
    # The same looks do see something where there is something to see.
    result = as_other("/usr/bin/python3", "-c", script, "/etc/passwd", "/")
    assert result.stdout == b"/etc/passwd\n/\n"


@is_root
@pytest.mark.slow
def test_another_user_sees_and_changes_own_messages_only(make_service):
    service = make_service(Rule("mail", "reply", "451 4.7.0 later"))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    [name] = service.files()
    message_id = name.split(".")[0]
    with socket.socket(socket.AF_UNIX) as one:
        os.seteuid(NOBODY)
        try:
            one.connect(str(service.socket))
        finally:
            os.seteuid(0)
        one.sendall("".join(
            f"XQUEUE {verb} {message_id}\r\n" for verb in
            ("SHOW", "DELETE", "HOLD", "RELEASE", "RETRY")
        ).encode() + b"XQUEUE LIST\r\nQUIT\r\n")
        said = b"".join(iter(lambda: one.recv(4096), b""))
    assert said.endswith(b"221 2.0.0 Bye\r\n"), said
    assert BOSS.encode() not in said and b"backup of web1" not in said
    assert service.files() == [name]


@pytest.mark.slow
def test_no_secret_is_in_the_log_at_its_most_talkative(make_service):
    service = make_service(
        Rule("auth", "reply", "535 5.7.3 Authentication unsuccessful", nth=1),
        Rule("final", "then-close", nth=1))
    for _ in range(3):
        assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.sendmail("-q")
    assert service.mail.tenant.wait_for_messages(3)
    service.wait_until_empty()
    service.stop()
    log = service.log_path.read_bytes()
    assert b"C: ***" in log  # it is the debug level
    assert_no_secret(service.mail.tenant, log)
    assert b"all is well" not in log


@pytest.mark.slow
def test_a_message_says_nothing_of_secrets_to_who_waits(make_service):
    service = make_service()
    secret = service.mail.directory / "client-secret"
    secret.write_text(service.mail.tenant.expired_secret + "\n")
    result = service.sendmail("-v", BOSS, stdin=MESSAGE)
    assert_no_secret(service.mail.tenant, result.stdout, result.stderr)
    service.wait_for_log("AADSTS7000222")
    assert_no_secret(service.mail.tenant, service.log_path.read_bytes())


@is_root
@is_plain
@pytest.mark.slow
def test_manager_and_ingest_have_no_secret_in_memory(make_service):
    service = make_service()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    secrets = secrets_of(service.mail.tenant)
    running = processes(service)
    for name in ("manager", "ingest"):
        assert not has_any(running[name], secrets)
        # What it may know is found there.
        assert has_any(running[name], [str(service.spool).encode()])


def has_any(pid, secrets):
    """Is one of them in the writable memory of a process?"""
    with open(f"/proc/{pid}/maps") as maps, \
            open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            span, rights, *_ = line.split()
            if "w" not in rights:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            memory.seek(start)
            data = memory.read(end - start)
            if any(secret in data for secret in secrets):
                return True
    return False


@is_root
@is_plain
@pytest.mark.slow
def test_an_ingest_process_is_denied_files_and_networks(make_service):
    """A debugger makes the very process try."""
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not there; unit/test_confine shows the same")
    service = make_service()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    pid = processes(service)["ingest"]
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    secret = service.mail.directory / "client-secret"
    result = subprocess.run(
        ["gdb", "-q", "-batch", "-nx", "-p", str(pid),
         "-ex", f'print (int)open("{secret}", 0)',
         "-ex", "print (int)socket(2, 1, 0)",
         "-ex", "print (int)socket(10, 1, 0)"],
        capture_output=True, text=True)
    answers = [line.split("= ")[1] for line in result.stdout.splitlines()
               if line.startswith("$")]
    if len(answers) != 3:
        pytest.skip(f"gdb: {result.stderr.strip()[-200:]}")
    assert answers[1:] == ["-1", "-1"]
    if "Landlock is not there" not in service.log():
        assert answers[0] == "-1"
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))



# Secrets that systemd hands over

@pytest.fixture
def credentials(service, tmp_path):
    """The secret as the unit hands it over; beside the configuration it is
    out of reach, as it is for the service's user."""
    home = service.mail.directory
    (home / "secrets").mkdir()
    (home / "client-secret").rename(home / "secrets" / "client-secret")
    service.configure(client_secret_file="secrets/client-secret")
    (home / "client-secret").unlink()
    copies = tmp_path / "credentials"
    copies.mkdir()
    copy = copies / "secrets_client-secret"
    (home / "secrets" / "client-secret").rename(copy)
    # systemd shows the mask of its ACL.
    copy.chmod(0o440)
    return copy


def with_credentials(copy):
    return {**os.environ, "CREDENTIALS_DIRECTORY": str(copy.parent)}


@pytest.mark.slow
def test_the_secret_of_the_unit_is_used(service, credentials):
    service.start(env=with_credentials(credentials))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    # Root's own commands have the file itself.
    home = service.mail.directory
    shutil.copy(credentials, home / "secrets" / "client-secret")
    (home / "secrets" / "client-secret").chmod(0o600)
    assert service.mail.sendmail365("check").returncode == 0
    assert service.mail.sendmail365(
        "submit", BOSS, stdin=MESSAGE).returncode == 0


@pytest.mark.slow
def test_a_secret_without_a_copy_names_the_restart(service, credentials):
    copy = credentials.rename(
        service.mail.directory / "secrets" / "client-secret")
    service.start(env=with_credentials(credentials))
    copy.unlink()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log(f"{copy}: there is no such file; .*"
                         "restart the service")
    copy.write_text(service.mail.tenant.client_secret)
    copy.chmod(0o600)
    service.stop()
    service.start(env=with_credentials(credentials))
    assert service.mail.tenant.wait_for_messages(1)


@pytest.mark.slow
def test_a_copy_that_is_refused_names_the_restart(service, credentials):
    good = credentials.read_text()
    credentials.write_text("not the secret\n")
    service.start(env=with_credentials(credentials))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log(
        "AADSTS7000215.*the credential secrets_client-secret.*"
        "restart the service")
    credentials.write_text(good)
    service.stop()
    service.start(env=with_credentials(credentials))
    assert service.mail.tenant.wait_for_messages(1)


@pytest.mark.slow
def test_a_password_that_is_refused_names_the_restart(service, tmp_path):
    service.configure(login=True)
    copies = tmp_path / "credentials"
    copies.mkdir()
    copy = (service.mail.directory / "password").rename(copies / "password")
    copy.write_text("not the password\n")
    service.start(env=with_credentials(copy))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("535 .*restart the service")
