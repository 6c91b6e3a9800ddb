"""The same stand-in that its own tests use, and a fleet whose subscription is a test's own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from corelib import parameters
from corelib.azure import client, desired, executor, observe
from corelib.azure import plan as planning
from corelib.azure.acts import DEADLINE, acts
from corelib.azure.pace import Pace
from corelib.azure.resource import Observed, Resource
from corelib.fleet import Fleet
from corelib.plan import Plan, Watch
from tests.lab.arm.conftest import Lab, azure_at, lab, slow

__all__ = ["azure_at", "lab", "slow"]

ROOT = Path(__file__).parents[2]


def fleet(name: str = "lab") -> Fleet:
    return parameters.load((ROOT / "parameters" / f"{name}.yaml").read_text(), name).fleet


def custom_data(of: Fleet) -> dict[str, bytes]:
    return {host.name: f"#cloud-config\nhostname: {host.name}\n".encode() for host in of.hosts}


@dataclass
class Deployment:
    """A fleet on a stand-in: what is wanted, and the ways to look, plan and apply."""

    fleet: Fleet
    cloud: client.Cloud
    endpoint: str
    resources: tuple[Resource, ...]

    def observe(self) -> Observed:
        return observe.observe(self.cloud, self.resources, self.fleet.environment)

    def plan(self) -> Plan:
        return planning.plan(self.fleet, self.resources, self.observe(), "c1", self.endpoint)

    def apply(self, plan: Plan, watch: Watch, deadline: float = DEADLINE) -> None:
        executor.apply(plan, acts(self.cloud, self.resources, deadline), watch, clock=self.cloud.pace.clock)


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Deployment]:
    """A deployment of the lab's fleet on a stand-in, in a subscription of its own."""

    def build(lab: Lab, pace: Pace | None = None) -> Deployment:
        monkeypatch.setitem(os.environ, "IDENTITY_ENDPOINT", lab.where["identity"])
        monkeypatch.setitem(os.environ, "IDENTITY_HEADER", lab.where["identity_header"])
        base = fleet()
        assert base.azure is not None
        account = base.azure.model_copy(update={"subscription": str(uuid.uuid4())})
        own = base.model_copy(update={"azure": account})
        credential = client.credential_of("managed-identity")
        where = {"endpoint": lab.where["arm"], "verify": str(lab.ca), "pace": pace}
        cloud = client.connect(account, credential=credential, **where)  # type: ignore[arg-type]
        return Deployment(own, cloud, lab.where["arm"], desired.resources(own, custom_data(own)))

    return build
