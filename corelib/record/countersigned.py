"""Countersignatures: one who may approve signs, afterwards, the journal of a run that went without approval.

`countersigned-<key>.sig` in the record's folder is an SSH signature over journal.jsonl.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import Refused
from . import signing
from .approved import approvers
from .journal import NAME as JOURNAL
from .journal import Entry
from .seal import put

FILES = "countersigned-*.sig"


def countersign(folder: Path, entries: Sequence[Entry], key: signing.Key, by: str) -> Path:
    """Sign a record; returns the file. Raises Refused with the reason if this key or person may not."""
    doing, start = f"countersigning {folder.name}", entries[0]
    if entries[-1]["kind"] != "end":
        raise Refused(doing, "it has no end yet", f"runbooks seal {folder.name}")
    if not any(entry["kind"] == "break-glass" for entry in entries):
        raise Refused(doing, "nobody broke the glass in it", "")
    if not start.get("signer"):
        raise Refused(doing, "it is unsigned, so nobody can tell that you are not its operator", "")
    if key.fingerprint == start["signer"] or by == start.get("operator"):
        raise Refused(doing, "you are its operator", "ask somebody else")
    if not _name(key.public, entries):
        raise Refused(doing, f"the key {key.fingerprint} was not among its approvers", "ask one who is")
    path = folder / f"countersigned-{key.fingerprint[7:19].replace('/', '_')}.sig"
    if path.exists():
        raise Refused(doing, "it is countersigned with this key already", "")
    put(path, key.sign((folder / JOURNAL).read_bytes(), signing.COUNTERSIGN))
    return path


def names(folder: Path, entries: Sequence[Entry]) -> dict[str, str]:
    """Of each countersignature's file the name of who gave it; empty if it is not a good one."""
    content, own = (folder / JOURNAL).read_bytes(), entries[0].get("signer")  # unsigned: it may be the operator's own
    found = {}
    for file in sorted(folder.glob(FILES)):
        signature = signing.check(content, file.read_bytes(), signing.COUNTERSIGN)
        good = signature is not None and signature.good and signature.fingerprint != (own or signature.fingerprint)
        found[file.name] = _name(signature.public, entries) if signature is not None and good else ""
    return found


def _name(public: str, entries: Sequence[Entry]) -> str:
    """Who may approve with this key; empty if nobody."""
    return next((name for name, key in approvers(entries) if signing.same_key(key, public)), "")
