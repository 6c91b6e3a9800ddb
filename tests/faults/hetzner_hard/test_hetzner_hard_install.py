"""A machine goes through rescue → wiped → installed → inspected with real tools, driven by the product's own code."""

from __future__ import annotations

import bz2
import json
import re
import subprocess
from pathlib import Path

import pytest

from corelib.errors import Refused
from corelib.hetzner import disks

from .contents import SIZE, TARGET
from .image import LAYOUT
from .loops import run
from .rig import Rig

pytestmark = pytest.mark.faults

STATES = [
    "planned",
    "rescue armed",
    "resetting",
    "rescue pinned",
    "inventoried",
    "guarded",
    "installed",
    "verified on disk",
]


def test_hetzner_hard_install(hard: Rig) -> None:
    """Once, looked at from all sides: a machine is quick to make, and an install takes a second or two."""
    target = hard.machine.disks[0]
    assert hard.tried("none") is None
    done = iter(hard.phases("done"))
    assert all(state in done for state in STATES)  # in this order, whatever else was done
    assert hard.robot().key_names() == {}

    labels = {number: label for number, (label, _) in target.table().items()}
    assert labels == {one.number: one.label for one in LAYOUT}
    assert target.read("/var/lib/flatcar-install/user_data") == hard.user_data
    assert "Mode:  0600" in _stat(hard, "/var/lib/flatcar-install/user_data")
    assert (
        target.read("/etc/ssh/ssh_host_ed25519_key.pub").decode().strip() == hard.facts("verified on disk")["host_key"]
    )
    assert "Mode:  0600" in _stat(hard, "/etc/ssh/ssh_host_ed25519_key")
    _is_clean(hard)

    # The script's orphan is still there, and holds the script's output: the install did not wait for it.
    assert hard.machine.running is not None
    orphans = [one for one in hard.machine.running.processes() if _command(one) == ["sleep", "120"]]
    assert len(orphans) == 1


def test_hetzner_hard_local_image(hard: Rig, tmp_path: Path) -> None:
    """Sent by the product, unpacked by the script, and written: no mirror is asked for anything."""
    file = tmp_path / "release.bin.bz2"
    file.write_bytes(hard.machine.mirror.image)
    hard.given(file)
    assert hard.tried("a local image, packed") is None
    assert hard.machine.mirror.asked == []
    assert {label for label, _ in hard.machine.disks[0].table().values()} == {one.label for one in LAYOUT}
    assert hard.machine.disks[0].read("/var/lib/flatcar-install/user_data") == hard.user_data


def test_hetzner_hard_local_image_without_room(hard: Rig, tmp_path: Path) -> None:
    """Unpacked it is larger than this machine's memory: that is found before the disk is wiped."""
    file = tmp_path / "release.bin"
    file.write_bytes(bz2.decompress(hard.machine.mirror.image))
    hard.given(file)
    problem = hard.tried("a local image, no room for it")
    assert isinstance(problem, Refused)
    assert re.fullmatch(r"it has 141 MB, and /run there has room for 1\d\d MB", problem.found)
    assert hard.target_as_it_was


def test_hetzner_hard_inventory(hard: Rig) -> None:
    """What the real lsblk says, read by the product: WWN, serial and model are put on, the rest is found."""
    target, *others = hard.machine.disks
    with hard.rescue() as shell:
        text = shell.read("lsblk", "--json", "-b", "-o", disks.COLUMNS)
        signatures = shell.read("wipefs", target.loop)
    found = {disk.wwn: disk for disk in disks.read(text)}
    assert set(found) == {f"wwn-{disk.wwn}" for disk in hard.machine.disks}
    chosen = disks.choose(tuple(found.values()), f"wwn-{TARGET}", "it")
    assert (chosen.path, chosen.serial, chosen.size) == (target.loop, target.serial, SIZE * 2**20)
    entries = {one["path"]: one for one in json.loads(text)["blockdevices"]}
    held = [(part["partlabel"], part["fstype"]) for part in entries[target.loop]["children"]]
    assert held == [("OLD", "ext4"), ("VOLUMES", "LVM2_member"), ("MIRROR", "linux_raid_member")]
    assert [part["label"] for other in others for part in entries[other.loop]["children"]] == ["DATA", "DATA"]
    assert re.search(r"gpt", signatures)


def _stat(hard: Rig, path: str) -> str:
    """What debugfs says of a file on the target's ROOT."""
    start = next(start for label, start in hard.machine.disks[0].table().values() if label == "ROOT")
    return run("debugfs", "-R", f"stat {path}", f"{hard.machine.disks[0].file}?offset={start}")


def _is_clean(hard: Rig) -> None:
    """The new ROOT was unmounted, and fsck has nothing to say of it."""
    name = next(name for name in hard.machine.disks[0].partitions if name.endswith("p9"))
    assert hard.machine.running is not None
    done = subprocess.run(
        ["e2fsck", "-f", "-n", str(hard.machine.running.root / "dev" / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _command(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline") as file:  # noqa: PTH123
        return file.read().split("\0")[:-1]
