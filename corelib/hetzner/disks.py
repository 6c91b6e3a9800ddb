"""The machine's disks as its own `lsblk` lists them, and the one that a name means. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ..errors import Refused, ServiceFailed
from .facts import Disk, Holder

# The install script looks ROOT and OEM up with `blkid -l`, which asks every disk whichever it was given, and would put
# the user-data on whichever answers first; the installed system finds its own by these names, too, at every boot
# (flatcar/scripts, build_library/disk_layout.json; github.com/flatcar/Flatcar/issues/404).
OWN_LABELS = frozenset(("EFI-SYSTEM", "USR-A", "USR-B", "OEM", "ROOT"))
COLUMNS = "NAME,PATH,WWN,SERIAL,MODEL,SIZE,TYPE,RO,RM,MOUNTPOINTS,FSTYPE,UUID,LABEL,PARTLABEL,PTTYPE"
_MEMBERS = ("linux_raid_member", "LVM2_member", "zfs_member", "btrfs", "bcache", "crypto_LUKS", "drbd")
_PLAIN = ("part", "disk")
BUILT = "built on it: "  # before the arrays and volumes, in what a disk holds


def read(text: str, groups: Mapping[str, str] | None = None) -> tuple[Disk, ...]:
    """The whole disks in the output of `lsblk --json -b -o COLUMNS` (util-linux 2.37 and later).

    `groups` leads from a device to its LVM volume group (`pvs`), as `lsblk` does not tell which disks a group spans.
    """
    entries = [entry for entry in _entries(text) if entry.get("type") == "disk"]
    holders = Counter(path for entry in entries for path in {one["path"] for one in _below(entry) if _built(one)})
    marks = Counter(mark for entry in entries for mark in set(_marks(entry, groups or {})))
    found = tuple(_disk(entry, holders, marks, groups or {}) for entry in entries)
    return tuple(replace(disk, rivals=tuple(_rivals(disk, found))) for disk in found)


def choose(disks: tuple[Disk, ...], name: str, host: str) -> Disk:
    """The one disk with that name. Raises Refused if there is none, or several."""
    doing = f"looking for {name} on {host}"
    found = [disk for disk in disks if name in disk.names]
    seen = "; ".join(describe(disk) for disk in disks) or "none"
    if not found:
        raise Refused(
            doing, f"no disk has it. Disks seen: {seen}", "correct the disk in the parameters; nothing was written"
        )
    if len(found) > 1:
        remedy = "give a name in the parameters that one disk has, or take the other disk out; nothing was written"
        raise Refused(doing, f"several disks have it. Disks seen: {seen}", remedy)
    return found[0]


def describe(disk: Disk) -> str:
    """A disk in words."""
    about = " ".join(filter(None, (disk.model, disk.serial)))
    return f"{disk.wwn or 'no WWN'} ({disk.path}, {disk.size / 10**9:.1f} GB, {about})"


def labels(text: str) -> dict[str, tuple[str, str]]:
    """Node and file system of each partition by its label, in the output of `lsblk` for one disk."""
    found: dict[str, tuple[str, str]] = {}
    for entry in _entries(text):
        for child in entry.get("children", ()):
            for name in {child.get("label"), child.get("partlabel")} - {None, ""}:
                found[str(name)] = (str(child["path"]), str(child.get("fstype") or ""))
    return found


def partition(text: str, label: str) -> tuple[str, str] | None:
    """Path and file system of the partition with that label, in the output of `lsblk` for one disk."""
    return labels(text).get(label)


def identity(text: str, label: str) -> str:
    """The GUID (PARTUUID) of the partition with that label, in the output of `lsblk` for one disk; empty if unknown."""
    children = [child for entry in _entries(text) for child in entry.get("children", ())]
    return next((str(one["partuuid"]) for one in children if one.get("partlabel") == label and one["partuuid"]), "")


def root_of(text: str) -> str:
    """The serial of the disk on which a running system's `/` is; empty if it is on none of them."""
    for entry in _entries(text):
        if any("/" in _points(one) for one in (entry, *_below(entry))):
            return str(entry.get("serial") or "").strip()
    return ""


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads(text)["blockdevices"]
    except (ValueError, KeyError, TypeError):
        raise ServiceFailed("reading the machine's disks", f"lsblk answered {text[:200]!r}") from None
    return found


