"""verify-etcd: the cluster is healthy, and it is the one that was rendered; otherwise what is wrong, in a sentence."""

from __future__ import annotations

from ..errors import Unhealthy
from ..views import View
from . import ssh_config
from .session import Session
from .subject import Subject
from .verification import REPORT, verify


class VerifyEtcd(Session):
    """Asks every member at its rendered address, judges, and ends as unhealthy on a bad verdict."""

    name = "verify-etcd"

    def check(self) -> View:
        """Probe and judge; shows the report, kept as JSON too. A bad verdict is shown and then raised as Unhealthy."""
        with self._stage("check") as stage:
            self.targets.hold_lab()
            found = verify(Subject.of(self.loaded.fleet), self.secret, self.project)
            ssh_config.refresh(self.loaded.fleet, self.project)
            verdict = found.verdict
            self._keep(REPORT, found.facts)
            stage.result = verdict.sentence
            stage.facts = {"verdict": verdict.kind, "margin": verdict.margin, "checks": found.facts["checks"]}
            if not verdict.healthy:
                self._live(found.view())
                raise Unhealthy("verifying etcd", verdict.sentence)
        return found.view()
