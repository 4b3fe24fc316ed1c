"""Against Postfix and Dovecot: servers that were not made for us."""
import os

import postfix
import pytest
from fake365 import ALERTS, PASSWORD, Tenant

TO = "ops@contoso.example"
MANY = [f"r{number:04}@contoso.example" for number in range(1200)]
HEAD = (b"From: alerts@contoso.example\nTo: ops@contoso.example\n"
        b"Subject: to Postfix\nMIME-Version: 1.0\n"
        b"Content-Type: text/plain; charset=utf-8\n"
        b"Content-Transfer-Encoding: 8bit\n\n")
BODY = ("one\n.\n..\n. \n\n\ncaf\u00e9 \u20ac\n\ttab and blanks  \n"
        + "x" * 990 + "\nFrom here\nlast\n").encode()

pytestmark = pytest.mark.skipif(
    postfix.why_not() is not None, reason=str(postfix.why_not()))


@pytest.fixture(scope="module")
def running():
    with Tenant() as tenant, postfix.started(tenant) as server:
        yield server


@pytest.fixture
def server(running):
    """The server, as if nothing had happened there yet."""
    running.forget()
    running.tenant.journal.clear()
    yield running
    running.tenant.directory.mailbox(ALERTS).password = PASSWORD
    running.tenant.settings.token_lifetime = 3599


@pytest.fixture(params=["XOAUTH2", "LOGIN"])
def mail(request, programs, server):
    """The programs, configured for the server with each mechanism."""
    return use(programs, server, login=request.param == "LOGIN")


def use(programs, server, **options):
    # Certificates of Postfix and of Entra come from different authorities.
    both = programs.directory / "authorities.pem"
    both.write_bytes(b"".join(
        open(name, "rb").read()
        for name in (server.ca_file, server.tenant.ca_file)))
    options.setdefault("port", server.port)
    return programs.use(server.tenant, ca_file=both, **options)


def assert_sent(done):
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def relayed(server):
    """The one message that Postfix has passed on."""
    assert server.tenant.wait_for_messages(1), server.log
    assert len(server.tenant.messages) == 1
    message = server.tenant.messages[0]
    assert message.sender == ALERTS
    return message


def crlf(text):
    return text.replace(b"\n", b"\r\n")


def test_body_arrives_unchanged(mail, server):
    assert_sent(mail.sendmail("-i", TO, stdin=HEAD + BODY))
    message = relayed(server)
    assert message.body == crlf(BODY)
    assert message.recipients == [TO]
    assert message.parsed["Subject"] == "to Postfix"
    session = server.session()
    assert (session["auth"], session["bdat"]) == ("1", "1")
    assert "data" not in session


def test_without_chunking_it_is_data(mail, programs, server):
    login = "password_file" in open(programs.config).read()
    use(programs, server, login=login, port=server.data_port)
    assert_sent(mail.sendmail("-i", TO, stdin=HEAD + BODY))
    assert relayed(server).body == crlf(BODY)
    session = server.session()
    assert session["data"] == "1"
    assert "bdat" not in session


@pytest.mark.parametrize("port", ["port", "data_port"])
def test_empty_body(programs, server, port):
    use(programs, server, port=getattr(server, port))
    assert_sent(programs.sendmail(TO, stdin=HEAD))
    assert relayed(server).body == b""


@pytest.mark.parametrize("limit, transactions", [(1000, 2), (500, 3)])
def test_many_recipients(mail, programs, server, limit, transactions):
    login = "password_file" in open(programs.config).read()
    use(programs, server, login=login, recipients_per_message=limit)
    assert_sent(programs.sendmail("-i", *MANY, stdin=HEAD + BODY))
    assert server.tenant.wait_for_messages(transactions), server.log
    messages = server.tenant.messages
    assert len(messages) == transactions
    assert sorted(sum((m.recipients for m in messages), [])) == MANY
    assert {m.body for m in messages} == {crlf(BODY)}
    session = server.session()
    assert (session["mail"], session["rcpt"]) == (str(transactions), "1200")


@pytest.mark.slow
@pytest.mark.parametrize("port", ["port", "data_port"])
def test_35_megabytes(programs, server, port):
    use(programs, server, port=getattr(server, port))
    line = b".0123456789" * 7 + b"\n"
    body = line * (35_000_000 // len(line))
    assert_sent(programs.sendmail("-i", TO, stdin=HEAD + body))
    assert relayed(server).body == crlf(body)


def test_message_that_is_too_large(programs, server):
    """Postfix announces its limit in SIZE."""
    use(programs, server)
    body = b"0123456789abcde\n" * (postfix.MESSAGE_LIMIT // 16)
    done = programs.sendmail("-i", TO, stdin=HEAD + body)
    assert done.returncode == os.EX_DATAERR
    assert str(postfix.MESSAGE_LIMIT).encode() in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert "bdat" not in server.session()


def test_plain_where_there_is_no_login(programs, server):
    use(programs, server, login=True, port=server.plain_port)
    assert_sent(programs.sendmail("-i", TO, stdin=HEAD + BODY))
    assert relayed(server).body == crlf(BODY)
    assert server.session()["auth"] == "1"
    assert "sasl_method=PLAIN, sasl_username=" + ALERTS in server.log


@pytest.mark.parametrize("port", ["port", "plain_port"])
def test_wrong_password(programs, server, port):
    server.tenant.directory.mailbox(ALERTS).password = "wrong~password"
    use(programs, server, login=True, port=getattr(server, port))
    done = programs.sendmail(TO, stdin=HEAD + BODY)
    assert done.returncode == os.EX_NOPERM
    assert done.stderr.startswith(b"sendmail: fatal: ")
    assert done.stderr.count(b"\n") == 1
    assert b"wrong~password" not in done.stderr
    assert server.session()["auth"] == "0/1"


def test_revoked_token_is_replaced(programs, server):
    use(programs, server)
    assert_sent(programs.sendmail(TO, stdin=HEAD + BODY))
    server.tenant.revoke_tokens()
    assert_sent(programs.sendmail(TO, stdin=HEAD + BODY))
    assert server.tenant.wait_for_messages(2)
    assert len(server.tenant.token_requests) == 2


def test_token_that_is_never_accepted(programs, server):
    server.tenant.settings.token_lifetime = 0
    use(programs, server)
    done = programs.sendmail(TO, stdin=HEAD + BODY)
    assert done.returncode == os.EX_NOPERM
    assert done.stderr.count(b"\n") == 1
    assert server.session()["auth"] == "0/1"


def test_unknown_recipient(mail, server):
    done = mail.sendmail(postfix.UNKNOWN, stdin=HEAD + BODY)
    assert done.returncode == os.EX_NOUSER
    assert postfix.UNKNOWN.encode() in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not server.tenant.messages


def test_unknown_recipient_beside_a_good_one(mail, server):
    done = mail.sendmail(TO, postfix.UNKNOWN, stdin=HEAD + BODY)
    assert done.returncode == os.EX_NOUSER
    assert postfix.UNKNOWN.encode() in done.stderr
    assert TO.encode() not in done.stderr
    assert relayed(server).recipients == [TO]


def test_certificate_of_another_authority(programs, server):
    programs.use(server.tenant, port=server.port, login=True)
    done = programs.sendmail(TO, stdin=HEAD + BODY)
    assert done.returncode == os.EX_TEMPFAIL
    assert b"does not verify" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert "auth" not in server.session()
    assert not server.tenant.messages
