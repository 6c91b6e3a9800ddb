"""What is on a machine's disks before an install: the target's old system, and two disks of somebody else."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .loops import Disk, Partition, blank, ext4, part, run

SIZE = 9000  # MiB of the target, nearly all of it a hole; images are smaller than real ones
TARGET, OTHER, LONGER = "0x5000c500a1b2c3d4", "0x5000c500a1b2c3ff", "0x5000c500a1b2c3d40000000000000001"
_OLD = (
    Partition(1, "OLD", "linux", 64),
    Partition(2, "VOLUMES", "lvm", 16),
    Partition(3, "MIRROR", "raid", 16),
)


@dataclass(frozen=True, slots=True)
class Templates:
    """Disks to be copied: `old` held a system, `other` is somebody's data, and `rival` somebody's installed system."""

    old: Path
    other: Path
    rival: Path

    @classmethod
    def make(cls, folder: Path) -> Templates:
        """Fill one of each, with real tools."""
        old = blank(folder / "old", SIZE)
        starts = part(old, _OLD)
        ext4(old, starts[1], 64, "old", _files(folder / "old-files", "the old system"))
        volume_group("old", {old: (starts[2], 16)})
        raid_member(old, starts[3])
        return cls(old, _data(folder / "other", "DATA"), _data(folder / "rival", "ROOT"))

    def disks(self, folder: Path) -> tuple[Disk, Disk, Disk]:
        """The target; another disk; and one whose WWN begins with all of the target's."""
        kinds = (self.old, TARGET, "LAB0C3D4"), (self.other, OTHER, "LAB0C3FF"), (self.other, LONGER, "LAB0C3D401")
        found = []
        for template, wwn, serial in kinds:
            run("cp", "--sparse=always", str(template), str(folder / serial))
            found.append(Disk(folder / serial, wwn, serial))
        return found[0], found[1], found[2]


Places = Mapping[Path, tuple[int, int]]  # a disk's file → first byte and MiB of a part of it


def volume_group(name: str, places: Places) -> None:
    """A volume group over parts of disks, by the real LVM; it needs no device mapper for that."""
    with _parts(places) as parts:
        only = [
            "--nohints",
            "--devices",
            ",".join(parts),
        ]  # it looks at no other disk of this computer, and notes nothing
        run("pvcreate", *only, "--quiet", "--metadatasize", "1m", *parts)
        run("vgcreate", *only, "--quiet", "--autobackup", "n", name, *parts)


def btrfs(label: str, places: Places) -> None:
    """A file system over parts of disks."""
    with _parts(places) as parts:
        run("mkfs.btrfs", "--quiet", "--force", "--mixed", "--label", label, *parts)


def clear(file: Path, start: int) -> None:
    """Erase whatever signature a partition has."""
    with file.open("r+b") as disk:
        disk.seek(start)
        disk.write(bytes(2**20))


def raid_member(file: Path, start: int, number: int = 0) -> None:
    """The superblock of a member of a mirror of two, as mdadm writes it (linux/raid/md_p.h, version 1.2).

    Written here because mdadm makes none where the kernel has no md.
    """
    array, place = zlib.crc32(b"array").to_bytes(16, "big"), 8
    head = struct.pack("<4I16s32sQIIQIIII", 0xA92B4EFC, 1, 0, 0, array, b"lab:0", 0, 1, 0, 8192, 0, 2, 0, 0)
    shape = struct.pack("<QIIII", 0, 0, 0, 0, 0)
    device = struct.pack("<4QII16sBBHI", 2048, 8192, place, 0, number, 0, os.urandom(16), 0, 0, 0, 0)
    roles = struct.pack("<32x2H", 0, 1)

    def whole(checksum: int) -> bytes:
        return head + shape + device + struct.pack("<3QII", 1, 1, 2**64 - 1, checksum, 2) + roles

    total = sum(struct.unpack("<65I", whole(0)))
    with file.open("r+b") as disk:
        disk.seek(start + 512 * place)
        disk.write(whole((total & 0xFFFFFFFF) + (total >> 32)))


@contextmanager
def _parts(places: Places) -> Iterator[list[str]]:
    """Loop devices of parts of disks, for as long as it takes."""
    parts: list[str] = []
    try:
        for file, (start, size) in places.items():
            where = ["--offset", str(start), "--sizelimit", f"{size}MiB", str(file)]
            parts.append(run("losetup", "--find", "--show", *where))
        yield parts
    finally:
        for one in parts:
            run("losetup", "--detach", one)


def _data(file: Path, label: str) -> Path:
    start = part(blank(file, 48), [Partition(1, label, "linux", 40)])[1]
    ext4(file, start, 40, label, _files(file.with_name(f"{file.name}-files"), "somebody's data"))
    return file


def _files(folder: Path, text: str) -> Path:
    (folder / "var/lib/flatcar-install").mkdir(parents=True)
    (folder / "var/lib/flatcar-install/user_data").write_text(text)
    return folder
