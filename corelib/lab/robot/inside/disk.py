"""A lab machine's disk: one sparse file with a real GPT label; a partition's file system is a tar archive in it.

The label is that of the UEFI specification (2.10, section 5.3), without the copy at the end of the disk. A file
system that the lab's own tools made begins, where its partition begins, with a POSIX tar archive: mounting unpacks
it, unmounting packs it again, and what was not unmounted when the power went is lost. So all that a machine has is
in the disk's file, and overwriting the file's first mebibyte destroys it, as on a real disk.
"""

from __future__ import annotations

import io
import struct
import tarfile
import uuid
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

SECTOR = 512
MEBIBYTE = 2**20
_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_ENTRIES = 128
_LINUX = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le  # "Linux filesystem data"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition by its number; `first` and `size` in bytes; `identity` is its GUID, once it is on a disk."""

    number: int
    label: str
    first: int
    size: int
    identity: str = field(default="", compare=False)


class DiskError(Exception):
    """The disk does not hold what was asked for."""


def label(partitions: list[Partition], size: int) -> bytes:
    """A GPT label for a disk of `size` bytes: the first 17 KiB of it, beginning with a protective MBR."""
    table = b"".join(_entry(number, partitions) for number in range(1, _ENTRIES + 1))
    header = _header(table, size, 0)
    header = _header(table, size, zlib.crc32(header))
    record = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(size // SECTOR - 1, 0xFFFFFFFF))
    mbr = (bytes(446) + record).ljust(510, b"\0") + b"\x55\xaa"
    return mbr + header.ljust(SECTOR, b"\0") + table


def partitions(disk: BinaryIO) -> list[Partition]:
    """The partitions of a disk, none if its label is missing or damaged."""
    disk.seek(SECTOR)
    found = disk.read(_HEADER.size).ljust(_HEADER.size, b"\0")
    fields = _HEADER.unpack(found)
    disk.seek(2 * SECTOR)
    table = disk.read(_ENTRIES * _ENTRY.size)
    whole = zlib.crc32(found[:16] + bytes(4) + found[20:]) == fields[3] and zlib.crc32(table) == fields[13]
    if fields[0] != b"EFI PART" or not whole:
        return []
    entries = (_ENTRY.unpack_from(table, at) for at in range(0, len(table), _ENTRY.size))
    return [
        Partition(
            number,
            name.decode("utf-16-le").rstrip("\0"),
            first * SECTOR,
            (last - first + 1) * SECTOR,
            str(uuid.UUID(bytes_le=unique)),
        )
        for number, (kind, unique, first, last, _, name) in enumerate(entries, 1)
        if kind != bytes(16)
    ]


def root(disk: BinaryIO) -> Partition:
    """The partition labelled ROOT. Raises DiskError if there is none."""
    for partition in partitions(disk):
        if partition.label == "ROOT":
            return partition
    raise DiskError("no partition is labelled ROOT")


def archive(disk: BinaryIO, partition: Partition) -> tarfile.TarFile:
    """The file system of a partition, to be read. Raises DiskError if it holds none."""
    disk.seek(partition.first)
    if disk.read(262)[257:] != b"ustar":
        raise DiskError(f"the partition {partition.label} holds no file system")
    disk.seek(partition.first)
    return tarfile.open(fileobj=disk, mode="r|")


def read(disk: BinaryIO, partition: Partition) -> dict[str, bytes]:
    """Every regular file of a partition by its path, `etc/hostname`."""
    content = {}
    with archive(disk, partition) as files:
        for member in files:
            stream = files.extractfile(member) if member.isfile() else None
            if stream is not None:
                content[member.name.removeprefix("./")] = stream.read()
    return content


def unpack(disk: BinaryIO, partition: Partition, folder: Path) -> None:
    """Lay a partition's files out in a folder."""
    with archive(disk, partition) as files:
        files.extractall(folder, filter="fully_trusted")  # noqa: S202 - the disk of the machine that unpacks it


def pack(folder: Path, disk: BinaryIO, partition: Partition) -> None:
    """Write a folder back to its partition. Raises DiskError if it does not fit."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as files:
        files.add(folder, arcname=".")
    if len(content.getvalue()) > partition.size:
        raise DiskError(f"no space is left on the partition {partition.label}")
    disk.seek(partition.first)
    disk.write(content.getvalue())
    disk.flush()


def _entry(number: int, partitions: list[Partition]) -> bytes:
    for one in partitions:
        if one.number == number:
            first, last = one.first // SECTOR, (one.first + one.size) // SECTOR - 1
            unique = uuid.uuid5(uuid.NAMESPACE_OID, f"{number} {one.label}").bytes_le
            return _ENTRY.pack(_LINUX, unique, first, last, 0, one.label.encode("utf-16-le").ljust(72, b"\0"))
    return bytes(_ENTRY.size)


def _header(table: bytes, size: int, checksum: int) -> bytes:
    last = size // SECTOR - 1
    identity = uuid.uuid5(uuid.NAMESPACE_OID, "coreos-runbooks lab").bytes_le
    return _HEADER.pack(
        b"EFI PART", 0x10000, 92, checksum, 0, 1, last, 34, last - 33, identity, 2, _ENTRIES, 128, zlib.crc32(table)
    )
