"""What an operator hears of a run that goes on elsewhere: what has ended at once, what it waits for at a pace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PACE = 5.0  # seconds between two lines of what one resource waits for
_OLD = 600.0  # seconds after which the same text is news again
_TOGETHER = 0.3  # seconds between any two such lines: hundreds of resources may wait at once
_LONGEST = 300  # characters of one line


class News:
    """Takes a journal's entries in their order; gives the lines that are news.

    What is waited for is said when it changes, and is not repeated; where it changes faster than the pace, its newest
    text is said when its turn has come, and nothing of it once the wait is over.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}  # by target, in the order of their turns
        self._said: dict[str, tuple[str, float]] = {}
        self._last = float("-inf")

    def take(self, entry: Mapping[str, Any]) -> str:
        """What is to be said of an entry at once; empty if nothing is."""
        match entry:
            case {"kind": "step", "phase": "wait", "target": target, "detail": detail}:
                if text := " ".join(detail.split())[:_LONGEST]:
                    self._waiting[target] = text
            case {"kind": "step", "phase": "done" | "failed", "target": target}:
                self._waiting.pop(target, None)
                self._said.pop(target, None)
        return _line(entry)

    def due(self, now: float) -> list[str]:
        """What is waited for and may be said now; `now` is in seconds."""
        lines = []
        for target, text in list(self._waiting.items()):
            before, at = self._said.get(target, ("", float("-inf")))
            if text == before and now - at < _OLD:
                del self._waiting[target]
                continue
            if now - self._last < _TOGETHER:
                break
            if now - at < PACE:
                continue
            del self._waiting[target]
            self._said[target] = text, now
            self._last = now
            lines.append(f"    … {target} {text}")
        return lines


def _line(entry: Mapping[str, Any]) -> str:
    """What a person wants to hear of an entry; empty for the rest."""
    match entry:
        case {"kind": "step", "phase": "done", "target": target, "detail": detail}:
            return f"    ✔ {target} {detail}".rstrip()
        case {"kind": "step", "phase": "failed", "target": target, "detail": detail}:
            return f"    ✘ {target} {detail}".rstrip()
        case {"kind": "result", "stage": stage, "summary": summary, "plan": digest}:
            return f"  {stage}: {summary} ({digest})"
        case {"kind": "result", "stage": stage, "result": result}:
            return f"  {stage}: {result}"
        case {"kind": "error", "message": message}:
            return f"  ✘ {message}"
    return ""
