"""The rpm packages on a host, from install to erase, beside another MTA."""
import re
import subprocess

import pytest

from debian import BOSS, CONFIG, CREDENTIALS, SECRET, SOCKET, SPOOL, STATE
from fake365 import Rule, Scenario
from redhat import FRONT, LINKS, POSTFIX, RedHat, why_not
from roots import TOP

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

LATER = Scenario(Rule("mail", "reply", "451 4.3.2 try again later"))
UNITS = "sendmail365.socket sendmail365.service"


def build(directory, version):
    """The packages of this tree as another version."""
    archive = next((TOP / "build/rpm/SOURCES").iterdir())
    subprocess.run(["tar", "-C", directory, "-xf", archive], check=True)
    [tree] = directory.iterdir()
    changelog = tree / "packaging/debian/changelog"
    changelog.write_text(re.sub(r"\(.*\)", f"({version})",
                                changelog.read_text(), count=1))
    done = subprocess.run([tree / "packaging/rpm/build", "--nocheck"],
                          check=True, text=True, stdout=subprocess.PIPE)
    return [tree / line for line in done.stdout.split()
            if ".src." not in line and "-selinux-" not in line]


@pytest.fixture(scope="module")
def old(rpms, tmp_path_factory):
    """A version before this one."""
    return build(tmp_path_factory.mktemp("old"), "0.0.9")


@pytest.fixture
def new(rpms):
    return [rpms["sendmail365-client"], rpms["sendmail365"]]


@pytest.fixture
def host():
    with RedHat() as one:
        yield one


def test_clean_machine(host, rpms, new):
    said = host.add(*new, rpms["sendmail365-selinux"], how="-i")
    assert said.endswith(
        "sendmail365: no mail is sent yet; to configure and start it, run:\n"
        f"    sendmail365 setup\n    systemctl enable --now {UNITS}\n")
    for name in ("sendmail365", "sendmail365-client", "sendmail365-selinux"):
        # Links that alternatives has made count as what was promised.
        assert host.run(["rpm", "-V", "--nodeps", name]).stdout == ""
    assert host.links() == LINKS
    assert host.group() == ("auto", FRONT)
    for folder in SPOOL, STATE:
        assert host.describe(folder) == "0700 sendmail365 sendmail365"
    assert host.describe(SECRET.rpartition("/")[0]) == "0700 root root"
    account = host.run(["getent", "passwd", "sendmail365"]).stdout
    assert account.strip().endswith(f":{SPOOL}:/usr/sbin/nologin")
    assert host.run(["getent", "shadow", "sendmail365"]
                    ).stdout.split(":")[1].startswith("!")
    assert "0.1" in host.run(["sendmail365", "--version"]).stdout
    # The caller is told what is missing, and keeps its mail.
    done = host.run("echo hello | sendmail root", check=False)
    assert done.returncode in (75, 78) and "sendmail365.conf" in done.stdout


READ = """
while IFS= read -r path; do
	if [ -d "$path" ]; then
		[ -x "$path" ] || [ -r "$path" ] || continue
	else
		head -c 1 "$path" >/dev/null 2>&1 || continue
	fi
	echo "$path"
done
"""


def test_mail_is_sent_and_nobody_reads_what_is_not_theirs(host, new):
    host.add(*new)
    host.configure()
    host.run(["sendmail365", "check"])
    host.activate()
    host.send("from root")
    host.send("from www-data", BOSS, user="www-data")
    assert sorted(host.received(2)) == ["from root", "from www-data"]
    host.tenant.scenario = LATER
    host.send("kept")
    assert host.queued() == 1
    assert "1 Request" in host.run("mailq").stdout
    folders = [SECRET.rpartition("/")[0], SPOOL, STATE, CREDENTIALS]
    paths = host.run(["find", *folders]).stdout
    for folder in folders:
        assert f"{folder}/" in paths, f"nothing is in {folder}"
    assert host.run(READ, user="www-data", input=paths).stdout == ""
    # And the test can tell.
    known = "/etc/passwd\n/etc\n"
    assert host.run(READ, user="www-data", input=known).stdout == known


def test_a_mail_server_that_works_is_not_displaced(host, new):
    host.add_postfix()
    said = host.add(*new)
    assert f"alternatives --set mta {FRONT}\n" in said
    assert host.links() == POSTFIX
    # There ...
    host.run(["update-alternatives", "--set", "mta", FRONT])
    assert host.links() == LINKS
    assert not host.exists("/usr/bin/rmail")
    done = host.run("echo hello | sendmail root", check=False)
    assert done.returncode in (75, 78) and "sendmail365.conf" in done.stdout
    # ... and back.
    host.run(["update-alternatives", "--set", "mta", POSTFIX[
        "/usr/sbin/sendmail"]])
    assert host.links() == POSTFIX
    assert host.run("sendmail").stdout == "postfix\n"


