"""Restoring etcd from a kept snapshot: which one, what is found on the hosts, and doing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..azure import executor
from ..azure.executor import Telling
from ..errors import BadInput, RunbookError
from ..etcd import snapshot
from ..etcd.restore import Kept, Restore, Stand
from ..etcd.restoring import Restoring, look
from ..plan import Plan, Step, Watch
from ..project import Project
from .inventory import Inventory
from .reaching import Reached, reach
from .subject import Subject
from .verification import verify

_NAMED = re.compile(r"(\d{8}T\d{6}Z)-.*\.db\.age")  # as deploy-azure calls them
_DOING = "planning to restore etcd"


@dataclass(frozen=True, slots=True)
class Restoration:
    """One environment's etcd, and what its snapshots can be opened with: the key that logs in to its hosts."""

    subject: Subject
    secret: Callable[[str], str]
    at: Project

    def plan(self, asked: Sequence[str]) -> Restore:
        """What is to be restored, of the snapshot and of what every host says now. Changes nothing."""
        kept = self._kept(self.file(asked))
        with self._reached() as reached:
            hosts = self.subject.hosts
            stands = {
                one.name: look(reached.shells[one.name], hosts[one.name])
                if one.name in reached.shells
                else Stand(problem=reached.silent.get(one.name, "it has no machine"))
                for one in self.subject.intended.members
            }
        return Restore(self.subject.environment, self.subject.intended, kept, stands, hosts)

    def carry_out(self, asked: Sequence[str], plan: Plan, watch: Watch) -> None:
        """Do what the plan says. Raises RunbookError."""
        file = self.file(asked)
        kept, key = self._kept(file), self._key

        def act(step: Step, telling: Telling) -> None:
            if step.desired["snapshot"] != kept.sha256:
                raise BadInput(f"doing {step.target}", "the snapshot's file is another one meanwhile", "plan again")
            restoring.act(step, telling)

        with self._reached() as reached:
            restoring = Restoring(
                reached.shells,
                self.subject.hosts,
                kept,
                lambda out: snapshot.opened(file, key, out),
                self._trouble,
            )
            executor.apply(plan, act, watch)

    def _trouble(self) -> str:
        """What is wrong with etcd now; empty if nothing is."""
        try:
            verdict = verify(self.subject, self.secret, self.at).verdict
        except RunbookError as problem:
            return problem.found
        return "" if verdict.healthy else verdict.sentence

    @contextmanager
    def _reached(self) -> Iterator[Reached]:
        inventory = Inventory(self.at.inventory(self.subject.environment))
        with reach(self.subject, self.subject.intended, inventory, self.secret) as reached:
            if not reached.shells and not reached.silent:
                found = (
                    "no host of a member is known" if self.subject.login_key else "fleet.azure.login_key is not given"
                )
                raise BadInput(_DOING, found, "deploy the machines, and give the key that their users log in with")
            yield reached

    @property
    def _key(self) -> str:
        if not self.subject.login_key:
            raise BadInput(_DOING, "fleet.azure.login_key is not given", "give the key that opens the snapshot")
        return self.secret(self.subject.login_key)

    def _kept(self, file: Path) -> Kept:
        found = snapshot.look(file, self._key)
        named = _NAMED.fullmatch(file.name)
        taken = datetime.strptime(named[1], "%Y%m%dT%H%M%S%z") if named else _changed(file)
        age = _words(datetime.now(UTC) - taken)
        return Kept(file.name, f"{taken:%Y-%m-%d %H:%M:%S} UTC", found.size, found.sha256, age)

    def file(self, asked: Sequence[str]) -> Path:
        """The snapshot that is named: one of the environment's, or any file."""
        folder = self.at.state(self.subject.environment) / "snapshots"
        if len(asked) != 1:
            raise BadInput(_DOING, f"{len(asked)} snapshots are named", "name one")
        for file in (folder / asked[0], self.at.root / asked[0]):
            if file.is_file():
                return file
        there = ", ".join(sorted(file.name for file in folder.glob("*.age"))) or "none"
        raise BadInput(_DOING, f"there is no snapshot {asked[0]!r}", f"of this environment there are: {there}")


def _words(age: timedelta) -> str:
    minutes = max(0, round(age.total_seconds() / 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _changed(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)
