"""Findings as a table; nothing where there are none."""

from __future__ import annotations

from ..report import Report, Severity
from .document import Table, Tone

_TONES: dict[Severity, Tone] = {"error": "bad", "warning": "warn", "info": "plain"}


def findings(report: Report, title: str = "Findings") -> Table | None:
    """A row a finding, the same message about several places in one row."""
    if not len(report):
        return None
    places = _places(report)
    rows = [(kind, ", ".join(where), message, remedy) for (kind, message, remedy), where in places.items()]
    tones = [_TONES[kind] for kind, _, _ in places]
    return Table(("severity", "where", "what", "what to do"), rows, title, tones)


def lines(report: Report) -> list[str]:
    """The same for a shell: a line each."""
    return [
        f"{kind}: {message}{f' ({remedy})' if remedy else ''}: {', '.join(where)}"
        for (kind, message, remedy), where in _places(report).items()
    ]


def _places(report: Report) -> dict[tuple[Severity, str, str], list[str]]:
    """Where each thing was found."""
    places: dict[tuple[Severity, str, str], list[str]] = {}
    for finding in report:
        places.setdefault((finding.severity, finding.message, finding.remedy), []).append(finding.where)
    return places
