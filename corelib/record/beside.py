"""What lies beside a journal, against the journal's own end and against the list of what was filed after it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from .finding import Finding, content, opened, sha256
from .journal import NAME as JOURNAL
from .journal import Entry
from .seal import FILES, FILES_SIGNATURE, NOTEBOOK, PAGE, SIGNATURE
from .signed import UNSIGNED, signed

_FILED = (NOTEBOOK, PAGE)


def artefacts(folder: Path, entries: list[Entry]) -> list[Finding]:
    """What is beside the journal, against what it says of each artefact, and its end of all of them."""
    closed = bool(entries) and entries[-1]["kind"] == "end"
    recorded: dict[str, str] = dict(entries[-1]["artefacts"]) if closed else {}
    said = dict.fromkeys((entry["name"], entry["sha256"]) for entry in entries if entry["kind"] == "artefact")
    more = [(name, digest) for name, digest in said if recorded.get(name) != digest]
    strange = _strange(folder, recorded) if closed else ()
    return [*strange, *(Finding("altered", *one) for one in _different(folder, [*recorded.items(), *more]))]


def _strange(folder: Path, recorded: Collection[str]) -> Iterator[Finding]:
    """What neither the journal nor the list of what was filed knows."""
    filed = _manifest(folder).get("files", {}) if (folder / FILES).exists() else _FILED
    known = {JOURNAL, SIGNATURE, FILES, FILES_SIGNATURE, *filed, *recorded}
    for name in sorted({path.name for path in folder.iterdir()} - known):
        if fnmatch(name, ".*.[0-9]*"):
            yield Finding("note", name, "a file that was never written to its end: no part of the record")
        elif not fnmatch(name, "countersigned-*.sig"):
            yield Finding("altered", name, "it is not part of the record")


def _different(folder: Path, said: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Of these files and their digests the ones that are not so, and how."""
    for name, digest in said:
        if "/" in name or not (folder / name).exists():
            yield name, "it was removed"
        elif sha256(content(folder / name)) != digest:
            yield name, "it is not the file that was recorded"


def countersigned(folder: Path, entries: list[Entry]) -> Iterator[Finding]:
    """Who has countersigned the record, and whether they may."""
    if not entries or not any(folder.glob("countersigned-*.sig")):
        return
    from .countersigned import names  # noqa: PLC0415 - takes 0.3 s to load

    for file, name in names(folder, entries).items():
        if name:
            yield Finding("note", file, f"countersigned by {name}")
        else:
            yield Finding("altered", file, "it is no countersignature of this record by one who may give it")


def filed(folder: Path, journal: bytes, signers: str | None) -> list[Finding]:
    """What was filed after the end, against its own list."""
    manifest, listing = _manifest(folder), content(folder / FILES)
    if not (folder / FILES).exists():
        left = [name for name in (*_FILED, FILES_SIGNATURE) if (folder / name).exists()]
        return [
            opened(name, "it is on no list: its filing was cut off, runbooks collect does it again") for name in left
        ]
    if not manifest:
        return [Finding("altered", FILES, "it is no list of files")]
    found = []
    if manifest.get("record") != folder.name or manifest.get("journal") != sha256(journal):
        found.append(Finding("altered", FILES, "it belongs to another record or journal"))
    for name, digest in manifest["files"].items():
        if not (folder / name).exists():
            found.append(Finding("altered", name, "it was removed"))
        elif sha256(content(folder / name)) != digest:
            found.append(Finding("altered", name, "it is not the file that was filed"))
    return [*found, *_signed(folder, listing, str(manifest.get("signer") or ""), signers)]


def _signed(folder: Path, listing: bytes, said: str, signers: str | None) -> Iterator[Finding]:
    """Whether the list of files is signed as it says itself, and as it must be."""
    armour = content(folder / FILES_SIGNATURE)
    if not armour:
        if said:
            yield Finding("altered", FILES_SIGNATURE, "it was removed")
        elif signers is not None:
            yield Finding("altered", FILES, UNSIGNED)
        return
    signer, found = signed(FILES_SIGNATURE, listing, armour, "files", signers)
    yield from found
    if not found and not signer.startswith(said):
        yield Finding("altered", FILES_SIGNATURE, f"the list names the key {said}")


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        listing = json.loads(content(folder / FILES))
    except ValueError:
        return {}
    valid = isinstance(listing, dict) and isinstance(listing.get("files"), dict)
    return listing if valid and all("/" not in name for name in listing["files"]) else {}
