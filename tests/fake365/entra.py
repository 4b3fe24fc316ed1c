"""Entra's token endpoint: client credentials with a secret, over HTTPS."""

import base64
import datetime
import http.server
import json
import random
import re
import socket
import urllib.parse
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, Tuple

from .records import TokenRequest
from .scenario import Rule
from .wire import Gone, Wire

if TYPE_CHECKING:
    from .tenant import Tenant

_RESOURCE = re.compile(r"(https://[\w.-]+)/\.default")
_ENDLESS = 1 << 28  # octets after which an endless answer gives up

#: AADSTS number -> (HTTP status, error, text)
ERRORS: Dict[int, Tuple[int, str, str]] = {
    50196: (400, "invalid_client", "The server terminated an operation "
            "because it encountered a client request loop."),
    53003: (400, "invalid_grant", "Access has been blocked by Conditional "
            "Access policies."),
    70003: (400, "unsupported_grant_type", "The app requested an unsupported "
            "grant type '{grant_type}'."),
    70011: (400, "invalid_scope", "The provided request must include a "
            "'scope' input parameter. The provided value for the input "
            "parameter 'scope' is not valid. The scope {scope} is not "
            "valid."),
    90002: (400, "invalid_request", "Tenant '{tenant}' not found. Check to "
            "make sure you have the correct tenant ID and are signing into "
            "the correct cloud."),
    90033: (503, "temporarily_unavailable", "A transient error has occurred. "
            "Please try again."),
    900144: (400, "invalid_request", "The request body must contain the "
             "following parameter: '{missing}'."),
    700016: (400, "unauthorized_client", "Application with identifier "
             "'{client_id}' was not found in the directory '{tenant}'."),
    7000112: (400, "unauthorized_client", "Application '{client_id}' is "
              "disabled."),
    7000215: (401, "invalid_client", "Invalid client secret provided. Ensure "
              "the secret being sent in the request is the client secret "
              "value, not the client secret ID, for a secret added to app "
              "'{client_id}'."),
    7000218: (401, "invalid_client", "The request body must contain the "
              "following parameter: 'client_assertion' or 'client_secret'."),
    7000222: (401, "invalid_client", "The provided client secret keys for "
              "app '{client_id}' are expired. Visit the Azure portal to "
              "create new keys for your app."),
}  # fmt: skip
_OTHER_ERROR = (400, "invalid_request", "The request failed.")


@dataclass
class Answer:
    """An HTTP answer in the making."""

    status: int
    body: bytes
    headers: Dict[str, str]


Maker = Callable[[], Answer]  # of the ordinary answer


class TokenConnection:
    """One HTTPS connection to the endpoint."""

    def __init__(self, sock: socket.socket, tenant: "Tenant"):
        self.tenant = tenant
        self.wire = Wire(sock, tenant.journal, "entra")

    def run(self) -> None:
        """Serve requests until one side has had enough."""
        try:
            self._break("token-connect")
            self._break("token-tls")
            self.wire.start_tls(self.tenant.tls_context("entra"))
            _Requests(self)
        except Gone:
            pass
        except OSError as error:
            self.wire.record.error = str(error)
        finally:
            self.wire.close()

    def abort(self) -> None:
        """End the connection from another thread."""
        self.wire.abort()

    def rules(self, phase: str) -> Tuple[Rule, ...]:
        """Serve the delays of a phase, return its other rules."""
        rules = self.tenant.scenario.visit(phase, "entra")
        for rule in rules:
            if rule.action == "delay":
                self.tenant.pause(float(rule.argument))
        return tuple(rule for rule in rules if rule.action != "delay")

    def _break(self, phase: str) -> None:
        for rule in self.rules(phase):
            self.end(rule.action)

    def end(self, action: str) -> None:
        """End the connection in the way an action says."""
        if action == "stall":
            self.wire.stall()
        if action == "reset":
            self.wire.reset()
        if action == "garbage":
            self.wire.send(random.Random(365).randbytes(4096))
        self.wire.drop()


