"""Clusters for the matrix, on etcd 3.5 and 3.4; each is shared by the faults that heal, and well before each of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from corelib.fleet import Member
from tests.etcd import spaces
from tests.etcd.clusters import Running, binary, four, older
from tests.etcd.relayed import Relayed

R = TypeVar("R", bound=Running)

SMALL = 3  # the place of the member whose disk is a small one of its own, where root can mount one


@pytest.fixture(scope="session", params=["3.5", "3.4"])
def etcd(request: pytest.FixtureRequest) -> str:
    """The program, of each version."""
    if request.param == "3.5":
        return binary()
    if not (found := older()):
        pytest.skip("no etcd 3.4 here: `make etcd-3.4` fetches Debian's, or name one in ETCD_34")
    return found


class Fast(Running):
    """Four members that elect quickly; one of them has a small disk."""

    def data(self, member: Member) -> Path:
        return (self.disk if member == self.members[SMALL] else self.folder) / member.name

    @property
    def disk(self) -> Path:
        return self.folder / "small"


@pytest.fixture(scope="module")
def _fast(etcd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fast]:
    folder = tmp_path_factory.mktemp("fast")
    (folder / "small").mkdir()
    mounted = os.geteuid() == 0 and not mount(folder / "small", "200m")
    try:
        yield from _running(Fast(folder, members=four(1, network="127.0.35"), etcd=etcd))
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder / "small")], check=True)


def mount(folder: Path, size: str) -> str:
    """A disk of that size; why not, if it cannot be had."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


@pytest.fixture
def fast(_fast: Fast) -> Fast:
    """Elections of half a second."""
    _fast.heal()
    return _fast


@pytest.fixture(scope="module")
def _relayed(etcd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relayed]:
    yield from _running(Relayed(tmp_path_factory.mktemp("relayed"), four(1, network="127.0.36"), etcd=etcd))


@pytest.fixture
def relayed(_relayed: Relayed) -> Relayed:
    """The reference's timing, and ways between the members that can be slow or cut."""
    _relayed.paths.mend()
    _relayed.heal()
    return _relayed


@pytest.fixture(scope="module")
def _apart(etcd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[spaces.Spaces]:
    if why := spaces.unable():
        pytest.skip(why)
    yield from _running(spaces.Spaces(tmp_path_factory.mktemp("spaces"), etcd=etcd))


@pytest.fixture
def apart(_apart: spaces.Spaces) -> spaces.Spaces:
    """The deployment's own addresses, a network namespace a member."""
    _apart.mend()
    _apart.heal()
    return _apart


def _running(cluster: R) -> Iterator[R]:
    try:
        cluster.wait()
        yield cluster
    finally:
        cluster.end()


def lead(cluster: Running, member: Member) -> None:
    """Move the leadership to this member."""
    to = cluster.identity_of(member)

    def moved() -> bool:
        with contextlib.suppress(OSError):  # whoever is asked may be no leader any more
            leader = cluster.leading()
            if leader != member:
                cluster.call("/v3/maintenance/transfer-leadership", {"targetID": str(to)}, leader)
        return cluster.leading() == member

    cluster.until(moved, f"{member.name} leads")
