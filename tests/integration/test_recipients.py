"""Recipients are judged one by one: accepted + refused + later = all."""
import re

import pytest

from fake365 import ALERTS, Rule
from support import BOSS, MESSAGE, assert_fatal, assert_sent, outcomes, spoken

GOOD = "good@contoso.example"
GONE = "gone@contoso.example"
SHY = "shy@contoso.example"
BUSY = "busy@contoso.example"
SLOW = "slow@contoso.example"
JÖRG = "jörg@contoso.example"

ANSWERS = {
    GONE: "550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found",
    SHY: "550 5.7.1 you may not write to this group",
    BUSY: "450 4.2.2 mailbox is busy",
    SLOW: "451 4.7.0 try later",
}
EXPECTED = {
    GOOD: "sent 2.0.0",
    BOSS: "sent 2.0.0",
    GONE: "bounced 5.1.10",
    SHY: "bounced 5.7.1",
    BUSY: "deferred 4.2.2",
    SLOW: "deferred 4.7.0",
}

slow = pytest.mark.slow

WAYS = [
    pytest.param((), id="BDAT"),
    pytest.param({"CHUNKING"}, id="DATA", marks=slow),
    pytest.param({"PIPELINING"}, id="BDAT-one-by-one", marks=slow),
    pytest.param(
        {"CHUNKING", "PIPELINING"}, id="DATA-one-by-one", marks=slow),
]


def submit(mail, *recipients):
    """Send MESSAGE and return the result and each recipient's outcome."""
    result = mail.sendmail365("submit", "-v", *recipients, stdin=MESSAGE)
    found = outcomes(result)
    assert set(found) == set(recipients)
    return result, found


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("recipients, status", [
    ([GOOD, BOSS], 0),
    ([GOOD, GONE], 67),
    ([GONE, GOOD], 67),
    ([GOOD, SHY], 69),
    ([GOOD, BUSY], 75),
    ([GOOD, GONE, BUSY], 75),
    ([BUSY, SLOW, GONE, SHY, GOOD, BOSS], 75),
    ([GONE, SHY], 67),
    ([GONE], 67),
    ([SHY], 69),
    ([BUSY], 75),
    ([GONE, SLOW], 75),
], ids=lambda v: "+".join(
    a.partition("@")[0] for a in v) if isinstance(v, list) else "")
def test_each_recipient_has_its_own_outcome(given, drop, recipients, status):
    mail = given(drop=drop, recipients=ANSWERS)
    result, found = submit(mail, *recipients)
    assert result.returncode == status
    assert found == {to: EXPECTED[to] for to in recipients}
    good = [to for to in recipients if EXPECTED[to] == "sent 2.0.0"]
    got = [m.recipients for m in mail.tenant.messages]
    assert got == ([good] if good else [])


@pytest.mark.parametrize("recipients, status, words", [
    ([GOOD, GONE], 67, [GONE, "550 5.1.10"]),
    ([GONE], 67, ["550 5.1.10", "no such recipient"]),
    ([GOOD, BUSY], 75, [BUSY, "sent to 1 of 2"]),
    ([GONE, SHY], 67, ["any of 2"]),
])
def test_front_end_says_who_was_not_reached(
        given, recipients, status, words):
    mail = given(recipients=ANSWERS)
    result = mail.sendmail(*recipients, stdin=MESSAGE)
    assert_fatal(result, status, *words)


@pytest.mark.parametrize("drop", WAYS)
def test_put_off_recipients_get_a_second_transaction(given, drop):
    mail = given(drop=drop,
                 mailboxes={"alerts@contoso.example": {
                     "recipients_at_once": 2}})
    recipients = [f"r{i}@contoso.example" for i in range(5)]
    result, found = submit(mail, *recipients)
    assert result.returncode == 0
    assert set(found.values()) == {"sent 2.0.0"}
    got = [m.recipients for m in mail.tenant.messages]
    assert got == [recipients[:2], recipients[2:4], recipients[4:]]
    assert len(spoken(mail.tenant, "AUTH")) == 1


@pytest.mark.parametrize("drop", WAYS)
def test_recipient_that_is_put_off_for_ever_waits(given, drop):
    mail = given(drop=drop,
                 recipients={SLOW: "452 4.5.3 Too many recipients"})
    result, found = submit(mail, SLOW, GOOD)
    assert result.returncode == 75
    assert found == {GOOD: "sent 2.0.0", SLOW: "deferred 4.5.3"}
    assert [m.recipients for m in mail.tenant.messages] == [[GOOD]]
    assert len(spoken(mail.tenant, "MAIL")) == 2


