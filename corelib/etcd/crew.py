"""Threads for what is asked at the same time: begun as they are needed, and gone with the pass that they serve.

Not `concurrent.futures`: that takes 8 ms to be imported, for it loads logging, of 100 ms for a whole `runbooks verify`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Task(Generic[T]):
    """What one thread does; its result, or what it raised."""

    __slots__ = ("_act", "_error", "_running", "_value")

    def __init__(self, act: Callable[[], T]) -> None:
        self._act = act
        self._error: BaseException | None = None
        self._running = threading.Lock()
        self._running.acquire()  # whoever can take it knows that the task is over

    def run(self) -> None:
        """Do it, in this thread."""
        try:
            self._value = self._act()
        except BaseException as error:  # noqa: BLE001 - raised where its result is asked for
            self._error = error
        finally:
            self._running.release()

    def wait(self) -> None:
        """Until it is over, whatever came of it."""
        with self._running:
            pass

    def result(self) -> T:
        """What came of it, as soon as it is over."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._value


class Crew:
    """At most `most` threads; one thread gives out the tasks, or a task does."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: list[threading.Thread] = []
        self._tasks: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._free = 0  # threads that wait for a task, less the tasks that wait for a thread
        self._lock = threading.Lock()

    def start(self, act: Callable[[], T]) -> Task[T]:
        """Do it meanwhile."""
        task = Task(act)
        with self._lock:
            if self._free > 0 or len(self._threads) == self._most:
                self._free -= 1
                self._tasks.put(task)
            else:
                thread = threading.Thread(target=self._work, args=(task,))
                self._threads.append(thread)
                thread.start()
        return task

    def dismiss(self) -> None:
        """Let all that was started come to its end, and the threads with it."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, task: Task[Any] | None) -> None:
        while task is not None:
            task.run()
            with self._lock:
                self._free += 1
            task = self._tasks.get()
