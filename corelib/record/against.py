"""A saved notebook against what its kernel did, cell by cell. Pure.

Each executed cell of the notebook must be an execution that the journal knows, with the same source and the same
outputs; every execution must stand in the notebook, unless the same cell was run again later; what was never run
must be the runbook's own cells, in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from .notebook import BANNER, INJECTED, Cell

Problem = tuple[str, str]  # where, what


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a cell as the journal has it; `id` is JupyterLab's id of the cell, or empty."""

    number: int
    source: str
    outputs: tuple[str, ...]
    id: str
    count: int | None
    whole: bool = True  # False: its kernel died while it ran, and nobody vouches for what it showed


def compare(
    shown: Sequence[Cell], executions: Sequence[Execution], outline: Sequence[tuple[str, str]], *, in_order: bool
) -> Iterator[Problem]:
    """Where and how the notebook differs. `in_order`: its front end runs cells from the top to the bottom only."""
    cells = [cell for cell in shown if BANNER not in cell.tags]
    pairs = _pair([cell for cell in cells if cell.executed], executions)
    yield from _differences(pairs)
    yield from _missing(pairs, executions, cells)
    if in_order:
        yield from _order(pairs)
    yield from _prose(cells, outline, {cell.place for cell, execution in pairs if execution is not None})


def _pair(cells: Sequence[Cell], executions: Sequence[Execution]) -> list[tuple[Cell, Execution | None]]:
    """For each executed cell its execution: the one that is equal, else the one that it should have been."""
    free = list(executions)
    found: dict[int, Execution] = {}
    for same in (_equal, _of_the_same_count, _of_the_same_id, _of_the_same_source):
        for cell in cells:
            if cell.place in found:
                continue
            # The newest one first: an older run of the same cell was replaced by it.
            match = next((one for one in reversed(free) if same(cell, one)), None)
            if match is not None:
                found[cell.place] = match
                free.remove(match)
    return [(cell, found.get(cell.place)) for cell in cells]


def _equal(cell: Cell, one: Execution) -> bool:
    return (cell.source, cell.outputs, cell.count) == (one.source, one.outputs, one.count)


def _of_the_same_count(cell: Cell, one: Execution) -> bool:
    return cell.count is not None and cell.count == one.count


def _of_the_same_id(cell: Cell, one: Execution) -> bool:
    return bool(one.id) and cell.id == one.id


def _of_the_same_source(cell: Cell, one: Execution) -> bool:
    return cell.source == one.source


def _differences(pairs: Iterable[tuple[Cell, Execution | None]]) -> Iterator[Problem]:
    for cell, one in pairs:
        where = _where(cell)
        if one is None:
            yield where, "the kernel never ran it: it was inserted, or its source and outputs were altered"
            continue
        if cell.source != one.source:
            yield where, f"its source is not what the kernel ran as execution {one.number}"
        if not one.whole:
            continue
        if cell.outputs != one.outputs:
            yield where, f"its outputs are not those of execution {one.number}: {_outputs(cell.outputs, one.outputs)}"
        elif cell.count != one.count:
            yield where, f"it says In [{cell.count}], and was In [{one.count}]"


def _outputs(shown: Sequence[str], said: Sequence[str]) -> str:
    """Which outputs differ, in words."""
    words = []
    for what, a, b, c, d in SequenceMatcher(None, said, shown, autojunk=False).get_opcodes():
        if what == "replace":
            words.append(f"{_numbers(c, d)} altered")
        elif what == "delete":
            words.append(f"{b - a} removed before output {c + 1}")
        elif what == "insert":
            words.append(f"{_numbers(c, d)} inserted")
    return ", ".join(words)


def _numbers(first: int, end: int) -> str:
    return f"output {first + 1}" if end - first == 1 else f"outputs {first + 1} to {end}"


def _missing(
    pairs: Iterable[tuple[Cell, Execution | None]], executions: Sequence[Execution], cells: Sequence[Cell]
) -> Iterator[Problem]:
    used = {one.number for _, one in pairs if one is not None}
    for one in executions:
        if one.number in used or _run_again(one, executions):
            continue
        cleared = next((cell for cell in cells if not cell.executed and cell.source == one.source), None)
        if cleared is not None and not one.whole:
            continue  # its kernel died before anything came of it
        if cleared is not None:
            yield _where(cleared), f"the kernel ran it as execution {one.number}, and its outputs were removed"
        else:
            yield "notebook.ipynb", f"the cell of execution {one.number} was removed"


def _run_again(one: Execution, executions: Sequence[Execution]) -> bool:
    """True if the same cell was run again later, which replaces its outputs in the notebook."""
    later = (other for other in executions if other.number > one.number)
    return any((one.id and other.id == one.id) or (not one.id and other.source == one.source) for other in later)


def _order(pairs: Sequence[tuple[Cell, Execution | None]]) -> Iterator[Problem]:
    last: Execution | None = None
    for cell, one in pairs:
        if one is None:
            continue
        if last is not None and one.number < last.number:
            yield _where(cell), f"it stands behind execution {last.number} and was run before it: cells were moved"
        last = one


def _prose(cells: Sequence[Cell], outline: Sequence[tuple[str, str]], run: set[int]) -> Iterator[Problem]:
    """What was not run, against the runbook's own cells; a cell that was run is the journal's affair."""
    if not outline:
        return
    kept = [cell for cell in cells if INJECTED not in cell.tags]
    shown = [(cell.kind, cell.source) for cell in kept]
    for what, a, b, c, d in SequenceMatcher(None, list(outline), shown, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        strange = [cell for cell in kept[c:d] if cell.place not in run]
        for cell in strange:
            yield _where(cell), "it is not the runbook's own as it was when the run began: altered, moved or inserted"
        gone = (b - a) - (d - c)
        if gone > 0:
            place = kept[c].place if c < len(kept) else len(cells) + 1
            yield "notebook.ipynb", f"{gone} of the runbook's cells were removed before cell {place}"


def _where(cell: Cell) -> str:
    return f"notebook.ipynb, cell {cell.place} ({cell.first_line!r})"
