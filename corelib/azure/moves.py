"""Who joins etcd, leaves it, or is made anew: one member at a time, and never so that the quorum is lost. Pure.

Each goes the same way: a snapshot, the member leaves, its machine and its data disk go, new ones come, the member is
added as a learner, and votes once it has caught up; only then the next one. What is done already is seen, and no step
of it is planned again: so an interrupted replacement goes on where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..etcd import upgrade
from ..etcd.identity import shown
from ..etcd.present import Present
from ..etcd.samples import Listed
from ..fleet import Fleet
from ..member import Member, quorum
from ..plan import Step
from .resource import REPLACES, Observed


@dataclass(frozen=True, slots=True)
class Moves:
    """`anew`: by host which machine it is made in place of; `steps` are etcd's; `after`: what a resource waits for.

    `finds` are the members that each one that joins finds in the cluster, itself among them.
    """

    anew: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    finds: Mapping[str, tuple[Member, ...]] = field(default_factory=dict)

    def but_for(self, hosts: Collection[str]) -> Moves:
        """The same where the machines of these hosts come in a later plan: nobody joins who would not start."""
        comes = ("join", "ready")
        steps = (s for s in self.steps if s.desired.get("kind") not in comes or s.desired["name"] not in hosts)
        return replace(self, steps=tuple(steps))


def touches(fleet: Fleet, observed: Observed, anew: Mapping[str, str]) -> bool:
    """Whether a plan may change who is in the cluster, so that etcd has to be asked first."""
    asked = anew or fleet.etcd.added or fleet.etcd.removed or resized(fleet, observed) or missing(fleet, observed)
    return _runs(observed) and bool(asked or gone(fleet, observed))


def missing(fleet: Fleet, observed: Observed) -> tuple[Member, ...]:
    """The members whose machines are not there."""
    return tuple(one for one in fleet.etcd.members if _machine(fleet, one.name) not in observed.bodies)


def remains(fleet: Fleet, observed: Observed) -> bool:
    """Whether anything is there that may hold a member's data, its machine or its disk."""
    places = (target.split("/") for target in (*observed.bodies, *observed.strays))
    names = {f"{one.name}{of}" for one in fleet.etcd.ever for of in ("", "-etcd")}
    return any(kind in ("machine", "disk") and name in names for _, kind, name in places)


def gone(fleet: Fleet, observed: Observed) -> tuple[str, ...]:
    """The hosts that are not in the parameters any more, and whose machines go."""
    clusters = {cluster.name.lower() for cluster in fleet.clusters}
    places = (target.split("/") for target in observed.strays)
    return tuple(name for group, kind, name in places if kind == "machine" and group in clusters)


def resized(fleet: Fleet, observed: Observed) -> tuple[Member, ...]:
    """The members whose machines have another size than they shall have, and are switched off for that."""
    wanted = {host.name: cluster.size for cluster in fleet.clusters for host in cluster.hosts}
    found = ((member, observed.bodies.get(_machine(fleet, member.name), {})) for member in fleet.etcd.members)
    sizes = ((m, body.get("properties", {}).get("hardwareProfile", {}).get("vmSize")) for m, body in found)
    return tuple(m for m, size in sizes if size and size.lower() != wanted[m.name].lower())


def moves(fleet: Fleet, observed: Observed, anew: Mapping[str, str], present: Present | None) -> Moves:
    """What the fleet asks of its members, those in `anew` made again; `present` None: nobody asked etcd.

    Where no machine is, there is nobody to ask, and no cluster: it is founded.
    """
    if present is None and _runs(observed):
        return Moves(anew, tuple(_kept_data(fleet, observed, anew)))
    if present is None or not present.founded:
        return _with_founders(fleet, observed, anew)
    return _Sequence(fleet, observed, anew, present).moves()


def old_machine(target: str, generation: str) -> str:
    """The target of what stands in the way of a machine or disk that is made anew."""
    return f"{target}@{generation}"


