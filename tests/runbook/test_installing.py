"""What an operator reads of an install, made of its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from corelib.hetzner.facts import Disk, Observation, Standing
from corelib.plan import Progress
from corelib.runbook import installing
from tests.hetzner.rig import fleet

LAB = fleet()
HOST = LAB.dedicated[0]
Event = tuple[str, str, str]
LOOKED: list[Event] = [("planned", "begin", ""), ("planned", "done", ""), ("tidied", "done", "our key is gone")]
WRITTEN: list[Event] = [
    ("guarded", "done", "only wwn-0x1 (/dev/sda) will be written"),
    ("wiped", "begin", ""),
    ("installed", "begin", ""),
]


def told(*events: Event) -> str:
    minutes = count()
    log = installing.Log(lambda _: None, lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=next(minutes)))
    for state, phase, detail in events:
        facts = {"log": "the last words"} if state == "installed" else {}
        log(Progress(f"{HOST.name}/{state}", phase, detail, facts))  # type: ignore[arg-type]
    return installing.report(HOST, LAB.release, log).text()


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
                "our key may still",
            ],
        ),
        (
            [*WRITTEN, ("installed", "done", ""), ("verified on disk", "done", "ROOT"), ("up", "failed", "silence")],
            ["the new system, checked before the reboot: ROOT", "up has failed: silence", "another approval"],
        ),
        ([("up", "begin", ""), ("up", "done", "")], ["Wiped: nothing", "which an earlier run has written"]),
    ],
)
def test_what_is_said_at_night(events: list[Event], says: list[str]) -> None:
    text = told(*events)
    assert [words for words in says if words not in text] == [], text
    assert f"wipefs --all /dev/disk/by-id/{HOST.disk}" in text


def test_what_a_machine_has_left_that_never_came_back_is_told_whole() -> None:
    left = {"disks": "sda 8G", "boot_entries": "none to read", "journal": "one\nno carrier"}
    log = installing.Log(lambda _: None)
    log(Progress(f"{HOST.name}/up", "failed", "silence"))
    log(Progress(f"{HOST.name}/collected", "done", "it was read", left))
    text = installing.report(HOST, LAB.release, log).text()
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


def test_the_disks_and_what_becomes_of_them() -> None:
    shared = {"size": 8 * 10**9, "writable": True, "removable": False}
    mine = Disk("/dev/sda", HOST.disk, "S1", "M", names=frozenset((HOST.disk,)), **shared)  # type: ignore[arg-type]
    other = Disk("/dev/sdb", "wwn-0x2", "S2", "M", holds=("ext4",), uses=("/dev/sdb at /mnt",), **shared)  # type: ignore[arg-type]
    view = installing.disks({HOST.name: Observation(None, standing=Standing("rescue", (mine, other)))}, (HOST,))
    assert view is not None
    first, second = view.text().splitlines()[2:]
    assert first.startswith("✘")
    assert first.endswith("WIPED")
    assert "ext4 in use: /dev/sdb at /mnt" in second
    assert second.endswith("stays as it is")
    assert installing.disks({}, (HOST,)) is None
