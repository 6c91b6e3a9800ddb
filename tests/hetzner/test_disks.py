"""Which disk may be wiped, decided on what `lsblk` prints on real machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from corelib.errors import Refused, ServiceFailed
from corelib.hetzner import disks

WWN = "wwn-0x5000c500a1b2c3d4"


def device(name: str, wwn: str | None, kind: str = "disk", **more: Any) -> dict[str, Any]:
    about = {
        "name": name,
        "path": f"/dev/{name}",
        "wwn": wwn,
        "serial": "S1",
        "model": "ST4000 ",
        "size": 4000787030016,
    }
    return {**about, "type": kind, "ro": False, "rm": False, "mountpoints": [None], **more}


def lsblk(*devices: dict[str, Any]) -> str:
    return json.dumps({"blockdevices": devices})


TARGET = device("sda", "0x5000c500a1b2c3d4")
OTHER = device("sdb", "0x5000c500a1b2c3ff")


def test_the_one_disk_with_the_wwn() -> None:
    found = disks.choose(disks.read(lsblk(OTHER, TARGET, device("loop0", None, "loop"))), WWN, "ded")
    assert (found.path, found.serial, found.model, found.size) == ("/dev/sda", "S1", "ST4000", 4000787030016)


def test_partitions_carry_their_disks_wwn_and_are_not_disks() -> None:
    part = device("sda1", "0x5000c500a1b2c3d4", "part")
    assert disks.choose(disks.read(lsblk({**TARGET, "children": [part]})), WWN, "ded").path == "/dev/sda"


@pytest.mark.parametrize(
    ("devices", "found"),
    [
        ([OTHER], r"no disk has it. Disks seen: wwn-0x5000c500a1b2c3ff \(/dev/sdb, 4000.8 GB, ST4000 S1\)"),
        ([], "Disks seen: none"),
        ([device("sda", None)], r"Disks seen: no WWN \(/dev/sda"),
        ([TARGET, device("sdc", "0x5000c500a1b2c3d4")], "several disks have it"),
        ([{**TARGET, "ro": True}], "is read-only"),
        ([{**TARGET, "ro": "1"}], "is read-only"),  # util-linux before 2.33
        ([{**TARGET, "rm": True}], "is removable"),
        ([{**TARGET, "mountpoints": ["/mnt"]}], "is in use: /dev/sda at /mnt"),
        ([{**TARGET, "children": [device("sda1", None, "part", mountpoints=["[SWAP]"])]}], r"/dev/sda1 at \[SWAP\]"),
        ([{**TARGET, "children": [device("md0", None, "raid1")]}], r"in use: /dev/md0 \(raid1\)"),
        (
            [{**TARGET, "children": [device("sda1", None, "part", children=[device("vg-root", None, "lvm")])]}],
            r"in use: /dev/vg-root \(lvm\)",
        ),
    ],
)
def test_everything_else_is_refused(devices: list[dict[str, Any]], found: str) -> None:
    with pytest.raises(Refused, match=found):
        disks.choose(disks.read(lsblk(*devices)), WWN, "ded")


def test_the_root_partition_by_label_or_partition_label() -> None:
    root = device("sda9", None, "part", label="ROOT", fstype="btrfs")
    by_name = device("sda9", None, "part", label=None, partlabel="ROOT", fstype="ext4")
    assert disks.partition(lsblk({**TARGET, "children": [root]}), "ROOT") == ("/dev/sda9", "btrfs")
    assert disks.partition(lsblk({**TARGET, "children": [by_name]}), "ROOT") == ("/dev/sda9", "ext4")
    assert disks.partition(lsblk(TARGET), "ROOT") is None


def test_what_is_not_lsblks_json_is_said() -> None:
    with pytest.raises(ServiceFailed, match="lsblk answered"):
        disks.read("lsblk: unknown option")
