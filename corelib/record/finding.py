"""What a check of a record finds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`altered`: it is not what was recorded; `open`: nobody can tell yet; `note`: good to know."""

    kind: Literal["altered", "open", "note"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.message}"


def opened(where: str, message: str) -> Finding:
    """A finding of what is not closed yet."""
    return Finding("open", where, message)


def content(path: Path) -> bytes:
    """A file's content; empty if it cannot be read, which every check takes for a difference."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def sha256(text: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(text).hexdigest()
