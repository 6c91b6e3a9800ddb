"""What verify-etcd shows: the sentence, each fault with what to do, the cluster as a picture, and every check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ..etcd.commands import see
from ..etcd.intended import Intended
from ..etcd.judge import Check, Verdict
from ..report import Report
from .cluster import Cluster, Node
from .document import COLOURS, Fold, Note, Page, Table, Tone, View, escape
from .findings import findings

TONES: dict[str, Tone] = {"healthy": "good", "awaiting": "warn", "unproven": "warn", "unhealthy": "bad"}
_STATES: dict[str, Tone] = {"passed": "good", "failed": "bad", "not checked": "warn"}
_ROOM = 26  # characters in a member's box
_SHOWN = 12  # faults told in full; the table of all checks has the rest


def show(verdict: Verdict, intended: Intended, since: Sequence[str], healthy: str, looked: str) -> View:
    """The whole report. `since` is what changed after the last healthy run, named `healthy`; `looked`: from where."""
    faults = tuple(row for row in verdict.rows if row.problem and row.state == "failed")
    rest = Report.of(f for f in verdict.findings if f.severity != "error")
    return Page.of(
        Note(verdict.sentence, TONES[verdict.kind]),
        Note("\n".join(_lead(verdict, looked))),
        *(Fault(row, see(row, intended, verdict.old)) for row in faults[:_SHOWN]),
        Note(f"{len(faults) - _SHOWN} more faults are among all checks", "bad") if len(faults) > _SHOWN else None,
        _picture(verdict, intended) if intended.members else None,
        _trips(verdict, intended),
        _since(since, healthy),
        findings(rest, "Also found"),
        Checks(verdict.rows),
    )


def _lead(verdict: Verdict, looked: str) -> Iterator[str]:
    """The margin, unless the sentence has it already, and from where we looked."""
    if verdict.margin not in verdict.sentence:
        yield f"Margin: {verdict.margin}"
    yield f"Looked {looked}"


class Fault(View):
    """One fault: what, expected, found, what to do and what to avoid, and what a person types to see it."""

    def __init__(self, row: Check, see: str) -> None:
        self.row, self.see = row, see

    def html(self) -> str:
        """A block with a bar."""
        style = f"border-left:4px solid {COLOURS['bad']};padding:2px 10px;margin:8px 0"
        cell = "text-align:left;vertical-align:top;padding:1px 12px 1px 0;white-space"
        lines = "".join(
            f'<tr><td style="{cell}:nowrap">{name}</td><td style="{cell}:pre-wrap">{_marked(name, text)}</td></tr>'
            for name, text in self._lines()
        )
        return f'<div style="{style}">✘ <b>{escape(self.row.problem)}</b><table>{lines}</table></div>'

    def text(self) -> str:
        """The same in lines."""
        return "\n".join([f"✘ {self.row.problem}", *(f"    {name:<12}{text}" for name, text in self._lines())])

    def _lines(self) -> list[tuple[str, str]]:
        row = self.row
        lines = [("check", row.check), ("expected", row.expected), ("found", row.found)]
        return [(name, text) for name, text in (*lines, ("what to do", row.remedy), ("see it", self.see)) if text]


class Checks(View):
    """Every check, folded away in a notebook; plain text counts those that passed and lists the others."""

    def __init__(self, rows: Sequence[Check]) -> None:
        self.rows = rows

    def html(self) -> str:
        """A folded table."""
        return Fold(self._title(), _table(self.rows)).html()

    def text(self) -> str:
        """The count, and what did not pass."""
        amiss = [row for row in self.rows if row.state != "passed"]
        return "\n".join([self._title(), *([_table(amiss).text()] if amiss else [])])

    def _title(self) -> str:
        counts: Counter[str] = Counter(row.state for row in self.rows)
        return f"{len(self.rows)} checks: {', '.join(f'{counts[state]} {state}' for state in _STATES if counts[state])}"


def _marked(name: str, text: str) -> str:
    return f"<code>{escape(text)}</code>" if name == "see it" else escape(text)


def _picture(verdict: Verdict, intended: Intended) -> Cluster:
    return Cluster(tuple(_node(verdict, intended, member.name, str(member.address)) for member in intended.members))


def _node(verdict: Verdict, intended: Intended, name: str, address: str) -> Node:
    rows = [row for row in verdict.rows if row.member == name]
    failed = next((row for row in rows if row.state == "failed"), None)
    leads = name == verdict.leader
    well = "leads" if leads else "follows"
    trip = f"{verdict.trips[name]:.0f} ms" if name in verdict.trips and not leads else ""
    site = intended.sites.get(name, "cluster")
    if name in {one.name for one in verdict.underway}:
        return Node(name, address, site, "warn", "on its way")
    if failed is not None:
        note = f"{failed.check}: {failed.found.partition(':')[0]}"
        note = note if len(note) < _ROOM else f"{failed.check}: see above"
        return Node(name, address, site, "bad", note, leads, trip)
    if any(row.state == "not checked" for row in rows):
        return Node(
            name, address, site, "warn", f"{well if verdict.leader else 'answers'}, not all checked", leads, trip
        )
    return Node(name, address, site, "good", well, leads, trip)


def _trips(verdict: Verdict, intended: Intended) -> Table | None:
    """A row a member: its own way to the leader, and what etcd itself says of its ways to the others."""
    names = [member.name for member in intended.members]
    if not verdict.trips:
        return None
    rows, tones = [], []
    for name in names:
        measured = verdict.trips.get(name)
        own = verdict.between.get(name, {})
        cells = ["—" if other == name else f"{own[other]:.1f}" if other in own else "?" for other in names]
        rows.append((name, "?" if measured is None else f"{measured:.1f}", *cells))
        tones.append(_tone(measured, intended.heartbeat_ms))
    title = f"Round trips in ms, heartbeat {intended.heartbeat_ms}, election timeout {intended.election_ms}"
    columns = ("from", "to the leader, now", *(f"to {name}" for name in names))
    return Table(columns, rows, f"{title} (the leader's own: to its quorum; to each other: as etcd knows it)", tones)


def _tone(measured: float | None, heartbeat_ms: int) -> Tone:
    if measured is None:
        return "plain"
    return "bad" if measured > heartbeat_ms else "warn" if measured > heartbeat_ms / 2 else "good"


def _since(changes: Sequence[str], healthy: str) -> Note | None:
    if not healthy:
        return None
    told = "\n".join(f"  {change}" for change in changes) or "  nothing that can be seen"
    return Note(f"Changed since the last healthy run ({healthy}):\n{told}")


def _table(rows: Sequence[Check]) -> Table:
    cells = [(row.member, row.check, row.expected, row.found, row.state) for row in rows]
    return Table(("member", "check", "expected", "found", "state"), cells, "", [_STATES[row.state] for row in rows])
