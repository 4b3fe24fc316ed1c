"""A DNS server on a loopback address, UDP and TCP at the same port.

It has authority for everything: a name without records does not exist, a
record that is not of the type asked for is not in the answer, and aliases
are followed among its own names.
"""

import errno
import itertools
import os
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from .listener import Listener

#: behaviour of a name -> what happens to questions about it
BEHAVIOURS = {
    "nxdomain": "the name does not exist",
    "nodata": "the name has no such record",
    "servfail": "the server cannot find out",
    "refused": "the server will not say",
    "silence": "nothing is answered",
    "truncate": "UDP: TC and nothing more; TCP: the answer",
    "truncate-silence": "UDP: TC and nothing more; TCP: nothing",
    "largest": "a TXT record fills the answer to 65535 octets",
    "malformed": "the last record says that it is longer than the answer",
    "loop": "the name in the last record points to itself",
}

#: ("A", "192.0.2.1"), ("AAAA", "2001:db8::1"), ("CNAME", "b.example") or
#: ("MX", 10, "mail.b.example")
Record = Sequence

_TYPES = {"A": 1, "CNAME": 5, "MX": 15, "TXT": 16, "AAAA": 28}
_NAMES = {number: name for name, number in _TYPES.items()}
_INTERNET = 1
_NO_ERROR, _SERVFAIL, _NXDOMAIN, _REFUSED = 0, 2, 3, 5
_RESPONSE, _AUTHORITATIVE, _TRUNCATED = 0x8000, 0x0400, 0x0200
_RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x0100, 0x0080
_HEADER = struct.Struct("!6H")
_LONGEST = 65535
_LONGEST_UDP = 512
_POINTER = 0xC000  # and the offset of a name, in place of the name
_TTL = 60
_TRIES = 100


@dataclass
class Question:
    """What a client has asked."""

    name: str  # in lower case, without the last dot
    type: str  # "MX", or a number if it is none of ours
    transport: str  # "udp" or "tcp"


class Dns:
    """The server; use it as a context manager.

    `records` maps names to lists of Record, `behaviours` names to one of
    BEHAVIOURS; both can be changed while it runs. With port 53 the address
    is one of 127.64.0.0/10 that nobody else uses, else it is 127.0.0.1.
    """

    def __init__(
        self,
        records: Optional[Dict[str, List[Record]]] = None,
        behaviours: Optional[Dict[str, str]] = None,
        port: int = 0,
    ):
        self.records = dict(records or {})
        self.behaviours = dict(behaviours or {})
        unknown = set(self.behaviours.values()) - set(BEHAVIOURS)
        if unknown:
            raise ValueError(f"unknown behaviours: {sorted(unknown)}")
        self._changed = threading.Condition()
        self._questions: List[Question] = []
        self._is_stopping = False
        self._tcp, self._udp = self._bind(port)
        self.address: str = self._tcp.address
        self.port: int = self._tcp.port
        self._receiver = threading.Thread(
            target=self._receive, name="dns-udp", daemon=True
        )

    # Life

    def start(self) -> None:
        """Answer."""
        self._tcp.start()
        self._receiver.start()

    def stop(self) -> None:
        """End everything, also what is silent."""
        self._tcp.stop()
        self._is_stopping = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, self.port))
        self._receiver.join()
        self._udp.close()

    def __enter__(self) -> "Dns":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def _bind(self, port: int) -> Tuple[Listener, socket.socket]:
        """A listener, and a socket for datagrams of the same address."""
        for address in itertools.islice(_addresses(port), _TRIES):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                udp.bind((address, port))
                found = udp.getsockname()
                make = lambda s: _TcpConnection(s, self)  # noqa: E731
                return Listener("dns-tcp", make, found), udp
            except OSError as error:
                udp.close()
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, "no address is free for DNS")

    def _receive(self) -> None:
        while True:
            query, peer = self._udp.recvfrom(_LONGEST)
            if self._is_stopping:
                return
            answer = self.answer(query, "udp")
            if answer:
                self._udp.sendto(answer, peer)

    # What it has seen

    @property
    def questions(self) -> List[Question]:
        """All questions, in order, those without an answer too."""
        with self._changed:
            return list(self._questions)

    def wait_for_questions(self, count: int, timeout: float = 60) -> bool:
        """Wait until so many questions have come; False: too late."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._questions) >= count, timeout
            )

    # What it says

    def answer(self, query: bytes, transport: str) -> bytes:
        """The answer to a query; b"": none is given."""
        try:
            number, name, kind, end = _parse_query(query)
        except (IndexError, UnicodeDecodeError, struct.error):
            return b""  # who does not speak DNS gets no answer
        with self._changed:
            self._questions.append(
                Question(name, _NAMES.get(kind, str(kind)), transport)
            )
            self._changed.notify_all()
        behaviour = self.behaviours.get(name, "")
        if behaviour == "silence":
            return b""
        if behaviour.startswith("truncate"):
            if transport == "udp":
                return _message(number, query[12:end], _TRUNCATED)
            if behaviour == "truncate-silence":
                return b""
        code, records = self._find(name, kind, behaviour)
        answer = _message(number, query[12:end], code, records)
        if behaviour == "largest":
            answer = _message(
                number, query[12:end], code, [*records, _filler(answer)]
            )
        if transport == "udp" and len(answer) > _LONGEST_UDP:
            return _message(number, query[12:end], _TRUNCATED)
        return answer

    def _find(
        self, name: str, kind: int, behaviour: str
    ) -> Tuple[int, List[bytes]]:
        """The code of an answer and its records."""
        codes = {
            "nxdomain": _NXDOMAIN,
            "nodata": _NO_ERROR,
            "servfail": _SERVFAIL,
            "refused": _REFUSED,
        }
        if behaviour in codes:
            return codes[behaviour], []
        code, records = self._follow(name, kind)
        if behaviour in ("malformed", "loop"):
            records.append(_spoiled(kind, behaviour, name, records))
        return code, records

    def _follow(self, name: str, kind: int) -> Tuple[int, List[bytes]]:
        """The records of a name and of what it is an alias for."""
        out: List[bytes] = []
        seen = set()
        owner = struct.pack("!H", _POINTER + _HEADER.size)
        while name in self.records and name not in seen:
            seen.add(name)
            alias = None
            for record in self.records[name]:
                if record[0] == "CNAME":
                    alias = record[1].lower()
                if record[0] == "CNAME" or _TYPES[record[0]] == kind:
                    out.append(_record(owner, record))
            if alias is None or kind == _TYPES["CNAME"]:
                return _NO_ERROR, out
            name, owner = alias, _encode(alias)
        return _NO_ERROR if name in seen else _NXDOMAIN, out


class _TcpConnection:
    """Queries and answers, each behind its length."""

    def __init__(self, sock: socket.socket, dns: Dns):
        self._socket = sock
        self._dns = dns

    def run(self) -> None:
        """Answer until the client has gone."""
        try:
            with self._socket, self._socket.makefile("rb") as stream:
                self._serve(stream)
        except OSError:
            pass  # the client, or the test, has given up

    def _serve(self, stream) -> None:
        while True:
            length = stream.read(2)
            if len(length) < 2:
                return
            query = stream.read(int.from_bytes(length, "big"))
            answer = self._dns.answer(query, "tcp")
            if answer:
                self._socket.sendall(
                    len(answer).to_bytes(2, "big") + answer
                )

    def abort(self) -> None:
        """Wake `run`."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has ended by itself


