"""Between an apply and its journal: every event is on the disk before what it announces begins, and is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ..kernel.display import Live
from ..plan import Halt, Progress
from ..record import Journal
from ..record.journal import JournalError
from ..views import View
from ..views.plan import progress


class Watcher:
    """Journals every event of an apply before it returns, and shows the state of all targets."""

    def __init__(
        self,
        journal: Journal,
        live: Live,
        title: str,
        may_begin: Callable[[], None],
        after: Mapping[str, Sequence[str]],
    ) -> None:
        """`after` says which targets each one comes after: the journal has it with its begin."""
        self._journal = journal
        self._may_begin = may_begin
        self._live = live
        self._title = title
        self._after = after
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
        after = {"after": list(self._after.get(event.target, ()))} if event.phase == "begin" else {}
        facts = dict(event.facts) | took | after
        # A wait announces nothing: unless it has facts, it need not be on the disk before anything goes on.
        keep = self._journal.note if event.phase == "wait" and not facts else self._journal.write
        try:
            keep("step", target=event.target, phase=event.phase, detail=event.detail, facts=facts)
        except JournalError as problem:
            raise Halt(problem) from problem  # what cannot be recorded is not done
        with self._lock:
            self._events.setdefault(event.target, []).append((now, event))
        self._live.show(self._view)

    def close(self) -> None:
        """Show the last state, whatever the pace of updates left out."""
        if self._events:
            self._live.show(self._view, force=True)

    def _view(self) -> View:
        with self._lock:
            return progress(self._events, self._title)
