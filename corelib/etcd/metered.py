"""Sockets whose reads share one deadline and one budget of bytes, plain and over TLS.

Over TLS what counts is what comes out of it; OpenSSL itself bounds what may be in it without anything coming out.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

from .way import left

LIMIT = 1 << 20  # bytes of one answer; the list of nine members has 2 kB


class TooMuchError(Exception):
    """More bytes than the budget."""


class Metered(socket.socket):
    """A plain one; `until` is a time of `time.monotonic`, `received` counts since it was last set to 0."""

    until: float = 0.0
    received: int = 0

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return _metered(self, lambda: super(Metered, self).recv_into(buffer, nbytes, flags))


class MeteredTls(ssl.SSLSocket):
    """One over TLS, which a context makes of a plain one (`sslsocket_class`)."""

    until: float = 0.0
    received: int = 0

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        return _metered(self, lambda: super(MeteredTls, self).recv_into(buffer, nbytes, flags))


def _metered(sock: Metered | MeteredTls, receive: Callable[[], int]) -> int:
    sock.settimeout(left(sock.until))
    count = receive()
    sock.received += count
    if sock.received > LIMIT:
        raise TooMuchError
    return count
