"""One install under a fault: how it ended, what it said, and the digests of the disks that nobody consented to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import requests

from corelib.errors import RunbookError
from corelib.hetzner.plan import looks
from corelib.hetzner.stages import Deadlines
from corelib.ssh import NoSsh, host_key
from tests.faults.tables import InstallTable
from tests.hetzner.rig import Rig
from tests.lab.robot.standin import StandIn, running

HASTY = Deadlines(rescue=4, ssh=4, write=15, boot=6, settle=5, stuck=1)
OTHER, TARGET = "c3ff", "c3d4"
WWN = "wwn-0x5000c500a1b2c3d4"


@dataclass
class Trial:
    """A stand-in with its faults, a rig on it, and what the disks held before."""

    name: str
    rig: Rig
    matrix: InstallTable
    begun: float = field(default_factory=time.monotonic)
    before: dict[str, str] = field(default_factory=dict)

    @property
    def standin(self) -> StandIn:
        return self.rig.standin

    def untouched(self, *, written: bool) -> bool:
        """No byte of any disk but the consented one has changed; of that one neither, unless it was to be written."""
        kept = [last for last in self.before if last != TARGET or not written]
        return all(self.standin.digest(last) == self.before[last] for last in kept)

    def well(self, says: str = "", act: Callable[[Rig], object] = Rig.install) -> None:
        """It ends well, in spite of the fault, and somewhere it said that."""
        act(self.rig)
        self._end("verified", says or "installed", written=True)
        heard = "\n".join(event.detail for event in self.rig.events)
        assert says in heard, heard
        assert self.rig.plan(self.rig.entry).empty
        assert not self.rig.robot().rescue(321).active

    def stops(
        self, says: str, *, written: bool = False, act: Callable[[Rig], object] = Rig.install, kind: type = RunbookError
    ) -> RunbookError:
        """It stops, and says why; nobody has to read a traceback."""
        try:
            act(self.rig)
        except kind as problem:
            error = problem
        else:
            raise AssertionError("it went through")
        assert isinstance(error, RunbookError)
        failed = [state for state in self.rig.phases("failed") if state != "tidied"]
        self._end(failed[-1] if failed else "the plan", str(error), written=written)
        assert says in str(error), str(error)
        return error

    def again(self, says: str, *, look: bool, installer: bytes = b"") -> None:
        """After a failure, a plan of another attempt says why; approved, it goes well. `look`: the machine went on."""
        before = self.standin.digest(TARGET)
        step = self.rig.step(installer=installer)
        assert (looks(step), step.desired["attempt"]) == (look, 2)
        assert says in step.why, step.why
        if look:
            self.rig.inspect(desired=step.desired)
            step = self.rig.step(installer=installer)
        assert self.standin.digest(TARGET) == before, "nothing was written before that was approved"
        assert (looks(step), step.desired["attempt"]) == (False, 2)
        assert step.consent
        self.rig.write(step, installer=installer)
        assert self.rig.plan(self.rig.entry).empty
        assert self.untouched(written=True)

    def _end(self, ends: str, says: str, *, written: bool) -> None:
        untouched = self.untouched(written=written)
        self.matrix.row(self.name, ends, says, untouched=untouched, seconds=time.monotonic() - self.begun)
        assert untouched, "a byte was written where none may be"
        assert not any("install" in name for name in self.rig.robot().key_names().values())


@contextmanager
def trial(
    name: str, matrix: InstallTable, folder: Path, hosts: dict[str, Any] | None = None, **faults: Any
) -> Iterator[Trial]:
    """A trial of this fault."""
    with running(folder / "robot", faults=faults) as standin:
        rig = Rig.on(standin, **(hosts or {}))
        rig.deadlines = HASTY
        lasts = [last for last in (TARGET, OTHER) if standin.disk(last).exists()]
        yield Trial(name, rig, matrix, before={last: standin.digest(last) for last in lasts})


def in_rescue(rig: Rig, command: str) -> str:
    """Do something in the rescue system behind the client's back, with its root password."""
    url = f"{rig.standin.url}/boot/321/rescue/last"
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, auth=rig.standin.login, verify=rig.standin.ca, timeout=5)
    password = answer.json()["rescue"]["password"]
    where = {"username": "root", "password": password, "known_hosts": None, "config": None, "client_keys": None}

    async def run() -> str:
        async with asyncssh.connect(rig.standin.address, 2222, **where) as connection:
            return str((await connection.run(command, check=True)).stdout)

    return asyncio.run(run())


def until_dark(rig: Rig) -> None:
    """Wait until nothing answers there any more."""
    deadline = time.monotonic() + 10
    with suppress(NoSsh):
        while time.monotonic() < deadline:
            host_key(rig.standin.address, 2222, 2.0)
            time.sleep(0.02)
        raise AssertionError("it still answers")


def posted(standin: StandIn, path: str) -> int:
    """How often something was asked for by POST."""
    return len([one for one in standin.requests(path) if one[0] == "POST"])
