"""What a kernel and udev keep in `/dev`: a node per partition, and links by WWN and by label.

A partition's node is a small file that says where its content is; only the lab's own tools can follow it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import disk

DISKS = Path("/run/lab/disks.json")
LINKS = Path("/dev/disk")


def disks() -> list[dict[str, Any]]:
    """The machine's disks: name, WWN, serial, model, size in bytes."""
    found: list[dict[str, Any]] = json.loads(DISKS.read_text())
    return found


def refresh(known: list[dict[str, Any]]) -> None:
    """Look at every disk's label again and make the nodes and links that follow from it."""
    for link in [*LINKS.glob("*/*")]:
        link.unlink()
    for one in known:
        for old in Path("/dev").glob(f"{one['name']}?*"):
            old.unlink()
        _nodes(one)


def whole(path: str) -> dict[str, Any] | None:
    """The disk that a path names, through links; None if it names none."""
    name = Path(path).resolve()
    return next((one for one in disks() if Path("/dev", one["name"]) == name), None)


def partition(path: str) -> tuple[Path, disk.Partition] | None:
    """The disk and the partition that a node stands for; None if it is no such node."""
    node = Path(path).resolve()
    if node.parent != Path("/dev") or not node.name[-1:].isdigit() or not node.is_file():
        return None
    place = json.loads(node.read_text())
    device = Path("/dev", place["disk"])
    with device.open("rb") as file:
        return next(((device, one) for one in disk.partitions(file) if one.number == place["partition"]), None)


def _nodes(one: dict[str, Any]) -> None:
    device = Path("/dev", one["name"])
    if device.stat().st_size != one["size"]:
        os.truncate(device, one["size"])  # a file is cut off by what opens it for writing, a disk is not
    _link(f"by-id/wwn-{one['wwn']}", device)
    with device.open("rb") as file:
        found = disk.partitions(file)
    for part in found:
        node = Path(f"{device}{part.number}")
        node.write_text(json.dumps({"disk": one["name"], "partition": part.number}))
        _link(f"by-id/wwn-{one['wwn']}-part{part.number}", node)
        _link(f"by-partlabel/{part.label}", node)
        _link(f"by-label/{part.label}", node)


def _link(name: str, node: Path) -> None:
    link = LINKS / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(node)
