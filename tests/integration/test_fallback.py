"""When Direct Send stands in for submission, and for whom.

What Exchange says about a message or a recipient stands.  What is wrong with
the account or the host may be got round, for internal recipients; the others
wait.  Nobody gets a message twice.
"""
import itertools
from dataclasses import dataclass, field

import pytest

from conftest import Programs
from fake365 import Rule, Scenario, Tenant
from support import (
    BOSS, COLLEAGUE, MESSAGE, OUTSIDER, STALL, assert_fatal,
    assert_sent, message,
)
from support_direct import (
    CLOSED, NO_SIGN_IN, PARTIAL, connections, copies, kept,
    let_time_pass, line_of, received, send, set_up, words,
)

STRANGER = "stranger@fabrikam.example"

MX = "mx"
SUBMISSION = "submission"

slow = pytest.mark.slow


def at(phase, action, argument=None, **when):
    """A rule for the submission host only."""
    return Rule(phase, action, argument, service=SUBMISSION, **when)


def at_mx(phase, action, argument=None, **when):
    """A rule for the MX only."""
    return Rule(phase, action, argument, service=MX, **when)


def is_internal(address):
    return address.endswith("@contoso.example")


# ---- the decision table ----

#: (scope, first digit) -> what the submission host says
FAILURES = {
    ("recipient", 4): at("rcpt", "reply", "450 4.2.2 Mailbox is busy"),
    ("recipient", 5): at("rcpt", "reply", "550 5.1.10 RecipientNotFound"),
    ("message", 4): at("final", "reply", "451 4.3.0 Not this one, not now"),
    ("message", 5): at("final", "reply", "554 5.2.252 SendAsDenied"),
    ("account", 4): at(
        "auth", "reply", "454 4.7.0 Temporary authentication failure"),
    ("account", 5): at(
        "auth", "reply", "535 5.7.139 Authentication unsuccessful, "
        "SmtpClientAuthentication is disabled for the Mailbox."),
    ("host", 4): at("banner", "reply", "421 4.3.2 Service not available"),
    ("host", 5): at("banner", "reply", "554 5.7.1 go away"),
}
RECIPIENTS = {
    "internal": [BOSS, COLLEAGUE],
    "external": [OUTSIDER, STRANGER],
    "mixed": [BOSS, OUTSIDER, COLLEAGUE, STRANGER],
}
STATES = ["off", "on", "closed"]

#: The status of the front end where nobody was reached and nobody waits.
REFUSED = {"recipient": 67, "message": 69}

TABLE = [
    pytest.param(scope, digit, whom, state, marks=(
        [] if (whom, state) == ("mixed", "on") else slow))
    for (scope, digit), whom, state in itertools.product(
        FAILURES, RECIPIENTS, STATES)
]


def test_table_is_whole():
    rows = {row.values for row in TABLE}
    assert rows == set(itertools.product(
        ["recipient", "message", "account", "host"], [4, 5],
        ["internal", "external", "mixed"], ["off", "on", "closed"]))
    assert len(TABLE) == len(rows) == 4 * 2 * 3 * 3


def expected(scope, digit, recipients, state):
    """({recipient: word}, status), from what Direct Send is for."""
    is_judged = scope in ("recipient", "message")
    stands = "bounced" if is_judged and digit == 5 else "deferred"
    found = {
        to: "sent" if not is_judged and state == "on" and is_internal(to)
        else stands for to in recipients}
    if "deferred" not in found.values():
        return found, REFUSED[scope] if stands in found.values() else 0
    # Nobody was reached: 77, since signing in is for a person to mend.
    if (scope, digit) == ("account", 5) and "sent" not in found.values():
        return found, 77
    return found, 75


def close_direct_send(mail, dead_port):
    """Let the tenant refuse Direct Send, once: that is remembered."""
    mail.tenant.settings.reject_direct_send = True
    set_up(mail, port=dead_port)
    assert send(mail, "anybody@contoso.example").returncode == 75
    assert len(kept(mail, CLOSED)) == 1
    mail.tenant.settings.reject_direct_send = False
    set_up(mail)


