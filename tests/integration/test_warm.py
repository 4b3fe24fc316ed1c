"""A connection that stays: what a further message costs, and when it ends."""
import time

import pytest

from fake365 import Proxy, Rule
from service import make_service, service  # noqa: F401
from support import (BOSS, MESSAGE, STUCK, assert_sent, least, message,
                     spoken)

DELAY = 0.02  # seconds each way
#: who comes while the other's message ends would have one of his own
ONE = {"max_connections": 1}


def send(service, stdin=MESSAGE):
    """Send a message and wait until it is there and forgotten."""
    tenant = service.mail.tenant
    before = len(tenant.messages)
    assert_sent(service.sendmail("-i", BOSS, stdin=stdin))
    assert tenant.wait_for_messages(before + 1)
    service.wait_until_empty()


def sessions(service):
    return [c for c in service.mail.tenant.connections
            if c.service == "submission"]


@pytest.mark.limits
@pytest.mark.parametrize("size", [0, 30_000])
def test_a_further_message_costs_one_round_trip(service, size):
    stdin = message((b"x" * 70 + b"\r\n") * (size // 72))
    with Proxy(service.mail.tenant.smtp_port, 1000 * DELAY) as proxy:
        service.configure(port=proxy.port, **ONE)
        service.start()
        send(service)
        [connection] = proxy.connections
        times = []

        def count():
            before = proxy.round_trips
            began = time.monotonic()
            send(service, stdin)
            times.append(time.monotonic() - began)
            return proxy.round_trips - before

        for _ in range(20):
            assert least(count, 1) == 1
        assert proxy.connections == [connection]
        service.stop()
    assert len(spoken(service.mail.tenant, "AUTH")) == 1
    # The best of them: a machine may be busy.
    assert min(times) < 2 * DELAY * 3


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_sessions_are_resumed(make_service, version):
    """A server that hangs up after each message, without a word."""
    service = make_service(
        Rule("final", "then-close"), tls_version=version,
        config=ONE).start()
    for _ in range(4):
        send(service)
    assert [c.tls_version for c in sessions(service)] == [f"TLSv{version}"] * 4
    assert [c.resumed for c in sessions(service)] == [False] + [True] * 3


@pytest.mark.slow
def test_a_new_session_begins_before_the_token_ends(make_service):
    """Whatever is sent is sent with a token that is good."""
    lifetime = 4
    while True:
        service = make_service(token_lifetime=lifetime, config=ONE).start()
        tenant = service.mail.tenant
        while len(spoken(tenant, "AUTH")) < 3:
            send(service)
        # Each was used more than once, or a busy machine needs more time.
        if len(tenant.messages) > 6:
            break
        service.stop()
        lifetime *= 2
        assert lifetime < STUCK
    tokens = [tenant.directory.token(text) for text in
              tenant.directory.tokens]
    ends = [token.expires - time.time() + time.monotonic()
            for token in tokens]
    assert len(tokens) == len(sessions(service)) == 3
    for session, end in zip(sessions(service), ends):
        times = [m.time for m in tenant.messages
                 if m.connection == session.number]
        assert max(times) < end


def test_a_revoked_token_ends_no_message(make_service):
    """It is found out when the server wants to be signed in to again."""
    service = make_service(
        Rule("final", "then-close", nth=1), config=ONE).start()
    send(service)
    service.mail.tenant.revoke_tokens()
    send(service)
    assert "all mail of account" not in service.log()
    assert len(service.mail.tenant.token_requests) == 2
