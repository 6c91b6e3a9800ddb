"""What a host answers to a command over SSH: those that tell of its etcd, as the distribution's own would, and those
with which its data are put aside and restored (`workbench`).

It knows what the lab knows of the host: the real process, its real environment, its log, the real file system below
its root. To anything else it says that there is no such command.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from .places import MARK
from .workbench import Said, Workbench

_PROPERTIES = ("ActiveState", "SubState", "MainPID", "NRestarts", "Result", "ExecMainStatus")
_ROOT_DEVICE, _FIRST_DATA_DEVICE = "/dev/sda9", "/dev/sdc"  # ROOT of the image; behind the temporary disk


class Process(Protocol):
    """A host's etcd."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, or the signal's negative number; None while it runs."""


class OfHost(Protocol):
    """What the console tells of, and acts on."""

    @property
    def root(self) -> Path:
        """Its root file system."""

    @property
    def folder(self) -> Path:
        """Where its logs are."""

    @property
    def unit(self) -> str:
        """What starts its etcd."""

    @property
    def process(self) -> Process | None:
        """Its etcd."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of that unit."""

    @property
    def assigned(self) -> Mapping[str, str]:
        """What of it the unit itself sets."""

    @property
    def environment_files(self) -> Sequence[str]:
        """Where the rest of it comes from."""

    masked: bool  # whether that unit is kept from being started

    def stop_etcd(self) -> None:
        """End it."""

    def start_etcd(self) -> None:
        """Start it, with the environment that it had."""