@pytest.mark.parametrize("scope, digit, whom, state", TABLE)
def test_decision(given, dead_port, scope, digit, whom, state):
    recipients = RECIPIENTS[whom]
    mail = given()
    tenant = mail.tenant
    set_up(mail, direct=False if state == "off" else None)
    if state == "closed":
        close_direct_send(mail, dead_port)
    before = connections(tenant)
    tenant.scenario = Scenario(FAILURES[scope, digit])
    result = send(mail, *recipients)

    found, status = expected(scope, digit, recipients, state)
    assert (words(result), result.returncode) == (found, status)
    through_mx = [to for to in recipients if found[to] == "sent"]
    assert received(tenant) == ([(MX, through_mx)] if through_mx else [])
    assert connections(tenant) == before + bool(through_mx)
    if through_mx:
        for to in recipients:
            assert (to in line_of(result)) == (found[to] != "sent")

    # Who calls again as long as the status says so gets it to everybody.
    tenant.scenario = Scenario()
    if status in (75, 77):
        again = send(mail, *recipients)
        assert (again.returncode, line_of(again)) == (0, "")
        assert copies(tenant) == {to: 1 for to in recipients}
        rest = [to for to in recipients if to not in through_mx]
        assert received(tenant)[-1] == (SUBMISSION, rest)


# ---- where submission may fail ----

@dataclass
class Place:
    """A failure of submission, and what is to become of a mixed message."""

    rules: tuple = ()
    says: tuple = ()  # words of the line
    status: int = 75  # without Direct Send
    stands: str = "deferred"  # word for whom Direct Send does not reach
    account: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    drop: tuple = ()
    login: bool = True
    stalls: bool = False
    stdin: bytes = MESSAGE
    has_dead_port: bool = False
    loses_secret: bool = False


#: DATA in place of BDAT
DATA = ("CHUNKING",)
#: Larger than what the sockets hold: it is not sent to the end.
LARGE = message((b"x" * 98 + b"\r\n") * 160_000)
HELLO = "250-XX0P000CA0001.outlook.office365.com Hello [127.0.0.1]\n"

