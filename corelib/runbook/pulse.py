"""Noticing that this process was stopped: a laptop that slept, a SIGSTOP, a machine that was paused."""

from __future__ import annotations

import threading
import time

LONGEST = 30.0  # seconds without a beat that a busy machine is forgiven
_BEAT = 1.0


class Pulse:
    """In a `with`: a thread that notes the time every second; `missed` says how long it could not."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._lock = threading.Lock()
        self._last = time.time()  # the wall clock goes on while a machine sleeps, the monotonic one does not
        self._missed = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def missed(self) -> float:
        """Seconds that the process stood still since this was asked last; 0 if it did not, for long."""
        with self._lock:
            self._beat()
            missed, self._missed = self._missed, 0.0
        return missed

    def __enter__(self) -> Pulse:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(_BEAT):
            with self._lock:
                self._beat()

    def _beat(self) -> None:
        now = time.time()
        if now - self._last > self._longest:
            self._missed += now - self._last
        self._last = now