def _disk(
    entry: Mapping[str, Any], holders: Mapping[str, int], marks: Mapping[str, int], groups: Mapping[str, str]
) -> Disk:
    serial, model = str(entry.get("serial") or "").strip(), str(entry.get("model") or "").strip()
    names = _names(str(entry.get("name") or ""), str(entry.get("wwn") or ""), model, serial)
    built = {one["path"]: one for one in _below(entry) if _built(one)}
    return Disk(
        path=str(entry["path"]),
        wwn=names[0] if names else "",
        serial=serial,
        model=model,
        size=int(entry["size"]),
        writable=not _true(entry.get("ro")),
        removable=_true(entry.get("rm")),
        names=frozenset(names),
        uses=tuple(dict.fromkeys(_uses(entry))),
        holders=tuple(Holder(path, str(one.get("type")), holders[path] > 1) for path, one in reversed(built.items())),
        holds=tuple(_holds(entry, groups)),
        shares=tuple(mark for mark in dict.fromkeys(_marks(entry, groups)) if marks[mark] > 1),
        nodes=tuple(str(one["path"]) for one in entry.get("children", ()) if one.get("type") == "part"),
        labels=frozenset(_labels(entry)),
    )


def _names(device: str, wwn: str, model: str, serial: str) -> list[str]:
    """As udev's 60-persistent-storage.rules link them; an NVMe disk may have no WWN of the SCSI kind."""
    if not device.startswith("nvme"):
        return [f"wwn-{wwn}"] if wwn else []
    by_serial = f"nvme-{model}_{serial}".replace(" ", "_") if serial else ""
    return [name for name in (f"nvme-{wwn}" if wwn else "", by_serial, by_serial and f"{by_serial}_1") if name]


def _below(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything under a device, what something is built on before what is built on it."""
    for child in entry.get("children", ()):
        yield child
        yield from _below(child)


def _built(one: Mapping[str, Any]) -> bool:
    return one.get("type") not in _PLAIN


def _points(one: Mapping[str, Any]) -> list[str]:
    return [str(point) for point in one.get("mountpoints") or [one.get("mountpoint")] if point]


def _uses(entry: Mapping[str, Any]) -> Iterator[str]:
    for one in (entry, *_below(entry)):
        yield from (f"{one['path']} at {point}" for point in _points(one))


def _holds(entry: Mapping[str, Any], groups: Mapping[str, str]) -> Iterator[str]:
    """What is on a disk, without its letter, which is another one after the next boot; last what is built on it."""
    if entry.get("pttype") and entry.get("children"):
        yield f"a partition table ({entry['pttype']})"
    elif entry.get("pttype"):
        yield f"an empty partition table ({entry['pttype']})"
    if entry.get("fstype"):
        yield _content(entry, "the whole disk", groups)
    for one in entry.get("children", ()):
        if one.get("type") == "part":
            yield _content(one, f"partition {str(one['name']).removeprefix(str(entry['name'])).lstrip('p')}", groups)
    built = {
        one["path"]: f"{one['path']} ({one.get('type')}{_of(one, groups)})" for one in _below(entry) if _built(one)
    }
    if built:
        yield f"{BUILT}{', '.join(reversed(built.values()))}"


def _of(one: Mapping[str, Any], groups: Mapping[str, str]) -> str:
    return f" of the volume group {group}" if (group := groups.get(str(one["path"]))) else ""


def _content(one: Mapping[str, Any], where: str, groups: Mapping[str, str]) -> str:
    name = one.get("label") or one.get("partlabel") or ""
    about = " ".join(filter(None, (str(one.get("fstype") or "nothing known"), f"{name!r}" if name else "")))
    about += _of(one, groups)
    return f"{where}: {about}, {int(one['size']) / 10**9:.1f} GB"


def _marks(entry: Mapping[str, Any], groups: Mapping[str, str]) -> Iterator[str]:
    """What makes a disk a part of something larger: such a signature's id, or its volume group."""
    for one in (entry, *_below(entry)):
        if one.get("fstype") in _MEMBERS and one.get("uuid") and one["fstype"] != "LVM2_member":
            yield f"{one['fstype']} {one['uuid']}"
        if group := groups.get(str(one["path"])):
            yield f"volume group {group}"


def _rivals(disk: Disk, found: tuple[Disk, ...]) -> Iterator[str]:
    for other in found:
        if other != disk and (labels := sorted(other.labels & OWN_LABELS)):
            yield f"{describe(other)} has {', '.join(labels)}"


def _labels(entry: Mapping[str, Any]) -> Iterator[str]:
    """The names of a device's file system and partition, and of all that is below it."""
    for one in (entry, *_below(entry)):
        yield from (str(name) for name in (one.get("label"), one.get("partlabel")) if name)


def _true(value: object) -> bool:
    return value in (True, 1, "1", "true")  # older versions of lsblk print "0" and "1"
