"""One trap in a cloud-config: where, for which releases, how bad, what to do, and the edit that removes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text from `start` to `end` (offsets in characters)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Trap:
    """`rule` is a short name for machines; `releases` those that it concerns; `edit` is None where a person decides."""

    rule: str
    severity: Severity
    line: int
    message: str
    remedy: str = ""
    releases: tuple[str, ...] = ()
    edit: Edit | None = None
