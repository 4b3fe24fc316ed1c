"""What has failed for good, and who is told of it, once."""
import os
import pwd

import pytest

from fake365 import ALERTS, Rule
from service import make_service, service  # noqa: F401
from support import (BOSS, COLLEAGUE, MESSAGE, OUTSIDER, STUCK, assert_sent,
                     wait_until)
from test_storm import arrived, call

NO_SUCH = "550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found"
GONE = f"gone@{BOSS.partition('@')[2]}"


def report_of(notice):
    """(fields of the message, [fields of each recipient]) of RFC 3464."""
    parsed = notice.parsed
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    text, report, original = parsed.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert report.get_content_type() == "message/delivery-status"
    assert original.get_content_type() == "text/rfc822-headers"
    assert "Subject: backup of web1" in original.get_content()
    message, *recipients = report.get_payload()
    return message, recipients


def failed(service, count):
    """Wait until so many have failed and nothing is left."""
    wait_until(lambda: len(service.files("failed")) == count)
    service.wait_until_empty()


def test_a_notice_names_who_was_not_reached_and_why(make_service):
    service = make_service(recipients={
        GONE: NO_SUCH, OUTSIDER: "550 5.7.1 Not wanted"}).start()
    assert_sent(service.sendmail(
        "-f", COLLEAGUE, GONE, BOSS, OUTSIDER, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(2)
    failed(service, 1)
    sent, notice = service.mail.tenant.messages
    assert sent.recipients == [BOSS]
    assert notice.recipients == [COLLEAGUE]
    assert notice.parsed["To"] == COLLEAGUE
    assert notice.parsed["Auto-Submitted"] == "auto-replied"
    message, recipients = report_of(notice)
    assert message["Reporting-MTA"].startswith("dns; ")
    assert message["Arrival-Date"]
    assert [(r["Final-Recipient"], r["Action"], r["Status"])
            for r in recipients] == [
        (f"rfc822; {GONE}", "failed", "5.1.10"),
        (f"rfc822; {OUTSIDER}", "failed", "5.7.1")]
    assert "RecipientNotFound" in recipients[0]["Diagnostic-Code"]


OLD = {"lifetime": "1s", "retry_first": "1s", "retry_longest": "1s"}
#: what is said about the message, keys of [queue], the status in the notice
FAILURES = {
    "recipient": (NO_SUCH, {}, "5.1.10"),
    "expired": ("451 4.7.0 later", OLD, "5.4.7"),
    # The account is to blame, but time is up all the same.
    "throttled": ("432 4.3.2 Concurrent connections limit exceeded", OLD,
                  "5.4.7"),
}


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("postmaster", [None, ALERTS])
def test_each_failure_is_told_once(make_service, kind, postmaster):
    reply, queue, status = FAILURES[kind]
    service = make_service(
        recipients={BOSS: reply}, queue={**queue, "postmaster": postmaster},
        config={"max_connections": 1}).start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    failed(service, 1)
    [notice] = service.mail.tenant.messages
    assert notice.recipients == [postmaster or COLLEAGUE]
    _, [recipient] = report_of(notice)
    assert recipient["Status"] == status


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("postmaster", [None, ALERTS])
def test_no_notice_answers_a_notice(make_service, kind, postmaster):
    reply, queue, _ = FAILURES[kind]
    service = make_service(
        recipients={BOSS: reply}, queue={**queue, "postmaster": postmaster},
        config={"max_connections": 1}).start()
    assert_sent(service.sendmail("-f", "<>", BOSS, stdin=MESSAGE))
    failed(service, 1)
    service.wait_for_log("no notice is sent about a notice")
    assert service.mail.tenant.messages == []


def test_a_refused_message_is_told_once(make_service):
    service = make_service(
        Rule("final", "reply", "554 5.6.0 Corrupt message content", nth=1),
        config={"max_connections": 1}).start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    assert service.mail.tenant.wait_for_messages(1)
    failed(service, 1)
    [notice] = service.mail.tenant.messages
    assert notice.recipients == [COLLEAGUE]
    _, [recipient] = report_of(notice)
    assert recipient["Status"] == "5.6.0"


def test_a_storm_of_failures_is_no_storm_of_notices(make_service):
    """Sender and recipients do not exist: one notice for each, then peace."""
    service = make_service(
        Rule("rcpt", "reply", NO_SUCH), config={"max_connections": 3}).start()
    call(service, 5, 8)
    failed(service, 80)
    assert service.mail.tenant.messages == []
    assert service.mail.tenant.scenario.occurrences("rcpt") == 80
    assert service.log().count("no notice is sent about a notice") == 40
    # Nor does a restart begin anew.
    service.stop()
    service.start()
    assert len(service.files("failed")) == 80
    assert service.files() == []


def test_notices_to_a_dead_postmaster_end(make_service):
    service = make_service(
        Rule("rcpt", "reply", NO_SUCH, nth=1, last=10),
        recipients={ALERTS: NO_SUCH}, queue={"postmaster": ALERTS},
        config={"max_connections": 1}).start()
    call(service, 1, 5)
    failed(service, 10)
    assert service.mail.tenant.messages == []
    recipients = call(service, 1, 2, "later")
    assert service.mail.tenant.wait_for_messages(2, STUCK)
    assert arrived(service.mail.tenant) == sorted(recipients)


LAST = b"This is the last notice for now"


def of_a_limit(make_service, **options):
    """A service that sends three notices in an hour, where all mail fails."""
    gone = {f"c0-{i}@contoso.example": NO_SUCH for i in range(5)}
    return make_service(
        recipients={**gone, BOSS: NO_SUCH}, queue={"notices_per_hour": 3},
        config={"max_connections": 1}, **options)


def test_notices_have_a_limit(make_service):
    service = of_a_limit(make_service).start()
    tenant = service.mail.tenant
    call(service, 1, 5)
    failed(service, 5)
    assert len(tenant.messages) == 3
    assert sum(LAST in m.raw for m in tenant.messages) == 1
    assert LAST in tenant.messages[-1].raw
    assert service.log().count("has reached notices_per_hour") == 2
    assert service.log().count("reaches notices_per_hour") == 1
    # All of them are kept, and a restart does not begin anew.
    service.stop()
    service.start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    failed(service, 6)
    assert len(tenant.messages) == 3
    # More are allowed.
    service.configure(sections={"queue": {"notices_per_hour": 10}})
    service.stop()
    service.start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    assert tenant.wait_for_messages(4)
    assert LAST not in tenant.messages[3].raw


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_the_notices_of_another_user_are_not_counted(make_service, tmp_path):
    service = of_a_limit(make_service)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o711)
    service.start()
    call(service, 1, 5)
    failed(service, 5)
    nobody = pwd.getpwnam("nobody")
    assert_sent(service.sendmail(
        "-f", COLLEAGUE, BOSS, stdin=MESSAGE, user=nobody.pw_uid,
        group=nobody.pw_gid, extra_groups=[]))
    assert service.mail.tenant.wait_for_messages(4)
    assert service.mail.tenant.messages[3].recipients == [COLLEAGUE]
