"""Ctrl-C and SIGTERM while a runbook runs headless: handed to its kernel, which ends in its own good order.

The first lets what is under way finish and begins nothing new, the second stops at once, the third ends the kernel.
A kernel ignores a signal between two cells, so the wish is left in a file as well, which every stage looks for.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType

Say = Callable[[str], None]
_PATIENCE = 20.0  # seconds after SIGTERM in which the kernel has to come to its end


class Interrupts:
    """In a `with`: SIGINT and SIGTERM are for the kernel. `kernel` says its pid, 0 while it is not known."""

    def __init__(self, kernel: Callable[[], int], wish: Path, say: Say) -> None:
        self.count = 0
        self.terminated = False
        self._kernel = kernel
        self._wish = wish
        self._say = say
        self._before: dict[int, object] = {}
        self._last_resort = threading.Timer(_PATIENCE, self._kill)
        self._last_resort.daemon = True

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # only it hears of signals
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave
        self._last_resort.cancel()
        self._wish.unlink(missing_ok=True)

    def _heard(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        self._wish.touch()
        if number == signal.SIGTERM and not self.terminated:
            self.terminated = True
            self._last_resort.start()
        if self.count == 1:
            self._say("  Interrupted: what is under way is finished, nothing new begins. Ctrl-C again stops at once.")
        self._send(signal.SIGINT if self.count <= 2 else signal.SIGKILL)

    def _send(self, number: int) -> None:
        pid = self._kernel()
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _kill(self) -> None:
        self._send(signal.SIGKILL)
