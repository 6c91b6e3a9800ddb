"""Which disk may be wiped: the one with the WWN of the plan, among what the machine's own `lsblk` lists. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import Refused, ServiceFailed
from .facts import Disk

COLUMNS = "NAME,PATH,WWN,SERIAL,MODEL,SIZE,TYPE,RO,RM,MOUNTPOINTS,FSTYPE,LABEL,PARTLABEL"


def read(text: str) -> tuple[Disk, ...]:
    """The whole disks in the output of `lsblk --json -b -o COLUMNS` (util-linux 2.37 and later)."""
    return tuple(_disk(entry) for entry in _entries(text) if entry.get("type") == "disk")


def choose(disks: tuple[Disk, ...], wwn: str, host: str) -> Disk:
    """The one disk with that WWN. Raises Refused if there is none, or several, or it may not be written."""
    doing = f"looking for {wwn} on {host}"
    found = [disk for disk in disks if disk.wwn == wwn]
    seen = "; ".join(describe(disk) for disk in disks) or "none"
    if not found:
        raise Refused(
            doing, f"no disk has it. Disks seen: {seen}", "correct the disk in the parameters; nothing was written"
        )
    if len(found) > 1:
        raise Refused(doing, f"several disks have it. Disks seen: {seen}", "nothing was written: this needs a person")
    problem = _problem(found[0])
    if problem:
        raise Refused(doing, f"{describe(found[0])} {problem}", "nothing was written")
    return found[0]


def describe(disk: Disk) -> str:
    """A disk in words."""
    about = " ".join(filter(None, (disk.model, disk.serial)))
    return f"{disk.wwn or 'no WWN'} ({disk.path}, {disk.size / 10**9:.1f} GB, {about})"


def partition(text: str, label: str) -> tuple[str, str] | None:
    """Path and file system of the partition with that label, in the output of `lsblk` for one disk."""
    for entry in _entries(text):
        for child in entry.get("children", ()):
            if label in (child.get("label"), child.get("partlabel")):
                return str(child["path"]), str(child.get("fstype") or "")
    return None


def _problem(disk: Disk) -> str:
    if not disk.writable:
        return "is read-only"
    if disk.removable:
        return "is removable"
    if disk.uses:
        return f"is in use: {', '.join(disk.uses)}"
    return ""


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(text)["blockdevices"]
    except (ValueError, KeyError, TypeError):
        raise ServiceFailed("reading the machine's disks", f"lsblk answered {text[:200]!r}") from None
    return found


def _disk(entry: Mapping[str, Any]) -> Disk:
    wwn = str(entry.get("wwn") or "")
    return Disk(
        path=str(entry["path"]),
        wwn=f"wwn-{wwn}" if wwn else "",
        serial=str(entry.get("serial") or "").strip(),
        model=str(entry.get("model") or "").strip(),
        size=int(entry["size"]),
        writable=not _true(entry.get("ro")),
        removable=_true(entry.get("rm")),
        uses=tuple(_uses(entry)),
    )


def _uses(entry: Mapping[str, Any]) -> Iterator[str]:
    """Mount points and swap of a device and of what is below it, and whatever but a partition is built on it."""
    points = entry.get("mountpoints") or [entry.get("mountpoint")]
    yield from (f"{entry['path']} at {point}" for point in points if point)
    for child in entry.get("children", ()):
        if child.get("type") != "part":
            yield f"{child['path']} ({child.get('type')})"
        yield from _uses(child)


def _true(value: object) -> bool:
    return value in (True, 1, "1", "true")  # older versions of lsblk print "0" and "1"
