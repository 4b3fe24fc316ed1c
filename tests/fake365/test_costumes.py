"""The tenant in its costumes, tested with clients that are not ours."""

import base64
import smtplib

import pytest

from . import ALERTS, COSTUMES, PASSWORD, SCOPE, Tenant
from .test_fake365 import (
    FROM, MESSAGE, TO, Raw, connect, envelope, fetch_token, send, xoauth2,
)  # fmt: skip

INSIDE = "boss@contoso.example"
SCOPES = {
    "exchange": SCOPE,
    "consumer": SCOPE,
    "hve": SCOPE,
    "us-gov-high": "https://outlook.office365.us/.default",
    "us-gov-dod": "https://outlook-dod.office365.us/.default",
    "china": "https://partner.outlook.cn/.default",
}
ACS_USER = (
    "contoso-mail|11111111-2222-3333-4444-555555555555|"
    "aaaabbbb-0000-cccc-1111-dddd2222eeee"
)


def plain(user=ALERTS, password=PASSWORD, identity=""):
    text = f"{identity}\0{user}\0{password}"
    return base64.b64encode(text.encode()).decode()


def login(client, user, password):
    """AUTH LOGIN; return the last (code, text)."""
    assert client.docmd("AUTH", "LOGIN") == (334, b"VXNlcm5hbWU6")
    assert client.docmd(base64.b64encode(user.encode()).decode()) == (
        334, b"UGFzc3dvcmQ6",
    )  # fmt: skip
    return client.docmd(base64.b64encode(password.encode()).decode())


def auth_token(tenant, client, scope):
    token = fetch_token(tenant, scope=scope)[1]["access_token"]
    return client.docmd("AUTH", "XOAUTH2 " + xoauth2(token))


# All of them


@pytest.mark.parametrize("costume, name, mechanisms", [
    ("exchange", b"XX0P000CA0001.outlook.office365.com", "LOGIN XOAUTH2"),
    ("us-gov-high", b"XX0P000CA0001.outlook.office365.us", "LOGIN XOAUTH2"),
    ("us-gov-dod", b"XX0P000CA0001.outlook-dod.office365.us",
     "LOGIN XOAUTH2"),
    ("china", b"XX0P000CA0001.partner.outlook.cn", "LOGIN XOAUTH2"),
    ("consumer", b"XX0P000CA0001.outlook.office365.com", "LOGIN XOAUTH2"),
    ("hve", b"XX0P000CA0001.outlook.office365.com", "LOGIN XOAUTH2"),
    ("acs", b"smtp.azurecomm.net", "LOGIN"),
    ("relay", b"mail.relay.example", "PLAIN LOGIN"),
])
def test_name_and_mechanisms(costume, name, mechanisms):
    with Tenant(costume=costume) as tenant:
        with smtplib.SMTP() as client:
            code, banner = client.connect("localhost", tenant.smtp_port)
            assert (code, banner.split()[0]) == (220, name)
            client.ehlo("x")
            assert not client.has_extn("auth")
        with connect(tenant) as client:
            assert client.ehlo_resp.split()[0] == name
            assert client.esmtp_features["auth"].split() == (
                mechanisms.split()
            )


@pytest.mark.parametrize("costume", COSTUMES)
def test_mechanisms_can_be_set(costume):
    with Tenant(costume=costume, mechanisms=["PLAIN"]) as tenant:
        with connect(tenant) as client:
            assert client.esmtp_features["auth"].split() == ["PLAIN"]
            assert client.docmd("AUTH", "LOGIN")[0] in (504, 535)
            tenant.settings.mechanisms = ["CRAM-MD5"]
            client.ehlo("x")
            assert client.esmtp_features["auth"].split() == ["CRAM-MD5"]
            assert client.docmd("AUTH", "CRAM-MD5")[0] in (504, 535)


def test_unknown_costume_is_an_error():
    with pytest.raises(KeyError):
        Tenant(costume="sendgrid")


@pytest.mark.parametrize("costume", SCOPES)
@pytest.mark.parametrize("scope", [
    *dict.fromkeys(SCOPES.values()),
    "https://outlook.office.com/.default",
    "https://graph.microsoft.com/.default",
])
def test_token_must_be_for_this_cloud(costume, scope):
    with Tenant(costume=costume) as tenant, connect(tenant) as client:
        code, text = auth_token(tenant, client, scope)
        fits = scope == SCOPES[costume] or (
            SCOPES[costume] == SCOPE and scope.endswith("office.com/.default")
        )
        assert code == (235 if fits else 535)
        if not fits:
            assert text.startswith(b"5.7.3 Authentication unsuccessful [")


@pytest.mark.parametrize("costume, trailer", [
    ("us-gov-high", b"[XX0P000CA0001.NAMP110.PROD.OUTLOOK.COM 20"),
    ("china", b"[XX0P000CA0001.CHNPR00.PROD.PARTNER.OUTLOOK.CN 20"),
])
def test_national_clouds_name_their_own_servers(costume, trailer):
    with Tenant(costume=costume) as tenant, connect(tenant) as client:
        assert trailer in client.docmd("AUTH", "XOAUTH2 eA==")[1]
        assert auth_token(tenant, client, SCOPES[costume])[0] == 235
        code, text = send(client)
        store = tenant.face.forest.encode()
        assert code == 250 and text.endswith(store + b"]")


