"""Keys and types: what each release's reader drops, refuses or takes for something else. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from .releases import DOCUMENT, Key, Release
from .trap import Edit, Trap
from .tree import Mapping, Node, Scalar, Sequence, canonical

_WANTED = {"map": "a mapping", "maps": "a list of mappings", "texts": "a list of texts"}
_FLAGS = {"true", "false"}
# What YAML 1.1 takes for something else than text if it is not quoted.
_WORDS = re.compile(r"(?i)^(on|off|yes|no|y|n)$")


def check(root: Node, release: Release) -> Iterator[Trap]:
    """Every trap of the document's keys and values, for one release."""
    yield from _check(root, DOCUMENT, "", release)


def _check(node: Node, key: Key, name: str, release: Release) -> Iterator[Trap]:
    if key.kind == "map" and isinstance(node, Mapping):
        yield from _mapping(node, key, release)
    elif key.kind in ("maps", "texts") and isinstance(node, Sequence):
        inner = Key("map", key.keys) if key.kind == "maps" else Key("text")
        for item in node.items:
            yield from _check(item, inner, name, release)
    elif key.kind in ("text", "whole", "flag") and isinstance(node, Scalar):
        yield from _scalar(node, key, name, release)
    elif not (isinstance(node, Scalar) and node.text == ""):
        wanted = {"map": "a mapping", "maps": "a list of mappings", "texts": "a list of texts"}.get(
            key.kind, "one value"
        )
        message = f"{name or 'the document'} must be {wanted}"
        yield Trap("type", "error", node.line, message, "it is not applied as it stands", (release.name,))


def _mapping(node: Mapping, key: Key, release: Release) -> Iterator[Trap]:
    seen: dict[str, int] = {}
    for word, value in node.pairs:
        name = canonical(word.text)
        if name in seen:
            message = f"the key {word.text!r} stands here again; first in line {seen[name]}: only the last one counts"
            yield Trap("duplicate", "error", word.line, message, "remove one", (release.name,))
        seen[name] = word.line
        known = key.keys.get(name)
        if known is None:
            yield _unknown(word, key, release)
            continue
        if "-" in word.text and not release.hyphens:
            yield _hyphens(word, name, release)
        if name in release.gone and key is DOCUMENT.keys["coreos"]:
            yield Trap("gone", "error", word.line, f"{release.gone[name]}: this section does nothing",
                       "use etcd-member.service with environment files", (release.name,))  # fmt: skip
        yield from _check(value, known, word.text, release)


def _unknown(word: Scalar, key: Key, release: Release) -> Trap:
    near = get_close_matches(canonical(word.text), list(key.keys), n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(key.keys)[:12])}"
    return Trap("unknown", "warning", word.line, f"unknown key {word.text!r}: it is ignored", remedy, (release.name,))


def _hyphens(word: Scalar, name: str, release: Release) -> Trap:
    message = f"{word.text!r} is dropped without a word (since stable 3975.2.0), and all that stands below it"
    edit = Edit(word.start, word.end, name)
    return Trap(
        "hyphens", "error", word.line, message, f"write {name!r}, which every release reads", (release.name,), edit
    )


def _scalar(node: Scalar, key: Key, name: str, release: Release) -> Iterator[Trap]:
    if key.kind == "whole":
        yield from _whole(node, name, release)
    elif key.kind == "flag":
        if node.text not in _FLAGS or not node.plain:
            remedy = "write true or false, without quotes"
            yield Trap("type", "error", node.line, f"{name} must be true or false; found {node.text!r}", remedy,
                       (release.name,))  # fmt: skip
    else:
        yield from _text(node, key, name, release)


def _whole(node: Scalar, name: str, release: Release) -> Iterator[Trap]:
    if not re.fullmatch(r"[0-9]+", node.text):
        message = f"{name} must be a whole number; found {node.text!r}"
        yield Trap("type", "error", node.line, message, "the whole document is refused", (release.name,))
    elif not node.plain and release.strict_numbers:
        message = f"{name} is text, and a number is wanted: the whole document is refused"
        edit = Edit(node.start, node.end, node.text)
        yield Trap("number-as-text", "error", node.line, message, "remove the quotes", (release.name,), edit)


def _text(node: Scalar, key: Key, name: str, release: Release) -> Iterator[Trap]:
    canonical_name = canonical(name)
    quoted = Edit(node.start, node.end, f'"{node.text}"')
    if canonical_name == "reboot_strategy" and node.text not in release.strategies:
        allowed = ", ".join(sorted(release.strategies))
        message = f"reboot_strategy {node.text!r} is not one of {allowed}: nothing at all is applied"
        yield Trap("value", "error", node.line, message, 'write "off" to reboot yourself', (release.name,))
    elif key.pattern and node.text and not re.search(key.pattern, node.text):
        message = f"{name} {node.text!r} is not valid: nothing at all is applied"
        yield Trap("value", "error", node.line, message, f"it has to match {key.pattern}", (release.name,))
    elif canonical_name == "permissions":
        yield from _permissions(node, release, quoted)
    elif node.plain and _WORDS.match(node.text):
        message = f"{name}: {node.text} is a truth value to YAML 1.1, and becomes false where a tool writes it again"
        yield Trap("unquoted", "warning", node.line, message, f'write "{node.text}"', (release.name,), quoted)


def _permissions(node: Scalar, release: Release, quoted: Edit) -> Iterator[Trap]:
    meant, concerned = _DECIMALS.get(node.text), (release.name,)
    if meant:
        message = f"permissions {node.text} is read as octal; in decimal it would be {meant}"
        yield Trap("mode-in-decimal", "warning", node.line, message, f'was "{meant}" meant?', concerned)
    elif node.plain:
        message = f"permissions {node.text} is a number to YAML 1.1, and another one once a tool has written it again"
        yield Trap("unquoted", "warning", node.line, message, f'write "{node.text}"', concerned, quoted)


# Modes that YAML 1.1 makes of unquoted octal ones: 0644 is 420, and 420 is then read as octal.
_MODES = ("0400", "0440", "0444", "0600", "0640", "0644", "0700", "0750", "0755")
_DECIMALS = {str(int(mode, 8)): mode for mode in _MODES}
