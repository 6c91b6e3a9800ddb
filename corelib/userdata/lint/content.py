"""What the content of a unit, a drop-in or an environment file says, as far as lint asks for it. Pure.

A fleet's hosts share most of their files and units: each text is read once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_SETTING = re.compile(r'\s*(?:Environment=)?"?(ETCD_[A-Z_]+)="?([^"]*)"?\s*$')
_DASH = r"\x2d"  # a hyphen of a path in a unit's name (systemd.unit(5))


class Said(NamedTuple):
    """Offsets are in lines of the content, from 0.

    `pulls`: the units that it wants or requires, and so starts; `settings`: etcd's, with their offsets; `optional`:
    where an environment file may be missing; `ordered`: it comes after something.
    """

    pulls: tuple[str, ...]
    settings: tuple[tuple[str, str, int], ...]
    optional: tuple[int, ...]
    ordered: bool


@lru_cache(maxsize=1024)
def said(content: str) -> Said:
    """Read a content of whatever kind."""
    pulls: list[str] = []
    settings, optional, ordered = [], [], False
    for offset, line in enumerate(content.splitlines()):
        key, _, value = line.strip().partition("=")
        if key in ("Wants", "Requires", "BindsTo", "Requisite", "Unit"):
            pulls += value.split()
        elif key == "RequiresMountsFor":
            pulls += (f"{path.strip('/').replace('-', _DASH).replace('/', '-')}.mount" for path in value.split())
        elif key == "EnvironmentFile" and value.startswith("-"):
            optional.append(offset)
        ordered = ordered or key in ("After", "Requires", "BindsTo")
        match = _SETTING.match(line)
        if match:
            settings.append((match[1], match[2], offset))
    return Said(tuple(pulls), tuple(settings), tuple(optional), ordered)
