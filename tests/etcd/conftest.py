"""One healthy cluster for all tests that heal what they broke."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .clusters import Running


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("etcd"), first=1)
    try:
        running.wait()
        yield running
    finally:
        running.end()


@pytest.fixture
def cluster(shared: Running) -> Running:
    """The shared cluster, well again after whatever the test before did to it."""
    shared.heal()
    return shared
