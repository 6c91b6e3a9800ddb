"""The disks of a machine: files behind loop devices of this computer, with real partition tables and file systems.

A loop device has neither a WWN nor a serial number: those are put on, by the stand-in for udev.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 2**20
TYPES = {
    "efi": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "bios": "21686148-6449-6E6F-744E-656564454649",
    "usr": "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6",
    "reserved": "C95DC21A-DF0E-4340-8D7B-26CBFA9A03E0",
    "resize": "3884DD41-8582-4404-B9A8-E9B84F2DF50E",
    "linux": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "lvm": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
    "raid": "A19D880F-05FC-4D3B-A006-743F0F84911E",
}


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition in a table; sizes in MiB, `kind` is one of TYPES."""

    number: int
    label: str
    kind: str
    size: int


@dataclass
class Disk:
    """A disk: its file, what identifies it, and the loop device behind which it is now."""

    file: Path
    wwn: str
    serial: str
    loop: str = ""
    model: str = "LAB LOOP DEVICE"

    @property
    def name(self) -> str:
        """Its name under /sys/block."""
        return self.loop.removeprefix("/dev/")

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor."""
        major, minor = Path(f"/sys/block/{self.name}/dev").read_text().split(":")
        return int(major), int(minor)

    @property
    def partitions(self) -> dict[str, tuple[int, int]]:
        """Major and minor of the partitions that the kernel knows of it, by name."""
        folders = sorted(Path(f"/sys/block/{self.name}").glob(f"{self.name}p*"))
        texts = ((one.name, (one / "dev").read_text().split(":")) for one in folders)
        return {name: (int(major), int(minor)) for name, (major, minor) in texts}

    def attach(self, at: str = "", *, read_only: bool = False) -> None:
        """Put it behind that loop device, or the first that is free; its partitions are known as after a boot."""
        how = ["--read-only"] if read_only else []
        self.loop = run("losetup", "--show", *how, *([at] if at else ["--find"]), str(self.file))
        if self.partitions:  # left by whoever had the device before
            run("partx", "--delete", self.loop)
        if self.table():
            run("partx", "--add", self.loop)

    def detach(self) -> None:
        """Take it away; the device's number is free again."""
        if self.partitions:
            run("partx", "--delete", self.loop)
        run("losetup", "--detach", self.loop)
        self.loop = ""

    def digest(self) -> str:
        """SHA-256 of all of it that is not zero and of where that is, as the disk has it; holes are not read."""
        if self.loop:
            run("blockdev", "--flushbufs", self.loop)
        found, at = hashlib.sha256(), 0
        with self.file.open("rb") as file:
            while (start := _data(file.fileno(), at)) is not None:
                at = start - start % MEBIBYTE
                file.seek(at)
                piece = file.read(MEBIBYTE)
                at += MEBIBYTE
                if piece.strip(b"\0"):
                    found.update(f"{at} ".encode() + piece)
        return found.hexdigest()

    def table(self) -> dict[int, tuple[str, int]]:
        """Label and first byte of each partition in its table, by number; read by the real sfdisk."""
        done = subprocess.run(["sfdisk", "--json", str(self.file)], capture_output=True, text=True, check=False)
        if done.returncode:
            return {}
        return {
            int(re.sub(r".*\D", "", one["node"])): (one.get("name", ""), 512 * one["start"])
            for one in json.loads(done.stdout)["partitiontable"].get("partitions", ())
        }

    def read(self, path: str) -> bytes:
        """A file of its ROOT, read by the real debugfs, past every mount. Raises StopIteration if there is no ROOT."""
        start = next(start for label, start in self.table().values() if label == "ROOT")
        where = f"{self.file}?offset={start}"
        return subprocess.run(["debugfs", "-R", f"cat {path}", where], capture_output=True, check=True).stdout


def _data(file: int, at: int) -> int | None:
    """The first byte from there on that is in no hole of a file; None if there is none."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError:
        return None


def blank(file: Path, size: int) -> Path:
    """An empty disk of `size` MiB."""
    with file.open("xb") as made:
        made.truncate(size * MEBIBYTE)
    return file


def part(file: Path, partitions: Sequence[Partition]) -> dict[int, int]:
    """Give a disk a table; the first byte of each partition, by number."""
    at, lines, starts = 1, ["label: gpt"], {}
    for one in partitions:
        place = f"start={at}MiB, size={one.size}MiB"
        lines.append(f'{one.number} : {place}, type={TYPES[one.kind]}, name="{one.label}"')
        starts[one.number] = at * MEBIBYTE
        at += one.size
    run("sfdisk", "--quiet", str(file), stdin="\n".join(lines))
    return starts


def ext4(file: Path, start: int, size: int, label: str, content: Path | None = None) -> None:
    """An ext4 of `size` MiB in a disk's file, with the files of a folder."""
    files = ["-d", str(content)] if content else []
    how = ["-q", "-F", "-E", f"offset={start},root_owner=0:0", "-L", label, *files]
    run("mkfs.ext4", *how, str(file), f"{size}M")


def run(*command: str, stdin: str = "") -> str:
    """What a program of this computer says."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}"
    return done.stdout.strip()


def missing(tools: Mapping[str, str]) -> str:
    """Which of these packages, by the programs that are needed of them, are not here; empty if all are."""
    places = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    packages = sorted({package for tool, package in tools.items() if shutil.which(tool, path=places) is None})
    return f"the harder level needs {', '.join(packages)} (Debian's names)" if packages else ""


def unable() -> str:
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "loop devices and namespaces need root on Linux"
    needed = dict.fromkeys(("losetup", "partx", "lsblk", "wipefs", "blkid", "blockdev", "setpriv"), "util-linux")
    needed |= dict.fromkeys(("mkfs.ext4", "debugfs", "e2fsck"), "e2fsprogs")
    needed |= {"sfdisk": "fdisk", "mkfs.vfat": "dosfstools", "pvcreate": "lvm2", "vgcreate": "lvm2"}
    if why := missing(needed):
        return why
    tried = subprocess.run(["losetup", "--find"], capture_output=True, text=True, check=False)
    return f"no loop devices here: {tried.stderr.strip()}" if tried.returncode else ""