@pytest.mark.parametrize("costume, options, keys", [
    ("exchange", {}, ["tenant", "client_id", "client_secret_file",
                      "authority"]),
    ("exchange", {"login": True}, ["password_file"]),
    ("china", {}, ["cloud", "tenant", "client_id", "client_secret_file",
                   "authority"]),
    ("china", {"login": True}, ["password_file"]),
    ("hve", {}, ["tenant", "client_id", "client_secret_file", "authority"]),
    ("acs", {}, ["login", "password_file"]),
    ("relay", {}, ["login", "password_file"]),
    ("relay", {"login": True}, ["login", "password_file"]),
    ("relay", {"mechanisms": []}, ["auth"]),
])
def test_configuration(tmp_path, costume, options, keys):
    as_login = options.pop("login", False)
    with Tenant(costume=costume, **options) as tenant:
        path = tenant.write_config(tmp_path, login=as_login)
        with open(path, encoding="utf-8") as stream:
            lines = dict(
                line.rstrip("\n").split(" = ")
                for line in stream if " = " in line
            )
        for key in ("user", "host", "port", "ca_file", "state_directory",
                    "file", "messages_per_minute", "recipients_per_day"):
            del lines[key]
        assert list(lines) == keys
        assert lines.get("cloud", costume) == costume
        assert lines.get("auth", "none") == "none"
        if "password_file" in keys:
            (mailbox,) = tenant.directory.mailboxes.values()
            assert lines.get("login", ALERTS) == mailbox.login_name
            secret = (tmp_path / "password").read_text(encoding="utf-8")
            assert secret == mailbox.password + "\n"


# High Volume Email


def test_high_volume_email_is_strict_with_tokens():
    with Tenant(costume="hve", token_lifetime=599) as tenant:
        with connect(tenant) as client:
            _, text = client.docmd("AUTH", "XOAUTH2 eA==")
            assert text.startswith(b"5.5.124 Invalid XOAUTH2 auth data [")
            code, text = auth_token(tenant, client, SCOPE)
            assert code == 501
            assert text.startswith(b"5.5.127 Invalid XOAUTH2 auth data - ")
            tenant.settings.token_lifetime = 700
            assert auth_token(tenant, client, SCOPE)[0] == 235


def test_high_volume_email_stays_inside():
    with Tenant(costume="hve") as tenant, connect(tenant) as client:
        assert login(client, ALERTS, PASSWORD)[0] == 235
        client.mail(ALERTS)
        assert client.rcpt(TO)[0] == 550
        assert client.rcpt(INSIDE)[0] == 250
        assert client.data(MESSAGE)[0] == 250
    assert tenant.messages[0].recipients == [INSIDE]


# Consumers


def test_consumers_have_no_passwords():
    with Tenant(costume="consumer") as tenant, connect(tenant) as client:
        code, text = login(client, ALERTS, PASSWORD)
        assert code == 535
        assert text.startswith(
            b"5.7.139 Authentication unsuccessful, basic authentication is "
            b"disabled. ["
        )
        assert auth_token(tenant, client, SCOPE)[0] == 235
        assert send(client)[0] == 250


# Azure Communication Services


def test_communication_services_want_a_linked_domain():
    with Tenant(costume="acs") as tenant, connect(tenant) as client:
        assert login(client, ACS_USER, tenant.client_secret)[0] == 235
        for sender in "noreply@contoso.example", ALERTS:
            code, _ = send(client, f"From: {sender}\r\n\r\n", sender)
            assert code == 250
        for author, sender in [
            (ALERTS, "a@other.example"), ("a@other.example", ALERTS),
        ]:
            code, text = send(client, f"From: {author}\r\n\r\n", sender)
            assert code == 550 and b"DomainNotLinked" in text
    assert {message.user for message in tenant.messages} == {ACS_USER}


@pytest.mark.parametrize("user, password", [
    (ALERTS, None), (ACS_USER, PASSWORD), (ACS_USER.replace("|", "."), None),
])
def test_communication_services_refuse(user, password):
    with Tenant(costume="acs") as tenant, connect(tenant) as client:
        code, text = login(client, user, password or tenant.client_secret)
        assert (code, text[:5]) == (535, b"5.7.3")
        assert client.docmd("AUTH", "XOAUTH2")[0] == 504


# A relay


