"""Each command that a scriptlet runs fails once: what is said about it is true
and names the cure, which mends it; mail is kept, and another MTA's names are."""
import re
import subprocess

import pytest

from debian import CONFIG, SPOOL, STATE
from redhat import FRONT, LINKS, POSTFIX, RedHat, why_not
from roots import TOP

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

NAMES = ["sendmail365", "sendmail365-client", "sendmail365-selinux"]
# In the place of each command: the first time that a scriptlet gives it these
# arguments it fails, but only one of them in a run.  alternatives is Debian's,
# and tells the mode of a group as Fedora's does.
SHIM = r"""#!/bin/sh
name=${0##*/}
PATH=/usr/sbin:/usr/bin
if [ -e /run/armed ] && ! grep -Fqxe "$name $*" /run/failed; then
	rm /run/armed
	echo "$name $*" >>/run/failed
	echo "$name: out of order" >&2
	exit 71
fi
case $* in
--display*) "$name" "$@" | sed 's/^mta - \([a-z]*\) mode$/mta - status is \1./' ;;
*) exec "$name" "$@" ;;
esac
"""
# systemd seems to run, and knows that nothing does; so does SELinux.
STAND_IN = r"""#!/bin/sh
echo "${0##*/} $*" >>/run/asked
"""
# For each word of the scriptlets that is a program, and not one of the shell's.
MAKE_SHIMS = r"""
mkdir /root/shims /run/systemd /run/systemd/system
mkdir -p /var/lib/selinux/targeted
for word in systemctl selinuxenabled semodule load_policy restorecon; do
	cp /root/stand-in "/usr/bin/$word"
done
for word in $(rpm -qp --scripts /root/*.rpm | grep -v '^ *#' |
    grep -oE '[a-z][-._a-z0-9]*[a-z0-9]' | sort -u); do
	case $(command -v "$word") in
	*/rpm | */sendmail) ;;
	/*) ln -s /root/shim "/root/shims/$word" ;;
	esac
done
: >/run/failed
"""
FILES = " ".join(f"/root/{name}.rpm" for name in NAMES)
INSTALL = f"rpm --nodeps -U --replacepkgs {FILES}"
UPGRADE = INSTALL.replace("/root/sendmail365-selinux.rpm", "")
ERASE = f"rpm --nodeps -e {' '.join(NAMES)}"
# Each only once, and whole.
INSTALLED = f"""
[ "$(rpm -qa 'sendmail365*' | wc -l)" = {len(NAMES)} ]
rpm -V --nodeps {' '.join(NAMES)}
"""
# Their failure means "no", and is asked for without a word.
SILENT = {"selinuxenabled"}
# What these say themselves is all; and where these fail, something else does.
SAYS_IT_ALL = ("systemctl --no-reload preset", "systemctl daemon-reload", "rm ")
GOES_ON = ("systemd-sysusers", "update-alternatives --display")


class Trouble(RedHat):
    """A host with the files of the packages, where commands fail."""

    def __init__(self):
        super().__init__(size="400m")

    def prepare(self, rpms):
        for name in NAMES:
            self.copy(rpms[name], f"/root/{name}.rpm")
        self.write("/root/shim", SHIM, 0o755)
        self.write("/root/stand-in", STAND_IN, 0o755)
        self.run(MAKE_SHIMS)

    def trials(self, command, before=":"):
        """Run it as often as there is a command left to fail in it: that
        command, the exit status, and what was said, for each."""
        rpm = ('rpm --define "_install_script_path '
               '/root/shims:/usr/sbin:/usr/bin" ')
        command = command.replace("rpm ", rpm, 1)
        script = (f"({before}) >/dev/null 2>&1; : >/run/asked; : >/run/armed\n"
                  f"{command}\nstatus=$?; echo failed: $("
                  "[ -e /run/armed ] || tail -n 1 /run/failed)\n"
                  "rm -f /run/armed; exit $status")
        while True:
            done = self.run(script, check=False)
            said, _, line = done.stdout.strip().rpartition("failed:")
            line = line.strip()
            if not line:
                assert done.returncode == 0, said
                return
            if line.split()[0] not in SILENT:
                assert f"{line.split()[0]}: out of order" in said
            yield line, done.returncode, said

    def asked(self):
        return self.read("/run/asked").splitlines()

    def cure(self, said):
        """Do what was said is to be done; returns it."""
        cures = re.findall(r"^sendmail365: .* run: (.+)$", said, re.M)
        for words in cures:
            words = words.replace("alternatives", "update-alternatives")
            words = words.replace("PATH", POSTFIX["/usr/sbin/sendmail"])
            self.run(re.sub(r"dnf reinstall (\S+)",
                            r"rpm --nodeps --reinstall /root/\1.rpm", words))
        return cures

    def forget(self):
        """Each command is to fail again."""
        self.write("/run/failed", "")

    def lead_to_nothing(self):
        """The names of an MTA that do."""
        return self.run(
            "for path in /etc/alternatives/mta* $*; do "
            '[ ! -h "$path" ] || [ -e "$path" ] || echo "$path"; done'
            .replace("$*", " ".join(LINKS))).stdout