#: Direct Send takes the internal recipients.
TAKEN = {
    "connect-refused": Place(has_dead_port=True, says=("firewall",)),
    "connect-reset": Place((at("connect", "reset"),)),
    "connect-closed": Place((at("connect", "close"),)),
    "banner-421": Place((at("banner", "reply", "421 4.3.2 not now"),)),
    "banner-554": Place((at("banner", "reply", "554 5.7.1 go away"),)),
    "banner-stalls": Place((at("banner", "stall"),), ("time-out",),
                           stalls=True),
    "banner-garbage": Place((at("banner", "garbage", "digits"),)),
    "ehlo-421": Place((at("ehlo", "reply", "421 4.3.2 not now"),)),
    "ehlo-501": Place((at(
        "ehlo", "reply", "501 5.5.4 Invalid domain name"),)),
    "starttls-missing": Place(
        (at("ehlo", "reply", HELLO + "250 SIZE 157286400"),), ("STARTTLS",)),
    "starttls-454": Place((at("starttls", "reply", "454 4.7.0 no TLS"),)),
    "starttls-injected": Place((at("starttls", "inject"),), ("interferes",)),
    "tls-closed": Place((at("tls", "close"),)),
    "tls-garbage": Place((at("tls", "raw", "220 hello\r\n"),)),
    "certificate-expired": Place(
        says=("expired",), settings={"submission_certificate": "expired"}),
    "certificate-of-another": Place(
        says=("mismatch",), settings={"submission_certificate": "wrong-name"}),
    "certificate-self-signed": Place(
        settings={"submission_certificate": "self-signed"}),
    "ehlo-under-TLS-421": Place((at("ehlo2", "reply", "421 4.3.2 no"),)),
    "auth-not-offered": Place(drop=("LOGIN",), says=("AUTH LOGIN",)),
    "auth-535-5.7.3": Place(
        (at("auth", "reply", "535 5.7.3 Authentication unsuccessful"),),
        ("Add-MailboxPermission",), 77, login=False),
    "auth-535-5.7.139": Place(
        (at("auth", "reply", "535 5.7.139 Authentication unsuccessful, "
            "SmtpClientAuthentication is disabled for the Tenant."),),
        ("Set-CASMailbox",), 77),
    "auth-password": Place(
        (at("auth-continue", "reply", "535 5.7.139 Authentication "
            "unsuccessful, the user credentials were incorrect.", nth=2),),
        ("password_file",), 77),
    "auth-454": Place((at(
        "auth", "reply", "454 4.7.0 Temporary authentication failure"),)),
    "auth-421": Place((at("auth", "reply", "421 4.3.2 not now"),)),
    "auth-closed": Place((at("auth", "close"),)),
    "secret-missing": Place(
        says=("client-secret",), status=78, login=False, loses_secret=True),
    "token-AADSTS7000222": Place(
        (Rule("token", "error", 7000222),), ("AADSTS7000222", "expired"), 77,
        login=False),
    "token-AADSTS90033": Place(
        (Rule("token", "error", 90033),), ("AADSTS90033",), login=False),
    "token-503": Place(
        (Rule("token", "http", {"status": 503}),), ("HTTP 503",),
        login=False),
    "token-closed": Place((Rule("token-connect", "close"),), login=False),
    "token-no-json": Place((Rule("token", "not-json"),), login=False),
    "token-certificate": Place(
        says=("certificate",), login=False,
        settings={"entra_certificate": "self-signed"}),
    "token-endpoint-down": Place(
        says=("no connection",), login=False, has_dead_port=True),
    "mail-421": Place((at("mail", "reply", "421 4.3.2 going down"),)),
    "mail-530": Place(
        (at("mail", "reply", "530 5.7.57 Client not authenticated"),),
        ("5.7.57",), 77),
    "rcpt-421": Place((at("rcpt", "reply", "421 4.3.2 going down"),)),
    "rcpt-421-second": Place(
        (at("rcpt", "reply", "421 4.3.2 going down", nth=2),)),
    "rcpt-451-held-back": Place(
        (at("rcpt", "reply", "451 4.7.500 Access denied, try later"),)),
    "data-421": Place(
        (at("data", "reply", "421 4.3.2 going down"),), drop=DATA),
    "body-closed": Place((at("body", "close", 100_000),), stdin=LARGE),
    "body-reset": Place(
        (at("body", "reset", 100_000),), stdin=LARGE, drop=DATA),
    "end-421": Place((at("final", "reply", "421 4.3.2 going down"),)),
    "end-421-of-data": Place(
        (at("final", "reply", "421 4.3.2 going down"),), drop=DATA),
    "end-432-too-many-connections": Place(
        (at("final", "reply", "432 4.3.2 Concurrent connections limit"),)),
    "end-554-quota": Place(
        (at("final", "reply", "554 5.2.0 STOREDRV; Submission"
            "QuotaExceededException"),), ("too many",)),
    "end-550-banned": Place(
        (at("final", "reply", "550 5.1.8 Access denied, bad outbound "
            "sender"),), ("restrictedentities",)),
}

#: Exchange has judged the message, or all of its recipients.
JUDGED = {
    "mail-451": Place((at("mail", "reply", "451 4.3.0 later"),)),
    "mail-501": Place(
        (at("mail", "reply", "501 5.1.7 Invalid address"),), status=65,
        stands="bounced"),
    "rcpt-450": Place((at("rcpt", "reply", "450 4.2.2 busy"),)),
    "rcpt-550": Place(
        (at("rcpt", "reply", "550 5.1.10 RecipientNotFound"),), status=67,
        stands="bounced"),
    "rcpt-550-5.7.133": Place(
        (at("rcpt", "reply", "550 5.7.133 SenderNotAuthenticatedForGroup"),),
        status=69, stands="bounced"),
    "data-451": Place((at("data", "reply", "451 4.3.0 later"),), drop=DATA),
    "data-554": Place(
        (at("data", "reply", "554 5.6.0 no"),), status=65, stands="bounced",
        drop=DATA),
    "end-451": Place((at("final", "reply", "451 4.3.0 later"),)),
    "end-554-send-as": Place(
        (at("final", "reply", "554 5.2.252 SendAsDenied"),), status=69,
        stands="bounced"),
    "end-554-content": Place(
        (at("final", "reply", "554 5.6.0 Corrupt message content"),),
        status=65, stands="bounced", drop=DATA),
    "end-552-size": Place(
        (at("final", "reply", "552 5.3.4 Message size exceeds fixed"),),
        status=65, stands="bounced"),
    "size-announced": Place(
        status=65, stands="bounced", settings={"size_limit": 1000},
        stdin=message(b"x" * 78 + b"\r\n" * 1000)),
}

