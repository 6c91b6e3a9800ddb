"""What may stand in a member's place and is not etcd: plain listeners, each on its own thread."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket], None]


@contextlib.contextmanager
def listener(address: str, port: int, talk: Talk) -> Iterator[None]:
    """Accept on that address until the block ends, and `talk` on every connection."""
    server = socket.create_server((address, port))
    ended = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the other side may go away at any time
            connection.settimeout(10)
            talk(connection)

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            connections.append(connection)
            threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
            threads[-1].start()

    server.settimeout(0.05)
    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield
    finally:
        ended.set()
        acceptor.join(5)
        server.close()
        for connection in connections:
            with contextlib.suppress(OSError):  # already closed
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def says(answer: bytes) -> Talk:
    """Read one request, give this answer, close."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return talk


def page(status: str, kind: str, body: bytes, headers: str = "") -> Talk:
    """A complete HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return says(head.encode() + body)


def reset(connection: socket.socket) -> None:
    """Accept, and end it as a process does that is killed while something was sent to it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def sink(connection: socket.socket) -> None:
    """Take everything, say nothing, until the other side closes."""
    while connection.recv(65536):
        pass


def trickle(connection: socket.socket) -> None:
    """A valid beginning, then a byte now and then, for ever."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{")
    while True:
        connection.sendall(b" ")
        time.sleep(0.02)


def flood(connection: socket.socket) -> None:
    """An answer without an end, as fast as it goes."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    while True:
        connection.sendall(b"1," * 32768)


def header_flood(connection: socket.socket) -> None:
    """Interim answers without an end."""
    connection.recv(65536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
