"""A run of a runbook, from its first cell to its last: journal, parameters, stages, end.

A stage is one thing that an operator asks for (plan, apply, …). It is journaled when it begins and how it ended, so
that the outcome of a run can be derived whatever became of the kernel.
"""

from __future__ import annotations

import atexit
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from .. import project, references
from ..kernel import frontend, guard, wire
from ..kernel.display import Live
from ..kernel.redaction import Redactor
from ..parameters import Parameters
from ..plan import Progress
from ..record import Journal, outcome, read
from ..record.listing import UNFILED
from ..record.origin import origin
from ..views import Note, View
from ..views.document import Tone
from ..views.plan import progress
from . import inputs
from .inputs import Inputs
from .targets import Targets

_TONES: dict[str, Tone] = {"succeeded": "good", "no change": "good", "awaiting approval": "warn"}


@dataclass
class Stage:
    """A stage under way; `result` is what the journal says of it in the end, `facts` what goes with it."""

    name: str
    result: str = "done"
    facts: Mapping[str, Any] | None = None


class Session:
    """One run. Notebooks call `begin`, `parameters`, what the runbook adds, and `finish`."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ("environment", "fleet", "reason")  # the names in the parameters cell

    def __init__(self, at: project.Project, front_end: frontend.FrontEnd) -> None:
        self.project = at
        self.front_end = front_end
        self.redactor = Redactor()
        self.in_kernel = wire.in_kernel()
        self.given: Inputs
        self.targets: Targets
        self._loaded: Parameters | None = None
        self._chosen = ""  # the environment chosen in the form, over the parameters cell's
        self._journal = self._start()
        self._ended = False
        self._error: BaseException | None = None

    @classmethod
    def begin(cls) -> Self:
        """Start the journal, and in a kernel the redaction and the guard; the first thing that a notebook does."""
        run = cls(project.find(), frontend.detect())
        if run.in_kernel:
            wire.install(run.redactor)
            guard.install(cls.inputs, run.refuse_injected)
            run._watch_cells()
        atexit.register(run._leave)
        return run

    def parameters(self, names: Mapping[str, Any]) -> Any:
        """Read and check the parameters file; `names` are the notebook's variables."""
        with self._stage("parameters"):
            names = {**names, "environment": self._chosen} if self._chosen else names
            self.given = inputs.gather(names, self.front_end, self.project)
            self._loaded = loaded = inputs.read(self.given, self.project)
            self._file_under(loaded.fleet.environment)
            self._journal.write("parameters", **self._parameter_facts())
            self.targets = Targets.of(loaded.fleet, self.project.root, self.secret)
        shown = inputs.summary(loaded, self.given, self.targets)
        return self._with_choice(shown) if self.front_end.interactive else shown

    def finish(self) -> View:
        """End the run; shows its outcome and where its record is."""
        if not self._ended:
            self._end(complete=True)
        result = outcome(read(self._journal.folder), live=False)
        where = _shorten(self._journal.folder, self.project.root)
        tone = _TONES.get(result, "bad")
        words = f"{self.name}: {result}. {self._next(result)}".strip()
        return Note(f"{words}\nRecord: {where}", tone)

    def __repr__(self) -> str:
        return f"{self.name} began: run {self._journal.folder.name}. From here on secrets are hidden in every output."

    @property
    def loaded(self) -> Parameters:
        """The parameters; asking before `parameters` was called is a mistake of the notebook's."""
        if self._loaded is None:
            raise inputs.not_read(self.name)
        return self._loaded

    def secret(self, reference: str) -> str:
        """The value behind a reference, which from now on no output shows."""
        value = references.resolve(reference, self.project.root)
        self.redactor.add(value)
        return value

    def refuse_injected(self, problem: str) -> None:
        """What the guard calls before it refuses: the file's own finding says it better, with its line."""
        file = self.front_end.file
        self._journal.write("refused", what="injected parameters", problem=problem)
        if file is not None:
            inputs.load(file, self.project)

    def _with_choice(self, shown: View) -> Any:
        from ..views.forms import WithForm, environments  # noqa: PLC0415 - widgets load only where they can be used

        names, now = inputs.environments(self.project), self.loaded.fleet.environment
        return WithForm(shown, environments(sorted({*names, now}), now, self._choose))

    def _choose(self, environment: str) -> None:
        """What the form calls: the parameters cell says the default, the operator chose another."""
        self.front_end = replace(self.front_end, file=self.project.parameters(environment))
        self._chosen = environment

    def _next(self, result: str) -> str:  # noqa: ARG002 - runbooks answer by result
        """What an operator does now, in a sentence; runbooks say more."""
        return ""

    @contextmanager
    def _stage(self, name: str) -> Iterator[Stage]:
        self._reopen()
        stage = Stage(name)
        self._journal.write("stage", stage=name)
        try:
            yield stage
        except BaseException as error:
            self._error = error
            classes = [kind.__name__ for kind in type(error).__mro__]
            self._journal.write("error", stage=name, classes=classes, message=str(error))
            raise
        self._journal.write("result", stage=name, result=stage.result, **(stage.facts or {}))

    def _watch(self, title: str) -> Watcher:
        return Watcher(self._journal, Live(shown=self.in_kernel), title)

    def _live(self, view: View) -> None:
        """Show a view from within a cell that will not return one."""
        Live(shown=self.in_kernel).show(view, force=True)

    def _start(self, **facts: Any) -> Journal:
        started = datetime.now(UTC)
        given = os.environ.pop(frontend.RUN_ID, "")
        run = given or f"{started:%Y%m%dT%H%M%SZ}-{self.name}-{secrets.token_hex(3)}"
        journal = Journal(self.project.root / "records" / UNFILED / run, self.redactor.text)
        journal.write("start", runbook=self.name, front_end=self.front_end.name, **origin(self.project.root), **facts)
        return journal

    def _reopen(self) -> None:
        """A cell run again after the end belongs to a new record, which names the one that it continues."""
        if self._ended:
            before = self._journal.folder.name
            self._journal = self._start(continues=before)
            self._ended = False
            if self._loaded is not None:
                self._file_under(self._loaded.fleet.environment)
                self._journal.write("parameters", **self._parameter_facts())

    def _file_under(self, environment: str) -> None:
        folder = self.project.records(environment) / self._journal.folder.name
        if folder != self._journal.folder:
            self._journal.move(folder)

    def _parameter_facts(self) -> dict[str, Any]:
        loaded, given = self.loaded, self.given
        return {
            "environment": loaded.fleet.environment,
            "file": loaded.source,
            "digest": loaded.digest,
            "target": loaded.fleet.target,
            "reason": given.reason,
            "approved_plan": given.approved_plan,
            "consent": list(given.consent),
            "fleet": loaded.fleet.model_dump(mode="json"),
        }

    def _end(self, *, complete: bool) -> None:
        self._journal.write("end", complete=complete, redactions=self.redactor.count)
        self._journal.close()
        self._ended = True

    def _leave(self) -> None:
        """The kernel goes; the run did not reach its last cell."""
        if not self._ended:
            self._end(complete=False)

    def _watch_cells(self) -> None:
        """Journal what fails in a cell outside any stage, such as a mistyped name, and that it went well later."""
        from IPython import get_ipython  # noqa: PLC0415 - absent where no Jupyter is installed

        failed = False

        def after(result: Any) -> None:
            nonlocal failed
            error = result.error_before_exec or result.error_in_exec
            if error is not None and error is not self._error:
                self._reopen()
                classes = [kind.__name__ for kind in type(error).__mro__]
                self._journal.write("error", stage="notebook", classes=classes, message=str(error))
                failed = True
            elif error is None and failed and not self._ended:
                self._journal.write("result", stage="notebook", result="done")
                failed = False

        get_ipython().events.register("post_run_cell", after)


class Watcher:
    """Journals every event of an apply before it returns, and shows the state of all targets."""

    def __init__(self, journal: Journal, live: Live, title: str) -> None:
        self._journal = journal
        self._live = live
        self._title = title
        self._lock = threading.Lock()
        self._events: dict[str, list[tuple[float, Progress]]] = {}

    def __call__(self, event: Progress) -> None:
        """Take one event, from any thread. Raises JournalError, which keeps a step from beginning."""
        self._journal.write("step", target=event.target, phase=event.phase, detail=event.detail, facts=event.facts)
        with self._lock:
            self._events.setdefault(event.target, []).append((time.monotonic(), event))
            view = progress(self._events, self._title)
        self._live.show(view)

    def close(self) -> None:
        """Show the last state, whatever the pace of updates left out."""
        with self._lock:
            if self._events:
                self._live.show(progress(self._events, self._title), force=True)


def _shorten(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
