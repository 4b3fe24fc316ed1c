"""Installation at bad moments: no network, a full disk, a sudden end."""
import pytest

from debian import (
    BOSS, INIT, SPOOL, STATE, Host, dependencies, with_callers, why_not)
from roots import base

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))


def assert_works(host):
    assert host.status() == "installed"
    assert host.run(["dpkg", "--audit"]).stdout == ""
    for folder in SPOOL, STATE:
        assert host.describe(folder) == "0700 sendmail365 sendmail365"
    host.configure()
    host.send("all is well", BOSS)
    assert host.received(1) == ["all is well"]


def test_without_network(debs):
    deb = debs["sendmail365"]
    with Host(base()) as host:
        # The packages are at hand, as on a medium.
        host.install(deb, "--download-only")
        said = host.install(deb, offline=True).stdout
        assert "Setting up sendmail365 " in said
        assert_works(host)


def test_full_disk_says_so_and_is_mended(debs):
    deb = debs["sendmail365"]
    with Host(*dependencies(deb), size="160m") as host:
        host.copy(deb, "/root/sendmail365.deb")
        host.run("cat /dev/zero >/filler 2>/dev/null; "
                 "truncate -s -300K /filler", check=False)
        done = host.run(["dpkg", "-i", "/root/sendmail365.deb"], check=False)
        assert done.returncode != 0
        assert "No space left on device" in done.stdout
        assert host.status() != "installed"
        host.run(["rm", "/filler"])
        host.run(["dpkg", "--configure", "-a"])
        host.apt("-f", "install")
        host.install(deb)
        assert_works(host)


# In the place of a program that postinst runs: dpkg and postinst die at once.
KILL = r"""#!/bin/sh
rm "$0"
dpkg=$(sed -n 's/^PPid:\t//p' "/proc/$PPID/status")
[ "$dpkg" -gt 1 ] && kill -9 "$PPID" "$dpkg"
"""


def test_killed_while_it_is_configured(debs):
    with Host(*dependencies(debs["sendmail365"])) as host:
        host.copy(debs["sendmail365"], "/root/sendmail365.deb")
        host.run("mkdir -p /usr/local/sbin")
        for moment in ("systemd-sysusers", "dpkg-statoverride", "mkdir",
                       "update-rc.d"):
            host.run(["dpkg", "--purge", "sendmail365"])
            host.write(f"/usr/local/sbin/{moment}", KILL, mode=0o755)
            done = host.run(["dpkg", "-i", "/root/sendmail365.deb"],
                            check=False)
            assert done.returncode != 0, done.stdout
            assert not host.exists(f"/usr/local/sbin/{moment}")
            assert host.status() == "half-configured"
            host.run(["dpkg", "--configure", "-a"])
            assert host.status() == "installed"
        assert_works(host)


def test_killed_while_it_is_unpacked(debs):
    with Host(*dependencies(debs["sendmail365"])) as host:
        host.copy(debs["sendmail365"], "/root/sendmail365.deb")
        host.run(["dpkg", "--unpack", "/root/sendmail365.deb"])
        assert host.status() == "unpacked"
        host.run(["dpkg", "--configure", "-a"])
        assert_works(host)


@pytest.mark.parametrize("layers", ["with systemd-tmpfiles", "without"])
def test_statoverride_is_respected(debs, layers):
    deb = debs["sendmail365"]
    with Host(*(with_callers() if layers.startswith("with ")
                else dependencies(deb))) as host:
        host.install(deb)
        host.run(["dpkg-statoverride", "--update", "--add", "sendmail365",
                  "adm", "0700", SPOOL])
        host.run(["dpkg-statoverride", "--update", "--add", "sendmail365",
                  "#4", "0710", STATE])

        def is_respected():
            return (host.describe(SPOOL) == "0700 sendmail365 adm" and
                    host.describe(STATE) == "0710 sendmail365 adm")

        host.install(deb, "--reinstall")
        assert is_respected()
        # It also holds for a folder that is made anew.
        host.run(["rmdir", SPOOL, STATE])
        host.install(deb, "--reinstall")
        assert is_respected()
        # And when the service starts, which can use them.
        host.configure()
        host.run([INIT, "start"])
        assert is_respected()
        host.send("all is well", BOSS)
        assert host.received(1) == ["all is well"]
        host.run([INIT, "stop"])
        assert is_respected()


