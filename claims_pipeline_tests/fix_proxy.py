"""Fixture: a TCP proxy that breaks connections on demand, for S3 and for Postgres alike.

Belongs here: real broken connections. Does not belong here: what is expected of those who meet them.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

_CHUNK = 1 << 14
_TICK = 0.05  # seconds until a change of mind is noticed by a connection that is silent


class Proxy:
    """Forwards connections on a free port to a server, until it is told otherwise.

    What it is told holds for open connections as for new ones, until `heal`.

    Args:
        host: of the server.
        port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._lock = threading.Lock()
        self._left: int | None = None
        self._refusing = False
        self._stalled = False
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_TICK)
        self._start(self._accept)

    @property
    def address(self) -> str:
        """Its "host:port"."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def in_place_of(self, url: str) -> str:
        """The URL with the proxy's address in place of the server's."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{self.address}").geturl()

    def cut_after(self, count: int) -> None:
        """Break all connections once the server has sent so many more bytes."""
        with self._lock:
            self._left = count

    @property
    def has_cut(self) -> bool:
        """Whether the bytes of `cut_after` have passed, and connections are broken."""
        return self._left == 0

    def refuse(self) -> None:
        """Break every connection, open or new, before a byte passes."""
        self._refusing = True

    def stall(self) -> None:
        """Keep connections open and let nothing pass."""
        self._stalled = True

    def heal(self) -> None:
        """Forward again."""
        with self._lock:
            self._left = None
        self._refusing = self._stalled = False

    def stop(self) -> None:
        """Close everything."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, work: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            if self._refusing:
                _break(client)
            else:
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(self._target, timeout=10) as server:
                try:
                    self._forward(client, server)
                finally:
                    _break(client)
        except OSError:
            return  # one of the two went away: that is what a proxy is for

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        while not self._stopping.is_set() and not self._refusing:
            if self._stalled:
                self._stopping.wait(_TICK)
                continue
            readable, _, _ = select.select([client, server], [], [], _TICK)
            for source in readable:
                data = source.recv(_CHUNK)
                if not data:
                    return
                if source is client:
                    server.sendall(data)
                    continue
                passed = self._pass(len(data))
                client.sendall(data[:passed])
                if passed < len(data):
                    return

    def _pass(self, count: int) -> int:
        """How many of so many bytes may still pass."""
        with self._lock:
            if self._left is None:
                return count
            passed = min(count, self._left)
            self._left -= passed
            return passed


def _break(connection: socket.socket) -> None:
    """Close with a reset and without the usual farewell, as a lost machine does."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        connection.close()


@pytest.fixture
def proxy_to() -> Iterator[Callable[[str], Proxy]]:
    """Makes a proxy to the server of a URL with host and port."""
    proxies: list[Proxy] = []

    def make(url: str) -> Proxy:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        proxies.append(Proxy(parts.hostname, parts.port))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.stop()
