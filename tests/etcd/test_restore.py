"""Restoring etcd from a snapshot: what is left to do wherever it stands, what forbids it, and how a snapshot opens."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.azure.executor import Telling
from corelib.errors import BadInput, Refused
from corelib.etcd import snapshot
from corelib.etcd.intended import Intended, OnHost
from corelib.etcd.restore import Kept, Restore, Stand, by_hand
from corelib.etcd.restoring import Restoring, look
from corelib.member import Member
from corelib.plan import Plan, approve, permit
from corelib.ssh import Done, KeyPair

FOUR = tuple(Member(f"azure-prd-0{n}", IPv4Address(f"10.1.0.{n}")) for n in range(1, 5))
NAMES = [one.name for one in FOUR]
KEPT = Kept("20261129T041500Z-all.db.age", "2026-11-29 04:15:00 UTC", 20480, "ab" * 32, "2 h 13 min")
ON = OnHost("etcd-member.service", "/var/lib/etcd", data_disk=True)
IMAGE = "quay.io/coreos/etcd:v3.5.16"
RUNS = Stand("", "active", names=frozenset({"member"}), inside=frozenset({"snap", "wal"}), free=10**10, image=IMAGE)
DEAD = replace(RUNS, unit="failed")
EMPTY = replace(DEAD, names=frozenset(), inside=frozenset())
LOST = dict(zip(NAMES, (DEAD, EMPTY, RUNS, RUNS), strict=True))


def restore(stands: dict[str, Stand] = LOST, intended: Intended | None = None, on: OnHost = ON) -> Restore:
    return Restore("prd", intended or Intended(FOUR, FOUR, "etcd-cluster"), KEPT, stands, dict.fromkeys(NAMES, on))


def plan(of: Restore) -> Plan:
    return Plan("deploy-azure", "prd", {"subscription": "s"}, "c1", of.steps())


OTHER = replace(KEPT, name="another", sha256="cd" * 32)


def done(stand: Stand, kind: str, kept: Kept = KEPT) -> Stand:
    """A host once a step of it is done."""
    if kind == "aside":
        names = stand.names - {"member", *kept.strange(stand.names)} | {kept.aside}
        return replace(stand, unit="inactive", masked=True, names=names, inside=frozenset())
    if kind == "restore":
        return replace(stand, names=stand.names | {"member"}, inside=frozenset({"snap", "wal", kept.mark}))
    if kind == "start":
        return replace(stand, unit="active", masked=False)
    names = frozenset("before-20261129T0415" if name == kept.aside else name for name in stand.names)
    return replace(stand, names=names, inside=stand.inside - {kept.mark})


def test_all_are_stopped_before_one_is_restored_and_all_restored_before_one_starts() -> None:
    steps = {step.target: step for step in restore().steps()}
    assert [step.desired["kind"] for step in steps.values()] == [
        *["aside"] * 4,
        *["restore"] * 4,
        *["start"] * 4,
        "whole",
    ]
    for name in NAMES:
        assert set(steps[f"etcd/restore/{name}"].after) == {f"etcd/aside/{one}" for one in NAMES}
        assert set(steps[f"etcd/start/{name}"].after) == {f"etcd/restore/{one}" for one in NAMES}
    assert plan(restore()).consents == ("restore prd from 20261129T041500Z-all.db.age",)
    desired = steps["etcd/restore/azure-prd-02"].desired
    assert desired["initial_cluster"].startswith("azure-prd-01=http://10.1.0.1:2380,azure-prd-02=")
    assert desired["token"] == "etcd-cluster"


def test_what_is_lost_is_said_and_where_there_may_be_another_way() -> None:
    another, lost = restore().warnings
    assert "2026-11-29 04:15:00 UTC, 2 h 13 min ago: what was written to etcd since then is lost" in lost
    assert another.startswith("azure-prd-01: there are data of etcd, which does not run.")
    assert len(restore(dict.fromkeys(NAMES, EMPTY)).warnings) == 1
    (first, _, _) = restore({**LOST, "azure-prd-03": replace(RUNS, unit="activating")}).warnings
    assert first.startswith("azure-prd-03: etcd waits for the others there. If the network between them can be mended")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"azure-prd-02": Stand(problem="refused")}, "its host cannot be asked: refused"),
        ({"azure-prd-02": replace(EMPTY, image="")}, "names no image of etcd"),
        ({"azure-prd-02": replace(EMPTY, free=10**8)}, "has 100 MB free, and 268 MB are needed"),
        ({"azure-prd-01": RUNS}, "etcd runs on 3 of 4 hosts, which is a quorum"),
    ],
)
def test_what_forbids_it(changes: dict[str, Stand], why: str) -> None:
    steps = restore({**LOST, **changes}).steps()
    assert {step.action for step in steps} == {"blocked"}
    assert any(why in step.why for step in steps), steps


def test_all_members_have_to_be_founders() -> None:
    five = Member("azure-prd-05", IPv4Address("10.1.0.5"))
    (step,) = restore(intended=Intended(FOUR, (*FOUR[1:], five), "etcd-cluster")).steps()
    assert step.action == "blocked"
    assert "etcd.bootstrap: {azure-prd-01: 10.1.0.1, azure-prd-02: 10.1.0.2" in step.why


def test_etcd_2_is_restored_by_hand() -> None:
    steps = restore(on=OnHost("etcd2.service", "/var/lib/etcd2")).steps()
    assert all("by hand" in step.why for step in steps)


def test_where_all_run_there_is_nothing_to_restore() -> None:
    assert plan(restore(dict.fromkeys(NAMES, RUNS))).empty


@given(st.data())
def test_whenever_it_stops_it_goes_on_under_its_approval(data: st.DataObject) -> None:
    """Cut off at any moment, hosts booted again meanwhile: who is masked stays down, who is not starts what it has."""
    stands = dict(LOST)
    approval = approve(plan(restore(stands)), datetime.now(UTC), "me")
    consent = plan(restore(stands)).consents
    has = dict.fromkeys(NAMES, "before")  # whose data each host has
    for last in (False,) * 6 + (True,):
        found = plan(restore(stands))
        permit(found, approval, datetime.now(UTC), consent)
        pending = list(found.pending)
        for step in pending if last else pending[: data.draw(st.integers(0, len(pending)))]:
            kind, name = step.desired["kind"], step.desired["name"]
            if kind == "restore":
                assert all(one.is_aside(KEPT) or one.is_restored(KEPT) for one in stands.values())
            has[name] = {"aside": "nothing", "restore": "restored"}.get(kind, has.get(name, ""))
            if kind in ("start", "whole"):
                assert {has[one] for one in NAMES} == {"restored"}, "none starts before all have the snapshot's data"
            whole = NAMES if last else NAMES[: data.draw(st.integers(0, 4))]
            for one in whole if kind == "whole" else [name]:
                stands[one] = done(stands[one], kind)
        for name in data.draw(st.sets(st.sampled_from(NAMES))) if not last else ():
            if not stands[name].masked and has[name] == "restored":
                stands[name] = replace(stands[name], unit="active")
    assert {has[name] for name in NAMES} == {"restored"}
    assert plan(restore(stands)).empty
    with pytest.raises(Refused):  # etcd was only stopped since: what was written meanwhile is not thrown away by habit
        permit(plan(restore({n: replace(s, unit="failed") for n, s in stands.items()})), approval, datetime.now(UTC))


def test_data_that_have_been_used_since_are_restored_like_the_others() -> None:
    """The marks were never taken away; three of four have lost their data since, and the fourth has newer ones."""
    used = replace(RUNS, inside=frozenset({"snap", "wal", KEPT.mark}), names=frozenset({"member", KEPT.aside}))
    lost = {**dict.fromkeys(NAMES[:3], replace(EMPTY, names=frozenset({KEPT.aside}))), NAMES[3]: used}
    steps = restore(lost).steps()
    assert [step.desired["kind"] for step in steps[:8]] == [*["aside"] * 4, *["restore"] * 4]
    (tidied,) = restore({**dict.fromkeys(NAMES, RUNS), NAMES[3]: used}).steps()
    assert tidied.desired["kind"] == "whole", "where all run, nothing is left but to take the marks away"


def test_an_empty_cluster_that_somebody_starts_in_between_is_not_called_well() -> None:
    names = frozenset({"member", KEPT.aside})
    by_hand_ = dict.fromkeys(NAMES, replace(RUNS, names=names))
    (step,) = restore(by_hand_).steps()
    assert (step.action, "etcd runs on 4 of 4 hosts" in step.why) == ("blocked", True)
    of_another = dict.fromkeys(NAMES, replace(RUNS, names=frozenset({"member", OTHER.aside})))
    (step,) = restore(of_another).steps()
    assert step.action == "blocked"


def test_one_that_was_not_finished_gives_way_to_another_snapshot() -> None:
    half = {name: done(one, "aside", OTHER) for name, one in LOST.items()}
    half["azure-prd-01"] = done(half["azure-prd-01"], "restore", OTHER)
    steps = restore(half).steps()
    assert [step.desired["kind"] for step in steps[:8]] == [*["aside"] * 4, *["restore"] * 4]
    assert KEPT.strange(half["azure-prd-01"].names) == (OTHER.aside,)
    assert KEPT.strange({KEPT.aside, "member", "before-20261129T041500.000001Z"}) == ()


class Host:
    """Says what systemd shows of the unit, and what is in its files."""

    def __init__(self, shown: str, **files: str) -> None:
        self._shown, self._files = shown, files

    def run(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> Done:
        words = [word for word in command if word not in ("sudo", "-n")]
        said = {
            "systemctl": f"ActiveState=failed\nMainPID=0\nLoadState=loaded\n{self._shown}",
            "ls": "member\n",
            "df": "size avail\n10 5\n",
            "pgrep": "",
            "cat": self._files.get(words[-1].rpartition("/")[2], ""),
        }
        return Done(1 if words[0] == "pgrep" else 0, said[words[0]], "")

    def read(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> str:
        return self.run(*command, stdin=stdin, timeout=timeout).out.strip()

    def feed(self, *_: object, **__: object) -> str:
        raise AssertionError("nothing is brought to it")


@pytest.mark.parametrize(
    ("shown", "file", "image"),
    [
        (
            'Environment=ETCD_IMAGE_URL=quay.io/coreos/etcd "ETCD_IMAGE_TAG=v3.5.16" A=b',
            "",
            "quay.io/coreos/etcd:v3.5.16",
        ),
        ("Environment=ETCD_IMAGE_URL=q/etcd ETCD_IMAGE_TAG=v3.5.16", "ETCD_IMAGE_TAG=v3.5.17\n", "q/etcd:v3.5.17"),
        ("Environment=ETCD_IMAGE_URL=q/etcd ETCD_IMAGE_TAG=v3.5.16", "ETCD_IMAGE='mine:1'\n", "mine:1"),
        ("Environment=ETCD_NAME=x", "", ""),
    ],
)
def test_the_image_is_the_one_that_the_unit_would_run(shown: str, file: str, image: str) -> None:
    files = "EnvironmentFiles=/etc/a.env (ignore_errors=no)\n"
    found = look(Host(f"{shown}\n{files if file else ''}", **{"a.env": file}), ON._replace(data_disk=False))
    assert (found.problem, found.image) == ("", image)


def test_nothing_is_stopped_where_a_quorum_runs_again_since_the_plan() -> None:
    asked: list[tuple[str, ...]] = []

    class Active(Host):
        def run(self, *command: str, stdin: bytes = b"", timeout: float = 30.0) -> Done:
            asked.append(command)
            done = super().run(*command, stdin=stdin, timeout=timeout)
            return replace(done, out=done.out.replace("ActiveState=failed", "ActiveState=active"))

    on = dict.fromkeys(NAMES, ON._replace(data_disk=False))
    shells = {name: Active("") if name != "azure-prd-01" else Host("") for name in NAMES}
    restoring = Restoring(shells, on, KEPT, lambda _: None, lambda: "")
    step = restore().steps()[0]
    with pytest.raises(Refused, match="which is a quorum"):
        restoring.act(step, Telling(step.target, lambda _: None))
    assert {command[0] if command[0] != "sudo" else command[2] for command in asked} == {
        "systemctl",
        "ls",
        "df",
        "pgrep",
    }
    assert all("show" in command for command in asked if "systemctl" in command)


def test_what_a_person_would_type() -> None:
    said = {step.target: [" ".join(words) for words in by_hand(step)] for step in restore().steps()}
    assert said["etcd/aside/azure-prd-01"][1] == "sudo systemctl stop etcd-member.service"
    assert "--entrypoint=/usr/local/bin/etcdutl quay.io/coreos/etcd:v3.5.16 snapshot restore" in said[
        "etcd/restore/azure-prd-01"
    ][1]  # fmt: skip
    older = restore({name: replace(one, image="quay.io/coreos/etcd:v3.4.34") for name, one in LOST.items()})
    words = [" ".join(words) for step in older.steps() for words in by_hand(step)]
    assert any("/bin/etcdctl quay.io/coreos/etcd:v3.4.34" in one for one in words)


KEY = KeyPair.new("operator")
DATA = b"\0" * 16 + (0xED0CDAED).to_bytes(4, "little") + b"\0" * 2028


def kept(folder: Path, content: bytes, to: str = KEY.public) -> Path:
    file = folder / "20261129T041500Z-all.db.age"
    file.write_bytes(pyrage.encrypt(content, [pyrage.ssh.Recipient.from_str(to)]))
    return file


def test_a_snapshot_opens_with_the_key_of_one_that_it_was_encrypted_to(tmp_path: Path) -> None:
    file, out = kept(tmp_path, DATA), io.BytesIO()
    snapshot.opened(file, KEY.private, out)
    assert out.getvalue() == DATA
    found = snapshot.look(file, KEY.private)
    assert found.size == 2048


@pytest.mark.parametrize(
    ("content", "to", "found"),
    [
        (DATA, KeyPair.new("somebody else").public, "no snapshot that this key opens"),
        (DATA[:-1], KEY.public, "no data of etcd"),
        (b"x" * 2048, KEY.public, "no data of etcd"),
        (b"", KEY.public, "no data of etcd"),
    ],
)
def test_what_is_no_snapshot_is_said(content: bytes, to: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=found):
        snapshot.look(kept(tmp_path, content, to), KEY.private)


def test_a_file_that_was_cut_off_is_no_snapshot(tmp_path: Path) -> None:
    file = kept(tmp_path, DATA * 100)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(BadInput, match="it is damaged or cut off"):
        snapshot.look(file, KEY.private)
