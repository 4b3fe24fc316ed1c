"""From `apt install` to mail that has arrived, and what nobody may read."""
import re

import pytest

from debian import (
    BOSS, CREDENTIALS, FRONT_END, NAMES, SECRET, SOCKET, SPOOL, STATE, Host,
    dependencies, with_callers, why_not)
from fake365 import ALERTS, Rule, Scenario
from roots import base

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))


@pytest.fixture
def host(debs):
    """A host on which the package is installed and configured."""
    with Host(*with_callers()) as one:
        one.install(debs["sendmail365"])
        one.configure()
        yield one


def headers(message):
    head = message.raw.decode().partition("\r\n\r\n")[0]
    return dict(line.split(": ", 1) for line in head.split("\r\n")
                if ": " in line)


def test_clean_machine_gets_all_it_needs(debs):
    with Host(base()) as host:
        said = host.install(debs["sendmail365"]).stdout
        assert ("sendmail365: no mail is sent yet; to configure it, run: "
                "sendmail365 setup\n") in said
        # No init system comes with it.
        assert host.status("systemd-standalone-sysusers") == "installed"
        assert host.status("systemd") == ""
        assert host.run(["dpkg", "--audit"]).stdout == ""
        assert host.run(["dpkg", "--verify", "sendmail365"]).stdout == ""
        for folder in SPOOL, STATE:
            assert host.describe(folder) == "0700 sendmail365 sendmail365"
        assert host.describe(SECRET.rpartition("/")[0]) == "0700 root root"
        for name in NAMES:
            assert host.owner(name) == "sendmail365"
            assert host.run(["realpath", name]).stdout.strip() == FRONT_END
        # Nobody can become its user.
        account = host.run(["getent", "passwd", "sendmail365"]).stdout
        assert account.strip().endswith(":/usr/sbin/nologin")
        shadow = host.run(["getent", "shadow", "sendmail365"]).stdout
        assert shadow.split(":")[1].startswith("!")
        # The caller is told what is missing, and keeps its mail.
        done = host.run("echo hello | sendmail root", check=False)
        assert done.returncode in (75, 78) and "sendmail365.conf" in done.stdout


def test_everybody_sends_through_the_service(host):
    service = host.activate()
    host.send("from root")
    host.run(["php", "-r", f"exit(mail('{BOSS}', 'php', 'from PHP') ? 0 : 1);"],
             user="www-data")
    host.run(["crontab", "-"], input="@reboot echo from cron\n")
    cron = host.start(["cron", "-f"])
    bodies = host.received(3)
    assert sorted(bodies) == ["from PHP", "from cron", "from root"]
    for message in host.tenant.messages:
        assert message.sender == ALERTS and message.tls
        assert message.recipients == [BOSS]
        assert ALERTS in headers(message)["From"]
    subjects = [headers(m).get("Subject") for m in host.tenant.messages]
    assert "Cron <root@web1> echo from cron" in subjects
    # One service has sent all of it, with one token.
    assert len(host.tenant.token_requests) == 1
    assert host.tenant.wait_for(lambda: host.queued() == 0)
    assert service.poll() is None and cron.poll() is None
    host.run("kill $(cat /run/crond.pid)")
    cron.wait()


READ = r"""
while IFS= read -r path; do
	if [ -d "$path" ]; then
		ls "$path" >/dev/null 2>&1 || [ -x "$path" ] || continue
	else
		head -c 1 "$path" >/dev/null 2>&1 || continue
	fi
	echo "$path"
done
"""


def test_www_data_reads_none_of_it(host):
    # Something is in each of the folders, a message among it.
    host.activate()
    host.send("one")
    host.received(1)
    host.tenant.scenario = Scenario(Rule("mail", "reply", "451 4.3.2 later"))
    host.send("two")
    assert host.queued() == 1
    folders = [SECRET.rpartition("/")[0], SPOOL, STATE, CREDENTIALS]
    paths = host.run(["find", *folders]).stdout
    for folder in folders:
        assert f"{folder}/" in paths, f"nothing is in {folder}"
    readable = host.run(READ, user="www-data", input=paths).stdout
    assert readable == ""
    # And the test can tell.
    readable = host.run(READ, user="www-data", input="/etc/passwd\n/etc\n")
    assert readable.stdout == "/etc/passwd\n/etc\n"
    # Nor from the process that holds them.
    pids = host.run("grep -ls sendmail365 /proc/[0-9]*/comm || :"
                    ).stdout.split()
    assert pids
    files = "".join(f"{pid.rpartition('/')[0]}/{name}\n" for pid in pids
                    for name in ("environ", "mem", "fd", "maps"))
    assert host.run(READ, user="www-data", input=files).stdout == ""


def test_no_file_is_more_than_it_should_be(host):
    script = (f"{{ dpkg -L sendmail365; find /etc/sendmail365 {SPOOL} {STATE}; }}"
              " | xargs -d '\\n' stat -c '%F:%a:%U:%G:%n'")
    for line in host.run(script).stdout.splitlines():
        kind, mode, user, group, path = line.split(":")
        assert int(mode, 8) & 0o6000 == 0, line
        if path.startswith((SPOOL, STATE)):
            assert (user, group) == ("sendmail365", "sendmail365"), line
            continue
        assert (user, group) == ("root", "root"), line
        if path.startswith(SECRET.rpartition("/")[0]):
            assert int(mode, 8) & 0o077 == 0, line
        elif kind != "symbolic link":
            assert mode in ("644", "755"), line


def test_files_are_where_policy_has_them(host):
    files = host.run(["dpkg", "-L", "sendmail365"]).stdout.split("\n")
    files = [path for path in files if path not in ("", "/.")]
    known = re.compile(r"/(etc|usr|lib/systemd)(/|$)|/lib$")
    assert [path for path in files if not known.match(path)] == []
    assert "/usr/local" not in files


def test_client_shares_the_socket(debs, tmp_path):
    shared = tmp_path, "/run/sendmail365"
    tmp_path.chmod(0o755)
    with Host(*with_callers(), shared=shared) as server, \
            Host(base(), shared=shared) as client:
        said = client.install(debs["sendmail365-client"]).stdout
        assert "0 to remove" in said and "1 newly installed" in said
        done = client.run("echo early | sendmail boss@contoso.example",
                          user="www-data", check=False)
        assert done.returncode == 75
        assert SOCKET in done.stdout and "start the service" in done.stdout
        assert client.run("mailq", check=False).returncode == 75
        server.install(debs["sendmail365"])
        server.configure()
        server.activate()
        client.send("from a container", user="www-data")
        assert server.received(1) == ["from a container"]
        assert client.run("mailq").stdout.startswith("Mail queue is empty")
        # It holds nothing but the front end and its manual pages.
        files = client.run(["dpkg", "-L", "sendmail365-client"]).stdout
        assert "/etc" not in files and "sendmail365.service" not in files
        client.apt("purge", "sendmail365-client")
        assert not client.exists("/usr/sbin/sendmail")


def test_both_packages_cannot_be_there(debs):
    with Host(*dependencies(debs["sendmail365"])) as host:
        host.install(debs["sendmail365"])
        host.install(debs["sendmail365-client"])
        assert host.status("sendmail365") in ("config-files", "")
        assert host.owner("/usr/sbin/sendmail") == "sendmail365-client"
        host.install(debs["sendmail365"])
        assert host.status("sendmail365-client") in ("config-files", "")
        assert host.owner("/usr/sbin/sendmail") == "sendmail365"
        assert host.run(["dpkg", "--audit"]).stdout == ""
