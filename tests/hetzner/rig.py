"""What the tests of the client share: a fleet on the stand-in's addresses, and an install with its report."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from corelib import parameters, userdata
from corelib.errors import Refused
from corelib.fleet import Dedicated, Fleet
from corelib.hetzner import install
from corelib.hetzner.clock import Clock
from corelib.hetzner.facts import Observation, Pin
from corelib.hetzner.job import Job
from corelib.hetzner.memory import Memory
from corelib.hetzner.observe import observe
from corelib.hetzner.pinned import Pinned
from corelib.hetzner.plan import looks, plan
from corelib.hetzner.robot import Robot
from corelib.hetzner.stages import Deadlines
from corelib.plan import Plan, Progress, Step
from tests.lab.robot.standin import StandIn

PARAMETERS = Path(__file__).parents[2] / "parameters"
QUICK = Deadlines(rescue=10, ssh=10, write=20, boot=10, settle=5, stuck=1)
_NUMBERS = itertools.count()

Heard = Callable[[Progress], None]


def fleet(name: str = "lab") -> Fleet:
    """The fleet of a committed environment."""
    return parameters.load((PARAMETERS / f"{name}.yaml").read_text(), f"{name}.yaml").fleet


def with_host(whole: Fleet, **changes: Any) -> Fleet:
    """A fleet whose dedicated host differs."""
    return whole.model_copy(update={"dedicated": (whole.dedicated[0].model_copy(update=changes),)})


@dataclass
class Rig:
    """A stand-in, the fleet on it, every event of the installs, and what an inventory would keep of them."""

    standin: StandIn
    fleet: Fleet
    events: list[Progress] = field(default_factory=list)
    entry: dict[str, Any] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(_NUMBERS))
    deadlines: Deadlines = QUICK
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def on(cls, standin: StandIn, **changes: Any) -> Rig:
        return cls(standin, with_host(fleet(), **{"address": IPv4Address(standin.address), **changes}))

    @property
    def host(self) -> Dedicated:
        return self.fleet.dedicated[0]

    @property
    def user_data(self) -> bytes:
        return userdata.render(self.fleet)[self.host.name].content

    @property
    def memory(self) -> Memory:
        """What is on the disk: each run reads it anew."""
        return Memory(self.standin.folder / "installs" / f"{self.host.name}-{self.number}.json")

    def robot(self, kind: type[Robot] = Robot, **more: Any) -> Robot:
        return kind(self.standin.url, *self.standin.login, self.standin.ca, clock=self.clock, **more)

    def job(self, *, robot: Robot | None = None, watch: Heard | None = None, **more: Any) -> Job:
        def heard(event: Progress) -> None:
            self.events.append(event)
            if watch is not None:
                watch(event)

        client, key = robot or self.robot(), self.standin.operator
        more = {"deadlines": self.deadlines, "clock": self.clock, **more}
        return Job(self.fleet, self.host, client, key, heard, self.memory, **more)

    def inspect(self, **more: Any) -> None:
        """The first plan: into the rescue system."""
        install.inspect(self.job(**more))

    def write(self, step: Step, *, installer: bytes = b"", image: Pinned | None = None, **more: Any) -> dict[str, Any]:
        """The second plan: what the step says."""
        script = installer or self.standin.installer
        job = self.job(**more, user_data=self.user_data, installer=script, image=image, desired=step.desired)
        return install.install(job, self._remember)

    def install(
        self,
        *,
        installer: bytes = b"",
        image: Pinned | None = None,
        robot: Robot | None = None,
        watch: Heard | None = None,
    ) -> dict[str, Any]:
        """Both plans, approved as they come. Raises Refused where one is blocked."""
        step = self.step(installer=installer)
        if looks(step):
            self.inspect(robot=robot, watch=watch)
            step = self.step(installer=installer)
        assert not looks(step)
        return self.write(step, installer=installer, image=image, robot=robot, watch=watch)

    def step(self, **more: Any) -> Step:
        """The one step of a plan that is made now. Raises Refused if it is blocked."""
        (step,) = self.plan(self.entry or None, **more).steps
        if step.action == "blocked":
            raise Refused("planning", step.why)
        return step

    def plan(self, entry: dict[str, Any] | None = None, user_data: bytes | None = None, installer: bytes = b"") -> Plan:
        observed = {self.host.name: self.observed(entry)}
        content = {self.host.name: user_data or self.user_data}
        digest = hashlib.sha256(installer or self.standin.installer).hexdigest()
        return plan(self.fleet, observed, content, digest, "code", self.standin.url)

    def observed(self, entry: dict[str, Any] | None = None) -> Observation:
        """What Robot and the machine say now."""
        pins = {self.host.name: Pin.of(entry)} if entry else {}
        notes = {self.host.name: self.memory.note}
        return observe(self.fleet, self.robot(), pins, self.standin.operator, notes)[self.host.name]

    def phases(self, phase: str) -> list[str]:
        """The stages that reached a phase, in their order."""
        return [event.target.partition("/")[2] for event in self.events if event.phase == phase]

    def facts(self, stage: str) -> dict[str, Any]:
        """What the last end of a stage said."""
        ends = [e for e in self.events if e.target == f"{self.host.name}/{stage}" and e.phase in ("done", "failed")]
        return dict(ends[-1].facts)

    def _remember(self, entry: Mapping[str, Any]) -> None:
        known = bool(self.entry) and (not self.entry.get("pending") or bool(self.entry.get("replaces")))
        self.entry = {**entry, "replaces": known} if entry.get("pending") else dict(entry)
        (self.standin.folder / f"entry-{self.number}.json").write_text(json.dumps(self.entry))
