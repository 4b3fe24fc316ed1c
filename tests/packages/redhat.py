"""A host that sends its mail with the rpm packages of this tree.

rpm is that of Debian, and so are libraries and programs around it: what the
packages depend on is there, but under names that rpm does not know.
"""
import shutil

from debian import Host, base, layer
from debian import why_not as why_not_debian

CONTENTS = ("apt-get -q -y install --no-install-recommends rpm systemd "
            "libsasl2-modules ca-certificates libcurl4 libinih1 libjansson4")
#: alternatives' names, and what they lead to in our package
MAN = "/usr/share/man"
FRONT = "/usr/libexec/sendmail365/sendmail"
LINKS = {
    "/usr/sbin/sendmail": FRONT,
    "/usr/lib/sendmail": FRONT,
    "/usr/bin/mailq": FRONT,
    "/usr/bin/newaliases": FRONT,
    f"{MAN}/man8/sendmail.8.gz": f"{MAN}/man8/sendmail.sendmail365.8.gz",
    f"{MAN}/man1/mailq.1.gz": f"{MAN}/man1/mailq.sendmail365.1.gz",
    f"{MAN}/man1/newaliases.1.gz":
        f"{MAN}/man1/newaliases.sendmail365.1.gz",
}
NAMES = {
    "/usr/sbin/sendmail": "mta",
    "/usr/lib/sendmail": "mta-sendmail",
    "/usr/bin/mailq": "mta-mailq",
    "/usr/bin/newaliases": "mta-newaliases",
    f"{MAN}/man8/sendmail.8.gz": "mta-sendmailman",
    f"{MAN}/man1/mailq.1.gz": "mta-mailqman",
    f"{MAN}/man1/newaliases.1.gz": "mta-newaliasesman",
}
POSTFIX = {link: f"{link}.postfix" for link in LINKS}

# systemctl that only says what it was asked, as if systemd ran.
SYSTEMCTL = '#!/bin/sh\necho "$*" >>/run/systemctl.log\n'


def why_not():
    """Why there can be no such host; None if there can."""
    for program in "rpmbuild", "semodule_package", "faketime":
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return why_not_debian()


class RedHat(Host):
    """A Host of a tenant, with rpm."""

    def __init__(self, **options):
        super().__init__(base(), layer("rpm", CONTENTS, base()), **options)

    def rpm(self, *arguments, **options):
        return self.run(["rpm", "--nodeps", *arguments], **options)

    def add(self, *packages, how="-U", **options):
        """Install or upgrade package files; returns what was said."""
        names = []
        for package in packages:
            self.copy(package, f"/root/{package.name}")
            names.append(f"/root/{package.name}")
        return self.rpm(how, *names, **options).stdout

    def fake_systemd(self):
        """From now on systemd seems to run, and is asked for nothing yet."""
        self.run(["mkdir", "-p", "/run/systemd/system"])
        self.write("/usr/bin/systemctl", SYSTEMCTL, mode=0o755)
        self.write("/run/systemctl.log", "")

    def asked(self):
        """What systemctl was asked since the last time."""
        lines = self.read("/run/systemctl.log").splitlines()
        self.write("/run/systemctl.log", "")
        return lines

    def links(self):
        """Where the names of an MTA lead: {name: path}."""
        done = self.run(
            f"for name in {' '.join(LINKS)}; do [ ! -e $name ] || "
            "echo $name $(readlink -f $name); done")
        return dict(line.split() for line in done.stdout.splitlines())

    def add_postfix(self):
        """Another MTA, registered as Fedora's postfix is."""
        words = []
        for link, path in POSTFIX.items():
            self.run(f"mkdir -p {path.rpartition('/')[0]}")
            self.write(path, "#!/bin/sh\necho postfix\n", mode=0o755)
            words += (["--install", link, "mta", path, "60"]
                      if NAMES[link] == "mta" else
                      ["--slave", link, NAMES[link], path])
        self.write("/usr/bin/rmail.postfix", "", mode=0o755)
        words += ["--slave", "/usr/bin/rmail", "mta-rmail",
                  "/usr/bin/rmail.postfix"]
        self.run(["update-alternatives", *words])

    def group(self):
        """(mode of the group "mta", chosen path); None if there is none."""
        done = self.run(["update-alternatives", "--query", "mta"],
                        check=False)
        if done.returncode != 0:
            return None
        fields = dict(line.split(": ", 1) for line in done.stdout.splitlines()
                      if line.startswith(("Status: ", "Value: ")))
        return fields["Status"], fields["Value"]
