"""What needs no machine: the disk's format, Berlin's time."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corelib.lab.robot.clock import berlin
from corelib.lab.robot.inside import disk, image, listing

PARTS = [disk.Partition(9, "ROOT", 2**20, 2**20), disk.Partition(128, "Ä", 2 * 2**20, 2**20)]


def test_a_label_is_read_as_it_was_written() -> None:
    assert disk.partitions(io.BytesIO(disk.label(PARTS, 2**30))) == PARTS


@given(at=st.integers(512, 512 + 91) | st.integers(1024, 1024 + 128 * 128 - 1), bit=st.integers(0, 7))
def test_a_damaged_label_is_none(at: int, bit: int) -> None:
    content = bytearray(disk.label(PARTS, 2**30))
    content[at] ^= 1 << bit
    assert disk.partitions(io.BytesIO(bytes(content))) == []


def test_no_label_is_none() -> None:
    assert disk.partitions(io.BytesIO(b"")) == []
    assert disk.partitions(io.BytesIO(bytes(2**20))) == []


def test_the_checksums_are_those_of_the_specification() -> None:
    content = disk.label(PARTS, 2**30)
    header, table = content[512 : 512 + 92], content[1024:]
    assert int.from_bytes(header[88:92], "little") == zlib.crc32(table)
    assert int.from_bytes(header[16:20], "little") == zlib.crc32(header[:16] + bytes(4) + header[20:])


@pytest.mark.skipif(shutil.which("sfdisk") is None, reason="needs sfdisk, the reference reader of such labels")
def test_sfdisk_reads_it_too(tmp_path: Path) -> None:
    file = tmp_path / "disk"
    file.write_bytes(disk.label(image.PARTITIONS, 2**30))
    os.truncate(file, 2**30)
    said = subprocess.check_output(["sfdisk", "--dump", str(file)], text=True, stderr=subprocess.DEVNULL)
    assert 'name="ROOT"' in said


def test_a_file_system_is_packed_and_unpacked(tmp_path: Path) -> None:
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    (tmp_path / "from/etc").mkdir()
    (tmp_path / "from/etc/secret").write_text("x")
    (tmp_path / "from/etc/secret").chmod(0o600)
    file = io.BytesIO(disk.label(PARTS, 2**30).ljust(4 * 2**20, b"\0"))
    disk.pack(tmp_path / "from", file, disk.root(file))
    assert disk.read(file, disk.root(file)) == {"etc/secret": b"x"}
    disk.unpack(file, disk.root(file), tmp_path / "to")
    assert (tmp_path / "to/etc/secret").stat().st_mode & 0o777 == 0o600


def test_a_full_partition_is_said(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(2**20))
    file = io.BytesIO(disk.label(PARTS, 2**30))
    with pytest.raises(disk.DiskError, match="no space is left"):
        disk.pack(tmp_path, file, PARTS[0])


def test_an_image_is_bootable_and_carries_a_gpt_signature() -> None:
    file = io.BytesIO()
    image.write(file, "flatcar", "beta", "4757.1.0")
    assert b"ID=flatcar\n" in disk.read(file, disk.root(file))["etc/os-release"]
    assert [kind for _, _, kind in listing.signatures(file)] == ["gpt"]


@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ("2026-03-29T00:59", "01:59"),  # the last Sunday of March
        ("2026-03-29T01:00", "03:00"),
        ("2026-10-25T00:59", "02:59"),  # the last Sunday of October
        ("2026-10-25T01:00", "02:00"),
        ("2027-03-28T01:00", "03:00"),
        ("2026-07-01T12:00", "14:00"),
    ],
)
def test_berlins_time(utc: str, local: str) -> None:
    assert berlin(datetime.fromisoformat(utc).replace(tzinfo=UTC)).strftime("%H:%M") == local
