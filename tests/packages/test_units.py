"""The units: what systemd says of them, and the service under their rules.

systemd does not run here: its rules are applied by other means, read from the
unit, to the installed service.
"""
import os
import re
import subprocess

import pytest

from installed import (STUCK, TOP, UNITS, Host, install, unit, wait_until,
                       why_not)

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

SOCKET = "/run/sendmail365/submit"
#: as systemd sees it, below these the service may write
WRITABLE = ("/var/spool/sendmail365", "/var/lib/sendmail365",
            "/var/log/sendmail365", "/tmp", "/var/tmp", "/dev", "/proc/self")
#: what systemd's mounts are for the service
MOUNTS = r"""
set -eu
mount --make-rprivate /
mkdir -p /var/log/sendmail365
chown sendmail365: /var/log/sendmail365
for name in spool lib log; do
	mount -n --bind /var/$name/sendmail365 /var/$name/sendmail365
done
while read -r _ _ _ _ point _; do
	case $point in
	/proc | /proc/* | /sys | /sys/* | /dev | /dev/* | /var/*/sendmail365) ;;
	*) mount -o remount,bind,ro "$point" 2>/dev/null || true ;;
	esac
done </proc/self/mountinfo
for name in tmp var/tmp; do
	mount -n -t tmpfs -o mode=1777 tmpfs /$name
done
for name in home root; do
	mount -n -t tmpfs -o mode=0000,ro tmpfs /$name
done
mount -n -t proc -o hidepid=invisible proc /proc
mount -n -t tmpfs -o mode=0755 tmpfs "$DEV"
for name in null zero full random urandom tty; do
	touch "$DEV/$name"
	mount -n --bind "/dev/$name" "$DEV/$name"
done
mount -n --move "$DEV" /dev
cd /
exec "$@"
"""


def allowed_calls():
    """The system calls that SystemCallFilter= of the unit leaves."""
    def expand(word):
        if not word.startswith("@"):
            return {word}
        listed = subprocess.run(
            ["systemd-analyze", "--no-pager", "syscall-filter", word],
            stdout=subprocess.PIPE, text=True, check=True).stdout
        words = [line.strip() for line in listed.splitlines()[1:]]
        return set().union(*(expand(w) for w in words
                             if w and not w.startswith("#")))

    calls = expand("@default")
    for line in unit()["SystemCallFilter"]:
        sets = [expand(word) for word in line.lstrip("~").split()]
        if line.startswith("~"):
            calls -= set().union(*sets)
        else:
            calls |= set().union(*sets)
    return calls


# What systemd says

@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """An empty root with `make install` in it, and the accounts of Debian."""
    root = install(tmp_path_factory.mktemp("tree"))
    for name in "passwd", "group":
        (root / "etc" / name).write_text(
            "root:x:0:0:root:/root:/bin/sh\n" if name == "passwd"
            else "root:x:0:\n")
    (root / "bin").mkdir()
    for name in "sh", "kill":
        (root / "bin" / name).write_text("#!\n")
        (root / "bin" / name).chmod(0o755)
    return root


