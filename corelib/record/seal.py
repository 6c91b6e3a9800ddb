"""Closing a record for good: its end, its signature, its place in the ledger, and the notebook that is filed with it.

journal.jsonl      what happened; its last entry, `end`, has the SHA-256 of every artefact beside it
journal.jsonl.sig  an SSH signature over journal.jsonl, if the run had a key
files.json         the SHA-256 of what was filed after the end: the notebook and its readable page; written last of them
files.json.sig     an SSH signature over files.json, if whoever filed it had a key
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Refused
from . import ledger
from .journal import NAME as JOURNAL
from .journal import Entry, Journal, JournalError, Reopened, read, salvage, unwritable
from .listing import UNFILED

if TYPE_CHECKING:
    from .signing import Key

SIGNATURE = f"{JOURNAL}.sig"
FILES = "files.json"
FILES_SIGNATURE = f"{FILES}.sig"
NOTEBOOK, PAGE = "notebook.ipynb", "record.html"


def operators_key() -> Key | None:
    """The key that RUNBOOKS_SIGNING_KEY names; None if it is not set. Raises BadInput if it cannot be used."""
    if not os.environ.get("RUNBOOKS_SIGNING_KEY"):
        return None
    from . import signing  # noqa: PLC0415 - takes 0.3 s to load

    return signing.configured()


def close(journal: Journal, key: Key | None, **facts: Any) -> None:
    """Write the end of a run, close its journal, sign it, and say so in the ledger. Raises RunbookError.

    After a failure the record is whole up to the last thing that worked; `seal` finishes it.
    """
    journal.write("end", **facts, artefacts=artefacts(journal.folder))
    journal.close()
    _sign(journal.folder, key)


def seal(folder: Path, key: Key | None, by: str) -> None:
    """Close the journal of a run whose process is gone, as interrupted, or finish what is missing behind its end.

    Raises Refused if it still runs or is sealed already.
    """
    entries = read(folder)
    if entries and entries[-1]["kind"] == "end":
        _finish(folder, entries, key)
        return
    journal = Reopened(folder)
    signer = key.fingerprint if key else ""
    close(journal, key, complete=False, sealed_by=by, signer=signer, cut_bytes=journal.cut, cut_sha256=journal.torn)


def sealed(folder: Path) -> bool:
    """True if the end was written and is signed, if it was to be, and the ledger knows of it."""
    entries, _ = salvage(folder)
    if not entries or entries[-1]["kind"] != "end":
        return False
    return _in_ledger(folder, "sealed") and (not _signer(entries) or (folder / SIGNATURE).exists())


def file(folder: Path, contents: Mapping[str, bytes], key: Key | None) -> None:
    """Put the notebook and its page into a record whose run has ended. Raises Refused if there is one already.

    They are filed once their list stands; what a crash left before that is replaced, and what is missing after it
    (the ledger's line) is added if the notebook is the one that is listed.
    """
    if (folder / FILES).exists():
        if half_filed(folder) and _listed(folder).get(NOTEBOOK) == hashlib.sha256(contents[NOTEBOOK]).hexdigest():
            finish_filing(folder)
            return
        raise Refused(f"filing into {folder.name}", "it has a notebook already", "records are never overwritten")
    manifest = {
        "record": folder.name,
        "journal": _sha256(folder / JOURNAL),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "signer": key.fingerprint if key else "",
    }
    listing = json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"
    _remove(folder, (*contents, FILES_SIGNATURE))
    for name, content in contents.items():
        put(folder / name, content)
    if key is not None:
        from . import signing  # noqa: PLC0415 - takes 0.3 s to load

        put(folder / FILES_SIGNATURE, key.sign(listing, signing.FILES))
    put(folder / FILES, listing)
    finish_filing(folder)


def half_filed(folder: Path) -> bool:
    """True if the list of what was filed stands, and the ledger does not know it."""
    return (folder / FILES).exists() and not _in_ledger(folder, "filed")


def finish_filing(folder: Path) -> None:
    """Say in the ledger what was filed. Raises JournalError."""
    if folder.parent.name != UNFILED:
        ledger.append(folder.parent, "filed", folder.name, files=_sha256(folder / FILES))


def _remove(folder: Path, names: Iterable[str]) -> None:
    try:
        for name in names:
            (folder / name).unlink(missing_ok=True)
    except OSError as problem:
        raise unwritable(folder, problem) from problem


def put(path: Path, content: bytes) -> None:
    """Write a new file as a whole or not at all, and never over another. Raises JournalError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except OSError as problem:
        raise JournalError(
            f"writing {path.name} of the record {path.parent.name}", problem.strerror or str(problem), "make room"
        ) from problem
    finally:
        draft.unlink(missing_ok=True)


def artefacts(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file of a record but its journal, by name."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name != JOURNAL)
    return {path.name: _sha256(path) for path in files if not path.name.startswith(".")}


def _finish(folder: Path, entries: Sequence[Entry], key: Key | None) -> None:
    signer = _signer(entries)
    if sealed(folder):
        raise Refused(f"sealing {folder.name}", "it is sealed already", "")
    if not signer:
        _sign(folder, None)
    elif (folder / SIGNATURE).exists():
        _tell_ledger(folder, signer)
    elif key is None or key.fingerprint != signer:
        remedy = "set RUNBOOKS_SIGNING_KEY to that key"
        raise Refused(f"sealing {folder.name}", f"it is to be signed by the key {signer}", remedy)
    else:
        _sign(folder, key)


def _signer(entries: Sequence[Entry]) -> str:
    """The key that is to sign: the run's own, or the one of whoever closed its journal; empty for none."""
    return str(entries[-1].get("signer", entries[0].get("signer", "")))


def _sign(folder: Path, key: Key | None) -> None:
    if key is not None:
        from . import signing  # noqa: PLC0415 - takes 0.3 s to load

        put(folder / SIGNATURE, key.sign((folder / JOURNAL).read_bytes(), signing.RECORD))
    _tell_ledger(folder, key.fingerprint if key else "")


def _tell_ledger(folder: Path, signer: str) -> None:
    if not _in_ledger(folder, "sealed"):
        ledger.append(folder.parent, "sealed", folder.name, journal=_sha256(folder / JOURNAL), signer=signer)


def _in_ledger(folder: Path, event: ledger.Event) -> bool:
    """True if the environment's ledger has that of a record; one without an environment has no ledger to be in."""
    if folder.parent.name == UNFILED:
        return True
    lines = (line.entry for line in ledger.read(folder.parent) if line.entry is not None)
    return any((entry["event"], entry["record"]) == (event, folder.name) for entry in lines)


def _listed(folder: Path) -> dict[str, Any]:
    """The files and digests of a record's list; none if it is no list, which `verify` tells."""
    try:
        files = json.loads((folder / FILES).read_bytes())["files"]
    except (ValueError, KeyError, TypeError):
        return {}
    return files if isinstance(files, dict) else {}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
