"""How often the client waits for the wire: cold connection, warm token."""
import shutil

import pytest

from fake365 import Proxy
from support import BOSS, MESSAGE, assert_sent, least

#: TCP, banner, EHLO, STARTTLS, TLS, EHLO, AUTH, the message
WITH_CHUNKING = 8
#: the answer to DATA comes between the envelope and the message
WITH_DATA = 9


@pytest.mark.limits
@pytest.mark.parametrize("login", [False, True], ids=["XOAUTH2", "LOGIN"])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("drop, expected", [
    pytest.param((), WITH_CHUNKING, id="BDAT"),
    pytest.param({"CHUNKING"}, WITH_DATA, id="DATA"),
])
def test_round_trips_of_one_message(given, login, count, drop, expected):
    mail = given(drop=drop, login=login)
    recipients = [f"r{i}@contoso.example" for i in range(count)]
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))  # keeps the token
    # LOGIN asks for name and password one after the other.
    expected += 2 if login else 0
    flights = []

    def measure():
        with Proxy(mail.tenant.smtp_port, delay_ms=15) as proxy:
            mail.use(mail.tenant, login=login, port=proxy.port)
            assert_sent(mail.sendmail(*recipients, stdin=MESSAGE))
            flights[:] = [
                flight[0][:60] for flight in proxy.connections[0].flights]
            return proxy.round_trips

    assert least(measure, expected) == expected, flights
    assert mail.tenant.messages[1].recipients == recipients


@pytest.mark.limits
def test_token_costs_no_round_trip_to_exchange(given):
    mail = given()

    def measure():
        with Proxy(mail.tenant.smtp_port, delay_ms=15) as proxy:
            mail.use(mail.tenant, port=proxy.port)
            shutil.rmtree(mail.state, ignore_errors=True)
            assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
            return proxy.round_trips

    assert least(measure, WITH_CHUNKING) == WITH_CHUNKING
