"""The service without systemd: the init script, and what it starts."""
import re
import shutil
import subprocess

import pytest

from installed import OUTSIDER, TOP, Host, wait_until, why_not

reason = why_not() or (
    None if shutil.which("start-stop-daemon") and
    shutil.which("pgrep") else "start-stop-daemon is not installed")
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

INIT = "/etc/init.d/sendmail365"
START = "/usr/libexec/sendmail365/sendmail365-start"
CONFIG = "/etc/sendmail365/sendmail365.conf"
COPY = "/run/sendmail365-credentials"
LOG = "/var/log/sendmail365/service.log"


@pytest.fixture
def host(tmp_path):
    with Host(tmp_path) as one:
        one.copy(TOP / "packaging/debian/sendmail365.init", INIT)
        one.run(["chmod", "755", INIT])
        one.run("mkdir -p /lib/lsb; : >>/lib/lsb/init-functions")
        yield one
        one.run([INIT, "stop"], check=False)


def init(host, verb, status=0):
    done = host.run([INIT, verb], check=False)
    assert done.returncode == status, (verb, done.stdout)
    return done.stdout


def manager(host):
    return host.run(["cat", "/run/sendmail365.pid"]).stdout.strip()


def test_without_a_configuration_nothing_is_started(host):
    said = init(host, "start")
    assert "sendmail365 setup" in said and CONFIG in said
    assert said.count("\n") == 1
    assert "sendmail365 setup" in init(host, "restart")
    assert "not running" in init(host, "status", 3)
    assert init(host, "stop") == ""
    init(host, "reload", 7)
    assert not host.exists(COPY)


def test_from_start_to_stop(host):
    host.configure()
    assert init(host, "start") == ""
    assert init(host, "start") == ""  # once is enough
    assert "is running" in init(host, "status")
    host.send()
    host.send(user="root")
    assert host.received(2)
    assert {m.service for m in host.tenant.messages} == {"submission"}
    first = manager(host)
    assert init(host, "reload") == ""
    assert manager(host) == first
    assert init(host, "restart") == ""
    assert manager(host) != first
    host.send()
    assert host.received(3)
    assert init(host, "stop") == ""
    # It has waited for the end.
    assert host.run(["pgrep", "-x", "-r", "S,R,D", "-u", "sendmail365", "."],
                    check=False).stdout == ""
    assert not host.exists(COPY)
    assert "not running" in init(host, "status", 3)
    assert init(host, "stop") == ""


def test_who_comes_at_the_same_time_waits(host):
    host.configure()
    init(host, "start")
    said = host.run(f"for n in 1 2 3; do {INIT} restart & done; wait").stdout
    assert said == ""
    assert "is running" in init(host, "status")
    host.send()
    assert host.received(1)
    assert [m.service for m in host.tenant.messages] == ["submission"]
    init(host, "stop")
    assert host.run(["pgrep", "-x", "-r", "S,R,D", "-u", "sendmail365", "."],
                    check=False).stdout == ""


# Holds a lock on each of these files that it can open.
LOCK = """
import fcntl, signal, sys
files = []
for path in sys.argv[1:]:
    try:
        files.append(open(path))
    except PermissionError:
        continue
    fcntl.flock(files[-1], fcntl.LOCK_SH)
print(len(files), flush=True)
signal.pause()
"""


def test_nobody_else_can_lock_it_up(host):
    host.configure()
    init(host, "start")
    paths = [INIT, START, "/usr/sbin/sendmail365", "/etc/sendmail365/ca.pem",
             "/run/sendmail365.pid", "/run/sendmail365.lock"]
    with host.start(["python3", "-c", LOCK, *paths], user="daemon",
                    stdout=subprocess.PIPE, text=True) as stranger:
        assert stranger.stdout.readline() == "5\n"
        for verb in "restart", "force-reload", "stop", "start":
            assert init(host, verb) == ""
        stranger.kill()


def test_a_wrong_configuration_does_not_end_a_right_service(host):
    host.configure()
    init(host, "start")
    first = manager(host)
    good = host.read(CONFIG)
    host.write(CONFIG, good + "\n[acount]\n")
    said = init(host, "restart", 1)
    assert "acount" in said and "not started" in said
    assert manager(host) == first
    host.send()
    assert host.received(1)
    init(host, "stop")
    assert "acount" in init(host, "start", 1)
    host.write(CONFIG, good)
    assert init(host, "start") == ""


def test_an_alias_of_another_mailer_does_not_stop_the_mail(host):
    host.configure()
    host.write("/etc/aliases", 'list: "|/usr/lib/list/post"\n')
    assert "leads to a pipe" in init(host, "start")
    assert "leads to a pipe" in init(host, "restart")
    host.send()
    assert host.received(1)
    assert [m.service for m in host.tenant.messages] == ["submission"]


def test_the_user_may_have_another_group_of_its_own(host):
    host.configure()
    host.run(["usermod", "-g", "users", "sendmail365"])
    init(host, "start")
    host.send()
    assert host.received(1)
    assert host.describe("/var/spool/sendmail365") == (
        "0700 sendmail365 sendmail365")


