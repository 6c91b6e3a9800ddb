"""Keys and types: what each release's reader drops, refuses or takes for something else. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from ...tree import MERGE, Mapping, Node, Scalar, begins, canonical, merges, plain
from .releases import DOCUMENT, Key, Release
from .trap import Edit, Trap

_WANTED = {"map": "a mapping", "maps": "a list of mappings", "texts": "a list of texts"}
# What the readers' YAML takes for a truth value where it is not quoted (go-yaml, resolve.go).
_FLAGS = {form for word in ("true", "false", "yes", "no", "on", "off") for form in (word, word.title(), word.upper())}
# What YAML 1.1 takes for something else than text if it is not quoted.
_WORDS = re.compile(r"(?i)^(on|off|yes|no|y|n)$")


def check(root: Node, release: Release) -> list[Trap]:
    """Every trap of the document's keys and values, for one release."""
    found: list[Trap] = []
    _check(root, DOCUMENT, "", release, found)
    return found


def _check(node: Node, key: Key, name: str, release: Release, found: list[Trap]) -> None:
    if isinstance(node, Scalar):
        if key.kind in ("text", "whole", "flag"):
            found += _scalar(node, key, name, release)
            return
        if node.value == "":
            return
    elif isinstance(node, Mapping):
        if key.kind == "map":
            _mapping(node, key, release, found)
            return
    elif key.kind in ("maps", "texts"):
        inner = Key("map", key.keys) if key.kind == "maps" else Key("text")
        for item in node.value:
            _check(item, inner, name, release, found)
        return
    message = f"{name or 'the document'} must be {_WANTED.get(key.kind, 'one value')}"
    found.append(Trap("type", "error", begins(node), message, "it is not applied as it stands", (release.name,)))


def _mapping(node: Mapping, key: Key, release: Release, found: list[Trap]) -> None:
    seen: dict[str, int] = {}
    for word, value in node.value:
        if not isinstance(word, Scalar):
            found.append(Trap("yaml", "error", begins(word), "a key must be a word", "", (release.name,)))
            continue
        if word.value == MERGE:
            for one in merges(value):
                _mapping(one, key, release, found)
            continue
        name = canonical(word.value)
        if name in seen:
            message = f"the key {word.value!r} stands here again; first in line {seen[name]}: only the last one counts"
            found.append(Trap("duplicate", "error", begins(word), message, "remove one", (release.name,)))
        seen[name] = begins(word)
        known = key.keys.get(name)
        if known is None:
            found.append(_unknown(word, key, release))
            continue
        if "-" in word.value and not release.hyphens:
            found.append(_hyphens(word, name, release))
        if name in release.gone and key is DOCUMENT.keys["coreos"]:
            found.append(Trap("gone", "error", begins(word), f"{release.gone[name]}: this section does nothing",
                              "use etcd-member.service with environment files", (release.name,)))  # fmt: skip
        if known.deprecated:
            found.append(Trap("deprecated", "warning", begins(word), f"{word.value} is deprecated", known.deprecated,
                              (release.name,)))  # fmt: skip
        _check(value, known, word.value, release, found)


def _unknown(word: Scalar, key: Key, release: Release) -> Trap:
    near = get_close_matches(canonical(word.value), list(key.keys), n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(key.keys)[:12])}"
    return Trap(
        "unknown", "warning", begins(word), f"unknown key {word.value!r}: it is ignored", remedy, (release.name,)
    )


def _hyphens(word: Scalar, name: str, release: Release) -> Trap:
    message = f"{word.value!r} is dropped without a word (since stable 3975.2.0), and all that stands below it"
    edit = Edit(word.start_mark.index, word.end_mark.index, name)
    return Trap(
        "hyphens", "error", begins(word), message, f"write {name!r}, which every release reads", (release.name,), edit
    )


def _scalar(node: Scalar, key: Key, name: str, release: Release) -> Iterable[Trap]:
    if key.kind == "whole":
        return _whole(node, name, release)
    if key.kind == "text":
        return _text(node, key, name, release)
    if node.value in _FLAGS and plain(node):
        return ()
    message = f"{name} must be true or false; found {node.value!r}"
    return (Trap("type", "error", begins(node), message, "write true or false, without quotes", (release.name,)),)


def _whole(node: Scalar, name: str, release: Release) -> Iterator[Trap]:
    if not re.fullmatch(r"[0-9]+", node.value):
        message = f"{name} must be a whole number; found {node.value!r}"
        yield Trap("type", "error", begins(node), message, "the whole document is refused", (release.name,))
    elif not plain(node) and release.strict_numbers:
        message = f"{name} is text, and a number is wanted: the whole document is refused"
        edit = Edit(node.start_mark.index, node.end_mark.index, node.value)
        yield Trap("number-as-text", "error", begins(node), message, "remove the quotes", (release.name,), edit)


def _text(node: Scalar, key: Key, name: str, release: Release) -> Iterator[Trap]:
    canonical_name = canonical(name)
    if canonical_name == "reboot_strategy" and node.value not in release.strategies:
        allowed = ", ".join(sorted(release.strategies))
        message = f"reboot_strategy {node.value!r} is not one of {allowed}: nothing at all is applied"
        yield Trap("value", "error", begins(node), message, 'write "off" to reboot yourself', (release.name,))
    elif key.pattern and node.value and not re.search(key.pattern, node.value):
        message = f"{name} {node.value!r} is not valid: nothing at all is applied"
        yield Trap("value", "error", begins(node), message, f"it has to match {key.pattern}", (release.name,))
    elif canonical_name == "permissions":
        yield from _permissions(node, release)
    elif plain(node) and _WORDS.match(node.value):
        message = f"{name}: {node.value} is a truth value to YAML 1.1, and becomes false where a tool writes it again"
        yield Trap(
            "unquoted", "warning", begins(node), message, f'write "{node.value}"', (release.name,), _quoted(node)
        )


def _quoted(node: Scalar) -> Edit:
    return Edit(node.start_mark.index, node.end_mark.index, f'"{node.value}"')


def _permissions(node: Scalar, release: Release) -> Iterator[Trap]:
    meant, concerned = _DECIMALS.get(node.value), (release.name,)
    if meant:
        message = f"permissions {node.value} is read as octal; in decimal it would be {meant}"
        yield Trap("mode-in-decimal", "warning", begins(node), message, f'was "{meant}" meant?', concerned)
    elif plain(node):
        message = f"permissions {node.value} is a number to YAML 1.1, and another one once a tool has written it again"
        yield Trap("unquoted", "warning", begins(node), message, f'write "{node.value}"', concerned, _quoted(node))


# Modes that YAML 1.1 makes of unquoted octal ones: 0644 is 420, and 420 is then read as octal.
_MODES = ("0400", "0440", "0444", "0600", "0640", "0644", "0700", "0750", "0755")
_DECIMALS = {str(int(mode, 8)): mode for mode in _MODES}
