"""The README's user part, followed literally: its blocks are what is run."""
import re
import subprocess

import pytest

from debian import Host, with_callers, why_not
from fake365 import Tenant
from roots import TOP

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

README = (TOP / "README.md").read_text()

# What cannot run here, and what stands for it: no systemd runs, the packages
# have been built on the machine, and root needs no sudo.
STUBS = {
    "sudo": 'exec "$@"',
    "make": ":",
    "systemctl": 'echo "systemctl $*" >>/root/called',
    "journalctl": 'echo "journalctl $*" >>/root/called',
}


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.M | re.S)


def commands(word):
    """The lines of the one block of commands that has a word in it."""
    found, = [block for block in blocks("sh") if word in block]
    lines = [re.sub(r"\s+# .*", "", line) for line in found.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def host(debs):
    tenant = Tenant(domain="contoso.onmicrosoft.com",
                    mailboxes={"alerts@contoso.com": {}})
    with Host(*with_callers(), tenant=tenant) as one:
        one.run("mkdir -p /usr/local/bin /root/source/build/packages")
        for name, script in STUBS.items():
            one.write(f"/usr/local/bin/{name}", f"#!/bin/sh\n{script}\n",
                      mode=0o755)
        for path in debs.values():
            one.copy(path, f"/root/source/build/packages/{path.name}")
        yield one


def follow(host, line, input="", **options):
    return host.run(f"cd /root/source && {line}", input=input, **options)


def write_configuration(host):
    """The two blocks, and what leads to the stand-in."""
    account, more = blocks("ini")[:2]
    path = re.search(r"`(/etc/\S+\.conf)`:\n\n```ini", README).group(1)
    tenant = host.tenant
    assert len(account.splitlines()) == 5, "a section, and four lines"
    host.copy(tenant.ca_file, "/etc/sendmail365/ca.pem")
    host.write(path, account + f"""\
host = localhost
port = {tenant.smtp_port}
authority = {tenant.authority}
ca_file = ca.pem
""" + more)


def test_followed_literally(host):
    make, install, setup = commands("make deb")
    follow(host, make)
    follow(host, install, "y\n")
    assert host.status() == "installed"
    assert host.status("sendmail365-client") == ""
    # By hand, as the README goes on; test_setup.py has "setup" itself.
    assert setup == "sudo sendmail365 setup"
    assert "setup" in host.run(["sendmail365", "--help"]).stdout
    write_configuration(host)
    secret, = commands("/dev/stdin")
    follow(host, secret, host.tenant.client_secret + "\n")
    host.activate()
    said = {line: follow(host, line).stdout
            for line in commands("sendmail365 check")}
    assert said["sudo sendmail365 check"].endswith(": ok\n")
    assert "becomes <alerts@contoso.com>" in (
        said["sudo sendmail365 explain root"])
    assert host.received(1) == ["test"]
    assert host.tenant.messages[0].recipients == ["you@contoso.com"]
    assert "AADSTS7000222" in said["sendmail365 explain AADSTS7000222"]
    for line in commands("journalctl"):
        follow(host, line)
    assert host.read("/root/called").splitlines() == [
        "journalctl -u sendmail365", "systemctl reload sendmail365",
        "systemctl restart sendmail365"]
    remove, purge = commands("apt remove")
    follow(host, remove, "y\n")
    assert host.exists("/etc/sendmail365/sendmail365.conf")
    assert host.exists("/var/lib/sendmail365")
    follow(host, purge, "y\n")
    assert host.exists("/etc/sendmail365/sendmail365.conf")
    assert not host.exists("/var/lib/sendmail365")
    assert not host.exists("/var/spool/sendmail365")


def test_service_that_systemd_does_not_start(host):
    follow(host, commands("make deb")[1], "y\n")
    write_configuration(host)
    follow(host, commands("/dev/stdin")[0], host.tenant.client_secret)
    line = re.search(r"`(sudo service [^`]*)`", README).group(1)
    follow(host, line)
    host.run("echo test | sendmail root", user="www-data")
    assert host.received(1) == ["test"]
    assert host.tenant.messages[0].recipients == ["boss@contoso.com"]
    host.run(["service", "sendmail365", "stop"])


def test_every_target_and_file_that_is_named_is_there():
    targets = re.findall(r"(?:^ *|`)make ([a-z-]+)", README, re.M)
    assert {"deb", "rpm", "demo", "check", "check-packages"} <= set(targets)
    makefile = (TOP / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^.PHONY: .*\b{target}$", makefile, re.M), target
    for path in re.findall(r"\]\(([^):]+)\)", README):
        assert (TOP / path).exists(), path
    for option in re.findall(r"`(packaging/\S+)[ `]", README):
        assert (TOP / option).exists(), option


def test_first_screen_says_what_it_is_and_how_to_begin():
    screen = README.splitlines()[:40]
    for words in "drop-in", "make demo", "make check ", "make deb", "setup":
        assert any(words in line for line in screen), words


def test_the_source_archive_has_the_readme():
    archive = subprocess.run(
        [TOP / "packaging/dist"], check=True, text=True,
        stdout=subprocess.PIPE, cwd=TOP).stdout.strip()
    names = subprocess.run(["tar", "-tf", TOP / archive], check=True,
                           text=True, stdout=subprocess.PIPE).stdout
    assert re.search(r"(?m)^sendmail365-[^/]*/README.md$", names)
