"""Checking a record: its journal's chain and seal, its files, and its notebook, cell by cell, against the journal.

What a seal proves, and what it cannot, stands in the README. Plain Python: works where no Jupyter is installed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from . import ledger
from .against import Execution, compare
from .journal import NAME as JOURNAL
from .journal import live, parse
from .listing import UNFILED
from .notebook import cells
from .outcome import Outcome, outcome
from .seal import FILES, FILES_SIGNATURE, NOTEBOOK, SIGNATURE

_UNKNOWN = "the kernel ended while it ran execution {}: nobody vouches for what that cell shows"


@dataclass(frozen=True, slots=True)
class Finding:
    """`altered`: it is not what was recorded; `open`: nobody can tell yet; `note`: good to know."""

    kind: Literal["altered", "open", "note"]
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.message}"


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
    """Check one record. `signers` is the text of a file of allowed signers; without it any key that signed will do."""
    content = _read(folder / JOURNAL)
    entries, found = _lines(content)
    start, end = (entries[0], entries[-1]) if entries else ({}, {})
    closed = end.get("kind") == "end"
    if not closed:
        running = live(folder)
        found.append(_open(JOURNAL, "the run is not over" if running else "it has no end: runbooks seal closes it"))
    signer, more = _signature(folder, content, str(end.get("signer", start.get("signer", ""))), closed, signers)
    found += more
    found += _artefacts(folder, end.get("artefacts", {}) if closed else None)
    found += _filed(folder, content, signers)
    found += _countersigned(folder, entries)
    found += _in_ledger(folder, content, entries, closed)
    if (folder / NOTEBOOK).exists():
        found += notebook_findings(folder, (folder / NOTEBOOK).read_bytes(), entries)
    result = outcome(entries, live=live(folder)) if entries else "interrupted"
    return Verification(folder.name, result, signer, tuple(found))


def notebook_findings(folder: Path, content: bytes, entries: list[dict[str, Any]]) -> list[Finding]:
    """What a saved notebook says otherwise than the journal of its run, and of the runs that it continues."""
    try:
        shown = cells(content, NOTEBOOK)
    except Exception as problem:  # noqa: BLE001 - whatever is wrong with it, it is not the notebook that was saved
        return [Finding("altered", NOTEBOOK, str(problem))]
    executions = [*_continued(folder, entries), *executions_of(entries)]
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


def _continued(folder: Path, entries: list[dict[str, Any]]) -> list[Execution]:
    """The executions of the runs in the same kernel before this one."""
    before = entries[0].get("continues") if entries else None
    if not before or not (folder.parent / str(before) / JOURNAL).is_file():
        return []
    earlier = _lines(_read(folder.parent / str(before) / JOURNAL))[0]
    return [*_continued(folder.parent / str(before), earlier), *executions_of(earlier)]


def _lines(content: bytes) -> tuple[list[dict[str, Any]], list[Finding]]:
    """The entries that say something about the whole, and what is wrong with the chain, by line.

    Steps are left out but for a last one: they are many, and only their place in the chain matters here.
    """
    found: list[Finding] = []
    entries: list[dict[str, Any]] = []
    previous, clock, entry = "", "", None
    whole, _, rest = content.rpartition(b"\n")
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
        found.append(_open(f"{JOURNAL}:{len(lines) + 1}", "the last line was cut off: runbooks seal closes the record"))
    return entries, found


def _signature(folder: Path, content: bytes, said: str, closed: bool, signers: str | None) -> tuple[str, list[Finding]]:
    """Who signed the journal, and what is wrong with that. `said` is the key that the journal itself names."""
    armour = _read(folder / SIGNATURE)
    if not armour:
        if said and closed:
            return "", [Finding("altered", SIGNATURE, f"the run was to be signed by {said}, and no signature is there")]
        unsigned = "unsigned: the chain shows damage, not a forger who writes all of it anew"
        return "", [Finding("note", JOURNAL, unsigned)] if closed else []
    signer, found = _signed(SIGNATURE, content, armour, "record", signers)
    if said and not signer.startswith(said):
        found.append(Finding("altered", SIGNATURE, f"the journal names the key {said}"))
    return signer, found


def _signed(name: str, content: bytes, armour: bytes, purpose: str, signers: str | None) -> tuple[str, list[Finding]]:
    """The key that signed a content, with its principal, and what is wrong with it."""
    from . import signing  # noqa: PLC0415 - takes 0.3 s to load

    namespace = f"coreos-runbooks-{purpose}"
    signature = signing.check(content, armour, namespace)
    if signature is None:
        return "", [Finding("altered", name, f"it is no signature of the kind {namespace}")]
    if not signature.good:
        return "", [Finding("altered", name, f"{signature.fingerprint} did not sign this content")]
    if signers is None:
        return signature.fingerprint, []
    principal = signing.allowed(signature.public, namespace, signers)
    if not principal:
        return signature.fingerprint, [Finding("altered", name, f"the key {signature.fingerprint} is not allowed")]
    return f"{signature.fingerprint} ({principal})", []


def _artefacts(folder: Path, recorded: dict[str, str] | None) -> list[Finding]:
    """What is beside the journal, against what its end says; None: it has no end yet."""
    late = {JOURNAL, SIGNATURE, FILES, FILES_SIGNATURE, *_manifest(folder).get("files", {})}
    there = {path.name: path for path in folder.iterdir() if path.name not in late} if folder.is_dir() else {}
    there = {
        name: path for name, path in there.items() if name != NOTEBOOK and not fnmatch(name, "countersigned-*.sig")
    }
    if recorded is None:
        return []
    found = [
        Finding("altered", name, "it is not part of the record") for name in sorted(there.keys() - recorded.keys())
    ]
    for name, digest in recorded.items():
        if name not in there:
            found.append(Finding("altered", name, "it was removed"))
        elif _sha256(_read(there[name])) != digest:
            found.append(Finding("altered", name, "it is not the file that was recorded"))
    return found


def _countersigned(folder: Path, entries: list[dict[str, Any]]) -> Iterator[Finding]:
    if not entries or not any(folder.glob("countersigned-*.sig")):
        return
    from . import countersigned  # noqa: PLC0415 - takes 0.3 s to load

    for file, name in countersigned.names(folder, entries).items():
        if name:
            yield Finding("note", file, f"countersigned by {name}")
        else:
            yield Finding("altered", file, "it is no countersignature of this record by one who may give it")


def _filed(folder: Path, journal: bytes, signers: str | None) -> list[Finding]:
    """What was filed after the end, against its own list."""
    manifest, listing = _manifest(folder), _read(folder / FILES)
    if not listing:
        return [] if not (folder / NOTEBOOK).exists() else [_open(FILES, "the notebook was never filed")]
    if not manifest:
        return [Finding("altered", FILES, "it is no list of files")]
    found = []
    if manifest.get("record") != folder.name or manifest.get("journal") != _sha256(journal):
        found.append(Finding("altered", FILES, "it belongs to another record or journal"))
    for name, digest in manifest["files"].items():
        if not (folder / name).exists():
            found.append(Finding("altered", name, "it was removed"))
        elif _sha256(_read(folder / name)) != digest:
            found.append(Finding("altered", name, "it is not the file that was filed"))
    armour = _read(folder / FILES_SIGNATURE)
    if manifest.get("signer") and not armour:
        found.append(Finding("altered", FILES_SIGNATURE, "it was removed"))
    if armour:
        signer, more = _signed(FILES_SIGNATURE, listing, armour, "files", signers)
        found += more
        if not more and not signer.startswith(str(manifest.get("signer"))):
            found.append(Finding("altered", FILES_SIGNATURE, f"the list names the key {manifest.get('signer')}"))
    return found


def _in_ledger(folder: Path, journal: bytes, entries: list[dict[str, Any]], closed: bool) -> Iterator[Finding]:
    """The record against its environment's ledger."""
    if folder.parent.name == UNFILED or not any(entry["kind"] == "parameters" for entry in entries):
        return
    lines = ledger.read(folder.parent)
    if not lines:
        yield Finding("note", ledger.NAME, "there is no ledger beside the record: other records cannot be told of")
        return
    ours = [line.entry for line in lines if line.entry is not None and line.entry["record"] == folder.name]
    events = {entry["event"]: entry for entry in ours}
    if "begun" not in events:
        yield Finding("altered", ledger.NAME, f"it does not know {folder.name}")
    if closed and "sealed" not in events:
        yield _open(ledger.NAME, "it does not know that the record was sealed: runbooks seal finishes it")
    if "sealed" in events and events["sealed"].get("journal") != _sha256(journal):
        yield Finding("altered", JOURNAL, "the ledger knows another journal for this record")
    filed = _read(folder / FILES)
    if "filed" in events and not filed:
        yield Finding("altered", FILES, "it was removed")
    elif "filed" in events and events["filed"].get("files") != _sha256(filed):
        yield Finding("altered", FILES, "the ledger knows another list of files for this record")
    head = next((entry["ledger"] for entry in entries if entry["kind"] == "parameters"), "")
    if head and head not in {line.digest for line in lines}:
        yield Finding("altered", ledger.NAME, "it is not the ledger that this run found: lines of it were altered")


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read(folder / FILES))
    except ValueError:
        return {}
    valid = isinstance(content, dict) and isinstance(content.get("files"), dict)
    return content if valid and all("/" not in name for name in content["files"]) else {}


def _open(where: str, message: str) -> Finding:
    return Finding("open", where, message)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
