"""A slow wire: a TCP proxy that delays, records, and counts round trips.

Counting is done from the client's point of view. Its events are: octets
came from the client; octets were handed to the client. A *flight* is a
run of client octets, none of which can have waited for an answer to an
earlier one. As the wire is D long, an answer takes at least 2 D, so
client octets begin a new flight only if

  - something was handed to the client since its last octets, and
  - its last octets are at least 2 D old.

The second condition keeps together what the client sends while unrelated
server octets arrive: session tickets, or early answers to a pipeline. A
flight counts as a round trip when something is handed to the client after
it, and before the client closes; a QUIT whose answer nobody awaits does
not. The TCP handshake counts 1, and a server that speaks first (a banner)
1 more.

Elapsed time fits the count: the connection to the server is made after
3 D, when a real handshake would have been completed there.
"""

import select
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Deque, List, Optional, Tuple

from .listener import Listener

_BLOCK = 1 << 16
_POLL = 0.05  # seconds between looks at whether to end


@dataclass(frozen=True)
class Chunk:
    """Octets on the wire; `time` is when the client saw them go or come."""

    direction: str  # "C" from the client, "S" from the server
    time: float  # seconds since the connection began
    data: bytes


class Proxy:
    """Listens on `port`, connects to `target`; a context manager."""

    def __init__(self, target: int, delay_ms: float = 0):
        self.delay = delay_ms / 1000
        self.target = target
        self.connections: List["ProxyConnection"] = []
        self._listener = Listener("proxy", self._connect)
        self.port = self._listener.port

    def _connect(self, sock: socket.socket) -> "ProxyConnection":
        connection = ProxyConnection(sock, self.target, self.delay)
        self.connections.append(connection)
        return connection

    @property
    def round_trips(self) -> int:
        """Round trips of all connections together."""
        return sum(one.round_trips for one in self.connections)

    def __enter__(self) -> "Proxy":
        self._listener.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._listener.stop()


class ProxyConnection:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, target: int, delay: float):
        self.delay = delay
        self.timeline: List[Chunk] = []
        self.client_closed: Optional[float] = None
        self._began = time.monotonic()
        self._target = target
        self._client = client
        self._server: Optional[socket.socket] = None
        self._aborted = False

    # Counting

    @property
    def flights(self) -> List[Tuple[bytes, bytes]]:
        """The flights that count: (client octets, server octets)."""
        flights: List[Tuple[bytearray, bytearray]] = []
        last_sent: Optional[float] = None
        heard = False
        for chunk in list(self.timeline):
            if chunk.direction == "C":
                waited = last_sent is None or (
                    heard and chunk.time - last_sent >= 2 * self.delay
                )
                if waited:
                    flights.append((bytearray(), bytearray()))
                flights[-1][0].extend(chunk.data)
                last_sent, heard = chunk.time, False
            elif not self._came_too_late(chunk):
                heard = True
                if flights:
                    flights[-1][1].extend(chunk.data)
        return [(bytes(c), bytes(s)) for c, s in flights if s]

    @property
    def server_spoke_first(self) -> bool:
        timeline = list(self.timeline)
        return bool(timeline) and timeline[0].direction == "S"

    @property
    def round_trips(self) -> int:
        """1 for TCP, 1 for a banner, 1 for each flight answered."""
        return 1 + self.server_spoke_first + len(self.flights)

    def _came_too_late(self, chunk: Chunk) -> bool:
        closed = self.client_closed
        return closed is not None and chunk.time >= closed

    # Passing on

    def run(self) -> None:
        """Pass octets both ways until both have closed."""
        try:
            self._pass_on()
        except OSError:
            pass  # one side has reset; the other will see the end
        finally:
            self._client.close()
            if self._server:
                self._server.close()

    def abort(self) -> None:
        """Make `run` return soon."""
        self._aborted = True
        for sock in self._client, self._server:
            try:
                if sock:
                    sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already

    def _pass_on(self) -> None:
        up = _Direction(self._client)
        down = _Direction(None)
        while not (self._aborted or up.ended and down.ended):
            now = self._now()
            if self._server is None and now >= 3 * self.delay:
                self._server = socket.create_connection(
                    ("127.0.0.1", self._target)
                )
                self._server.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NODELAY, True
                )
                down.source = self._server
            self._deliver_up(up, now)
            self._deliver_down(down, now)
            self._read(up, down)

    def _deliver_up(self, up: "_Direction", now: float) -> None:
        while self._server and up.is_due(now):
            data = up.pop()
            if data:
                self._server.sendall(data)
            else:
                self._server.shutdown(socket.SHUT_WR)

    def _deliver_down(self, down: "_Direction", now: float) -> None:
        while down.is_due(now):
            data = down.pop()
            if not data:
                self._client.shutdown(socket.SHUT_WR)
                continue
            self.timeline.append(Chunk("S", self._now(), data))
            self._client.sendall(data)

    def _read(self, up: "_Direction", down: "_Direction") -> None:
        sources = [one.source for one in (up, down) if one.source]
        timeout = self._time_to_wait(up, down)
        readable, _, _ = select.select(sources, [], [], timeout)
        if up.source in readable:
            self._read_up(up)
        if down.source in readable:
            data = down.source.recv(_BLOCK)
            down.push(data, self._now() + self.delay)

    def _read_up(self, up: "_Direction") -> None:
        try:
            data = up.source.recv(_BLOCK)
        except ConnectionResetError:
            data = b""
        now = self._now()
        if data:
            self.timeline.append(Chunk("C", now, data))
        else:
            self.client_closed = now
        up.push(data, max(now, 2 * self.delay) + self.delay)

    def _time_to_wait(self, up: "_Direction", down: "_Direction") -> float:
        now = self._now()
        events = [one.due for one in (up, down) if one.due is not None]
        if self._server is None:
            events = [3 * self.delay]
        return min(_POLL, max(0.0, min(events, default=now + 1) - now))

    def _now(self) -> float:
        return time.monotonic() - self._began


class _Direction:
    """What is under way in one direction; b"" stands for the end."""

    def __init__(self, source: Optional[socket.socket]):
        self.source = source  # None: not open, or at its end
        self.ended = False
        self._queue: Deque[Tuple[float, bytes]] = deque()

    @property
    def due(self) -> Optional[float]:
        return self._queue[0][0] if self._queue else None

    def is_due(self, now: float) -> bool:
        return bool(self._queue) and self._queue[0][0] <= now

    def push(self, data: bytes, due: float) -> None:
        self._queue.append((due, data))
        if not data:
            self.source = None

    def pop(self) -> bytes:
        data = self._queue.popleft()[1]
        self.ended = not data
        return data
