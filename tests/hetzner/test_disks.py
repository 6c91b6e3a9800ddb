"""The disks in what `lsblk` prints on real machines, and the one that a name means."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from corelib.errors import Refused, ServiceFailed
from corelib.fleet import _DISK, _wwn
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
    ],
)
def test_anything_but_exactly_one_is_refused(devices: list[dict[str, Any]], found: str) -> None:
    with pytest.raises(Refused, match=found):
        disks.choose(disks.read(lsblk(*devices)), WWN, "ded")


def test_the_root_partition_by_label_or_partition_label() -> None:
    root = device("sda9", None, "part", label="ROOT", fstype="btrfs")
    by_name = device("sda9", None, "part", label=None, partlabel="ROOT", fstype="ext4")
    assert disks.partition(lsblk({**TARGET, "children": [root]}), "ROOT") == ("/dev/sda9", "btrfs")
    assert disks.partition(lsblk({**TARGET, "children": [by_name]}), "ROOT") == ("/dev/sda9", "ext4")
    assert disks.partition(lsblk(TARGET), "ROOT") is None


NVME = device("nvme0n1", "eui.0025385b21408bf1", model="SAMSUNG MZVL2512HCJQ-00B00", serial="S675NX0R")


@pytest.mark.parametrize(
    "name",
    [
        "nvme-eui.0025385b21408bf1",
        "nvme-SAMSUNG_MZVL2512HCJQ-00B00_S675NX0R",
        "nvme-SAMSUNG_MZVL2512HCJQ-00B00_S675NX0R_1",
    ],
)
def test_an_nvme_disk_has_several_names(name: str) -> None:
    assert disks.choose(disks.read(lsblk(OTHER, NVME)), name, "ded").path == "/dev/nvme0n1"
    assert re.fullmatch(_DISK, name)


@pytest.mark.parametrize(
    "name", ["nvme-eui.0025385b21408bf1-part1", "sda", "/dev/sda", "wwn-0x5000c500a1b2c3d4-part1", "nvme0n1"]
)
def test_a_letter_or_a_partition_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="a disk is named by its WWN"):
        _wwn(name)


def test_what_is_on_a_disk_is_told_without_its_letter() -> None:
    parts = [device("sda1", None, "part", fstype="ext4", label="data"), device("sda2", None, "part")]
    one, other = (
        disks.read(lsblk({**TARGET, "name": name, "path": f"/dev/{name}", "pttype": "gpt", "children": [
            {**part, "name": part["name"].replace("sda", name)} for part in parts]}))[0]
        for name in ("sda", "sdb")
    )  # fmt: skip
    assert one.holds == other.holds
    assert one.holds == (
        "a partition table (gpt)", "partition 1: ext4 'data', 4000.8 GB", "partition 2: nothing known, 4000.8 GB",
    )  # fmt: skip


def test_the_disk_that_a_running_system_has_its_root_on() -> None:
    root = device("sda9", None, "part", mountpoints=["/"])
    assert disks.root_of(lsblk(OTHER, {**TARGET, "serial": "S9", "children": [root]})) == "S9"
    assert disks.root_of(lsblk(OTHER)) == ""


def test_what_is_not_lsblks_json_is_said() -> None:
    with pytest.raises(ServiceFailed, match="lsblk answered"):
        disks.read("lsblk: unknown option")