# What dpkg does with us when a package that conflicts with ours, and replaces
# it, cannot be unpacked after all.
OTHER = """
mkdir -p /tmp/other/DEBIAN
cat >/tmp/other/DEBIAN/control <<-'END'
	Package: other
	Version: 1
	Architecture: all
	Maintainer: nobody <nobody@example.com>
	Conflicts: sendmail365
	Replaces: sendmail365
	Description: another mailer
END
printf '#!/bin/sh\nexit 1\n' >/tmp/other/DEBIAN/preinst
chmod 0755 /tmp/other/DEBIAN/preinst
dpkg-deb -b -Znone /tmp/other /tmp/other.deb
"""


def test_service_goes_on_if_another_mailer_does_not_come(debs):
    with Host(*with_callers()) as host:
        host.install(debs["sendmail365"])
        host.configure()
        host.run([INIT, "start"])
        host.run(OTHER)
        done = host.run(["dpkg", "-i", "-B", "/tmp/other.deb"], check=False)
        assert done.returncode != 0
        assert "considering removing sendmail365 in favour of" in done.stdout
        assert host.status() == "installed"
        assert host.status("other") == ""
        host.run([INIT, "status"])
        host.send("all is well", user="www-data")
        assert host.received(1) == ["all is well"]
        host.run([INIT, "stop"])


def test_all_scripts_can_run_twice(debs):
    with Host(*dependencies(debs["sendmail365"])) as host:
        host.install(debs["sendmail365"])
        info = "/var/lib/dpkg/info/sendmail365"
        for _ in range(2):
            host.run([f"{info}.postinst", "configure", ""])
            host.run([f"{info}.postinst", "abort-remove"])
            host.run([f"{info}.prerm", "upgrade", "9"])
        assert_works(host)
        for words in ["remove"], ["remove"], ["purge"], ["purge"]:
            host.run([f"{info}.postrm", *words])
        assert not host.exists(SPOOL) and not host.exists(STATE)


def test_service_is_not_run_as_the_installation_is(debs):
    """eatmydata's fsync does nothing."""
    with Host(*with_callers()) as host:
        host.install(debs["sendmail365"])
        host.configure()
        for words in [INIT, "start"], [INIT, "restart"]:
            host.run(["env", "LD_PRELOAD=libm.so.6", "LD_LIBRARY_PATH=/srv",
                      *words])
            number = host.read("/run/sendmail365.pid").strip()
            assert host.read(f"/proc/{number}/comm") == "sendmail365\n"
            assert "LD_" not in host.read(f"/proc/{number}/environ")
        host.run([INIT, "stop"])


def test_another_root_is_purged_and_not_this_one(debs):
    with Host(*with_callers()) as host:
        host.install(debs["sendmail365"])
        other = {"DPKG_ROOT": "/srv", "DPKG_MAINTSCRIPT_PACKAGE": "sendmail365"}
        wanted = "/etc/systemd/system/sockets.target.wants/sendmail365.socket"
        host.run("mkdir -p /srv/lib/systemd/system; "
                 "cp /lib/systemd/system/sendmail365.* /srv/lib/systemd/system; "
                 "deb-systemd-helper enable sendmail365.socket "
                 f"&& test -L /srv{wanted}", **other)
        host.run(f"mkdir -p /srv{SPOOL}/queue /srv{STATE}; "
                 f"touch /srv{SPOOL}/queue/1")
        info = "/var/lib/dpkg/info/sendmail365"
        host.run([f"{info}.postrm", "remove"], **other)
        assert host.describe(INIT) == "0755 root root"
        said = host.run([f"{info}.postrm", "purge"], **other).stdout
        assert f"deleting /srv{SPOOL}: the queue, with 1 message " in said
        assert not host.exists(f"/srv{SPOOL}")
        assert host.run(["test", "-L", f"/srv{wanted}"], check=False).returncode
        host.run(["test", "-L", wanted])
        assert_works(host)
