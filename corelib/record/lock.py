"""One changing run per environment: a lock that the operating system releases when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import Refused


@contextmanager
def exclusive(folder: Path, environment: str, holder: str, run: str) -> Iterator[None]:
    """Hold the environment's lock. Raises Refused, naming who holds it (user@host, pid, since when, run)."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(descriptor, 4096, 0).decode(errors="replace") or "a run that has not said its name yet"
            remedy = "wait until it has ended, or end that process"
            raise Refused(f"changing the environment {environment}", f"it is locked by {other}", remedy) from None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder}, pid {os.getpid()}, since {since}, run {run}".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
