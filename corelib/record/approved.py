"""The approvals by others that a journal names: each has to prove itself by the statement that its key signed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from . import signing
from .finding import Finding
from .journal import NAME as JOURNAL
from .journal import Entry


def approvers(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Name and public key of who may approve, by the parameters that the run itself has recorded."""
    given: Entry = next((entry for entry in reversed(entries) if entry["kind"] == "parameters"), {})
    try:
        return [(str(one["name"]), str(one["key"])) for one in (given["fleet"]["approvers"] or {})["keys"]]
    except (KeyError, TypeError):
        return []


def check(entries: Sequence[Entry]) -> Iterator[Finding]:
    """A note for each approval that is proven, and what is wrong with each that is not."""
    for entry in entries:
        if entry["kind"] == "approval" and "key" in entry:
            where, problem = f"{JOURNAL}:{entry['n'] + 1}", _problem(entry, entries)
            said = f"{entry.get('plan')} was approved by {entry.get('by')} ({entry['key']})"
            yield Finding("altered" if problem else "note", where, f"{said}: {problem}" if problem else said)


def _problem(entry: Entry, entries: Sequence[Entry]) -> str:
    """Why an approval proves nothing; empty if it does."""
    statement = str(entry.get("statement", ""))
    signature = signing.check(statement.encode(), str(entry.get("signature", "")).encode(), signing.APPROVAL)
    if signature is None or not signature.good or signature.fingerprint != entry["key"]:
        return "that key has not signed the statement beside it"
    if signature.fingerprint == entries[0].get("signer"):
        return "that is the operator's own key"
    names = [name for name, key in approvers(entries) if signing.same_key(key, signature.public)]
    if entry.get("by") not in names:
        return "that key is not this approver's in the parameters of the run"
    try:
        said = json.loads(statement)
        differs = [name for name, fact in (("approves", "plan"), ("at", "at")) if said[name] != entry.get(fact)]
    except (ValueError, KeyError, TypeError):
        return "the signed statement is no approval"
    return f"the signed statement has another {differs[0]!r}" if differs else ""
