"""YAML as it was written: PyYAML's own nodes, which have every key's and value's place in the text.

Scalars stay text: what they mean is said by whoever asks, of parameters or of a cloud-config.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

_MOST_NODES = 200_000
_DEEPEST = 50
Parser: Any = yaml.SafeLoader
with suppress(ImportError):  # PyYAML may be built without libyaml, whose parser is ten times as fast
    from yaml._yaml import CParser as Parser

MERGE = "<<"  # YAML 1.1: takes in the keys of other mappings that are not there
Scalar = yaml.ScalarNode
Sequence = yaml.SequenceNode
Mapping = yaml.MappingNode
Node = yaml.Node


class Unreadable(ValueError):
    """The text is no YAML, or none that ends; `line` is where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def read(text: str) -> Node | None:
    """The document of a text, whoever wrote it; None if it is empty. Raises Unreadable."""
    _bounded(text)
    return compose(text)


def compose(text: str) -> Node | None:
    """The same of a text that we wrote: neither nested deeply nor expanding through aliases. Raises Unreadable."""
    try:
        node: Node | None = _Composer(text).get_single_node()
    except yaml.YAMLError as problem:
        raise _unreadable(problem) from None
    return node


def value(node: Node | None) -> Any:
    """Plain data, with true, false and whole numbers as such, every other scalar as text."""
    if isinstance(node, Scalar):
        text = str(node.value)
        if node.style:
            return text
        if text.isascii() and text.isdigit() and len(text) < 20 and (text == "0" or not text.startswith("0")):
            return int(text)
        return {"true": True, "false": False}.get(text, text)
    if isinstance(node, Sequence):
        return [value(item) for item in node.value]
    if node is None:
        return None
    return {word(key).value: value(item) for key, item in node.value}


def get(node: Node, name: str) -> Node | None:
    """The value of a key, whether it is spelled with hyphens or underscores; the last one, as the reader does."""
    found: Node | None = None
    merged: Node | None = None
    for key, item in node.value:
        text = key.value
        if text == name or (isinstance(key, Scalar) and "-" in text and canonical(text) == name):
            found = item
        elif text == MERGE:
            merged = item
    if found is None and merged is not None:
        found = next((hit for one in merges(merged) if (hit := get(one, name)) is not None), None)
    return found


def merges(node: Node) -> Iterator[Mapping]:
    """The mappings that a merge key brings in, the first ones first."""
    inner = node.value if isinstance(node, Sequence) else [node]
    yield from (one for one in inner if isinstance(one, Mapping))


def text_of(node: Node, name: str) -> str:
    """The text of a mapping's scalar; empty if there is none."""
    found = get(node, name)
    return str(found.value) if isinstance(found, Scalar) else ""


def maps(node: Node, name: str) -> Iterator[Mapping]:
    """The mappings in a mapping's list."""
    found = get(node, name)
    if isinstance(found, Sequence):
        yield from (item for item in found.value if isinstance(item, Mapping))


def plain(scalar: Scalar) -> bool:
    """True if it stands without quotes, so that YAML may take it for something else than text."""
    return not scalar.style


def begins(node: Node) -> int:
    """The line in which it begins, from 1."""
    return int(node.start_mark.line) + 1


def line_of(scalar: Scalar, offset: int) -> int:
    """The line of the n-th line of a block's content."""
    return begins(scalar) + offset + (1 if scalar.style in ("|", ">") else 0)


def word(key: Node) -> Scalar:
    """A key that is a scalar. Raises Unreadable."""
    if not isinstance(key, Scalar):
        raise Unreadable(begins(key), "a key must be a word")
    return key


def canonical(name: str) -> str:
    """A key with underscores."""
    return name.replace("-", "_")


class _Composer(Parser):  # type: ignore[misc]
    """Makes nodes, and does not ask what a scalar is: no tag is looked at."""

    def resolve(self, kind: Any, text: Any, implicit: Any) -> str:  # noqa: ARG002 - PyYAML's own
        return ""

    def descend_resolver(self, parent: Any, index: Any) -> None: ...

    def ascend_resolver(self) -> None: ...


def _bounded(text: str) -> None:
    """Raise Unreadable where nodes would be nested too deeply, or expand too far. Reads events: nothing recurses."""
    count, inside = 0, list[tuple[str | None, int]]()  # of open collections: anchor, and nodes before it
    sizes: dict[str, int] = {}  # how many nodes an alias stands for
    for event in _events(text):
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append((event.anchor, count))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = inside.pop()
            sizes |= {anchor: count - before} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            # One that stands inside itself has no end.
            count += _MOST_NODES if event.anchor in dict(inside) else sizes.get(str(event.anchor), 0)
        count += isinstance(event, yaml.NodeEvent)
        if count > _MOST_NODES or len(inside) > _DEEPEST:
            where = event.start_mark.line + 1
            raise Unreadable(where, "it is nested too deeply, or expands too far through aliases")


def _events(text: str) -> Iterator[Any]:
    try:
        yield from yaml.parse(text, Loader=Parser)
    except yaml.YAMLError as problem:
        raise _unreadable(problem) from None


def _unreadable(problem: yaml.YAMLError) -> Unreadable:
    mark = getattr(problem, "problem_mark", None)
    words = getattr(problem, "problem", None) or str(problem).splitlines()[0]
    return Unreadable(mark.line + 1 if mark else 1, str(words))
