"""An account or a host that fails holds its mail, and nobody else's."""
import json
import re
import signal
import socket
import threading

import pytest

from fake365 import ALERTS, PASSWORD, Rule
from service import make_old, make_service, service  # noqa: F401
from support import BOSS, MESSAGE, STUCK, assert_sent, wait_until
from test_storm import arrived, assert_rate, call, refusals

#: of the schedule, in seconds, and how much of a delay is chance
FIRST, LONGEST = 1, 2
SHORTEST_DELAY = 0.8
CONNECTIONS = 2
#: an outage of so many probes; an hour has six
PROBES = 2
LOGON_FAILED = (
    "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:"
    "ConnectionFailedTransientException.MapiExceptionLogonFailed")
FULL = ("554 5.2.2 mailbox full; STOREDRV.Submission.Exception:"
        "QuotaExceededException.MapiExceptionShutoffQuotaExceeded")


def spoken_at(tenant, verb):
    """When a command of the client came to the submission host."""
    return [line.time for line in tenant.transcript
            if line.service == "submission" and line.direction == "C" and
            line.text.startswith(verb)]


def is_backed_off(times):
    """Whether each is as much later than the last as the back-off says."""
    delays = [FIRST] + [LONGEST] * len(times)
    return all(after - before >= delay * SHORTEST_DELAY for
               before, after, delay in zip(times, times[1:], delays))


def assert_probes(times):
    """One at a time, each after a delay.

    Only at first there may be as many as there are connections, until the
    first of them is answered: one other, which comes behind a probe if its
    process is slow.
    """
    without_other = [times[:i] + times[i + 1:]
                     for i in range(1, CONNECTIONS + 1)]
    assert any(map(is_backed_off, [times, *without_other])), times


def warnings(service):
    return re.findall(r"all mail of account .* waits: .*", service.log())


class Failure:
    """A way for an account to fail."""

    def __init__(self, *words, seen=None, rule=None):
        self.words = words  # of the one line in the log
        self.seen = seen  # what each attempt says to the server
        self.rules = [rule] if rule else []

    def begin(self, service):
        pass

    def mend(self, service):
        service.mail.tenant.scenario._rules.clear()

    def attempts(self, tenant):
        """When there were attempts."""
        if self.seen == "connection":
            return [c.opened for c in tenant.connections
                    if c.service == "submission"]
        if self.seen == "token":
            return [request.time for request in tenant.token_requests]
        return spoken_at(tenant, self.seen)


class ExpiredSecret(Failure):
    def begin(self, service):
        self.path = service.mail.directory / "client-secret"
        self.good = self.path.read_text()
        self.path.write_text(service.mail.tenant.expired_secret + "\n")

    def mend(self, service):
        self.path.write_text(self.good)


class DisabledAuth(Failure):
    def begin(self, service):
        box = service.mail.tenant.directory.mailbox(ALERTS)
        box.smtp_auth_disabled = "Tenant"

    def mend(self, service):
        box = service.mail.tenant.directory.mailbox(ALERTS)
        box.smtp_auth_disabled = ""


class ClosedPort(Failure):
    def begin(self, service):
        self.keys = {"max_connections": CONNECTIONS}
        # Nobody else gets it meanwhile.
        self.holder = socket.socket()
        self.holder.bind(("127.0.0.1", 0))
        port = self.holder.getsockname()[1]
        service.configure(**self.keys, port=port)

    def mend(self, service):
        service.configure(**self.keys)
        self.holder.close()


EXPIRED = ExpiredSecret("AADSTS7000222", "client_secret_file", seen="token")
#: how many messages wait, and what for
FAILURES = {
    "secret": (200, EXPIRED),
    "token": (20, Failure("AADSTS90033", seen="token",
                          rule=Rule("token", "error", 90033))),
    "smtp-auth": (20, DisabledAuth(
        "535 5.7.139", "-SmtpClientAuthenticationDisabled", seen="AUTH")),
    "logon": (20, Failure("430 4.2.0", "Add-MailboxPermission", seen="MAIL",
                          rule=Rule("final", "reply", LOGON_FAILED))),
    "full": (20, Failure("554 5.2.2", "empty Sent Items", seen="MAIL",
                         rule=Rule("final", "reply", FULL))),
    "host": (20, Failure("closed the connection", seen="connection",
                         rule=Rule("connect", "close"))),
    "port": (20, ClosedPort("connect", "refused")),
}
BACK_OFF = {"retry_first": f"{FIRST}s", "retry_longest": f"{LONGEST}s"}


def wait_for_probes(service):
    """Until the first attempts, and some probes after them, have failed."""
    wait_until(lambda: service.log().count("status=deferred") >=
               CONNECTIONS + PROBES)


def assert_drained(service, recipients):
    """All arrive, once, and none has failed."""
    tenant = service.mail.tenant
    assert tenant.wait_for_messages(len(recipients), STUCK)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(recipients)
    # A journal goes after its message.
    wait_until(lambda: not service.files("journal"))
    assert service.files("failed") == []
    assert len(warnings(service)) == 1
    service.wait_for_log("works again")
    assert service.log().count("works again") == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAILURES)