@pytest.fixture(scope="module")
def host(rpms):
    with Trouble() as one:
        one.prepare(rpms)
        yield one


CLEAN = f"""
{ERASE}
update-alternatives --remove-all mta
userdel sendmail365
rm -rf {SPOOL} {STATE} {CONFIG}
"""


def test_installation(host):
    host.forget()
    seen = set()
    for line, status, said in host.trials(INSTALL, CLEAN):
        name = line.split()[0]
        seen.add(name)
        assert (status == 0) == (name != "systemd-sysusers")
        cures = host.cure(said)
        if name == "systemd-sysusers":
            assert "sendmail365: not installed, because its user " in said
            host.run(INSTALL)
        elif name == "update-alternatives":
            assert cures == ["dnf reinstall sendmail365-client"]
            assert "%post(sendmail365-client-" in said
        elif name in ("semodule", "load_policy", "restorecon"):
            assert cures == ["dnf reinstall sendmail365-selinux"]
            assert "%post(sendmail365-selinux-" in said
            assert "restorecon" in " ".join(host.asked())
        else:
            assert line.startswith(SAYS_IT_ALL) or name in SILENT
            assert cures == []
        # No other MTA is in use.
        assert "alternatives --set mta" not in said
        assert host.links() == LINKS and host.group() == ("auto", FRONT)
        assert host.describe(SPOOL) == "0700 sendmail365 sendmail365"
        host.run(INSTALLED)
    assert seen == {"systemd-sysusers", "update-alternatives", "systemctl",
                    "selinuxenabled", "semodule", "load_policy", "restorecon"}


FILL = (f"mkdir -p {SPOOL}/queue; echo one >{SPOOL}/queue/1; "
        f"echo token >{STATE}/token")
KEPT = f"find /etc/sendmail365 {SPOOL} {STATE} -type f | sort | xargs sha256sum"


def test_upgrade(host):
    """To the same version, which rpm treats as another: scriptlets of the new
    package are run before those of the old."""
    host.forget()
    host.run(f"{INSTALL}; {FILL}")
    host.configure()
    host.add_postfix()
    host.run(["update-alternatives", "--set", "mta", FRONT])
    before = host.run(KEPT).stdout
    assert before.count("\n") >= 5
    seen = set()
    for line, status, said in host.trials(UPGRADE):
        seen.add(" ".join(line.split()[:2]))
        assert status == 0
        assert host.run(KEPT).stdout == before
        assert host.links() == LINKS and host.group() == ("manual", FRONT)
        host.run(INSTALLED)
        asked = "\n".join(host.asked())
        assert not re.search("stop|disable|preset", asked)
        if "try-restart" in line:
            assert "sendmail365: the service could not be restarted" in said
        else:
            assert asked.endswith("systemctl try-restart sendmail365.service")
            assert host.cure(said) or line.startswith(SAYS_IT_ALL + GOES_ON)
    assert {"systemd-sysusers --replace=/usr/lib/sysusers.d/sendmail365.conf",
            "update-alternatives --install", "systemctl daemon-reload",
            "systemctl try-restart"} <= seen


