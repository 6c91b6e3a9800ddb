"""Time, as everything that waits here reads it: a lab's clock may run fast."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that go by `speed` times as fast as on the wall; 1 everywhere but on a stand-in with a fast clock."""

    speed: float = 1.0

    def now(self) -> float:
        """Seconds since some moment; they never go back."""
        return time.monotonic() * self.speed

    def sleep(self, seconds: float) -> None:
        """Wait so many of these seconds."""
        time.sleep(seconds / self.speed)
