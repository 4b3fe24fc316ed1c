"""A TCP listener on a loopback address with a thread for each connection."""

import socket
import threading
from typing import Callable, List, Protocol, Tuple


class Handler(Protocol):
    """What a listener runs for each connection."""

    def run(self) -> None:
        """Serve the connection until its end, then close it."""

    def abort(self) -> None:
        """Make `run` return soon; called from another thread."""


class Listener:
    """Accepts from `start` to `stop`; stopping ends all connections."""

    def __init__(
        self,
        name: str,
        make: Callable[[socket.socket], Handler],
        where: Tuple[str, int] = ("127.0.0.1", 0),
    ):
        self._name = name
        self._make = make
        self._socket = socket.create_server(where, backlog=128)
        self._acceptor = threading.Thread(
            target=self._accept, name=f"{name}-accept", daemon=True
        )
        self._running: List[Tuple[Handler, threading.Thread]] = []
        self.address: str = self._socket.getsockname()[0]
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        """Close the listening socket and end every connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # nobody can be connected to a closed one
        self._acceptor.join()
        self._socket.close()
        for handler, thread in self._running:
            while thread.is_alive():
                handler.abort()
                thread.join(0.02)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            try:
                connection.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NODELAY, True
                )
                handler = self._make(connection)
            except OSError:
                connection.close()  # the client has gone again
                continue
            thread = threading.Thread(
                target=handler.run, name=self._name, daemon=True
            )
            self._running = [
                (one, running)
                for one, running in self._running
                if running.is_alive()
            ]
            self._running.append((handler, thread))
            thread.start()
