"""Each guard made to fail, on what `lsblk` prints; the whole with a machine is in tests/faults/hetzner."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from corelib.errors import Refused, RunbookError
from corelib.hetzner import disks, guards
from corelib.hetzner.facts import Approved, Disk
from corelib.hetzner.target import entry, judge
from tests.hetzner.rig import fleet
from tests.hetzner.test_disks import OTHER, TARGET, WWN, device

PART = device("sda1", None, "part", fstype="ext4", label="data")
WHOLE = {**TARGET, "pttype": "gpt", "children": [PART]}


def read(*devices: dict[str, Any], groups: dict[str, str] | None = None) -> tuple[Disk, ...]:
    return disks.read(json.dumps({"blockdevices": devices}), groups)


def target(*devices: dict[str, Any], **more: Any) -> Disk:
    return disks.choose(read(*devices, **more), WWN, "ded")


def approved(disk: Disk, **changes: Any) -> Approved:
    return replace(Approved(WWN, disk.serial, disk.model, disk.size, disk.holds, 1), **changes)


GOOD = target(OTHER, WHOLE)


def test_all_guards_hold() -> None:
    assert guards.check(read(OTHER, WHOLE), approved(GOOD), "ded") == GOOD
    assert guards.blocks(GOOD) == ""
    assert guards.teardown(GOOD) == ()


def test_nothing_without_an_approved_plan() -> None:
    with pytest.raises(Refused, match="no plan that names it was approved"):
        guards.check(read(OTHER, WHOLE), None, "ded")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"serial": "S2"}, "its serial is 'S1', the plan says 'S2'"),
        ({"model": "WD"}, "its model is 'ST4000', the plan says 'WD'"),
        ({"size": 1}, "its size is 4000787030016, the plan says 1"),
        ({"holds": ()}, "it holds a partition table .*, and in the plan it held nothing"),
        ({"name": "wwn-0x5000c500a1b2c3d5"}, "no disk has it"),
    ],
)
def test_what_differs_from_the_plan(changes: dict[str, Any], found: str) -> None:
    with pytest.raises(Refused, match=found):
        guards.check(read(OTHER, WHOLE), approved(GOOD, **changes), "ded")


def test_what_it_holds_may_differ_where_this_write_was_begun_before() -> None:
    empty = read(OTHER, TARGET)
    with pytest.raises(Refused, match="it holds nothing"):
        guards.check(empty, approved(GOOD), "ded")
    assert guards.check(empty, approved(GOOD), "ded", begun=True).holds == ()


MD, LV = device("md0", None, "raid1"), device("vg-root", None, "lvm")
MEMBER = {"fstype": "linux_raid_member", "uuid": "6f2a"}


@pytest.mark.parametrize(
    ("devices", "groups", "found"),
    [
        ([{**TARGET, "ro": True}], {}, "it is read-only"),
        ([{**TARGET, "ro": "1"}], {}, "it is read-only"),  # util-linux before 2.33
        ([{**TARGET, "rm": True}], {}, "it is removable"),
        ([{**TARGET, "size": 7 * 10**9}], {}, "it has 7.0 GB, and 8 GB are needed"),
        ([{**TARGET, "mountpoints": ["/mnt"]}], {}, "it is in use: /dev/sda at /mnt"),
        ([{**TARGET, "children": [{**PART, "mountpoints": ["[SWAP]"]}]}], {}, r"/dev/sda1 at \[SWAP\]"),
        (
            [{**TARGET, "children": [{**PART, "children": [{**LV, "mountpoints": ["/srv"]}]}]}],
            {},
            "/dev/vg-root at /srv",
        ),
        ([{**TARGET, "children": [device("c", None, "crypt")]}], {}, r"it is in use: /dev/c \(crypt\)"),
        (
            [{**TARGET, "children": [MD]}, {**OTHER, "children": [MD]}],
            {},
            r"one of several disks of /dev/md0 \(raid1\)",
        ),
        # arrays and groups that are not assembled: only the signatures tell
        ([{**TARGET, **MEMBER}, {**OTHER, **MEMBER}], {}, "one of several disks of linux_raid_member 6f2a"),
        (
            [{**TARGET, "children": [{**PART, **MEMBER}]}, {**OTHER, "children": [{**PART, **MEMBER}]}],
            {},
            "one of several disks of linux_raid_member 6f2a",
        ),
        ([TARGET, OTHER], {"/dev/sda": "vg0", "/dev/sdb": "vg0"}, "one of several disks of volume group vg0"),
        ([{**TARGET, "fstype": "btrfs", "uuid": "b"}, {**OTHER, "fstype": "btrfs", "uuid": "b"}], {}, "of btrfs b"),
    ],
)
def test_what_forbids_a_disk(devices: list[dict[str, Any]], groups: dict[str, str], found: str) -> None:
    every = devices if len(devices) > 1 else [*devices, OTHER]
    disk = target(*every, groups=groups)
    with pytest.raises(Refused, match=found):
        guards.check(read(*every, groups=groups), approved(disk), "ded")
    assert guards.blocks(disk) != ""


def test_what_is_built_on_the_target_alone_is_taken_down_from_the_top() -> None:
    """And nothing that is built on another disk is named."""
    mine = {**TARGET, "children": [{**PART, **MEMBER, "children": [{**MD, "children": [LV]}]}]}
    others = {**OTHER, "children": [device("md1", None, "raid1"), device("vg1-data", None, "lvm")]}
    disk = target(mine, others, groups={"/dev/md0": "vg", "/dev/sdb": "vg1"})
    assert guards.blocks(disk) == ""
    assert guards.teardown(disk) == (
        ("lvchange", "--activate", "n", "--yes", "/dev/vg-root"),
        ("mdadm", "--stop", "/dev/md0"),
    )
    assert disk.holds == (
        "partition 1: linux_raid_member 'data', 4000.8 GB",
        "built on it: /dev/vg-root (lvm), /dev/md0 (raid1 of the volume group vg)",
    )


def test_a_volume_group_is_named_where_none_of_its_volumes_is_active() -> None:
    disk = target({**TARGET, "fstype": "LVM2_member", "uuid": "a"}, groups={"/dev/sda": "vg0"})
    assert disk.holds == ("the whole disk: LVM2_member of the volume group vg0, 4000.8 GB",)


def test_an_array_that_was_built_since_the_plan_is_not_taken_down() -> None:
    before, now = target({**TARGET, **MEMBER}), read({**TARGET, **MEMBER, "children": [MD]})
    with pytest.raises(Refused, match=r"it holds .*; built on it: /dev/md0 \(raid1\), and in the plan it held"):
        guards.check(now, approved(before), "ded")


def test_what_is_shared_is_never_taken_down() -> None:
    disk = target({**TARGET, "children": [MD]}, {**OTHER, "children": [MD]})
    with pytest.raises(Refused, match="one of several disks"):
        guards.teardown(disk)


@pytest.mark.parametrize("source", ["/dev/sda9", "/dev/nvme0n1p9", "/dev/md1", "/dev/mapper/vg-root"])
def test_a_root_on_a_disk_is_no_rescue_system(source: str) -> None:
    assert source in guards.root(f"proc /proc proc rw 0 0\nrootfs / rootfs rw 0 0\n{source} / ext4 rw 0 0\n")


@pytest.mark.parametrize("source", ["tmpfs", "overlay", "/dev/loop0", "10.0.0.1:/nfs"])
def test_a_root_in_memory_is_one(source: str) -> None:
    assert guards.root(f"/dev/sda1 /mnt ext4 rw 0 0\n{source} / x rw 0 0\n") == ""


@pytest.mark.parametrize(
    ("planned", "booted", "refuses"),
    [("uefi", "BIOS", True), ("uefi", "UEFI", False), ("bios", "UEFI", False), (None, "BIOS", False)],
)
def test_no_boot_entry_can_be_made_from_a_bios(planned: str | None, booted: str, refuses: bool) -> None:
    assert bool(guards.firmware(planned, booted)) == refuses


ENTRIES = """BootCurrent: 0003
BootOrder: 0001,0002,0000
Boot0000  Flatcar Container Linux off\tHD(1,GPT,aa11,0x1000,0x40000)/File(\\efi\\boot\\bootx64.efi)
Boot0001* Flatcar Container Linux stable\tHD(1,GPT,bb22,0x1000,0x40000)/File(\\efi\\boot\\bootx64.efi)
Boot0002* a name of its own\tHD(1,GPT,CC33,0x1000,0x40000)/File(\\efi\\boot\\bootx64.efi)"""


@pytest.mark.parametrize(
    ("identity", "found"), [("aa11", ""), ("cc33", "Boot0002*"), ("b", ""), ("", ""), ("dd44", "")]
)
def test_an_entry_counts_that_boots_this_very_partition(identity: str, found: str) -> None:
    assert entry(ENTRIES, identity)[:9] == found


@pytest.mark.parametrize(
    ("code", "log", "words"),
    [
        (75, "begun\nguard: another install holds wwn-0x1", "the install script was not begun: another install holds"),
        (75, "no space left", "the install script ended with exit code 75: no space left"),
        (4, "guard: of a node", "the install script ended with exit code 4"),
    ],
)
def test_our_own_guard_is_not_told_as_the_script(code: int, log: str, words: str) -> None:
    with pytest.raises(RunbookError, match=words):
        judge(fleet().dedicated[0], code, log)