class Console:
    """Answers for one host."""

    def __init__(self, host: OfHost) -> None:
        self._host = host
        self._commands: dict[str, Callable[[Sequence[str], bool], Said]] = {
            "systemctl": self._systemctl,
            "pgrep": self._pgrep,
            "cat": self._cat,
            "journalctl": self._journalctl,
            "df": self._df,
            "findmnt": self._findmnt,
            "date": self._date,
        }

    def answer(self, command: str, given: bytes = b"") -> Said:
        """Exit code, standard output and standard error of one command line; no shell reads it."""
        try:
            words, as_root = _words(command)
        except ValueError as problem:
            return 2, b"", f"bash: -c: {problem}\n".encode()
        if not words:
            return 0, b"", b""
        known = self._commands.get(words[0])
        if known is None and (done := self._workbench.answer(words, as_root, given)):
            return done
        if known is None:
            return 127, b"", f"bash: line 1: {words[0]}: command not found\n".encode()
        return known(words[1:], as_root)

    @property
    def _workbench(self) -> Workbench:
        return Workbench(self._host.root, self._host.variables)

    @property
    def _pid(self) -> int:
        process = self._host.process
        return process.pid if process is not None and process.poll() is None else 0

    def _systemctl(self, words: Sequence[str], root: bool) -> Said:
        if words[0] != "show":
            return self._order(list(words), root)
        if len(words) != 3 or words[0] != "show" or not words[2].startswith("--property="):
            return _unknown("systemctl", words)
        values = dict(zip(_PROPERTIES, self._state(words[1]), strict=True))
        wanted = words[2].removeprefix("--property=").split(",")
        masked = words[1] == self._host.unit and self._host.masked
        values["LoadState"] = "masked" if masked else "loaded"
        if words[1] == self._host.unit and not masked:  # of a masked unit systemd reads nothing
            values["Environment"] = shlex.join(f"{name}={value}" for name, value in self._host.assigned.items())
        lines = [f"{name}={value}\n" for name, value in values.items() if name in wanted]
        files = self._host.environment_files if "EnvironmentFiles" in wanted and not masked else ()
        lines += [f"EnvironmentFiles={one} (ignore_errors=no)\n" for one in files]
        return 0, "".join(lines).encode(), b""

    def _order(self, words: list[str], root: bool) -> Said:
        """What changes etcd's unit."""
        match words:
            case [("stop" | "mask" | "unmask") as what, unit] | [("start") as what, "--no-block", unit]:
                pass
            case _:
                return _unknown("systemctl", words)
        if not root or unit != self._host.unit:
            why = "Access denied" if not root else f"Unit {unit} not loaded"
            return 1, b"", f"Failed to {what} {unit}: {why}.\n".encode()
        if what == "start" and self._host.masked:
            return 1, b"", f"Failed to start {unit}: Unit {unit} is masked.\n".encode()
        if what in ("mask", "unmask"):
            self._host.masked = what == "mask"
        elif what == "stop":
            self._host.stop_etcd()
        elif not self._pid:
            self._host.start_etcd()
        return 0, b"", b""

    def _state(self, unit: str) -> tuple[str, ...]:
        """The states of a unit: only etcd's is a process, and one that has ended is not started again."""
        process = self._host.process if unit == self._host.unit else None
        code = process.poll() if process is not None else 0
        if self._pid and process is not None:
            return "active", "running", str(process.pid), "0", "success", "0"
        if code:
            result = "signal" if code < 0 else "exit-code"
            return "failed", "failed", "0", "0", result, str(abs(code))
        return "inactive", "dead", "0", "0", "success", "0"

    def _pgrep(self, words: Sequence[str], _root: bool) -> Said:
        if words[:1] != ["-x"] or len(words) != 2:
            return _unknown("pgrep", words)
        return (0, f"{self._pid}\n".encode(), b"") if self._pid and words[1].startswith("etcd") else (1, b"", b"")

    def _cat(self, words: Sequence[str], root: bool) -> Said:
        if len(words) != 1:
            return _unknown("cat", words)
        if words[0] in self._host.environment_files and root:
            return 0, (self._host.root / words[0].lstrip("/")).read_bytes(), b""
        if not self._pid or words[0] != f"/proc/{self._pid}/environ":
            return 1, b"", f"cat: {words[0]}: No such file or directory\n".encode()
        if not root:
            return 1, b"", f"cat: {words[0]}: Permission denied\n".encode()
        # The lab's own mark, and its place for the host's root, are not of the host's world.
        entries = Path(words[0]).read_bytes().split(b"\0")
        content = b"\0".join(entry for entry in entries if not entry.startswith(f"{MARK}=".encode()))
        return 0, content.replace(str(self._host.root).encode(), b""), b""

    def _journalctl(self, words: Sequence[str], _root: bool) -> Said:
        match list(words):
            case ["-u", unit, "-n", number, "--no-pager", "-o", "cat"] if number.isdecimal():
                lines = deque(self._log(unit), int(number))
                return 0, "".join(f"{line}\n" for line in lines).encode(), b""
        return _unknown("journalctl", words)

    def _log(self, unit: str) -> list[str]:
        journal, log = self._host.folder / "journal.log", self._host.folder / "etcd.log"
        notes = journal.read_text().splitlines() if journal.exists() else []
        own = log.read_text(errors="replace").splitlines() if log.exists() and unit == self._host.unit else []
        return [*(note for note in notes if unit in note), *own] or ["-- No entries --"]

    def _df(self, words: Sequence[str], _root: bool) -> Said:
        if list(words[:2]) != ["-B1", "--output=size,avail"] or len(words) != 3:
            return _unknown("df", words)
        try:
            found = os.statvfs(self._host.root / words[2].lstrip("/"))
        except OSError as problem:
            return 1, b"", f"df: {words[2]}: {problem.strerror}\n".encode()
        size, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        return 0, f"   1B-blocks       Avail\n{size:12} {free:11}\n".encode(), b""

    def _findmnt(self, words: Sequence[str], _root: bool) -> Said:
        if list(words[:4]) != ["-n", "-o", "SOURCE,TARGET,FSTYPE", "-T"] or len(words) != 5:
            return _unknown("findmnt", words)
        place = Path("/", words[4].lstrip("/"))
        if not (self._host.root / words[4].lstrip("/")).exists():
            return 1, b"", b""
        for at in (place, *place.parents[:-1]):
            if (self._host.root / str(at).lstrip("/")).is_symlink():  # how a data disk is mounted in a lab
                return 0, f"{_FIRST_DATA_DEVICE} {at} ext4\n".encode(), b""
        return 0, f"{_ROOT_DEVICE} / ext4\n".encode(), b""

    def _date(self, words: Sequence[str], _root: bool) -> Said:
        if list(words) != ["+%s.%N"]:
            return _unknown("date", words)
        now = time.time_ns()
        return 0, f"{now // 10**9}.{now % 10**9:09}\n".encode(), b""


def reads(command: str) -> bool:
    """Whether a command reads its standard input."""
    with contextlib.suppress(ValueError):
        return _words(command)[0][:1] == ["dd"]
    return False


def _words(command: str) -> tuple[list[str], bool]:
    """The words of a command line, and whether root is to do it. Raises ValueError."""
    words = shlex.split(command)
    as_root = words[:2] == ["sudo", "-n"]
    return words[2:] if as_root else words, as_root


def _unknown(command: str, words: Sequence[str]) -> Said:
    """How it says that it has that command, and not in this form."""
    return 2, b"", f"{command}: the lab does not know these arguments: {shlex.join(words)}\n".encode()
