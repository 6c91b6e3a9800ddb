"""A deployed lab for the notebooks, started once for whoever asks first, stopped when the tests end.

nbval's items know no fixtures: for them the lab is started with the session, and its project reaches the kernels
through the environment. Tests proper ask for the fixture `deployed`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import settings

from corelib import lab
from corelib.project import Project
from corelib.runbook import demo
from tests.project import lay_out

settings.register_profile("shared machine", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("shared machine")

NETWORK = IPv4Network("127.0.7.0/24")
NBVAL = pytest.StashKey[Path]()


def deploy(folder: Path) -> Project:
    """A project whose lab has been deployed and installed by the runbooks themselves, each run as an operator would."""
    at = Project(lay_out(folder))
    lab.start(at.root, NETWORK)
    done: list[object] = []
    for act in demo.ACTS[1:5]:
        done.append(demo.play(act, at, done, print))  # type: ignore[arg-type]  # a list of records
    return at


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("nbval", default=False) or session.config.getoption("nbval_lax", default=False):
        folder = Path(tempfile.mkdtemp(prefix="runbooks-nbval-"))
        session.config.stash[NBVAL] = folder
        deploy(folder)
        os.environ["RUNBOOKS_ROOT"] = str(folder)


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = session.config.stash.get(NBVAL, None)
    if folder is not None:
        lab.stop(folder, NETWORK)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("deployed")
    try:
        yield deploy(folder / "project")
    finally:
        lab.stop(folder / "project", NETWORK)
