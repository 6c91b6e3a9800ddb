"""How a member's ports are connected to: from here, or through its own host. What is said there is not its business."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Protocol

from .turns import ALONE, WRITABLE, Turns


class NotReached(OSError):
    """The host that a port is on cannot be reached, so that the port was not asked: nothing is known of it."""


class Way(Protocol):
    """Connect to a port of one member until a time of `time.monotonic`. Raises OSError as `socket.connect` does."""

    def __call__(self, port: int, until: float) -> socket.socket: ...


class Line(Protocol):
    """What leads to a host, and opens connections from there."""

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A connection from the host to an address. Raises OSError as `socket.connect` does."""


def direct(address: str, turns: Turns = ALONE) -> Way:
    """From this machine, straight to the address."""

    def way(port: int, until: float) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)  # noqa: FBT003 - the socket's own interface
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _connect(sock, (address, port), turns, until)
        except BaseException:
            sock.close()
            raise
        return sock

    return way


def _connect(sock: socket.socket, to: tuple[str, int], turns: Turns, until: float) -> None:
    """What `connect` does to a socket that blocks."""
    left(until)
    if (problem := sock.connect_ex(to)) == errno.EINPROGRESS:
        turns.wait(sock.fileno(), WRITABLE, until)
        left(until)
        problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if problem:
        raise OSError(problem, os.strerror(problem))  # of the class that this number has


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