@pytest.mark.parametrize("drop", WAYS)
def test_all_refused_sends_nothing(given, drop):
    mail = given(drop=drop, recipients=ANSWERS)
    result, found = submit(mail, GONE, SHY)
    assert result.returncode == 67
    assert found == {GONE: "bounced 5.1.10", SHY: "bounced 5.7.1"}
    assert mail.tenant.messages == []


@pytest.mark.parametrize("drop", WAYS)
@pytest.mark.parametrize("reply, status, outcome", [
    ("550 5.7.1 no", 69, "bounced 5.7.1"),
    ("451 4.3.0 later", 75, "deferred 4.3.0"),
    ("552 5.3.4 too large", 65, "bounced 5.3.4"),
])
def test_refused_sender(given, drop, reply, status, outcome):
    """What RCPT and the message then get says nothing of its own."""
    mail = given(Rule("mail", "reply", reply), drop=drop)
    result, found = submit(mail, GOOD, BOSS)
    assert result.returncode == status
    assert found == {GOOD: outcome, BOSS: outcome}
    assert mail.tenant.messages == []


@pytest.mark.parametrize("drop", WAYS)
def test_refusal_of_one_transaction_is_not_that_of_the_next(given, drop):
    """After a refused message RSET makes room for the others."""
    mail = given(Rule("final", "reply", "554 5.6.0 no", nth=1), drop=drop,
                 config={"recipients_per_message": 1})
    result, found = submit(mail, GOOD, BOSS)
    assert found == {GOOD: "bounced 5.6.0", BOSS: "sent 2.0.0"}
    assert result.returncode == 65
    assert [m.recipients for m in mail.tenant.messages] == [[BOSS]]


def test_recipient_without_a_domain_does_not_stop_the_others(mail):
    result, found = submit(mail, "root", GOOD)
    assert result.returncode == 65
    assert found == {"root": "bounced 5.1.3", GOOD: "sent 2.0.0"}
    assert [m.recipients for m in mail.tenant.messages] == [[GOOD]]


def test_recipient_without_a_domain_is_given_one(given):
    mail = given(config={"sections": {
        "rewrite": {"domain": "contoso.example"}}})
    assert_sent(mail.sendmail("root", stdin=MESSAGE))
    [sent] = mail.tenant.messages
    assert sent.recipients == ["root@contoso.example"]


@pytest.mark.parametrize("sender, expected", [
    (ALERTS, {GOOD: "sent 2.0.0", JÖRG: "bounced 5.6.7", BOSS: "sent 2.0.0"}),
    (JÖRG, dict.fromkeys([GOOD, JÖRG, BOSS], "bounced 5.6.7")),
])
def test_address_that_the_server_cannot_be_told(given, sender, expected):
    mail = given(drop={"SMTPUTF8"}, config={"send_as": JÖRG})
    result = mail.sendmail("-v", "-f", sender, *expected, stdin=MESSAGE)
    assert outcomes(result) == expected
    assert result.returncode == 65
    assert b"non-ASCII" in result.stderr


def test_1000_recipients_of_which_some_are_refused(given):
    gone = {f"r{i}@contoso.example": ANSWERS[GONE]
            for i in range(0, 1000, 7)}
    mail = given(recipients=gone)
    recipients = [f"r{i}@contoso.example" for i in range(1000)]
    result, found = submit(mail, *recipients)
    assert result.returncode == 67
    got = sum((m.recipients for m in mail.tenant.messages), [])
    assert sorted(got) == sorted(set(recipients) - set(gone))
    for to in recipients:
        expected = EXPECTED[GONE if to in gone else GOOD]
        assert found[to] == expected


def test_log_has_one_line_for_the_message_and_each_recipient(mail):
    result, _ = submit(mail, GOOD, BOSS)
    lines = re.findall(r"sendmail365: ([0-9A-F]{16}): (.*)",
                       result.stderr.decode())
    assert len({identity for identity, _ in lines}) == 1
    kinds = [text.split("=")[0] for _, text in lines]
    assert kinds == ["uid", "from", "to", "to"]
    assert_sent(mail.sendmail(GOOD, stdin=MESSAGE))


def test_limit_of_the_mailbox_below_ours_splits_the_message(given):
    """550 5.5.3 after some were taken: the rest goes in another transaction."""
    mail = given(mailboxes={ALERTS: {"recipient_limit": 3}})
    many = [f"r{n}@contoso.example" for n in range(7)]
    assert_sent(mail.sendmail(*many, stdin=MESSAGE))
    sent_to = [m.recipients for m in mail.tenant.messages]
    assert sent_to == [many[:3], many[3:6], many[6:]]
