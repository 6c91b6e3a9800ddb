"""Checking a record: its journal's chain and seal, its files, and its notebook, cell by cell, against the journal.

What a seal proves, and what it cannot, stands in the README. Plain Python: works where no Jupyter is installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from . import ledger
from .against import Execution, compare
from .beside import artefacts, countersigned, filed
from .finding import Finding, content, opened, sha256
from .journal import NAME as JOURNAL
from .journal import live, parse
from .listing import UNFILED
from .notebook import cells
from .outcome import Outcome, outcome
from .seal import FILES, NOTEBOOK
from .signed import State, signature

_UNKNOWN = "the kernel ended while it ran execution {}: nobody vouches for what that cell shows"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found out about one record; `signer` is the key's fingerprint and, if it is allowed, its principal."""

    record: str
    outcome: Outcome
    signer: str
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        """True if nothing was altered."""
        return not any(finding.kind == "altered" for finding in self.findings)

    @property
    def sealed(self) -> bool:
        """True if the record is closed, and nothing of it is left open."""
        return not any(finding.kind == "open" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "intact": self.intact, "sealed": self.sealed}


def verify(folder: Path, signers: str | None = None) -> Verification:
    """Check one record. `signers` is the text of a file of allowed signers: what none of them signed counts as altered.

    Without it any key that signed will do, and a record that nobody signed is checked for damage only.
    """
    text = content(folder / JOURNAL)
    entries, found = _lines(text)
    start, end = (entries[0], entries[-1]) if entries else ({}, {})
    closed = end.get("kind") == "end"
    if start.get("run", folder.name) != folder.name:
        found.append(Finding("altered", JOURNAL, f"it is the journal of {start['run']}"))
    if not closed:
        running = live(folder)
        found.append(opened(JOURNAL, "the run is not over" if running else "it has no end: runbooks seal closes it"))
    lines = ledger.read(folder.parent) if folder.parent.name != UNFILED else []
    state = _state(folder, lines) if closed else "open"
    signer, more = signature(folder, text, str(end.get("signer", start.get("signer", ""))), state, signers)
    found += more
    found += artefacts(folder, entries)
    found += filed(folder, text, signers)
    found += countersigned(folder, entries)
    found += _approved(entries)
    found += _in_ledger(folder, text, entries, lines)
    if (folder / NOTEBOOK).exists():
        found += notebook_findings(folder, (folder / NOTEBOOK).read_bytes(), entries)
    result = outcome(entries, live=live(folder)) if entries else "interrupted"
    return Verification(folder.name, result, signer, tuple(found))


def notebook_findings(folder: Path, saved: bytes, entries: list[dict[str, Any]]) -> list[Finding]:
    """What a saved notebook says otherwise than the journal of its run, and of the runs that it continues."""
    try:
        shown = cells(saved, NOTEBOOK)
    except Exception as problem:  # noqa: BLE001 - whatever is wrong with it, it is not the notebook that was saved
        return [Finding("altered", NOTEBOOK, str(problem))]
    executions = _with_continued(folder, entries)
    named = entries[0].get("notebook", []) if entries else []
    outline = [(str(cell[0]), str(cell[1])) for cell in named if isinstance(cell, list) and len(cell) == 2]
    in_order = bool(entries) and entries[0].get("front_end") in ("papermill", "runbooks")
    whole = bool(entries) and entries[-1]["kind"] == "end"
    problems = compare(shown, executions, outline, in_order=in_order)
    kind: Literal["altered", "open"] = "altered" if whole else "open"
    broken = [one for one in executions if not one.whole]
    unknown = [Finding("note", NOTEBOOK, _UNKNOWN.format(one.number)) for one in broken] if whole else []
    return [*(Finding(kind, where, message) for where, message in problems), *unknown]


def executions_of(entries: list[dict[str, Any]]) -> list[Execution]:
    """The last state of every execution that a journal names, in the order of their beginning."""
    found: dict[int, Execution] = {}
    for entry in entries:
        if entry["kind"] == "cell":
            outputs = tuple(entry["outputs"])
            found[entry["cell"]] = Execution(
                entry["cell"], entry["source"], outputs, entry["id"], entry["count"], entry["status"] != "running"
            )
    return [found[number] for number in sorted(found)]


