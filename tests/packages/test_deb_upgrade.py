"""Upgrade, remove, purge, reinstall, and others' packages in its place."""
import re

import pytest

from debian import (
    BOSS, CONFIG, FRONT_END, INIT, NAMES, SECRET, SPOOL, STATE, Host, changed,
    dependencies, with_callers, why_not)
from fake365 import Rule, Scenario
from roots import layer

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

LATER = Scenario(Rule("mail", "reply", "451 4.3.2 try again later"))


@pytest.fixture
def old(debs, tmp_path):
    """A host that runs the previous version, with messages in its queue."""
    with Host(*with_callers()) as host:
        host.install(changed(debs["sendmail365"], "0.0.9", tmp_path))
        host.configure()
        host.run([INIT, "start"])
        host.send("sent before")
        host.received(1)
        host.tenant.scenario = LATER
        for number in range(5):
            host.send(f"waiting {number}")
        yield host
        host.run([INIT, "stop"], check=False)


def kept(host):
    """What must be the same after an upgrade: configuration, tokens, mail.

    Not the counts of what was sent, and not a file's name in the queue, which
    has the time of the next attempt.
    """
    return host.run(
        f"find /etc/sendmail365 {STATE} {SPOOL}/queue -type f "
        "! -name 'limits-*' | xargs -d '\n' sha256sum | cut -d ' ' -f 1 | sort"
    ).stdout


def pid(host):
    return host.run([INIT, "status"]).stdout and host.read(
        "/run/sendmail365.pid").strip()


def assert_all_arrive(host):
    host.tenant.scenario = Scenario()
    host.run(["sendmail", "-q"])
    bodies = host.received(6)
    assert sorted(bodies) == ["sent before"] + [
        f"waiting {number}" for number in range(5)]
    assert len(host.tenant.token_requests) == 1, "the token was lost"


def test_upgrade_loses_nothing(old, debs):
    before, first = kept(old), pid(old)
    said = old.install(debs["sendmail365"]).stdout
    assert "sendmail365: " not in re.sub(r"(?m)^.*(\d|\.deb).*$", "", said)
    assert kept(old) == before
    assert pid(old) != first, "the old program still runs"
    assert_all_arrive(old)
    assert old.tenant.wait_for(lambda: old.queued() == 0)


def test_broken_configuration_leaves_the_old_service(old, debs):
    right = old.read(CONFIG)
    old.write(CONFIG, right + "\n[quue]\nlifetime = 5d\n")
    before, first = kept(old), pid(old)
    # One of root's own is not the service's.
    own = "/root/.config/sendmail365/sendmail365.conf"
    old.run(["mkdir", "-p", "/root/.config/sendmail365"])
    old.write(own, right)
    said = old.install(debs["sendmail365"]).stdout
    old.run(["rm", own])
    line, = [one for one in said.splitlines() if "not restarted" in one]
    assert line.startswith("sendmail365: ")
    assert f"{CONFIG}:14: unknown section [quue]" in line
    assert line.endswith("then run: service sendmail365 restart")
    assert old.status() == "installed"
    assert (kept(old), pid(old)) == (before, first)
    # It takes and sends mail as before.
    old.tenant.scenario = Scenario()
    old.send("after", user="www-data")
    old.run(["sendmail", "-q"])
    assert "after" in old.received(7)
    old.write(CONFIG, right)
    old.run(["service", "sendmail365", "restart"])
    assert pid(old) != first


def test_upgrade_of_a_stopped_service_with_broken_configuration(old, debs):
    old.run([INIT, "stop"])
    right = old.read(CONFIG)
    old.write(CONFIG, "not a configuration\n")
    before = kept(old)
    said = old.install(debs["sendmail365"]).stdout
    assert "refuses the configuration" in said
    assert old.status() == "installed" and kept(old) == before
    done = old.run("echo new | sendmail root", check=False)
    assert done.returncode == 78 and f"{CONFIG}:1: " in done.stdout
    old.write(CONFIG, right)
    old.run([INIT, "start"])
    assert_all_arrive(old)


