"""Clusters that are well, two hundred times: under load, and while elections go on that end in time. No false alarm."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from corelib.etcd.canary import base64_of
from corelib.etcd.judge import Verdict
from tests.etcd.clusters import ELECTION_MS, Running
from tests.etcd.load import load
from tests.faults.tables import EtcdTable

from .conftest import lead

pytestmark = pytest.mark.faults

PUTS_PER_SECOND = 200


def test_etcd_healthy_under_load(fast: Running, etcd_matrix: EtcdTable) -> None:
    with load(fast.members[0].client_url, PUTS_PER_SECOND):
        _verified("healthy, under load", fast, etcd_matrix, 140)


def test_etcd_healthy_while_the_leader_moves(fast: Running, etcd_matrix: EtcdTable) -> None:
    turns = itertools.cycle(fast.members)
    with _meanwhile(lambda: lead(fast, next(turns))):
        _verified("healthy, the leader moves", fast, etcd_matrix, 30)


def test_etcd_healthy_while_the_leader_pauses(fast: Running, etcd_matrix: EtcdTable) -> None:
    """Stopped for less than an election: nobody else leads, and everything waits a moment."""

    def pause() -> None:
        leader = fast.leading()
        fast.stop(leader)
        time.sleep(ELECTION_MS / 2000)
        fast.resume(leader)

    with _meanwhile(pause):
        _verified("healthy, the leader pauses", fast, etcd_matrix, 30)


def test_etcd_healthy_and_compacted(fast: Running, etcd_matrix: EtcdTable) -> None:
    """As every idle cluster is that compacts by itself: its newest revision has no hash, only what is written then."""
    begun, verdicts = time.monotonic(), []
    for _ in range(3):
        revision = fast.call("/v3/kv/range", {"key": base64_of("any")})["header"]["revision"]
        fast.call("/v3/kv/compaction", {"revision": revision, "physical": True})
        verdicts.append(fast.verify())
    etcd_matrix.well("healthy, just compacted", fast.version, verdicts, time.monotonic() - begun)


def _verified(name: str, cluster: Running, matrix: EtcdTable, times: int) -> None:
    begun = time.monotonic()
    verdicts: list[Verdict] = [cluster.verify() for _ in range(times)]
    matrix.well(name, cluster.version, verdicts, time.monotonic() - begun)


@contextlib.contextmanager
def _meanwhile(act: Callable[[], None], every_s: float = 0.7) -> Iterator[None]:
    """Do that again and again, on a thread of its own; what fails there fails here."""
    ended = threading.Event()
    failed: list[BaseException] = []

    def again() -> None:
        try:
            while not ended.wait(every_s):
                act()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(60)
    assert not failed, failed