@pytest.mark.parametrize("mode", ["auto", "manual", "ours"])
def test_another_mta_keeps_its_links_when_we_go(host, new, mode):
    host.add_postfix()
    host.add(*new)
    postfix = POSTFIX["/usr/sbin/sendmail"]
    if mode != "auto":
        host.run(["update-alternatives", "--set", "mta",
                  FRONT if mode == "ours" else postfix])
    host.rpm("-e", "sendmail365", "sendmail365-client")
    assert host.links() == POSTFIX
    assert host.exists("/usr/bin/rmail")
    assert host.group() == ("manual" if mode == "manual" else "auto", postfix)


def stop(host, service):
    """End the service, as systemd does before or after an upgrade."""
    host.run("kill $(grep -lx sendmail365 /proc/[0-9]*/comm | cut -d/ -f3)")
    service.wait()


def fill(host):
    """A configured host whose messages wait."""
    host.configure()
    host.tenant.scenario = LATER
    service = host.activate()
    for text in "one", "two", "three":
        host.send(text)
    assert host.queued() == 3
    stop(host, service)


def kept(host):
    """All that an upgrade must not touch, as one text."""
    return host.run(f"find /etc/sendmail365 {SPOOL} {STATE} -type f "
                    "| sort | xargs -d '\\n' sha256sum").stdout


def deliver(host):
    host.tenant.scenario = Scenario()
    host.activate()
    host.run("sendmail -q")
    assert sorted(host.received(3)) == ["one", "three", "two"]
    assert host.tenant.wait_for(lambda: host.queued() == 0)


def test_upgrade_keeps_everything(host, old, new):
    host.add_postfix()
    host.add(*old)
    assert "0.0.9" in host.run(["sendmail365", "--version"]).stdout
    host.run(["update-alternatives", "--set", "mta", FRONT])
    fill(host)
    before = kept(host)
    assert before.count("\n") >= 6
    host.fake_systemd()
    assert "sendmail365:" not in host.add(*new)
    assert "0.0.9" not in host.run(["sendmail365", "--version"]).stdout
    asked = host.asked()
    assert "try-restart sendmail365.service" in asked
    assert asked.index("daemon-reload") < asked.index(
        "try-restart sendmail365.service")
    assert not re.search("stop|disable|preset", "\n".join(asked))
    assert kept(host) == before
    assert host.group() == ("manual", FRONT) and host.links() == LINKS
    deliver(host)


def test_upgrade_with_a_broken_configuration_restarts_nothing(host, old, new):
    host.add(*old)
    fill(host)
    host.run(f"echo '[nonsense]' >>{CONFIG}")
    before = kept(host)
    host.fake_systemd()
    said = host.add(*new)
    assert "sendmail365: not restarted, because this version refuses" in said
    assert f"{CONFIG}:" in said
    assert "try-restart" not in " ".join(host.asked())
    assert kept(host) == before


def test_erase_and_reinstall(host, new):
    host.fake_systemd()
    host.add(*new)
    assert host.asked()[0] == f"--no-reload preset {UNITS}"
    fill(host)
    before = kept(host)
    host.asked()
    said = host.rpm("-e", "sendmail365", "sendmail365-client").stdout
    assert f"sendmail365: {SPOOL} keeps messages that were not sent" in said
    assert host.asked() == [f"--no-reload disable {UNITS}", f"stop {UNITS}",
                            "daemon-reload"]
    assert kept(host) == before
    assert host.describe(SPOOL) == "0700 sendmail365 sendmail365"
    assert host.links() == {} and host.group() is None
    left = host.run("find /usr /etc -path '*sendmail365*' -not "
                    "-path '/etc/sendmail365*'").stdout
    assert left == ""
    host.add(*new)
    assert host.describe(SPOOL) == "0700 sendmail365 sendmail365"
    deliver(host)


def test_client_shares_the_socket(rpms, new, tmp_path):
    shared = tmp_path, "/run/sendmail365"
    tmp_path.chmod(0o755)
    with RedHat(shared=shared) as server, RedHat(shared=shared) as client:
        client.add(rpms["sendmail365-client"])
        done = client.run(f"echo early | sendmail {BOSS}", user="www-data",
                          check=False)
        assert done.returncode == 75 and SOCKET in done.stdout
        server.add(*new)
        server.configure()
        server.activate()
        client.send("from a container", BOSS, user="www-data")
        assert server.received(1) == ["from a container"]
        assert client.run(["getent", "passwd", "sendmail365"],
                          check=False).returncode != 0
        client.rpm("-e", "sendmail365-client")
        assert client.links() == {}
