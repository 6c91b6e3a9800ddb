"""Lists, data and disks: what a cluster that serves may hide."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corelib.etcd.canary import base64_of
from corelib.member import Member
from tests.etcd import here
from tests.etcd.clusters import Running
from tests.etcd.relayed import Relayed
from tests.faults.tables import EtcdTable

from .conftest import Small, lead

pytestmark = pytest.mark.faults

ALL = "4 voters, quorum 3: one more loss tolerated"
LEFT = "3 of 4: no further loss tolerated"
MIB = 1 << 20


def test_etcd_loopback_advertised(fast: Running, etcd_matrix: EtcdTable) -> None:
    member = fast.followers()[0]
    fast.kill(member)
    fast.start(member, advertise_client_urls="http://127.0.0.1:2379")
    fast.until(lambda: _listed(fast, member)["clientURLs"] == ["http://127.0.0.1:2379"], "the list has it")
    starts = f"{member.name} advertises http://127.0.0.1:2379 to clients instead of {member.client_url}, a loopback"
    says = [f"correct ETCD_ADVERTISE_CLIENT_URLS on {member.name}", "do not wipe its data"]
    etcd_matrix.fault("loopback advertised", fast, starts, says=says, margin=ALL)


@pytest.mark.parametrize(("kind", "margin"), [("voter", "4 of 5: one more loss tolerated"), ("learner", ALL)])
def test_etcd_member_added_and_not_started(kind: str, margin: str, fast: Running, etcd_matrix: EtcdTable) -> None:
    url = "http://127.0.35.9:2380"
    added = fast.call("/v3/cluster/member/add", {"peerURLs": [url], "isLearner": kind == "learner"})
    number = int(added["member"]["ID"])
    try:
        starts = f"an unplanned {kind} that was added and not started is in the member list: {number:x} at {url}"
        says = [f"unless someone is just adding it: etcdctl member remove {number:x}; start nothing in its place"]
        etcd_matrix.fault(f"{kind} added, not started", fast, starts, says=says, margin=margin)
    finally:
        fast.call("/v3/cluster/member/remove", {"ID": str(number)})


def test_etcd_learner(fast: Running, etcd_matrix: EtcdTable) -> None:
    """A member that was removed and came back as a learner, and that nobody has promoted."""
    first = fast.members[0]
    member = next(one for one in fast.followers() if one != first)  # a leader's end would swallow what is asked next
    fast.kill(member)
    fast.call("/v3/cluster/member/remove", {"ID": _listed(fast, member)["ID"]}, first)
    shutil.rmtree(fast.data(member))
    added = fast.call("/v3/cluster/member/add", {"peerURLs": [member.peer_url], "isLearner": True}, first)["member"]
    fast.start(member, initial_cluster_state="existing")
    fast.answers(member)
    fast.until(lambda: bool(_listed(fast, member).get("clientURLs")), "the learner has published its address")
    number = f"{int(added['ID']):x}"
    starts = f"{member.name} is a learner and does not vote"
    says = [f"once it has caught up: etcdctl member promote {number}"]
    etcd_matrix.fault("learner", fast, starts, says=says, margin="3 voters, quorum 2: one more loss tolerated")
    fast.odd.discard(member.name)  # it need not start again: from now on it is a member like the others
    fast.call("/v3/cluster/member/promote", {"ID": added["ID"]}, first)


def test_etcd_nospace(fast: Running, etcd_matrix: EtcdTable) -> None:
    member = fast.followers()[0]
    fast.kill(member)
    fast.start(member, quota_backend_bytes=str(8 * MIB))
    fast.answers(member)
    try:
        for n in range(12):
            with contextlib.suppress(OSError):  # refused, once the alarm is raised
                fast.put(f"fill{n}", "x" * MIB)
        fast.until(lambda: _alarms(fast) == [("NOSPACE", fast.identity_of(member))], "the alarm is raised")
        says = ["compact and defragment, one member at a time", "compare the database's size with its quota"]
        starts = f"{member.name} has raised the alarm NOSPACE"
        etcd_matrix.fault("NOSPACE", fast, starts, says=says, margin=ALL)
    finally:
        _disarm(fast, "NOSPACE")


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """There is no space left on it."""
    filler = disk / "filler"
    try:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(b"x" * MIB):
                pass
        yield
    finally:
        filler.unlink()


def test_etcd_full_disk_idle(small: Small, etcd_matrix: EtcdTable) -> None:
    """Every port is well, and so is the canary: only what the host's own `df` says shows it."""
    member = small.beset
    leave_room(small, member)
    with filled(small.disk):
        green = small.verify()
        assert green.healthy, f"without a word of its host it is green: {green.sentence}; {small.ends(member)}"
        small.on = {member.name: here.on_host(small.data(member))}
        starts = f"{member.name} has 0 MB of 210 MB free on the disk of its data: etcd ends when it is full; {ALL}; "
        says = [f"find what fills it (sudo du -xh {small.data(member)})", "delete nothing there"]
        verdict = etcd_matrix.fault("disk full, idle", small, starts, says=says, margin=ALL)
        assert [(row.member, row.check) for row in verdict.rows if row.state != "passed"] == [(member.name, "space")]
        assert small.processes[member.name].poll() is None, "it has room for that little, and runs on"


