"""-N, -R and -V: what the sender wants to know, asked of Exchange."""
import pytest
from support import BOSS, MESSAGE, assert_sent, spoken

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
