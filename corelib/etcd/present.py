"""Who is in the cluster now, and what a change of that would leave. Pure.

The member list is that of those who read through a leader, so a quorum stands behind it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from ..member import Member, quorum
from .case import Case, numbers
from .identity import identities
from .intended import Intended
from .judge import Verdict
from .samples import Listed, Samples


@dataclass(frozen=True, slots=True)
class Present:
    """`voters` and `serving` are names; `listed` is everybody with their ids; `faults` are failed checks by member.

    `version` is the oldest that a member runs. `founded`: it was up once, as far as anybody knows. Without a quorum
    nobody serves, and `listed` is empty; `last` are the names of its members then, as a member that answers remembers
    them, or as they were seen last; empty if nobody knows.
    """

    listed: tuple[Listed, ...] = ()
    voters: frozenset[str] = frozenset()
    serving: frozenset[str] = frozenset()
    faults: Mapping[str, str] = field(default_factory=dict)
    founded: bool = True
    last: frozenset[str] = frozenset()
    version: str = ""
    sentence: str = ""

    def find(self, member: Member) -> Listed | None:
        """The member's entry: by its name, or by its URL if it has never started."""
        by_url = (one for one in self.listed if not one.name and member.peer_url in one.peer_urls)
        return self.named(member.name) or next(by_url, None)

    def named(self, name: str) -> Listed | None:
        """The entry of that name; of who has never started nobody knows the name."""
        return next((one for one in self.listed if one.name == name), None)

    def trouble(self, apart_from: Collection[str]) -> str:
        """What is wrong with anybody else, in a clause; empty if nothing is."""
        return next((what for name, what in self.faults.items() if name not in apart_from), "")

    def without(self, name: str) -> Present:
        """The cluster once this voter is removed."""
        rest = {one: what for one, what in self.faults.items() if one != name}
        return replace(self, voters=self.voters - {name}, serving=self.serving - {name}, faults=rest)

    def joined_by(self, name: str) -> Present:
        """The cluster once this one has caught up and votes."""
        return replace(self, voters=self.voters | {name}, serving=self.serving | {name})

    @property
    def has_quorum(self) -> bool:
        """Whether there is one: members that are to leave are not asked, and may be needed for it all the same."""
        return bool(self.listed)

    @property
    def spare(self) -> int:
        """How many more of those that were asked and serve may be lost, whatever the others do; negative: too few."""
        return len(self.serving & self.voters) - quorum(len(self.voters))


def present(intended: Intended, samples: Samples, verdict: Verdict) -> Present:
    """What samples and their verdict say of who is in the cluster now."""
    case = Case(intended, identities(intended.founders, intended.token), samples)
    serving = case.serving()
    told = [view.members for view in case.told()]
    fullest = max(told, key=len, default=())
    faults = {row.member: row.problem or row.found for row in reversed(verdict.rows) if row.state == "failed"}
    versions = [s.version.value for _, s in case.pairs() if s.version.value]
    listed = fullest if serving else ()
    return Present(
        listed=listed,
        voters=frozenset(one.name or f"{one.id:x}" for one in listed if not one.learner),
        serving=frozenset(serving),
        faults=faults,
        founded=case.founded(),
        last=frozenset(one.name for one in fullest if one.name) or intended.seen,
        version=min(versions, key=numbers, default=""),
        sentence=verdict.sentence,
    )
