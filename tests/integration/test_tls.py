"""No secret over an unverified channel: TLS fails closed, on both ways."""
import contextlib
import socket
import threading

import pytest

from fake365 import KINDS, Rule, make_certs
from support import (
    BOSS, MESSAGE, STALL, assert_fatal, assert_sent, spoken,
)

BAD = [kind for kind in KINDS if kind != "good"]

MECHANISMS = [
    pytest.param(False, id="XOAUTH2"),
    pytest.param(True, id="LOGIN", marks=pytest.mark.slow),
]

#: What our line says of each kind, apart from "certificate".
WORDS = {
    "self-signed": "self-signed",
    "untrusted-ca": "issuer",
    "expired": "expired",
    "not-yet-valid": "not yet valid",
    "wrong-name": "mismatch",
    "cn-only": "mismatch",
    "partial-wildcard": "mismatch",
    "nul-san": "mismatch",
    "nul-cn": "mismatch",
    "client-only": "purpose",
    "weak": "too weak",
}

BANNER = "250-XX0P000CA0001.outlook.office365.com Hello [127.0.0.1]\n"


def assert_nothing_told(tenant):
    """Neither credentials nor a message were said to the host."""
    for verb in ("AUTH", "MAIL", "RCPT", "DATA", "BDAT"):
        assert spoken(tenant, verb) == []
    assert not [line for line in tenant.transcript
                if line.direction == "C" and line.tls]
    assert tenant.messages == []


# ---- certificates ----

@pytest.mark.parametrize("login", MECHANISMS)
@pytest.mark.parametrize("kind", BAD)
def test_bad_certificate_of_the_submission_host(given, kind, login):
    mail = given(submission_certificate=kind, login=login)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "certificate", "localhost", WORDS[kind],
                 "ca_file")
    assert_nothing_told(mail.tenant)


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_bad_certificate_of_the_token_endpoint(given, kind):
    mail = given(entra_certificate=kind)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "certificate", "localhost", "ca_file")
    assert mail.tenant.token_requests == []
    assert mail.tenant.dialogue() == []


def test_system_does_not_trust_what_ca_file_does(given):
    """Without ca_file the authority of the tests is not known."""
    mail = given(config={"ca_file": None}, login=True)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "certificate", "localhost")
    assert_nothing_told(mail.tenant)


def test_ca_file_replaces_the_system_for_the_token_endpoint(given, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    make_certs(str(other), kinds=["good"])
    mail = given(config={"ca_file": other / "ca.pem"})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "certificate", "localhost")
    assert mail.tenant.token_requests == []


@pytest.mark.parametrize("content, words", [
    (None, ["ca.pem", "there is no such file", "take ca_file out"]),
    ("", ["ca.pem", "cannot be used", "PEM"]),
    ("no certificate\n", ["ca.pem", "cannot be used", "PEM"]),
], ids=["missing", "empty", "text"])
def test_ca_file_that_is_none(given, tmp_path, content, words):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    mail = given(config={"ca_file": path}, login=True)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 78, *words)
    assert_nothing_told(mail.tenant)


def test_address_instead_of_a_name_is_refused(given):
    """It would be compared with nothing but the address."""
    mail = given(config={"host": "127.0.0.1"})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 78, "127.0.0.1", "not a DNS name")
    assert mail.tenant.connections == []


# ---- STARTTLS ----

@pytest.mark.parametrize("login", MECHANISMS)
def test_no_starttls_no_mail(given, login):
    mail = given(drop={"STARTTLS"}, login=login)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "does not offer STARTTLS", "in the clear")
    assert_nothing_told(mail.tenant)


@pytest.mark.parametrize("reply", [
    "454 4.7.0 TLS not available", "500 5.3.3 Unrecognized command",
    "502 5.5.1 not here", "250 2.0.0 later",
])
def test_refused_starttls_is_the_end(given, reply):
    stalls = reply[0] == "2"  # both sides wait for the handshake
    mail = given(Rule("starttls", "reply", reply), stalls=stalls)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "localhost")
    assert_nothing_told(mail.tenant)