class _Requests(http.server.BaseHTTPRequestHandler):
    """Reads requests of one connection and answers them."""

    protocol_version = "HTTP/1.1"
    server_version = "fake365"

    def __init__(self, connection: TokenConnection):
        self.fake = connection
        self.tenant = connection.tenant
        record = connection.wire.record
        super().__init__(connection.wire.socket, (record.peer, 0), None)

    def log_message(self, *_: Any) -> None:
        """Say nothing on stderr: the journal has it all."""

    def do_GET(self) -> None:
        self._answer_request()

    def do_POST(self) -> None:
        self._answer_request()

    def _answer_request(self) -> None:
        request = self._read_request()
        self.tenant.journal.token_request(request)
        answer = self._judge(request)
        for rule in self.fake.rules("token"):
            name = "play_" + rule.action.replace("-", "_")
            perform = getattr(self, name, None)
            if perform is None:
                self.fake.end(rule.action)
            perform(request, answer, rule.argument)
            return
        self._send(request, answer())

    def _read_request(self) -> TokenRequest:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = urllib.parse.parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True
        )
        return TokenRequest(
            connection=self.fake.wire.record.number,
            method=self.command,
            path=self.path,
            headers={k.lower(): v for k, v in self.headers.items()},
            form=dict(form),
            body=body,
        )

    # The ordinary answer

    def _judge(self, request: TokenRequest) -> Maker:
        """Decide on a request; calling the result issues the token."""
        segments = request.path.split("/")
        if request.method != "POST" or segments[2:] != [
            "oauth2", "v2.0", "token",
        ]:
            return lambda: Answer(404, b"", {})
        number, details = self._find_fault(segments[1], request)
        if number:
            return lambda: _error(number, **details)
        return lambda: self._grant(details["scope"])

    def _find_fault(self, tenant_name: str, request: TokenRequest):
        """Return (AADSTS number or 0, what its text needs)."""
        tenant = self.tenant
        client_id, secret = _credentials(request)
        form = request.form
        details = {
            "tenant": tenant_name,
            "client_id": client_id,
            "grant_type": form.get("grant_type", ""),
            "scope": form.get("scope", ""),
            "missing": "grant_type" if client_id else "client_id",
        }
        if tenant_name.lower() not in (tenant.domain, tenant.tenant_id):
            return 90002, details
        if not client_id or not details["grant_type"]:
            return 900144, details
        if details["grant_type"] != "client_credentials":
            return 70003, details
        if client_id.lower() != tenant.client_id:
            return 700016, details
        if not _RESOURCE.fullmatch(details["scope"]):
            return 70011, details
        if not secret:
            return 7000218, details
        if secret == tenant.expired_secret:
            return 7000222, details
        return (0 if secret == tenant.client_secret else 7000215), details

    def _grant(self, scope: str) -> Answer:
        """A token for whatever resource; that judges if it is the one."""
        tenant, settings = self.tenant, self.tenant.settings
        token = tenant.directory.issue(
            _RESOURCE.fullmatch(scope)[1], tenant.tenant_id,
            tenant.client_id, settings.token_lifetime, settings.token_length,
        )  # fmt: skip
        return _json(200, {
            "token_type": "Bearer",
            "expires_in": settings.token_lifetime,
            "ext_expires_in": settings.token_lifetime,
            "access_token": token.text,
        })

    def _send(self, request: TokenRequest, answer: Answer) -> None:
        self._send_head(request, answer)
        self.wfile.write(answer.body)

    def _send_head(self, request: TokenRequest, answer: Answer) -> None:
        request.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Transfer-Encoding" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    # What a scenario can make of it

    def play_http(self, request: TokenRequest, _: Maker, spec: Any) -> None:
        body = spec.get("body", "")
        self._send(request, Answer(
            spec["status"],
            (body if isinstance(body, str) else json.dumps(body)).encode(),
            spec.get("headers", {}),
        ))

    def play_error(self, request: TokenRequest, _: Maker, number: Any) -> None:
        client_id, _secret = _credentials(request)
        self._send(request, _error(
            int(str(number).replace("AADSTS", "")),
            tenant=self.tenant.domain, client_id=client_id,
            grant_type=request.form.get("grant_type", ""),
            scope=request.form.get("scope", ""), missing="scope",
        ))

    def play_redirect(self, request: TokenRequest, _: Maker, url: str) -> None:
        self._send(request, Answer(302, b"", {"Location": url}))

    def play_not_json(self, request: TokenRequest, _: Maker, __: Any) -> None:
        page = b"<!DOCTYPE html><title>Sign in to the network</title>"
        self._send(request, Answer(200, page, {"Content-Type": "text/html"}))

    def play_truncated(
        self, request: TokenRequest, make: Maker, _: Any
    ) -> None:
        answer = make()
        answer.body = answer.body[: len(answer.body) // 2]
        self._send(request, answer)

    def play_oversized(
        self, request: TokenRequest, _: Maker, __: Any
    ) -> None:
        answer = Answer(200, b"", {"Transfer-Encoding": "chunked"})
        self._send_head(request, answer)
        block = b'{"padding": "' + b"x" * 65000
        for _ in range(_ENDLESS // len(block)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))

    def play_slow(
        self, request: TokenRequest, make: Maker, pause: Any
    ) -> None:
        answer = make()
        self._send_head(request, answer)
        for octet in answer.body:
            self.tenant.pause(float(pause))
            self.wfile.write(bytes([octet]))

    def play_http10(self, request: TokenRequest, make: Maker, _: Any) -> None:
        answer = make()
        request.status = answer.status
        head = f"HTTP/1.0 {answer.status} OK\r\n\r\n".encode()
        self.wfile.write(head + answer.body)
        self.close_connection = True


def _credentials(request: TokenRequest) -> Tuple[str, str]:
    """Client id and secret, from the form or from HTTP Basic."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(
        " "
    )
    if scheme.lower() == "basic":
        pair = base64.b64decode(encoded).decode()
        user, _, secret = pair.partition(":")
        return urllib.parse.unquote(user), urllib.parse.unquote(secret)
    form = request.form
    return form.get("client_id", ""), form.get("client_secret", "")


def _json(status: int, value: Dict[str, Any]) -> Answer:
    headers = {
        "Cache-Control": "no-store, no-cache",
        "Pragma": "no-cache",
        "Content-Type": "application/json; charset=utf-8",
        "x-ms-request-id": str(uuid.uuid4()),
    }
    return Answer(status, json.dumps(value).encode(), headers)


def _error(number: int, **details: str) -> Answer:
    """Entra's error answer for an AADSTS number."""
    status, error, text = ERRORS.get(number, _OTHER_ERROR)
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
    description = "\r\n".join([
        f"AADSTS{number}: {text.format(**details)}",
        f"Trace ID: {trace}",
        f"Correlation ID: {correlation}",
        f"Timestamp: {stamp}",
    ])
    return _json(status, {
        "error": error,
        "error_description": description,
        "error_codes": [number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    })
