"""Stopped on its way and run again: the fast part; every position is in tests/faults/hetzner."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from corelib.errors import ServiceFailed
from corelib.hetzner.berlin import told, utc
from corelib.hetzner.facts import Note, Standing
from corelib.hetzner.memory import Memory
from corelib.hetzner.plan import looks
from corelib.hetzner.position import attempt, position
from corelib.plan import Progress
from corelib.ssh import KeyPair, NoSsh
from tests.hetzner.rig import Rig

PINNED = Note(host_keys=("SHA256:r",))
BEGUN = Note(host_keys=("SHA256:r",), open=True, attempt=1, wanted="w")
ON_DISK = Note(host_keys=("SHA256:r",), open=True, attempt=1, wanted="w", host_key="k", host_key_fingerprint="SHA256:n")
RESCUE, RUNNING, GOOD, BAD = (Standing("rescue", script=one) for one in ("none", "running", "good", "bad"))


@pytest.mark.parametrize(
    ("note", "standing", "expected", "number"),
    [
        (Note(), Standing(), "arm", 1),
        (PINNED, Standing(), "arm", 1),
        (PINNED, RESCUE, "guard", 1),
        (BEGUN, RESCUE, "guard", 1),
        (BEGUN, RUNNING, "follow", 1),
        (BEGUN, GOOD, "follow", 1),
        (BEGUN, BAD, "guard", 2),
        (BEGUN, Standing(), "lost", 1),
        (Note(host_keys=("SHA256:r",), attempt=1, wanted="w"), RESCUE, "guard", 2),
        (Note(host_keys=("SHA256:r",), open=True, attempt=1, wanted="other"), RUNNING, "busy", 2),
        (Note(host_keys=("SHA256:r",), open=True, attempt=1, wanted="other"), GOOD, "guard", 2),
        (ON_DISK, GOOD, "reboot", 1),
        (ON_DISK, Standing("installed"), "arrive", 1),
        (ON_DISK, Standing(), "arrive", 1),
        (replace(BEGUN, failed="no partitions"), GOOD, "guard", 2),
        (replace(BEGUN, failed="no partitions"), Standing(), "arm", 2),
        (replace(ON_DISK, failed="another channel"), Standing("installed"), "arm", 2),
        (replace(ON_DISK, failed="another system answers"), Standing(), "arm", 2),
        (replace(ON_DISK, failed="another system answers"), GOOD, "guard", 2),
    ],
)
def test_what_follows_from_where_a_machine_is(note: Note, standing: Standing, expected: str, number: int) -> None:
    assert position(note, standing, "w") == expected
    assert attempt(note, standing, "w") == number


def test_a_run_that_stops_after_the_write_has_left_a_pin_and_is_gone_on_with(rig: Rig) -> None:
    """And what answers by then is no impostor, although the machine was installed before."""
    rig.entry = {"address": rig.standin.address, "ssh_port": 2222, "host_key_fingerprint": "SHA256:old", "disk": "x"}
    rig.inspect()
    approved = rig.step()
    assert approved.action == "replace"

    def stop(event: Progress) -> None:
        if event.target.endswith("/rebooting") and event.phase == "begin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.write(approved, watch=stop)
    assert (rig.entry["pending"], rig.entry["replaces"]) == (True, True)
    again = rig.step()
    assert (again.digest, looks(again)) == (approved.digest, False)
    assert "it is on the disk, and checked" in again.why
    writes = rig.phases("begin").count("installed")
    rig.write(again)
    assert rig.phases("begin").count("installed") == writes, "nothing was written a second time"
    assert "pending" not in rig.entry
    assert rig.plan(rig.entry).empty


def test_the_temporary_key_is_made_again_from_its_salt_and_the_operators_key() -> None:
    mine, other = KeyPair.new("a").private, KeyPair.new("b").private
    first = KeyPair.derived(mine, "00ff", "x")
    assert KeyPair.derived(mine, "00ff", "x").public == first.public
    assert len({first.md5, KeyPair.derived(mine, "00fe", "x").md5, KeyPair.derived(other, "00ff", "x").md5}) == 3


def test_what_is_remembered_holds_no_secret_and_outlives_the_run(rig: Rig) -> None:
    memory = rig.memory
    memory.salt()
    memory.keep(state="rescue pinned", host_keys=("SHA256:r",), before={"boot_time": "", "host_keys": []})
    assert rig.memory.note == memory.note
    text = memory._path.read_text()
    assert "PRIVATE" not in text
    assert rig.standin.operator not in text
    memory.end()
    assert rig.memory.note == Note(installs=1), "nothing of it is kept but that it was"


@pytest.mark.parametrize(
    ("berlin", "expected"),
    [
        ("2026-01-15 12:00:00", datetime(2026, 1, 15, 11, tzinfo=UTC)),
        ("2026-07-15 12:00:00", datetime(2026, 7, 15, 10, tzinfo=UTC)),
        ("2026-03-29 01:59:59", datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)),
        ("2026-03-29 03:00:00", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("2026-10-25 02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # comes twice: the first time
        ("2026-10-25 03:00:00", datetime(2026, 10, 25, 2, tzinfo=UTC)),
        ("soon", None),
    ],
)
def test_berlins_time_becomes_utc(berlin: str, expected: datetime | None) -> None:
    assert utc(berlin) == expected
    assert told(berlin).startswith(f"{expected:%Y-%m-%d %H:%M:%S} UTC" if expected else berlin)


def test_the_approval_of_a_look_ends_with_it(rig: Rig) -> None:
    """Were it kept, it would allow another reset when what a write has become is not known."""
    look = rig.step()
    rig.inspect(desired=look.desired)
    assert rig.memory.note.look == {}
    rig.memory.keep(look=look.desired)  # as if it had been cut off when the rescue system was there already

    def stop(event: Progress) -> None:
        if event.target.endswith("/installed") and event.phase == "begin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.write(rig.step(), watch=stop)
    assert rig.memory.note.look == {}


def test_only_a_finding_ends_an_attempt(rig: Rig) -> None:
    memory = rig.memory
    with pytest.raises(NoSsh), memory.judging("plan again"):
        raise NoSsh("checking", "the connection was lost")
    assert not memory.note.failed
    with pytest.raises(ServiceFailed, match=r"no ROOT\nWhat to do: it would not boot\. plan again"):
        with memory.judging("plan again"):
            raise ServiceFailed("checking", "no ROOT", "it would not boot")
    assert rig.memory.note.failed == "no ROOT"


def test_a_damaged_note_is_said(rig: Rig) -> None:
    memory = rig.memory
    memory.keep(state="x")
    memory._path.write_text("{")
    with pytest.raises(Exception, match="move the file away"):
        Memory(memory._path)