#: The message went out and the answer did not come: it may have arrived.
LOST = ("may have been delivered",)
UNCERTAIN = {
    "end-lost": Place((at("final", "lose"),), LOST),
    "end-lost-of-data": Place((at("final", "lose"),), LOST, drop=DATA),
    "end-closed": Place((at("final", "close"),), LOST),
    "end-reset": Place((at("final", "reset"),), LOST),
    "end-stalls": Place((at("final", "stall"),), LOST, stalls=True),
    "end-half": Place((at("final", "close-mid"),), LOST),
    "end-half-of-data": Place(
        (at("final", "close-mid"),), LOST, drop=DATA),
    "end-garbage": Place((at("final", "garbage", "digits"),), LOST),
    "end-two-codes": Place(
        (at("final", "raw", "250-one\r\n550 other\r\n"),), LOST),
    "body-closed-behind-the-commands": Place((at("body", "close"),), LOST),
    "all-answers-lost": Place(
        (at("mail", "mute"), at("rcpt", "mute"), at("final", "lose")), LOST),
}

PLACES = {**TAKEN, **JUDGED, **UNCERTAIN}


def test_no_place_is_missing():
    """Every phase of the dialogue, and the token endpoint."""
    assert len(PLACES) == len(TAKEN) + len(JUDGED) + len(UNCERTAIN)
    phases = {rule.phase for place in PLACES.values()
              for rule in place.rules}
    assert phases == {
        "connect", "banner", "ehlo", "starttls", "tls", "ehlo2", "auth",
        "auth-continue", "mail", "rcpt", "data", "body", "final",
        "token-connect", "token"}


def run(directory, place, dead_port, state):
    """Send one message to two internal and two external recipients."""
    scenario = Scenario(*place.rules, drop_capability=place.drop)
    with Tenant(scenario=scenario, **place.settings) as tenant:
        mail = Programs(directory)
        mail.tenant = tenant
        account = {"timeout": STALL} if place.stalls else {}
        if place.has_dead_port and place.login:
            account["port"] = dead_port
        elif place.has_dead_port:
            account["authority"] = f"https://localhost:{dead_port}"
        set_up(mail, login=place.login, **account,
               direct=None if state == "on" else False)
        if place.loses_secret:
            (mail.directory / "client-secret").unlink()
        result = send(mail, *RECIPIENTS["mixed"], stdin=place.stdin)
        return mail, result


def check_words(place, result):
    for word in place.says:
        assert word.lower() in line_of(result).lower(), line_of(result)


#: Places that are enough for valgrind.
EXAMPLES = {"connect-refused", "auth-535-5.7.139", "rcpt-421-second",
            "end-lost", "end-554-send-as"}


def names(places):
    return [pytest.param(name, marks=[] if name in EXAMPLES else slow)
            for name in places]


@pytest.mark.parametrize("name", names(TAKEN))
def test_failure_that_direct_send_gets_round(tmp_path, dead_port, name):
    place = TAKEN[name]
    mail, result = run(tmp_path, place, dead_port, "on")
    assert result.returncode == 75, line_of(result)
    assert words(result) == {
        to: "sent" if is_internal(to) else "deferred"
        for to in RECIPIENTS["mixed"]}
    assert received(mail.tenant) == [(MX, [BOSS, COLLEAGUE])]
    check_words(place, result)
    assert "may have been" not in line_of(result)
    assert "sent to 2 of 4" in line_of(result)
    for to in RECIPIENTS["mixed"]:
        assert (to in line_of(result)) == (not is_internal(to))


@pytest.mark.parametrize("name", names({**JUDGED, **UNCERTAIN}))
def test_failure_that_stands(tmp_path, dead_port, name):
    place = PLACES[name]
    mail, result = run(tmp_path, place, dead_port, "on")
    assert result.returncode == place.status, line_of(result)
    assert words(result) == {
        to: place.stands for to in RECIPIENTS["mixed"]}
    assert MX not in [service for service, _ in received(mail.tenant)]
    assert connections(mail.tenant) == 0
    check_words(place, result)
    assert kept(mail, PARTIAL) == []


