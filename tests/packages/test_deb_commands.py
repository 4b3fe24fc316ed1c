"""Each command that a maintainer script runs fails once: the script stops and
can be run again, or goes on to a whole state; and a line says what failed."""
import pytest

from debian import BOSS, SPOOL, STATE, Host, with_callers, why_not

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

INFO = "/var/lib/dpkg/info/sendmail365"
# In the place of each command: the first time that a maintainer script gives it
# these arguments it fails, but only one of them in a run.
SHIM = r"""#!/bin/sh
name=${0##*/}
read -r parent 2>/dev/null </proc/$PPID/comm
case $parent in
sendmail365.p*)
	if [ -e /run/armed ] && ! /bin/grep -Fqx -e "$name $*" /run/failed; then
		/bin/rm /run/armed
		echo "$name $*" >>/run/failed
		echo "$name: out of order" >&2
		exit 71
	fi
	;;
esac
exec "$(PATH=${PATH#*:} command -v "$name")" "$@"
"""
# For each word of the scripts that is a program, and not one of the shell's.
MAKE_SHIMS = rf"""
mkdir -p /usr/local/sbin
for word in $(grep -hv '^#' {INFO}.p* |
    grep -oE '[a-z][-._a-z0-9]*[a-z0-9]' | sort -u); do
	case $(command -v "$word") in
	/*) ln -s /root/shim "/usr/local/sbin/$word" ;;
	esac
done
"""
# Everything is there, whatever has failed on the way.
IS_WHOLE = rf"""
set -e
[ -z "$(dpkg --audit)" ]
[ "$(dpkg-query -Wf '${{db:Status-Status}}' sendmail365)" = installed ]
for folder in {SPOOL} {STATE}; do
	[ "$(stat -c '%a %U %G' $folder)" = '700 sendmail365 sendmail365' ]
done
ls /etc/rc2.d/S??sendmail365 /etc/rc6.d/K??sendmail365
"""


class Trouble(Host):
    """A host on which the package is unpacked, and commands fail."""

    def prepare(self, deb):
        self.copy(deb, "/root/sendmail365.deb")
        self.run(["dpkg", "--unpack", "/root/sendmail365.deb"])
        self.configure()
        # No service is started: what is tried is the scripts.
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        self.write("/root/shim", SHIM, 0o755)
        # A kernel with AppArmor.
        for name in "aa-enabled", "apparmor_parser":
            self.write(f"/usr/sbin/{name}", "#!/bin/sh\n", 0o755)
        self.run(f"touch /run/failed; {MAKE_SHIMS}")

    def fake_systemd(self):
        self.run("mkdir -p /run/systemd/system; rm /usr/sbin/policy-rc.d")
        self.write("/usr/bin/systemctl", "#!/bin/sh\n", 0o755)

    def trials(self, command, before="", **environment):
        """Run it as often as there is a command left to fail in it: that
        command, the exit status, and what was said, for each."""
        script = (f"rm -f /run/armed; {before}\n: >/run/armed; {command}\n"
                  "status=$?; echo failed: $("
                  "[ -e /run/armed ] || tail -n 1 /run/failed); exit $status")
        while True:
            done = self.run(script, check=False, **environment)
            said, _, line = done.stdout.strip().rpartition("failed:")
            line = line.strip()
            if not line:
                assert done.returncode == 0, said
                return
            if line not in SILENT:
                assert f"{line.split()[0]}: out of order" in said, line
            yield line, done.returncode, said


# Their failure means "no", and is asked for without a word.
SILENT = {"aa-enabled --quiet", "rmdir /etc/apparmor.d/disable",
          "rmdir /etc/apparmor.d/local", "rmdir /etc/apparmor.d"}
# debhelper's own, which it lets fail, and ours, of which is said what it means.
GO_ON = {"aa-enabled", "apparmor_parser", "deb-systemd-helper",
         "systemd-tmpfiles", "systemctl", "deb-systemd-invoke", "id",
         "sendmail365", "invoke-rc.d"}


