"""Running a runbook headless: papermill does it, the journal says how it went, the notebook is filed with it."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import RunbookError, ServiceFailed
from ..kernel import frontend
from ..project import Project
from ..record import Record, read, seal
from ..record.journal import JournalError, salvage
from ..record.listing import find, record
from ..record.origin import operator
from . import drafts, filing, inputs
from .interrupts import Interrupts
from .news import News

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Launched:
    """A run that is over: its record, and whether somebody interrupted it (or tried to, at its end)."""

    record: Record
    interrupted: bool


def launch(name: str, file: Path, settings: Mapping[str, Any], at: Project, say: Say) -> Launched:
    """Run one runbook on a parameters file and file its notebook. Raises BadInput before anything is written.

    The first Ctrl-C lets what is under way finish, the second stops at once; the record says so either way.
    """
    inputs.load(file, at)
    inputs.refuse_secrets({**inputs.as_injected(file), **settings})
    seal.operators_key()  # a key that cannot sign is told now, not when there is something to sign
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(3)}"
    draft, wish = drafts.path(at, run), drafts.wish(at, run)
    with Interrupts(lambda: _pid(at.root, run), wish, say) as interrupts, _Follower(at.root, run, say):
        written = _papermill(at.root / "runbooks" / f"{name}.ipynb", draft, file, settings, run)
    folder = find(at.root, run)
    if folder is None:
        draft.unlink(missing_ok=True)
        raise ServiceFailed(f"running {name}", "its kernel ended before it began a record", "look at the terminal")
    _close(folder, draft, written, say)
    done = record(folder)
    say(f"{name}: {done.outcome}. Record: {folder.relative_to(at.root)}")
    return Launched(done, interrupts.count > 0)


def _close(folder: Path, draft: Path, written: drafts.Drafts, say: Say) -> None:
    """File the notebook, behind the end of a run whose kernel died; what fails is told, and hides nothing."""
    try:
        if not seal.sealed(folder):
            seal.seal(folder, seal.operators_key(), operator())
        filing.file(folder, written.read(str(draft)).encode())
        draft.unlink(missing_ok=True)
    except (RunbookError, OSError) as problem:
        say(f"  ✘ The record could not be closed; the notebook stays at {draft}: {problem}")


def _papermill(notebook: Path, out: Path, file: Path, settings: Mapping[str, Any], run: str) -> drafts.Drafts:
    # jsonschema asks for this package's grammar, which takes longer to compile than a notebook to run, and does
    # without it; no notebook of ours has a resource name that only it could check.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: "not to be imported"
    import papermill  # noqa: PLC0415 - slow to load, and only after the line above
    from nbclient.exceptions import DeadKernelError  # noqa: PLC0415

    writer = drafts.register(papermill.iorw.papermill_io)
    given = {**inputs.as_injected(file), **settings}
    os.environ |= {frontend.FILE: str(file), frontend.RUN_ID: run, frontend.STOP: str(out.with_suffix(".stop"))}
    try:
        papermill.execute_notebook(
            str(notebook),
            f"{drafts.SCHEME}{out}",
            given,
            progress_bar=False,
            cwd=str(notebook.parent.parent),
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # what it logs is not for operators; the journal is
        )
    except (papermill.PapermillExecutionError, DeadKernelError):
        pass  # the journal says it, and better: papermill's own report is a traceback
    finally:
        for name in (frontend.FILE, frontend.RUN_ID, frontend.STOP):
            del os.environ[name]
    return writer


def _pid(root: Path, run: str) -> int:
    """The kernel's pid, from its journal; 0 while there is none."""
    folder = find(root, run)
    entries = salvage(folder)[0] if folder else []
    return int(entries[0]["pid"]) if entries else 0


class _Follower:
    """Says what is news in a journal as it is written."""

    def __init__(self, root: Path, run: str, say: Say) -> None:
        self._root, self._run, self._say = root, run, say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._said, self._told = 0, News()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._news()

    def _follow(self) -> None:
        while not self._stop.wait(0.2):
            self._news()

    def _news(self) -> None:
        folder = find(self._root, self._run)
        try:
            entries = read(folder) if folder else []
        except JournalError:
            return  # it is being moved to its environment's folder; the next look finds it
        lines = [self._told.take(entry) for entry in entries[self._said :]]
        self._said = len(entries)
        for line in (*filter(None, lines), *self._told.due(time.monotonic())):
            self._say(line)
