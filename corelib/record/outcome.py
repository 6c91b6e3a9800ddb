"""The outcome of a run, derived from its journal alone: no notebook's own claim is believed.

A run is a row of stages. Each begins, and ends with a result or an error; a stage that is run again counts as it
went last. A last entry `end` that says `complete` means that the notebook reached its last cell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

Outcome = Literal[
    "succeeded",
    "no change",
    "awaiting approval",
    "unhealthy",
    "failed",
    "refused",
    "interrupted",
    "running",
]
OUTCOMES: tuple[str, ...] = get_args(Outcome)

_RESULTS: dict[str, Outcome] = {"no change": "no change", "awaiting approval": "awaiting approval"}
_ERRORS: dict[str, Outcome] = {
    "Unhealthy": "unhealthy",
    "Refused": "refused",
    "KeyboardInterrupt": "interrupted",
    "SystemExit": "interrupted",  # a cell that leaves, with whatever code, is not the runbook's end
}


def outcome(entries: Iterable[dict[str, Any]], *, live: bool) -> Outcome:
    """What became of a run: `entries` is its journal, `live` whether its process still writes it."""
    stages: dict[str, dict[str, Any]] = {}
    last: dict[str, Any] = {}
    for entry in entries:
        last = entry
        if entry["kind"] in ("stage", "result", "error"):
            stages[entry["stage"]] = entry
    if last.get("kind") != "end":
        return "running" if live else "interrupted"
    if last.get("sealed_by"):  # its own process wrote no end: closing it afterwards does not make it another run
        return "interrupted"
    for entry in stages.values():
        if entry["kind"] == "error":
            return _error(entry)
    if not last["complete"] or any(entry["kind"] == "stage" for entry in stages.values()):
        return "interrupted"
    results = [_RESULTS.get(entry["result"]) for entry in stages.values()]
    return next((result for result in results if result), "succeeded")


def _error(entry: dict[str, Any]) -> Outcome:
    return next((_ERRORS[name] for name in entry["classes"] if name in _ERRORS), "failed")
