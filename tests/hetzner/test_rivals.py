"""Another disk that has what the script and the new system look for by label."""

from __future__ import annotations

from typing import Any

import pytest

from corelib.hetzner import disks, guards
from tests.hetzner.test_disks import OTHER, TARGET, device, lsblk


def blocks(*devices: dict[str, Any]) -> str:
    found = disks.read(lsblk(*devices))
    return guards.blocks(next(disk for disk in found if disk.path == "/dev/sda"))


@pytest.mark.parametrize("name", ["label", "partlabel"])
@pytest.mark.parametrize("label", ["ROOT", "OEM", "EFI-SYSTEM", "USR-A", "USR-B"])
def test_another_disk_with_a_label_of_the_distribution_is_refused(name: str, label: str) -> None:
    other = {**OTHER, "children": [device("sdb1", "0x5000c500a1b2c3ff", "part", **{name: label})]}
    problem = blocks(other, TARGET)
    assert "another disk has such: wwn-0x5000c500a1b2c3ff (/dev/sdb, " in problem
    assert f" has {label} (rename them there" in problem


def test_the_labels_of_the_disk_itself_and_others_names_are_no_matter() -> None:
    """A reinstall; and what somebody else calls `root` or `data`."""
    old = {**TARGET, "children": [device("sda9", None, "part", label="ROOT", partlabel="ROOT")]}
    other = {**OTHER, "label": "data", "children": [device("sdb1", None, "part", label="root", partlabel=None)]}
    assert blocks(old, other) == ""
