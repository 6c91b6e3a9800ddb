from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hetzner.rig import Rig
from tests.lab.robot.standin import StandIn, running


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """One stand-in for a module's tests, which leave its machine in any state."""
    with running(tmp_path_factory.mktemp("robot")) as one:
        yield one


@pytest.fixture
def rig(standin: StandIn) -> Rig:
    return Rig.on(standin)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, dict[str, Any], dict[str, str]]]:
    """A machine on which the whole install ran once: the rig, what it returned, and its disks' digests before."""
    with running(tmp_path_factory.mktemp("robot")) as one:
        rig, before = Rig.on(one), {last: one.digest(last) for last in ("c3d4", "c3ff")}
        yield rig, rig.install(), before
