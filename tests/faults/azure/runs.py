"""deploy-azure as a process of its own on a stand-in without hosts: run, killed at a moment, run again.

A run costs what it does, not what it imports: processes are forked from one that has everything loaded already.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from requests import Session

from corelib import runbook
from corelib.azure import client, pace
from corelib.lab import arm
from corelib.record import Record, records
from corelib.record.journal import Journal
from corelib.runbook import pulse
from corelib.runbook.targets import Targets
from tests.lab.arm.conftest import Lab, run
from tests.project import lay_out

SUBSCRIPTION = "00000000-0000-0000-0000-0000000001ab"
SPEED = 20.0  # how much faster than real the clock of a run is: it waits less for what it waits for
QUICK = arm.Timing(network=0.05, compute=0.15, group=0.05, poll=0.05)
_NEW_EACH_TIME = {"etag", "vmId", "uniqueId", "timeCreated", "resourceGuid", "macAddress"}
_NEW_EACH_TIME |= {"ipAddress", "privateIPAddress"}

_fork = multiprocessing.get_context("forkserver")
_LOADED = ["corelib.runbook.deploy_azure", "tests.faults.azure.runs", "IPython.core.interactiveshell", "msal"]
_fork.set_forkserver_preload(_LOADED)


class Held:
    """Operations of a stand-in that do not end from the moment of a kill on, until the next run has looked at them."""

    def __init__(self, root: Path, lab: Lab) -> None:
        self._killed, self._lab = root / "killed", lab
        self._due: list[tuple[Any, ...]] = []
        operations = lab.standin.cloud.operations
        self._end = operations._end
        operations._end = self._at_its_time  # type: ignore[method-assign]

    def _at_its_time(self, *operation: Any) -> None:
        if self._killed.exists():
            self._due.append(operation)
        else:
            self._end(*operation)

    def release(self, ended: Callable[[], bool]) -> int:
        """Let them end once all have been looked at, or `ended` says so; how many there were."""
        if not self._killed.exists():
            return 0
        running = {one.subject for one in self._lab.standin.cloud.operations._all.values() if not one.ended}
        since = len(self._lab.lines())
        while not running <= {one["path"].lower() for one in self._lab.lines()[since:]} and not ended():
            threading.Event().wait(0.02)

        def free() -> None:
            self._killed.unlink()
            for operation in self._due:
                self._end(*operation)

        self._lab.on_loop(free)
        return len(running)


@dataclass(frozen=True)
class Place:
    """A project and the stand-in that its runs act on."""

    root: Path
    lab: Lab
    held: Held
    started: list[Any] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Of the plan that was shown last."""
        plans = (self.root / "state/lab/plans").glob("plan-*.json")
        return max(plans, key=lambda file: file.stat().st_mtime).stem

    def run(self, *arguments: Any) -> int:
        """One run in a process of its own; returns its exit code."""
        process = self.start(*arguments)
        process.join(90)
        assert process.exitcode is not None, "the run did not end in 90 s"
        return process.exitcode

    def start(self, *arguments: Any) -> Any:
        """As `run`, without waiting for its end."""
        where = {**self.lab.where, "ca": str(self.lab.ca)}
        process = _fork.Process(target=_child, args=(str(self.root), where, *arguments))
        process.start()
        self.started.append(process)
        return process

    def resume(self) -> tuple[int, int]:
        """Run again under the same approval after a kill: the exit code, and how many operations were under way."""
        process = self.start(self.digest)
        held = self.held.release(lambda: not process.is_alive())
        process.join(90)
        return process.exitcode, held

    @property
    def record(self) -> Record:
        """The newest record."""
        return records(self.root)[-1]

    @property
    def said(self) -> str:
        """What the last run printed."""
        newest = max(self.root.glob("said-*"), key=lambda file: file.stat().st_mtime)
        return newest.read_text()[-3000:]

    def requests(self) -> Counter[tuple[str, str]]:
        """How often each resource was asked for something, by method and path, of what was accepted."""
        lines = (line for line in self.lab.lines() if line["method"] != "GET" and line["status"] < 400)
        return Counter((line["method"], line["path"]) for line in lines)

    def settled(self) -> Counter[tuple[str, str]]:
        """The same, once the stand-in has read all that a killed run had sent."""
        before, now = None, self.requests()
        while before != now:
            time.sleep(0.5)
            before, now = now, self.requests()
        return now

    def state(self) -> dict[str, Any]:
        """Everything that is there, without what is another at each creation."""
        root = f"/subscriptions/{SUBSCRIPTION}"
        groups = self.lab.call("GET", f"{root}/resourceGroups").json()["value"]
        listed = self.lab.call("GET", f"{root}/resources").json()
        assert "nextLink" not in listed
        ids = [one["id"] for one in (*groups, *listed["value"])]
        return {one: _lasting(self.lab.call("GET", one).json()) for one in ids}


