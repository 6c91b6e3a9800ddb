"""What an operator reads of an install, made of its events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from corelib.fleet import Image
from corelib.hetzner import install
from corelib.hetzner.facts import Disk, Note, Observation, Server, Standing
from corelib.hetzner.job import Job
from corelib.hetzner.robot import Robot
from corelib.kernel.frontend import FrontEnd
from corelib.plan import Plan, Progress, Step
from corelib.project import Project
from corelib.runbook import installing
from corelib.runbook.install_hetzner import InstallHetzner
from tests.hetzner.rig import fleet
from tests.project import lay_out

LAB = fleet()
HOST = LAB.dedicated[0]
Event = tuple[str, str, str]
LOOKED: list[Event] = [("planned", "begin", ""), ("planned", "done", ""), ("tidied", "done", "our key is gone")]
WRITTEN: list[Event] = [
    ("guarded", "done", "only wwn-0x1 (/dev/sda) will be written"),
    ("wiped", "begin", ""),
    ("wiped", "done", ""),
    ("installed", "begin", ""),
]


def told(*events: Event, abandoned: bool = False) -> str:
    minutes = count()
    log = installing.Log(lambda _: None, lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(minutes)))
    for state, phase, detail in events:
        facts = {"log": "the last words"} if state == "installed" else {}
        log(Progress(f"{HOST.name}/{state}", phase, detail, facts))  # type: ignore[arg-type]
    return installing.report(HOST, LAB, log, abandoned=abandoned).text()


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (LOOKED, ["Wiped: nothing; no disk was written", "what was there before", "Next: nothing", "our key is gone"]),
        (
            [*WRITTEN[:2], ("wiped", "failed", "busy")],
            ["Wiped: wwn-0x1 (/dev/sda), and no other disk", "has lost its signatures", "wiped has failed: busy"],
        ),
        (
            [*WRITTEN, ("installed", "failed", "exit code 4: \nno more")],
            [
                "is overwritten, and not known to be bootable",
                "the last words",
                "installed has failed",
                "our temporary key may still",
            ],
        ),
        (
            [*WRITTEN, ("installed", "done", ""), ("verified on disk", "done", "ROOT"), ("up", "failed", "silence")],
            ["the new system, checked before the reboot: ROOT", "up has failed: silence", "another approval"],
        ),
        (
            [*WRITTEN, ("verified", "done", ""), ("tidied", "failed", "our key may still be there")],
            ["At Robot: our key may still be there", "it is a step of its plan; all before it went well"],
        ),
        (
            [*LOOKED[:2], ("tidied", "failed", "our key may still be there")],
            ["At Robot: our key may still be there", "it is done at the end of that run"],
        ),
        ([("tidied", "failed", "our key may still be there")], ["run again", "it is a step of its plan"]),
        ([("up", "begin", ""), ("up", "done", "")], ["Wiped: nothing", "which an earlier run has written"]),
    ],
)
def test_what_is_said_at_night(events: list[Event], says: list[str]) -> None:
    text = told(*events)
    assert [words for words in says if words not in text] == [], text
    assert f"wipefs --all /dev/disk/by-id/{HOST.disk}" in text


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (
            [*LOOKED[:2], ("rescue armed", "begin", ""), ("rescue armed", "done", ""), ("resetting", "begin", "")],
            ["Wiped: nothing", "the rescue system may be armed", "left to itself at: resetting"],
        ),
        (WRITTEN, ["the install script goes on there by itself", "key may still be there", "to itself at: installed"]),
        (
            [*WRITTEN, ("installed", "done", "")],
            ["is overwritten, and not known to be bootable", "left to itself at: nothing, between two states"],
        ),
    ],
)
def test_what_is_said_of_an_install_that_nobody_waits_for_any_more(events: list[Event], says: list[str]) -> None:
    text = told(*events, abandoned=True)
    assert [words for words in (*says, "run again with the same approval") if words not in text] == [], text


def test_a_machine_that_had_ended_before_is_told_as_ever() -> None:
    assert "Next: nothing: ded-lab-01 is up" in told(*LOOKED, abandoned=True)


def test_what_a_machine_has_left_that_never_came_back_is_told_whole() -> None:
    left = {"disks": "sda 8G", "boot_entries": "none to read", "journal": "one\nno carrier"}
    log = installing.Log(lambda _: None)
    log(Progress(f"{HOST.name}/up", "failed", "silence"))
    log(Progress(f"{HOST.name}/collected", "done", "it was read", left))
    text = installing.report(HOST, LAB, log).text()
    assert [one for one in (*left.values(), "the journal on its ROOT") if one not in text] == []


def test_a_timeline_has_the_times_of_the_wall_and_what_each_state_took() -> None:
    (line,) = [line for line in told(*LOOKED).splitlines() if "planned" in line]
    assert "00:01:00" in line
    assert "60.0 s" in line


def test_an_event_that_was_not_taken_is_not_told() -> None:
    def refuse(_: Progress) -> None:
        raise OSError("the journal is full")

    log = installing.Log(refuse)
    with pytest.raises(OSError, match="full"):
        log(Progress(f"{HOST.name}/wiped", "begin"))
    assert log.of(HOST.name) == []


def test_what_a_person_would_type_is_what_the_tool_does() -> None:
    assert LAB.hetzner is not None
    assert "-V 4757.1.0   # and -u, if" in installing.by_hand(HOST, LAB)
    mirror = LAB.hetzner.model_copy(update={"mirror": "https://mirror.example.org/flatcar"})
    text = installing.by_hand(HOST.model_copy(update={"firmware": "uefi"}), LAB.model_copy(update={"hetzner": mirror}))
    assert f"./flatcar-install -d /dev/disk/by-id/{HOST.disk} -c user_data -C beta -V 4757.1.0 -b" in text
    assert "-b https://mirror.example.org/flatcar -u\n" in text
    image = LAB.hetzner.model_copy(update={"image": Image(file="own/it.bin.bz2", sha256="cd" * 32)})
    text = installing.by_hand(HOST.model_copy(update={"firmware": "bios"}), LAB.model_copy(update={"hetzner": image}))
    assert f"scp -P {HOST.ssh_port} own/it.bin.bz2 root@{HOST.address}:image.bz2\n" in text
    assert "-c user_data -f image.bz2\n" in text
    assert "efibootmgr" not in text


def disks() -> tuple[Disk, Disk]:
    shared = {"size": 8 * 10**9, "writable": True, "removable": False}
    mine = Disk("/dev/sda", HOST.disk, "S1", "M", names=frozenset((HOST.disk,)), **shared)  # type: ignore[arg-type]
    other = Disk("/dev/sdb", "wwn-0x2", "S2", "M", holds=("ext4",), uses=("/dev/sdb at /mnt",), **shared)  # type: ignore[arg-type]
    return mine, replace(other, names=frozenset(("wwn-0x2",)))


def test_the_disks_and_what_becomes_of_them() -> None:
    view = installing.disks({HOST.name: Observation(None, standing=Standing("rescue", disks()))}, (HOST,))
    assert view is not None
    head, first, second = view.text().splitlines()[1:]
    assert "letter now" in head
    assert first.startswith("✘")
    assert first.endswith("WIPED")
    assert "ext4 in use: /dev/sdb at /mnt" in second
    assert second.endswith("stays as it is")
    assert installing.disks({}, (HOST,)) is None


def test_who_looks_without_a_run_sees_every_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest can be approved from there, so all that the form's page shows has to be there as well."""
    server = Server(HOST.server, HOST.name, str(HOST.address), "EX44", "FSN1", "ready", cancelled=False)
    seen = Observation(server, note=Note(salt="00", host_keys=("SHA256:r",)), standing=Standing("rescue", disks()))
    monkeypatch.setattr(InstallHetzner, "_look", lambda _: {HOST.name: seen})
    root = lay_out(tmp_path / "project", "127.0.2")
    found = InstallHetzner.look(root / "parameters" / "lab.yaml", {}, Project(root))
    text, data = found.view("parameters/lab.yaml").text(), found.data()
    assert "To approve exactly this" in text
    assert [line.split()[-1] for line in text.splitlines() if " ded-lab-01  wwn-" in line] == ["WIPED", "is"]
    assert [(one["names"], one["holds"], one["wiped"]) for one in data["disks"]] == [
        ([HOST.disk], [], True),
        (["wwn-0x2"], ["ext4"], False),
    ]


