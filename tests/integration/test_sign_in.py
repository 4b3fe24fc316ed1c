"""Access tokens: asked for once, kept, renewed, and never tried in vain."""
import email.utils
import fcntl
import json
import os
import re
import select
import socket
import stat
import struct
import threading
import time

import pytest

from fake365 import ALERTS, KINDS, Rule
from support import (
    ALERTS, BOSS, BUILD, MESSAGE, STUCK, assert_fatal, assert_sent,
    children_of, finish, spoken,
)


F_OFD_SETLK = 37  # Linux; Python has no name for it before 3.9
OTHER_CLIENT = "99999999-2222-3333-4444-555555555555"


def send(mail, **options):
    return mail.sendmail(BOSS, stdin=MESSAGE, **options)


def send_at_once(mail, count):
    """Run so many processes at the same time; return their results."""
    processes = [mail.start(BOSS) for _ in range(count)]
    for process in processes:
        process.stdin.write(MESSAGE)
        process.stdin.close()
        process.stdin = None
    return [finish(process) for process in processes]


def token_file(mail):
    """The one file that keeps the token."""
    [path] = [p for p in mail.state.iterdir()
              if re.fullmatch(r"token-[0-9a-f]{16}", p.name)]
    return path


def change_token(mail, **changes):
    """Change the kept token's entry."""
    path = token_file(mail)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ---- keeping ----

def test_token_is_kept_for_later_processes(mail):
    for _ in range(3):
        assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 1
    assert len(mail.tenant.messages) == 3


def test_request_is_what_entra_documents(mail):
    assert_sent(send(mail))
    [request] = mail.tenant.token_requests
    assert request.method == "POST"
    assert request.path == "/contoso.example/oauth2/v2.0/token"
    assert request.form == {
        "client_id": mail.tenant.client_id,
        "scope": "https://outlook.office365.com/.default",
        "client_secret": mail.tenant.client_secret,
        "grant_type": "client_credentials",
    }


def test_kept_token_is_for_its_user_alone(mail):
    assert_sent(send(mail, umask=0))
    assert stat.S_IMODE(mail.state.stat().st_mode) == 0o700
    for path in mail.state.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    names = sorted(re.sub("[0-9a-f]{16}", "X", p.name)
                   for p in mail.state.iterdir())
    assert names == [f"limits-{ALERTS}", "token-X", "token-X.lock"]


def test_token_of_another_application_is_not_taken(mail):
    assert_sent(send(mail))
    mail.use(mail.tenant, tenant=mail.tenant.tenant_id)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2


@pytest.mark.parametrize("left, requests", [
    (3000, 1), (660, 1), (540, 2), (1, 2), (-10, 2),
])
def test_token_is_renewed_before_its_end(mail, left, requests):
    assert_sent(send(mail))
    now = int(time.time())
    change_token(mail, requested_at=now - 3600 + left, expires_at=now + left)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == requests


def test_token_from_the_future_is_not_trusted(mail):
    assert_sent(send(mail))
    now = int(time.time())
    change_token(mail, requested_at=now + 86400, expires_at=now + 90000)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2


@pytest.mark.slow
@pytest.mark.parametrize("lifetime", [300, 3599, 86399])
def test_lifetimes(given, lifetime):
    mail = given(token_lifetime=lifetime)
    for _ in range(2):
        assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 1


@pytest.mark.parametrize("rule", [
    Rule("token", "http", {"status": 503}, nth=2),
    Rule("token", "http", {"status": 429, "headers": {"Retry-After": "9"}},
         nth=2),
    Rule("token", "close", nth=2),
], ids=["503", "429", "closed"])
def test_what_is_left_of_a_token_serves_while_there_is_no_other(given, rule):
    mail = given(rule)
    assert_sent(send(mail))
    now = int(time.time())
    change_token(mail, requested_at=now - 3300, expires_at=now + 300)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2
    assert len(mail.tenant.messages) == 2


