"""What the tenant has seen: plain records in a thread-safe journal."""

import email
import email.message
import email.policy
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Dict, List


@dataclass
class Connection:
    """One TCP connection to one of the services."""

    number: int
    service: str  # "submission", "mx" or "entra"
    peer: str
    opened: float = field(default_factory=time.monotonic)
    closed: bool = False
    tls_version: str = ""
    cipher: str = ""
    server_name: str = ""  # SNI
    resumed: bool = False  # TLS session resumption
    error: str = ""  # what ended it, if not an orderly close
    injected: bytes = b""  # octets sent in the clear after STARTTLS
    user: str = ""  # the name that signed in


@dataclass
class Line:
    """One line of a dialogue; a message body is one line with its size."""

    connection: int
    service: str
    direction: str  # "C" client, "S" server
    phase: str
    text: str
    tls: bool
    time: float = field(default_factory=time.monotonic)


@dataclass
class Message:
    """One accepted message, its octets as the client meant them."""

    service: str
    connection: int
    sender: str
    recipients: List[str]
    parameters: Dict[str, str]  # of MAIL, keys in capitals
    recipient_parameters: List[Dict[str, str]]
    raw: bytes = field(repr=False)  # without dot-stuffing
    via: str  # "DATA" or "BDAT"
    chunks: List[int]  # sizes of the BDAT chunks
    user: str
    mechanism: str  # "XOAUTH2", "LOGIN", "PLAIN" or ""
    tls: bool
    hello: str  # argument of EHLO
    reply: str = ""  # the final 250
    time: float = field(default_factory=time.monotonic)

    @property
    def parsed(self) -> email.message.Message:
        """The message as email.message.EmailMessage."""
        return email.message_from_bytes(
            self.raw, policy=email.policy.default
        )

    @property
    def head(self) -> bytes:
        """The header, with the CRLF of its last line."""
        return split_message(self.raw)[0]

    @property
    def body(self) -> bytes:
        """All that follows the empty line."""
        return split_message(self.raw)[1]


@dataclass
class TokenRequest:
    """One request to the token endpoint, and the status it got."""

    connection: int
    method: str
    path: str
    headers: Dict[str, str]  # names in lower case
    form: Dict[str, str]
    body: bytes
    status: int = 0  # 0: no answer was given
    time: float = field(default_factory=time.monotonic)


def split_message(raw: bytes):
    """Split into header (with its last CRLF) and body."""
    if raw.startswith(b"\r\n"):
        return b"", raw[2:]
    head, found, body = raw.partition(b"\r\n\r\n")
    return (head + b"\r\n" if found else head), body


class Journal:
    """Append-only lists; each change wakes those who wait for one."""

    def __init__(self):
        self._changed = threading.Condition()
        self._connections: List[Connection] = []
        self._transcript: List[Line] = []
        self._messages: List[Message] = []
        self._token_requests: List[TokenRequest] = []

    @property
    def connections(self) -> List[Connection]:
        return self._copy(self._connections)

    @property
    def transcript(self) -> List[Line]:
        return self._copy(self._transcript)

    @property
    def messages(self) -> List[Message]:
        return self._copy(self._messages)

    @property
    def token_requests(self) -> List[TokenRequest]:
        return self._copy(self._token_requests)

    def open_connection(self, service: str, peer: str) -> Connection:
        with self._changed:
            record = Connection(len(self._connections) + 1, service, peer)
            self._connections.append(record)
            self._changed.notify_all()
            return record

    def close_connection(self, record: Connection) -> None:
        with self._changed:
            record.closed = True
            self._changed.notify_all()

    def line(
        self, record: Connection, direction: str, phase: str, text: str
    ) -> None:
        tls = bool(record.tls_version)
        self._add(
            self._transcript,
            Line(record.number, record.service, direction, phase, text, tls),
        )

    def message(self, message: Message) -> None:
        self._add(self._messages, message)

    def token_request(self, request: TokenRequest) -> None:
        self._add(self._token_requests, request)

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition holds; False: too late.

        Each new record wakes it; what is no record (an occurrence counted
        by a scenario, say) is noticed a little later.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while not condition():
                remaining = end - time.monotonic()
                if remaining <= 0:
                    return False
                self._changed.wait(min(remaining, 0.02))
            return True

    def clear(self) -> None:
        """Forget messages, dialogue and token requests seen so far."""
        with self._changed:
            self._transcript.clear()
            self._messages.clear()
            self._token_requests.clear()

    def _add(self, records: List, record) -> None:
        with self._changed:
            records.append(record)
            self._changed.notify_all()

    def _copy(self, records: List) -> List:
        with self._changed:
            return list(records)