def test_systemd_finds_nothing_wrong(tree):
    folder = tree / "usr/lib/systemd/system"
    (folder / "sysinit.target").write_text("[Unit]\n")
    for name in "basic", "shutdown", "sockets", "network", "nss-lookup":
        (folder / f"{name}.target").write_text("[Unit]\n")
    for name in "-.slice", "system.slice":
        (folder / name).write_text("[Slice]\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={tree}",
         "sendmail365.service", "sendmail365.socket"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_sandbox_scores_well():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15",
         "--no-pager", UNITS / "sendmail365.service"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    [score] = re.findall(r"exposure level .*: ([\d.]+)", done.stdout)
    print("counted: exposure", score)
    assert float(score) <= 1.5


def test_user_and_folders_are_made(tree):
    for command in (["systemd-sysusers", f"--root={tree}"],
                    ["systemd-tmpfiles", f"--root={tree}", "--create",
                     "--prefix=/var"]):
        done = subprocess.run(command, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
    [line] = re.findall(r"^sendmail365:.*", (tree / "etc/passwd").read_text(),
                        re.M)
    name, _, uid, gid, _, home, shell = line.split(":")
    assert (home, shell) == ("/var/spool/sendmail365", "/usr/sbin/nologin")
    assert 0 < int(uid) < 1000
    for path in "var/spool/sendmail365", "var/lib/sendmail365":
        made = (tree / path).stat()
        assert (made.st_mode & 0o7777, made.st_uid, made.st_gid) == (
            0o700, int(uid), int(gid)), path
    assert not (tree / "run/sendmail365").exists()


# The service under these rules

class Service:
    """The installed service as the unit would run it."""

    def __init__(self, host, directory):
        self.host = host
        self.directory = directory
        self.process = None

    def start(self, *wrapper, inner=(), at_once=False):
        """Listen, in the name of the service; it starts with a message.

        `wrapper` is put before all that is run, `inner` before the program.
        """
        listening = "Listening on "
        before = self.log().count(listening)
        log = (self.directory / "log").open("ab")
        command = [
            *wrapper, "setpriv", "--reuid=sendmail365", "--regid=sendmail365",
            "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
            "--no-new-privs", *inner, "/usr/sbin/sendmail365", "serve"]
        self.host.run(
            "rm -rf /run/credentials /run/sendmail365;"
            "mkdir -p /run/credentials/sendmail365.service /run/sendmail365;"
            "cd /run/credentials/sendmail365.service;"
            "install -o sendmail365 -m 0400 /etc/sendmail365/secrets/* .;"
            "mv client-secret secrets_client-secret; chmod 0500 .;"
            "chown sendmail365 .")
        self.process = self.host.start(
            ["systemd-socket-activate", "-l", SOCKET,
             "-E", "CREDENTIALS_DIRECTORY=/run/credentials/"
             "sendmail365.service", *command], stdout=log, stderr=log)
        wait_until(lambda: self.log().count(listening) > before)
        self.host.run(["chmod", "666", SOCKET])
        return self

    def pid(self):
        """The manager's process id in the host's namespace; None: none."""
        found = self.host.run(
            ["pgrep", "-o", "-x", "-u", "sendmail365", "sendmail365"],
            check=False).stdout.split()
        return int(found[0]) if found else None

    def signal(self, name):
        self.host.run(["kill", f"-{name}", str(self.pid())])

    def log(self):
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        if self.pid() is not None:
            self.signal("TERM")
        elif self.process:
            self.process.kill()
        if self.process:
            self.process.wait(STUCK)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with Host(tmp_path_factory.mktemp("host")) as one:
        yield one


@pytest.fixture
def service(host, tmp_path):
    """A service that logs to standard error."""
    host.configure(log={"to": "stderr", "level": "debug"})
    one = Service(host, tmp_path)
    yield one
    one.stop()


def use_for_real(service):
    """Messages, small and large, reload, a retry, Direct Send, and the end."""
    host = service.host
    before = len(host.tenant.messages)
    host.send()
    assert host.received(before + 1), service.log()
    large = "From: a@b\nTo: c@d\nSubject: x\n\n" + "line of text\n" * 300000
    host.send(text=large)
    assert host.received(before + 2), service.log()
    service.signal("HUP")
    wait_until(lambda: "was read again" in service.log())
    # Entra refuses: the MX takes it.
    secret = host.tenant.client_secret
    host.tenant.client_secret = "another"
    host.tenant.revoke_tokens()
    try:
        host.send()
        assert host.received(before + 3), service.log()
    finally:
        host.tenant.client_secret = secret
    assert host.tenant.messages[-1].service == "mx"
    host.run(["/usr/bin/mailq"], user="daemon")
    host.run(["/usr/sbin/sendmail365", "queue", "flush"])
    assert host.run("ls /var/spool/sendmail365/queue").stdout == ""
    service.signal("TERM")
    assert service.process.wait(STUCK) == 0, service.log()


def trace_real_use(host, service, *options):
    """The lines of strace of all that use_for_real() makes the service do."""
    # /tmp of the host is another one.
    trace = "/var/log/trace"
    # -D: its parent is whom the socket is for.
    service.start("strace", "-D", *options, "-o", trace)
    try:
        use_for_real(service)
    finally:
        service.stop()
    first = host.run(["head", "-n", "1", trace]).stdout.split()[0]
    wait_until(lambda: re.search(rf"^{first} +\+\+\+ exited with 0",
                                 host.read(trace), re.M))
    return host.read(trace).splitlines()


@pytest.fixture(scope="module")
def traced(host, tmp_path_factory):
    """What the service does in real use, from its own start on."""
    directory = tmp_path_factory.mktemp("traced")
    host.configure(log={"to": "stderr", "level": "debug"})
    service = Service(host, directory)
    lines = [re.sub(r"^\d+ +", "", line) for line in trace_real_use(
        host, service, "-f", "-q", "-y", "-s", "200")]
    at = [i for i, line in enumerate(lines)
          if line.startswith('execve("/usr/sbin/sendmail365"')]
    return lines[at[0]:]


def test_every_system_call_is_allowed(traced):
    used = {m[1] for line in traced
            for m in [re.match(r"(?:<\.\.\. )?(\w+)(?:\(| resumed)", line)]
            if m}
    assert {"landlock_create_ruleset", "signalfd4", "sendmsg"} <= used
    assert used - allowed_calls() == set()


def test_it_writes_where_it_may(traced):
    changing = re.compile(
        r"(?:openat|open|mkdirat|renameat2?|unlinkat|linkat|rename|unlink|"
        r"mkdir|truncate)\((?:(?:AT_FDCWD|\d+)<(?P<at>[^>]*)>, )?"
        r"\"(?P<path>[^\"]*)\"(?P<rest>.*)")
    written = set()
    for line in traced:
        m = changing.match(line)
        if not m or line.startswith("open") and not re.search(
                r"O_(WRONLY|RDWR|CREAT)", m["rest"]):
            continue
        written.add(os.path.normpath(
            os.path.join(m["at"] or "/", m["path"])))
    assert any(p.startswith("/var/spool/sendmail365/") for p in written)
    assert any(p.startswith("/var/lib/sendmail365/") for p in written)
    assert [p for p in written
            if not any(p == w or p.startswith(w + "/")
                       for w in WRITABLE)] == []


def test_it_binds_no_port_and_needs_these_families_only(traced):
    assert not [line for line in traced if line.startswith("bind(")
                and "sin" in line]
    families = {m for line in traced
                for m in re.findall(r"^socket\((AF_\w+)", line)}
    assert families <= set(unit()["RestrictAddressFamilies"][0].split())


SANDBOX = ("/usr/bin/python3", "/run/test/sandbox.py", "/run/test/calls")


def put_sandbox(host):
    host.run("mkdir -p /run/test/dev")
    host.write("/run/test/calls", "\n".join(sorted(allowed_calls())))
    host.copy(TOP / "tests/packages/sandbox.py", "/run/test/sandbox.py")


def test_it_works_under_the_rules_of_the_unit(host, service):
    put_sandbox(host)
    service.start(
        "env", "DEV=/run/test/dev", "unshare", "--mount", "sh", "-c", MOUNTS,
        "sh", inner=SANDBOX)
    use_for_real(service)


def test_the_rules_bite(host):
    """Who is refused nothing shows nothing."""
    calls = allowed_calls()
    assert not {"mount", "ptrace", "chown", "io_uring_setup", "bpf",
                "init_module", "setrlimit"} & calls
    put_sandbox(host)
    done = host.run([*SANDBOX, "/usr/bin/chown", "root", "/run/test"],
                    check=False)
    assert "Operation not permitted" in done.stdout
    done = host.run(
        ["env", "DEV=/run/test/dev", "unshare", "--mount", "sh", "-c", MOUNTS,
         "sh", "sh", "-c",
         "touch /etc/x /run/x /usr/x /home/x /sendmail365; "
         "touch /tmp/x && touch /var/spool/sendmail365/x && "
         "rm /var/spool/sendmail365/x && ls /dev"])
    assert done.stdout.count("touch: ") == 5, done.stdout
    assert "sda" not in done.stdout and "kmsg" not in done.stdout


def test_without_a_configuration_a_caller_learns_what_to_do(host, service):
    """It ends with 78, as RestartPreventExitStatus= has it; the next caller
    starts it again, and by then it may be configured."""
    conf = "/etc/sendmail365/sendmail365.conf"
    host.run(["mv", conf, "/run/conf"])
    service.start()
    done = host.send(check=False)
    assert done.returncode in (75, 78), done.stdout
    assert conf in done.stdout
    assert service.process.wait(STUCK) == 78, service.log()
    assert unit()["RestartPreventExitStatus"] == ["78"]
    host.run(["mv", "/run/conf", conf])
    service.start()
    before = len(host.tenant.messages)
    host.send()
    assert host.received(before + 1), service.log()
