"""Ask a member's host, over SSH, what no port of etcd tells: process, log, disk, environment, clock.

Commands that change nothing, one after the other, on Flatcar and CoreOS alike. Each may fail by itself: what it would
have told is missing then, with the reason, and the others are asked all the same.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

from ..ssh import Done, SshError
from .intended import OnHost
from .samples import HostFacts, Mount, Reply, Space, Unit

T = TypeVar("T")

_PROPERTIES = "ActiveState,SubState,MainPID,NRestarts,Result,ExecMainStatus"
_LINES = 400  # of the journal: a Go panic of etcd has up to 200
_EACH_S = 3.0  # a command: a disk that hangs must not keep the others from being asked
_NO_PROCESS = 1  # pgrep(1): nothing matches
_PROCESS = "etcd2?"  # what the kernel calls it: etcd, or etcd2 where that is shipped
_STARTS = re.compile(r'"msg":"(Running: |configuring peer listeners)|etcd Version: \d')
_LEVEL = re.compile(r'"level":"(fatal|panic)"|"msg":"failed to verify flags"|^panic: | [CF] \| ')


class Commands(Protocol):
    """What runs a command on the host."""

    def run(self, *command: str, timeout: float = 30.0) -> Done:
        """Its exit code and what it said. Raises SshError."""


def ask(shell: Commands, on: OnHost, until: float) -> Reply[HostFacts]:
    """All facts of one host, as far as they can be had before `until` (`time.monotonic`)."""
    begun, missing = time.monotonic(), dict[str, str]()
    look = partial(_look, shell, until, missing)
    shown = look("unit", properties, "systemctl", "show", on.unit, f"--property={_PROPERTIES}") or {}
    pid = _pid(look, shown)
    environment = look("environment", variables, "sudo", "-n", "cat", f"/proc/{pid}/environ") if pid else None
    at = (environment or {}).get("ETCD_DATA_DIR") or on.data_dir
    ahead = _ahead(look)
    facts = HostFacts(
        unit=unit(shown) if shown else None,
        pid=pid,
        environment=environment,
        fatal=look("fatal", last_fatal, "journalctl", "-u", on.unit, "-n", str(_LINES), "--no-pager", "-o", "cat"),
        space=look("space", space, "df", "-B1", "--output=size,avail", at),
        mount=look("mount", mount, "findmnt", "-n", "-o", "SOURCE,TARGET,FSTYPE", "-T", at),
        ahead=ahead,
        missing=missing,
    )
    if len(missing) >= len(_FIELDS):
        return Reply("failed", detail=next(iter(missing.values())), seconds=time.monotonic() - begun)
    return Reply("answered", facts, seconds=time.monotonic() - begun)


_FIELDS = ("unit", "pid", "fatal", "space", "mount", "ahead")  # the environment is missing wherever the pid is


def _look(
    shell: Commands, until: float, missing: dict[str, str], field: str, read: Callable[[str], T], *command: str
) -> T | None:
    """One command, understood; or None, with why in `missing`."""
    if (seconds := until - time.monotonic()) <= 0:
        missing[field] = "the time was up"
        return None
    try:
        done = shell.run(*command, timeout=min(seconds, _EACH_S))
        if done.code not in (0, _NO_PROCESS if command[0] == "pgrep" else 0):
            said = " ".join((done.err or done.out).split())[-200:] or "it said nothing"
            missing[field] = f"{command[0]} ended with {done.code}: {said}"
            return None
        return read(done.out)
    except SshError as problem:
        missing[field] = problem.found
    except ValueError as problem:
        missing[field] = f"{command[0]} said what was not expected: {problem}"
    return None


def _pid(look: Any, shown: Mapping[str, str]) -> int | None:
    """etcd's own process: what systemd starts may be a wrapper, or the client of a container's engine."""
    main = int(shown.get("MainPID", "0"))
    found: tuple[int, ...] | None = look("pid", pids, "pgrep", "-x", _PROCESS)
    if found is None:
        return main if shown else None
    return main if main in found else found[0] if found else 0


def _ahead(look: Any) -> float | None:
    """Seconds of its clock before ours, at the middle of the question's way."""
    before = time.time()
    told: float | None = look("ahead", float, "date", "+%s.%N")
    return None if told is None else told - (before + time.time()) / 2


def properties(text: str) -> dict[str, str]:
    """`systemctl show`: `Name=value` lines. Raises ValueError if the states are not among them."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if "ActiveState" not in found or not found.get("MainPID", "0").isdecimal():
        raise ValueError(text[:80] or "nothing")
    return found


def unit(shown: Mapping[str, str]) -> Unit:
    """The unit's state, of its properties."""
    code, restarts = (int(n) if (n := shown.get(k, "")).isdecimal() else 0 for k in ("ExecMainStatus", "NRestarts"))
    return Unit(shown["ActiveState"], shown.get("SubState", ""), shown.get("Result", ""), code, restarts)


def pids(text: str) -> tuple[int, ...]:
    """`pgrep`: a process a line."""
    return tuple(int(line) for line in text.split())


def variables(text: str) -> dict[str, str]:
    """`/proc/PID/environ` (proc(5)), only what is etcd's: the rest is nobody's business, and may be secret."""
    pairs = (entry.partition("=") for entry in text.split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("ETCD_") and "PASSWORD" not in name}


def last_fatal(text: str) -> str:
    """The last words of etcd's log with which it ended, since it last started; empty if there are none.

    etcd 3.5 writes JSON lines; 3.4 and 2.x write capnslog's (`C |` is critical); a Go panic is plain text.
    """
    lines = text.splitlines()
    start = max((n for n, line in enumerate(lines) if _STARTS.search(line)), default=0)
    fatal = [line for line in lines[start:] if _LEVEL.search(line)]
    return _said(fatal[-1]) if fatal else ""


def _said(line: str) -> str:
    try:
        entry = json.loads(line)
        words = ": ".join(str(entry[key]) for key in ("msg", "error") if entry.get(key))
    except (ValueError, TypeError, KeyError, AttributeError):
        words = line.rpartition(" | ")[2]
    return " ".join(words.split())[:300]


def space(text: str) -> Space:
    """`df -B1 --output=size,avail`: a heading, and one line."""
    size, free = text.strip().rpartition("\n")[2].split()
    return Space(int(size), int(free))


def mount(text: str) -> Mount:
    """`findmnt -n -o SOURCE,TARGET,FSTYPE`: one line."""
    source, target, kind = text.strip().rpartition("\n")[2].split()
    return Mount(source, target, kind)
