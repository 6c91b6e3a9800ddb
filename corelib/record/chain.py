"""All records of an environment against its ledger: what is missing, added, altered; and pruning, which says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import ledger
from .finding import Finding, opened
from .journal import NAME as JOURNAL
from .listing import UNFILED, Record
from .verify import Verification, verify

if TYPE_CHECKING:
    from .signing import Key


@dataclass(frozen=True, slots=True)
class Chain:
    """What was found out about a folder of records: about the ledger itself, its head, and about each record."""

    head: str
    findings: tuple[Finding, ...]
    records: tuple[Verification, ...]

    @property
    def intact(self) -> bool:
        """True if neither the ledger nor any record was altered."""
        return not any(f.kind == "altered" for f in self.findings) and all(one.intact for one in self.records)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        findings = [{"kind": f.kind, "where": f.where, "message": f.message} for f in self.findings]
        records = [one.as_dict() for one in self.records]
        return {"head": self.head, "intact": self.intact, "findings": findings, "records": records}


def verify_all(folder: Path, signers: str | None = None, head: str = "") -> Chain:
    """Check the folder `records/<environment>`. `head` is a ledger's head that was kept elsewhere, or empty."""
    lines = ledger.read(folder)
    there = {path.parent.name for path in folder.glob(f"*/{JOURNAL}")}
    if folder.name == UNFILED:  # runs that ended before their environment was known belong to no chain
        return Chain("", (), tuple(verify(folder / name, signers) for name in sorted(there)))
    found = [*_links(lines), *_missing(folder, lines, there), *_tombstones(lines, signers)]
    known = {line.entry["record"] for line in lines if line.entry is not None}
    found += [Finding("altered", name, "the ledger does not know this record") for name in sorted(there - known)]
    found += held(lines, head)
    if ledger.torn(folder):
        found.append(opened(f"{ledger.NAME}:{len(lines) + 1}", "its last line was cut off: the next run's replaces it"))
    if there and not lines:
        found.append(Finding("altered", ledger.NAME, "there is none"))
    return Chain(ledger.head(folder), tuple(found), tuple(verify(folder / name, signers) for name in sorted(there)))


def held(lines: Iterable[ledger.Line], head: str) -> list[Finding]:
    """What is wrong if a ledger does not hold the head that was kept elsewhere; nothing if none was."""
    if not head or head in {line.digest for line in lines}:
        return []
    return [Finding("altered", ledger.NAME, f"it does not hold the head {head}: its newest lines are missing")]


def environments(folder: Path) -> list[Path]:
    """The folders of environments in `records/`, each with records or a ledger; none if it is no such folder."""
    there = {path.parent for path in folder.glob(f"*/{ledger.NAME}")}
    return sorted(there | {path.parent.parent for path in folder.glob(f"*/*/{JOURNAL}")})


def prune(folder: Path, old: Iterable[Record], key: Key | None) -> None:
    """Remove these records of an environment, each leaving a tombstone in the ledger, signed if there is a key."""
    for one in old:
        stone = {
            "record": one.id,
            "runbook": one.runbook,
            "started": one.started,
            "outcome": one.outcome,
            "operator": one.operator,
            "journal": ledger.sealed_as(folder, one.id),
        }
        signature = ""
        if key is not None:
            from . import signing  # noqa: PLC0415 - takes 0.3 s to load

            signature = key.sign(_canonical(stone), signing.TOMBSTONE).decode()
        ledger.append(folder, "pruned", one.id, stone=stone, signature=signature)
        shutil.rmtree(folder / one.id)


def older(records: Iterable[Record], keep: timedelta, now: datetime) -> list[Record]:
    """The runs that are over for longer than `keep` and need nobody's attention any more."""
    return [one for one in records if one.ended and not one.remark and now - datetime.fromisoformat(one.ended) > keep]


def _links(lines: list[ledger.Line]) -> Iterable[Finding]:
    previous = ""
    for line in lines:
        where = f"{ledger.NAME}:{line.number + 1}"
        if line.entry is None:
            yield Finding("altered", where, "the line is no entry")
        elif line.entry.get("n") != line.number or line.entry["previous"] != previous:
            yield Finding("altered", where, "the line before it is not the one that was written")
        elif line.entry["event"] not in ledger.EVENTS:
            yield Finding("altered", where, f"{line.entry['event']!r} is no event of a ledger")
        previous = line.digest


def _missing(folder: Path, lines: list[ledger.Line], there: set[str]) -> Iterable[Finding]:
    """Records that the ledger knows and that are not there, though they were neither moved nor pruned."""
    last = {line.entry["record"]: line.entry for line in lines if line.entry is not None}
    for name, entry in last.items():
        if name in there or entry["event"] == "pruned":
            continue
        if entry["event"] != "moved":
            yield Finding(
                "altered", name, f"the record was removed; the ledger's last word on it is {entry['event']!r}"
            )
        elif not _arrived(folder.parent, str(entry.get("to")), name):
            found = f"the ledger says that it was moved to {entry.get('to')}, which knows nothing of it"
            yield Finding("altered", name, found)


def _arrived(folder: Path, environment: str, record: str) -> bool:
    """True if an environment beside this one has the record, or its ledger knows what became of it."""
    if "/" in environment or environment in ("", ".", ".."):
        return False
    known = (line.entry["record"] for line in ledger.read(folder / environment) if line.entry is not None)
    return (folder / environment / record / JOURNAL).is_file() or record in known


def _tombstones(lines: list[ledger.Line], signers: str | None) -> Iterable[Finding]:
    for line in lines:
        if line.entry is None or line.entry["event"] != "pruned":
            continue
        name, armour = line.entry["record"], str(line.entry.get("signature", ""))
        if not armour:
            kind: Literal["altered", "note"] = "note" if signers is None else "altered"
            yield Finding(kind, name, "it was pruned, and its tombstone is unsigned")
            continue
        from . import signing  # noqa: PLC0415 - takes 0.3 s to load

        stone = line.entry.get("stone")
        if not isinstance(stone, dict) or stone.get("record") != name:
            yield Finding("altered", name, "its tombstone is another record's")
            continue
        signature = signing.check(_canonical(stone), armour.encode(), signing.TOMBSTONE)
        if signature is None or not signature.good:
            yield Finding("altered", name, "its tombstone's signature is not one of this tombstone")
        elif signers is not None and not signing.allowed(signature.public, signing.TOMBSTONE, signers):
            yield Finding("altered", name, f"its tombstone's key {signature.fingerprint} is not allowed")
        else:
            yield Finding("note", name, f"it was pruned, by {signature.fingerprint}")


def _canonical(stone: object) -> bytes:
    return json.dumps(stone, sort_keys=True, separators=(",", ":")).encode()