def test_however_many_machines_robot_lists_its_servers_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers that 200 times in an hour, and resets 50 times: the last of 120 machines waits for two hours."""
    root = lay_out(tmp_path / "project", "127.0.2")
    file = root / "parameters" / "lab.yaml"
    text, head = file.read_text(), "  dedicated:\n"
    more = "".join(
        f"    - {{name: ded-more-{n:03}, server: {1000 + n}, address: 127.0.2.{n + 20}, disk: wwn-0x{n:016x}}}\n"
        for n in range(119)
    )
    file.write_text(text.replace(head, head + more))
    asked: list[str] = []
    jobs: list[Job] = []
    monkeypatch.setattr(Robot, "servers", lambda _: asked.append("GET /server") or ())
    monkeypatch.setattr(InstallHetzner, "_robot", Robot("http://127.0.2.250", "user", "password"))
    monkeypatch.setattr(InstallHetzner, "_login_key", "the operator's")
    monkeypatch.setattr(install, "inspect", jobs.append)
    run = InstallHetzner(Project(root), FrontEnd("runbooks", file), recorded=False)
    run.take(file, {})
    looks = [Step(f"{one.name}/server/{one.server}/rescue", "change", "", "") for one in run.loaded.fleet.dedicated]
    run._carry_out(Plan("install-hetzner", "lab", {}, "", tuple(looks)), lambda _: None)  # type: ignore[arg-type]
    assert asked == ["GET /server"]
    assert len(jobs) == 120
    assert {job.robot._queue for job in jobs} == {6 * 3600.0}
    assert all(job.servers == () for job in jobs)
