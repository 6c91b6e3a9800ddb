"""Faults that only real tools show. In none is a byte written to another disk: `tried` holds each install to that."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from corelib.errors import Refused, ServiceFailed
from corelib.plan import Progress

from .contents import OTHER, TARGET, Templates
from .image import Mirror
from .rig import Rig

pytestmark = pytest.mark.faults


def at(stages: tuple[str, ...], act: Callable[[], object]) -> Callable[[Progress], None]:
    """A watch that does something, once, when the first of these stages begins."""
    acts = iter([act])

    def heard(event: Progress) -> None:
        if event.phase == "begin" and event.target.partition("/")[2] in stages:
            for one in acts:
                one()

    return heard


LOOK, WRITE = ("inventoried",), ("wiped", "installed")


def test_hetzner_hard_target_mounted(hard: Rig) -> None:
    part = f"{hard.machine.disks[0].loop}p1"
    mount = ("mount", "-o", "ro,noload", part, "/mnt")  # which itself writes nothing
    problem = hard.tried("a partition is mounted", at(LOOK, lambda: hard.command(*mount)))
    assert isinstance(problem, Refused)
    assert f"is in use: {part} at /mnt" in problem.found
    assert hard.target_as_it_was


def test_hetzner_hard_target_read_only(hard: Rig) -> None:
    target = hard.machine.disks[0]
    loop = target.loop
    target.detach()
    target.attach(loop, read_only=True)
    problem = hard.tried("the disk is read-only")
    assert isinstance(problem, Refused)
    assert "is read-only" in problem.found
    assert hard.target_as_it_was


def test_hetzner_hard_one_wwn_twice(hard: Rig) -> None:
    hard.machine.disks[1].wwn = TARGET
    problem = hard.tried("two disks have the WWN")
    assert isinstance(problem, Refused)
    assert "several disks have " in problem.found
    assert hard.target_as_it_was


def test_hetzner_hard_letters_swapped(hard: Rig) -> None:
    """Between plan and write: what was the target's device is another disk's now."""
    target, other, _ = hard.machine.disks
    places = target.loop, other.loop

    def swap() -> None:
        target.detach()
        other.detach()
        target.attach(places[1])
        other.attach(places[0])
        hard.command("udevadm", "settle")

    problem = hard.tried("letters swapped before a write", at(WRITE, swap))
    assert isinstance(problem, Refused)
    assert f"wwn-{TARGET} is {places[1]} now, and was {places[0]}" in problem.found
    assert hard.target_as_it_was
    assert other.wwn == OTHER


def test_hetzner_hard_busy_when_it_is_read_again(hard: Rig) -> None:
    """Mounted after the guard looked: all is written, and the kernel keeps the old partitions."""
    part = f"{hard.machine.disks[0].loop}p1"
    problem = hard.tried("mounted after the guard", at(WRITE, lambda: hard.command("mount", part, "/mnt")))
    assert isinstance(problem, ServiceFailed)
    assert re.search(r"error deleting partition|busy", problem.found)
    assert "not bootable" in problem.remedy
    assert not hard.target_as_it_was


class TestPartialWriting:
    """The script exits 1 after it has written: it takes the table away again, and the product says what that is."""

    @pytest.fixture(params=["wrong signature", "truncated"])
    def mirror(self, request: pytest.FixtureRequest, release: Mirror) -> Mirror:
        if request.param == "truncated":
            return release.changed(image=release.image[: len(release.image) * 2 // 3])
        return release.changed(image=release.image + b"\n")

    def test_hetzner_hard_exits_1(self, hard: Rig, request: pytest.FixtureRequest) -> None:
        name = request.node.callspec.params["mirror"]
        problem = hard.tried(f"image: {name}")
        assert isinstance(problem, ServiceFailed)
        assert "exit code 1" in problem.found
        assert "signature verification failed" in hard.log()
        assert "2 bytes were erased at offset 0x000001fe (PMBR)" in hard.log()
        assert "not bootable" in problem.remedy
        assert hard.machine.disks[0].table() == {}
        assert not hard.target_as_it_was


class TestNoMirror:
    """The script ends before it writes."""

    @pytest.fixture
    def mirror(self, release: Mirror) -> Mirror:
        return Mirror(release.key, release.version, {})

    def test_hetzner_hard_no_mirror(self, hard: Rig) -> None:
        problem = hard.tried("image: not there")
        assert isinstance(problem, ServiceFailed)
        assert "404: Not Found" in problem.found


def test_hetzner_hard_connection_cut(hard: Rig) -> None:
    """While dd writes, every process of an SSH session is killed: the install goes on, and its end is found."""
    mirror, machine = hard.machine.mirror, hard.machine
    mirror.hold.clear()

    def cut() -> None:
        assert mirror.begun.wait(30)
        assert machine.running is not None
        machine.running.hang_up()

    cutting = threading.Thread(target=cut)
    cutting.start()

    def go_on(event: Progress) -> None:
        if "the install goes on without it" in event.detail:
            mirror.hold.set()

    problem = hard.tried("SSH sessions killed during dd", go_on)
    cutting.join()
    assert problem is None
    assert any("the install goes on without it" in text for text in hard.said())
    assert [path for path in mirror.asked if path.endswith(".bz2")] == [
        f"/{mirror.version}/flatcar_production_image.bin.bz2"
    ]
    assert machine.disks[0].read("/var/lib/flatcar-install/user_data") == hard.user_data


def test_hetzner_hard_script_killed(hard: Rig) -> None:
    """Kill -9 of the script while it writes: its exit code is found in the file, and it is not started again."""
    mirror, machine = hard.machine.mirror, hard.machine
    mirror.hold.clear()

    def kill() -> None:
        assert mirror.begun.wait(30)
        assert machine.running is not None
        script = min(one for one in machine.running.processes() if _is_script(_command(one)))
        os.kill(script, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    problem = hard.tried("script killed during dd")
    mirror.hold.set()
    killing.join()
    assert isinstance(problem, ServiceFailed)
    assert "exit code 137" in problem.found
    assert len([path for path in mirror.asked if path.endswith(".bz2")]) == 1


def test_hetzner_hard_another_root(hard: Rig, templates: Templates) -> None:
    """Another disk has a ROOT: the script's `blkid -l` finds that one, whichever disk it is asked about."""
    other = hard.machine.disks[1]
    other.detach()
    other.file.write_bytes(templates.rival.read_bytes())
    other.attach()
    problem = hard.tried("another disk has a ROOT")
    assert isinstance(problem, Refused)
    assert f"{OTHER} ({other.loop}, 0.1 GB, {other.model} {other.serial}) has ROOT" in problem.found
    assert hard.target_as_it_was


def _is_script(command: list[str]) -> bool:
    return command[0] == "/bin/bash" and command[1].endswith("/flatcar-install")


def _command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