@slow
@pytest.mark.parametrize("name", PLACES)
def test_same_failure_without_direct_send(tmp_path, dead_port, name):
    place = PLACES[name]
    mail, result = run(tmp_path, place, dead_port, "off")
    assert result.returncode == place.status, line_of(result)
    assert words(result) == {
        to: place.stands for to in RECIPIENTS["mixed"]}
    assert connections(mail.tenant) == 0
    check_words(place, result)
    assert "Direct Send" not in line_of(result)


def test_recipients_of_the_next_transaction_have_not_got_it(given):
    """The answer to the first message is lost: nothing was said of others."""
    mail = given(at("final", "lose"))
    set_up(mail, recipients_per_message=1)
    result = send(mail, BOSS, COLLEAGUE, OUTSIDER)
    assert result.returncode == 75
    assert words(result) == {
        BOSS: "deferred", COLLEAGUE: "sent", OUTSIDER: "deferred"}
    assert received(mail.tenant) == [(SUBMISSION, [BOSS]), (MX, [COLLEAGUE])]
    told = [line for line in result.stderr.decode().splitlines()
            if "status=deferred" in line and "may have been" in line]
    assert len(told) == 1 and BOSS in told[0]


@pytest.mark.parametrize("rules, says", [
    ([at_mx("final", "lose")], ["may have been delivered"]),
    ([at_mx("final", "stall")], ["may have been delivered", "time-out"]),
], ids=["lost", "stalls"])
def test_answer_of_the_mx_is_lost(given, dead_port, rules, says):
    mail = given(*rules)
    set_up(mail, port=dead_port, timeout=STALL)
    result = send(mail, BOSS)
    assert result.returncode == 75
    assert words(result) == {BOSS: "deferred"}
    for word in says:
        assert word in line_of(result)
    assert connections(mail.tenant) == 1
    assert kept(mail, CLOSED) == []


def test_submission_host_without_an_address(given, resolver):
    mail = given()
    mail.prefix = resolver.prefix
    set_up(mail, host="smtp.contoso.example")
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(mail.tenant) == [(MX, [BOSS])]
    assert resolver.questions == [
        "A smtp.contoso.example", "AAAA smtp.contoso.example"]


def test_message_is_the_same_on_both_ways(given, dead_port):
    """Sender, header and body are those of the account."""
    mail = given()
    given_as = MESSAGE.replace(
        b"alerts@contoso.example", b"Web Shop <shop@web1.example>", 1)
    for port in (mail.tenant.smtp_port, dead_port):
        set_up(mail, port=port)
        assert_sent(mail.sendmail(
            "-f", "shop@web1.example", BOSS, stdin=given_as))
    first, second = mail.tenant.messages
    assert (first.service, second.service) == (SUBMISSION, MX)
    assert first.sender == second.sender == "alerts@contoso.example"
    assert first.raw == second.raw


# ---- a message that reaches a part of its recipients ----

@pytest.fixture
def half_sent(given, dead_port):
    """Programs that have reached BOSS but not OUTSIDER with MESSAGE."""
    mail = given()
    set_up(mail, port=dead_port)
    result = mail.sendmail(BOSS, OUTSIDER, stdin=MESSAGE)
    assert_fatal(result, 75, "sent to 1 of 2", f"not to {OUTSIDER}")
    assert received(mail.tenant) == [(MX, [BOSS])]
    set_up(mail)
    return mail


def test_second_attempt_sends_to_the_others_only(half_sent):
    mail = half_sent
    result = send(mail, BOSS, OUTSIDER)
    assert result.returncode == 0
    assert words(result) == {BOSS: "sent", OUTSIDER: "sent"}
    assert received(mail.tenant) == [(MX, [BOSS]), (SUBMISSION, [OUTSIDER])]
    assert mail.tenant.messages[0].raw == mail.tenant.messages[1].raw
    assert "an earlier attempt has sent it" in result.stderr.decode()


