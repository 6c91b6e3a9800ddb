"""Faults of the disks: in every one of them no byte is written to any disk but the consented one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hetzner.trial import WWN, in_rescue, posted, trial, until_dark
from tests.faults.tables import InstallTable
from tests.hetzner.rig import Rig

pytestmark = pytest.mark.faults

RAID = {"marks": [{"fstype": "linux_raid_member", "uuid": "6f2a"}]}
MD, LV = {"name": "md0", "type": "raid1"}, {"name": "vg-root", "type": "lvm"}
PV = {"marks": [{"fstype": "LVM2_member", "uuid": "a"}], "group": "vg0"}


@pytest.mark.parametrize(
    ("name", "disks", "says"),
    [
        ("mounted", {"c3d4": {"mounted": "/mnt"}}, "at /mnt"),
        ("used as swap", {"c3d4": {"mounted": "[SWAP]"}}, "at [SWAP]"),
        (
            "in RAID with another disk",
            {"c3d4": {"holders": [MD]}, "c3ff": {"holders": [MD]}},
            "several disks of /dev/md0",
        ),
        ("in RAID that is not assembled", {"c3d4": RAID, "c3ff": RAID}, "several disks of linux_raid_member 6f2a"),
        ("in LVM with another disk", {"c3d4": PV, "c3ff": PV}, "several disks of volume group vg0"),
        ("encrypted, and open", {"c3d4": {"holders": [{"name": "c", "type": "crypt"}]}}, "in use: /dev/c (crypt)"),
        ("read-only", {"c3d4": {"ro": True}}, "it is read-only"),
        ("removable", {"c3d4": {"rm": True}}, "it is removable"),
        ("too small", {"c3d4": {"size": 4 * 10**9}}, "it has 4.0 GB, and 8 GB are needed"),
        ("two disks of one name", {"c3ff": {"wwn": "0x5000c500a1b2c3d4"}}, "several disks have the name"),
    ],
)
def test_hetzner_disk_is_refused_in_the_plan(
    name: str, disks: dict[str, Any], says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    with trial(f"the disk is {name}" if "two" not in name else name, install_matrix, tmp_path, disks=disks) as one:
        one.stops(says)


def test_hetzner_disk_is_absent(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial("the disk is absent", install_matrix, tmp_path, gone=("c3d4",)) as one:
        one.stops("disks seen: wwn-0x5000c500a1b2c3ff")


def test_hetzner_two_disks_of_one_prefix(install_matrix: InstallTable, tmp_path: Path) -> None:
    longer = {"c3ff": {"wwn": "0x5000c500a1b2c3d4000000000000cafe"}}
    with trial("two disks whose WWNs begin alike", install_matrix, tmp_path, disks=longer) as one:
        one.well()


@pytest.mark.parametrize(
    ("name", "like", "says", "down"),
    [
        (
            "an array on the target alone",
            {**RAID, "holders": [MD]},
            "the whole disk: linux_raid_member, 8.0 GB; built on it: /dev/md0 (raid1)",
            "/dev/md0",
        ),
        (
            "a volume on the target alone",
            {**PV, "holders": [LV]},
            "the whole disk: LVM2_member of the volume group vg0, 8.0 GB; built on it: /dev/vg-root (lvm)",
            "/dev/vg-root",
        ),
    ],
)
def test_hetzner_what_is_on_the_target_alone_is_taken_down(
    name: str, like: dict[str, Any], says: str, down: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    with trial(name, install_matrix, tmp_path, disks={"c3d4": like}) as one:
        one.rig.inspect()
        assert one.rig.step().interrupts.endswith(f"is taken down: {says}")
        one.well(f"taken down before: {down}")


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("the disk was replaced since the plan", {"serial": "LAB0C3D5"}, "its serial is 'LAB0C3D4', the plan says"),
        ("another size than in the plan", {"size": 9 * 10**9}, "its size is 8000000000, the plan says 9000000000"),
        (
            "it holds something that the plan did not show",
            {"holds": ["old"]},
            "it holds nothing, and in the plan it held",
        ),
    ],
)
def test_hetzner_disk_differs_from_the_plan(
    name: str, changes: dict[str, Any], says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    def write(rig: Rig) -> None:
        rig.inspect()
        step = rig.step()
        rig.write(replace(step, desired={**step.desired, "target": {**step.desired["target"], **changes}}))

    with trial(name, install_matrix, tmp_path) as one:
        one.stops(says, act=write)
        assert one.rig.phases("failed") == ["guarded"]


@pytest.mark.parametrize(
    ("name", "like", "says"),
    [
        ("mounted since the plan", '"mounted": "/mnt"', "in use: /dev/"),
        ("read-only since the plan", '"ro": true', "it is read-only"),
        (
            "part of an array since the plan",
            '"holders": [{"name": "md0", "type": "raid1"}]',
            "several disks of /dev/md0",
        ),
    ],
)
def test_hetzner_disk_has_changed_since_the_plan(
    name: str, like: str, says: str, install_matrix: InstallTable, tmp_path: Path
) -> None:
    """Changed on the machine itself, by whoever is there too."""

    def write(rig: Rig) -> None:
        rig.inspect()
        step = rig.step()
        in_rescue(rig, f'sed -i \'s|"like": {{}}|"like": {{{like}}}|g\' /run/lab/disks.json')
        rig.write(step)

    with trial(name, install_matrix, tmp_path) as one:
        one.stops(says, act=write)
        assert one.rig.phases("failed") == ["guarded"]


def test_hetzner_letters_swap_between_plan_and_write(install_matrix: InstallTable, tmp_path: Path) -> None:
    """The rescue system is booted again between the two, by itself: nothing was written, so the install boots it again."""

    def write(rig: Rig) -> None:
        rig.inspect()
        step = rig.step()
        (before,) = (disk.path for disk in rig.observed().standing.disks if WWN in disk.names)
        rig.robot().reset(321)
        until_dark(rig)  # its disks are empty: nothing boots before the rescue system is armed again
        rig.write(step)
        assert {before, rig.facts("guarded")["path"]} == {"/dev/sda", "/dev/sdb"}

    with trial("letters swap between plan and write", install_matrix, tmp_path) as one:
        one.well(act=write)


def test_hetzner_name_moves_before_the_wipe(install_matrix: InstallTable, tmp_path: Path) -> None:
    """The shell that wipes looks the name up again: here it was moved after the guard had looked."""
    with trial("the disk's name moves before the wipe", install_matrix, tmp_path) as one:

        def move(event: Any) -> None:
            if event.target.endswith("/wiped") and event.phase == "begin":
                other = "$(readlink -f /dev/disk/by-id/wwn-0x5000c500a1b2c3ff)"
                in_rescue(one.rig, f"ln -sf {other} /dev/disk/by-id/{WWN}")

        one.stops("now, and was /dev/sd", act=lambda rig: rig.install(watch=move))


def test_hetzner_partitions_are_not_read_again(install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial(
        "the kernel goes on using the old partitions", install_matrix, tmp_path, disks={"c3d4": {"busy": True}}
    ) as one:
        one.stops("Device or resource busy", written=True)
        assert one.rig.robot().rescue(321).active is False
        assert posted(one.standin, "/reset/") == 1, "it stays in its rescue system"
        assert in_rescue(one.rig, "hostname") == "rescue\n"


@pytest.mark.parametrize("held", [True, False])
def test_hetzner_another_shell_holds_the_lock(held: bool, install_matrix: InstallTable, tmp_path: Path) -> None:
    with trial(f"somebody {'holds' if held else 'held'} the disk's lock", install_matrix, tmp_path) as one:

        def write(rig: Rig) -> None:
            rig.inspect()
            step = rig.step()
            in_rescue(rig, f"setsid flock /run/lock/{WWN}.lock sleep {20 if held else 0} >/dev/null 2>&1 & sleep 0.3")
            rig.write(step)

        if held:
            one.stops(f"another install holds {WWN}", act=write)
        else:
            one.well(act=write)
