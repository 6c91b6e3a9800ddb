"""The same connection over TLS: how a handshake may end, and what the other side says of our certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

from . import tls
from .client import Connection, words
from .samples import Certificate, Reply
from .tls import MeteredTls, Trust
from .turns import ALONE, Turns
from .understood import short
from .way import Way


class Secured(Connection):
    """Asks one address and port over TLS, whatever the way; nothing is said to whom `trust` does not trust."""

    def __init__(self, address: str, port: int, trust: Trust, way: Way | None = None, turns: Turns = ALONE) -> None:
        super().__init__(address, port, way, turns)
        self._trust = trust

    def line(self, until: float) -> socket.socket:
        return tls.secure(self._trust.strict, self._open(until), self._address)

    def _connect(self, until: float) -> Reply[Any] | None:
        if (failed := super()._connect(until)) or self._socket is None:
            return failed
        try:
            self._socket = tls.secure(self._trust.strict, self._socket, self._address)
        except OSError as error:
            self.close()
            return self._without_tls(error, until)
        return None

    def _certificate(self) -> Certificate | None:
        return tls.shown(self._socket) if isinstance(self._socket, MeteredTls) else None

    def _heard(self, error: Exception, until: float, *, fresh: bool) -> Reply[Any] | None:  # noqa: ARG002 - as its own
        if not isinstance(error, OSError):
            return None
        said = self._last_word(error, until)
        return tls.refused(said, self._trust.presents) or Reply("broken", detail=words(said))

    def _last_word(self, error: OSError, until: float) -> OSError:
        """Since TLS 1.3 a server refuses a client's certificate when that has begun to ask already: what it said."""
        if isinstance(self._socket, MeteredTls) and not isinstance(error, ssl.SSLError):
            try:
                self._socket.until = until
                self._socket.recv(1)
            except ssl.SSLError as said:
                return said
            except (OSError, ValueError):  # it said nothing
                return error
        return error

    def _without_tls(self, error: OSError, until: float) -> Reply[Any]:
        """What a handshake means that did not come to its end."""
        if isinstance(error, ssl.SSLCertVerificationError):
            found: Any = {}
            with contextlib.suppress(OSError):
                found = tls.look(self._trust.lenient, self._open(until), self._address)
            return tls.unacceptable(error, self._address, found)
        if reply := tls.refused(error, self._trust.presents):
            return reply
        if isinstance(error, TimeoutError):
            return Reply("mute")
        if self._is_plain(until):
            return Reply("speaks plain")
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return Reply("not etcd", detail=f"not TLS: {short(error.reason or str(error))}")
        return Reply("broken", detail=words(error))

    def _is_plain(self, until: float) -> bool:
        """Whether what does not speak TLS is an HTTP server."""
        with contextlib.suppress(OSError), self._open(until) as sock:
            sock.say(f"GET /version HTTP/1.1\r\nHost: {self._address}\r\nConnection: close\r\n\r\n".encode())
            return sock.recv(16).startswith(b"HTTP/")
        return False