def test_attempts_without_recovery_repeat_nothing(half_sent, dead_port):
    mail = half_sent
    set_up(mail, port=dead_port)
    for _ in range(3):
        result = mail.sendmail(BOSS, OUTSIDER, stdin=MESSAGE)
        assert_fatal(result, 75, f"not to {OUTSIDER}")
    assert received(mail.tenant) == [(MX, [BOSS])]
    set_up(mail)
    assert_sent(mail.sendmail(BOSS, OUTSIDER, stdin=MESSAGE))
    assert copies(mail.tenant) == {BOSS: 1, OUTSIDER: 1}


def test_each_attempt_may_reach_some_more(given, dead_port):
    """The MX takes one recipient at the first attempt, one at the second."""
    mail = given(at_mx("rcpt", "reply", "450 4.2.2 busy", nth=2))
    set_up(mail, port=dead_port)
    result = send(mail, BOSS, COLLEAGUE, OUTSIDER)
    assert words(result) == {
        BOSS: "sent", COLLEAGUE: "deferred", OUTSIDER: "deferred"}
    result = send(mail, BOSS, COLLEAGUE, OUTSIDER)
    assert words(result) == {
        BOSS: "sent", COLLEAGUE: "sent", OUTSIDER: "deferred"}
    set_up(mail)
    assert_sent(mail.sendmail(BOSS, COLLEAGUE, OUTSIDER, stdin=MESSAGE))
    assert received(mail.tenant) == [
        (MX, [BOSS]), (MX, [COLLEAGUE]), (SUBMISSION, [OUTSIDER])]


def test_order_and_case_of_recipients_do_not_matter(half_sent):
    mail = half_sent
    assert_sent(mail.sendmail(
        OUTSIDER, "boss@CONTOSO.example", stdin=MESSAGE))
    assert received(mail.tenant)[1:] == [(SUBMISSION, [OUTSIDER])]