def test_a_failing_account_holds_its_mail(make_service, kind):
    count, failure = FAILURES[kind]
    service = make_service(
        *failure.rules, config={"max_connections": CONNECTIONS},
        queue=BACK_OFF)
    tenant = service.mail.tenant
    failure.begin(service)
    service.start()
    recipients = call(service, 4, count // 4)
    wait_for_probes(service)
    assert tenant.messages == []
    if failure.seen:
        assert_probes(failure.attempts(tenant))
    [line] = warnings(service)
    for word in failure.words:
        assert word in line
    failure.mend(service)
    service.signal(signal.SIGHUP)
    assert_drained(service, recipients)


# Direct Send

OUTSIDE = ["out1@fabrikam.example", "out2@fabrikam.example"]


def direct_service(make_service, **options):
    """A service with Direct Send for what is the tenant's own."""
    service = make_service(queue=BACK_OFF, **options)
    tenant = service.mail.tenant
    sections = {"direct_send": {
        "enabled": "yes", "mx": "localhost", "port": tenant.mx_port,
        "ca_file": tenant.ca_file}}
    return service.configure(
        sections=sections, max_connections=CONNECTIONS)


def test_direct_send_goes_on_while_the_account_is_held(make_service):
    service = direct_service(make_service)
    tenant = service.mail.tenant
    EXPIRED.begin(service)
    service.start()
    for to in OUTSIDE:
        assert_sent(service.sendmail(to, BOSS, stdin=MESSAGE))
    inside = call(service, 4, 10)
    assert tenant.wait_for_messages(42, STUCK)
    assert {m.service for m in tenant.messages} == {"mx"}
    assert arrived(tenant) == sorted([*inside, BOSS, BOSS])
    wait_until(lambda: len(service.files()) == 2)
    assert_probes(EXPIRED.attempts(tenant))
    [line] = warnings(service)
    assert "AADSTS7000222" in line
    assert "works again" not in service.log()
    EXPIRED.mend(service)
    service.signal(signal.SIGHUP)
    assert_drained(service, [*inside, BOSS, BOSS, *OUTSIDE])
    assert [m.service for m in tenant.messages[42:]] == ["submission"] * 2


def test_direct_send_is_tried_again_while_the_account_is_held(make_service):
    service = direct_service(make_service)
    tenant = service.mail.tenant
    tenant.scenario.add(Rule("rcpt", "reply", "451 4.7.500 Server busy",
                             nth=1, last=3, service="mx"))
    EXPIRED.begin(service)
    service.start()
    inside = call(service, 1, 6)
    assert tenant.wait_for_messages(6, STUCK)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(inside)
    assert "works again" not in service.log()


# Another account

SHOP = "shop@contoso.example"


def test_the_mail_of_another_account_flows(make_service):
    service = make_service(
        Rule("token", "error", 7000222),
        mailboxes={ALERTS: {}, SHOP: {"password": PASSWORD}},
        queue=BACK_OFF)
    tenant = service.mail.tenant
    shop = tenant.account(login=True, user=SHOP)
    (service.mail.directory / "password").write_text(PASSWORD + "\n")
    (service.mail.directory / "password").chmod(0o600)
    service.configure(sections={
        "account shop": shop, "route": {"rule": f"{SHOP} shop"}},
        max_connections=CONNECTIONS)
    service.start()
    held = call(service, 2, 10)
    service.wait_for_log("all mail of account alerts.* waits: .*7000222")
    from_shop = MESSAGE.replace(ALERTS.encode(), SHOP.encode())
    for _ in range(10):
        assert_sent(service.sendmail("-f", SHOP, BOSS, stdin=from_shop))
    assert tenant.wait_for_messages(10)
    assert {m.user for m in tenant.messages} == {SHOP}
    wait_until(lambda: len(service.files()) == len(held))


# Limits

def test_a_throttled_account_costs_no_attempt(make_service):
    """Neither the message's attempts nor when it is due know of it."""
    busy = "432 4.3.2 Concurrent connections limit exceeded"
    is_seen = threading.Event()
    service = make_service(
        Rule("final", "reply", busy, nth=1, last=3),
        Rule("final", "hold", is_seen, nth=4),
        config={"max_connections": 1}, queue=BACK_OFF)
    tenant = service.mail.tenant
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    [name] = service.files()
    path = service.spool / "queue" / name
    arrived_at = path.stat().st_mtime
    wait_until(lambda: service.log().count("status=deferred") == 3)
    shown = service.mail.sendmail365(
        "queue", "list", "--json", env=service.environment()).stdout
    assert json.loads(shown)["attempts"] == 0
    # In milliseconds; a delay would be many.
    assert abs(path.stat().st_mtime - arrived_at) < 0.1
    is_seen.set()
    assert tenant.wait_for_messages(1)
    assert_drained(service, [BOSS])
    assert is_backed_off(spoken_at(tenant, "MAIL"))


def test_front_ends_out_of_service_cost_no_attempt(make_service):
    service = make_service(
        Rule("connect", "reply-close", "421 4.3.2 Service not active",
             nth=1, last=2),
        config={"max_connections": 1}, queue=BACK_OFF)
    service.start()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    assert_drained(service, [BOSS])


def test_the_rate_survives_a_restart(make_service):
    rate = (3, 3)
    service = make_service(
        mailboxes={ALERTS: {"password": PASSWORD, "rate": rate}},
        config={"messages_per_minute": "3/3s"}).start()
    tenant = service.mail.tenant
    recipients = call(service, 1, 3)
    assert tenant.wait_for_messages(3)
    service.wait_until_empty()
    service.stop()
    service.start()
    recipients |= call(service, 1, 1, "later")
    assert tenant.wait_for_messages(4)
    assert arrived(tenant) == sorted(recipients)
    assert refusals(tenant) == []
    assert_rate(tenant.messages, rate)


def test_recipients_of_a_day_survive_a_restart(make_service):
    service = make_service(config={"recipients_per_day": 5}).start()
    tenant = service.mail.tenant
    people = [f"p{i}@contoso.example" for i in range(4)]
    assert_sent(service.sendmail(*people[:3], stdin=MESSAGE))
    assert tenant.wait_for_messages(1)
    for _ in range(2):
        assert_sent(service.sendmail(*people[:3], stdin=MESSAGE))
        service.wait_for_log("recipients_per_day has left")
        service.stop()
        service.log_path.write_text("")
        service.process = None
        service.start()
    assert len(tenant.messages) == 1
    assert len(service.files()) == 2
    service.configure(recipients_per_day=100)
    service.signal(signal.SIGHUP)
    assert tenant.wait_for_messages(3)
    service.wait_until_empty()
    assert refusals(tenant) == []


def people(count):
    return [f"p{i}@contoso.example" for i in range(count)]


def of_a_spent_day(make_service, **queue):
    """A service whose account may write to two people more."""
    service = make_service(
        config={"recipients_per_day": 5, "max_connections": 1},
        queue=queue).start()
    assert_sent(service.sendmail(*people(3), stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    service.wait_until_empty()
    return service


def test_what_is_too_large_for_a_day_lets_others_go(make_service):
    service = of_a_spent_day(make_service)
    tenant = service.mail.tenant
    assert_sent(service.sendmail(*people(4), stdin=MESSAGE))
    service.wait_for_log("4 recipients are more than recipients_per_day has")
    [large] = service.files()
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    assert tenant.wait_for_messages(3)
    wait_until(lambda: service.files() == [large])
    assert "its mail waits" not in service.log()
    # Now there is room for nobody.
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    service.wait_for_log("recipients_per_day: its mail waits")
    assert len(tenant.messages) == 3
    service.configure(recipients_per_day=100)
    service.signal(signal.SIGHUP)
    assert tenant.wait_for_messages(5)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(people(3) + people(4) + [BOSS] * 3)


def test_who_has_let_others_go_for_a_day_comes_first(make_service):
    service = of_a_spent_day(make_service)
    tenant = service.mail.tenant
    assert_sent(service.sendmail(*people(4), stdin=MESSAGE))
    service.wait_for_log("4 recipients are more than recipients_per_day has")
    service.stop()
    make_old(service, 2)
    service.start()
    service.wait_for_log("recipients_per_day: its mail waits")
    assert_sent(service.sendmail(BOSS, stdin=MESSAGE))
    # A reload would meet the second one on its way.
    service.stop()
    assert len(tenant.messages) == 1
    service.configure(recipients_per_day=100, max_connections=1)
    service.start()
    assert tenant.wait_for_messages(3)
    assert [len(m.recipients) for m in tenant.messages] == [3, 4, 1]


def test_what_is_too_large_for_a_day_expires_in_time(make_service):
    service = of_a_spent_day(make_service, lifetime="3s")
    assert_sent(service.sendmail("-f", BOSS, *people(4), stdin=MESSAGE))
    wait_until(lambda: service.files("failed"))
    # There is room for the notice.
    assert service.mail.tenant.wait_for_messages(2)
    assert b"Status: 5.4.7" in service.mail.tenant.messages[1].raw
    assert "its mail waits" not in service.log()


def test_many_recipients_are_many_messages_of_the_rate(make_service):
    rate = (3, 2)
    service = make_service(
        mailboxes={ALERTS: {"password": PASSWORD, "rate": rate,
                            "recipient_limit": 2}},
        config={"messages_per_minute": "3/2s",
                "recipients_per_message": 2}).start()
    tenant = service.mail.tenant
    people = [f"p{i}@contoso.example" for i in range(5)]
    for _ in range(2):
        assert_sent(service.sendmail(*people, stdin=MESSAGE))
    assert tenant.wait_for_messages(6)
    service.wait_until_empty()
    assert arrived(tenant) == sorted(people + people)
    assert [len(m.recipients) for m in tenant.messages] == [2, 2, 1] * 2
    assert refusals(tenant) == []
    assert_rate(tenant.messages, rate)
