"""What an apply's time was spent on: its steps in time, what each one waited for, the critical path. Pure.

All of it comes from the journal's steps: `begin` (which names what the step comes after, and its action), `done` or
`failed`, on the clock that nobody sets back (`up`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

State = Literal["done", "failed", "unknown"]
_SAME = 0.001  # seconds: an end and the begin that follows it are two entries


@dataclass(frozen=True, slots=True)
class Span:
    """One step: seconds since the first one began, what it comes after, and which of that it waited for last.

    `action` is the plan's; empty where the journal has none, as of the stages of an install.
    """

    target: str
    begun: float
    ended: float
    state: State
    after: tuple[str, ...] = ()
    action: str = ""
    waited_for: str = ""
    critical: bool = False

    @property
    def took(self) -> float:
        """Seconds; of a step whose end nobody knows, until the last word of the apply."""
        return self.ended - self.begun


def spans(entries: Iterable[Mapping[str, Any]]) -> tuple[Span, ...]:
    """The steps of the last apply, in the order in which they began."""
    steps: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        if entry["kind"] == "stage" and entry["stage"] == "apply":
            steps = {}
        elif entry["kind"] == "step" and isinstance(entry.get("up"), int | float):
            steps.setdefault(entry["target"], []).append(entry)
    every = [entry["up"] for history in steps.values() for entry in history]
    made = {target: _span(history, min(every), max(every)) for target, history in steps.items()}
    critical = set(_critical(made))
    marked = (replace(one, waited_for=_last(one, made), critical=one.target in critical) for one in made.values())
    return tuple(sorted(marked, key=lambda one: (one.begun, one.ended)))


def sentence(found: Sequence[Span]) -> str:
    """How long it took, and which steps nothing could have overtaken."""
    path = [one for one in found if one.critical]
    total = max(one.ended for one in found)
    idle = total - sum(one.took for one in path)
    shown = [f"{short(one.target)} {seconds(one.took)}" for one in path]
    waiting = f", and {seconds(idle)} between them" if idle >= 0.05 else ""
    return f"{len(found)} steps in {seconds(total)}. Critical path: {' → '.join(shown)}{waiting}."


def seconds(count: float) -> str:
    """A duration as people say it."""
    if count < 10:
        return f"{count:.1f} s"
    return f"{count:.0f} s" if count < 120 else f"{int(count) // 60} min {int(count) % 60:02} s"


def short(target: str) -> str:
    """Of `cluster/kind/name` the kind and the name, which bears the cluster's or is a host's."""
    return " ".join(target.split("/")[1:]) if target.count("/") == 2 else target


def _span(history: Sequence[Mapping[str, Any]], start: float, end: float) -> Span:
    last, first = history[-1], history[0]
    ended = last["up"] if last["phase"] in ("done", "failed") else end
    state: State = last["phase"] if last["phase"] in ("done", "failed") else "unknown"
    after = tuple(str(one) for one in (first.get("facts") or {}).get("after", ()))
    return Span(str(first["target"]), first["up"] - start, ended - start, state, after, str(first.get("detail", "")))


def _last(one: Span, made: Mapping[str, Span]) -> str:
    """Of what a step comes after, what ended last; empty if it waited for nothing."""
    return max((name for name in one.after if name in made), key=lambda name: made[name].ended, default="")


def _critical(made: Mapping[str, Span]) -> Iterator[str]:
    """From the step that ended last, back over what each one waited for; steps without `after` follow each other."""
    left = sorted(made.values(), key=lambda one: one.ended)
    chained = any(one.after for one in left)
    while left:
        current = left.pop()
        yield current.target
        earlier = [one for one in left if one.ended <= current.begun + _SAME]
        before = [one for one in earlier if one.target == _last(current, made)] if chained else earlier
        left = left[: left.index(before[-1]) + 1] if before else []
