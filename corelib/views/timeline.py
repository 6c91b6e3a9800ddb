"""The timeline of an apply: a bar for each step, what it waited for, and the critical path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from .deployment import SIGNS
from .document import COLOURS, Note, Page, Tone, View
from .spans import Span, State, seconds, sentence, short, spans

_MOST = 36  # rows that are still read; of more, those are put together that are of one kind
_LABEL, _CHART, _AFTER, _ROW, _HEAD = 270, 540, 150, 20, 26  # widths and heights of the picture
_COLUMNS = 48  # of the chart in text
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # seconds between two marks
_DONE = {"create": "created", "change": "changed", "replace": "replaced", "destroy": "destroyed"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of the picture: one step, or several of a kind."""

    label: str
    spans: Sequence[Span] = field(default=())

    @property
    def begun(self) -> float:
        """When the first of them began."""
        return min(one.begun for one in self.spans)

    @property
    def ended(self) -> float:
        """When the last of them ended."""
        return max(one.ended for one in self.spans)

    @property
    def critical(self) -> bool:
        """True if everything else had to wait for this."""
        return any(one.critical for one in self.spans)

    @property
    def state(self) -> State:
        """The worst one's."""
        states = {one.state for one in self.spans}
        return "failed" if "failed" in states else "unknown" if "unknown" in states else "done"

    @property
    def action(self) -> str:
        """What it did, which is the same of all; empty where that is not known."""
        action = self.spans[0].action
        return action if action in _DONE else ""

    @property
    def tone(self) -> Tone:
        """As the plan's picture shows it, but for what went wrong."""
        return "bad" if self.state == "failed" else SIGNS[self.action][2] if self.action else "plain"

    @property
    def name(self) -> str:
        """The label under the signs of its action and of the critical path."""
        sign = SIGNS[self.action][0] if self.action else ""
        return " ".join(word for word in ("▸" if self.critical else "", sign, self.label) if word)

    @property
    def said(self) -> str:
        """How long, in words."""
        took = [one.took for one in self.spans]
        if len(took) > 1:
            return f"{seconds(min(took))} to {seconds(max(took))} each"
        return {"done": "", "failed": "✘ failed after ", "unknown": "? not ended after "}[self.state] + seconds(took[0])


def timeline(entries: Iterable[Mapping[str, Any]]) -> View | None:
    """The picture of the last apply in a journal, under a sentence that names its critical path; None without steps."""
    found = spans(entries)
    return Page.of(Note(sentence(found)), Chart(bars(found))) if found else None


def bars(found: Sequence[Span]) -> tuple[Bar, ...]:
    """A row for each step; where those are too many, what is alike in one row, but for what is critical or failed."""
    keys: tuple[Callable[[Span], str], ...] = (lambda one: one.target, _of_a_kind, lambda one: _of_a_kind(one, 1))
    for key in keys:
        rows: dict[tuple[str, str], list[Span]] = {}
        for one in found:
            alone = one.critical or one.state != "done"
            rows.setdefault((one.target if alone else key(one), one.action), []).append(one)
        if len(rows) <= _MOST:
            break
    return tuple(Bar(_label(name, of), of) for (name, _), of in rows.items())


def _of_a_kind(one: Span, parts: int = 2) -> str:
    """What is alike: of `cluster/kind/name` the first two parts, or the kind alone."""
    words = one.target.split("/")
    if len(words) < 3:
        return one.target
    return "/".join(words[:2]) if parts == 2 else words[1]


def _label(name: str, of: Sequence[Span]) -> str:
    if len(of) == 1:
        return short(of[0].target)
    place, _, kind = name.rpartition("/")
    return f"{f'{place}: ' if place else ''}{len(of)} × {kind}"