@pytest.mark.parametrize("content", [
    b"", b"{", b'{"access_token": "abc', b"null", b"[]", b"\0" * 100,
    b'{"access_token": 7, "expires_at": "never", "requested_at": null}',
    b'{"access_token": "a b\\r\\nc", "expires_at": 9999999999, '
    b'"requested_at": 1}',
    b"x" * 1_000_000,
    b"[" * 100_000,
    b'{"failure": {"status": 77, "at": 1, "not_before": 9999999999999, '
    b'"dsn": "5.7.8", "text": "forged"}}',
], ids=lambda c: repr(c[:20]))
def test_torn_file_is_ignored_and_replaced(mail, content):
    assert_sent(send(mail))
    token_file(mail).write_bytes(content)
    for _ in range(2):
        assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o606])
def test_token_that_others_could_read_or_write_is_ignored(mail, mode):
    assert_sent(send(mail))
    token_file(mail).chmod(mode)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2
    assert stat.S_IMODE(token_file(mail).stat().st_mode) == 0o600


def test_token_of_another_user_is_ignored(mail):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    assert_sent(send(mail))
    os.chown(token_file(mail), 65534, 65534)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2
    assert token_file(mail).stat().st_uid == 0


def test_link_in_place_of_the_token_is_not_followed(mail):
    assert_sent(send(mail))
    path = token_file(mail)
    elsewhere = mail.directory / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2
    assert elsewhere.read_bytes() == before
    assert not path.is_symlink()


def no_directory(mail):
    mail.state.write_text("a file\n")


def open_directory(mail):
    mail.state.mkdir()
    mail.state.chmod(0o755)


def linked_directory(mail):
    (mail.directory / "other").mkdir(mode=0o700)
    mail.state.symlink_to(mail.directory / "other")


@pytest.mark.parametrize("prepare", [
    no_directory, open_directory, linked_directory])
def test_state_directory_that_cannot_be_used(mail, prepare):
    """Every message asks for a token of its own; none is left behind."""
    prepare(mail)
    for _ in range(2):
        assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2
    left = [p for p in mail.directory.rglob("*") if "token" in p.name]
    assert left == []


def test_state_directory_that_cannot_be_made(given):
    mail = given(config={
        "sections": {"service": {"state_directory": "/proc/nowhere"}}})
    for _ in range(2):
        assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2


def test_state_directory_that_may_not_be_written(mail, other_user):
    user = other_user(mail)
    mail.state.mkdir(mode=0o500)
    if user:
        os.chown(mail.state, user["user"], user["group"])
    for _ in range(2):
        assert_sent(send(mail, **user))
    assert len(mail.tenant.token_requests) == 2