def test_a_replaced_program_can_be_stopped(host):
    host.configure()
    init(host, "start")
    host.run("cp /usr/sbin/sendmail365 /usr/sbin/x && "
             "mv /usr/sbin/x /usr/sbin/sendmail365")
    assert "is running" in init(host, "status")
    assert init(host, "stop") == ""
    assert "not running" in init(host, "status", 3)


def test_after_removal_the_script_does_nothing(host):
    host.run(["rm", "/usr/sbin/sendmail365"])
    assert init(host, "start") == init(host, "stop") == ""


def test_who_sees_the_secrets(host):
    host.configure()
    host.run("mkdir -p /etc/sendmail365/secrets/more && "
             "echo other >'/etc/sendmail365/secrets/more/a b'")
    host.run([START, "prepare"])
    assert host.describe(COPY) == "0710 root sendmail365"
    names = host.run(["ls", COPY]).stdout.splitlines()
    assert names == ["secrets_client-secret", "secrets_more_a b"]
    for name in names:
        assert host.describe(f"{COPY}/{name}") == (
            "0400 sendmail365 sendmail365")
        assert host.run(["cat", f"{COPY}/{name}"], user="sendmail365").stdout
    assert host.read(f"{COPY}/secrets_client-secret") == (
        host.tenant.client_secret + "\n")
    for path in (COPY, "/etc/sendmail365/secrets",
                 "/var/spool/sendmail365", "/var/lib/sendmail365"):
        for user in ("daemon",) + (
                ("sendmail365",) if path.startswith("/etc") else ()):
            assert host.run(["ls", path], user=user,
                            check=False).returncode != 0, (path, user)
    # The service makes no names there, and what secrets/ has lost goes.
    assert host.run(["ln", "-s", "/etc/passwd", f"{COPY}/secrets_x"],
                    user="sendmail365", check=False).returncode != 0
    host.run(["rm", "-r", "/etc/sendmail365/secrets/more"])
    host.run([START, "prepare"])
    assert host.run(["ls", COPY]).stdout.splitlines() == names[:1]


def test_any_name_and_any_kind_of_file(host):
    """A link, as Kubernetes has them, stands for its file."""
    host.configure()
    host.run(r"""cd /etc/sendmail365/secrets
                 mkdir ..data && echo linked >..data/token
                 ln -s ..data/token token; ln -s nowhere broken; mkfifo fifo
                 echo odd >"$(printf -- '-n *\n')"; echo two >"$(printf 'a\nb')"
                 printf 'end' >"$(printf 'c\n.')"; mv "$(printf 'c\n.')" 'c
'""")
    host.run([START, "prepare"])
    said = host.run(["ls", "-b", COPY]).stdout.splitlines()
    assert sorted(said) == sorted([
        "secrets_client-secret", "secrets_..data_token", "secrets_token",
        r"secrets_-n\ *", r"secrets_a\nb", r"secrets_c\n"])
    assert host.read(f"{COPY}/secrets_token") == "linked\n"
    assert host.read(f"{COPY}/secrets_c\n") == "end"
    assert host.run([START, "check"]).returncode == 0


def test_a_service_that_runs_keeps_its_secrets_while_they_are_renewed(host):
    host.configure()
    init(host, "start")
    # Somebody reads all the time, as its delivery processes do.
    missed = host.run(
        f"""(while [ ! -e /run/done ]; do cat {COPY}/secrets_client-secret; done
             ) >/dev/null 2>/run/missed &
            for n in 1 2 3 4 5 6 7 8 9 10; do {START} prepare; done
            : >/run/done; wait; cat /run/missed""").stdout
    assert missed == ""


def test_a_check_changes_nothing_for_a_service_that_runs(host):
    host.configure()
    init(host, "start")
    host.run(["rm", "/etc/sendmail365/secrets/client-secret"])
    assert "client-secret" in init(host, "restart", 1)
    assert host.exists(f"{COPY}/secrets_client-secret")
    host.send()
    assert host.received(1)
    assert [m.service for m in host.tenant.messages] == ["submission"]
    assert host.run("ls -d /run/sendmail365-credentials*").stdout == COPY + "\n"


def test_a_full_disk_takes_no_secret_from_a_service_that_runs(host):
    host.configure()
    init(host, "start")
    first = host.read(f"{COPY}/secrets_client-secret")
    host.write("/etc/sendmail365/secrets/client-secret", "x" * 4000, 0o600)
    host.run("mount -o remount,size=256k /run; "
             "head -c 1M /dev/zero >/run/fill 2>/dev/null || :")
    assert host.run([START, "prepare"], check=False).returncode != 0
    assert host.read(f"{COPY}/secrets_client-secret") == first


