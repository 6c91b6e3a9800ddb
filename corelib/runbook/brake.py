"""What may stop an apply between two steps: Ctrl-C, a lock that was lost, an approval that a sleep has outlived."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..errors import Interrupted, RunbookError
from ..plan import Halt
from ..record import Journal
from ..record.lock import Hold
from .pulse import Pulse

T = TypeVar("T")


class Abandoned(Interrupted):
    """What was under way goes on without this run, and nobody hears of it any more."""


class Brake:
    """Asked before each step, from any thread; raises Halt if nothing new may begin."""

    def __init__(self, journal: Journal, hold: Hold, still_approved: Callable[[], None], pulse: Pulse) -> None:
        self._journal = journal
        self._hold = hold
        self._still_approved = still_approved
        self._pulse = pulse
        self._lock = threading.Lock()
        self._interrupts = 0

    def may_begin(self) -> None:
        """Return if a step may begin: nobody interrupted, the lock is ours, and after a sleep the plan is approved."""
        if self._interrupts:
            raise Halt(Interrupted("interrupted: what was under way was finished, and nothing new was begun"))
        with self._lock:
            try:
                self._hold.check()
                slept = self._pulse.missed()
                if slept:
                    self._journal.write("slept", seconds=round(slept))
                    self._still_approved()
            except RunbookError as problem:
                raise Halt(problem) from problem

    def run(self, work: Callable[[], T]) -> T:
        """Do the work on a thread, so that the first interruption lets what is under way finish; the second does not.

        Raises what the work raises; Interrupted if it was interrupted before its end, Abandoned if it still goes on.
        """
        outcome: list[T] = []
        problem: list[BaseException] = []

        def act() -> None:
            try:
                outcome.append(work())
            except BaseException as error:  # noqa: BLE001 - raised again below, on the thread that waits
                problem.append(error)

        thread = threading.Thread(target=act, name="apply", daemon=True)
        with self._counted_interrupts():
            thread.start()
            while thread.is_alive():
                thread.join(0.2)
                if self._interrupts > 1:
                    raise Abandoned(
                        "interrupted twice: what was under way was left to itself. Run again with the same approval: "
                        "it goes on with what is left"
                    )
        if problem:
            raise problem[0].cause if isinstance(problem[0], Halt) else problem[0]
        return outcome[0]

    @contextmanager
    def _counted_interrupts(self) -> Iterator[None]:
        """Ctrl-C is counted and journaled, instead of raised wherever the main thread happens to be."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread hears of signals
            return

        def count(*_: object) -> None:
            self._interrupts += 1
            # Not here: a signal may come while this very thread holds the journal.
            threading.Thread(target=self._journal.write, args=("interrupt",), kwargs={"n": self._interrupts}).start()

        before = signal.signal(signal.SIGINT, count)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
