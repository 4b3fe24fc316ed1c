"""Programs that resolve names through fake365's DNS server.

The resolver of the C library reads /etc/resolv.conf and asks port 53, and no
option of a program changes that. So the programs get a mount namespace of
their own, in which other files lie over /etc/resolv.conf, /etc/nsswitch.conf
and /etc/hosts; the host sees nothing of it. That is for root only.
"""
import os
import socket
import subprocess

import pytest

from fake365 import Dns

RESOLV_CONF = """\
nameserver {address}
search .
options timeout:{seconds} attempts:1
"""
PATIENCE = 30  # seconds, the most that the C library takes
#: Nobody but the server is to know a name: no multicast DNS, no systemd.
NSSWITCH_CONF = "hosts: files dns\n"
#: A host knows its own name.
HOSTS = f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {socket.gethostname()}\n"

#: $0 is the directory of the files, $@ the command.
SCRIPT = """\
for file in resolv.conf nsswitch.conf hosts; do
    if [ -e "/etc/$file" ]; then
        mount --bind "$0/$file" "/etc/$file" || exit 125
    fi
done
exec "$@"
"""
UNSHARE = ("unshare", "--mount")


def why_not():
    """Why programs cannot have a resolver of their own; None: they can."""
    if os.geteuid() != 0:
        return "only root can mount a resolv.conf and listen on port 53"
    try:
        done = subprocess.run([*UNSHARE, "true"], stderr=subprocess.PIPE)
    except FileNotFoundError:
        return "unshare(1) is not installed"
    return done.stderr.decode().strip() if done.returncode != 0 else None


class Resolver:
    """A DNS server and the prefix of commands that are to ask it."""

    def __init__(self, directory, dns):
        self.dns = dns
        self._resolv_conf = directory / "resolv.conf"
        self.wait_for_answers()
        (directory / "nsswitch.conf").write_text(NSSWITCH_CONF)
        (directory / "hosts").write_text(HOSTS)
        #: put it before a command line: [*resolver.prefix, program, ...]
        self.prefix = (*UNSHARE, "sh", "-c", SCRIPT, str(directory))

    def wait_for_answers(self, seconds=PATIENCE):
        """From now on programs wait for so long."""
        self._resolv_conf.write_text(RESOLV_CONF.format(
            address=self.dns.address, seconds=seconds))

    @property
    def questions(self):
        """What was asked, as "MX contoso.example", without repetitions."""
        asked = [f"{q.type} {q.name}" for q in self.dns.questions]
        return list(dict.fromkeys(asked))


@pytest.fixture
def resolver(tmp_path_factory):
    """A Resolver; its names are `resolver.dns.records`, none at first."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Dns(port=53) as dns:
        yield Resolver(tmp_path_factory.mktemp("resolver"), dns)