def test_remove_keeps_and_reinstall_goes_on(old, debs):
    before = kept(old)
    said = old.apt("remove", "sendmail365").stdout
    assert f"keeping {SPOOL}, the queue with 5 messages" in said
    assert old.status() == "config-files"
    assert kept(old) == before
    assert old.running() == []
    for name in NAMES:
        assert not old.exists(name)
    old.install(debs["sendmail365"])
    old.run([INIT, "status"])  # it was started
    assert_all_arrive(old)


def test_a_queue_of_another_number_is_the_services_again(old, debs):
    old.apt("remove", "sendmail365")
    old.run("userdel sendmail365 && useradd --system somebody-else")
    said = old.install(debs["sendmail365"]).stdout
    assert "Creating user 'sendmail365'" in said
    strangers = ["find", SPOOL, STATE, "!", "-user", "sendmail365"]
    assert old.run(strangers).stdout == ""
    assert_all_arrive(old)


def test_who_comes_between_stop_and_start_keeps_their_mail(old):
    old.run([INIT, "stop"])
    done = old.run("echo early | sendmail root", user="www-data", check=False)
    assert done.returncode == 75
    assert SECRET in done.stdout and "service sendmail365 restart" in done.stdout


def test_made_by_hand_before(debs):
    """A host from before there were packages."""
    with Host(*with_callers()) as host:
        host.run("useradd --system sendmail365; mkdir -p /etc/sendmail365; "
                 "cp /bin/false /usr/sbin/sendmail; cd /usr/lib; "
                 "ln -s ../sbin/sendmail sendmail")
        host.run("mkdir -m 0700 /etc/sendmail365/secrets")
        host.configure()
        host.run("cd /etc/sendmail365; mv secrets/client-secret .; "
                 "sed -i s,secrets/,, sendmail365.conf")
        said = host.install(debs["sendmail365"]).stdout
        assert host.status() == "installed"
        assert host.run(["realpath", *NAMES]).stdout.split() == [FRONT_END] * 4
        # It says what to do, and that works.
        assert ("move it into /etc/sendmail365/secrets/, write "
                "secrets/client-secret into the configuration") in said
        host.run("cd /etc/sendmail365; mv client-secret secrets/; "
                 "sed -i s,client-secret$,secrets/client-secret, "
                 "sendmail365.conf")
        host.run(["service", "sendmail365", "restart"])
        host.send("as before", user="www-data")
        assert host.received(1) == ["as before"]


def everything(host):
    """All names of the host but what apt and dpkg keep for themselves."""
    others = ["/proc", "/dev", "/tmp", "/root", "/var/lib/dpkg", "/var/lib/apt",
              "/var/cache", "/var/log/dpkg.log", "/var/log/apt"]
    words = " -o ".join(f"-path {path}" for path in others)
    return set(host.run(
        f"find / '(' {words} ')' -prune -o -print").stdout.splitlines())


def test_purge_leaves_what_the_administrator_wrote(debs, tmp_path):
    with Host(*with_callers()) as host:
        before = everything(host)
        host.install(debs["sendmail365"])
        host.configure()
        host.run([INIT, "start"])
        host.send("one")
        host.received(1)
        host.tenant.scenario = LATER
        host.send("two")
        host.send("three")
        said = host.apt("purge", "sendmail365").stdout
        assert (f"sendmail365: deleting {SPOOL}: the queue, with 2 messages "
                "that were not sent\n") in said
        assert f"sendmail365: deleting {STATE}: access tokens" in said
        assert host.status() == ""
        written = {CONFIG, SECRET, "/etc/sendmail365/ca.pem"}
        folders = {"/etc/sendmail365", "/etc/sendmail365/secrets"}
        account = {f"/etc/{name}-" for name in (
            "passwd", "group", "shadow", "gshadow")}
        left = everything(host) - before
        assert written | folders <= left
        assert left - written - folders - account == set()
        # The user stays, locked.
        assert host.run(["id", "-un", "sendmail365"]).stdout.strip()
        # And back again: what was written is still right.
        host.tenant.scenario = Scenario()
        host.install(debs["sendmail365"])
        host.send("again")
        assert host.received(2)[-1] == "again"


