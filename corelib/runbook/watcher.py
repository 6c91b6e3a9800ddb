"""Between an apply and its journal: every event is on the disk before what it announces begins, and is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..kernel.display import Live
from ..plan import Halt, Progress
from ..record import Journal
from ..record.journal import JournalError
from ..views.plan import progress


class Watcher:
    """Journals every event of an apply before it returns, and shows the state of all targets."""

    def __init__(self, journal: Journal, live: Live, title: str, may_begin: Callable[[], None]) -> None:
        self._journal = journal
        self._may_begin = may_begin
        self._live = live
        self._title = title
        self._lock = threading.Lock()
        self._events: dict[str, list[tuple[float, Progress]]] = {}

    def __call__(self, event: Progress) -> None:
        """Take one event, from any thread. Raises Halt at a `begin` if nothing new may begin."""
        now = time.monotonic()
        with self._lock:
            begun = self._events.get(event.target, [(now, event)])[0][0]
        if event.phase == "begin" and not event.tidying:
            self._may_begin()
        took = {"seconds": round(now - begun, 3)} if event.phase in ("done", "failed") else {}
        facts = dict(event.facts) | took
        try:
            self._journal.write("step", target=event.target, phase=event.phase, detail=event.detail, facts=facts)
        except JournalError as problem:
            raise Halt(problem) from problem  # what cannot be recorded is not done
        with self._lock:
            self._events.setdefault(event.target, []).append((now, event))
            view = progress(self._events, self._title)
        self._live.show(view)

    def close(self) -> None:
        """Show the last state, whatever the pace of updates left out."""
        with self._lock:
            if self._events:
                self._live.show(progress(self._events, self._title), force=True)
