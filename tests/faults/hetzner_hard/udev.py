"""A stand-in for udevd: device nodes, links by WWN and the database, from what the kernel and the real blkid say.

The real `lsblk` and `udevadm info` read the database that is written here, in udev's own form. A loop device has no
WWN, serial number or model, and udev has no rule for one: those are put in. Only a machine's own disks are looked at.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .loops import Disk
from .wall import Device


def refresh(root: Path, disks: Iterable[Disk]) -> None:
    """Bring a machine's /dev and /run/udev up to date; `root` is its root directory as seen from here."""
    _clear(root)
    (root / "dev/disk/by-id").mkdir(parents=True)
    for disk in disks:
        about = {
            "ID_WWN": disk.wwn,
            "ID_WWN_WITH_EXTENSION": disk.wwn,
            "ID_SERIAL_SHORT": disk.serial,
            "ID_MODEL": disk.model.replace(" ", "_"),
            "ID_MODEL_ENC": disk.model.replace(" ", r"\x20"),
        }
        (root / "sys/block" / disk.name).symlink_to(f"../devices/virtual/block/{disk.name}")
        for name, number in ((disk.name, disk.number), *disk.partitions.items()):
            end = f"-part{name.removeprefix(disk.name)[1:]}" if name != disk.name else ""
            _node(root, name, number)
            link = root / f"dev/disk/by-id/wwn-{disk.wwn}{end}"
            link.unlink(missing_ok=True)  # two disks of one WWN: as with udev, one of them has the link
            link.symlink_to(f"../../{name}")
            _note(root, number, about | _probed(root / "dev" / name))


def numbers(disks: Iterable[Disk]) -> Iterator[Device]:
    """The devices that a machine may open: its disks, and their partitions as they are now."""
    for disk in disks:
        for major, minor in (disk.number, *disk.partitions.values()):
            yield ("b", major, minor)


def _clear(root: Path) -> None:
    shutil.rmtree(root / "dev/disk", ignore_errors=True)  # there is none before the first time
    for old in (*(root / "dev").glob("loop*"), *(root / "sys/block").iterdir(), *(root / "run/udev/data").iterdir()):
        old.unlink()


def _node(root: Path, name: str, number: tuple[int, int]) -> None:
    os.mknod(root / "dev" / name, stat.S_IFBLK | 0o600, os.makedev(*number))


def _probed(node: Path) -> dict[str, str]:
    """What udev's own rules take from blkid."""
    done = subprocess.run(["blkid", "-p", "-o", "udev", str(node)], capture_output=True, text=True, check=False)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _note(root: Path, number: tuple[int, int], about: Mapping[str, str]) -> None:
    lines = ["I:1", *(f"E:{name}={value}" for name, value in about.items())]
    (root / f"run/udev/data/b{number[0]}:{number[1]}").write_text("\n".join(lines) + "\n")
