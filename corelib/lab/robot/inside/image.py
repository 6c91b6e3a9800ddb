"""What the release server would send: a disk image of a release, with the lab's ROOT in the place of the real one.

Partitions by name and number as on the real image; only ROOT holds something, and little: its `os-release` (which
on a real host is in /usr, and is a link here the other way round) and the folders that an install writes to.
"""

from __future__ import annotations

import io
import sys
import tarfile
import time
from typing import BinaryIO

from . import disk

_MI = disk.MEBIBYTE
PARTITIONS = [
    disk.Partition(1, "EFI-SYSTEM", 1 * _MI, 1 * _MI),
    disk.Partition(3, "USR-A", 2 * _MI, 1 * _MI),
    disk.Partition(6, "OEM", 3 * _MI, 1 * _MI),
    disk.Partition(9, "ROOT", 4 * _MI, 60 * _MI),
]
SIZE = 64 * _MI + 34 * disk.SECTOR
NAMES = {"flatcar": "Flatcar Container Linux by Kinvolk", "coreos": "Container Linux by CoreOS"}


def main(arguments: list[str]) -> int:
    """`flatcar-image DISTRIBUTION CHANNEL VERSION [BASE]` writes the image to standard output.

    Where BASE ends in `/slow`, `/truncated` or `/wrong-signature`, that is what this server is like.
    """
    distribution, channel, version, base = [*arguments, ""][:4]
    kind = base.rpartition("/")[2]
    content = io.BytesIO()
    write(content, distribution, channel, version)
    whole = content.getvalue()
    half = len(whole) // 2
    sys.stdout.buffer.write(whole[:half])
    sys.stdout.buffer.flush()
    if kind == "truncated":
        print("wget: the connection was closed", file=sys.stderr)
        return 4
    if kind == "slow":
        time.sleep(3)
    sys.stdout.buffer.write(whole[half:])
    sys.stdout.buffer.flush()
    if kind == "wrong-signature":
        print('gpg: BAD signature from "Flatcar Buildbot"', file=sys.stderr)
        return 1
    return 0


def write(out: BinaryIO, distribution: str, channel: str, version: str) -> None:
    """Write the image: the label, gaps, and ROOT's archive, with which it ends."""
    start = disk.label(PARTITIONS, SIZE)
    out.write(start.ljust(PARTITIONS[-1].first, b"\0"))
    out.write(_root(distribution, channel, version))
    out.flush()


def _root(distribution: str, channel: str, version: str) -> bytes:
    release = f'NAME="{NAMES[distribution]}"\nID={distribution}\nVERSION={version}\nVERSION_ID={version}\n'
    files = {
        "etc/os-release": release,
        f"etc/{distribution}/update.conf": f"GROUP={channel}\n",
    }
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder in ("etc", f"etc/{distribution}", "etc/ssh", "home", "var", "var/lib"):
            entry = tarfile.TarInfo(f"./{folder}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, text in files.items():
            entry = tarfile.TarInfo(f"./{path}")
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()
