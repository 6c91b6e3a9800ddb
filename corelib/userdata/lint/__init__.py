"""What a host would make of a `#cloud-config`, ours or anybody's: every trap with its line, per release, and mended.

`lint` says them all; `fix` removes those that need no decision, and keeps all else of the text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ... import tree
from . import meaning, structure
from .releases import AZURE_LIMIT, RELEASES, Release
from .trap import Edit, Trap

__all__ = ["RELEASES", "Edit", "Release", "Trap", "fix", "lint", "lint_written"]

HEADER = "#cloud-config"
_SUBSTITUTED = re.compile(r"(?<!\\)\$(public|private)_ipv[46]\b")  # coreos-cloudinit, initialize/env.go


def lint(content: bytes, releases: Iterable[Release] = tuple(RELEASES.values())) -> tuple[Trap, ...]:
    """Every trap of a document, in the order of its lines; one that several releases have is told once, for all."""
    try:
        text = content.decode()
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        return (Trap("encoding", "error", line, "it is not UTF-8", "save it as UTF-8"),)
    found = [*_outside(content, text)]
    try:
        root = tree.read(text.removeprefix("\ufeff"))
    except tree.Unreadable as problem:
        message = f"this is not YAML that a host would read: {problem}"
        return tuple(sorted([*found, Trap("yaml", "error", problem.line, message)], key=_order))
    return tuple(sorted(_joined([*found, *_inside(root, releases)]), key=_order))


def lint_written(text: str, root: tree.Node, releases: Iterable[Release]) -> tuple[Trap, ...]:
    """The same of a text that was read already."""
    return tuple(sorted(_joined([*_outside(text.encode(), text), *_inside(root, releases)]), key=_order))


def fix(content: bytes) -> bytes:
    """The document without the traps that need no decision; comments and layout stay. Not UTF-8: as it is."""
    edits = {trap.edit for trap in lint(content) if trap.edit is not None}
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return content
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text.replace("\r\n", "\n").encode()


def _inside(root: tree.Node | None, releases: Iterable[Release]) -> Iterable[Trap]:
    """What is wrong in the YAML, for each release."""
    if root is None:
        return
    for release in releases:
        yield from structure.check(root, release)
        if isinstance(root, tree.Mapping):
            yield from (replace(trap, releases=(release.name,)) for trap in meaning.check(root, release))


def _outside(content: bytes, text: str) -> Iterable[Trap]:
    """What is wrong around the YAML."""
    if text.startswith("\ufeff"):
        yield Trap("bom", "error", 1, "a byte order mark stands before the first line", "save it without")
    first = text.removeprefix("\ufeff").split("\n", 1)[0].rstrip()
    if first != HEADER:
        message = f"the first line must be {HEADER!r}; found {first[:40]!r}: the document is not recognised"
        yield Trap("header", "error", 1, message, "not even a blank line may stand before it")
    if "\r\n" in text:
        message = "its lines end in CR LF, which get into the files that it writes"
        yield Trap("crlf", "warning", 1, message, "save it with LF")
    for number, line in enumerate(text.splitlines() if "$p" in text else (), 1):
        if match := _SUBSTITUTED.search(line):
            message = f"{match[0]} is replaced before anything is read: by nothing, where the platform does not know it"
            yield Trap("substituted", "info", number, message, "write the address itself where it is known")
    if len(content) > AZURE_LIMIT:
        encoded = -(-len(content) // 3) * 4
        message = f"{len(content):,} bytes ({encoded:,} in base64): Azure takes at most {AZURE_LIMIT:,} before base64"
        yield Trap("size", "error", 1, message, "move content out of it")


def _joined(traps: Iterable[Trap]) -> Iterable[Trap]:
    """The same trap of several releases as one."""
    found: dict[tuple[object, ...], Trap] = {}
    for trap in traps:
        key = (trap.rule, trap.severity, trap.line, trap.message, trap.remedy, trap.edit)
        before = found.get(key)
        names = dict.fromkeys((*(before.releases if before else ()), *trap.releases))
        found[key] = replace(trap, releases=tuple(names))
    return found.values()


def _order(trap: Trap) -> tuple[int, str, str]:
    return trap.line, trap.rule, trap.message