@pytest.mark.parametrize("mode", [None, "manual", "ours"])
def test_erasure(host, mode):
    """Without another MTA, and where it or ours was chosen of two."""
    host.forget()
    postfix = POSTFIX["/usr/sbin/sendmail"]
    before = f"update-alternatives --remove-all mta; {INSTALL}; {FILL}"
    command = ERASE
    if mode:
        host.add_postfix()
        chosen = FRONT if mode == "ours" else postfix
        before = f"{INSTALL}; {FILL}; update-alternatives --set mta {chosen}"
        command = "rpm --nodeps -e sendmail365-client"
    seen = set()
    for line, status, said in host.trials(command, before):
        seen.add(" ".join(line.split()[:2]))
        assert status == 0
        cures = host.cure(said)
        assert host.lead_to_nothing() == ""
        if mode:
            assert host.links() == POSTFIX
            is_manual = mode == "manual" or "--display" in line
            assert host.group() == ("manual" if is_manual else "auto", postfix)
        else:
            assert host.links() == {} and host.group() is None
            may = "may keep" if line.startswith("find ") else "keeps"
            assert f"sendmail365: {SPOOL} {may} messages that were not" in said
            assert host.run("rpm -qa 'sendmail365*'").stdout == ""
        assert host.read(f"{SPOOL}/queue/1") == "one\n"
        # If ours is not the one in use, Debian's alternatives forgets it.
        assert len(cures) == 1 or line.startswith(
            ("find ", *SAYS_IT_ALL, *GOES_ON)) or line.split()[0] in SILENT or (
                "--remove" in line and mode == "manual")
    assert "update-alternatives --remove" in seen
    assert seen >= ({"update-alternatives --display"} if mode else
                    {"systemctl stop", "systemctl --no-reload", "semodule -n",
                     "systemctl daemon-reload", f"find {SPOOL}/queue"})
    assert (f"update-alternatives --{'set' if mode == 'manual' else 'auto'}"
            in seen) == bool(mode)
    assert ("readlink /etc/alternatives/mta" in seen) == (mode == "manual")


def scriptlet(name):
    """One of a Fedora whose /usr/sbin is /usr/bin."""
    text = subprocess.run(
        ["rpmspec", "-P", "--define", "_sbindir /usr/bin",
         TOP / "build/rpm/SPECS/sendmail365.spec"], check=True, text=True,
        stdout=subprocess.PIPE).stdout
    return re.search(rf"^%{name}\n(.*?)^%", text, re.M | re.S).group(1)


def test_a_machine_that_has_sbin_still(host):
    """An upgraded one, where others look for /usr/sbin/sendmail."""
    host.forget()
    host.run(CLEAN, check=False)
    files = " ".join({FRONT, *LINKS.values()})
    host.run(f"mkdir -p {FRONT.rpartition('/')[0]}; touch {files}; "
             "cd /root/shims; ln -s ../shim ln; ln -s ../shim rm")
    for name in "post", "postun":
        host.write(f"/root/{name}", scriptlet(f"{name} client"))
    run = "PATH=/root/shims:/usr/sbin:/usr/bin /bin/sh /root/"

    seen = []
    for line, status, said in host.trials(
            f"{run}post 1", "update-alternatives --remove-all mta; "
            "rm /usr/sbin/sendmail"):
        seen.append(line.split()[0])
        assert status == 1
        assert "run: dnf reinstall sendmail365-client" in said
        host.run("sh /root/post 2")
        assert host.run("readlink -f /usr/sbin/sendmail").stdout.strip() == FRONT
    assert seen == ["update-alternatives", "ln"]

    seen = []
    for line, status, said in host.trials(
            f"{run}postun 0", f"touch {files}; sh /root/post 1; rm {files}"):
        seen.append(line.split()[0])
        assert status == 0
        cures = host.cure(said)
        assert bool(cures) == (seen[-1] == "update-alternatives")
        left = host.lead_to_nothing().split()
        assert left == (["/usr/sbin/sendmail"] if seen[-1] == "rm" else [])
    assert seen == ["update-alternatives", "rm"]
