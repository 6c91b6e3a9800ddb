"""The cells of a saved notebook, of whatever front end: plain JSON (nbformat 4), no Jupyter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import BadInput
from .outputs import digests, source_digest

INJECTED, BANNER = "injected-parameters", "papermill-error-cell-tag"  # tags that papermill sets


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its place (from 1), kind, source's and outputs' digests, tags, id, and its execution count."""

    place: int
    kind: Literal["code", "markdown", "raw"]
    source: str
    outputs: tuple[str, ...]
    tags: tuple[str, ...]
    id: str
    count: int | None
    first_line: str

    @property
    def executed(self) -> bool:
        """True if it was run, as far as the notebook itself says."""
        return self.kind == "code" and (self.count is not None or bool(self.outputs))


def cells(content: bytes, name: str) -> tuple[Cell, ...]:
    """Every cell of a notebook. Raises BadInput if it is none."""
    try:
        listed = json.loads(content)["cells"]
        return tuple(_cell(place, cell) for place, cell in enumerate(listed, 1))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BadInput(f"reading the notebook {name}", f"it is no notebook of nbformat 4: {problem!r}", "") from None


def outline(content: bytes, name: str) -> list[list[str]]:
    """Kind and source's digest of every cell: what a run notes of the notebook that it was begun from."""
    return [[cell.kind, cell.source] for cell in cells(content, name)]


def _cell(place: int, cell: dict[str, Any]) -> Cell:
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    tags = tuple(cell.get("metadata", {}).get("tags", ()))
    first = next((line for line in source.splitlines() if line.strip()), "")
    shown = tuple(digests(cell.get("outputs", ())))
    name, count = str(cell.get("id", "")), cell.get("execution_count")
    return Cell(place, cell["cell_type"], source_digest(source), shown, tags, name, count, first[:60])
