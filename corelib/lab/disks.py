"""A lab's data disks: folders that outlive the hosts they are attached to, as a cloud's disks do.

A disk is blank until something makes a file system on it; mounting is a link into the host's root.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import systemd
from .systemd import UnitError

_LUN = re.compile(r"/dev/disk/azure/(?:scsi1/lun|data/by-lun/)(\d+)")  # Azure's udev rules


@dataclass(frozen=True, slots=True)
class Disks:
    """All disks of a lab, a folder each."""

    folder: Path

    def erase(self, name: str) -> None:
        """The disk is deleted; unknown names are ignored."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def mount(self, path: str, root: Path, units: Mapping[str, Sequence[str]], attached: Sequence[str]) -> None:
        """Mount what a host's mount unit says at `path`, after the services that it requires. Raises UnitError.

        `units` are the host's units with their files, `attached` its data disks by LUN. Nothing is done if no unit
        mounts anything there: the path is on the root disk then.
        """
        name = path.strip("/").replace("-", r"\x2d").replace("/", "-") + ".mount"
        if name not in units:
            return
        facts = {one.key: one.value for text in units[name] for one in systemd.settings(text) if one.section == "Mount"}
        if facts.get("Where", "").rstrip("/") != path.rstrip("/"):
            raise UnitError(f"{name}: Where= setting doesn't match unit name. Refusing.")
        disk = self._attached(facts.get("What", ""), attached, name)
        for service in systemd.required(units[name]):
            self._format(service, units, attached)
        system = self.folder / disk / "ext4"
        if not system.is_dir():
            raise UnitError(f"{name}: wrong fs type, bad superblock on {facts['What']}: the disk is blank")
        target = root / path.strip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(system)

    def _attached(self, device: str, attached: Sequence[str], unit: str) -> str:
        match = _LUN.fullmatch(device)
        if match is None or int(match[1]) >= len(attached):
            raise UnitError(f"Dependency failed for {unit}: timed out waiting for device {device}")
        return attached[int(match[1])]

    def _format(self, service: str, units: Mapping[str, Sequence[str]], attached: Sequence[str]) -> None:
        """Run a oneshot that makes a file system: only on a blank disk, and only if it looks first."""
        if service not in units:
            raise UnitError(f"Dependency failed: Unit {service} not found.")
        commands = [one.value for text in units[service] for one in systemd.settings(text) if one.key == "ExecStart"]
        for command in commands:
            device = re.search(rf"mkfs\.ext4 [^;]*?({_LUN.pattern})", command)
            if device is None:
                continue
            disk = self.folder / self._attached(device[1], attached, service)
            if (disk / "ext4").is_dir() and "blkid --probe" not in command:
                shutil.rmtree(disk / "ext4")  # what mkfs does to a disk that nobody has looked at
            (disk / "ext4").mkdir(parents=True, exist_ok=True)