def test_state_directory_is_made_with_its_parents(given):
    mail = given()
    deep = mail.directory / "a" / "b" / "state"
    mail.use(mail.tenant, sections={"service": {"state_directory": deep}})
    for _ in range(2):
        assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 1
    for path in (deep, deep.parent, deep.parent.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


# ---- a refused token ----

def test_revoked_token_is_replaced_once(mail):
    assert_sent(send(mail))
    mail.tenant.revoke_tokens()
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2
    assert len(mail.tenant.messages) == 2
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2


def test_second_refusal_is_the_last(given):
    mail = given(Rule("auth", "reply",
                      "535 5.7.3 Authentication unsuccessful"))
    assert_fatal(send(mail), 77, "535 5.7.3", "Add-MailboxPermission")
    assert len(spoken(mail.tenant, "AUTH")) == 2
    assert len(mail.tenant.token_requests) == 2


def test_lasting_refusal_does_not_cost_a_token_each_time(given):
    mail = given(Rule("auth", "reply",
                      "535 5.7.3 Authentication unsuccessful"))
    for _ in range(5):
        assert_fatal(send(mail), 77, "535 5.7.3")
    assert len(mail.tenant.token_requests) == 2
    assert len(spoken(mail.tenant, "AUTH")) == 6


def test_wrong_secret_is_not_tried_with_every_message(given):
    mail = given(config={"client_id": OTHER_CLIENT})
    secret = mail.directory / "client-secret"
    os.utime(secret, (1, 1))
    for _ in range(3):
        assert_fatal(send(mail), 78, "AADSTS700016")
    assert len(mail.tenant.token_requests) == 1
    secret.touch()
    assert_fatal(send(mail), 78, "AADSTS700016")
    assert len(mail.tenant.token_requests) == 2


def test_stuck_lock_holder_does_not_stop_mail(mail):
    """Another process renews the token, and has been stopped."""
    assert_sent(send(mail))
    token = token_file(mail)
    entry = json.loads(token.read_text())
    entry["expires_at"] = int(time.time()) + 300
    entry["requested_at"] = int(time.time()) - 3300
    token.write_text(json.dumps(entry))
    lock = os.open(f"{token}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.fcntl(lock, F_OFD_SETLK, struct.pack(
        "hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    try:
        assert_sent(send(mail))
    finally:
        os.close(lock)
    assert len(mail.tenant.token_requests) == 1


def test_refusal_that_a_token_cannot_mend_is_not_repeated(given):
    mail = given(mailboxes={ALERTS: {"smtp_auth_disabled": "Mailbox"}})
    assert_fatal(send(mail), 77, "535 5.7.139")
    assert len(spoken(mail.tenant, "AUTH")) == 1
    assert len(mail.tenant.token_requests) == 1


def test_refused_password_is_not_repeated(given):
    """Each try counts towards the lock of the account."""
    mail = given(login=True)
    (mail.directory / "password").write_text("wrong\n")
    assert_fatal(send(mail), 77, "535 5.7.139")
    assert len(spoken(mail.tenant, "AUTH")) == 1


# ---- many at once ----

@pytest.mark.slow
def test_twenty_processes_ask_for_one_token(given):
    mail = given(Rule("token", "delay", 0.3, nth=1),
                 mailboxes={ALERTS: {"connection_limit": 20}})
    for result in send_at_once(mail, 20):
        assert_sent(result)
    assert len(mail.tenant.token_requests) == 1
    assert len(mail.tenant.messages) == 20


@pytest.mark.slow
def test_twenty_processes_replace_a_revoked_token_once(given):
    mail = given(mailboxes={ALERTS: {"connection_limit": 40}})
    assert_sent(send(mail))
    mail.tenant.revoke_tokens()
    for result in send_at_once(mail, 20):
        assert_sent(result)
    assert len(mail.tenant.token_requests) == 2


@pytest.mark.slow
def test_failure_is_shared_by_those_who_wait(given):
    """Entra hears of the wrong secret once, not ten times."""
    mail = given(Rule("token", "delay", 0.5), Rule("token", "error", 7000222))
    for result in send_at_once(mail, 10):
        assert_fatal(result, 77, "AADSTS7000222")
    # Who comes when the others have their answer may ask again.
    assert len(mail.tenant.token_requests) < 10


def test_lock_of_a_killed_process_is_no_obstacle(given):
    mail = given(Rule("token", "stall", nth=1))
    process = mail.start(BOSS)
    process.stdin.close()
    process.stdin = None
    assert mail.tenant.wait_for(
        lambda: len(mail.tenant.token_requests) == 1, STUCK)
    [child] = children_of(process.pid)
    os.kill(child, 9)
    assert_fatal(finish(process), 75)
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2


# ---- large tokens ----

@pytest.mark.parametrize("length", [1600, 6000, 20000])
def test_long_token_in_the_initial_response(given, length):
    mail = given(token_length=length)
    for _ in range(2):
        assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 1
    assert len(spoken(mail.tenant, "AUTH XOAUTH2 ")) == 2


@pytest.mark.parametrize("length", [6000, 20000])
def test_long_token_in_two_steps(given, length):
    mail = given(token_length=length, auth_line_limit=2000)
    for _ in range(2):
        assert_sent(send(mail))
    lines = [line[:15].strip() for line in spoken(mail.tenant, "AUTH")]
    assert lines == ["AUTH XOAUTH2 dX", "AUTH XOAUTH2"] * 2
    assert len(mail.tenant.token_requests) == 1


def test_server_that_is_not_exchange_gets_short_commands(given):
    """RFC 4954: a command has 512 octets, the initial response counts."""
    hello = ("250-mail.contoso.example Hello\n250-PIPELINING\n"
             "250-AUTH XOAUTH2\n250 8BITMIME")
    mail = given(Rule("ehlo2", "reply", hello))
    assert_sent(send(mail))
    assert spoken(mail.tenant, "AUTH") == ["AUTH XOAUTH2"]


# ---- what Entra may answer ----

@pytest.mark.parametrize("value, seconds", [
    ("60", 60), ("3600", 3600), ("999999999", None), ("a date", 600),
])
def test_patience_is_remembered(given, value, seconds):
    if value == "a date":
        value = email.utils.formatdate(time.time() + seconds, usegmt=True)
    mail = given(Rule("token", "http", {
        "status": 429, "headers": {"Retry-After": value}}))
    assert_fatal(send(mail), 75, "HTTP 429", "asks to wait")
    for _ in range(2):
        result = send(mail)
        assert_fatal(result, 75, "HTTP 429", "not asked again for")
        left = int(re.search(
            r"not asked again for (\d+) s", result.stderr.decode())[1])
        if seconds:
            assert seconds - 60 < left <= seconds
    assert len(mail.tenant.token_requests) == 1


@pytest.mark.parametrize("value", ["0", "-5", "soon", ""])
def test_patience_that_means_nothing(given, value):
    mail = given(Rule("token", "http", {
        "status": 429, "headers": {"Retry-After": value}}, nth=1))
    assert_fatal(send(mail), 75, "HTTP 429")
    assert_sent(send(mail))
    assert len(mail.tenant.token_requests) == 2


def test_redirect_is_refused(given):
    mail = given()
    other = f"https://localhost:{mail.tenant.entra_port}/evil/token"
    mail.tenant.scenario.add(Rule("token", "redirect", other))
    assert_fatal(send(mail), 75, "localhost", "not followed", "authority")
    [request] = mail.tenant.token_requests
    assert request.path.startswith("/contoso.example/")


BAD_ANSWERS = {
    "oversized": (Rule("token", "oversized"), ["larger than"]),
    "not-json": (Rule("token", "not-json"), ["not JSON", "proxy"]),
    "truncated": (Rule("token", "truncated"), ["not JSON"]),
    "204": (Rule("token", "http", {"status": 204}), ["204"]),
    "array": (Rule("token", "http", {"status": 200, "body": "[]"}),
              ["not JSON"]),
    "no-token": (Rule("token", "http", {"status": 200, "body": {
        "token_type": "Bearer", "expires_in": 3599}}), ["cannot be used"]),
    "no-type": (Rule("token", "http", {"status": 200, "body": {
        "access_token": "abc", "expires_in": 3599}}), ["no Bearer token"]),
    "mac": (Rule("token", "http", {"status": 200, "body": {
        "token_type": "mac", "access_token": "abc"}}), ["no Bearer token"]),
    "injection": (Rule("token", "http", {"status": 200, "body": {
        "token_type": "Bearer", "access_token": "a\x01b\r\nMAIL FROM:<>",
        "expires_in": 3599}}), ["cannot be used"]),
    "empty": (Rule("token", "http", {"status": 200, "body": {
        "token_type": "Bearer", "access_token": "", "expires_in": 3599}}),
        ["cannot be used"]),
    "huge": (Rule("token", "http", {"status": 200, "body": {
        "token_type": "Bearer", "access_token": "x" * 200_000,
        "expires_in": 3599}}), []),
    "403-page": (Rule("token", "http", {"status": 403, "body": "<html>"}),
                 ["403", "proxy"]),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_bad_answer_is_no_token(given, name):
    rule, words = BAD_ANSWERS[name]
    mail = given(rule)
    assert_fatal(send(mail), 75, "localhost", *words)
    assert mail.tenant.dialogue() == []


@pytest.mark.parametrize("rule", [
    Rule("token", "http10"), Rule("token", "slow", 0.0001),
    Rule("token", "delay", 0.2),
], ids=["HTTP/1.0", "octet-by-octet", "late"])
def test_unusual_answer_is_a_token(given, rule):
    assert_sent(send(given(rule)))


def test_error_text_is_shown_without_what_moves_a_terminal(given):
    mail = given(Rule("token", "http", {"status": 400, "body": {
        "error": "brand\x1b[31mnew", "error_description":
        "AADSTS999999: \x1b]0;owned\x07 line one\r\nline two"}}))
    assert_fatal(send(mail), 78, "AADSTS999999", "error?code=999999")


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "good"][:3])
def test_no_secret_for_an_impostor(given, kind):
    mail = given(entra_certificate=kind)
    assert_fatal(send(mail), 75, "certificate")
    assert mail.tenant.token_requests == []


# ---- the environment ----

HOSTILE = {
    "https_proxy": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "all_proxy": "socks5://127.0.0.1:1",
    "ALL_PROXY": "socks5://127.0.0.1:1",
    "SSL_CERT_FILE": "/nonexistent",
    "SSL_CERT_DIR": "/nonexistent",
    "CURL_CA_BUNDLE": "/nonexistent",
    "SASL_PATH": "/nonexistent",
    "SASL_CONF_PATH": "/nonexistent",
    "LOCALDOMAIN": "evil.example",
    "RES_OPTIONS": "ndots:15",
    "HOSTALIASES": "/nonexistent",
    "LD_BIND_NOW": "1",
    "TMPDIR": "/nonexistent",
    "NETRC": "/nonexistent",
}


@pytest.mark.skipif(BUILD.name == "valgrind", reason="it has one on valgrind")
@pytest.mark.parametrize("login", [False, True], ids=["XOAUTH2", "LOGIN"])
def test_environment_has_no_effect(given, tmp_path, login):
    home = tmp_path / "home"
    (home / ".config" / "sendmail365").mkdir(parents=True)
    (home / ".config/sendmail365/sendmail365.conf").write_text("[evil]\n")
    (home / ".netrc").write_text("default login evil password evil\n")
    (home / ".curlrc").write_text('proxy = "http://127.0.0.1:1"\n')
    openssl = tmp_path / "openssl.cnf"
    openssl.write_text(
        "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\n"
        "system_default = tls\n[tls]\nMinProtocol = TLSv1.3\n"
        "MaxProtocol = TLSv1.1\nCipherString = NULL\n")
    keys = tmp_path / "keys"
    mail = given(login=login)
    assert_sent(send(mail, env={
        **HOSTILE, "HOME": str(home), "XDG_CONFIG_HOME": str(home),
        "XDG_STATE_HOME": str(home), "OPENSSL_CONF": str(openssl),
        "SSLKEYLOGFILE": str(keys)}))
    assert not keys.exists()
    assert sorted(p.name for p in home.iterdir()) == [
        ".config", ".curlrc", ".netrc"]


@pytest.mark.parametrize("login", [False, True], ids=["XOAUTH2", "LOGIN"])
def test_empty_environment(given, login):
    assert_sent(send(given(login=login), env={}))


# ---- the proxy ----

class ConnectProxy:
    """An HTTP proxy that knows CONNECT alone."""

    def __init__(self, answer="200 Connection established"):
        self.requests = []
        self._answer = answer
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
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client:
                self._serve(client)

    def _serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.requests.append(head.decode())
        client.sendall(f"HTTP/1.1 {self._answer}\r\n\r\n".encode())
        if not self._answer.startswith("200"):
            return
        host, port = head.split()[1].decode().split(":")
        with socket.create_connection((host, int(port))) as server:
            self._pass_on(client, server)

    @staticmethod
    def _pass_on(client, server):
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return
                (server if source is client else client).sendall(data)


def test_proxy_of_the_configuration_is_used(given):
    with ConnectProxy() as proxy:
        mail = given(config={"proxy": f"http://127.0.0.1:{proxy.port}"})
        assert_sent(send(mail))
        [request] = proxy.requests
    assert request.startswith(f"CONNECT localhost:{mail.tenant.entra_port} ")
    assert mail.tenant.client_secret not in request
    assert len(mail.tenant.token_requests) == 1


def test_proxy_of_the_environment_is_not_used(mail):
    with ConnectProxy() as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        assert_sent(send(mail, env={
            "https_proxy": url, "HTTPS_PROXY": url, "ALL_PROXY": url}))
        assert proxy.requests == []


def test_environment_does_not_switch_the_proxy_off(given):
    with ConnectProxy() as proxy:
        mail = given(config={"proxy": f"http://127.0.0.1:{proxy.port}"})
        assert_sent(send(mail, env={"no_proxy": "*", "NO_PROXY": "*"}))
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("answer", [
    "407 Proxy Authentication Required", "403 Forbidden",
])
def test_proxy_that_refuses(given, answer):
    with ConnectProxy(answer) as proxy:
        mail = given(config={"proxy": f"http://127.0.0.1:{proxy.port}"})
        assert_fatal(send(mail), 75, "localhost", answer[:3])


def test_proxy_that_is_down(given):
    mail = given(config={"proxy": "http://127.0.0.1:1"})
    assert_fatal(send(mail), 75, "localhost", "proxy")