def _addresses(port: int) -> Iterator[str]:
    """Where to try to listen: other processes begin at other places."""
    if port == 0:
        yield from itertools.repeat("127.0.0.1")
    for step in itertools.count():
        number = (os.getpid() * 251 + step) % (1 << 22)
        yield socket.inet_ntoa(struct.pack("!I", 0x7F400000 + number))


def _parse_query(query: bytes) -> Tuple[int, str, int, int]:
    """Return (ID, name, type, where the question ends)."""
    labels = []
    at = _HEADER.size
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
        at += 1 + query[at]
    (kind,) = struct.unpack_from("!H", query, at + 1)
    name = ".".join(labels).lower()
    return int.from_bytes(query[:2], "big"), name, kind, at + 5


def _message(
    number: int, question: bytes, flags: int, records: Sequence[bytes] = ()
) -> bytes:
    flags |= _RESPONSE | _AUTHORITATIVE
    flags |= _RECURSION_DESIRED | _RECURSION_AVAILABLE
    header = _HEADER.pack(number, flags, 1, len(records), 0, 0)
    return header + question + b"".join(records)


def _encode(name: str) -> bytes:
    labels = name.split(".") if name not in ("", ".") else []
    return b"".join(
        bytes([len(label)]) + label.encode("ascii") for label in labels
    ) + b"\0"


def _record(owner: bytes, record: Record) -> bytes:
    kind, *values = record
    if kind == "A":
        data = socket.inet_aton(values[0])
    elif kind == "AAAA":
        data = socket.inet_pton(socket.AF_INET6, values[0])
    elif kind == "CNAME":
        data = _encode(values[0])
    else:
        data = struct.pack("!H", values[0]) + _encode(values[1])
    return _raw_record(owner, _TYPES[kind], data)


def _raw_record(
    owner: bytes, kind: int, data: bytes, length: Optional[int] = None
) -> bytes:
    if length is None:
        length = len(data)
    return owner + struct.pack("!HHIH", kind, _INTERNET, _TTL, length) + data


def _filler(answer: bytes) -> bytes:
    """A record that makes this answer as long as an answer can be."""
    owner = struct.pack("!H", _POINTER + _HEADER.size)
    room = _LONGEST - len(answer) - len(_raw_record(owner, 0, b""))
    data = b""
    while len(data) < room:
        length = min(255, room - len(data) - 1)
        data += bytes([length]) + b"x" * length
    return _raw_record(owner, _TYPES["TXT"], data)


def _spoiled(
    kind: int, behaviour: str, name: str, records: List[bytes]
) -> bytes:
    """A last record of the type asked for that is wrong."""
    owner = struct.pack("!H", _POINTER + _HEADER.size)
    head = struct.pack("!H", 0) if kind == _TYPES["MX"] else b""
    data = head + _encode("mail." + name)
    if behaviour == "malformed":
        return _raw_record(owner, kind, data, len(data) + 1)
    question = len(_encode(name)) + 4
    at = _HEADER.size + question + sum(map(len, records))
    at += len(_raw_record(owner, kind, head))
    pointer = struct.pack("!H", _POINTER + at)
    return _raw_record(owner, kind, head + pointer)
