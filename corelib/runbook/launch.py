"""Running a runbook headless: papermill does it, the journal says how it went, the notebook is filed with it."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import ServiceFailed
from ..kernel import frontend
from ..project import Project
from ..record import Record, read
from ..record.journal import NAME, JournalError
from ..record.listing import record
from . import inputs

Say = Callable[[str], None]


def launch(name: str, file: Path, settings: Mapping[str, Any], at: Project, say: Say) -> Record:
    """Run one runbook on a parameters file; returns its record. Raises BadInput before anything is written."""
    inputs.load(file, at)
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}-{secrets.token_hex(3)}"
    draft = at.root / "records" / f".{run}.ipynb"
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _Follower(at.root, run, say):
            _papermill(at.root / "runbooks" / f"{name}.ipynb", draft, file, settings, run)
    finally:
        # However it ended: what there is of the notebook belongs to the record.
        folder = _folder(at.root, run)
        if folder is not None and draft.exists():
            draft.replace(folder / "notebook.ipynb")
        elif folder is None:
            draft.unlink(missing_ok=True)
    if folder is None:
        raise ServiceFailed(
            f"running {name}", "its kernel ended before it began a record", "look at the terminal above"
        )
    done = record(folder)
    say(f"{name}: {done.outcome}. Record: {folder.relative_to(at.root)}")
    return done


def _papermill(notebook: Path, out: Path, file: Path, settings: Mapping[str, Any], run: str) -> None:
    # jsonschema asks for this package's grammar, which takes longer to compile than a notebook to run, and does
    # without it; no notebook of ours has a resource name that only it could check.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: "not to be imported"
    import papermill  # noqa: PLC0415 - slow to load, and only after the line above

    given = {**inputs.as_injected(file), **settings}
    os.environ |= {frontend.FILE: str(file), frontend.RUN_ID: run}
    try:
        papermill.execute_notebook(
            str(notebook),
            str(out),
            given,
            progress_bar=False,
            cwd=str(notebook.parent.parent),
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # what it logs is not for operators; the journal is
        )
    except papermill.PapermillExecutionError:
        pass  # the journal says it, and better: papermill's own report is a traceback
    finally:
        del os.environ[frontend.FILE], os.environ[frontend.RUN_ID]


class _Follower:
    """Says each event of a journal as it is written."""

    def __init__(self, root: Path, run: str, say: Say) -> None:
        self._root, self._run, self._say = root, run, say
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._said = 0

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
        folder = _folder(self._root, self._run)
        try:
            entries = read(folder) if folder else []
        except JournalError:
            return  # it is being moved to its environment's folder; the next look finds it
        for entry in entries[self._said :]:
            line = _line(entry)
            if line:
                self._say(line)
        self._said = len(entries)


def _line(entry: Mapping[str, Any]) -> str:
    """What a person wants to hear of an entry; empty for the rest."""
    match entry:
        case {"kind": "step", "phase": "done", "target": target, "detail": detail}:
            return f"    ✔ {target} {detail}".rstrip()
        case {"kind": "step", "phase": "failed", "target": target, "detail": detail}:
            return f"    ✘ {target} {detail}".rstrip()
        case {"kind": "result", "stage": stage, "summary": summary, "plan": digest}:
            return f"  {stage}: {summary} ({digest})"
        case {"kind": "result", "stage": stage, "result": result}:
            return f"  {stage}: {result}"
        case {"kind": "error", "message": message}:
            return f"  ✘ {message}"
    return ""


def _folder(root: Path, run: str) -> Path | None:
    return next((found.parent for found in (root / "records").glob(f"*/{run}/{NAME}")), None)
