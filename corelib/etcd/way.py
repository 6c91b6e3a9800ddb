"""How a member's ports are connected to: from here, or through its own host. What is said there is not its business."""

from __future__ import annotations

import socket
import time
from typing import Protocol


class NotReached(OSError):
    """The host that a port is on cannot be reached, so that the port was not asked: nothing is known of it."""


class Way(Protocol):
    """Connect to a port of one member until a time of `time.monotonic`. Raises OSError as `socket.connect` does."""

    def __call__(self, port: int, until: float) -> socket.socket: ...


class Line(Protocol):
    """What leads to a host, and opens connections from there."""

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection from the host to an address. Raises OSError as `socket.connect` does."""


def direct(address: str) -> Way:
    """From this machine, straight to the address."""

    def way(port: int, until: float) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.settimeout(left(until))
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            raise
        return sock

    return way


def through(line: Line, address: str) -> Way:
    """From the member's own host to its own address: the way where the overlay is reachable only from there."""
    return lambda port, until: line.connect(address, port, left(until))


def closed(reason: str) -> Way:
    """There is no way, for that reason: whatever is asked was not asked."""

    def way(port: int, until: float) -> socket.socket:  # noqa: ARG001 - a Way
        raise NotReached(reason)

    return way


def left(until: float) -> float:
    """Seconds until then; raises TimeoutError if there are none."""
    if (seconds := until - time.monotonic()) <= 0:
        raise TimeoutError
    return seconds
