"""A TCP relay that can cut every connection through it."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType


class Relay:
    """Listens on one address and passes on to another; `cuts` counts how often it was cut."""

    def __init__(self, to: tuple[str, int], at: tuple[str, int]) -> None:
        self.cuts = 0
        self._to = to
        self._socket = socket.create_server(at)
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self.cut()

    def cut(self) -> None:
        """Drop all connections; new ones are let through."""
        self.cuts += 1
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(near,), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(self._to) as far:
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open += [near, far]
            while True:
                for one in select.select([near, far], [], [], 30)[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)
