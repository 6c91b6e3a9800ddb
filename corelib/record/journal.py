"""The journal of one run: JSON lines, appended, fsynced, each with the digest of the line before.

Every entry has `n`, `time` (UTC), `up` (seconds since the journal was opened, by a clock that nobody sets back),
`kind`, its facts, and `previous` (SHA-256 of the line before, its line break included).

The writer holds an exclusive `flock` on the file for as long as its process lives: whoever can lock it knows that
nobody writes it any more, however that process ended (flock(2): the kernel releases it with the last descriptor).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any

from ..errors import Refused, RunbookError
from .room import Room

NAME = "journal.jsonl"
Entry = dict[str, Any]
Redact = Callable[[Any], Any]
"""Plain data → plain data of the same shape, with every secret in its texts replaced."""


_SHAPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "": {"n": int, "time": str, "kind": str, "previous": str},
    "parameters": {"ledger": str},
    "cell": {"cell": int, "count": (int, NoneType), "id": str, "status": str, "source": str, "outputs": list},
    "stage": {"stage": str},
    "step": {"target": str, "phase": str, "detail": str},
    "result": {"stage": str, "result": str},
    "error": {"stage": str, "classes": list},
    "artefact": {"name": str, "sha256": str},
    "end": {"complete": bool, "artefacts": dict},
}
_IF_THERE: dict[str, type] = {
    "run": str,
    "notebook": list,
    "signer": str,
    "continues": str,
    "statement": str,
    "signature": str,
}
"""What a reader relies on, for every entry and by kind. A line without it is none of ours: somebody wrote in it."""

_LAST_WORDS = frozenset({"cell", "error", "end"})  # they announce nothing: they may use the room that is kept for them


class JournalError(RunbookError):
    """The journal cannot be written or read; a run stops before its next change."""


class Journal:
    """An open journal; it may be written from any thread."""

    def __init__(self, folder: Path, redact: Redact = lambda data: data) -> None:
        """Make `folder`, which must not exist yet, and the journal in it. Raises JournalError."""
        self.folder = folder
        self._redact = redact
        self._lock = threading.Lock()
        self._opened = time.monotonic()
        self._count = 0
        self._previous = ""
        try:
            folder.mkdir(parents=True)
            self._file = os.open(
                folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644
            )
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._room: Room | None = Room(self._file)
            _sync_folder(folder)
        except OSError as problem:
            raise unwritable(folder, problem) from problem

    def note(self, kind: str, **facts: Any) -> Entry:
        """Append an entry that announces no change: it outlives this process, not the machine. Raises JournalError."""
        return self._append(kind, facts, durable=False)

    def write(self, kind: str, **facts: Any) -> Entry:
        """Append one entry, and return once it is on the disk. Raises JournalError."""
        return self._append(kind, facts, durable=True)

    def _append(self, kind: str, facts: dict[str, Any], *, durable: bool) -> Entry:
        with self._lock:
            up = round(time.monotonic() - self._opened, 6)
            entry = {"n": self._count, "time": _now(), "up": up, "kind": kind}
            # Redacted as data, never as a line: a marker in the place of half a line would break the JSON.
            clean = self._redact(json.loads(json.dumps(facts, default=str)))
            entry |= {name: value for name, value in clean.items() if name not in entry}
            line = _line(entry | {"previous": self._previous})
            size = os.fstat(self._file).st_size
            try:
                if self._room is not None and kind not in _LAST_WORDS:
                    self._room.keep(size + len(line))
                write_all(self._file, line)
                if durable:
                    os.fsync(self._file)
            except OSError as problem:
                with suppress(OSError):  # half a line on a full disk must not stand before the next one
                    os.ftruncate(self._file, size)
                raise unwritable(self.folder, problem) from problem
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
            raise unwritable(folder, problem) from problem
        self.folder = folder

    def close(self) -> None:
        """Give up the journal; from now on nobody writes it."""
        if self._room is not None:
            self._room.give_back()
        os.close(self._file)


class Unwritten(Journal):
    """The journal of who only looks, and leaves no record: it takes every entry and keeps none."""

    def __init__(self) -> None:
        """No folder, no file."""

    def _append(self, kind: str, facts: dict[str, Any], *, durable: bool) -> Entry:  # noqa: ARG002 - the other's
        return {"kind": kind, **facts}


class Reopened(Journal):
    """The journal of a run whose process is gone, opened to be closed properly.

    A last line that a crash cut off is taken off; `cut` is how many bytes that were, and `torn` their SHA-256.
    Raises Refused while the process that writes it lives, JournalError if it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._redact = lambda data: data
        self._lock = threading.Lock()
        self._opened = time.monotonic()
        self._room = None
        try:
            self._file = os.open(folder / NAME, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise Refused(
                f"closing the record {folder.name}", "it is still being written", "wait for its end"
            ) from None
        except OSError as problem:
            raise unwritable(folder, problem) from problem
        content = (folder / NAME).read_bytes()
        whole, _, rest = content.rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        self.cut, self.torn = len(rest), hashlib.sha256(rest).hexdigest() if rest else ""
        os.ftruncate(self._file, len(content) - len(rest))
        self._count = len(lines)
        self._previous = hashlib.sha256(lines[-1] + b"\n").hexdigest() if lines else ""


def read(folder: Path) -> list[Entry]:
    """The entries of a run, oldest first; a last line cut off by a crash is left out. Raises JournalError."""
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")
    except OSError as problem:
        raise JournalError(f"reading the journal of {folder.name}", str(problem)) from None
    # What follows the last line break is empty, or the beginning of a line that was never completed.
    entries = [parse(line) for line in lines[:-1]]
    if None in entries:
        raise JournalError(f"reading the journal of {folder.name}", f"line {entries.index(None) + 1} is no entry")
    return [entry for entry in entries if entry is not None]


def salvage(folder: Path) -> tuple[list[Entry], bool]:
    """The entries that can be read, and whether there are lines that cannot."""
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")[:-1]
    except OSError:
        return [], True
    entries = [entry for entry in map(parse, lines) if entry is not None]
    return entries, len(entries) < len(lines)


def parse(line: bytes) -> Entry | None:
    """The entry of a line, with everything that its readers rely on; None if it is no entry."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    kind = entry.get("kind")
    shape = _SHAPES[""] | (_SHAPES.get(kind, {}) if isinstance(kind, str) else {})
    shape |= {name: types for name, types in _IF_THERE.items() if name in entry}
    return entry if all(isinstance(entry.get(name, ...), types) for name, types in shape.items()) else None


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _line(entry: Entry) -> bytes:
    return json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def write_all(file: int, data: bytes) -> None:
    """Write every byte, however the system cuts it. Raises OSError."""
    while data:
        data = data[os.write(file, data) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(folder: Path, problem: OSError) -> JournalError:
    """The error of a record that the system does not let us write."""
    return JournalError(
        f"writing the record {folder.name}",
        f"{problem.strerror or problem}",
        "make room or permissions for the records folder, then run again; nothing more was done",
    )