DIFFERENT = {
    "body": (MESSAGE + b"and more\r\n", []),
    "last-octet": (MESSAGE.replace(b"well", b"welL"), []),
    "date": (MESSAGE.replace(b"07:37:54", b"07:37:55"), []),
    "message-id": (MESSAGE.replace(b"<1@web1", b"<2@web1"), []),
    "subject": (MESSAGE.replace(b"backup", b"BACKUP"), []),
    "more-fields": (message(b"all is well\r\n", "X-Try: 2"), []),
    "sender": (MESSAGE, ["-f", "root@web2.example"]),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_message_goes_to_everybody(half_sent, name):
    mail = half_sent
    stdin, options = DIFFERENT[name]
    assert_sent(mail.sendmail(*options, BOSS, OUTSIDER, stdin=stdin))
    assert received(mail.tenant)[1:] == [(SUBMISSION, [BOSS, OUTSIDER])]


def test_message_without_a_date_is_new_each_time(given, dead_port):
    """A program that repeats itself writes new messages."""
    mail = given()
    stdin = b"Subject: disk is full\n\n97 %\n"
    set_up(mail, port=dead_port)
    assert mail.sendmail(BOSS, OUTSIDER, stdin=stdin).returncode == 75
    set_up(mail)
    # Date has seconds; Message-ID is never the same.
    assert_sent(mail.sendmail(BOSS, OUTSIDER, stdin=stdin))
    assert copies(mail.tenant) == {BOSS: 2, OUTSIDER: 1}


def test_same_message_again_after_success_goes_to_everybody(half_sent):
    """It was the caller's wish, and no attempt is unfinished."""
    mail = half_sent
    for _ in range(2):
        assert_sent(mail.sendmail(BOSS, OUTSIDER, stdin=MESSAGE))
    assert received(mail.tenant) == [
        (MX, [BOSS]), (SUBMISSION, [OUTSIDER]),
        (SUBMISSION, [BOSS, OUTSIDER])]
    assert kept(mail, PARTIAL) == []


@pytest.mark.parametrize("seconds", [0, 1 << 62, -5, "soon"])
def test_attempt_of_another_time_is_forgotten(half_sent, seconds):
    mail = half_sent
    [path] = kept(mail, PARTIAL)
    let_time_pass(path, seconds)
    assert_sent(mail.sendmail(BOSS, OUTSIDER, stdin=MESSAGE))
    assert received(mail.tenant)[1:] == [(SUBMISSION, [BOSS, OUTSIDER])]
    assert kept(mail, PARTIAL) == []


def test_what_is_kept_is_for_nobody_else(half_sent):
    [path] = kept(half_sent, PARTIAL)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert b"all is well" not in path.read_bytes()
    path.chmod(0o644)
    assert_sent(half_sent.sendmail(BOSS, OUTSIDER, stdin=MESSAGE))
    assert received(half_sent.tenant)[1:] == [(SUBMISSION, [BOSS, OUTSIDER])]


def no_directory(mail):
    mail.state.write_text("a file\n")


def open_directory(mail):
    mail.state.mkdir()
    mail.state.chmod(0o777)


@pytest.mark.parametrize("prepare", [no_directory, open_directory])
def test_without_a_state_directory(given, dead_port, prepare):
    """Nothing is remembered, and all works."""
    mail = given()
    prepare(mail)
    set_up(mail, port=dead_port)
    result = mail.sendmail(BOSS, OUTSIDER, stdin=MESSAGE)
    assert_fatal(result, 75, "sent to 1 of 2", f"not to {OUTSIDER}")
    mail.tenant.settings.reject_direct_send = True
    for _ in range(2):
        result = mail.sendmail(COLLEAGUE, stdin=MESSAGE)
        assert_fatal(result, 75, "5.7.68")
    assert connections(mail.tenant) == 3
    set_up(mail)
    assert_sent(mail.sendmail(BOSS, OUTSIDER, stdin=MESSAGE))
    assert copies(mail.tenant) == {BOSS: 2, OUTSIDER: 1}


# ---- nobody signs in ----

@pytest.fixture
def alone(given):
    """Make programs that have Direct Send and no submission host."""
    def make(*rules, **options):
        return set_up(given(*rules, **options), **NO_SIGN_IN)
    return make


def test_direct_send_alone(alone):
    mail = alone()
    assert_sent(mail.sendmail(BOSS, COLLEAGUE, stdin=MESSAGE))
    [sent] = mail.tenant.messages
    assert (sent.service, sent.recipients, sent.user, sent.tls) == (
        MX, [BOSS, COLLEAGUE], "", True)
    assert {c.service for c in mail.tenant.connections} == {MX}


def test_external_recipient_of_direct_send_alone(alone):
    mail = alone()
    result = mail.sendmail(OUTSIDER, stdin=MESSAGE)
    assert_fatal(result, 69, "fabrikam.example", "internal_domains",
                 "account that signs in")
    assert mail.tenant.connections == []


def test_mixed_recipients_of_direct_send_alone(alone):
    mail = alone()
    result = send(mail, BOSS, OUTSIDER)
    assert result.returncode == 69
    assert words(result) == {BOSS: "sent", OUTSIDER: "bounced"}
    assert "sent to 1 of 2" in line_of(result)
    assert OUTSIDER in line_of(result)
    assert kept(mail, PARTIAL) == []


@pytest.mark.parametrize("reply, status, word", [
    ("550 5.4.1 Recipient address rejected: Access denied.", 69, "bounced"),
    ("550 5.1.10 RecipientNotFound", 67, "bounced"),
    ("450 4.2.2 Mailbox is busy", 75, "deferred"),
    ("550 5.7.68 TenantInboundAttribution; Direct Send not allowed", 75,
     "deferred"),
    ("550 5.7.64 TenantAttribution; Relay Access Denied", 75, "deferred"),
])
def test_reply_to_direct_send_alone(alone, reply, status, word):
    """It is all there is; a way that is closed may open again."""
    mail = alone(at_mx("rcpt", "reply", reply))
    for _ in range(2):
        result = send(mail, BOSS)
        assert result.returncode == status
        assert words(result) == {BOSS: word}
        assert line_of(result).startswith("sendmail: fatal: Direct Send: ")
        assert reply in line_of(result)
    is_closed = ".7.6" in reply
    assert len(kept(mail, CLOSED)) == is_closed
    assert connections(mail.tenant) == (1 if is_closed else 2)


def test_nothing_to_send_with_is_no_configuration(given):
    mail = given()
    set_up(mail, direct=False, **NO_SIGN_IN)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 78, "auth = none", "direct_send")
