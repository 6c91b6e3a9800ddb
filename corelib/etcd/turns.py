"""What happens while somebody waits for a socket: nothing, or others go on (`crew`)."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

READABLE, WRITABLE = select.POLLIN, select.POLLOUT


class Turns(Protocol):
    """How to wait; times are of `time.monotonic`."""

    def wait(self, number: int, event: int, until: float) -> bool:
        """Until the file of that number is ready for `event`; False: the time was over before."""

    def sleep(self, seconds: float) -> None:
        """For so long."""

    def apart(self, act: Callable[[], T]) -> T:
        """Do what waits in a way of its own, and so would keep the others from their turns."""


class Alone:
    """There are no others."""

    def wait(self, number: int, event: int, until: float) -> bool:
        """See Turns."""
        poll = select.poll()
        poll.register(number, event)
        return bool(poll.poll(max(0, math.ceil(1000 * (until - time.monotonic())))))

    def sleep(self, seconds: float) -> None:
        """See Turns."""
        time.sleep(seconds)

    def apart(self, act: Callable[[], T]) -> T:
        """See Turns."""
        return act()


ALONE = Alone()