def leave_room(cluster: Running, member: Member) -> None:
    """Some of a member's database is free again, and on its disk already, as after every compaction.

    What is free is counted when a commit ends, and of a compaction only by the one after it: so one follows.
    """
    for n in range(8):
        cluster.put("room", f"{n}" * MIB)
    revision = cluster.call("/v3/kv/range", {"key": base64_of("room")})["header"]["revision"]
    cluster.call("/v3/kv/compaction", {"revision": revision, "physical": True}, member)

    def left() -> bool:
        cluster.put("room", "")
        status = cluster.call("/v3/maintenance/status", {}, member)
        return int(status["dbSize"]) - int(status["dbSizeInUse"]) > MIB

    cluster.until(left, f"{member.name} has compacted", 10)


def test_etcd_full_disk_while_writing(small: Small, etcd_matrix: EtcdTable) -> None:
    member = small.beset
    with filled(small.disk):
        process = small.processes[member.name]
        for n in range(64):
            with contextlib.suppress(OSError):  # what is under way when it ends may be lost with it
                small.put(f"full{n}", "x" * MIB)
            if process.poll() is not None:
                break
        assert "no space left on device" in small.ends(member)
        starts = f"{member.name} refuses connections on {member.address}:2379 (etcd is not running)"
        says = [f"read etcd's journal on {member.name}", "do not wipe its data"]
        etcd_matrix.fault("disk full, writing", small, starts, says=says, margin=LEFT)


