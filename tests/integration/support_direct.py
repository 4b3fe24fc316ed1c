"""What tests of Direct Send share: configurations, and who got what how.

Most run the front end with -v, so that one run shows its status, its line
and the outcome of each recipient.
"""
import re
import socket

import pytest

from support import MESSAGE, outcomes

#: Nobody signs in: Direct Send is all there is.
NO_SIGN_IN = {"auth": "none", "host": None, "port": None, "ca_file": None,
              "password_file": None}

CLOSED = re.compile(r"closed-[0-9a-f]{24}")
PARTIAL = re.compile(r"partial-[0-9a-f]{24}")


@pytest.fixture
def dead_port():
    """A port of 127.0.0.1 at which nobody listens while the test runs."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def set_up(mail, login=True, direct=None, sections=None, **account):
    """Configure `mail` with [direct_send]; `direct` adds keys, False: off."""
    sections = dict(sections or {})
    if direct is not False:
        sections["direct_send"] = {
            "enabled": "yes", "mx": "localhost",
            "port": mail.tenant.mx_port, "ca_file": mail.tenant.ca_file,
            **(direct or {})}
    return mail.use(mail.tenant, login=login, sections=sections, **account)


def send(mail, *recipients, stdin=MESSAGE, **options):
    """Send a message and tell the world about it."""
    return mail.sendmail("-v", "-i", *recipients, stdin=stdin, **options)


def line_of(result):
    """The one line of the front end, "" if it is silent."""
    lines = [line for line in result.stderr.decode().splitlines()
             if line.startswith("sendmail: ")]
    assert len(lines) <= 1
    return "".join(lines)


def words(result):
    """{recipient: "sent", "bounced" or "deferred"}; codes must agree."""
    classes = {"sent": "2", "bounced": "5", "deferred": "4"}
    found = {}
    for to, outcome in outcomes(result).items():
        word, dsn = outcome.split()
        assert dsn[0] == classes[word], (to, outcome)
        found[to] = word
    return found


def received(tenant):
    """[(service, recipients)] of the messages that were taken."""
    return [(m.service, m.recipients) for m in tenant.messages]


def copies(tenant):
    """{recipient: how many messages it has got}"""
    everybody = sum((m.recipients for m in tenant.messages), [])
    return {to: everybody.count(to) for to in everybody}


def connections(tenant, service="mx"):
    """How many connections a service has had."""
    return len([c for c in tenant.connections if c.service == service])


def kept(mail, kind):
    """The files in the state directory of this kind (CLOSED, PARTIAL)."""
    if not mail.state.is_dir():
        return []
    return [p for p in mail.state.iterdir() if kind.fullmatch(p.name)]


def let_time_pass(path, seconds=0):
    """Make the time of a file of the state directory over, or set it."""
    _, _, text = path.read_text().partition("\n")
    path.write_text(f"{seconds}\n{text}")
