"""The `#cloud-config` text: written so that both generations of its consumer read the same, and read back.

Keys have underscores (Flatcar drops hyphenated ones since stable 3975.2.0; CoreOS accepts both). Words that YAML 1.1
would change, such as `off` and `0644`, are always quoted. Whole numbers stay whole numbers.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import yaml

from .. import tree

HEADER = "#cloud-config\n"  # must be the very first line (coreos-cloudinit)

# A first character that is no indicator of YAML's, and no ": " or " #" after it.
_PLAIN = re.compile(r"[A-Za-z0-9_./~+$(^;\\](?:[!-9;-~]|:(?=[!-~])| (?=[!\"$-~]))*")
# A literal block shows text as it is: printable lines, the first of which is neither empty nor indented.
_BLOCK = re.compile(r"(?![ \t\n])(?:[\t -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*\n)+")


class Quoted(str):
    """Text that must not be written without quotes."""

    __slots__ = ()


def emit(document: dict[str, Any]) -> str:
    """The document as text; the same input gives the same bytes. ValueError if it does not read back."""
    return write(document)[0]


def write(document: dict[str, Any]) -> tuple[str, tree.Node]:
    """The document as text, and what was read back from that. ValueError if it is not what was meant."""
    text = HEADER + "\n" + ("".join(_mapping(document, "", [])) or "{}\n")
    root = tree.compose(text)
    if root is None or tree.value(root) != document:
        raise ValueError("the rendered cloud-config does not read back as it was meant")
    return text, root


def read(text: str) -> Any:
    """A cloud-config as plain data, with true, false and whole numbers as such, every other scalar as text.

    Raises tree.Unreadable, a ValueError.
    """
    try:
        return tree.value(tree.read(text))
    except RecursionError:
        raise tree.Unreadable(1, "it is nested too deeply through aliases") from None


def _mapping(items: dict[str, Any], indent: str, lines: list[str]) -> list[str]:
    """Add the lines of a mapping."""
    for key, value in items.items():
        start, inner = f"{indent}{_word(key)}:", f"{indent}  "
        if isinstance(value, str):
            literal = "\n" in value and _BLOCK.fullmatch(value)
            lines.append(f"{start}{_literal(value, inner)}" if literal else f"{start} {_scalar(value)}\n")
        elif isinstance(value, dict) and value:
            lines.append(f"{start}\n")
            _mapping(value, inner, lines)
        elif isinstance(value, list) and value:
            lines.append(f"{start}\n")
            _sequence(value, inner, lines)
        else:
            lines.append(f"{start} {_scalar(value)}\n")
    return lines


def _sequence(items: list[Any], indent: str, lines: list[str]) -> None:
    """Add the lines of a list: a dash stands before the first line of each item."""
    for item in items:
        if isinstance(item, dict) and item:
            first = len(lines)
            _mapping(item, f"{indent}  ", lines)
            lines[first] = f"{indent}- {lines[first][len(indent) + 2 :]}"
        else:
            lines.append(f"{indent}- {_scalar(item)}\n")


@lru_cache(maxsize=512)  # most files and units are the same on all hosts
def _literal(text: str, indent: str) -> str:
    lines = (f"{indent}{line}\n" if line else "\n" for line in text[:-1].split("\n"))
    keep = "+" if text.endswith("\n\n") else ""
    return f" |{keep}\n{''.join(lines)}"


def _scalar(value: Any) -> str:
    if isinstance(value, Quoted):
        return _quoted(value)
    if isinstance(value, str):
        return _word(value)
    if isinstance(value, list) and value:
        raise TypeError("a list in a list: no cloud-config has one")
    return json.dumps(value)  # true, false, null, a whole number, an empty list or mapping


@lru_cache(maxsize=4096)
def _word(text: str) -> str:
    """Text without quotes where every reader takes it for text, in double quotes elsewhere."""
    plain = _PLAIN.fullmatch(text) and not text.endswith(":") and _is_text(text)
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    # JSON's escapes are YAML's, but for pairs of surrogates: so only what cannot be shown is escaped.
    return "".join(
        char if (char.isprintable() and char != "\ufeff") or char in '"\\' else f"\\U{ord(char):08X}"
        for char in json.dumps(text, ensure_ascii=False)
    )


def _is_text(text: str) -> bool:
    """True if YAML 1.1 takes a plain scalar for text, and for no number, date or truth value."""
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], ())
    return not any(pattern.match(text) for _, pattern in resolvers)
