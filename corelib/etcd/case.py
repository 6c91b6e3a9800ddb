"""What is judged: the rendered members, the ids that they must have, and the samples; and a check's result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal, NamedTuple

from ..member import Member, quorum
from .credentials import barred
from .identity import Identity, shown
from .intended import Intended
from .samples import Listed, Sample, Samples, Trace, View

State = Literal["passed", "failed", "not checked"]

_LEFT = "deploy what is missing, or name in etcd.removed who is gone for good"
CLUSTER = "cluster"  # in place of a member's name, where a check is about all of them


class Check(NamedTuple):
    """One row of the verdict. `problem` is a clause that names the member, `remedy` what to do and what to avoid."""

    member: str
    check: str
    expected: str
    found: str
    state: State
    problem: str = ""
    remedy: str = ""


class Underway(NamedTuple):
    """A member that comes or goes: `why` it is not done, in brackets or empty, and what is to be done."""

    name: str
    why: str
    next: str


Layer = tuple[Check, ...]
"""The rows of one kind of check; the first layer with a failed row is the verdict."""


class Case:
    """`identity` is that of the founders; a member that is not among them has an id that cannot be computed.

    What every layer asks for is worked out once: a case does not change.
    """

    def __init__(self, intended: Intended, identity: Identity, samples: Samples) -> None:
        self.intended, self.identity, self.samples = intended, identity, samples
        asked = {sample.member: sample for sample in reversed(samples.members)}
        self._pairs = tuple((member, asked.get(member) or Sample(member)) for member in intended.members)

    @property
    def expected(self) -> tuple[Member, ...]:
        """Who must be in the cluster now."""
        return self.intended.members

    def pairs(self) -> tuple[tuple[Member, Sample], ...]:
        """Every rendered member with its sample; one that nobody asked for counts as not asked."""
        return self._pairs

    def absent(self) -> frozenset[str]:
        """Members whose machines do not exist yet, and that do not answer all the same.

        Whoever has published client URLs has run before, whatever is known of its machine: it is lost, not awaited.
        """
        ran = {entry.name for view in self.told() for entry in view.members if entry.client_urls}
        return self.intended.awaiting.intersection(self._silent()) - ran

    def gone(self) -> frozenset[str]:
        """Members whose machines somebody has taken away, and that do not answer."""
        return self.intended.gone.intersection(self._silent())

    def _silent(self) -> Iterable[str]:
        return (m.name for m, s in self.pairs() if s.version.value is None and s.peer.value is None)

    def underway(self) -> tuple[Underway, ...]:
        """What is not there yet, or not gone yet, as somebody intends: it is no fault, and not done either."""
        listed = {entry.name: entry for view in self.views().values() for entry in view.members}
        left = [name for name in sorted(self.absent()) if listed and name not in {*listed, *self.intended.joining}]
        found = [
            Underway(name, "", _LEFT if name in left else "deploy what is missing") for name in sorted(self.absent())
        ]
        urls = {url: entry for view in self.views().values() for entry in view.members for url in entry.peer_urls}
        for member in self.expected:
            if listed and member.name in self.intended.joining and member.name not in self.absent():
                entry = listed.get(member.name) or urls.get(member.peer_url)
                found += [step] if (step := _joining(member, entry)) else []
        for name in self.intended.leaving:
            if (entry := listed.get(name)) is not None and name not in {member.name for member in self.expected}:
                why = " (to be removed, and still a member)"
                found.append(Underway(name, why, f"etcdctl member remove {shown(entry.id)}"))
        return tuple(found)

    def there(self) -> tuple[int, int]:
        """How many voters exist, of how many: of those that are listed, or expected if nobody gives a list."""
        names = [entry.name for entry in self.voters()] or [member.name for member in self.expected]
        return sum(name not in self.absent() for name in names), len(names)

    def quorum_is_awaited(self) -> bool:
        """Whether those that exist cannot have a quorum, whatever they do."""
        exist, voters = self.there()
        return exist < quorum(voters)

    def founded(self) -> bool:
        """Whether the cluster was up once: only then is a quorum that is not there a lost one.

        A member publishes its client URLs through the first leader, and lists them ever after, without a quorum too.
        Founders that wait for each other list none; where some that exist list nothing, it counts what was seen before.
        """
        if self.serving() or any(entry.client_urls for view in self.views().values() for entry in view.members):
            return True
        waiting = {member.name for member in self.expected if member.name not in self.absent()}
        return not self.quorum_is_awaited() or (bool(self.intended.seen) and not waiting <= {*self.views()})

    def views(self) -> Mapping[str, View]:
        """The member lists that belong to this cluster, by the member that gave them."""
        return self._views

    @cached_property
    def _views(self) -> Mapping[str, View]:
        views = {}
        for member, sample in self.pairs():
            for view in (sample.listing.value, sample.peer.value):
                if view is not None and view.cluster == self.identity.cluster:
                    views[member.name] = view
                    break
        return views

    def told(self) -> tuple[View, ...]:
        """The lists of those that read through a leader; where nobody does, all that there are."""
        return tuple(self.views()[name] for name in self.serving() if name in self.views()) or (*self.views().values(),)

    def serving(self) -> list[str]:
        """The members of this cluster that reach a leader with a quorum."""
        return [m.name for m, s in self.pairs() if _is_ours(s.listing.value, self) and s.linearizable.value is not None]

    def unasked(self) -> list[str]:
        """The members that nobody asked, and of which therefore nothing is known."""
        silent = (m.name for m, s in self.pairs() if s.version.outcome == "not asked")
        return [name for name in silent if name not in self.absent() | self.gone()]

    def up(self) -> list[str]:
        """The members of this cluster whose client port answers."""
        return [m.name for m, s in self.pairs() if _is_ours(s.listing.value, self)]

    def barred(self) -> list[str]:
        """The members of this cluster that let nobody read whose credentials they do not accept."""
        return [m.name for m, s in self.pairs() if _is_ours(s.listing.value, self) and barred(s.linearizable)]

    def voters(self) -> tuple[Listed, ...]:
        """Who votes, as the fullest list says; nobody, if nobody gave a list."""
        lists = (tuple(e for e in view.members if not e.learner) for view in self.views().values())
        return max(lists, key=len, default=())

    def name_of(self, number: int) -> str:
        """A member's name by its id, or the id."""
        for view in self.views().values():
            for entry in view.members:
                if entry.id == number and entry.name:
                    return entry.name
        return shown(number)

    def trace(self, member: Member) -> Trace:
        """The canary as seen through one member."""
        traces = self.samples.canary.traces if self.samples.canary else ()
        return next((trace for trace in traces if trace.member == member), Trace(member))


def _joining(member: Member, entry: Listed | None) -> Underway | None:
    """How far a member has come that is added to a running cluster; None: it votes."""
    if entry is None:
        todo = f"etcdctl member add {member.name} --peer-urls={member.peer_url}"
        return Underway(member.name, " (not in the member list yet)", f"{todo}, then start etcd there")
    if not entry.name:
        return Underway(member.name, " (added, and not started yet)", f"start etcd on {member.name}")
    if entry.learner:
        todo = f"etcdctl member promote {shown(entry.id)}, once it has caught up"
        return Underway(member.name, " (a learner that catches up)", todo)
    return None


def _is_ours(view: View | None, case: Case) -> bool:
    return view is not None and view.cluster == case.identity.cluster


def joined(names: list[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def spelt(urls: Iterable[str]) -> str:
    """URLs in a row, or that there is none."""
    return " ".join(urls) or "no URL"


def numbers(version: str) -> tuple[int, ...]:
    """`3.5.16-rc.1` → (3, 5, 16); what is no number counts as 0."""
    parts = re.split(r"[-+]", version, maxsplit=1)[0].split(".")
    return tuple(int(part[:9]) if part.isdecimal() else 0 for part in parts)
