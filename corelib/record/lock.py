"""One changing run per environment: a lock that the operating system releases when its holder dies.

A holder that lives and hangs can be overruled by naming its run: the lock's file is replaced, and the old holder
finds out before its next step (`Hold.check`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Refused


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock that is held; `overruled` is the run that held it before and was overruled, or empty."""

    environment: str
    file: Path
    descriptor: int
    overruled: str = ""

    def check(self) -> None:
        """Raise Refused if somebody else has overruled this hold."""
        if not _same(self.file, self.descriptor):
            found = f"its lock was taken by {_holder(self.file)}"
            remedy = "nothing new was begun; look at what that run does, then run again"
            raise Refused(f"changing the environment {self.environment}", found, remedy)


@contextmanager
def exclusive(folder: Path, environment: str, holder: str, run: str, overrule: str = "") -> Iterator[Hold]:
    """Hold the environment's lock. Raises Refused, naming who holds it (user@host, pid, since when, run).

    `overrule` is the id of the run that is believed to hang: if it holds the lock, it loses it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "lock"
    since = datetime.now(UTC).isoformat(timespec="seconds")
    words = f"{holder}, pid {os.getpid()}, since {since}, run {run}"
    descriptor, overruled = _take(file, environment, words, overrule)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, words.encode(), 0)
        yield Hold(environment, file, descriptor, overruled)
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(file: Path, environment: str, words: str, overrule: str) -> tuple[int, str]:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _holder(file)
            os.close(descriptor)
            if overrule and other.endswith(f" run {overrule}"):
                return _replace(file, words), overrule
            raise _locked(environment, other, overrule) from None
        if _same(file, descriptor):
            return descriptor, ""
        os.close(descriptor)  # it was replaced between the two calls


def _replace(file: Path, words: str) -> int:
    """A new lock in the place of one whose holder hangs; it is held before anybody can see it."""
    draft = file.with_name(f".lock.{os.getpid()}")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.pwrite(descriptor, words.encode(), 0)
    draft.replace(file)
    return descriptor


def _locked(environment: str, other: str, overrule: str) -> Refused:
    _, named, run = other.rpartition(", run ")
    overruling = f"--force-unlock {run} (in a notebook: force_unlock = {run!r})"
    remedy = f"wait until it has ended{f'; if its process is known to hang: {overruling}' if named else ''}"
    if overrule:
        remedy = f"{overrule!r} was given to be overruled, and does not hold it; {remedy}"
    return Refused(f"changing the environment {environment}", f"it is locked by {other}", remedy)


def _holder(file: Path) -> str:
    return file.read_text(errors="replace") or "a run that has not said its name yet"


def _same(file: Path, descriptor: int) -> bool:
    """True if the path still leads to the open file."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