@contextmanager
def place(folder: Path, timing: arm.Timing = QUICK) -> Iterator[Place]:
    """A project in `folder`, and a stand-in of its own."""
    folder.mkdir(parents=True)
    standin = run(folder, timing, limits=None)  # its clock is another one than that of the runs
    root, lab = lay_out(folder / "project"), next(standin)
    here = Place(root, lab, Held(root, lab))
    try:
        yield here
    finally:
        for process in here.started:
            process.kill()  # one that stands still would never end
        standin.close()


def _lasting(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _lasting(value) for key, value in node.items() if key not in _NEW_EACH_TIME}
    # Who came first stands first among those that refer to something: that is another order at each creation.
    return sorted(map(_lasting, node), key=json.dumps) if isinstance(node, list) else node


def _child(
    root: str, where: dict[str, str], approved: str, moment: tuple[str, int, str] | None = None, speed: float = SPEED
) -> None:
    """The process: deploy-azure without a kernel, on the stand-in at `where`: `plan`, `plan, then apply` exactly that,
    or an apply of what was `approved` before.

    `moment` says when something happens to it, and what: a kind of moment, its number, a signal.
    """
    said = os.open(f"{root}/said-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    identity = {"IDENTITY_ENDPOINT": where["identity"], "IDENTITY_HEADER": where["identity_header"]}
    os.environ |= {"RUNBOOKS_ROOT": root, "NO_PROXY": "127.0.0.0/8", **identity}
    Targets.azure = lambda _: (where["arm"], where["ca"])  # type: ignore[method-assign]
    client.Pace = lambda: pace.Pace(pace.Clock(speed))  # type: ignore[misc, assignment]
    pulse.Pulse.__init__.__defaults__ = (2.0,)  # seconds that count as a sleep
    if moment is not None:
        kind, number, name = moment
        _MOMENTS[kind](number, lambda: _send_to_self(root, name))
    shown = ""
    if approved in ("plan", "plan, then apply"):
        shown = _session("plan", "")
    if approved != "plan":
        _session("apply", shown or approved)


def _session(stage: str, approved: str) -> str:
    """One run of the runbook; the digest of the plan that it showed."""
    run: Any = runbook.begin("deploy-azure")
    names = {
        "environment": "lab",
        "approved_plan": approved,
        "consent": [],
        "replace": [],
        "destroy": [],
        "restore": [],
    }
    try:
        run.parameters(dict.fromkeys(run.inputs, "") | {"fleet": None} | names)
        if stage == "plan":
            run.plan()
        run.apply()
        run.finish()
    finally:
        run.leave()  # at the end of a process of its own Python would call it
    return run._shown.digest if run._shown else ""


def _send_to_self(root: str, name: str) -> None:
    if name == "SIGKILL":
        (Path(root) / "killed").touch()
    os.kill(os.getpid(), getattr(signal, name))


def at_event(number: int, do: Callable[[], None]) -> None:
    """Right after the journal took so many events of steps: each begin, what Azure is asked for and has accepted, each end."""
    write, count = Journal.write, iter(range(1, 1_000))

    def writing(self: Journal, kind: str, **facts: Any) -> Any:
        entry = write(self, kind, **facts)
        if kind == "step" and next(count) == number:
            do()
        return entry

    Journal.write = writing  # type: ignore[method-assign]


def _at_answer(number: int, do: Callable[[], None]) -> None:
    """When so many PUTs have been answered, and nothing has been made of the last answer yet."""
    request, count = Session.request, iter(range(1, 1_000))

    def requesting(self: Session, method: str, *more: Any, **options: Any) -> Any:
        answer = request(self, method, *more, **options)
        if method == "PUT" and next(count) == number:
            do()
        return answer

    Session.request = requesting  # type: ignore[method-assign, assignment]


_MOMENTS = {"event": at_event, "answer": _at_answer}
