"""What bodies may hold: the members of every object with their types, so that a misspelt one is refused and not lost.

The shapes are those of the SDK's models at the API versions in `catalogue.PROVIDERS`; a test keeps the copy current. A
member is `string`, `integer`, `[Type]`, `{Type}` or `Type`, with `!` where it must be there, `-` where it is read-only
and so ignored. Azure reads names without regard to case and takes "32" for a number; here neither is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .failure import Failure, invalid_parameter
from .kinds import SHOWN

_SHAPES: dict[str, dict[str, dict[str, str]]] = json.loads(
    (Path(__file__).parents[1] / "files" / "arm-shapes.json").read_text()
)
_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "any": (object,),
}
_INLINE = SHOWN | {"zones", "provisioningState"}  # what any object may have beside its own


def check(kind: str, body: dict[str, Any]) -> None:
    """Failure when a body, or an object in it, has a member that its type does not know, or one of another type."""
    provider, _, name = kind.partition("/")
    for problem in _wrong(provider, name, body, ""):
        raise Failure(400, "InvalidRequestContent", f"The request content was invalid: '{problem}'.")


def complete(kind: str, body: dict[str, Any]) -> None:
    """Failure when an object of a body that was checked lacks what its type must have."""
    provider, _, name = kind.partition("/")
    for path in _missing(provider, name, body, ""):
        raise invalid_parameter(f"Required parameter '{path}' is missing (null).", path.removeprefix("properties."))


def _wrong(provider: str, word: str, value: Any, path: str) -> Iterator[str]:
    """What is wrong with a value that shall be of a type."""
    word = word.removesuffix("!")
    if value is None or word == "-":
        return
    if word in _SCALARS:
        if not isinstance(value, _SCALARS[word]) or (isinstance(value, bool) and word not in ("boolean", "any")):
            yield f"Error converting value {json.dumps(value)} to type '{word}'. Path '{path}'"
        return
    expected = list if word.startswith("[") else dict
    if not isinstance(value, expected):
        yield f"Cannot convert {json.dumps(value)[:80]} to type '{word}'. Path '{path}'"
        return
    for inner, one, place in _inside(provider, word, value, path):
        if inner:
            yield from _wrong(provider, inner, one, place)
        else:
            yield f"Could not find member '{place.rpartition('.')[2]}' on object of type '{word}'. Path '{place}'"


def _missing(provider: str, word: str, value: Any, path: str) -> Iterator[str]:
    word = word.removesuffix("!")
    if word in _SCALARS or word == "-" or value is None:
        return
    shape = _SHAPES[provider].get(word, {}) if isinstance(value, dict) else {}
    for name, member in shape.items():
        if member.endswith("!") and value.get(name) is None:
            yield f"{path}.{name}" if path else name
    for inner, one, place in _inside(provider, word, value, path):
        yield from _missing(provider, inner or "any", one, place)


def _inside(provider: str, word: str, value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    """Each part of a list, a mapping or an object: its type (empty: unknown), itself, where it is."""
    if word.startswith("["):
        for number, one in enumerate(value):
            yield word[1:-1], one, f"{path}[{number}]"
        return
    shape = _SHAPES[provider].get(word, {})
    for name, one in value.items():
        inner = word[1:-1] if word.startswith("{") else shape.get(name, "any" if name in _INLINE else "")
        yield inner, one, f"{path}.{name}" if path else name
