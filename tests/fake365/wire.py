"""One connection: buffered lines and octets, TLS, and rude endings."""

import select
import socket
import ssl
import struct
import time
from typing import NoReturn, Optional

from .records import Connection, Journal

_BLOCK = 1 << 18
_LONGEST_LINE = 1 << 20
_LINGER = 0.5  # seconds given to the peer to read what we said last


class Gone(Exception):
    """The connection is over; nothing more can be said on it."""


class Wire:
    """A socket with a read buffer; `record` is its page in the journal."""

    def __init__(self, sock: socket.socket, journal: Journal, service: str):
        peer = sock.getpeername()[0]
        self.socket = sock
        self.journal = journal
        self.record: Connection = journal.open_connection(service, peer)
        self._buffer = bytearray()

    # Reading

    def line(self) -> bytes:
        """Return the next line with its line end."""
        start = 0
        while True:
            end = self._buffer.find(b"\n", start)
            if end >= 0:
                return self._take(end + 1)
            if len(self._buffer) > _LONGEST_LINE:
                raise Gone("line too long")
            start = len(self._buffer)
            self._fill()

    def exactly(self, size: int) -> bytes:
        """Return the next `size` octets."""
        data = bytearray(self._take(min(size, len(self._buffer))))
        while len(data) < size:
            data += self._receive(min(_BLOCK, size - len(data)))
        return bytes(data)

    def until_dot(self) -> bytes:
        """Return the mail data before CRLF.CRLF, dots not removed yet."""
        start = 0
        while True:
            if self._buffer.startswith(b".\r\n"):
                self._take(3)
                return b""
            end = self._buffer.find(b"\r\n.\r\n", start)
            if end >= 0:
                data = self._take(end + 2)
                self._take(3)
                return data
            start = max(0, len(self._buffer) - 4)
            self._fill()

    def discard_buffer(self) -> bytes:
        """Empty the read buffer and return what was in it."""
        return self._take(len(self._buffer))

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _fill(self) -> None:
        self._buffer += self._receive(_BLOCK)

    def _receive(self, size: int) -> bytes:
        try:
            data = self.socket.recv(size)
        except OSError as error:
            self._fail(error)
        if not data:
            raise Gone("end of file")
        return data

    # Writing

    def send(self, data: bytes) -> None:
        """Write octets."""
        try:
            self.socket.sendall(data)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        self.record.error = str(error)
        raise Gone(str(error)) from error

    # TLS

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's side of the handshake."""
        try:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
            self.socket.do_handshake()
        except OSError as error:
            self._fail(error)
        record = self.record
        record.tls_version = self.socket.version() or ""
        record.cipher = (self.socket.cipher() or ("",))[0]
        record.resumed = bool(self.socket.session_reused)
        record.server_name = getattr(self.socket, "server_name", None) or ""

    # Endings

    def stall(self) -> NoReturn:
        """Neither read nor write until the peer, or the test, gives up."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        poll.poll()
        raise Gone("stalled")

    def drop(self) -> NoReturn:
        """Close at once, whatever the peer has still to say."""
        self.socket.close()
        raise Gone("dropped")

    def reset(self) -> NoReturn:
        """Close with RST."""
        linger = struct.pack("ii", 1, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()
        raise Gone("reset")

    def close(self) -> None:
        """Close so that the peer can still read what was said last."""
        try:
            self._say_goodbye()
        except OSError:
            pass  # the peer was faster
        self.socket.close()
        self.journal.close_connection(self.record)

    def _say_goodbye(self) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            self._send_close_notify(self.socket)
        socket.socket.shutdown(self.socket, socket.SHUT_WR)
        self.socket.settimeout(_LINGER)
        deadline = time.monotonic() + _LINGER
        while socket.socket.recv(self.socket, _BLOCK):
            if time.monotonic() > deadline:
                break

    @staticmethod
    def _send_close_notify(sock: ssl.SSLSocket) -> None:
        """Send the alert without waiting for the peer's."""
        sock.settimeout(0)
        try:
            sock.unwrap()
        except (OSError, ValueError):
            pass  # SSLWantRead: sent; others: the handshake had failed

    def abort(self) -> None:
        """Wake a thread which waits on this connection."""
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        except OSError:
            pass  # closed already, or just being wrapped


def context_for(
    certificate: str, key: str, version: Optional[str] = None
) -> ssl.SSLContext:
    """A server context for TLS 1.2 or newer, or for exactly one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the client is to object
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if version:
        exact = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
        context.minimum_version = context.maximum_version = exact
    context.load_cert_chain(certificate, key)
    context.sni_callback = _remember_server_name
    return context


def _remember_server_name(sock, name, _context) -> None:
    sock.server_name = name
