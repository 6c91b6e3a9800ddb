"""Tasks that take turns in one thread: whoever waits for a socket lets the others go on.

Not threads: to hand Python from one to the next costs more than all that is said to etcd. Not asyncio: that takes
40 ms to be imported, of 100 for a whole `runbooks verify`, and whoever asks one member, once, would have to become
asynchronous too.
"""

from __future__ import annotations

import math
import os
import select
import time
from _thread import get_ident
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

from .turns import ALONE

T = TypeVar("T")

_EVER = math.inf


class Task(Generic[T]):
    """What is done in turns with others; its result, or what it raised."""

    __slots__ = ("_act", "_crew", "_error", "_over", "_value")

    def __init__(self, crew: Crew, act: Callable[[], T]) -> None:
        self._crew, self._act = crew, act
        self._error: BaseException | None = None
        self._over = False

    def run(self) -> None:
        """Do it."""
        try:
            self._value = self._act()
        except BaseException as error:  # noqa: BLE001 - raised where its result is asked for
            self._error = error
        finally:
            self._over = True

    def wait(self) -> None:
        """Until it is over, whatever came of it."""
        self._crew.until(lambda: self._over, _EVER)

    def result(self) -> T:
        """What came of it, as soon as it is over."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value


class Crew:
    """The tasks of one thread, and whoever made them, who takes turns with them. See `turns.Turns`."""

    def __init__(self) -> None:
        self._owner, self._thread = getcurrent(), get_ident()
        self._tasks: list[Task[Any]] = []
        self._fresh: list[greenlet] = []  # who has not had a turn yet
        self._blocked: dict[greenlet, tuple[Callable[[], bool], float]] = {}  # who waits, longest first: for what
        self._sockets = select.poll()
        self._ready: set[int] = set()  # the numbers of sockets that somebody waits for, and need not any more

    def start(self, act: Callable[[], T]) -> Task[T]:
        """Do it as soon as whoever asks for it waits for anything."""
        task = Task(self, act)
        self._tasks.append(task)
        self._fresh.append(greenlet(task.run, self._owner))
        return task

    def dismiss(self) -> None:
        """Let all that was started come to its end."""
        for task in self._tasks:
            task.wait()

    def wait(self, number: int, event: int, until: float) -> bool:
        """See `turns.Turns`; who has been put `apart` waits alone."""
        if get_ident() != self._thread:
            return ALONE.wait(number, event, until)
        self._sockets.register(number, event)
        try:
            return self.until(lambda: number in self._ready, until)
        finally:
            self._sockets.unregister(number)
            self._ready.discard(number)

    def sleep(self, seconds: float) -> None:
        """See `turns.Turns`."""
        self.until(lambda: False, time.monotonic() + seconds)

    def apart(self, act: Callable[[], T]) -> T:
        """See `turns.Turns`: in a thread of its own."""
        import threading  # noqa: PLC0415 - only for members that are asked through their hosts

        task, (over, end) = Task(self, act), os.pipe()

        def work() -> None:
            task.run()
            os.close(end)  # which `over` is ready for

        thread = threading.Thread(target=work)
        thread.start()
        try:
            self.wait(over, select.POLLIN, _EVER)
        finally:
            thread.join()
            os.close(over)
        return task.result()

    def until(self, so: Callable[[], bool], until: float) -> bool:
        """Let the others go on until it is so, or that time is over."""
        me = getcurrent()
        self._blocked[me] = so, until
        try:
            while not (found := so()) and time.monotonic() < until:
                self._give_way()
            return found
        finally:
            del self._blocked[me]

    def _give_way(self) -> None:
        """To whoever has waited longest of those who can go on; while nobody can, to the system.

        A turn may also come back for no reason, as when a task has ended: whoever waits looks again.
        """
        while (next_ := self._fresh.pop(0) if self._fresh else self._able()) is None:
            self._look()
        if next_ is not getcurrent():
            next_.switch()

    def _able(self) -> greenlet | None:
        now = time.monotonic()
        return next((who for who, (so, until) in self._blocked.items() if so() or now >= until), None)

    def _look(self) -> None:
        """Wait until a socket is ready or somebody's time is over."""
        soonest = min(until for _, until in self._blocked.values())
        milliseconds = None if soonest == _EVER else max(0, math.ceil(1000 * (soonest - time.monotonic())))
        self._ready.update(number for number, _ in self._sockets.poll(milliseconds))
