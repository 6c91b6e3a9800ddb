"""etcd restored from a snapshot where its quorum is lost, with real etcd behind it; and interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib.etcd.canary import base64_of
from corelib.project import Project
from corelib.record import read
from corelib.references import resolve
from corelib.runbook.subject import Subject
from corelib.runbook.verification import door
from tests.faults.tables import Row

from .lives import Life, life
from .test_life_azure import cloud

pytestmark = pytest.mark.faults
LOST = ("azure-lab-01", "azure-lab-02")


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[tuple[Life, str]]:
    """A cluster of which two have lost their data, with a snapshot of before; `late` was written after that."""
    with life(tmp_path, "127.0.92.") as one:
        token = "    token: etcd-cluster\n"
        one.edit(**{token: f"{token}    version: 3.5.17\n"})  # another image than the release ships, from a file
        assert one.apply().outcome == "succeeded", one.said
        put(one, "kept", "as it was")
        file = snapshot(one)
        put(one, "kept", "as it became")
        put(one, "late", "written after the snapshot")
        lose(one)
        yield one, file.name


def lose(one: Life) -> None:
    """Two of four end, and their data are gone: for good."""
    hosts = one.hosts()
    for name in LOST:
        pid = hosts[name].etcd_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(data(one, name) / "member")


def data(one: Life, name: str) -> Path:
    return one.root / f".lab/{one.network}0-24/hosts/{name}/root/var/lib/etcd"


def snapshot(one: Life) -> Path:
    file = one.root / "state/lab/snapshots/20260101T000000Z-azure-lab-01.db.age"
    with door(Subject.of(one.fleet), lambda ref: resolve(ref, one.root), Project(one.root), "azure-lab-01") as through:
        through.snapshot(one.fleet.ssh_keys, file)
    return file


def call(one: Life, path: str, content: dict[str, Any], member: int = 3) -> Any:
    body = json.dumps(content).encode()
    request = urllib.request.Request(f"http://{one.network}{member}:2379{path}", body)
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def put(one: Life, key: str, value: str) -> None:
    call(one, "/v3/kv/put", {"key": base64_of(key), "value": base64_of(value)})


def get(one: Life, key: str, member: int) -> str | None:
    found = call(one, "/v3/kv/range", {"key": base64_of(key)}, member).get("kvs", [])
    return found[0]["value"] if found else None


def restored(one: Life) -> None:
    """All of them serve what the snapshot holds, and nothing else; the data of before are there."""
    found = one.verified()
    assert found.verdict.healthy, found.verdict.sentence
    for member in (1, 2, 3, 4):
        assert get(one, "kept", member) == base64_of("as it was")
        assert get(one, "late", member) is None
    for name in ("azure-lab-03", "azure-lab-04"):
        (before,) = data(one, name).glob("before-*")
        assert any((put_aside / "snap" / "db").exists() for put_aside in before.iterdir())
        assert not [path.name for path in data(one, name).iterdir() if path.name.startswith(("rest", "snapshot"))]


def test_where_the_quorum_is_lost_a_snapshot_brings_it_back(lost: tuple[Life, str], azure_lives: list[Row]) -> None:
    one, file = lost
    assert not one.verified().verdict.healthy
    before = {name: host.etcd_pid for name, host in one.hosts().items()}
    planned = one.plan(restore=[file])
    assert planned.outcome == "awaiting approval", one.said
    assert f"restore lab from {file}" in one.said
    assert "2026-01-01 00:00:00 UTC" in one.said
    assert {name: host.etcd_pid for name, host in one.hosts().items()} == before, "a plan changes nothing"
    whole = one.apply(restore=[file])
    assert whole.outcome == "succeeded", one.said
    restored(one)
    assert one.plan(restore=[file]).outcome == "no change"

    put(one, "since", "written after the restore")
    for name in LOST:  # they only end: nothing is lost, and the same command is given again by habit
        pid = one.hosts()[name].etcd_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    one.resume(restore=[file])
    assert "this step was not approved" in one.said, one.said
    assert one.hosts()["azure-lab-03"].state == "etcd runs"
    events = len([entry for entry in read(Path(whole.path)) if entry["kind"] == "step"])
    azure_lives.append(("etcd is restored from a snapshot", f"{events} events, all four serve what it holds", ""))


def test_where_machines_are_lost_new_ones_come_first(lost: tuple[Life, str], azure_lives: list[Row]) -> None:
    """They cannot found a cluster that the others still know, and say so; then all are restored."""
    one, file = lost
    compute = cloud(one).compute
    for name in LOST:
        compute.virtual_machines.begin_delete("azure-lab-a", name).wait()
        compute.disks.begin_delete("azure-lab-a", f"{name}-etcd").wait()
    one.plan(restore=[file])
    assert "azure-lab-02: its host cannot be asked: it has no machine" in one.said
    assert one.apply().outcome == "succeeded", one.said
    assert one.apply(restore=[file]).outcome == "succeeded", one.said
    restored(one)
    azure_lives.append(("two machines are lost, and etcd is restored", "all four serve what the snapshot holds", ""))


def test_killed_anywhere_a_restore_goes_on_under_its_approval(lost: tuple[Life, str], azure_lives: list[Row]) -> None:
    one, file = lost
    positions = range(1, 40, 3)
    for position in positions:
        killed = one.apply(position, restore=[file])
        if killed.outcome == "succeeded":  # it had fewer events
            break
        assert killed.outcome == "interrupted", one.said
        resumed = one.resume(restore=[file])
        assert resumed.outcome in ("succeeded", "no change"), f"{position}: {one.said}"
        restored(one)
        for name in one.hosts():
            for old in data(one, name).glob("before-*"):
                shutil.rmtree(old)
        put(one, "kept", "as it became")
        put(one, "late", "written after the snapshot")
        lose(one)
    else:
        raise AssertionError("it has more events than there are positions")
    azure_lives.append(
        ("killed during a restore, run again", f"{position // 3} of {position // 3}: all serve again", "")
    )


def test_nothing_is_restored_over_a_cluster_that_runs(tmp_path: Path) -> None:
    with life(tmp_path, "127.0.92.") as one:
        assert one.apply().outcome == "succeeded", one.said
        file = snapshot(one)
        assert one.plan(restore=[file.name]).outcome == "no change"
        assert "etcd runs on all of its hosts; if it must be restored all the same, stop it there first" in one.said
        pid = one.hosts()["azure-lab-01"].etcd_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        one.plan(restore=[file.name])
        assert "etcd runs on 3 of 4 hosts, which is a quorum" in one.said
        assert not list(data(one, "azure-lab-02").glob("before-*"))
