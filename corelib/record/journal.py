"""The journal of one run: JSON lines, appended, fsynced, each with the digest of the line before.

The writer holds an exclusive `flock` on the file for as long as its process lives: whoever can lock it knows that
nobody writes it any more, however that process ended (flock(2): the kernel releases it with the last descriptor).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import RunbookError

NAME = "journal.jsonl"
Entry = dict[str, Any]
Redact = Callable[[str], str]


class JournalError(RunbookError):
    """The journal cannot be written or read; a run stops before its next change."""


class Journal:
    """An open journal. `write` returns once the entry is on the disk; it may be called from any thread."""

    def __init__(self, folder: Path, redact: Redact = str) -> None:
        """Make `folder`, which must not exist yet, and the journal in it. Raises JournalError."""
        self.folder = folder
        self._redact = redact
        self._lock = threading.Lock()
        self._count = 0
        self._previous = ""
        try:
            folder.mkdir(parents=True)
            self._file = os.open(
                folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644
            )
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sync_folder(folder)
        except OSError as problem:
            raise _unwritable(folder, problem) from problem

    def write(self, kind: str, **facts: Any) -> Entry:
        """Append one entry: its number, time (UTC), kind and facts. Raises JournalError."""
        with self._lock:
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            entry = {"n": self._count, "time": now, "kind": kind, **facts, "previous": self._previous}
            line = self._redact(json.dumps(entry, ensure_ascii=False, default=str)).encode() + b"\n"
            try:
                _write_all(self._file, line)
                os.fsync(self._file)
            except OSError as problem:
                raise _unwritable(self.folder, problem) from problem
            self._count += 1
            self._previous = hashlib.sha256(line).hexdigest()
            return entry

    def move(self, folder: Path) -> None:
        """Move the run's folder, which is renamed as a whole, so that no moment sees half of it."""
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.rename(folder)
            _sync_folder(folder.parent)
        except OSError as problem:
            raise _unwritable(folder, problem) from problem
        self.folder = folder

    def close(self) -> None:
        """Give up the journal; from now on nobody writes it."""
        os.close(self._file)


def read(folder: Path) -> list[Entry]:
    """The entries of a run, oldest first; a last line cut off by a crash is left out. Raises JournalError."""
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")
    except OSError as problem:
        raise JournalError(f"reading the journal of {folder.name}", str(problem)) from None
    try:
        # What follows the last line break is empty, or the beginning of a line that was never completed.
        return [json.loads(line) for line in lines[:-1]]
    except ValueError as problem:
        raise JournalError(f"reading the journal of {folder.name}", f"a line is not JSON: {problem}") from None


def live(folder: Path) -> bool:
    """True while the process that writes this journal lives."""
    try:
        with (folder / NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(folder: Path, problem: OSError) -> JournalError:
    return JournalError(
        f"writing the record {folder.name}",
        f"{problem.strerror or problem}",
        "make room or permissions for the records folder, then run again; nothing more was done",
    )
