"""One look at the etcd of an environment: asked, judged, and compared with the last healthy look of the records.

What the notebook and `runbooks verify` share; it writes nothing but the canary, and the host keys that it meets first,
for itself and for ssh.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import references
from ..etcd.credentials import Credentials
from ..etcd.facts import facts, since
from ..etcd.intended import Intended
from ..etcd.judge import Verdict, judge
from ..etcd.probe import probe
from ..etcd.samples import Samples
from ..member import CLIENT_PORT
from ..project import Project
from ..report import Report
from . import standing
from .inventory import Inventory
from .reaching import reach
from .subject import Subject

if TYPE_CHECKING:
    from ..etcd.changing import Door
    from ..etcd.present import Present
    from ..views import View

REPORT = "report.json"  # beside the journal of a run of verify-etcd


class Verification(NamedTuple):
    """A verdict, its facts as plain data, and what changed since the last healthy run (`healthy`, empty: none)."""

    verdict: Verdict
    samples: Samples
    intended: Intended
    facts: dict[str, Any]
    changes: Sequence[str]
    healthy: str
    looked: str
    learnt: bool = False  # host keys were met for the first time, and are pinned from now on

    @property
    def present(self) -> Present:
        """Who is in the cluster now."""
        from ..etcd.present import present  # noqa: PLC0415 - for who changes it, and not only looks

        return present(self.intended, self.samples, self.verdict)

    def view(self) -> View:
        """The report as it is shown."""
        from ..views.verdict import show  # noqa: PLC0415 - not for --json

        return show(self.verdict, self.intended, self.changes, self.healthy, self.looked)


def verify(
    subject: Subject,
    secret: Callable[[str], str],
    at: Project,
    joining: Collection[str] = (),
    *,
    canary: bool = True,
) -> Verification:
    """Ask every member, from here or through its host, and judge. Raises RunbookError where nobody can be asked.

    `secret` resolves a reference and hides its value. `joining` are members that are on their way into the cluster,
    although the parameters do not say so. Without the canary nothing is written to etcd; who is seen to be in it is
    remembered here.
    """
    inventory = Inventory(at.inventory(subject.environment))
    azure, seen = inventory.read("azure"), standing.seen(subject.intended, inventory)
    rendered = subject.intended.with_machines(azure.get("hosts", {}), azure.get("gone", ()))
    rendered = rendered._replace(joining=rendered.joining.union(joining), seen=seen)
    how = let_in(subject, secret, at.root)
    with reach(subject, rendered, inventory, secret) as reached:
        intended, looked = reached.intended, reached.looked
        how |= {"ways": reached.ways, "hosts": reached.hosts}
        samples = probe(intended.members, election_ms=intended.election_ms, canary=canary, **how)
    verdict = judge(intended, samples)
    standing.remember(intended, verdict.members, inventory)
    verdict = verdict._replace(findings=Report.of([*verdict.findings, *reached.said]))
    now, (healthy, before) = facts(verdict, samples, intended), last_healthy(at, subject.environment)
    changes = since(before, now) if before else ()
    return Verification(
        verdict,
        samples,
        intended,
        {**now, "looked": looked, "since": list(changes)},
        changes,
        healthy,
        looked,
        reached.learnt,
    )


@contextmanager
def door(subject: Subject, secret: Callable[[str], str], at: Project, name: str) -> Iterator[Door]:
    """A way to change the cluster through this member. Raises RunbookError where it lets nobody in."""
    from ..etcd.asking import connection  # noqa: PLC0415 - for who changes the cluster, and not only looks
    from ..etcd.changing import Door  # noqa: PLC0415

    how, inventory = let_in(subject, secret, at.root), Inventory(at.inventory(subject.environment))
    with reach(subject, subject.intended, inventory, secret) as reached:
        member = next(one for one in reached.intended.members if one.name == name)
        line = connection(member, CLIENT_PORT, reached.ways.get(name), how["trust"])
        try:
            found = Door(name, line)
            if how["credentials"] is not None:
                found.log_in(how["credentials"])
            yield found
        finally:
            line.close()


def let_in(subject: Subject, secret: Callable[[str], str], root: Path) -> dict[str, Any]:
    """`trust` and `credentials` for a probe, as far as there are some. Raises BadInput if they cannot be read.

    The key and the password are hidden from now on; the certificates are no secrets.
    """
    trust = credentials = None
    if subject.tls is not None:
        from ..etcd import tls  # noqa: PLC0415 - ssl takes 5 ms to load

        ca, certificate = (references.resolve(one, root) for one in subject.tls[:2])
        trust = tls.trust(ca, certificate, secret(subject.tls[2]))
    if subject.login is not None:
        user, password = subject.login
        credentials = Credentials(user, secret(password))
    return {"trust": trust, "credentials": credentials}


def last_healthy(at: Project, environment: str) -> tuple[str, dict[str, Any]]:
    """The newest run of verify-etcd that ended well and its report; empty if there is none that can be read."""
    for folder in sorted(at.records(environment).glob("*-verify-etcd-*"), reverse=True):
        from .. import record  # noqa: PLC0415 - only where there are records

        if record.record(folder).outcome == "succeeded":
            try:  # a check that ran twice has kept two reports: the last one is the healthy one
                names = [entry["name"] for entry in record.read(folder) if entry["kind"] == "artefact"]
                found: dict[str, Any] = json.loads((folder / names[-1]).read_text())
            except (record.JournalError, IndexError, OSError, ValueError):
                continue  # pruned, or from before there were reports
            return folder.name, found
    return "", {}
