"""A cloud-config as it was written: every key and value with its place in the text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
_MOST_NODES = 200_000  # aliases can make a short text expand without bound
_DEEPEST = 50


class Unreadable(ValueError):
    """The text is no YAML that a host would read; `line` is where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value as text. `style` is how it was quoted (None: plain); `start` and `end` are its offsets in the text."""

    text: str
    line: int
    start: int
    end: int
    style: str | None

    @property
    def plain(self) -> bool:
        """True if it stands without quotes, so that YAML may take it for something else than text."""
        return self.style is None

    def line_of(self, offset: int) -> int:
        """The line of the n-th line of a block's content."""
        return self.line + offset + (1 if self.style in ("|", ">") else 0)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order in which they stand; keys may stand there twice."""

    pairs: tuple[tuple[Scalar, Node], ...]
    line: int
    _index: dict[str, Node] = field(default_factory=dict)

    def get(self, name: str) -> Node | None:
        """The value of a key, whether it is spelled with hyphens or underscores; the last one, as the reader does."""
        return self._index.get(name)

    def text(self, name: str) -> str:
        """The text of a scalar; empty if there is none."""
        node = self.get(name)
        return node.text if isinstance(node, Scalar) else ""

    def maps(self, name: str) -> Iterator[Mapping]:
        """The mappings in a list."""
        node = self.get(name)
        if isinstance(node, Sequence):
            yield from (item for item in node.items if isinstance(item, Mapping))


Node = Scalar | Sequence | Mapping


def read(text: str) -> Node | None:
    """The document; None if it is empty. Raises Unreadable."""
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        words = getattr(problem, "problem", None) or str(problem).splitlines()[0]
        raise Unreadable(mark.line + 1 if mark else 1, str(words)) from None
    except RecursionError:
        raise Unreadable(1, "it is nested too deeply") from None
    return None if root is None else _Reader().node(root, 0)


def canonical(name: str) -> str:
    """A key with underscores."""
    return name.replace("-", "_")


class _Reader:
    def __init__(self) -> None:
        self._count = 0

    def node(self, node: yaml.Node, depth: int) -> Node:
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > _MOST_NODES or depth > _DEEPEST:
            raise Unreadable(line, "it is nested too deeply, or expands too far through aliases")
        if isinstance(node, yaml.MappingNode):
            pairs = tuple((self._key(key), self.node(value, depth + 1)) for key, value in node.value)
            return Mapping(pairs, line, {canonical(key.text): value for key, value in pairs})
        if isinstance(node, yaml.SequenceNode):
            return Sequence(tuple(self.node(item, depth + 1) for item in node.value), line)
        return _scalar(node)

    def _key(self, node: yaml.Node) -> Scalar:
        if not isinstance(node, yaml.ScalarNode):
            raise Unreadable(node.start_mark.line + 1, "a key must be a word")
        return _scalar(node)


def _scalar(node: Any) -> Scalar:
    start, end = node.start_mark, node.end_mark
    return Scalar(str(node.value), start.line + 1, start.index, end.index, node.style or None)