def _with_continued(folder: Path, entries: list[dict[str, Any]], seen: frozenset[str] = frozenset()) -> list[Execution]:
    """The executions of this run behind those of the runs in the same kernel that it continues, in one count."""
    name = str(entries[0].get("continues") or "") if entries else ""
    before = folder.parent / name
    if not name or name in seen or not (before / JOURNAL).is_file():
        return executions_of(entries)
    earlier = _with_continued(before, _lines(content(before / JOURNAL))[0], seen | {name})
    offset = max((one.number for one in earlier), default=0)
    return [*earlier, *(replace(one, number=one.number + offset) for one in executions_of(entries))]


def _lines(text: bytes) -> tuple[list[dict[str, Any]], list[Finding]]:
    """The entries that say something about the whole, and what is wrong with the chain, by line.

    Steps are left out but for a last one: they are many, and only their place in the chain matters here.
    """
    found: list[Finding] = []
    entries: list[dict[str, Any]] = []
    previous, clock, entry = "", "", None
    whole, _, rest = text.rpartition(b"\n")
    lines = whole.split(b"\n") if whole else []
    for n, line in enumerate(lines):
        where = f"{JOURNAL}:{n + 1}"
        entry = parse(line)
        if entry is not None and (entry["kind"] != "step" or n + 1 == len(lines)):
            entries.append(entry)
        if entry is None:
            found.append(Finding("altered", where, "the line is no entry"))
        elif entry["n"] != n:
            found.append(Finding("altered", where, f"it is entry {entry['n']}: lines were removed, added or moved"))
        elif entry["previous"] != previous:
            found.append(Finding("altered", where, "the line before it is not the one that was written"))
        previous = hashlib.sha256(line + b"\n").hexdigest()
        if entry is not None:
            if str(entry["time"]) < clock:
                found.append(Finding("note", where, f"the clock was set back: {entry['time']} follows {clock}"))
            clock = str(entry["time"])
    if rest:
        found.append(
            opened(f"{JOURNAL}:{len(lines) + 1}", "the last line was cut off: runbooks seal closes the record")
        )
    return entries, found


def _approved(entries: list[dict[str, Any]]) -> Iterator[Finding]:
    if any(entry["kind"] == "approval" for entry in entries):
        from . import approved  # noqa: PLC0415 - takes 0.3 s to load

        yield from approved.check(entries)


def _state(folder: Path, lines: list[ledger.Line]) -> State:
    entries = (line.entry for line in lines if line.entry is not None)
    return "sealed" if any((e["event"], e["record"]) == ("sealed", folder.name) for e in entries) else "closed"


def _in_ledger(
    folder: Path, journal: bytes, entries: list[dict[str, Any]], lines: list[ledger.Line]
) -> Iterator[Finding]:
    """The record against its environment's ledger."""
    if folder.parent.name == UNFILED or not any(entry["kind"] == "parameters" for entry in entries):
        return
    if not lines:
        yield Finding("note", ledger.NAME, "there is no ledger beside the record: other records cannot be told of")
        return
    ours = [line.entry for line in lines if line.entry is not None and line.entry["record"] == folder.name]
    events = {entry["event"]: entry for entry in ours}
    if "begun" not in events:
        yield Finding("altered", ledger.NAME, f"it does not know {folder.name}")
    if entries[-1]["kind"] == "end" and "sealed" not in events:
        yield opened(ledger.NAME, "it does not know that the record was sealed: runbooks seal finishes it")
    if "sealed" in events and events["sealed"].get("journal") != sha256(journal):
        yield Finding("altered", JOURNAL, "the ledger knows another journal for this record")
    listing = content(folder / FILES)
    if listing and "filed" not in events:
        yield opened(ledger.NAME, "it does not know that the notebook was filed: runbooks seal finishes it")
    if "filed" in events and not listing:
        yield Finding("altered", FILES, "it was removed")
    elif "filed" in events and events["filed"].get("files") != sha256(listing):
        yield Finding("altered", FILES, "the ledger knows another list of files for this record")
    # The newest one: a run that chose another environment found another ledger there.
    head = next((entry["ledger"] for entry in reversed(entries) if entry["kind"] == "parameters"), "")
    if head and head not in {line.digest for line in lines}:
        yield Finding("altered", ledger.NAME, "it is not the ledger that this run found: lines of it were altered")
