"""Tasks that take turns in one thread: whoever waits for a socket lets the others go on.

Not threads: to hand Python from one to the next costs more than all that is said to etcd. Not asyncio: that takes
40 ms to be imported, of 100 for a whole `runbooks verify`, and whoever asks one member, once, would have to become
asynchronous too.
"""

from __future__ import annotations

import math
import os
import time
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from select import poll
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

from .turns import ALONE, READABLE

T = TypeVar("T")

_EVER = math.inf


class _Doing(Generic[T]):
    """One act, and what came of it."""

    __slots__ = ("_act", "_error", "_value")

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act
        self._error: BaseException | None = KeyboardInterrupt()  # what alone can keep it from being done

    def do(self) -> None:
        """Do it, whatever comes of it."""
        try:
            self._value = self._act()
            self._error = None
        except BaseException as error:  # noqa: BLE001 - raised where its outcome is asked for
            self._error = error

    def outcome(self) -> T:
        """What came of it. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value


class Task(Generic[T]):
    """What is done in turns with others."""

    __slots__ = ("_crew", "_doing", "who")

    def __init__(self, crew: Crew, act: Callable[[], T], owner: greenlet) -> None:
        self._crew, self._doing = crew, _Doing(act)
        self.who = greenlet(self._doing.do, owner)

    def wait(self) -> None:
        """Until it is over, whatever came of it."""
        self._crew.until(lambda: self.who.dead, _EVER)

    def result(self) -> T:
        """What came of it, as soon as it is over. Raises what it raised."""
        self.wait()
        return self._doing.outcome()


class Crew:
    """The tasks of one thread, and their owner: whoever made them deals the turns while he waits. See `turns.Turns`.

    He alone waits for the system, and so it is he whom an interrupt meets, as a rule.
    """

    def __init__(self) -> None:
        self._owner, self._thread = getcurrent(), get_ident()
        self._tasks: list[Task[Any]] = []
        self._fresh: deque[greenlet] = deque()  # who has not had a turn yet
        self._blocked: dict[greenlet, tuple[Callable[[], bool], float]] = {}  # who waits, longest first: for what
        self._wanted: dict[int, int] = {}  # the numbers of files that somebody waits for, and the events
        self._ready: set[int] = set()  # and of those that need not be waited for any more

    def start(self, act: Callable[[], T]) -> Task[T]:
        """Do it as soon as the owner waits for anything."""
        task = Task(self, act, self._owner)
        self._fresh.append(task.who)
        self._tasks.append(task)
        return task

    def dismiss(self) -> None:
        """Let all that was started come to its end."""
        for task in self._tasks:
            task.wait()

    def wait(self, number: int, event: int, until: float) -> bool:
        """See `turns.Turns`; who has been put `apart` waits alone."""
        if get_ident() != self._thread:
            return ALONE.wait(number, event, until)
        try:
            self._wanted[number] = event
            return self.until(lambda: number in self._ready, until)
        finally:
            self._wanted.pop(number, None)
            self._ready.discard(number)

    def sleep(self, seconds: float) -> None:
        """See `turns.Turns`."""
        self.until(lambda: False, time.monotonic() + seconds)

    def apart(self, act: Callable[[], T]) -> T:
        """See `turns.Turns`: in a thread of its own."""
        import threading  # noqa: PLC0415 - only for members that are asked through their hosts

        doing, (over, end) = _Doing(act), os.pipe()

        def work() -> None:
            try:
                doing.do()
            finally:
                os.close(end)  # which `over` is ready for

        thread = threading.Thread(target=work)
        try:
            thread.start()
            self.wait(over, READABLE, _EVER)
        finally:
            thread.join()
            os.close(over)
        return doing.outcome()

    def until(self, so: Callable[[], bool], until: float) -> bool:
        """Let the others go on until it is so, or that time is over.

        A turn may also come for no reason: whoever waits looks again.
        """
        me = getcurrent()
        self._blocked[me] = so, until
        try:
            while not (found := so()) and time.monotonic() < until:
                if me is self._owner:
                    self._deal()
                else:
                    self._owner.switch()
            return found
        finally:
            del self._blocked[me]

    def _deal(self) -> None:
        """One turn to whoever has waited longest of those who can go on; while nobody can, wait for the system."""
        if self._fresh:
            self._fresh[0].switch()
            self._fresh.popleft()  # only now that it has begun: an interrupt may come in between
        elif (able := self._able()) is not None:
            able.switch()
        else:
            self._look()

    def _able(self) -> greenlet | None:
        now, waiting = time.monotonic(), self._blocked.items()
        return next((who for who, (so, until) in waiting if who is not self._owner and (so() or now >= until)), None)

    def _look(self) -> None:
        """Wait until a file is ready or somebody's time is over."""
        soonest = min(until for _, until in self._blocked.values())
        if soonest == _EVER and not self._wanted:
            raise RuntimeError("all tasks wait for each other")
        files = poll()
        for number, event in self._wanted.items():
            files.register(number, event)
        milliseconds = None if soonest == _EVER else max(0, math.ceil(1000 * (soonest - time.monotonic())))
        self._ready.update(number for number, _ in files.poll(milliseconds))
