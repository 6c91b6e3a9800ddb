"""lsblk(8) on the machine's own disks, in the JSON that util-linux 2.38 prints; and what wipefs would find on them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any, BinaryIO

from . import disk, nodes

COLUMNS = (
    "NAME", "PATH", "WWN", "SERIAL", "MODEL", "SIZE", "TYPE", "RO", "RM",
    "MOUNTPOINT", "MOUNTPOINTS", "FSTYPE", "UUID", "LABEL", "PARTLABEL", "PARTUUID", "PTTYPE", "PKNAME",
)  # fmt: skip
_SIGNATURES = ((disk.SECTOR, b"EFI PART", "gpt"), (0x438, b"\x53\xef", "ext4"))


def lsblk(arguments: list[str], mounts: Mapping[str, str]) -> int:
    """Print disks and their partitions; `mounts` leads from node to mount point."""
    options = argparse.ArgumentParser("lsblk", add_help=False, allow_abbrev=False)
    options.add_argument("-J", "--json", action="store_true")
    options.add_argument("-b", "--bytes", action="store_true")
    options.add_argument("-n", "--noheadings", action="store_true")
    options.add_argument("-d", "--nodeps", action="store_true")
    options.add_argument("-o", "--output", default="NAME,SIZE,RO,TYPE,MOUNTPOINTS")
    options.add_argument("devices", nargs="*")
    given = options.parse_args(arguments)
    columns = given.output.upper().split(",")
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise disk.DiskError(f"unknown column: {','.join(unknown)}")
    chosen = [nodes.whole(path) for path in given.devices] if given.devices else nodes.disks()
    if None in chosen:
        raise disk.DiskError(f"{', '.join(given.devices)}: not a block device")
    trees = [_tree(one, mounts, with_parts=not given.nodeps) for one in chosen if one is not None]
    if given.json:
        print(json.dumps({"blockdevices": [_cut(tree, columns) for tree in trees]}, indent=3))
        return 0
    if not given.noheadings:
        print(" ".join(columns))
    for tree in trees:
        for row in (tree, *tree["children"]):
            print(" ".join(str(row[name.lower()] or "") for name in columns))
    return 0


def signatures(file: BinaryIO) -> list[tuple[int, bytes, str]]:
    """The signatures on a disk: offset, bytes, kind."""
    found = []
    for offset, magic, kind in _SIGNATURES:
        file.seek(offset)
        if file.read(len(magic)) == magic:
            found.append((offset, magic, kind))
    return found


def _tree(one: dict[str, Any], mounts: Mapping[str, str], *, with_parts: bool) -> dict[str, Any]:
    with open(f"/dev/{one['name']}", "rb") as file:  # noqa: PTH123 - a device, not a path to work on
        kinds, found = [kind for _, _, kind in signatures(file)], disk.partitions(file)
    kind = kinds[0] if kinds else None
    row = _row(one["name"], one, "disk", one["size"], mounts) | {
        "fstype": kind if kind != "gpt" else None,
        "pttype": kind if kind == "gpt" else None,
        "serial": one["serial"],
        "model": one["model"],
    }
    like, children = one["like"], [_part(one, part, mounts) for part in found]
    row |= {"ro": bool(like.get("ro")), "rm": bool(like.get("rm"))} | (like.get("marks") or [{}])[0]
    if like.get("mounted"):
        row |= {"mountpoint": like["mounted"], "mountpoints": [like["mounted"]]}
    children += [_row(h["name"], one, h["type"], one["size"], mounts) | {"wwn": None} for h in like.get("holders", ())]
    row["children"] = children if with_parts else []
    return row


def _part(one: dict[str, Any], part: disk.Partition, mounts: Mapping[str, str]) -> dict[str, Any]:
    holds = "ext4" if part.label == "ROOT" else None
    row = _row(f"{one['name']}{part.number}", one, "part", part.size, mounts)
    names = {"label": part.label, "partlabel": part.label, "partuuid": part.identity}
    return row | names | {"pttype": "gpt", "fstype": holds, "pkname": one["name"]}


def _row(name: str, one: dict[str, Any], kind: str, size: int, mounts: Mapping[str, str]) -> dict[str, Any]:
    place = mounts.get(f"/dev/{name}")
    row: dict[str, Any] = dict.fromkeys((column.lower() for column in COLUMNS), None)
    row |= {"name": name, "path": f"/dev/{name}", "wwn": one["wwn"], "size": size, "type": kind}
    return row | {"ro": False, "rm": False, "mountpoint": place, "mountpoints": [place]}


def _cut(row: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    cut = {name.lower(): row[name.lower()] for name in columns}
    children = [_cut(child, columns) for child in row.get("children", ())]
    return cut | {"children": children} if children else cut
