"""The stand-in tested with clients that are not ours.

Run as: /usr/bin/python3 -m pytest tests/fake365 -q
"""

import base64
import json
import smtplib
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from . import ALERTS, KINDS, PASSWORD, SCOPE, Proxy, Rule, Scenario, Tenant

FROM = f"From: {ALERTS}\r\n"
MESSAGE = (
    f"{FROM}To: you@fabrikam.example\r\nSubject: x\r\n\r\n"
    "one\r\n.two\r\n..three\r\n"
).encode()
TO = "you@fabrikam.example"
STUCK = 60  # seconds


@pytest.fixture(name="tenant")
def _tenant():
    with Tenant() as tenant:
        yield tenant


# Clients


def trust(tenant):
    context = ssl.create_default_context(cafile=tenant.ca_file)
    context.hostname_checks_common_name = False
    return context


def fetch_token(tenant, /, **changes):
    """Ask for a token; return (HTTP status, JSON)."""
    form = {
        "client_id": tenant.client_id,
        "scope": SCOPE,
        "client_secret": tenant.client_secret,
        "grant_type": "client_credentials",
        **changes,
    }
    name = form.pop("tenant", tenant.domain)
    request = urllib.request.Request(
        f"{tenant.authority}/{name}/oauth2/v2.0/token",
        urllib.parse.urlencode(form).encode(),
    )
    try:
        with urllib.request.urlopen(
            request, timeout=STUCK, context=trust(tenant)
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def xoauth2(token, user=ALERTS):
    text = f"user={user}\1auth=Bearer {token}\1\1"
    return base64.b64encode(text.encode()).decode()


def connect(tenant, port=None):
    """EHLO, STARTTLS, EHLO."""
    client = smtplib.SMTP(
        "localhost", port or tenant.smtp_port, timeout=STUCK
    )
    client.ehlo("web1.fabrikam.example")
    client.starttls(context=trust(tenant))
    client.ehlo("web1.fabrikam.example")
    return client


def sign_in(tenant, port=None):
    """A session that may send."""
    token = fetch_token(tenant)[1]["access_token"]
    client = connect(tenant, port)
    code, _ = client.docmd("AUTH", "XOAUTH2 " + xoauth2(token))
    assert code == 235
    return client


def envelope(client, sender=ALERTS, recipient=TO):
    assert client.mail(sender)[0] == 250
    assert client.rcpt(recipient)[0] == 250


def send(client, message=MESSAGE, sender=ALERTS):
    """One message by DATA; return the final (code, text)."""
    envelope(client, sender)
    return client.data(message)


class Raw:
    """A client that says exactly what it is told to."""

    def __init__(self, port):
        self.sock = socket.create_connection(("localhost", port), STUCK)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def secure(self, tenant):
        """Handshake, after STARTTLS."""
        self.file.close()
        self.sock = trust(tenant).wrap_socket(
            self.sock, server_hostname="localhost"
        )
        self.file = self.sock.makefile("rb")

    def say(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        self.sock.sendall(data)

    def reply(self):
        """Read one reply, return its last line."""
        while True:
            line = self.file.readline().decode("latin-1")
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    def ask(self, line):
        self.say(line + "\r\n")
        return self.reply()

    def sign_in(self, tenant):
        """All up to 235, without waiting where one need not."""
        token = fetch_token(tenant)[1]["access_token"]
        self.reply()
        self.ask("EHLO x")
        assert self.ask("STARTTLS").startswith("220 ")
        self.secure(tenant)
        self.ask("EHLO x")
        return self.ask("AUTH XOAUTH2 " + xoauth2(token))


# The ordinary course


def test_dialogue_is_exchanges(tenant):
    with Raw(tenant.smtp_port) as client:
        client.reply()
        client.ask("EHLO [192.0.2.1]")
        client.ask("STARTTLS")
        client.secure(tenant)
        client.ask(f"MAIL FROM:<{ALERTS}>")
        client.ask("EHLO web1")
        client.ask(f"MAIL FROM:<{ALERTS}>")
    lines = tenant.dialogue()
    name = "XX0P000CA0001.outlook.office365.com"
    assert lines[0].startswith(
        f"S: 220 {name} Microsoft ESMTP MAIL Service ready at "
    )
    assert lines[1:15] == [
        "C: EHLO [192.0.2.1]",
        f"S: 250-{name} Hello [127.0.0.1]",
        "S: 250-SIZE 157286400",
        "S: 250-PIPELINING",
        "S: 250-DSN",
        "S: 250-ENHANCEDSTATUSCODES",
        "S: 250-STARTTLS",
        "S: 250-8BITMIME",
        "S: 250-BINARYMIME",
        "S: 250-CHUNKING",
        "S: 250 SMTPUTF8",
        "C: STARTTLS",
        "S: 220 2.0.0 SMTP server ready",
        f"C: MAIL FROM:<{ALERTS}>",
    ]
    assert lines[15].startswith("S: 503 5.5.2 Send hello first [XX0P000CA")
    assert "S: 250-AUTH LOGIN XOAUTH2" == lines[22]
    assert lines[28].startswith("S: 530 5.7.57 Client not authenticated")


def test_xoauth2_with_initial_response(tenant):
    with sign_in(tenant) as client:
        code, text = send(client)
    assert code == 250
    (message,) = tenant.messages
    assert text.decode() == message.reply[4:]
    assert message.raw == MESSAGE
    assert (message.sender, message.recipients) == (ALERTS, [TO])
    assert (message.user, message.mechanism) == (ALERTS, "XOAUTH2")
    assert (message.via, message.tls) == ("DATA", True)
    assert tenant.token_requests[0].status == 200
    assert tenant.directory.tokens[0] in base64.b64decode(
        next(
            line.text.split()[2]
            for line in tenant.transcript
            if line.phase == "auth" and line.direction == "C"
        )
    ).decode()


def test_xoauth2_in_two_steps(tenant):
    token = fetch_token(tenant)[1]["access_token"]
    with connect(tenant) as client:
        assert client.docmd("AUTH", "XOAUTH2") == (334, b"")
        assert client.docmd(xoauth2(token))[0] == 235
        assert send(client)[0] == 250


def test_login(tenant):
    with connect(tenant) as client:
        client.user, client.password = ALERTS, PASSWORD
        assert client.auth("LOGIN", client.auth_login)[0] == 235
        assert send(client)[0] == 250
    assert tenant.messages[0].mechanism == "LOGIN"


def test_login_can_fail():
    with Tenant(basic_authentication=False) as tenant:
        with connect(tenant) as client, pytest.raises(
            smtplib.SMTPAuthenticationError, match="basic authentication is"
        ):
            client.login(ALERTS, "wrong")


def test_bad_tokens_all_get_the_same_answer(tenant):
    token = fetch_token(tenant)[1]["access_token"]
    bad = [
        xoauth2(token + "x"), xoauth2(token, "nobody@contoso.example"),
        "!", base64.b64encode(b"user=x").decode(), "*",
    ]
    with connect(tenant) as client:
        for response in bad:
            code, text = client.docmd("AUTH", "XOAUTH2 " + response)
            assert code == 535
            assert text.startswith(b"5.7.3 Authentication unsuccessful [XX")
        _, text = client.mail(ALERTS)
        assert b"Error: 535 5.7.3 Authentication unsuccessful" in text
        tenant.revoke_tokens()
        assert client.docmd("AUTH", "XOAUTH2 " + xoauth2(token))[0] == 535


def test_authentication_needs_tls_and_a_known_mechanism(tenant):
    with smtplib.SMTP("localhost", tenant.smtp_port) as client:
        client.ehlo("x")
        assert client.docmd("AUTH", "LOGIN")[0] == 504
    with connect(tenant) as client:
        assert client.docmd("AUTH", "PLAIN AGEAYg==")[0] == 504


def test_tarpit():
    with Tenant(tarpit=0.05) as tenant, connect(tenant) as client:
        began = time.monotonic()
        assert client.docmd("AUTH", "XOAUTH2 eA==")[0] == 535
        assert time.monotonic() - began >= 0.05


def test_limit_of_the_auth_line():
    with Tenant(auth_line_limit=512, token_length=6000) as tenant:
        token = fetch_token(tenant)[1]["access_token"]
        assert len(token) == 6000
        with connect(tenant) as client:
            code, _ = client.docmd("AUTH", "XOAUTH2 " + xoauth2(token))
            assert code == 500
            assert client.docmd("AUTH", "XOAUTH2")[0] == 334
            assert client.docmd(xoauth2(token))[0] == 235


# Messages


def test_bdat_with_everything_pipelined(tenant):
    raw = MESSAGE + b"\0\r.\n bare and binary \r\n.\r\n"
    with Raw(tenant.smtp_port) as client:
        client.sign_in(tenant)
        client.say(
            f"MAIL FROM:<{ALERTS}> BODY=BINARYMIME\r\nRCPT TO:<{TO}>\r\n"
            f"BDAT 10\r\n".encode() + raw[:10]
            + f"BDAT {len(raw) - 10}\r\n".encode() + raw[10:]
            + b"BDAT 0 LAST\r\nQUIT\r\n"
        )
        codes = [client.reply()[:3] for _ in range(6)]
    assert codes == ["250"] * 5 + ["221"]
    assert tenant.messages[0].raw == raw
    assert tenant.messages[0].chunks == [10, len(raw) - 10, 0]
    assert tenant.messages[0].parameters == {"BODY": "BINARYMIME"}


def test_bdat_without_recipient_keeps_in_step(tenant):
    with Raw(tenant.smtp_port) as client:
        client.sign_in(tenant)
        client.say(f"MAIL FROM:<{ALERTS}>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert client.reply().startswith("250 2.1.0 Sender OK")
        assert client.reply().startswith("503 5.5.2 Need rcpt command")
        assert client.reply().startswith("250 2.0.0 OK")


def test_large_messages_are_quick(tenant):
    raw = FROM.encode() + b"\r\n" + b"x" * (35 << 20) + b"\r\n"
    # The time of this process: others have theirs.
    began = time.process_time()
    with Raw(tenant.smtp_port) as client:
        client.sign_in(tenant)
        client.say(
            f"MAIL FROM:<{ALERTS}>\r\nRCPT TO:<{TO}>\r\n"
            f"BDAT {len(raw)} LAST\r\n"
        )
        client.say(raw)
        assert [client.reply()[:3] for _ in range(3)] == ["250"] * 3
    assert time.process_time() - began < 3
    assert tenant.messages[0].raw == raw


def test_only_crlf_dot_crlf_ends_the_data(tenant):
    raw = FROM.encode() + b"\r\na\n.\nb\r.\rc\n.\r\nd\r\n"
    with Raw(tenant.smtp_port) as client:
        client.sign_in(tenant)
        client.say(f"MAIL FROM:<{ALERTS}>\r\nRCPT TO:<{TO}>\r\nDATA\r\n")
        client.say(raw + b".\r\nQUIT\r\n")
        codes = [client.reply()[:3] for _ in range(5)]
    assert codes == ["250", "250", "354", "250", "221"]
    assert tenant.messages[0].raw == raw


@pytest.mark.parametrize("author, sender, code", [
    (ALERTS, "other@contoso.example", b"5.2.252 SendAsDenied; "),
    ("other@contoso.example", ALERTS, b"5.2.252 SendAsDenied; "),
    ("not an address", ALERTS, b"5.7.512 "),
    (f"{ALERTS}, b@contoso.example", ALERTS, b"5.1.20 "),
    (ALERTS, "", b"5.7.512 "),
])
def test_authors_refused(tenant, author, sender, code):
    with sign_in(tenant) as client:
        _, text = send(client, f"From: {author}\r\n\r\nx\r\n", sender)
    assert text.startswith(code)
    assert not tenant.messages


def test_send_as():
    boxes = {ALERTS: {"send_as": ["boss@contoso.example", "@sub.example"]}}
    with Tenant(mailboxes=boxes) as tenant, sign_in(tenant) as client:
        for sender in "Boss@Contoso.Example", "any@sub.example":
            assert send(client, f"From: {sender}\r\n\r\n", sender)[0] == 250


def test_limits():
    boxes = {ALERTS: {"recipient_limit": 3, "recipients_at_once": 2}}
    with Tenant(
        mailboxes=boxes, size_limit=90000, header_limit=1000
    ) as tenant, sign_in(tenant) as client:
        assert client.mail(ALERTS, ["SIZE=90001"])[1].startswith(b"5.3.4 ")
        client.mail(ALERTS, ["SIZE=90000"])
        replies = [client.rcpt(TO)[0] for _ in range(3)]
        assert replies == [250, 250, 452]
        tenant.directory.mailbox(ALERTS).recipients_at_once = None
        assert [client.rcpt(TO)[0] for _ in range(2)] == [250, 550]
        client.rset()
        _, text = send(client, FROM + "X: " + 999 * "x" + "\r\n\r\n")
        assert text.startswith(b"5.3.4 Header size exceeds fixed maximum")


def test_rate():
    boxes = {ALERTS: {"rate": (2, STUCK)}}
    with Tenant(mailboxes=boxes) as tenant, sign_in(tenant) as client:
        assert [send(client)[0] for _ in range(3)] == [250, 250, 550]
        assert send(client)[1].startswith(b"5.2.2 Submission quota exceeded")
        mailbox = tenant.directory.mailbox(ALERTS)
        # As if the window had passed since the first.
        mailbox.rate = (2, time.monotonic() - tenant.messages[0].time)
        assert send(client)[0] == 250
        mailbox.rate = (2, STUCK)
        assert send(client)[0] == 550


def test_fourth_parallel_connection(tenant):
    clients = [sign_in(tenant) for _ in range(4)]
    codes = [send(client)[0] for client in clients]
    assert codes == [250, 250, 250, 432]
    clients[0].quit()
    assert send(clients[3])[0] == 250
    for client in clients[1:]:
        client.close()


def test_mx_knows_no_authentication(tenant):
    with connect(tenant, tenant.mx_port) as client:
        assert not client.has_extn("auth")
        envelope(client, "x@contoso.example", "boss@contoso.example")
        assert client.rcpt(TO)[1].startswith(b"5.7.64 TenantAttribution")
        _, text = client.data(FROM + "Message-ID: <1@x>\r\n\r\n")
    assert text.startswith(b"2.6.0 <1@x> [InternalId=")
    assert tenant.messages[0].service == "mx"


def test_octets_injected_after_starttls_are_kept_apart(tenant):
    with Raw(tenant.smtp_port) as client:
        client.reply()
        client.ask("EHLO x")
        client.say("STARTTLS\r\nMAIL FROM:<evil@x.example>\r\n")
        client.reply()
        client.secure(tenant)
        assert client.ask("NOOP").startswith("250")
    assert b"evil" in tenant.connections[0].injected


# Scenarios


def first_reply(tenant):
    with Raw(tenant.smtp_port) as client:
        client.reply()
        return client.ask("EHLO x")


@pytest.mark.parametrize("action, argument, expected", [
    ("reply", "421 4.3.2 Service not active", "421 4.3.2 Service not active"),
    ("reply-close", "550 no", "550 no"),
    ("raw", "25\r\n", "25"),
    ("close", None, ""),
    ("close-mid", None, ""),
    ("garbage", "digits", "2:0 4.294967297.0 no such code"),
    ("long-line", 5000, "250 " + "x" * 5000),
    ("nul", "550", "550 one\0two \x1b]0;owned\7\x1b[31mred\x1b[0m \b\x7f"
     "\x9b31m"),
    ("then-close", None, "250 SMTPUTF8"),
    ("lose", None, ""),
    ("delay", 0.01, "250 SMTPUTF8"),
])
def test_actions(tenant, action, argument, expected):
    tenant.scenario = Scenario(Rule("ehlo", action, argument))
    assert first_reply(tenant) == expected


def test_reset(tenant):
    tenant.scenario = Scenario(Rule("ehlo", "reset"))
    with pytest.raises(ConnectionResetError):
        first_reply(tenant)


def test_who_has_gone_again_stops_nobody():
    tenant = Tenant()  # nobody is served yet
    for port in tenant.smtp_port, tenant.mx_port, tenant.entra_port:
        with socket.create_connection(("localhost", port)) as client:
            client.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
    with tenant, sign_in(tenant) as client:
        assert send(client)[0] == 250


@pytest.mark.parametrize("rule", [
    Rule("connect", "stall"),
    Rule("ehlo", "garbage", 100),
    Rule("ehlo", "endless-lines"),
])
def test_what_never_ends_does_not_hang_the_tenant(rule):
    with Tenant(scenario=Scenario(rule)) as tenant:
        client = Raw(tenant.smtp_port)
        client.say("EHLO x\r\n")
        phase = rule.phase
        assert tenant.wait_for(lambda: tenant.scenario.occurrences(phase))
        began = time.monotonic()
    assert time.monotonic() - began < STUCK
    client.close()


def test_injection_comes_with_the_answer(tenant):
    tenant.scenario = Scenario(Rule("starttls", "inject", "250 evil\r\n"))
    with Raw(tenant.smtp_port) as client:
        client.reply()
        client.ask("EHLO x")
        client.say("STARTTLS\r\n")
        assert client.sock.recv(999) == (
            b"220 2.0.0 SMTP server ready\r\n250 evil\r\n"
        )


def test_rules_count_occurrences(tenant):
    tenant.scenario = Scenario(
        Rule("rcpt", "reply", "451 4.7.0 later", nth=2, last=3),
        Rule("rcpt", "reply", "550 5.1.1 never", service="mx"),
        recipients={"Gone@x.example": "550 5.1.10 gone"},
    )
    with sign_in(tenant) as client:
        client.mail(ALERTS)
        codes = [client.rcpt(TO)[0] for _ in range(4)]
        assert codes == [250, 451, 451, 250]
        assert client.rcpt("gone@x.example") == (550, b"5.1.10 gone")


def test_capabilities_can_be_missing(tenant):
    tenant.scenario = Scenario(
        drop_capability={"CHUNKING", "XOAUTH2", "LOGIN"}
    )
    with connect(tenant) as client:
        assert not client.has_extn("chunking")
        assert not client.has_extn("auth")
        assert client.docmd("BDAT", "0 LAST")[0] == 500
        assert client.docmd("AUTH", "LOGIN")[0] == 504


def test_answer_lost_after_the_message_was_taken(tenant):
    tenant.scenario = Scenario(Rule("final", "lose", nth=1))
    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(sign_in(tenant))
    assert tenant.wait_for_messages(1)


def test_death_in_the_middle_of_the_body(tenant):
    tenant.scenario = Scenario(Rule("body", "close", 5))
    with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
        send(sign_in(tenant))
    assert not tenant.messages


def test_handshake_that_never_begins(tenant):
    tenant.scenario = Scenario(Rule("tls", "close"))
    with pytest.raises((ssl.SSLError, OSError)):
        connect(tenant)


@pytest.mark.parametrize("arguments", [
    ("nowhere", "stall"), ("rcpt", "oversized"), ("token", "inject"),
])
def test_a_typo_is_an_error(arguments):
    with pytest.raises(ValueError):
        Rule(*arguments)


# Certificates and TLS


@pytest.mark.parametrize("kind", KINDS)
def test_certificates(kind):
    with Tenant(submission_certificate=kind) as tenant:
        if kind == "good":
            connect(tenant).close()
            assert tenant.connections[0].tls_version == "TLSv1.3"
            assert tenant.connections[0].server_name == "localhost"
            return
        with pytest.raises(ssl.SSLError) as caught:
            connect(tenant).close()
    reasons = {
        "self-signed": "self-signed",
        "untrusted-ca": "unable to get local issuer",
        "expired": "has expired",
        "not-yet-valid": "not yet valid",
        "client-only": "purpose",
        "weak": "key too weak",
    }
    said = str(caught.value).replace("self signed", "self-signed")
    assert reasons.get(kind, "not valid for 'localhost'") in said


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls():
    with Tenant(tls_version="1.1") as tenant:
        with pytest.raises(ssl.SSLError):
            connect(tenant)


# The token endpoint


@pytest.mark.parametrize("changes, status, number, error", [
    ({"tenant": "nobody.example"}, 400, 90002, "invalid_request"),
    ({"client_id": "0"}, 400, 700016, "unauthorized_client"),
    ({"client_secret": "wrong"}, 401, 7000215, "invalid_client"),
    ({"client_secret": "0ld~s3cr3t+of/the=app"}, 401, 7000222,
     "invalid_client"),
    ({"client_secret": ""}, 401, 7000218, "invalid_client"),
    ({"scope": "SMTP.SendAsApp"}, 400, 70011, "invalid_scope"),
    ({"grant_type": "password"}, 400, 70003, "unsupported_grant_type"),
    ({"grant_type": ""}, 400, 900144, "invalid_request"),
])
def test_token_errors(tenant, changes, status, number, error):
    code, answer = fetch_token(tenant, **changes)
    assert (code, answer["error"]) == (status, error)
    assert answer["error_codes"] == [number]
    assert answer["error_description"].startswith(f"AADSTS{number}: ")
    assert "\r\nTrace ID: " in answer["error_description"]
    assert not tenant.directory.tokens


def test_token_is_a_jwt(tenant):
    status, answer = fetch_token(tenant, tenant=tenant.tenant_id)
    assert (status, answer["expires_in"]) == (200, 3599)
    _, claims, _ = answer["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert claims["aud"] == "https://outlook.office365.com"
    assert claims["roles"] == ["SMTP.SendAsApp"]
    assert len(answer["access_token"]) == 1600


def test_token_endpoint_throttles(tenant):
    tenant.scenario = Scenario(
        Rule("token", "http", {"status": 429,
                               "headers": {"Retry-After": "2"}}, nth=1),
        Rule("token", "error", "AADSTS90033", nth=2),
    )
    assert fetch_token(tenant)[0] == 429
    assert fetch_token(tenant)[0] == 503
    assert fetch_token(tenant)[0] == 200
    statuses = [request.status for request in tenant.token_requests]
    assert statuses == [429, 503, 200]


@pytest.mark.parametrize("action, argument, error", [
    ("redirect", "http://localhost:1/", urllib.error.URLError),
    ("not-json", None, ValueError),
    ("truncated", None, ValueError),
    ("close", None, OSError),
    ("reset", None, OSError),
    ("garbage", None, Exception),
])
def test_token_endpoint_breaks(tenant, action, argument, error):
    tenant.scenario = Scenario(Rule("token", action, argument))
    with pytest.raises(error):
        fetch_token(tenant)


@pytest.mark.parametrize("action, argument", [
    ("http10", None), ("slow", 0.0001), ("delay", 0.01),
])
def test_token_endpoint_is_odd(tenant, action, argument):
    tenant.scenario = Scenario(Rule("token", action, argument))
    assert fetch_token(tenant)[0] == 200


def test_endless_token(tenant):
    tenant.scenario = Scenario(Rule("token", "oversized"))
    context = trust(tenant)
    with urllib.request.urlopen(
        tenant.authority, timeout=STUCK, context=context
    ) as answer:
        assert len(answer.read(1 << 20)) == 1 << 20


def test_certificate_of_the_token_endpoint():
    with Tenant(entra_certificate="wrong-name") as tenant:
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE"):
            fetch_token(tenant)
        assert tenant.wait_for(lambda: tenant.connections[0].error)
        assert not tenant.token_requests


# Configuration and command line


def test_configuration(tenant, tmp_path):
    path = tenant.write_config(
        tmp_path, port=1, host=None,
        sections={"rewrite": {"rule": ["a b", "c d"]}},
    )
    text = Path(path).read_text()
    assert "port = 1\n" in text and "host" not in text.split("authority")[0]
    assert "[rewrite]\nrule = a b\nrule = c d\n" in text
    assert f"state_directory = {tmp_path}/state" in text
    assert f"[aliases]\nfile = {tmp_path}/aliases" in text
    assert (tmp_path / "aliases").read_text() == ""
    secret = tmp_path / "client-secret"
    assert secret.read_text().strip() == tenant.client_secret
    assert secret.stat().st_mode & 0o777 == 0o600
    assert "password_file = password" in tenant.config(login=True)


def test_configuration_of_several_accounts(tenant, tmp_path):
    shop = tenant.account(user="shop@contoso.example", port=None)
    path = tenant.write_config(tmp_path, sections={
        "account shop": shop, "aliases": {"file": None, "root": "a@x.example"},
    })
    text = Path(path).read_text()
    assert "[account shop]\nuser = shop@contoso.example\n" in text
    assert "[aliases]\nroot = a@x.example\n" in text and "\nfile =" not in text
    assert text.count(f"port = {tenant.smtp_port}\n") == 1


def test_command_line(tmp_path):
    scenario = {"rules": [
        {"phase": "ehlo", "action": "reply", "argument": "421 4.3.2 no"},
    ]}
    with subprocess.Popen(
        [sys.executable, Path(__file__).parent, "--directory", tmp_path,
         "--scenario", json.dumps(scenario)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:
        ready = json.loads(child.stdout.readline())
        with Raw(ready["smtp_port"]) as client:
            client.reply()
            assert client.ask("EHLO x") == "421 4.3.2 no"
        out, _ = child.communicate("messages\n", timeout=STUCK)
        assert child.returncode == 0
    reports = [json.loads(line) for line in out.splitlines()]
    assert len(reports) == 2
    assert reports[1]["transcript"][1]["text"] == "EHLO x"


# The slow wire


def test_round_trips_of_a_cold_message(tenant):
    token = fetch_token(tenant)[1]["access_token"]
    with Proxy(tenant.smtp_port, delay_ms=60) as proxy:
        began = time.monotonic()
        with Raw(proxy.port) as client:
            client.reply()
            client.ask("EHLO x")
            client.ask("STARTTLS")
            client.secure(tenant)
            client.ask("EHLO x")
            client.ask("AUTH XOAUTH2 " + xoauth2(token))
            client.say(
                f"MAIL FROM:<{ALERTS}>\r\nRCPT TO:<{TO}>\r\n"
                f"BDAT {len(MESSAGE)} LAST\r\n".encode() + MESSAGE
            )
            assert [client.reply()[:3] for _ in range(3)] == ["250"] * 3
            taken = time.monotonic() - began
            client.say("QUIT\r\n")
        assert proxy.round_trips == 8
        assert taken >= 8 * 0.12
        assert tenant.wait_for(lambda: tenant.connections[1].closed)
        assert proxy.round_trips == 8
        assert tenant.messages[0].raw == MESSAGE


@pytest.fixture(name="pipeline")
def _pipeline(tenant):
    """Speak without a pause for longer than the wire is; the proxy of it."""
    def speak(delay_ms):
        with Proxy(tenant.smtp_port, delay_ms=delay_ms) as proxy:
            with Raw(proxy.port) as client:
                client.reply()
                for _ in range(20):
                    client.say("NOOP\r\n")
                    time.sleep(delay_ms / 5 / 1000)
                for _ in range(20):
                    client.reply()
                client.ask("QUIT")
            return proxy

    return speak


def longest_pause(proxy):
    """Of the client, before it waits for the last answer."""
    timeline = proxy.connections[0].timeline
    *times, _ = [chunk.time for chunk in timeline if chunk.direction == "C"]
    return max(
        (after - before for before, after in zip(times, times[1:])), default=0
    )


def test_round_trips_of_a_long_pipeline(pipeline):
    for delay_ms in 10, 100, 1000:
        proxy = pipeline(delay_ms)
        # On a busy host it may have paused for as long as an answer takes.
        if longest_pause(proxy) < 2 * proxy.delay:
            break
    assert proxy.round_trips == 4
    assert len(proxy.connections[0].flights) == 2
