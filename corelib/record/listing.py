"""The runs of a project, from their journals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import journal
from .outcome import Outcome, outcome

UNFILED = "unfiled"  # where a run's folder is until its environment is known


@dataclass(frozen=True, slots=True)
class Record:
    """One run: `started` and `ended` are UTC in ISO 8601 (empty while it runs), `path` is its folder."""

    id: str
    runbook: str
    environment: str
    started: str
    ended: str
    outcome: Outcome
    operator: str
    reason: str
    path: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def records(root: Path, environment: str = "") -> list[Record]:
    """All runs below `records/`, oldest first, of one environment if it is named. Raises JournalError."""
    folders = [entry.parent for entry in (root / "records").glob(f"*/*/{journal.NAME}")]
    found = sorted((record(folder) for folder in folders), key=lambda one: (one.started, one.id))
    return [one for one in found if environment in ("", one.environment)]


def record(folder: Path) -> Record:
    """One run from its folder."""
    # Alive is asked first: a run that ends between the two questions is then read as ended, not as interrupted.
    live = journal.live(folder)
    entries = journal.read(folder)
    start = entries[0] if entries else {}
    last = entries[-1] if entries else {}
    parameters = next((e for e in reversed(entries) if e["kind"] == "parameters"), {})
    return Record(
        id=folder.name,
        runbook=start.get("runbook", ""),
        environment=parameters.get("environment", ""),
        started=start.get("time", ""),
        ended=last.get("time", "") if last.get("kind") == "end" else "",
        outcome=outcome(entries, live=live),
        operator=start.get("operator", ""),
        reason=parameters.get("reason", ""),
        path=str(folder),
    )