def test_relay_speaks_postfix():
    with Tenant(costume="relay") as tenant, Raw(tenant.smtp_port) as client:
        client.reply()
        client.ask("EHLO x")
        client.ask("STARTTLS")
        client.secure(tenant)
        client.ask("EHLO x")
        client.ask("AUTH PLAIN " + plain("apikey"))
        client.ask("FROB")
        client.ask("MAIL FROM:" + TO)
        client.ask("MAIL FROM:<a@any.example> BODY=8BITMIME")
        client.ask("RCPT TO:<b@any.example>")
        client.say("BDAT 3\r\nx\r\n")
        client.reply()
        client.say("BDAT 2 LAST\r\n\r\n")
        client.reply()
        client.ask("RSET")
        client.ask("QUIT")
    lines = [line for line in tenant.dialogue() if line.startswith("S: ")]
    assert lines == [
        "S: 220 mail.relay.example ESMTP Postfix",
        "S: 250-mail.relay.example",
        "S: 250-PIPELINING",
        "S: 250-SIZE 157286400",
        "S: 250-STARTTLS",
        "S: 250-ENHANCEDSTATUSCODES",
        "S: 250-8BITMIME",
        "S: 250-DSN",
        "S: 250-SMTPUTF8",
        "S: 250 CHUNKING",
        "S: 220 2.0.0 Ready to start TLS",
        "S: 250-mail.relay.example",
        "S: 250-PIPELINING",
        "S: 250-SIZE 157286400",
        "S: 250-AUTH PLAIN LOGIN",
        "S: 250-ENHANCEDSTATUSCODES",
        "S: 250-8BITMIME",
        "S: 250-DSN",
        "S: 250-SMTPUTF8",
        "S: 250 CHUNKING",
        "S: 235 2.7.0 Authentication successful",
        "S: 500 5.5.2 Error: command not recognized",
        "S: 250 2.1.0 Ok",
        "S: 503 5.5.1 Error: nested MAIL command",
        "S: 250 2.1.5 Ok",
        "S: 250 2.0.0 Ok: 3 bytes",
        "S: 250 2.0.0 Ok: queued as 4F0C12",
        "S: 250 2.0.0 Ok",
        "S: 221 2.0.0 Bye",
    ]
    (message,) = tenant.messages
    assert (message.user, message.mechanism) == ("apikey", "PLAIN")
    assert message.sender == TO


def test_relay_signs_in_with_smtplib():
    with Tenant(costume="relay") as tenant:
        for name in "PLAIN", "LOGIN":
            with connect(tenant) as client:
                client.user, client.password = "apikey", PASSWORD
                method = getattr(client, "auth_" + name.lower())
                assert client.auth(name, method)[0] == 235
                assert send(client)[0] == 250
    used = [message.mechanism for message in tenant.messages]
    assert used == ["PLAIN", "LOGIN"]


def test_plain_in_two_steps():
    with Tenant(costume="relay") as tenant, connect(tenant) as client:
        assert client.docmd("AUTH", "PLAIN") == (334, b"")
        assert client.docmd(plain("apikey"))[0] == 235


@pytest.mark.parametrize("response, code, text", [
    (plain("apikey", "wrong"), 535, b"5.7.8 Error: authentication failed"),
    (plain(), 535, b"5.7.8 Error: authentication failed"),
    (plain("apikey", identity="root"), 535, b"5.7.8"),
    ("!", 535, b"5.7.8"),
    (base64.b64encode(b"\0apikey").decode(), 535, b"5.7.8"),
    ("*", 501, b"5.7.0 Authentication aborted"),
])
def test_relay_refuses(response, code, text):
    with Tenant(costume="relay") as tenant, connect(tenant) as client:
        client.docmd("AUTH", "PLAIN")
        got = client.docmd(response)
        assert got[0] == code and got[1].startswith(text)
        client.mail(ALERTS)
        assert client.rcpt(TO) == (
            554, b"5.7.1 <you@fabrikam.example>: Relay access denied",
        )  # fmt: skip


@pytest.mark.parametrize("mechanisms", [None, []])
def test_relay_wants_tls_first(mechanisms):
    with Tenant(costume="relay", mechanisms=mechanisms) as tenant:
        with smtplib.SMTP("localhost", tenant.smtp_port) as client:
            client.ehlo("x")
            for command in "MAIL FROM:<a@b>", "AUTH PLAIN", "RSET", "DATA":
                assert client.docmd(command) == (
                    530, b"5.7.0 Must issue a STARTTLS command first",
                )  # fmt: skip
            assert client.noop()[0] == 250


def test_relay_that_trusts_everybody():
    with Tenant(costume="relay", mechanisms=[]) as tenant:
        with connect(tenant) as client:
            assert not client.has_extn("auth")
            assert client.docmd("AUTH", "PLAIN " + plain("apikey"))[0] == 535
            envelope(client, "any@site.example")
            assert client.data(FROM + "\r\n")[0] == 250
    (message,) = tenant.messages
    assert (message.user, message.mechanism) == ("", "")


def test_relay_has_no_binarymime():
    with Tenant(costume="relay", mechanisms=[]) as tenant:
        with connect(tenant) as client:
            assert client.mail(ALERTS, ["BODY=BINARYMIME"]) == (
                555, b"5.5.4 Unsupported option: BODY=BINARYMIME",
            )  # fmt: skip
