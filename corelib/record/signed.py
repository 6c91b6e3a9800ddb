"""Who signed what, and whether that is a key that may."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .finding import Finding, content, opened
from .journal import NAME as JOURNAL
from .seal import SIGNATURE

State = Literal["open", "closed", "sealed"]  # sealed: the end was written, and the ledger knows of it
UNSIGNED = "nobody signed it, and among allowed signers that is no evidence: anybody can write it anew"


def signature(folder: Path, journal: bytes, said: str, state: State, signers: str | None) -> tuple[str, list[Finding]]:
    """Who signed the journal, and what is wrong with that. `said` is the key that the journal itself names."""
    armour = content(folder / SIGNATURE)
    if not armour:
        return "", [_unsigned(said, state, signers)] if state != "open" else []
    signer, found = signed(SIGNATURE, journal, armour, "record", signers)
    if said and not signer.startswith(said):
        found.append(Finding("altered", SIGNATURE, f"the journal names the key {said}"))
    return signer, found


def _unsigned(said: str, state: State, signers: str | None) -> Finding:
    if said and state == "sealed":
        return Finding("altered", SIGNATURE, f"the run was signed by {said}, and no signature is there")
    if signers is not None:
        return Finding("altered", JOURNAL, UNSIGNED)
    if said:
        return opened(SIGNATURE, f"the run is not signed yet by {said}: runbooks seal does that")
    return Finding("note", JOURNAL, "unsigned: the chain shows damage, not a forger who writes all of it anew")


def signed(name: str, content: bytes, armour: bytes, purpose: str, signers: str | None) -> tuple[str, list[Finding]]:
    """The key that signed a content, with its principal, and what is wrong with it."""
    from . import signing  # noqa: PLC0415 - takes 0.3 s to load

    namespace = f"coreos-runbooks-{purpose}"
    found = signing.check(content, armour, namespace)
    if found is None:
        return "", [Finding("altered", name, f"it is no signature of the kind {namespace}")]
    if not found.good:
        return "", [Finding("altered", name, f"{found.fingerprint} did not sign this content")]
    if signers is None:
        return found.fingerprint, []
    principal = signing.allowed(found.public, namespace, signers)
    if not principal:
        return found.fingerprint, [Finding("altered", name, f"the key {found.fingerprint} is not allowed")]
    return f"{found.fingerprint} ({principal})", []