def leaving(fleet: Fleet, names: Sequence[str], present: Present, consents: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps after which these members are in the cluster no more, each with its consent."""
    run = _Sequence(fleet, Observed({}), {}, present)
    run.going |= {*names}
    ever = {member.name: member for member in fleet.etcd.ever}
    members = [ever[name] for name in names if name in ever]
    for member in sorted(members, key=lambda one: one.name in present.serving):
        if entry := _entry(fleet, present, member):
            run.leave(member, entry, consents[member.name])
    return tuple(run.steps)


def _with_founders(fleet: Fleet, observed: Observed, anew: Mapping[str, str]) -> Moves:
    """There is no cluster yet: who is to be added waits until all others are there, and then comes one at a time."""
    new = [m for m in fleet.etcd.members if m.name in fleet.etcd.added and m in missing(fleet, observed)]
    gate = tuple(_machine(fleet, one.name) for one in fleet.etcd.members if one not in new)
    steps, after = [*_kept_data(fleet, observed, anew)], {}
    for member in new:
        machine, group = _machine(fleet, member.name), fleet.cluster_of(member.name).name
        add = _add(member, (*gate, *(f"{group}/{one}" for one in _beside(member.name))))
        ready = _ready(member, (machine, add.target))
        steps += [add, ready]
        after[machine] = (add.target,)
        gate = (ready.target,)
    return Moves(anew, tuple(steps), after)


def _kept_data(fleet: Fleet, observed: Observed, anew: Mapping[str, str]) -> Iterator[Step]:
    """Where no cluster serves, a disk may hold the only data that are left: it is not made anew."""
    for member in (one for one in fleet.etcd.members if one.name in anew):
        cluster = fleet.cluster_of(member.name).name
        disk = f"{cluster}/{_beside(member.name)[0]}"
        if disk in observed.bodies and (observed.bodies[disk].get("tags") or {}).get(REPLACES) != anew[member.name]:
            why = (
                "no cluster serves that could give it its data again, and its disk may hold them: deploy the machines "
                f"that are missing first; if nothing is on it that anybody needs: destroy: [{disk}], with its machine"
            )
            yield Step(f"etcd/member/{member.name}", "blocked", "its data would go", why)


class _Sequence:
    """Steps one after the other, and what the cluster is after each of them."""

    def __init__(self, fleet: Fleet, observed: Observed, anew: Mapping[str, str], present: Present) -> None:
        self._fleet, self._observed, self._anew = fleet, observed, anew
        self._found = present  # as it is
        self._now = present  # as it will be
        self._gate: tuple[str, ...] = ()  # what must be done before the next one
        self._rests = [one for one in resized(fleet, observed) if one.name not in anew]
        self._starts = [one for one in fleet.etcd.members if self._rests and self._is_to_start(one)]
        off = (one for one in fleet.etcd.members if self._is_off(one))
        self.going = {*anew, *fleet.etcd.removed, *(one.name for one in (*off, *self._starts))}
        self.steps: list[Step] = []
        self._after: dict[str, tuple[str, ...]] = {}
        self._finds: dict[str, tuple[Member, ...]] = {}
        self._back: set[str] = set()  # founders that have left, and come again

    def moves(self) -> Moves:
        """Whoever leaves first, then who is made anew, those that do not serve before the others; then who is new."""
        if not self._found.listed:
            return Moves(self._anew, tuple(self._unknown()))
        self._leavers()
        for one in missing(self._fleet, self._observed):
            if one.name not in self._anew:
                self._missing(one)
        again = (one for one in self._fleet.etcd.members if one.name in self._anew)
        for member in sorted(again, key=self._serves):
            if old := self._old(member):
                self.leave(member, old, f"replace {member.name}")
            self._join(member, None if old else self._found.find(member))
        for member in self._starts:
            self._start(member)
        for member in sorted(self._rests, key=self._serves):
            self._rest(member)
        for member in self._fleet.etcd.members:
            if member.name in {*self._fleet.etcd.added, *self._back} - {*self._anew}:
                self._join(member, self._found.find(member))
        return Moves(self._anew, tuple(self.steps), self._after, self._finds)

    def _serves(self, member: Member) -> bool:
        return member.name in self._found.serving

    def _leavers(self) -> None:
        """Who is to be a member no more; and whose machine goes without anybody having said so."""
        removed = self._fleet.etcd.removed
        for name in gone(self._fleet, self._observed):
            if self._found.named(name) and name not in removed:
                why = (
                    f"its machine would go while it is a member: name it in etcd.removed, and it leaves first ({name})"
                )
                self.steps.append(Step(f"etcd/member/{name}", "blocked", "it would be lost to etcd", why))
        ever = {member.name: member for member in self._fleet.etcd.ever}
        found = ((ever[name], _entry(self._fleet, self._found, ever[name])) for name in removed)
        entries = ((member, entry) for member, entry in found if entry)
        for member, entry in sorted(entries, key=lambda pair: self._serves(pair[0])):
            verb = "destroy" if member.name in gone(self._fleet, self._observed) else "remove"
            self.leave(member, entry, f"{verb} {member.name}")
            if member.name in self._anew:  # its host stays, and is made anew without it
                old = old_machine(_machine(self._fleet, member.name), self._anew[member.name])
                self._after[old] = self._gate

    def _unknown(self) -> Iterator[Step]:
        """Nobody speaks for the cluster: whoever would leave or come has to wait."""
        members = {member.name for member in self._fleet.etcd.members}
        coming = {name for name in self._fleet.etcd.added if _machine_is_missing(self._fleet, self._observed, name)}
        rests = {member.name for member in resized(self._fleet, self._observed)}
        leave = {*gone(self._fleet, self._observed), *self._found.last.intersection(self._fleet.etcd.removed)}
        lost = {one.name for one in missing(self._fleet, self._observed)} if self._found.last else set[str]()
        left = lost - self._found.last  # they come back as members that nobody knows any more, with data of before
        for name in sorted(members & ({*self._anew} | coming | rests | left) | leave):
            why = f"etcd has no quorum, so nobody can leave or come: {self._found.sentence}"
            what = "it would be switched off" if name in rests else "it would leave etcd, or join it"
            yield Step(f"etcd/member/{name}", "blocked", what, why)

    def _missing(self, member: Member) -> None:
        """A member without a machine: it must not begin again with nothing under its old id, nor as a founder anew."""
        entry = self._found.find(member)
        disk = f"{self._cluster(member)}/{_beside(member.name)[0]}" in self._observed.bodies
        target, asks = f"etcd/member/{member.name}", f"replace: [{member.name}]"
        if entry and entry.client_urls and not disk:
            why = f"its data are gone, and etcd still counts on them: {asks}"
            self.steps.append(Step(target, "blocked", "it would come back without data", why))
        elif entry is None and disk and member.name in self._fleet.etcd.bootstrap:
            why = (
                "it has left etcd, which takes nobody with the data of before; for good: take its host out of the "
                f"parameters and name it in etcd.removed: [{member.name}]; or is it wanted back: {asks}"
            )
            self.steps.append(Step(target, "blocked", "it would come back with data of before", why))
        elif entry is None:
            self._back.add(member.name)

    def leave(self, member: Member, entry: Listed, consent: str) -> None:
        """A snapshot, and then the member is none any more."""
        snapshot, out = f"etcd/snapshot/{member.name}", f"etcd/member/{member.name}@{shown(entry.id)}"
        left = self._now.without(member.name) if not entry.learner else self._now
        if why := self._forbids(member, left):
            self.steps.append(Step(out, "blocked", "it would leave etcd", why))
            return
        interrupts = f"etcd's member {member.name}; meanwhile {_spare(left)}"
        what = f"member {shown(entry.id)} leaves etcd, which has {len(left.voters)} voters then"
        desired = {"kind": "leave", "name": member.name, "id": shown(entry.id)}
        kept = {"kind": "snapshot", "name": member.name}
        self.steps += [
            Step(snapshot, "create", "a snapshot of etcd, checked, encrypted to ssh_keys", "before a member leaves",
                 after=self._gate, desired=kept),
            Step(out, "destroy", what, "one at a time", interrupts, consent, (snapshot, *self._gate), desired=desired),
        ]  # fmt: skip
        self._gate, self._now = (out, *self._gate), left

    def _is_to_start(self, member: Member) -> bool:
        """Whether an interrupted change of size has left its machine off, or on its way up."""
        there = member not in missing(self._fleet, self._observed)
        votes = member.name in self._found.voters - self._found.serving
        boots = there and votes and member not in self._rests and member.name not in self._anew
        return boots or self._is_off(member)

    def _is_off(self, member: Member) -> bool:
        return self._observed.power.get(_machine(self._fleet, member.name)) in _OFF

    def _start(self, member: Member) -> None:
        """It serves before another rests."""
        machine = _machine(self._fleet, member.name)
        ready = _ready(member, (machine, *self._gate))
        self.steps.append(replace(ready, what=_SERVES_AGAIN, why="it does not serve yet"))
        self._after[machine] = self._gate
        self._gate = (self.steps[-1].target,)
        self._now = self._now.joined_by(member.name)

    def _rest(self, member: Member) -> None:
        """Its machine is switched off and on again; the next one waits until it serves."""
        now, target = self._now, _machine(self._fleet, member.name)
        down = replace(now, serving=now.serving - {member.name})
        ready = _ready(member, (target, *self._gate))
        if not now.has_quorum or (down.spare < 0 and member.name in now.serving):
            serving, needed = len(down.serving & down.voters), quorum(len(down.voters))
            why = f"while it is off {serving} of {len(down.voters)} members would serve, and a quorum is {needed}"
            self.steps.append(replace(ready, action="blocked", why=why))
            return
        if trouble := now.trouble(apart_from={member.name, *self.going}):
            why = f"etcd is not well apart from it, and that comes first: {trouble}"
            self.steps.append(replace(ready, action="blocked", why=why))
            return
        why = "its machine is switched off and on"
        self.steps.append(replace(ready, what=_SERVES_AGAIN, why=why, interrupts=_spare(down)))
        self._after[target] = self._gate
        self._gate = (ready.target,)

    def _join(self, member: Member, entry: Listed | None) -> None:
        """It is added as a learner, its machine comes, and it votes."""
        machine = _machine(self._fleet, member.name)
        if member.name in self._anew or machine not in self._observed.bodies:
            self._finds[member.name] = self._whom(member)
        disk, interface = (f"{self._cluster(member)}/{kind}" for kind in _beside(member.name))
        self._after |= dict.fromkeys(self._old_ones(member), self._gate)
        if entry is None:
            if why := upgrade.forbidden(self._now.version, self._fleet.etcd_version):
                self.steps.append(Step(f"etcd/member/{member.name}", "blocked", "it would join etcd", why))
                return
            old = tuple(self._old_ones(member))
            self.steps.append(_add(member, (*self._gate, *old, disk, interface)))
        self._after[machine] = (f"etcd/member/{member.name}", *self._gate)
        votes = entry is not None and not entry.learner and member.name in self._found.serving
        if not votes or machine not in self._observed.bodies:
            self.steps.append(_ready(member, (machine, f"etcd/member/{member.name}", *self._gate)))
            self._gate = (self.steps[-1].target,)
        self._now = self._now.joined_by(member.name)

    def _old(self, member: Member) -> Listed | None:
        """Its entry of before; one that has not started, or belongs to the new machine, is the new one."""
        entry = self._found.find(member)
        body = self._observed.bodies.get(_machine(self._fleet, member.name), {})
        renewed = (body.get("tags") or {}).get(REPLACES) == self._anew[member.name]
        return entry if entry and entry.name and not renewed else None

    def _old_ones(self, member: Member) -> Iterator[str]:
        if generation := self._anew.get(member.name):
            yield old_machine(_machine(self._fleet, member.name), generation)
            yield old_machine(f"{self._cluster(member)}/{_beside(member.name)[0]}", generation)

    def _whom(self, member: Member) -> tuple[Member, ...]:
        """Who is in the cluster when it joins, in the fleet's order."""
        there = {one.name for one in self._fleet.etcd.members if self._found.find(one)} | {*self._finds, member.name}
        return tuple(one for one in self._fleet.etcd.members if one.name in there)

    def _forbids(self, member: Member, left: Present) -> str:
        """Why a member cannot leave now; empty if it can."""
        now = self._now
        comes = self._fleet.etcd_version if member.name in self._anew else ""
        if why := upgrade.forbidden(now.version, comes):
            return why
        if not now.has_quorum:
            return f"etcd has no quorum, so nobody can leave or come: {now.sentence}"
        if trouble := now.trouble(apart_from={member.name, *self.going}):
            return f"etcd is not well apart from it, and that comes first: {trouble}"
        if not left.voters:
            return "it is the last member"
        if left.spare < 0:
            serving, needed = len(left.serving & left.voters), quorum(len(left.voters))
            return f"without it {serving} of {len(left.voters)} members would serve, and a quorum is {needed}"
        return ""

    def _cluster(self, member: Member) -> str:
        return self._fleet.cluster_of(member.name).name


_OFF = ("stopped", "deallocated")
_SERVES_AGAIN = "it serves again, and all of etcd is verified; only then the next one"


def _entry(fleet: Fleet, present: Present, member: Member) -> Listed | None:
    """The entry of one that leaves; its address may be another's by now, and tells nothing then."""
    others = (one for one in fleet.etcd.members if one.name != member.name)
    taken = any(one.peer_url == member.peer_url for one in others)
    return present.named(member.name) if taken else present.find(member)


def _runs(observed: Observed) -> bool:
    return any("/machine/" in target for target in observed.bodies)


def _machine(fleet: Fleet, host: str) -> str:
    return f"{fleet.cluster_of(host).name}/machine/{host}"


def _machine_is_missing(fleet: Fleet, observed: Observed, name: str) -> bool:
    return name in {host.name for host in fleet.hosts} and _machine(fleet, name) not in observed.bodies


def _beside(host: str) -> tuple[str, str]:
    return f"disk/{host}-etcd", f"interface/{host}-nic"


def _add(member: Member, after: tuple[str, ...]) -> Step:
    what = f"a learner at {member.peer_url}: it counts for nothing yet"
    desired = {"kind": "join", "name": member.name, "peer_url": member.peer_url}
    return Step(f"etcd/member/{member.name}", "create", what, "it is no member", after=after, desired=desired)


def _ready(member: Member, after: tuple[str, ...]) -> Step:
    what = "it catches up, votes, and all of etcd is verified; only then the next one"
    desired = {"kind": "ready", "name": member.name, "peer_url": member.peer_url}
    return Step(f"etcd/ready/{member.name}", "create", what, "it does not vote yet", after=after, desired=desired)


def _spare(left: Present) -> str:
    return f"{left.spare} of the others may be lost" if left.spare > 0 else "none of the others may be lost"
