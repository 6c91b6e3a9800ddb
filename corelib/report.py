"""Findings and reports: what a validation or a check has to say, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

Severity = Literal["error", "warning", "info"]


class Finding(NamedTuple):
    """One thing found: how bad, where (`file:line`, host or resource), what, and what to do about it."""

    severity: Severity
    where: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.severity}: {self.message}"
        return f"{text} ({self.remedy})" if self.remedy else text


class Report(tuple[Finding, ...]):
    """Findings in the order in which they were found."""

    __slots__ = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Self:
        """Collect findings."""
        return cls(findings)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid going on."""
        return tuple(f for f in self if f.severity == "error")

    @property
    def ok(self) -> bool:
        """True if no finding is an error."""
        return not self.errors

    def __str__(self) -> str:
        return "\n".join(str(f) for f in self)
