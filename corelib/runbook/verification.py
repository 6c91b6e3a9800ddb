"""One look at the etcd of an environment: asked, judged, and compared with the last healthy look of the records.

What the notebook and `runbooks verify` share; it writes nothing but the canary, and the host keys that it meets first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import references
from ..etcd import tls
from ..etcd.credentials import Credentials
from ..etcd.facts import facts, since
from ..etcd.intended import Intended
from ..etcd.judge import Verdict, judge
from ..etcd.probe import probe
from ..fleet import Etcd, Fleet
from ..project import Project
from ..record import read, records
from ..record.journal import JournalError
from ..report import Report
from ..views import View
from ..views.verdict import show
from .inventory import Inventory
from .reaching import reach
from .targets import Targets

REPORT = "report.json"  # beside the journal of a run of verify-etcd


@dataclass(frozen=True, slots=True)
class Verification:
    """A verdict, its facts as plain data, and what changed since the last healthy run (`healthy`, empty: none)."""

    verdict: Verdict
    intended: Intended
    facts: dict[str, Any]
    changes: Sequence[str]
    healthy: str
    looked: str

    def view(self) -> View:
        """The report as it is shown."""
        return show(self.verdict, self.intended, self.changes, self.healthy, self.looked)


def verify(fleet: Fleet, targets: Targets, at: Project) -> Verification:
    """Ask every member, from here or through its host, and judge. Raises RunbookError where nobody can be asked."""
    targets.hold_lab()
    inventory = Inventory(at.inventory(fleet.environment))
    rendered = Intended.of(fleet, inventory.read("azure").get("hosts", {}))
    how = let_in(fleet.etcd, targets)
    with reach(fleet, rendered, inventory, targets.secret) as reached:
        intended, looked = reached.intended, reached.looked
        how |= {"ways": reached.ways, "hosts": reached.hosts}
        samples = probe(intended.members, election_ms=intended.election_ms, **how)
    verdict = judge(intended, samples)
    verdict = replace(verdict, findings=Report.of([*verdict.findings, *reached.said]))
    now, (healthy, before) = facts(verdict, samples, intended), last_healthy(at, fleet.environment)
    changes = since(before, now) if before else ()
    return Verification(verdict, intended, {**now, "looked": looked, "since": list(changes)}, changes, healthy, looked)


def let_in(etcd: Etcd, targets: Targets) -> dict[str, Any]:
    """`trust` and `credentials` for a probe, as far as there are some. Raises BadInput if they cannot be read.

    The key and the password are hidden from now on; the certificates are no secrets.
    """
    trust = credentials = None
    if etcd.tls is not None:
        ca, certificate = (references.resolve(one, targets.root) for one in (etcd.tls.ca, etcd.tls.certificate))
        trust = tls.trust(ca, certificate, targets.secret(etcd.tls.key))
    if etcd.login is not None:
        credentials = Credentials(etcd.login.user, targets.secret(etcd.login.password))
    return {"trust": trust, "credentials": credentials}


def last_healthy(at: Project, environment: str) -> tuple[str, dict[str, Any]]:
    """The newest run of verify-etcd that ended well and its report; empty if there is none that can be read."""
    for one in reversed(records(at.root, environment)):
        if (one.runbook, one.outcome) == ("verify-etcd", "succeeded"):
            folder = at.records(environment) / one.id
            try:  # a check that ran twice has kept two reports: the last one is the healthy one
                names = [entry["name"] for entry in read(folder) if entry["kind"] == "artefact"]
                found: dict[str, Any] = json.loads((folder / names[-1]).read_text())
            except (JournalError, IndexError, OSError, ValueError):
                continue  # pruned, or from before there were reports
            return one.id, found
    return "", {}
