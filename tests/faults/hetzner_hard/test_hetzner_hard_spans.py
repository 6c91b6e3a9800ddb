"""The target is a part of something that another disk is a part of, too: refused, whether or not the kernel uses it.

This is by the signatures on the disks: LVM's own tools, and the kernel's btrfs, are real. No md array and no device
mapper runs here, as a namespace has none of its own, and this level's kernels mostly have neither.
"""

from __future__ import annotations

import pytest

from corelib.errors import Refused

from . import contents, loops
from .loops import Disk
from .rig import Rig
from .test_hetzner_hard_faults import LOOK, at

pytestmark = pytest.mark.faults

SIZE = 16  # MiB


def places(hard: Rig) -> tuple[Disk, int, Disk, int]:
    """The target with the first byte of its third partition, another disk with that of its only one; both detached."""
    target, other, _ = hard.machine.disks
    for disk in (target, other):
        disk.detach()
    return target, target.table()[3][1], other, other.table()[1][1]


def refused(hard: Rig, name: str, what: str) -> None:
    """The disks are back, and the install is refused for that."""
    for disk in hard.machine.disks[:2]:
        disk.attach()
    problem = hard.tried(name)
    assert isinstance(problem, Refused)
    assert f"it is one of several disks of {what}" in problem.found
    assert hard.target_as_it_was


def test_hetzner_hard_volume_group_with_another_disk(hard: Rig) -> None:
    target, at_target, other, at_other = places(hard)
    contents.clear(target.file, at_target)
    contents.clear(other.file, at_other)
    contents.volume_group("shared", {target.file: (at_target, SIZE), other.file: (at_other, SIZE)})
    refused(hard, "in a volume group with another disk", "volume group shared")


def test_hetzner_hard_mirror_with_another_disk(hard: Rig) -> None:
    _, _, other, at_other = places(hard)
    contents.clear(other.file, at_other)
    contents.raid_member(other.file, at_other, 1)
    refused(hard, "in a mirror with another disk", "linux_raid_member ")


def test_hetzner_hard_btrfs_mounted_by_another_disk(hard: Rig) -> None:
    """The kernel uses both disks; lsblk shows the mount point at the first one only, which is the other."""
    if why := loops.missing({"mkfs.btrfs": "btrfs-progs"}):
        pytest.skip(why)
    target, at_target, other, at_other = places(hard)
    contents.btrfs("spread", {other.file: (at_other, 40), target.file: (at_target, SIZE)})
    for disk in (target, other):
        disk.attach()
    ours, theirs = f"{target.loop}p3", f"{other.loop}p1"
    mount = ("mount", "-t", "btrfs", "-o", f"ro,device={ours}", theirs, "/mnt")
    shown: list[str] = []

    def use() -> None:
        hard.command(*mount)
        shown.append(hard.command("lsblk", "-n", "-o", "MOUNTPOINTS", target.loop))

    problem = hard.tried("in a btrfs that another disk mounts", at(LOOK, use))
    assert shown == [""], "lsblk tells by itself: this test is about nothing"
    assert isinstance(problem, Refused)
    assert "it is one of several disks of btrfs " in problem.found
    assert hard.target_as_it_was
