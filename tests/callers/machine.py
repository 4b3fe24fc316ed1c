"""A host of its own, where callers run as their packages ship them.

Our sendmail lies at /usr/sbin/sendmail, /usr/lib/sendmail, /usr/bin/mailq and
/usr/bin/newaliases, with a configuration in /etc/sendmail365; the callers come
from packages. Each run sees a fresh copy of all this, made by private-root.
"""
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.insert(0, str(TOP / "tests"))
BUILD = Path(os.environ.get("SENDMAIL365_BUILD", TOP / "build"))
LAYER = TOP / "build/callers/layer"
PRIVATE_ROOT = str(HERE / "private-root")

from fake365 import ALERTS, Rule, Scenario  # noqa: E402

BOSS = "boss@contoso.example"  # whose mail root's is
JDOE = "jdoe@contoso.example"
TO = "to@fabrikam.example"
CC = "cc@fabrikam.example"
BCC = "bcc@fabrikam.example"
AUTHOR = "web@site.example"
REFUSAL = "554 5.2.0 STOREDRV.Submission.Exception: refused by the test"
RUN_SECONDS = 300

# $1: the programs, $2: files of root's, $3: files of jdoe's
SET_UP = """
set -e
hostname web1
echo 127.0.1.1 web1.contoso.example web1 >>/etc/hosts
rm -f /usr/sbin/sendmail /usr/lib/sendmail /usr/bin/mailq /usr/bin/newaliases
cp "$1/sendmail" "$1/sendmail365" /usr/sbin
ln -s ../sbin/sendmail /usr/lib/sendmail
ln -s ../sbin/sendmail /usr/bin/mailq
ln -s ../sbin/sendmail /usr/bin/newaliases
rm -rf /etc/aliases /etc/mailname /etc/cron.d /etc/sendmail365
cp -R "$2/etc/." /etc
echo 'jdoe:x:4242:4242:Jane & Doe,Room 1,555:/var/jdoe:/bin/sh' >>/etc/passwd
echo 'jdoe:*:19000:0:99999:7:::' >>/etc/shadow
echo 'jdoe:x:4242:' >>/etc/group
cp -R "$3" /var/jdoe
chown -R jdoe:jdoe /var/jdoe
cd "$4"
shift 4
set +e
"$@"
status=$?
# Some callers leave their sendmail behind, which would end with this shell.
while set -- /proc/[0-9]* && [ $# -gt 1 ]; do sleep 0.02; done
exit $status
"""
AS_JDOE = ["setpriv", "--reuid=jdoe", "--regid=jdoe", "--clear-groups",
           "env", "HOME=/var/jdoe", "USER=jdoe", "LOGNAME=jdoe"]


def why_not():
    """Why no such host can be made here; None if it can."""
    if os.geteuid() != 0:
        return "only root can make a private root"
    done = subprocess.run([PRIVATE_ROOT, "true"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        return f"no private root: {done.stdout.decode().strip()}"
    return None


def has(path):
    """Whether the host will have a file, which only the layer may hold."""
    return any(os.path.lexists(str(root) + path) for root in (LAYER, ""))


class Machine:
    """The host; `files` below its /etc can be added until run() is called."""

    def __init__(self, tenant, directory):
        self.tenant = tenant
        self.directory = directory
        self.etc = directory / "root/etc"
        self.home = directory / "jdoe"
        tenant.path.chmod(0o711)
        # pytest's folders, which jdoe must come through
        for parent in [directory, *directory.parents]:
            if parent.stat().st_mode & 0o7077 == 0:
                parent.chmod(0o711)
        for folder in self.etc / "sendmail365", self.home:
            folder.mkdir(parents=True)
        self.file("mailname", "web1.contoso.example\n")
        self.file("aliases", f"root: {BOSS}\npostmaster: root\n")
        self.configure()

    def configure(self, **sections):
        """Write both configurations, root's and jdoe's own."""
        own = self.home / ".config/sendmail365"
        own.mkdir(parents=True, exist_ok=True)
        sections = {"rewrite": {"domain": "contoso.example"},
                    "aliases": {"file": None}, **sections}
        sections.setdefault("service", {})["state_directory"] = None
        for folder in self.etc / "sendmail365", own:
            self.tenant.write_config(folder, timeout=60, sections=sections)

    def file(self, name, content, mode=0o644):
        """Put a file below /etc."""
        path = self.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)

    def script(self, name, text):
        """Put a file where every user finds it; returns its path."""
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def start(self, *command, user="root", env=None, **options):
        """Start a caller, as root with little more than a path to search."""
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                       "HOME": "/root", **(env or {})}
        words = [str(c) for c in command]
        if user == "jdoe":
            words = AS_JDOE + words
        return subprocess.Popen(
            [PRIVATE_ROOT, "sh", "-c", SET_UP, "sh", BUILD, self.etc.parent,
             self.home, self.directory, *words],
            env=environment, start_new_session=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **options)

    def run(self, *command, stdin=b"", **options):
        """Run a caller to its end."""
        process = self.start(*command, stdin=subprocess.PIPE, **options)
        try:
            out, err = process.communicate(stdin, timeout=RUN_SECONDS)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return subprocess.CompletedProcess(
            command, process.returncode, out, err)

    def shell(self, text, **options):
        """Run a script of sh."""
        return self.run("sh", "-c", text, **options)

    def received(self, count=1):
        """The messages that Exchange has, checked for what holds of each:
        the sender is the account, no Bcc, and no line end but CRLF."""
        assert self.tenant.wait_for_messages(count), self.tenant.dialogue()
        messages = self.tenant.messages
        assert len(messages) == count
        for message in messages:
            assert message.sender == ALERTS
            [author] = message.parsed.get_all("From")
            assert [a.addr_spec for a in author.addresses] == [ALERTS]
            assert message.parsed["Date"] and message.parsed["Message-ID"]
            assert b"\nbcc:" not in b"\n" + message.head.lower()
            without = message.raw.replace(b"\r\n", b"")
            assert b"\r" not in without and b"\n" not in without
        return messages[0] if count == 1 else messages

    def refuse(self):
        """Exchange refuses all messages from now on."""
        self.tenant.scenario = Scenario(Rule("final", "reply", REFUSAL))


def quoted(*words):
    """Words of a command for sh."""
    return " ".join(shlex.quote(str(w)) for w in words)


def text_of(message):
    """The text of a message, decoded, with LF."""
    part = message.parsed.get_body(("plain",))
    return part.get_content().replace("\r\n", "\n") if part else ""


def find_program(name):
    """Where the layer or the machine has a program; None."""
    for folder in "/usr/sbin", "/usr/bin":
        if os.path.lexists(str(LAYER) + folder + "/" + name):
            return folder + "/" + name
    return shutil.which(name)
