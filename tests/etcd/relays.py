"""What stands before a real etcd in a test: passes everything on, and counts who asks and how often."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

from . import fakes

# One of ours: members ask each other, too, and Go's client asks for gzip.
_REQUEST = re.compile(rb"(?:GET|POST|PUT|DELETE) (\S+) HTTP/1\.1\r\n(?:[^\r]+\r\n)*?User-Agent: runbooks\r\n")


class Relay:
    """`asked` are the paths of all requests of ours that went through, in order."""

    def __init__(self, address: str, port: int, to: str) -> None:
        self._address, self._port, self._to = address, port, to
        self.asked: list[str] = []

    @contextlib.contextmanager
    def open(self) -> Iterator[Relay]:
        with fakes.listener(self._address, self._port, self._pass_on):
            yield self

    def _pass_on(self, connection: socket.socket) -> None:
        with socket.create_connection((self._to, self._port), 5) as behind:
            back = threading.Thread(target=_pour, args=(behind, connection), daemon=True)
            back.start()
            while content := connection.recv(65536):
                self.asked += [path.decode() for path in _REQUEST.findall(content)]
                behind.sendall(content)


def _pour(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may go away at any time
        while content := source.recv(65536):
            to.sendall(content)
        to.shutdown(socket.SHUT_WR)
