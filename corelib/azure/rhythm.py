"""When to ask how an operation does: when its like have ended before, and not more often than all may ask together."""

from __future__ import annotations

import threading

INTERVAL = 5.0  # seconds between two questions at most, where Azure names none; the SDK's own default is 30
_SHARE = 0.8  # of the reads that Azure allows, for questions; the rest is for looking
_MARGIN = 1.02  # a little later than the quickest so far: a question too early costs a whole interval


class Rhythm:
    """Of all operations of one apply; `reads` are what Azure allows in a second."""

    def __init__(self, reads: float) -> None:
        self._reads = reads * _SHARE
        self._lock = threading.Lock()
        self._quickest: dict[bool, float] = {}  # seconds, of machines and of all else
        self._running = 0

    def begun(self) -> None:
        """Count one that is under way from now on."""
        with self._lock:
            self._running += 1

    def ended(self, kind: str, seconds: float | None) -> None:
        """One has ended: well after so many seconds, or not (None)."""
        with self._lock:
            self._running -= 1
            if seconds is not None:
                like = kind == "machine"
                self._quickest[like] = min(seconds, self._quickest.get(like, seconds))

    def pause(self, kind: str, so_far: float, asked: float | None) -> float:
        """Seconds until the next question about one that runs `so_far`.

        The first comes when the quickest of its like was at its end: a machine takes a minute, all else seconds. That
        may be sooner than Azure has `asked` for; afterwards Azure's wish is kept.
        """
        with self._lock:
            usual = _MARGIN * self._quickest.get(kind == "machine", 0.0)
            least = _growing(so_far) if asked is None else asked
            return max(self._running / self._reads, usual - so_far if usual > so_far else least)

    def look(self, so_far: float) -> float:
        """Seconds until the next look at something that nobody here has begun, and that is looked at for `so_far`."""
        with self._lock:
            return max(self._running / self._reads, _growing(so_far))


def _growing(so_far: float) -> float:
    return min(INTERVAL, max(1.0, so_far / 2))