@dataclass(frozen=True, repr=False)
class Chart(View):
    """Bars over time. Meaning is not in colour alone: each action has a sign, what is critical one and a solid bar."""

    rows: Sequence[Bar]

    def html(self) -> str:
        """An inline SVG."""
        width, height = _LABEL + _CHART + _AFTER, _HEAD + _ROW * len(self.rows) + 6
        style = "max-width:100%;font:12px system-ui,sans-serif;color:inherit"
        label = escape("; ".join(f"{row.label}: {row.said}" for row in self.rows))
        parts = [*self._axis(height), *self._waits(), *(self._bar(n, row) for n, row in enumerate(self.rows))]
        waits = (
            " A thin line: what a step waited for." if any(one.after for row in self.rows for one in row.spans) else ""
        )
        legend = f"<div>▸ and a solid bar: the critical path.{waits} {escape(self._actions())}</div>"
        return (
            f'<svg role="img" aria-label="{label}" viewBox="0 0 {width} {height}" width="{width}" style="{style}">'
            f"{''.join(parts)}</svg>{legend}"
        )

    def text(self) -> str:
        """The same in characters: `━` critical, `─` not."""
        names = [row.name if row.critical else f"  {row.name}" for row in self.rows]
        width = max(map(len, names))
        lines = []
        for name, row in zip(names, self.rows, strict=True):
            start = round(row.begun / self._total * _COLUMNS)
            end = max(round(row.ended / self._total * _COLUMNS), start + 1)
            bar = " " * start + ("━" if row.critical else "─") * (end - start)
            lines.append(f"{name.ljust(width)}  {bar.ljust(_COLUMNS + 1)}  {row.said}")
        return "\n".join([*lines, f"▸ ━ the critical path. {self._actions()}".strip()])

    def _actions(self) -> str:
        """What the signs mean of those that there are."""
        there = {row.action for row in self.rows}
        said = [f"{SIGNS[action][0]} {word}" for action, word in _DONE.items() if action in there]
        return f"{', '.join(said)}." if said else ""

    @property
    def _total(self) -> float:
        return max((row.ended for row in self.rows), default=0.0) or 0.001

    def _x(self, at: float) -> float:
        return round(_LABEL + at / self._total * _CHART, 1)

    def _axis(self, height: int) -> Iterator[str]:
        step = next((tick for tick in _TICKS if self._total / tick <= 8), 7200)
        line = f'y1="{_HEAD - 6}" y2="{height}" stroke="{COLOURS["plain"]}" stroke-opacity=".3"'
        for n in range(int(self._total / step) + 1):
            x = self._x(n * step)
            yield f'<line x1="{x}" x2="{x}" {line}/>'
            yield f'<text x="{x}" y="14" text-anchor="middle" fill="currentColor">{_mark(n * step)}</text>'

    def _waits(self) -> list[str]:
        """From the end of what a row's first step waited for, down to its begin."""
        place = {one.target: n for n, row in enumerate(self.rows) for one in row.spans}
        parts = []
        for n, row in enumerate(self.rows):
            first = min(row.spans, key=lambda one: one.begun)
            if first.waited_for in place and place[first.waited_for] != n:
                above = self.rows[place[first.waited_for]]
                before = next(one for one in above.spans if one.target == first.waited_for)
                x1, x2 = self._x(before.ended), self._x(first.begun)
                y1, y2 = (_HEAD + _ROW * at + _ROW // 2 for at in (place[first.waited_for], n))
                path = f'<path d="M {x1} {y1} V {y2} H {x2}" fill="none" stroke="{COLOURS["plain"]}"'
                parts.append(f'{path} stroke-opacity="{1 if row.critical else 0.35}"/>')
        return parts

    def _bar(self, n: int, row: Bar) -> str:
        y, x = _HEAD + _ROW * n, self._x(row.begun)
        width, colour = max(self._x(row.ended) - x, 2.0), COLOURS[row.tone]
        dashed = ' stroke-dasharray="4 3"' if row.state == "unknown" else ""
        weight = "bold" if row.critical else "normal"
        return (
            f'<text x="{_LABEL - 10}" y="{y + 14}" text-anchor="end" fill="currentColor" font-weight="{weight}">'
            f"{escape(_fit(row.name))}<title>{escape(_whole(row))}</title></text>"
            f'<rect x="{x}" y="{y + 4}" width="{round(width, 1)}" height="{_ROW - 8}" rx="2" fill="{colour}" '
            f'fill-opacity="{0.95 if row.critical else 0.35}" stroke="{colour}"{dashed}/>'
            f'<text x="{round(x + width + 6, 1)}" y="{y + 14}" fill="currentColor">{escape(row.said)}</text>'
        )


def _whole(row: Bar) -> str:
    return ", ".join(one.target for one in row.spans[:_MOST])


def _fit(text: str) -> str:
    return text if len(text) <= 36 else f"{text[:22]}…{text[-13:]}"


def _mark(at: float) -> str:
    return f"{at:g} s" if at < 120 else f"{at / 60:g} min"
