"""The ledger of an environment: which runs began, were sealed, filed and pruned, in one chain of lines.

`records/<environment>/ledger.jsonl`: JSON lines, each with `n`, `time` (UTC), `event`, `record` (its id), facts, and
`previous` (SHA-256 of the line before, its line break included). The SHA-256 of the last line is the ledger's head:
whoever has kept it elsewhere notices when the newest lines are missing. Each run's journal holds the head that it
found, so a signed record vouches for everything before it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from .journal import JournalError, write_all

NAME = "ledger.jsonl"
Event = Literal["begun", "moved", "sealed", "filed", "pruned"]
EVENTS: tuple[str, ...] = get_args(Event)


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands: its entry (None if it is not JSON of the right shape), and its own digest."""

    number: int
    entry: dict[str, Any] | None
    digest: str


def append(folder: Path, event: Event, record: str, **facts: Any) -> str:
    """Add a line and put it on the disk; returns the new head. Raises JournalError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _held(folder) as file:
            content = _whole(file)
            lines = content.count(b"\n")
            entry = {"n": lines, "time": datetime.now(UTC).isoformat(timespec="microseconds"), "event": event}
            line = json.dumps(entry | {"record": record, **facts, "previous": _last(content)}).encode() + b"\n"
            write_all(file, line)
            os.fsync(file)
    except OSError as problem:
        raise JournalError(
            f"writing the ledger of {folder.name}", str(problem.strerror or problem), "make room, then run again"
        ) from problem
    return hashlib.sha256(line).hexdigest()


def head(folder: Path) -> str:
    """SHA-256 of the last whole line; empty if there is none."""
    try:
        return _last((folder / NAME).read_bytes())
    except FileNotFoundError:
        return ""


def read(folder: Path) -> list[Line]:
    """Every line, oldest first; a last one that a crash cut off is left out."""
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return []
    whole = content.split(b"\n")[:-1]
    return [Line(n, _entry(line), hashlib.sha256(line + b"\n").hexdigest()) for n, line in enumerate(whole)]


def torn(folder: Path) -> bool:
    """True if the last line has no line break: a crash cut it off, and the next line will replace it."""
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return False
    return bool(content) and not content.endswith(b"\n")


def newest_sealed(folder: Path) -> dict[str, str]:
    """Id and journal digest of the record that was sealed last; empty if none was."""
    for line in reversed(read(folder)):
        if line.entry is not None and line.entry["event"] == "sealed":
            return {"id": str(line.entry["record"]), "journal": str(line.entry.get("journal", ""))}
    return {}


def sealed_as(folder: Path, record: str) -> str:
    """The digest of a record's journal as it was sealed; empty if it was not."""
    for line in reversed(read(folder)):
        if line.entry is not None and (line.entry["record"], line.entry["event"]) == (record, "sealed"):
            return str(line.entry.get("journal", ""))
    return ""


@contextmanager
def _held(folder: Path) -> Iterator[int]:
    """The open file, while nobody else appends; that takes milliseconds, so it is waited for."""
    file = os.open(folder / NAME, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _whole(file: int) -> bytes:
    """The whole lines; the beginning of a line that a full disk cut off was never acknowledged, and goes."""
    content = os.pread(file, os.fstat(file).st_size, 0)
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.ftruncate(file, len(whole))
    return whole


def _last(content: bytes) -> str:
    lines = content.split(b"\n")[:-1]
    return hashlib.sha256(lines[-1] + b"\n").hexdigest() if lines else ""


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    return content if all(isinstance(content.get(name), str) for name in ("event", "record", "previous")) else None
