"""The commands of a lab machine that would look at real hardware: stand-ins by the same names, found first on PATH.

Each does what an install needs of it, on the machine's own disks; an option that it does not know is an error.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import disk, image, listing, nodes

MOUNTS = Path("/run/lab/mounts.json")
ENTRIES = Path("/run/lab/boot-entries")


def main(name: str, arguments: Sequence[str]) -> int:
    """Run one command; a fault is one line on standard error."""
    try:
        return COMMANDS[name](list(arguments))
    except (OSError, disk.DiskError, subprocess.CalledProcessError) as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return 32 if name == "mount" else 1


def mount(arguments: list[str]) -> int:
    """mount(8) of a partition that holds a file system: it is unpacked into a tmpfs at the target."""
    options = _parser("mount")
    options.add_argument("-t")
    options.add_argument("-o", default="rw")
    options.add_argument("device")
    options.add_argument("target")
    given = options.parse_args(arguments)
    found = nodes.partition(given.device)
    if found is None:
        raise disk.DiskError(f"{given.target}: special device {given.device} does not exist.")
    device, part = found
    place = str(Path(given.target).resolve())
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "mode=755,nosuid,nodev", str(device), place], check=True)
    with device.open("rb") as file:
        disk.unpack(file, part, Path(place))
    mounts = {**mounted(), place: {"node": str(Path(given.device).resolve()), "mode": given.o}}
    MOUNTS.write_text(json.dumps(mounts))
    return 0


def umount(arguments: list[str]) -> int:
    """umount(8): what was mounted is packed into its partition, unless it was mounted read-only."""
    options = _parser("umount")
    options.add_argument("target")
    place = str(Path(options.parse_args(arguments).target).resolve())
    mounts = mounted()
    if place not in mounts:
        raise disk.DiskError(f"{place}: not mounted.")
    found = nodes.partition(mounts[place]["node"])
    if found is not None and "ro" not in mounts[place]["mode"].split(","):
        with found[0].open("r+b") as file:
            disk.pack(Path(place), file, found[1])
    subprocess.run(["/bin/umount", place], check=True)
    MOUNTS.write_text(json.dumps({key: one for key, one in mounts.items() if key != place}))
    return 0


def mounted() -> dict[str, Any]:
    """What is mounted, by its mount point."""
    found: dict[str, Any] = json.loads(MOUNTS.read_text()) if MOUNTS.exists() else {}
    return found


def lsblk(arguments: list[str]) -> int:
    """lsblk(8)."""
    return listing.lsblk(arguments, {one["node"]: place for place, one in mounted().items()})


def wipefs(arguments: list[str]) -> int:
    """wipefs(8): list the signatures of a disk, or with `--all` erase them."""
    options = _parser("wipefs")
    options.add_argument("-a", "--all", action="store_true")
    options.add_argument("--backup", action="store_true")
    options.add_argument("device")
    given = options.parse_args(arguments)
    one = nodes.whole(given.device)
    for mark in one["like"].get("marks", ()) if one else ():
        print(f"{given.device}: 4 bytes at offset 0x1000 ({mark['fstype']})")
    if given.all and one:
        _change(lambda disk: disk["like"].pop("marks", None) if disk["name"] == one["name"] else None)
    with Path(given.device).open("r+b") as file:
        for offset, magic, kind in listing.signatures(file):
            print(f"{given.device}: {len(magic)} bytes at offset {offset:#x} ({kind})")
            if given.all:
                file.seek(offset)
                file.write(bytes(len(magic)))
    return 0


def blkid(arguments: list[str]) -> int:
    """blkid(8), to find the partition with a label: `blkid -l -t LABEL=ROOT -o device NODE…`; 2 if there is none."""
    options = _parser("blkid")
    options.add_argument("-l", action="store_true")
    options.add_argument("-t", required=True)
    options.add_argument("-o", choices=("device", "value"), required=True)
    options.add_argument("-s", choices=("TYPE",))
    options.add_argument("nodes", nargs="*")
    given = options.parse_args(arguments)
    for path in given.nodes:
        found = nodes.partition(path)
        if found is not None and f"LABEL={found[1].label}" == given.t:
            print(path if given.o == "device" else "ext4")
            return 0
    return 2


def blockdev(arguments: list[str]) -> int:
    """blockdev(8): `--rereadpt` and `--getsz` (sectors of 512 bytes)."""
    options = _parser("blockdev")
    options.add_argument("--rereadpt", action="store_true")
    options.add_argument("--getsz", action="store_true")
    options.add_argument("device")
    given = options.parse_args(arguments)
    one = nodes.whole(given.device)
    if one is None:
        raise disk.DiskError(f"cannot open {given.device}: No such file or directory")
    if given.getsz:
        print(one["size"] // disk.SECTOR)
    if given.rereadpt:
        if one["like"].get("busy") or any(
            node.startswith(f"/dev/{one['name']}") for node in (m["node"] for m in mounted().values())
        ):
            raise disk.DiskError("ioctl error on BLKRRPART: Device or resource busy")
        nodes.refresh(nodes.disks())
    return 0


def mdadm(arguments: list[str]) -> int:
    """mdadm(8): `--stop DEVICE`."""
    options = _parser("mdadm")
    options.add_argument("--stop", required=True)
    return _let_go(options.parse_args(arguments).stop)


def lvchange(arguments: list[str]) -> int:
    """lvchange(8): `--activate n --yes VOLUME`."""
    options = _parser("lvchange")
    options.add_argument("--activate", choices=("n",), required=True)
    options.add_argument("--yes", action="store_true")
    options.add_argument("volume")
    return _let_go(options.parse_args(arguments).volume)


def pvs(_arguments: list[str]) -> int:
    """pvs(8): each physical volume, and its group."""
    for one in nodes.disks():
        if group := one["like"].get("group"):
            print(f"  /dev/{one['name']} {group}")
    return 0


def efibootmgr(arguments: list[str]) -> int:
    """efibootmgr(8): list the firmware's boot entries, or make one, for as long as this boot lasts."""
    options = _parser("efibootmgr")
    options.add_argument("-c", action="store_true")
    options.add_argument("-d")
    options.add_argument("-p", type=int, default=1)
    options.add_argument("-L")
    options.add_argument("-l", default=r"\EFI\boot\grub.efi")
    options.add_argument("-v", action="store_true")
    given = options.parse_args(arguments)
    if not Path("/sys/firmware/efi").exists():
        raise disk.DiskError("EFI variables are not supported on this system.")
    if given.c:
        with Path(given.d).open("rb") as device:
            part = next((one for one in disk.partitions(device) if one.number == given.p), None)
        if part is None:
            raise disk.DiskError("Could not prepare Boot variable: No such file or directory")
        first, count = part.first // disk.SECTOR, part.size // disk.SECTOR
        place = f"HD({part.number},GPT,{part.identity},{first:#x},{count:#x})/File({given.l})"
        with ENTRIES.open("a") as file:
            file.write(f"{given.L}\t{place}\n")
    entries = ENTRIES.read_text().splitlines() if ENTRIES.exists() else []
    shown = entries if given.v else [entry.partition("\t")[0] for entry in entries]
    print("\n".join(["BootCurrent: 0000", *(f"Boot{n:04}* {name}" for n, name in enumerate(shown, 1))]))
    return 0


