"""What goes wrong on purpose, as plain data: with Robot, with the machine's boots, with its disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Boot = Literal["rescue", "disk", "old", "dark"]


@dataclass(frozen=True, slots=True)
class Faults:
    """Of every machine alike.

    `announces_another_key`: the host key that Robot tells is not the one that answers. `never_up`: a boot never reaches
    SSH. `host_name`: what the rescue system calls itself. `deaf`: kinds of reset without effect. `wol`: whether it
    hears Wake-on-LAN. `armed` and `unarmed` are what the next boots lead to, one after the other, with and without an
    armed rescue system; then as it should be. `old` is a system with a host key of its own. `disks` says of a disk, by
    the end of its serial, what it is like: `ro`, `rm`, `mounted` (where), `size`, `serial`, `wwn`, `busy`, `marks`
    (signatures: fstype, uuid), `holders` (name, type), `group` (of volumes). `gone` are disks that are not there.

    `robot` are refusals of Robot's, each for so many `times`: `method` and `path` (a part of it), and either `status`,
    `code` and more of the error's fields, or `silent`: "before" it does what is asked, or "after".
    """

    announces_another_key: bool = False
    never_up: bool = False
    host_name: str = "rescue"
    deaf: tuple[str, ...] = ()
    wol: bool = True
    armed: tuple[Boot, ...] = ()
    unarmed: tuple[Boot, ...] = ()
    starts: Boot | None = None
    firmware: Literal["BIOS", "UEFI"] = "BIOS"
    disks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    robot: tuple[Mapping[str, Any], ...] = ()
