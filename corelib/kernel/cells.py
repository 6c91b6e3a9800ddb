"""What the cells of a notebook said, told to the journal: each cell's source and outputs, as digests.

Fed by the wire with every message that leaves the kernel, already redacted. A cell's entry is written when it begins,
and again, with its outputs, before it is reported idle; what changes an output later (a late thread, an update from
another cell) journals that cell again. Nothing of the outputs is kept but digests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..record.outputs import Stream, digest, source_digest

Write = Callable[..., Any]
_SHOWN = {"display_data", "execute_result", "error"}


@dataclass
class Cell:
    """One execution of a cell: `number` is our own, the n-th execution of this run."""

    number: int
    source: str
    id: str
    count: int | None = None
    outputs: list[Stream | str] = field(default_factory=list)
    shown: dict[str, list[int]] = field(default_factory=dict)  # display id → where in the outputs
    status: str = "running"
    idle: bool = False
    to_clear: bool = False
    changed: bool = True

    def digests(self) -> list[str]:
        """The digest of every output so far."""
        return [one.digest if isinstance(one, Stream) else one for one in self.outputs]


class Cells:
    """All executions of one run; not for two threads at once: the wire holds its lock.

    `write` journals an entry for good, `note` one that nothing hangs on.
    """

    def __init__(self, write: Write, note: Write, redactions: Callable[[], int]) -> None:
        self._write, self._note = write, note
        self._redactions = redactions
        self._before = redactions()
        self._cells: dict[str, Cell] = {}  # by the request's message id
        self._number = 0

    def begin(self, request: Mapping[str, Any]) -> None:
        """A cell is executed: `request` is the front end's message."""
        self._number += 1
        source = source_digest(request["content"]["code"])
        name = str(request.get("metadata", {}).get("cellId", ""))
        cell = self._cells[request["header"]["msg_id"]] = Cell(self._number, source, name)
        self._journal(cell, self._note)  # whatever becomes of the kernel, it is known what it was doing

    def take(self, kind: str, content: Mapping[str, Any], parent: str) -> None:
        """One message, before it is sent."""
        if kind == "update_display_data":
            self._update(content)
            return
        cell = self._cells.get(parent)
        if cell is None:
            return
        if kind == "execute_reply":
            cell.status, cell.count = content["status"], content.get("execution_count")
        elif kind == "clear_output":
            cell.to_clear = bool(content.get("wait"))
            if not cell.to_clear:
                self._clear(cell)
        elif kind == "stream" and content["text"]:
            self._stream(cell, content["name"], content["text"])
        elif kind in _SHOWN:
            self._show(cell, kind, content)
        if cell.idle and cell.changed:
            self._journal(cell, self._write)

    def idle(self, parent: str) -> None:
        """The cell is about to be reported idle: journal it, and every other one that an update has changed."""
        if parent in self._cells:
            self._cells[parent].idle = True
        self.catch_up()

    def catch_up(self) -> None:
        """Journal what is not yet, also what could not be written before."""
        for cell in self._cells.values():
            if cell.idle and cell.changed:
                self._journal(cell, self._write)

    def _stream(self, cell: Cell, name: str, text: str) -> None:
        self._clear_if_due(cell)
        last = cell.outputs[-1] if cell.outputs else None
        if isinstance(last, Stream) and last.name == name:
            last.add(text)
        else:
            cell.outputs.append(Stream(name, text))
        cell.changed = True

    def _show(self, cell: Cell, kind: str, content: Mapping[str, Any]) -> None:
        self._clear_if_due(cell)
        name = content.get("transient", {}).get("display_id")
        if name:
            cell.shown.setdefault(name, []).append(len(cell.outputs))
        cell.outputs.append(digest({**content, "output_type": kind}))
        cell.changed = True

    def _update(self, content: Mapping[str, Any]) -> None:
        """Replace an output in every cell that shows it; those that are idle already are journaled at the next idle."""
        name = content.get("transient", {}).get("display_id", "")
        for cell in self._cells.values():
            for place in cell.shown.get(name, ()):
                cell.outputs[place] = digest({**content, "output_type": "display_data"})
                cell.changed = True

    def _clear_if_due(self, cell: Cell) -> None:
        if cell.to_clear:
            self._clear(cell)

    def _clear(self, cell: Cell) -> None:
        cell.outputs, cell.shown, cell.to_clear, cell.changed = [], {}, False, True

    def _journal(self, cell: Cell, write: Write) -> None:
        redactions = self._redactions()
        write(
            "cell",
            cell=cell.number,
            count=cell.count,
            id=cell.id,
            status=cell.status,
            source=cell.source,
            outputs=cell.digests(),
            redactions=redactions - self._before,
        )
        # Only now: what a full disk did not take is written once there is room again.
        self._before, cell.changed = redactions, cell.status == "running"