def _let_go(path: str) -> int:
    """A device that is built on others is no more."""
    name = Path(path).name

    def without(one: dict[str, Any]) -> None:
        one["like"]["holders"] = [held for held in one["like"].get("holders", ()) if held["name"] != name]

    if not any(held["name"] == name for one in nodes.disks() for held in one["like"].get("holders", ())):
        raise disk.DiskError(f"{path}: no such device")
    _change(without)
    return 0


def _change(change: Callable[[dict[str, Any]], object]) -> None:
    """Change what is known of each disk."""
    known = nodes.disks()
    for one in known:
        change(one)
    nodes.DISKS.write_text(json.dumps(known))


def ssh_keygen(arguments: list[str]) -> int:
    """ssh-keygen(1): make an Ed25519 key pair without a passphrase."""
    options = _parser("ssh-keygen")
    options.add_argument("-q", action="store_true")
    options.add_argument("-t", choices=("ed25519",), required=True)
    options.add_argument("-N", choices=("",), required=True)
    options.add_argument("-C", default="")
    options.add_argument("-f", required=True)
    given = options.parse_args(arguments)
    from .keys import generate  # noqa: PLC0415 - needs a library that no other command does

    private, public = generate(given.C)
    path = Path(given.f)
    path.touch(0o600, exist_ok=False)
    path.write_bytes(private)
    path.with_name(f"{path.name}.pub").write_bytes(public)
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(name, add_help=False, allow_abbrev=False)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "blkid": blkid,
    "blockdev": blockdev,
    "efibootmgr": efibootmgr,
    "flatcar-image": image.main,
    "lsblk": lsblk,
    "lvchange": lvchange,
    "mdadm": mdadm,
    "mount": mount,
    "pvs": pvs,
    "ssh-keygen": ssh_keygen,
    "umount": umount,
    "wipefs": wipefs,
}
