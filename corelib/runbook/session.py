"""A run of a runbook, from its first cell to its last: journal, parameters, stages, end.

A stage is one thing that an operator asks for (plan, apply, …). It is journaled when it begins and how it ended, so
that the outcome of a run can be derived whatever became of the kernel.
"""

from __future__ import annotations

import atexit
import hashlib
import itertools
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from .. import project, references
from ..errors import Interrupted, RunbookError
from ..kernel import frontend, guard, wire
from ..kernel.cells import Cells
from ..kernel.display import Live
from ..kernel.redaction import Redactor
from ..parameters import Parameters
from ..record import Journal, Unwritten, ledger, notebook, outcome, read, seal
from ..record.listing import UNFILED
from ..record.origin import origin
from ..record.outputs import source_digest
from ..views import Note, View
from ..views.document import Tone
from . import inputs
from .inputs import Inputs
from .targets import Targets
from .watcher import Watcher

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
    inputs: ClassVar[tuple[str, ...]] = ("environment", "fleet", "reason", "ticket")  # the names in the parameters cell

    _current: ClassVar[Session | None] = None  # the run of this process; a kernel has one at a time

    def __init__(self, at: project.Project, front_end: frontend.FrontEnd, *, recorded: bool = True) -> None:
        self.project = at
        self.front_end = front_end
        self.in_kernel = wire.in_kernel()
        self._wire = wire.install() if self.in_kernel else None
        self.redactor = self._wire.redactor if self._wire else Redactor()
        self._key = seal.operators_key()
        self.given: Inputs
        self.targets: Targets
        self._loaded: Parameters | None = None
        self._found: dict[str, Any] = {}  # what the environment's ledger said when this run was filed
        self._chosen = ""  # the environment chosen in the form, over the parameters cell's
        self._journal = self._start() if recorded else Unwritten()
        self._ended = not recorded
        self._finishing = False
        self._error: BaseException | None = None

    @classmethod
    def begin(cls) -> Self:
        """Start the journal, and in a kernel the redaction and the guard; the first thing that a notebook does."""
        if Session._current is not None:
            Session._current.leave()
        Session._current = run = cls(project.find(), frontend.detect())
        if run.in_kernel:
            guard.install(cls.inputs, run.refuse_injected)
            run._watch_cells()
        atexit.register(run.leave)
        return run

    def parameters(self, names: Mapping[str, Any]) -> Any:
        """Read and check the parameters file; `names` are the notebook's variables."""
        with self._stage("parameters"):
            names = {**names, "environment": self._chosen} if self._chosen else names
            with self._told_of_secrets():
                inputs.refuse_secrets({name: names.get(name) for name in self.inputs})
                self.given = inputs.gather(names, self.front_end, self.project)
                self._loaded = loaded = inputs.read(self.given, self.project)
            self._file_under(loaded.fleet.environment)
            self._journal.write("parameters", **self._parameter_facts())
            self.targets = Targets.of(loaded.fleet, self.project.root, self.secret)
        shown = inputs.summary(loaded, self.given, self.targets)
        return self._with_choice(shown) if self.front_end.interactive else shown

    def take(self, file: Path, settings: Mapping[str, Any]) -> None:
        """Read and check a parameters file, and what was set beside it, where no notebook does."""
        self._loaded = loaded = inputs.load(file, self.project)
        inputs.refuse_secrets({**inputs.as_injected(file), **settings})
        self.given = inputs.gather({"environment": loaded.fleet.environment, **settings}, self.front_end, self.project)
        self.targets = Targets.of(loaded.fleet, self.project.root, self.secret)

    def finish(self) -> View:
        """End the run; shows its outcome and where its record is. In a kernel this cell is its last."""
        result = outcome([*read(self._journal.folder), {"kind": "end", "complete": True}], live=False)
        where = _shorten(self._journal.folder, self.project.root)
        sealed = f"signed by {self._key.fingerprint}" if self._key else "unsigned: RUNBOOKS_SIGNING_KEY names no key"
        self._finishing = True
        if not self.in_kernel:
            self.before_idle()
        tone = _TONES.get(result, "bad")
        words = f"{self.name}: {result}. {self._next(result)}".strip()
        return Note(f"{words}\nRecord: {where} ({sealed})", tone)

    def cell_log(self, number: int) -> Path:
        """What the wire asks: where the whole output of a cell goes that is too long to be shown."""
        return self._journal.folder / f"output-{number}.log"

    def before_idle(self) -> None:
        """What the wire calls when a cell is done and journaled; after the last one the record is sealed."""
        if self._finishing and not self._ended:
            self._end(complete=True)

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
            with self._told_of_secrets():
                inputs.load(file, self.project)

    @contextmanager
    def _told_of_secrets(self) -> Iterator[None]:
        """A secret that was given as a plain parameter is hidden from here on, and where it stands already is said."""
        try:
            yield
        except inputs.SecretGiven as error:
            for value in error.secrets:
                self.redactor.add(value)
            self._journal.write("secret-given", front_end=self.front_end.name, count=len(error.secrets))
            raise inputs.saved_already(error, self.front_end) from None

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

    def _keep(self, name: str, content: object) -> Path:
        """Keep an artefact beside the journal, secrets hidden, and the real one's digest in the journal.

        One that is kept again and differs gets a number: nothing of a record is overwritten.
        """
        real = json.loads(json.dumps(content, default=str))
        kept = _as_text(self.redactor.data(real))
        path = _free(self._journal.folder / name, kept)
        if not path.exists():
            seal.put(path, kept.encode())
        digests = {"sha256": _sha256(kept), "sha256_unredacted": _sha256(_as_text(real))}
        self._journal.write("artefact", name=path.name, **digests)
        return path

    @contextmanager
    def _stage(self, name: str) -> Iterator[Stage]:
        self._reopen()
        stage = Stage(name)
        self._journal.write("stage", stage=name)
        try:
            _stop_if_wished()
            yield stage
        except BaseException as error:
            self._error = error
            classes = [kind.__name__ for kind in type(error).__mro__]
            self._journal.write("error", stage=name, classes=classes, message=str(error))
            raise
        self._journal.write("result", stage=name, result=stage.result, **(stage.facts or {}))

    def _watch(self, title: str, may_begin: Callable[[], None], after: Mapping[str, Sequence[str]]) -> Watcher:
        return Watcher(self._journal, Live(shown=self.in_kernel), title, may_begin, after)

    def _live(self, view: View) -> None:
        """Show a view from within a cell that will not return one."""
        Live(shown=self.in_kernel).show(view, force=True)

    def _start(self, **facts: Any) -> Journal:
        started = datetime.now(UTC)
        given = os.environ.pop(frontend.RUN_ID, "")
        run = given or f"{started:%Y%m%dT%H%M%SZ}-{self.name}-{secrets.token_hex(3)}"
        journal = Journal(self.project.root / "records" / UNFILED / run, self.redactor.data)
        journal.write(
            "start",
            run=run,
            runbook=self.name,
            front_end=self.front_end.name,
            signer=self._key.fingerprint if self._key else "",
            notebook=_outline(self.project.root / "runbooks" / f"{self.name}.ipynb"),
            **origin(self.project.root),
            **facts,
        )
        if self._wire is not None:
            self._wire.listen(self, Cells(journal.write, journal.note, lambda: self.redactor.count), wire.executing())
        return journal

    def _reopen(self) -> None:
        """A cell run again after the end belongs to a new record, which names the one that it continues."""
        if self._ended:
            before = self._journal.folder.name
            self._journal = self._start(continues=before)
            self._ended = self._finishing = False
            if self._loaded is not None:
                self._file_under(self._loaded.fleet.environment)
                self._journal.write("parameters", **self._parameter_facts())

    def _file_under(self, environment: str) -> None:
        """Move the run's folder to its environment's, and say so in that environment's ledger."""
        before, folder = self._journal.folder, self.project.records(environment) / self._journal.folder.name
        if folder == before:
            return
        self._found = {"ledger": ledger.head(folder.parent), "previous_record": ledger.newest_sealed(folder.parent)}
        self._journal.move(folder)
        if before.parent.name != UNFILED:
            ledger.append(before.parent, "moved", folder.name, to=environment)
        ledger.append(folder.parent, "begun", folder.name, runbook=self.name)

    def _parameter_facts(self) -> dict[str, Any]:
        loaded, given = self.loaded, self.given
        return {
            "environment": loaded.fleet.environment,
            "file": loaded.source,
            "digest": loaded.digest,
            "target": loaded.fleet.target,
            "reason": given.reason,
            "ticket": given.ticket,
            **self._found,
            "approved_plan": given.approved_plan,
            "consent": list(given.consent),
            "replace": list(given.replace),
            "destroy": list(given.destroy),
            "restore": list(given.restore),
            "fleet": loaded.fleet.model_dump(mode="json"),
        }

    def _end(self, *, complete: bool) -> None:
        if self._wire is not None:
            self._wire.catch_up()  # before anything else: a run whose cells cannot be journaled has no end
            self._wire.deaf()
        self._ended = True
        seal.close(self._journal, self._key, complete=complete, redactions=self.redactor.count)

    def leave(self) -> None:
        """The kernel goes, or another run begins in it; this run did not reach its last cell."""
        if not self._ended:
            with suppress(RunbookError):  # what cannot be written now is what `runbooks seal` is for
                self._end(complete=False)

    def _watch_cells(self) -> None:
        """Journal what fails in a cell outside any stage, such as a mistyped name, and that it went well later."""
        from IPython import get_ipython  # noqa: PLC0415 - absent where no Jupyter is installed

        failed: set[str] = set()

        def after(result: Any) -> None:
            if Session._current is not self:  # another run has begun in this kernel, and hears of it itself
                return
            error, cell = result.error_before_exec or result.error_in_exec, _cell(result.info)
            if error is not None and error is not self._error:
                self._reopen()
                classes = [kind.__name__ for kind in type(error).__mro__]
                self._journal.write("error", stage=cell, classes=classes, message=str(error))
                failed.add(cell)
            elif error is None and cell in failed and not self._ended:
                self._journal.write("result", stage=cell, result="done")
                failed.discard(cell)

        get_ipython().events.register("post_run_cell", after)


def _cell(info: Any) -> str:
    """What a cell is called as a stage: by its id, where the front end tells it, else by what it says."""
    return f"cell {info.cell_id}" if info.cell_id else f"cell {source_digest(info.raw_cell)[:12]}"


def _stop_if_wished() -> None:
    """A kernel ignores Ctrl-C between two cells: `runbooks run` leaves a file that says it was pressed."""
    stop = os.environ.get(frontend.STOP)
    if stop and Path(stop).exists():
        raise Interrupted("interrupted before it began")


def _outline(path: Path) -> list[list[str]]:
    """The cells of the runbook that this run was begun from; none if somebody runs corelib without the notebooks."""
    try:
        return notebook.outline(path.read_bytes(), path.name)
    except OSError:
        return []


def _shorten(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _free(path: Path, content: str) -> Path:
    """This path, or the first of path-2, path-3, … that does not exist, or has this very content."""
    for number in itertools.count(1):
        one = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        if not one.exists() or one.read_text() == content:
            return one
    raise AssertionError("numbers do not end")


def _as_text(content: object) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