@pytest.fixture
def host(debs):
    with Trouble(*with_callers()) as one:
        one.prepare(debs["sendmail365"])
        yield one


UNPACK = f"""
if [ -z "$(dpkg --audit)" ]; then
	rm -rf {SPOOL} {STATE} /etc/apparmor.d/local
	dpkg --unpack /root/sendmail365.deb >/dev/null 2>&1
fi
"""


def configure(host):
    """All that postinst runs; returns the names of what failed."""
    seen = set()
    for line, status, said in host.trials("dpkg --configure -a", UNPACK):
        name = line.split()[0]
        seen.add(name)
        assert (status == 0) == (name in GO_ON), (line, said)
        if status == 0:
            host.run(IS_WHOLE)
            if name in ("sendmail365", "invoke-rc.d") or (
                    "try-restart" in line):
                assert "sendmail365: not restarted" in said
        else:
            assert "dpkg: error processing package sendmail365" in said
            assert host.status() == "half-configured"
    host.run(IS_WHOLE)
    return seen


def test_configuration(host):
    assert configure(host) == {
        "systemd-sysusers", "dpkg-statoverride", "mkdir", "stat", "chown",
        "chmod", "dirname", "install", "update-rc.d"} | GO_ON - {
            "systemctl", "deb-systemd-invoke"}
    host.fake_systemd()
    assert configure(host) == {"systemctl", "deb-systemd-invoke"}
    host.run("rm /usr/local/sbin/*")
    host.send("all is well", BOSS)
    assert host.received(1) == ["all is well"]


INSTALL = """
case $(dpkg-query -Wf '${db:Status-Status}' sendmail365) in
unpacked | config-files) dpkg -i /root/sendmail365.deb >/dev/null 2>&1 ;;
esac
"""
FILL = f"""
mkdir -p {SPOOL}/queue {SPOOL}/failed {STATE} /var/log/sendmail365
touch {SPOOL}/queue/1 {SPOOL}/failed/2 {STATE}/token
"""
UNKNOWN = "the queue with messages that cannot be counted"


def remove(host):
    """All that a removal runs; returns which of it has stopped it."""
    seen = set()
    for line, status, said in host.trials(
            "dpkg --remove sendmail365", INSTALL + FILL):
        if status == 0:
            assert (UNKNOWN if line.startswith("find ") else
                    "the queue with 1 message ") in said
            assert host.status() == "config-files"
            assert host.exists(f"{SPOOL}/queue/1")
            continue
        seen.add(" ".join(line.split()[:2]))
        if " stop" in line:
            assert "sendmail365: not removed, because the service" in said
            host.run(IS_WHOLE)
        else:
            assert host.status() == "half-installed"
    assert host.status() == "config-files"
    return seen


def test_removal(host):
    assert remove(host) == {"invoke-rc.d sendmail365", "rm -rf", "rm -f"}
    host.fake_systemd()
    assert remove(host) == {"deb-systemd-invoke stop", "systemctl stop"}
    # And now for good.
    for line, status, said in host.trials(
            f"{INFO}.postrm purge", FILL,
            DPKG_MAINTSCRIPT_PACKAGE="sendmail365"):
        assert (status != 0) == line.startswith("update-rc.d "), (line, said)
        assert ("with messages that cannot be counted" if "printf" in line
                else "with 2 messages that were not sent") in said
        folder = line.split()[1].rstrip("/")
        if line.endswith("-delete"):
            assert f"not all of {folder} could be deleted" in said
        elif line.startswith(f"rmdir {folder}") and line not in SILENT:
            assert f"{folder} stays, and is empty" in said
        for path in {SPOOL, STATE} - {folder}:
            assert not host.exists(path)
    host.run(FILL)
    assert "with 2 messages" in host.run("dpkg --purge sendmail365").stdout
    assert host.status() == ""
