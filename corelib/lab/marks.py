"""Finding and ending the processes of one lab by the mark in their environment, never by name."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .places import MARK

_PATIENCE = 10.0  # seconds in which killed processes have to be gone


def carries(pid: int, lab: str) -> bool:
    """True if that process lives and was started as part of `lab` (proc(5): its environment when it was started)."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        zombie = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
    return f"{MARK}={lab}".encode() in variables and not zombie


def marked(lab: str) -> list[int]:
    """The pids of all living processes of a lab, this one left out."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and carries(pid, lab)]


def end(lab: str) -> int:
    """Kill every process of a lab and wait until they are gone; returns how many there were.

    Raises TimeoutError if one is still there after ten seconds.
    """
    import signal  # noqa: PLC0415 - all of its names are made constants then, and most only look whether a lab lives

    ended: set[int] = set()
    deadline = time.monotonic() + _PATIENCE
    while pids := marked(lab):
        for pid in pids:
            with _same_process(pid, lab) as descriptor, contextlib.suppress(ProcessLookupError):
                if descriptor is not None:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    ended.add(pid)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} of the lab {lab} do not end")
        time.sleep(0.02)
    return len(ended)


@contextlib.contextmanager
def _same_process(pid: int, lab: str) -> Iterator[int | None]:
    """A descriptor of that process, or None: the mark is looked at again after opening, as pids are used again."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        yield None
        return
    try:
        yield descriptor if carries(pid, lab) else None
    finally:
        os.close(descriptor)
