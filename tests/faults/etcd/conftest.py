"""Clusters for the matrix, on etcd 3.5 and 3.4; each is shared by the faults that heal, and well before each of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import pytest

from corelib.etcd.intended import Intended, OnHost
from corelib.etcd.samples import Samples
from corelib.member import Member
from tests.etcd import here, spaces
from tests.etcd.clusters import Running, binary, four, older
from tests.etcd.relayed import Relayed

R = TypeVar("R", bound=Running)


@pytest.fixture(scope="session", params=["3.5", "3.4"])
def etcd(request: pytest.FixtureRequest) -> str:
    """The program, of each version."""
    if request.param == "3.5":
        return binary()
    if not (found := older()):
        pytest.skip("no etcd 3.4 here: `make etcd-3.4` fetches Debian's, or name one in ETCD_34")
    return found


class Fast(Running):
    """Four members that elect quickly. What `on` names is asked of this machine too."""

    on: Mapping[str, OnHost] = MappingProxyType({})

    def intended(self) -> Intended:
        return super().intended()._replace(hosts=self.on)

    def look(self, **how: Any) -> Samples:
        return super().look(**{"hosts": {name: here.asks(on) for name, on in self.on.items()}, **how})


class Small(Fast):
    """One of them has a small disk of its own."""

    def data(self, member: Member) -> Path:
        return (self.disk if member == self.beset else self.folder) / member.name

    @property
    def beset(self) -> Member:
        return self.members[-1]

    @property
    def disk(self) -> Path:
        return self.folder / "small"


@pytest.fixture(scope="module")
def _fast(etcd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fast]:
    yield from _running(Fast(tmp_path_factory.mktemp("fast"), members=four(1, network="127.0.35"), etcd=etcd))


@pytest.fixture
def small(etcd: str, tmp_path: Path) -> Iterator[Small]:
    """A new cluster: what is on its small disk is known, two files of etcd's log and next to nothing else."""
    disk = tmp_path / "small"
    disk.mkdir()
    if why := mount(disk, "200m"):
        pytest.skip(f"a small disk needs root, and a kernel that lets it mount one: {why}")
    try:
        yield from _running(Small(tmp_path, members=four(1, network="127.0.37"), etcd=etcd))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def mount(folder: Path, size: str) -> str:
    """A disk of that size; why not, if it cannot be had."""
    if os.geteuid() != 0:
        return "not root"
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


@pytest.fixture
def fast(_fast: Fast) -> Fast:
    """Elections of half a second."""
    _fast.on = {}
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
