from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.robot.client import Client
from tests.lab.robot.standin import running


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A plain client of one stand-in: none of the project's own."""
    with running(tmp_path_factory.mktemp("robot")) as one:
        yield Client(one)


@pytest.fixture(scope="module")
def rescue(client: Client) -> Client:
    """The same, with the machine in its rescue system."""
    client.boot_rescue()
    return client
