"""A socket whose reads share one deadline and one budget of bytes, and which lets others go on while it waits."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .turns import ALONE, READABLE, WRITABLE, Turns
from .way import left

T = TypeVar("T")

_GREEDY = 64  # reads in a row without a wait, as of one that sends a byte at a time
LIMIT = 1 << 20  # bytes of one answer; the list of nine members has 2 kB


class TooMuchError(Exception):
    """More bytes than the budget."""


class Metered(socket.socket):
    """Connected, and in non-blocking mode. `until` is a time of `time.monotonic`, `received` counts since it was 0."""

    turns: Turns = ALONE
    until: float = math.inf
    received: int = 0
    _in_a_row: int = 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """The next bytes. Raises TimeoutError and TooMuchError.

        Who always has something to say must not keep the others from their turns.
        """
        self._in_a_row += 1
        if self._in_a_row > _GREEDY:
            self._in_a_row = 0
            self.turns.sleep(0.001)
        content = self.patiently(lambda: self._take(size, flags), READABLE)
        self.received += len(content)
        if self.received > LIMIT:
            raise TooMuchError
        return content

    def say(self, content: bytes) -> None:
        """Send all of it. Raises TimeoutError."""
        rest = memoryview(content)
        while rest:
            rest = rest[self.patiently(partial(self.send, rest), WRITABLE) :]

    def _take(self, size: int, flags: int) -> bytes:
        return super().recv(size, flags)

    def patiently(self, act: Callable[[], T], event: int) -> T:
        """What `act` gives as soon as it does not have to wait for `event`. Raises TimeoutError."""
        while True:
            left(self.until)
            try:
                return act()
            except BlockingIOError:
                self._pause(event)

    def _pause(self, event: int) -> None:
        self._in_a_row = 0
        self.turns.wait(self.fileno(), event, self.until)
