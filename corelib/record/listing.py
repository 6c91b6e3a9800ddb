"""The runs of a project, from their journals."""

from __future__ import annotations

from collections.abc import Iterator
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
    ticket: str = ""
    remark: str = ""  # what must not be overlooked: a damaged journal, an approval that was gone without

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def records(root: Path, environment: str = "") -> list[Record]:
    """All runs below `records/`, oldest first, of one environment if it is named."""
    folders = [entry.parent for entry in (root / "records").glob(f"*/*/{journal.NAME}")]
    found = sorted((record(folder) for folder in folders), key=lambda one: (one.started, one.id))
    return [one for one in found if environment in ("", one.environment)]


def find(root: Path, run: str) -> Path | None:
    """The folder of a run, by its id or the end of it; None if there is none, or more than one."""
    folders = [entry.parent for entry in (root / "records").glob(f"*/*/{journal.NAME}")]
    exact = [folder for folder in folders if folder.name == run]
    found = exact or [folder for folder in folders if run and folder.name.endswith(run)]
    return found[0] if len(found) == 1 else None


def record(folder: Path) -> Record:
    """One run from its folder; of a damaged journal what can be read of it, and a remark."""
    # Alive is asked first: a run that ends between the two questions is then read as ended, not as interrupted.
    live = journal.live(folder)
    entries, damaged = journal.salvage(folder)
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
        ticket=parameters.get("ticket", ""),
        remark="; ".join(_remarks(folder, entries, damaged)),
    )


def _remarks(folder: Path, entries: list[journal.Entry], damaged: bool) -> Iterator[str]:
    if damaged:
        yield "its journal is damaged: runbooks verify-record says where"
    if any(entry["kind"] == "break-glass" for entry in entries) and not _countersigned(folder, entries):
        yield "BREAK GLASS, not countersigned"


def _countersigned(folder: Path, entries: list[journal.Entry]) -> bool:
    if not any(folder.glob("countersigned-*.sig")):
        return False
    from . import countersigned  # noqa: PLC0415 - takes 0.3 s to load, and is hardly ever needed

    return any(countersigned.names(folder, entries).values())
