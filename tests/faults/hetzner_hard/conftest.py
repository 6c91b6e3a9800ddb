"""Machines of the harder level: each test has one of its own, with three disks that hold something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hetzner.rig import fleet

from . import machine
from .contents import Templates
from .image import Mirror
from .rig import Rig, rig
from .table import HardTable

TABLE = pytest.StashKey[HardTable]()


@pytest.fixture(scope="session")
def _able() -> None:
    if why := machine.unable():
        pytest.skip(why)


@pytest.fixture(scope="session")
def release(_able: None, tmp_path_factory: pytest.TempPathFactory) -> Mirror:
    """An image, made and signed once."""
    return Mirror.make(tmp_path_factory.mktemp("release"), fleet().release.version)


@pytest.fixture(scope="session")
def templates(_able: None, tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """What the disks hold, made once."""
    return Templates.make(tmp_path_factory.mktemp("templates"))


@pytest.fixture
def mirror(release: Mirror) -> Mirror:
    """The mirror that a test's machine reaches: another one where a test says so."""
    return release.changed()


@pytest.fixture
def hard(tmp_path: Path, mirror: Mirror, templates: Templates, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A machine that is off, behind Robot."""
    table = request.config.stash.setdefault(TABLE, HardTable())
    one = machine.Machine(tmp_path, templates.disks(tmp_path), mirror)
    with rig(one, tmp_path / "robot.log", table) as found:
        yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash.get(TABLE, None)
    if table is not None and table.rows:
        terminalreporter.section(table.title)
        for line in table.lines():
            terminalreporter.write_line(line)
