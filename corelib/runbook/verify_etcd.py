"""verify-etcd: the cluster is healthy, and it is the one that was rendered; otherwise what is wrong, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import Refused, Unhealthy
from ..etcd.judge import Check, Intended, Verdict, judge
from ..etcd.probe import probe
from ..views import Fold, Note, Page, Table, View
from ..views.document import Tone
from ..views.findings import findings
from .inventory import Inventory
from .session import Session

_TONES: dict[str, Tone] = {"passed": "good", "failed": "bad", "not checked": "warn"}


class VerifyEtcd(Session):
    """Asks every member at its rendered address, judges, and ends as unhealthy on a bad verdict."""

    name = "verify-etcd"

    def check(self) -> View:
        """Probe and judge; shows the verdict and its table. A bad verdict is shown and then raised as Unhealthy."""
        with self._stage("check") as stage:
            verdict = self._verdict()
            stage.result, stage.facts = verdict.sentence, {"margin": verdict.margin, "checks": _rows(verdict)}
            if not verdict.healthy:
                self._live(show(verdict))
                raise Unhealthy("verifying etcd", verdict.sentence)
        return show(verdict)

    def _verdict(self) -> Verdict:
        fleet = self.loaded.fleet
        if fleet.access == "ssh":
            found = "the parameters say access: ssh, which this version cannot do yet"
            raise Refused(
                "verifying etcd", found, "run it where the overlay's addresses are reachable, with access: direct"
            )
        self.targets.hold_lab()
        deployed = Inventory(self.project.inventory(fleet.environment)).read("azure").get("hosts", {})
        intended = Intended.of(fleet, deployed)
        return judge(intended, probe(intended.members, election_ms=intended.election_ms))


def show(verdict: Verdict) -> View:
    """The sentence, the margin, what did not pass, the findings, and every check."""
    amiss = [row for row in verdict.rows if row.state != "passed"]
    every = _table(verdict.rows)
    return Page.of(
        Note(verdict.sentence, "good" if verdict.healthy else "bad"),
        Note(f"Margin: {verdict.margin}"),
        _table(amiss) if amiss else every,
        findings(verdict.findings),
        Fold(f"all {len(verdict.rows)} checks", every) if amiss else None,
    )


def _table(rows: Sequence[Check]) -> Table:
    cells = [(row.member, row.check, row.expected, row.found, row.state) for row in rows]
    return Table(("member", "check", "expected", "found", "state"), cells, "", [_TONES[row.state] for row in rows])


def _rows(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {"member": row.member, "check": row.check, "expected": row.expected, "found": row.found, "state": row.state}
        for row in verdict.rows
    ]
