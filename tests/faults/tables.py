"""What a matrix prints at the end: a row a fault, and what it comes to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from corelib.etcd.judge import Verdict
from tests.etcd.clusters import Running

Row = tuple[str, ...]


@dataclass
class Table:
    """Rows under a title; `head` names the columns, if that is needed to read them."""

    title: str
    head: Row = ()
    rows: list[Row] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The rows with their columns under each other, and the last line."""
        rows = [self.head, *self.rows] if self.head else self.rows
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        if last := self.last():
            yield last

    def last(self) -> str:
        """What all rows come to; empty if that needs no words."""
        return ""


@dataclass
class InstallTable(Table):
    """Faults of installs: how each ended, what was said, and whether a byte was written to any other disk."""

    title: str = "installs under faults"
    head: Row = ("fault", "ends in", "says", "other disks", "s")
    foreign: list[str] = field(default_factory=list)

    def row(self, name: str, ends: str, says: str, *, untouched: bool, seconds: float) -> None:
        """One fault that was tried."""
        if not untouched:
            self.foreign.append(name)
        disks = "untouched" if untouched else "WRITTEN"
        self.rows.append((name, ends, _short(" ".join(says.split())), disks, f"{seconds:.1f}"))

    def last(self) -> str:
        return f"{len(self.rows)} faults tried; bytes on a disk that was not consented to: {len(self.foreign)} times"


@dataclass
class EtcdTable(Table):
    """Faults of etcd clusters, and clusters without one: each is verified, told, and held to what is expected."""

    title: str = "etcd under faults"
    head: Row = ("fault", "etcd", "finding", "expected", "ms")
    faults: int = 0
    healthy: int = 0
    false_healthy: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)

    def fault(
        self,
        name: str,
        cluster: Running,
        starts: str,
        *,
        says: Sequence[str] = (),
        margin: str = "",
        patience: float | None = None,
    ) -> Verdict:
        """Verify a cluster that has this fault: its sentence begins so, says that too, and has that margin."""
        verdict = self._told(name, cluster, starts, patience)
        self.faults += 1
        if verdict.healthy:
            self.false_healthy.append(name)
        assert verdict.sentence.startswith(starts), verdict.sentence
        assert not verdict.healthy
        assert [text for text in says if text not in verdict.sentence] == [], verdict.sentence
        assert verdict.margin == (margin or verdict.margin), verdict.sentence
        return verdict

    def warned(self, name: str, cluster: Running, message: str) -> Verdict:
        """Verify a cluster that works, and has something that is told all the same: a warning that begins so."""
        verdict = self._told(name, cluster, f"healthy; {message}", None, warning=message)
        self.faults += 1
        assert verdict.healthy, verdict.sentence
        found = [finding for finding in verdict.findings if finding.message.startswith(message)]
        assert [finding.severity for finding in found] == ["warning"], verdict.findings
        return verdict

    def well(self, name: str, version: str, verdicts: Sequence[Verdict], seconds: float) -> None:
        """So many verifications of a cluster that is well."""
        wrong = [verdict.sentence for verdict in verdicts if not verdict.healthy]
        self.healthy += len(verdicts)
        self.false_alarms += wrong
        found = wrong[0] if wrong else f"{len(verdicts)} times healthy"
        each = f"{1000 * seconds / len(verdicts):.0f}"
        self.rows.append((name, version, _short(found), f"{len(verdicts)} times healthy", each))
        assert wrong == []

    def last(self) -> str:
        alarms = f"{len(self.false_alarms)} false alarm{'s' * (len(self.false_alarms) > 1)}"
        return (
            f"{self.faults} faults tried and {self.healthy} verifications of healthy clusters: "
            f"{len(self.false_healthy)} false healthy, {alarms}"
        )

    def _told(self, name: str, cluster: Running, expected: str, patience: float | None, warning: str = "") -> Verdict:
        begun = time.monotonic()
        verdict = cluster.verify(patience_s=patience)
        took = f"{1000 * (time.monotonic() - begun):.0f}"
        said = [f.message for f in verdict.findings if warning and f.message.startswith(warning)]
        finding = "; ".join([verdict.kind, *said]) if warning else verdict.sentence
        self.rows.append((name, cluster.version, _short(finding), _short(expected, 48), took))
        return verdict


@dataclass
class AzureTable(Table):
    """Applies under faults: what was asked of Azure, how it ended, and what that is held to."""

    title: str = "applies to Azure under faults"
    head: Row = ("fault", "requests", "outcome", "what else")

    def last(self) -> str:
        killed = sum(row[0].startswith("killed") for row in self.rows)
        return f"{killed} kills and {len(self.rows) - killed} other faults tried: all as expected"


def _short(text: str, most: int = 96) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
