"""Where papermill writes while a run is under way: each state of the notebook replaces the one before as a whole.

papermill itself truncates and rewrites its output file at every cell, so that a crash leaves half a notebook.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..project import Project

SCHEME = "runbooks-draft:"  # papermill finds the writer of a path by how it begins


class Drafts:
    """A papermill writer for paths that begin with SCHEME; what follows is a path."""

    def read(self, path: str) -> str:
        """A draft, as text."""
        return _path(path).read_text()

    def write(self, content: str, path: str) -> None:
        """Replace a draft as a whole."""
        file = _path(path)
        new = file.with_name(f"{file.name}.{os.getpid()}")
        new.write_text(content)
        new.replace(file)

    def listdir(self, path: str) -> list[str]:
        """What papermill asks of every writer."""
        return [entry.name for entry in _path(path).iterdir()]

    def pretty_path(self, path: str) -> str:
        """How papermill's log names it."""
        return path


def path(at: Project, run: str) -> Path:
    """The draft of a run's notebook; its folder is made."""
    folder = at.root / "records" / ".drafts"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{run}.ipynb"


def wish(at: Project, run: str) -> Path:
    """The file that says that a run shall not begin anything new."""
    return path(at, run).with_suffix(".stop")


def register(io: Any) -> None:
    """Make papermill use it; `io` is papermill's registry of writers."""
    if not any(scheme == SCHEME for scheme, _ in io._handlers):  # noqa: SLF001 - it cannot be asked otherwise
        io.register(SCHEME, Drafts())


def _path(path: str) -> Path:
    return Path(path.removeprefix(SCHEME))
