"""A socket whose reads share one deadline and one budget of bytes."""

from __future__ import annotations

import socket

from .way import left

LIMIT = 1 << 20  # bytes of one answer; the list of nine members has 2 kB


class TooMuchError(Exception):
    """More bytes than the budget."""


class Metered(socket.socket):
    """`until` is a time of `time.monotonic`, `received` counts since it was last set to 0."""

    until: float = 0.0
    received: int = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The next bytes. Raises TimeoutError and TooMuchError."""
        self.settimeout(left(self.until))
        return self.counted(super().recv(size, flags))

    def counted(self, content: bytes) -> bytes:
        """The same, on the budget."""
        self.received += len(content)
        if self.received > LIMIT:
            raise TooMuchError
        return content
