"""-N, -R and -V: what the sender wants to know, asked of Exchange."""
import pytest
from fake365 import Rule
from service import Service
from support import BOSS, COLLEAGUE, MESSAGE, assert_sent, spoken

ENVELOPE = (b"EHLO c\r\nMAIL FROM:<alerts@contoso.example> RET=HDRS "
            b"ENVID=env+2Bid\r\nRCPT TO:<boss@contoso.example> "
            b"NOTIFY=FAILURE,DELAY ORCPT=rfc822;b\r\nDATA\r\n\r\n.\r\n")


@pytest.mark.parametrize("words, mail_words, rcpt_words", [
    ("-N failure,delay -R hdrs -V id-1", " RET=HDRS ENVID=id-1",
     " NOTIFY=FAILURE,DELAY"),
    ("-Nnever", "", " NOTIFY=NEVER"),
    ("-Rfull -Venv+id", " RET=FULL ENVID=env+2Bid", ""),
    ("-N bogus -R bogus", "", ""),
    ("-N failure -N bogus", "", " NOTIFY=FAILURE"),
    ("", "", ""),
])
def test_options_reach_exchange(mail, words, mail_words, rcpt_words):
    assert_sent(mail.sendmail(*words.split(), BOSS, stdin=MESSAGE))
    command, = spoken(mail.tenant, "MAIL")
    assert command.partition(" SIZE=")[2].lstrip("0123456789") == mail_words
    assert spoken(mail.tenant, "RCPT") == [f"RCPT TO:<{BOSS}>{rcpt_words}"]


def test_parameters_of_bs_reach_exchange(mail):
    done = mail.sendmail("-bs", stdin=ENVELOPE)
    assert b"\r\n250-DSN\r\n" in done.stdout
    assert spoken(mail.tenant, "MAIL")[0].endswith(" RET=HDRS ENVID=env+2Bid")
    assert spoken(mail.tenant, "RCPT") == [
        f"RCPT TO:<{BOSS}> NOTIFY=FAILURE,DELAY"]


def test_nothing_is_asked_of_a_server_that_does_not_offer_it(given):
    mail = given(drop=("DSN",))
    assert_sent(mail.sendmail("-N", "never", "-R", "hdrs", "-V", "x", BOSS,
                              stdin=MESSAGE))
    assert "RET" not in spoken(mail.tenant, "MAIL")[0]
    assert spoken(mail.tenant, "RCPT") == [f"RCPT TO:<{BOSS}>"]


@pytest.mark.parametrize("value", [
    "a\r\nRSET", "x\ny", "j\u00f6rg", "a" * 101])
def test_values_never_become_commands(mail, value):
    assert_sent(mail.sendmail("-V", value, "-N", value, BOSS, stdin=MESSAGE))
    assert "ENVID" not in spoken(mail.tenant, "MAIL")[0]
    assert not spoken(mail.tenant, "RSET")


# ---- through the queue ----

@pytest.fixture
def make_service(given):
    made = []

    def make(*rules, **options):
        made.append(Service(given(*rules, **options), retry_first="1s"))
        return made[-1].configure().start()

    yield make
    for one in made:
        one.stop()


@pytest.mark.slow
@pytest.mark.parametrize("words, stdin", [
    (["-N", "failure,delay", "-R", "hdrs", "-V", "env+id", BOSS], MESSAGE),
    (["-bs"], ENVELOPE + b"QUIT\r\n")], ids=["options", "bs"])
def test_the_queue_keeps_what_was_asked_for(make_service, words, stdin):
    service = make_service(Rule("connect", "close", nth=1))
    done = service.sendmail(*words, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    tenant = service.mail.tenant
    assert tenant.wait_for_messages(1)
    assert spoken(tenant, "MAIL")[0].endswith(" RET=HDRS ENVID=env+2Bid")
    assert spoken(tenant, "RCPT") == [
        f"RCPT TO:<{BOSS}> NOTIFY=FAILURE,DELAY"]


@pytest.mark.slow
@pytest.mark.parametrize("notify, count", [
    ("never", 0), ("success,delay", 0), ("failure", 1)])
def test_who_wants_no_notice_gets_none(make_service, notify, count):
    service = make_service(recipients={BOSS: "550 5.1.10 unknown"})
    assert_sent(service.sendmail("-N", notify, "-f", COLLEAGUE, BOSS,
                                 stdin=MESSAGE))
    service.wait_for_log(r"status=bounced")
    service.wait_until_empty()
    assert len(service.mail.tenant.messages) == count


@pytest.mark.slow
def test_bs_answers_when_the_message_is_queued(make_service):
    service = make_service(Rule("connect", "close"))
    done = service.sendmail("-bs", stdin=ENVELOPE + ENVELOPE + b"QUIT\r\n")
    assert done.stdout.count(b"\r\n250 2.0.0 Ok\r\n") == 2
    assert len(service.files()) == 2


# ---- addresses that are not ASCII ----

@pytest.mark.parametrize("words", [
    ["j\u00f6rg@contoso.example"], ["-f", "j\u00f6rg@x.org", BOSS]])
def test_utf8_addresses_go_where_they_are_offered(mail, words):
    done = mail.sendmail(*words, stdin=MESSAGE)
    assert_sent(done)
    utf8 = "-f" not in words  # the sender is replaced by the account
    assert spoken(mail.tenant, "MAIL")[0].endswith(" SMTPUTF8") == utf8


def test_utf8_addresses_are_refused_where_they_are_not_offered(given):
    mail = given(drop=("SMTPUTF8",))
    done = mail.sendmail("j\u00f6rg@contoso.example", stdin=MESSAGE)
    assert done.returncode != 0
    assert b"does not take addresses with non-ASCII" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not mail.tenant.messages
