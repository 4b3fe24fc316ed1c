"""This machine with `make install` on top, in namespaces that end with it.

/usr, /etc and /var are overlays; /run, /tmp and /home are empty. The network
is the machine's, so that a stand-in tenant on loopback is reached.
"""
import os
import re
import shutil
import subprocess
import sys
import time

from roots import ENVIRONMENT, TOP, Root

sys.path.insert(0, str(TOP / "tests"))

from fake365 import ALERTS, Dns, Tenant  # noqa: E402

BOSS = "boss@contoso.example"
OUTSIDER = "friend@fabrikam.example"
MESSAGE = f"From: {ALERTS}\nTo: {BOSS}\nSubject: test\n\nall is well\n"
EXCHANGE = "contoso-example.mail.protection.outlook.com"
UNITS = TOP / "etc/systemd"
SYSTEMD_RUNS = "/run/systemd/system"
STUCK = 300  # seconds

SET_UP = r"""
set -eu
scratch=$1 layer=$2
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$scratch"
for name in usr etc var; do
	mkdir -p "$scratch/$name" "$scratch/work/$name"
	chmod 0755 "$scratch/$name"
	lower=/$name
	[ ! -d "$layer/$name" ] || lower=$layer/$name:/$name
	mount -t overlay overlay -o \
	    "lowerdir=$lower,upperdir=$scratch/$name,workdir=$scratch/work/$name" \
	    "/$name"
done
for name in run home; do
	mount -t tmpfs -o mode=0755 tmpfs "/$name"
done
mkdir -m 1777 /run/lock
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
mount -t proc proc /proc
sed -i '/^sendmail365:/d' /etc/passwd /etc/group /etc/shadow /etc/gshadow
rm -rf /var/spool/sendmail365 /var/lib/sendmail365 /etc/sendmail365/*.conf
: >/etc/aliases
rm -f /etc/resolv.conf
printf 'nameserver %s\noptions timeout:1\n' "$3" >/etc/resolv.conf
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >/etc/nsswitch.conf
systemd-sysusers /usr/lib/sysusers.d/sendmail365.conf
systemd-tmpfiles --create /usr/lib/tmpfiles.d/sendmail365.conf
mount -t tmpfs -o mode=1777 tmpfs /tmp
echo ready
# Not exec: somebody must reap the services.
sleep infinity &
wait
"""


def install(folder):
    """`make install` below a folder."""
    subprocess.run(
        ["make", "-s", "-C", TOP, "install", f"DESTDIR={folder}"], check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return folder


class Host(Root):
    """A Root that is this machine; also a context manager of its tenant."""

    def __init__(self, directory):
        super().__init__()
        self.layer = install(directory / "layer")
        self.dns = Dns(port=53)
        self.tenant = Tenant(names=[EXCHANGE])

    def __enter__(self):
        self.tenant.start()
        self.dns.__enter__()
        self.dns.records["contoso.example"] = [("MX", 0, EXCHANGE)]
        self.dns.records[EXCHANGE] = [("A", "127.0.0.1")]
        self.hold(SET_UP, self.scratch, self.layer, self.dns.address)
        return self

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        self.dns.__exit__(*arguments)
        self.tenant.stop()

    def configure(self, **sections):
        """Write the four lines of README, for this tenant, and its secret."""
        self.copy(self.tenant.ca_file, "/etc/sendmail365/ca.pem")
        self.run(["chmod", "644", "/etc/sendmail365/ca.pem"])
        direct = {"enabled": "yes", "port": self.tenant.mx_port,
                  "ca_file": "ca.pem"}
        sections = {"direct_send": direct, "queue": {"retry_first": "1s"},
                    **sections}
        account = {"client_secret_file": "secrets/client-secret",
                   "ca_file": "ca.pem", **sections.pop("account", {})}
        self.write("/etc/sendmail365/sendmail365.conf",
                   self.tenant.config(sections=sections, **account))
        self.write("/etc/sendmail365/secrets/client-secret",
                   self.tenant.client_secret + "\n", 0o600)
        return self

    def send(self, *recipients, user="daemon", text=MESSAGE, **options):
        """Send a message as a local program does."""
        return self.run(["/usr/sbin/sendmail", *(recipients or [BOSS])],
                        user=user, input=text, **options)

    def received(self, count):
        return self.tenant.wait_for_messages(count)


def wait_until(condition):
    end = time.monotonic() + STUCK
    while not condition():
        assert time.monotonic() < end, "too late"
        time.sleep(0.01)


def unit():
    """The directives of the service: {name: [value]}."""
    found = {}
    text = (UNITS / "sendmail365.service").read_text()
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.M):
        found.setdefault(name, []).append(value)
    return found


def why_not():
    """Why there can be no such host; None if there can."""
    if os.geteuid() != 0:
        return "only root can make a private root"
    for program in "strace", "systemd-sysusers", "systemd-socket-activate":
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


__all__ = ["ALERTS", "BOSS", "ENVIRONMENT", "EXCHANGE", "Host", "MESSAGE",
           "OUTSIDER", "STUCK", "TOP", "UNITS", "install", "unit", "wait_until",
           "why_not"]
