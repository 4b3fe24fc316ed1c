"""A Debian host that sends its mail with the packages of this tree."""
import os
import re
import shutil
import struct
import subprocess
import threading
from pathlib import Path

from roots import Root, base, layer

from fake365 import ALERTS, Tenant

BOSS = "boss@contoso.example"
CONFIG = "/etc/sendmail365/sendmail365.conf"
SECRET = "/etc/sendmail365/secrets/client-secret"
SPOOL = "/var/spool/sendmail365"
STATE = "/var/lib/sendmail365"
SOCKET = "/run/sendmail365/submit"
INIT = "/etc/init.d/sendmail365"
CREDENTIALS = "/run/credentials/sendmail365.service"
# What other programs of a host call, and whose it is.
NAMES = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq",
         "/usr/bin/newaliases"]
FRONT_END = "/usr/libexec/sendmail365/sendmail"
# The record of utmp(5) in which runlevel(8) finds what sysvinit has done.
RUNLEVEL_2 = struct.pack("hi376x", 1, ord("2") + 256 * ord("N"))


def why_not():
    """Why there can be no such host; None if there can."""
    if os.geteuid() != 0:
        return "only root can make a private root"
    for program in "mmdebstrap", "dpkg-buildpackage", "dh_apparmor":
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


def needs(deb):
    """The packages that one depends on, as apt-get wants them."""
    field = subprocess.run(
        ["dpkg-deb", "--field", deb, "Depends"], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    return [re.split(r"[ (|]", one)[0] for one in field.strip().split(", ")]


def dependencies(deb):
    """Layers of a host that has what the package depends on."""
    script = ("apt-get -q -y install --no-install-recommends " +
              " ".join(needs(deb)))
    return base(), layer("dependencies", script, base())


def with_callers():
    """Layers of a host with sysvinit, cron, PHP, systemd's programs (it does
    not run itself), and what the package depends on."""
    script = ("apt-get -q -y install --no-install-recommends cron php-cli "
              "systemd sysvinit-core libsasl2-modules ca-certificates "
              "libcurl4 libinih1 libjansson4")
    return base(), layer("callers", script, base())


class Host(Root):
    """A Root, and the tenant that its mail goes to."""

    def __init__(self, *layers, tenant=None, **options):
        super().__init__(*layers, **options)
        self.tenant = tenant or Tenant()
        self.services = []

    def __enter__(self):
        self.tenant.start()
        super().__enter__()
        subprocess.run(self.command(["cp", "/dev/stdin", "/run/utmp"]),
                       input=RUNLEVEL_2, check=True)
        return self

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        for service in self.services:
            service.wait()
        self.tenant.stop()

    # Packages

    def install(self, deb, *words, **options):
        """Install a package file by apt, as the README says."""
        path = f"/root/{Path(deb).name}"
        self.copy(deb, path)
        return self.apt("install", *words, path, **options)

    def status(self, package="sendmail365"):
        """dpkg's: 'installed', 'config-files', ... or ''."""
        done = self.run(["dpkg-query", "-Wf", "${db:Status-Status}", package],
                        check=False)
        return done.stdout.removeprefix("not-installed") if (
            done.returncode == 0) else ""

    def owner(self, path):
        """The package that a name belongs to; '' if none."""
        done = self.run(["dpkg", "-S", path], check=False)
        return done.stdout.split(":")[0] if done.returncode == 0 else ""

    def running(self):
        """The processes of ours.  Who has ended and is not buried yet is none,
        and others come and go meanwhile."""
        found = self.run("cat /proc/[0-9]*/stat 2>/dev/null || :").stdout
        return re.findall(
            r"(?m)^\d+ \(((?:sendmail|s365)[^)]*)\) [^ZX]", found)

    # What the administrator does

    def configure(self, more=""):
        """The four lines, what leads to the stand-in, and who root is."""
        tenant = self.tenant
        self.write(CONFIG, f"""\
[account]
user = {ALERTS}
tenant = {tenant.domain}
client_id = {tenant.client_id}
client_secret_file = secrets/client-secret
host = localhost
port = {tenant.smtp_port}
authority = {tenant.authority}
ca_file = ca.pem

[aliases]
root = {BOSS}
{more}""")
        self.write(SECRET, tenant.client_secret + "\n", mode=0o600)
        self.copy(tenant.ca_file, "/etc/sendmail365/ca.pem")

    def activate(self):
        """Have the service started by the first message, as systemd does.

        Its secrets are its own copies, as LoadCredential= makes them.
        """
        self.run(f"""
            mkdir -p {CREDENTIALS}
            cp {SECRET} {CREDENTIALS}/secrets_client-secret
            chown -R sendmail365: {CREDENTIALS}
            chmod 0400 {CREDENTIALS}/*; chmod 0500 {CREDENTIALS}""")
        service = self.start(
            "exec systemd-socket-activate "
            f"-l {SOCKET} -E CREDENTIALS_DIRECTORY={CREDENTIALS} "
            "setpriv --reuid=sendmail365 --regid=sendmail365 --clear-groups "
            "/usr/sbin/sendmail365 serve",
            stderr=subprocess.PIPE, text=True)
        self.services.append(service)
        line = service.stderr.readline()
        assert f"Listening on {SOCKET}" in line, line
        self.run(["chmod", "0666", SOCKET])  # SocketMode=
        threading.Thread(target=service.stderr.read, daemon=True).start()
        return service

    # What happens to mail

    def send(self, text, recipient="root", user=None):
        """`echo TEXT | sendmail RECIPIENT`."""
        return self.run(f"echo '{text}' | sendmail {recipient}", user=user)

    def received(self, count):
        """The bodies that have arrived, when they are so many."""
        assert self.tenant.wait_for_messages(count), self.tenant.dialogue()
        return [message.raw.decode().partition("\r\n\r\n")[2].strip()
                for message in self.tenant.messages]

    def queued(self):
        """How many messages wait."""
        return len(self.run(["find", f"{SPOOL}/queue", "-type", "f"]
                            ).stdout.split())


def changed(deb, version, folder):
    """The same package as another version of it."""
    tree = Path(folder) / version
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}",
                              control.read_text()))
    out = Path(folder) / f"sendmail365_{version}_all.deb"
    subprocess.run(["dpkg-deb", "-b", "-Znone", tree, out], check=True,
                   stdout=subprocess.DEVNULL)
    return out
