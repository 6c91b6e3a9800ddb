"""What the tests of the client share: a fleet on the stand-in's addresses, and an install with its report."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from corelib import parameters, userdata
from corelib.fleet import Dedicated, Fleet
from corelib.hetzner.facts import Pin
from corelib.hetzner.install import install
from corelib.hetzner.observe import observe
from corelib.hetzner.plan import plan
from corelib.hetzner.robot import Robot
from corelib.hetzner.stages import Deadlines
from corelib.plan import Plan, Progress
from tests.lab.robot.standin import StandIn

PARAMETERS = Path(__file__).parents[2] / "parameters"
QUICK = Deadlines(rescue=10, ssh=10, write=20, boot=10, settle=5)


def fleet(name: str = "lab") -> Fleet:
    """The fleet of a committed environment."""
    return parameters.load((PARAMETERS / f"{name}.yaml").read_text(), f"{name}.yaml").fleet


def with_host(whole: Fleet, **changes: Any) -> Fleet:
    """A fleet whose dedicated host differs."""
    return whole.model_copy(update={"dedicated": (whole.dedicated[0].model_copy(update=changes),)})


@dataclass
class Rig:
    """A stand-in, the fleet on it, and every event of the installs."""

    standin: StandIn
    fleet: Fleet
    events: list[Progress] = field(default_factory=list)

    @classmethod
    def on(cls, standin: StandIn, **changes: Any) -> Rig:
        return cls(standin, with_host(fleet(), **{"address": IPv4Address(standin.address), **changes}))

    @property
    def host(self) -> Dedicated:
        return self.fleet.dedicated[0]

    @property
    def user_data(self) -> bytes:
        return userdata.render(self.fleet)[self.host.name].content

    def robot(self, kind: type[Robot] = Robot) -> Robot:
        return kind(self.standin.url, *self.standin.login, self.standin.ca)

    def install(
        self, *, installer: bytes = b"", robot: Robot | None = None, watch: Callable[[Progress], None] | None = None
    ) -> dict[str, Any]:
        def heard(event: Progress) -> None:
            self.events.append(event)
            if watch is not None:
                watch(event)

        script = installer or self.standin.installer
        arguments = (self.fleet, self.host, self.user_data, script, robot or self.robot(), self.standin.operator)
        return install(*arguments, heard, deadlines=QUICK)

    def plan(self, entry: dict[str, Any] | None = None, user_data: bytes | None = None) -> Plan:
        pins = {self.host.name: Pin.of(entry)} if entry else {}
        observed = observe(self.fleet, self.robot(), pins, self.standin.operator)
        content = {self.host.name: user_data or self.user_data}
        return plan(
            self.fleet, observed, content, hashlib.sha256(self.standin.installer).hexdigest(), "code", self.standin.url
        )

    def phases(self, phase: str) -> list[str]:
        """The stages that reached a phase, in their order."""
        return [event.target.partition("/")[2] for event in self.events if event.phase == phase]

    def facts(self, stage: str) -> dict[str, Any]:
        """What the last end of a stage said."""
        ends = [e for e in self.events if e.target == f"{self.host.name}/{stage}" and e.phase in ("done", "failed")]
        return dict(ends[-1].facts)