def test_purge_of_an_empty_queue_does_not_alarm(debs):
    with Host(*dependencies(debs["sendmail365"])) as host:
        host.install(debs["sendmail365"])
        said = host.apt("purge", "sendmail365").stdout
        assert f"deleting {SPOOL}: the queue, which is empty\n" in said
        assert not host.exists("/etc/sendmail365")


def test_purge_deletes_behind_a_link_and_in_a_mount(debs):
    with Host(*dependencies(debs["sendmail365"])) as host:
        host.run(f"mkdir -m 0700 /srv/spool {STATE}; ln -s /srv/spool {SPOOL}; "
                 f"mount -t tmpfs tmpfs {STATE}")
        host.install(debs["sendmail365"])
        for folder in "/srv/spool", STATE:
            assert host.describe(folder) == "0700 sendmail365 sendmail365"
        host.run(f"mkdir {SPOOL}/queue; touch {SPOOL}/queue/1 {STATE}/token")
        said = host.apt("purge", "sendmail365").stdout
        assert f"deleting {SPOOL}: the queue, with 1 message " in said
        assert f"{STATE} stays, and is empty\n" in said
        assert host.status() == ""
        assert host.run(["find", "/srv/spool", STATE, "-mindepth", "1"]
                        ).stdout == ""
        assert not host.exists(SPOOL)


def test_no_copy_of_a_secret_outlives_a_removal(debs):
    with Host(*with_callers()) as host:
        host.install(debs["sendmail365"])
        host.configure()
        host.run([INIT, "start"])
        copy = "/run/sendmail365-credentials/secrets_client-secret"
        assert host.exists(copy)
        # A machine that lets no package stop a service.
        host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        number = pid(host)
        said = host.apt("remove", "sendmail365").stdout
        assert not host.exists(copy.rpartition("/")[0])
        # It says so, and how to end it.
        assert "sendmail365: the service still runs" in said
        line = re.search(r"to end it, run: (kill \d+)\n", said)[1]
        assert line == f"kill {number}"
        host.run(f"{line}; tail --pid={number} -f /dev/null")
        # No word of it the next time, nor of a number that is another's now.
        host.install(debs["sendmail365"])
        host.run("echo 1 >/run/sendmail365.pid")
        assert "still runs" not in host.apt("remove", "sendmail365").stdout
        assert not host.exists("/run/sendmail365.pid")


def with_mta(deb, name):
    """Layers of a host on which another package sends mail."""
    below = dependencies(deb)
    script = f"apt-get -q -y install --no-install-recommends {name}"
    return (*below, layer(name, script, *below))


@pytest.mark.parametrize(
    "name", ["msmtp-mta", "nullmailer", "dma", "postfix"])
def test_takes_the_place_of(debs, name):
    with Host(*with_mta(debs["sendmail365"], name)) as host:
        said = host.install(debs["sendmail365"]).stdout
        assert "1 newly installed, 1 to remove" in said
        assert host.status() == "installed"
        assert host.status(name) in ("config-files", "")
        for link in NAMES:
            assert host.owner(link) == "sendmail365"
            assert host.run(["realpath", link]).stdout.strip() == FRONT_END
        assert host.run(["dpkg", "--audit"]).stdout == ""
        host.configure()
        host.send("now through us", BOSS)
        assert host.received(1) == ["now through us"]


def test_gives_its_place_to_nullmailer_and_comes_back(debs):
    deb = debs["sendmail365"]
    with Host(*dependencies(deb)) as host:
        host.install(deb)
        host.configure()
        said = host.apt("install", "--no-install-recommends",
                        "nullmailer").stdout
        assert re.search(r"\d newly installed, 1 to remove", said)
        assert host.status() == "config-files"
        assert host.owner("/usr/sbin/sendmail") == "nullmailer"
        assert host.run(["dpkg", "--audit"]).stdout == ""
        host.install(deb)
        assert host.status("nullmailer") == "config-files"
        host.send("back", BOSS)
        assert host.received(1) == ["back"]