def test_etcd_data_beside_their_disk(small: Small, etcd_matrix: EtcdTable) -> None:
    """The disk of one was never mounted, and etcd has begun in the place where it belongs."""
    right = small.beset
    wrong = next(member for member in small.members if member != right)
    place = small.data(wrong)
    small.on = {right.name: here.on_host(small.disk, data_disk=True), wrong.name: here.on_host(place, data_disk=True)}
    source, target, kind = mounted(place)
    starts = (
        f"{wrong.name} keeps its data on {source}, mounted at {target} ({kind}), not on its data disk: they go when "
    )
    says = [f"systemctl status {place}", "keep a copy of its data, mount the disk, start etcd; one member at a time"]
    verdict = etcd_matrix.fault("data beside their disk", small, starts, says=says, margin=ALL)
    found = {row.member: (row.state, row.found) for row in verdict.rows if row.check == "data disk"}
    assert found[right.name] == ("passed", f"on tmpfs, mounted at {small.disk} (tmpfs)")
    subprocess.run(["mount", "--bind", str(place), str(place)], check=True)  # as a disk with the same on it
    try:
        again = {row.member: row.state for row in small.verify().rows if row.check == "data disk"}
        assert again == {right.name: "passed", wrong.name: "passed"}
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mounted(place: Path) -> tuple[str, str, str]:
    """Device, place and kind of what is mounted there, as the kernel tells it."""
    mounts = [line.split()[:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    source, target, kind = max((one for one in mounts if place.is_relative_to(one[1])), key=lambda one: len(one[1]))
    return source, target, kind


RIGHT, WRONG = b"a value that one can find", b"a value that one can fund"


@contextlib.contextmanager
def flipped(cluster: Running, member: Member) -> Iterator[None]:
    """One byte of a value in this member's database is another one; it runs again, with that."""
    file = cluster.data(member) / "member" / "snap" / "db"
    for word in (RIGHT, b"what comes after a whole commit of the one before"):
        cluster.put(f"witness{len(word)}", word.decode())
        cluster.until(lambda word=word: word in file.read_bytes(), "the value is on the disk")  # type: ignore[misc]
    cluster.kill(member)
    _change(file, RIGHT, WRONG)
    cluster.start(member)
    try:
        cluster.until(lambda: _reads(cluster) == len(cluster.members), "all serve again")
        assert WRONG in file.read_bytes(), "it has not written the value again"
        yield
    finally:
        cluster.kill(member)
        _change(file, WRONG, RIGHT)


def test_etcd_flipped_byte(fast: Running, etcd_matrix: EtcdTable) -> None:
    member = fast.followers()[0]
    with flipped(fast, member):
        starts = f"the data of {member.name} differ (hash "
        says = ["from the majority's", "keep a snapshot of every member first", "it serves wrong data until then"]
        etcd_matrix.fault("one byte flipped in a db", fast, starts, says=says, margin=ALL)


def test_etcd_corrupt_alarm(fast: Running, etcd_matrix: EtcdTable) -> None:
    """The leader compares hashes itself, and raises the alarm: from then on nobody reads or writes."""
    member, other = fast.followers()[:2]
    with flipped(fast, member):
        fast.kill(other)
        fast.start(other, experimental_corrupt_check_time="1s")
        fast.until(lambda: _reads(fast) == len(fast.members), "all serve again")
        lead(fast, other)
        fast.until(
            lambda: [kind for kind, _ in _alarms(fast)] == ["CORRUPT"], "the leader sees it and raises the alarm"
        )
        try:
            (_, number) = _alarms(fast)[0]  # some versions name nobody: then the hashes do
            nameless = (
                f"the cluster has raised the alarm CORRUPT that names no member (the data of {member.name} differ)"
            )
            starts = f"{member.name} has raised the alarm CORRUPT" if number else nameless
            says = ["compare HashKV, remove and re-add the member whose data differ", "do not disarm it before"]
            etcd_matrix.fault("CORRUPT alarm", fast, starts, says=says)
        finally:
            _disarm(fast, "CORRUPT")


@pytest.mark.parametrize("role", ["follower", "leader"])
def test_etcd_slow_disk(role: str, relayed: Relayed, etcd_matrix: EtcdTable) -> None:
    """Each fdatasync of one member takes 700 ms longer."""
    if shutil.which("strace") is None:
        pytest.skip("a slow disk needs strace")
    member = relayed.followers()[0]
    slowly = ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=fdatasync"]
    relayed.kill(member)
    relayed.start(member, before=[*slowly, "-e", "inject=fdatasync:delay_exit=700000"])
    relayed.until(lambda: _reads(relayed) == len(relayed.members), "all serve again", 60)
    if role == "leader":
        lead(relayed, member)
    says = ["ms for a write of etcd's log", "find what else uses that disk", "do not restart the others meanwhile"]
    verdict = etcd_matrix.fault(f"fsync of the {role} +700 ms", relayed, f"the disk of {member.name} needs ", says=says)
    assert (verdict.margin, verdict.leader == member.name) == (ALL, role == "leader")


def test_etcd_auth_without_credentials(fast: Running, etcd_matrix: EtcdTable) -> None:
    root = {"name": "root", "password": "a word for a test"}
    fast.call("/v3/auth/user/add", root)
    fast.call("/v3/auth/role/add", {"name": "root"})
    fast.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
    fast.call("/v3/auth/enable", {})
    try:
        verdict = etcd_matrix.fault(
            "auth on, no credentials", fast, "not proven healthy: ", says=["asks for credentials"]
        )
        assert verdict.kind == "unproven"
    finally:
        token = fast.call("/v3/auth/authenticate", root)["token"]
        fast.call("/v3/auth/disable", {}, token=token)
        fast.call("/v3/auth/user/delete", {"name": "root"})
        fast.call("/v3/auth/role/delete", {"role": "root"})


def _listed(cluster: Running, member: Member) -> dict[str, Any]:
    entries = cluster.call("/v3/cluster/member/list", {})["members"]
    found: dict[str, Any] = next(e for e in entries if member.peer_url in e["peerURLs"])
    return found


def _alarms(cluster: Running) -> list[tuple[str, int]]:
    found = cluster.call("/v3/maintenance/alarm", {"action": "GET"}).get("alarms", [])
    return [(alarm["alarm"], int(alarm.get("memberID", 0))) for alarm in found]


def _disarm(cluster: Running, kind: str) -> None:
    for found, number in _alarms(cluster):
        if found == kind:
            alarm = {"action": "DEACTIVATE", "memberID": str(number), "alarm": kind}
            cluster.call("/v3/maintenance/alarm", alarm)


def _reads(cluster: Running) -> int:
    samples = cluster.look(patience_s=1.0, canary=False).members
    return sum(sample.linearizable.value is not None for sample in samples)


def _change(file: Path, old: bytes, new: bytes) -> None:
    """Every copy of it that the file has, pages that are free included."""
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
