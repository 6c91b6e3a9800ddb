"""Where papermill writes while a run is under way: each state of the notebook replaces the one before as a whole.

papermill itself truncates and rewrites its output file at every cell, so that a crash leaves half a notebook.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..project import Project
from ..record.journal import unwritable

SCHEME = "runbooks-draft:"  # papermill finds the writer of a path by how it begins


class Drafts:
    """A papermill writer for paths that begin with SCHEME; what follows is a path.

    A draft that cannot be written, on a full disk say, is kept in memory: a run that is changing something must not
    end for its notebook's sake. Its journal decides whether it may go on.
    """

    def __init__(self) -> None:
        self._unwritten: dict[Path, str] = {}

    def read(self, path: str) -> str:
        """A draft, as text."""
        file = _path(path)
        return self._unwritten.get(file) or file.read_text()

    def write(self, content: str, path: str) -> None:
        """Replace a draft as a whole."""
        file = _path(path)
        new = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            new.write_text(content)
            new.replace(file)
            self._unwritten.pop(file, None)
        except OSError:
            new.unlink(missing_ok=True)
            self._unwritten[file] = content

    def listdir(self, path: str) -> list[str]:
        """What papermill asks of every writer."""
        return [entry.name for entry in _path(path).iterdir()]

    def pretty_path(self, path: str) -> str:
        """How papermill's log names it."""
        return path


def path(at: Project, run: str) -> Path:
    """The draft of a run's notebook; its folder is made. Raises JournalError."""
    folder = at.root / "records" / ".drafts"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise unwritable(folder, problem) from problem
    return folder / f"{run}.ipynb"


def wish(at: Project, run: str) -> Path:
    """The file that says that a run shall not begin anything new."""
    return path(at, run).with_suffix(".stop")


def register(io: Any) -> Drafts:
    """Make papermill use it; `io` is papermill's registry of writers."""
    writer = Drafts()
    io._handlers[:] = [one for one in io._handlers if one[0] != SCHEME]  # noqa: SLF001 - it can only add
    io.register(SCHEME, writer)
    return writer


def _path(path: str) -> Path:
    return Path(path.removeprefix(SCHEME))