@pytest.mark.parametrize("extra", [
    None, "x", "250 ok\r\n", "235 2.7.0 Authentication successful\r\n",
], ids=repr)
def test_octets_after_starttls_are_an_attack(given, extra):
    mail = given(Rule("starttls", "inject", extra))
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "in the clear after STARTTLS", "localhost")
    assert_nothing_told(mail.tenant)


def test_client_sends_nothing_behind_starttls_in_the_clear(mail):
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    for connection in mail.tenant.connections:
        assert connection.injected == b""
    clear = [line.text for line in mail.tenant.transcript
             if line.direction == "C" and not line.tls]
    assert [text.split()[0] for text in clear] == ["EHLO", "STARTTLS"]


def test_mechanisms_from_before_tls_are_not_believed(given):
    early = BANNER + "250-STARTTLS\n250-SIZE 1\n250 AUTH LOGIN XOAUTH2"
    mail = given(Rule("ehlo", "reply", early), drop={"XOAUTH2", "LOGIN"})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "does not offer AUTH XOAUTH2", "nothing")
    for verb in ("AUTH", "MAIL"):
        assert spoken(mail.tenant, verb) == []


def test_extensions_from_before_tls_are_not_believed(given):
    early = BANNER + "250-STARTTLS\n250-SIZE 1\n250 AUTH LOGIN XOAUTH2"
    mail = given(Rule("ehlo", "reply", early), drop={"CHUNKING"})
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert mail.tenant.messages[0].via == "DATA"


@pytest.mark.parametrize("login, other", [
    (False, "XOAUTH2"), (True, "LOGIN"),
])
def test_missing_mechanism_is_named(given, login, other):
    mail = given(drop={other}, login=login)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, f"does not offer AUTH {other}", "it offers")
    assert spoken(mail.tenant, "AUTH") == []


# ---- what is no TLS ----

@pytest.mark.filterwarnings("ignore:.*TLSv1_1:DeprecationWarning")
def test_old_tls_is_refused(given):
    mail = given(tls_version="1.1")
    # The endpoint, too, has that version: it is asked first.
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "TLS", "localhost")
    assert mail.tenant.token_requests == []
    mail.use(mail.tenant, login=True)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "TLS", "localhost")
    assert_nothing_told(mail.tenant)


def test_plain_text_where_tls_belongs(given):
    mail = given(Rule("tls", "raw", "220 hello again\r\n"))
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "TLS", "localhost")
    assert_nothing_told(mail.tenant)


def test_tls_where_plain_text_belongs(given):
    """Port 465, say: the server waits for a handshake, we for a banner."""
    mail = given(stalls=True)
    mail.use(mail.tenant, port=mail.tenant.entra_port, login=True,
             timeout=STALL)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "greeting", "does not answer")


class PlainServer:
    """Says something to whoever connects, and keeps what it is told."""

    def __init__(self, greeting):
        self.heard = b""
        self._greeting = greeting
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _run(self):
        try:
            sock, _ = self._server.accept()
        except OSError:
            return
        with sock:
            sock.sendall(self._greeting)
            with contextlib.suppress(ConnectionResetError):
                while data := sock.recv(4096):
                    self.heard += data


@pytest.mark.parametrize("greeting", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    b"220 mail.example ESMTP\r\n",
], ids=["HTTP", "SMTP"])
def test_plain_text_where_https_belongs(given, greeting):
    with PlainServer(greeting) as server:
        mail = given(config={
            "authority": f"https://localhost:{server.port}"})
        result = mail.sendmail(BOSS, stdin=MESSAGE)
        assert_fatal(result, 75, "localhost", "TLS")
    assert b"client_secret" not in server.heard


def test_handshake_names_the_host(mail):
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    seen = {(c.service, c.tls_version, c.server_name)
            for c in mail.tenant.connections}
    assert seen == {("entra", "TLSv1.3", "localhost"),
                    ("submission", "TLSv1.3", "localhost")}
