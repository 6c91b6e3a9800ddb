"""What the content of a unit, a drop-in or an environment file says, as far as lint asks for it. Pure.

A fleet's hosts share most of their files and units: each text is read once.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_SETTING = re.compile(r"(ETCD_[A-Z_]+)=(.*)", re.DOTALL)
_FLAG = re.compile(r"--?([a-z][a-z-]+)(?:=|\s+)(\S+)")  # of etcd's own command line
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
    settings: list[tuple[str, str, int]] = []
    optional, ordered = list[int](), False
    for offset, line in enumerate(content.splitlines()):
        key, _, value = line.strip().partition("=")
        if key in ("Wants", "Requires", "BindsTo", "Requisite", "Unit"):
            pulls += value.split()
        elif key == "RequiresMountsFor":
            pulls += (f"{path.strip('/').replace('-', _DASH).replace('/', '-')}.mount" for path in value.split())
        elif key == "EnvironmentFile" and value.startswith("-"):
            optional.append(offset)
        ordered = ordered or key in ("After", "Requires", "BindsTo")
        settings += ((name, text, offset) for name, text in _settings(key, value, line))
    return Said(tuple(pulls), tuple(settings), tuple(optional), ordered)


def _settings(key: str, value: str, line: str) -> Iterator[tuple[str, str]]:
    """etcd's settings in a line: of an environment file, of `Environment=`, or flags of the command that runs it."""
    if key.startswith("Exec") and "etcd" in value:
        yield from ((f"ETCD_{name.replace('-', '_').upper()}", text) for name, text in _FLAG.findall(value))
    if "ETCD_" not in line:
        return
    try:
        words = shlex.split(value if key == "Environment" else line, comments=key != "Environment")
    except ValueError:  # a quote that is never closed: systemd ignores the line as well
        return
    yield from ((match[1], match[2]) for match in map(_SETTING.fullmatch, words) if match)