def test_what_setup_says_gives_the_service_the_new_secret(host):
    host.configure()
    init(host, "start")
    host.write("/run/new", host.tenant.client_secret + "\n")
    host.write("/etc/sendmail365/secrets/client-secret", "old\n", 0o600)
    # Direct Send would reach them all.
    said = host.run(["sendmail365", "setup", "--replace", "--secret-file",
                     "/run/new", "--set", "direct_send.enabled=no",
                     "--no-test"]).stdout
    assert "secrets/client-secret-2" in said
    command = re.search(r"restart the service \((.*)\)", said)[1]
    assert command == "service sendmail365 restart"
    # Who has no copy yet is told the same.  No Direct Send leads to an outsider.
    init(host, "reload")
    host.send(OUTSIDER)
    wait_until(lambda: command in host.run(["mailq"]).stdout)
    init(host, "restart")
    host.run(["sendmail365", "queue", "flush"])
    assert host.received(1)


@pytest.mark.skipif(shutil.which("script") is None, reason="no script(1)")
def test_what_a_check_starts_has_no_terminal_of_roots(host):
    """Its user could type on it."""
    host.write("/usr/sbin/x", "#!/bin/sh\nid -un\n"
               "(: </dev/tty) 2>/dev/null && echo terminal\n:\n", 0o755)
    host.run(["mv", "/usr/sbin/x", "/usr/sbin/sendmail365"])
    said = host.run(["script", "-qec", f"{START} check", "/dev/null"]).stdout
    assert said.split() == ["sendmail365"]


def test_the_service_has_the_rights_of_its_user_only(host):
    host.configure()
    init(host, "start")
    status = host.read(f"/proc/{manager(host)}/status")
    uid = host.run(["id", "-u", "sendmail365"]).stdout.strip()
    gid = host.run(["id", "-g", "sendmail365"]).stdout.strip()
    assert re.search(rf"^Uid:(\t{uid}){{4}}$", status, re.M)
    assert re.search(rf"^Groups:\t({gid})? ?$", status, re.M)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.M)
    for name in "CapInh", "CapPrm", "CapEff", "CapAmb":
        assert re.search(rf"^{name}:\t0+$", status, re.M), name


def test_check_reads_the_secrets_as_the_service_does(host):
    host.configure()
    assert host.run([START, "check"]).returncode == 0
    host.run(["rm", "/etc/sendmail365/secrets/client-secret"])
    done = host.run([START, "check"], check=False)
    assert done.returncode == 78
    assert "client-secret" in done.stdout


def test_the_command_line(host):
    done = host.run([START], check=False)
    assert done.returncode == 64
    assert done.stdout.startswith("usage: sendmail365-start run")
    assert "reload" in done.stdout
    # Nothing runs: nothing to reload.
    assert host.run([START, "reload"]).stdout == ""


# Logs

def rotated(host):
    return sorted(host.run(["ls", "/var/log/sendmail365"]).stdout.split())


needs_logrotate = pytest.mark.skipif(
    shutil.which("logrotate") is None, reason="logrotate is not installed")


def rotate(host, *options):
    # Its own is not configured here.
    return host.run(["/usr/sbin/logrotate", "-v", "-s", "/run/state",
                     *options, "/etc/logrotate.d/sendmail365"]).stdout


@needs_logrotate
def test_without_a_log_file_nothing_is_rotated(host):
    host.run(["rm", "-rf", "/var/log/sendmail365"])
    assert "error" not in rotate(host, "-d").lower()
    assert "error" not in rotate(host, "-f").lower()
    host.configure()
    init(host, "start")
    rotate(host, "-f")
    assert rotated(host) == []


@needs_logrotate
def test_a_log_file_is_rotated_and_written_anew(host):
    host.configure(log={"to": LOG, "level": "info"})
    check = host.run([START, "check"], check=False).stdout
    if "to: " in check and "not a known value" in check:
        pytest.skip("this sendmail365 writes no log file itself")
    init(host, "start")
    first = manager(host)
    host.send()
    assert host.received(1)
    assert "queued" in host.read(LOG)
    said = rotate(host, "-f")
    assert "error" not in said.lower(), said
    assert "queued" in host.read(LOG + ".1")
    assert manager(host) == first
    host.send()
    assert host.received(2)
    init(host, "stop")
    assert rotated(host) == ["service.log", "service.log.1"]
    log = host.read(LOG)
    assert "queued" in log and "stopped" in log
    assert host.describe(LOG) in ("0600 sendmail365 sendmail365",
                                  "0640 sendmail365 sendmail365")


@needs_logrotate
def test_where_systemd_runs_it_is_asked(host):
    host.run("mkdir -p /run/systemd/system /var/log/sendmail365; "
             "chown sendmail365: /var/log/sendmail365; "
             "setpriv --reuid=sendmail365 --regid=sendmail365 --clear-groups "
             f"sh -c 'echo line >{LOG}'")
    host.write("/usr/bin/systemctl.new",
               '#!/bin/sh\nid -u >/run/asked\necho "$@" >>/run/asked\n', 0o755)
    host.run(["mv", "/usr/bin/systemctl.new", "/usr/bin/systemctl"])
    rotate(host, "-f")
    assert host.read("/run/asked") == (
        "0\ntry-reload-or-restart sendmail365.service\n")
    assert rotated(host) == ["service.log.1"]
