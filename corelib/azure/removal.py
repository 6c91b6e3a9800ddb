"""What is named in `destroy` → the plan that removes it, and says what stays and goes on costing. Pure.

Only what bears this environment's tags is ever touched. A cluster's name stands for all of it but its reserved
addresses and its disks: those go only if they are named themselves (`azure-prd-a/disk/*`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..errors import BadInput
from ..etcd.present import Present
from ..fleet import Fleet
from ..plan import Plan, Step
from .moves import leaving
from .plan import ordered, where
from .resource import DEPLOYMENT, ENVIRONMENT, Observed, group_of
from .steps import destroyed
from .words import MACHINE

_STAYS = ("address", "disk", "group")  # unless it is named itself; a group, unless it is empty then
# What has to go before a kind can (Resource Manager refuses to delete what is in use).
_AFTER: Mapping[str, tuple[str, ...]] = {
    "machine": (),
    "interface": ("machine",),
    "disk": ("machine",),
    "availability-set": ("machine",),
    "load-balancer": ("machine", "interface"),
    "network": ("machine", "interface"),
    "address": ("load-balancer", "machine", "interface"),
    "security-group": ("network", "interface"),
}
_NAMED = 10  # targets that a message names
_WORDS = {
    "machine": MACHINE,
    "disk": "the data disk, with what is on it",
    "address": "the reserved address: nobody gets it back",
    "group": "the resource group, which is empty then",
}


@dataclass(frozen=True, slots=True)
class Removal:
    """What a plan to destroy is made from: `ours` by target, `others` what is in a group and not ours, by group."""

    fleet: Fleet
    patterns: Sequence[str]
    ours: Mapping[str, Mapping[str, Any]]
    others: Mapping[str, Sequence[str]]
    present: Present | None

    @classmethod
    def of(
        cls,
        fleet: Fleet,
        patterns: Sequence[str],
        observed: Observed,
        others: Mapping[str, Sequence[str]],
        present: Present | None,
    ) -> Removal:
        """From an observation; `present` None: no member of etcd goes."""
        return cls(fleet, patterns, ours(fleet, observed), others, present)

    def plan(self, code: str, endpoint: str) -> Plan:
        """The steps in an order in which each can be done; what stays is told."""
        going = {target: consent for target in self.ours if (consent := self.consent(target))}
        etcd = self._etcd(going)
        steps = [*etcd, *self._steps(going, etcd), *self._groups(going), *self._told(going)]
        next_ = afterwards(self.fleet, self.patterns)
        at, warnings = where(self.fleet, endpoint), (next_,) if next_ else ()
        return Plan("deploy-azure", self.fleet.environment, at, code, ordered(steps), warnings=warnings)

    def consent(self, target: str) -> str:
        """What has to be consented to for a target that goes; empty: it stays."""
        group, kind, _ = target.split("/")
        if group in self.patterns and kind not in _STAYS:
            return self._whole(group)
        named = any("/" in one and fnmatchcase(target, one) for one in self.patterns)
        blind = " without a snapshot of etcd" if self._blind and kind in ("machine", "disk") else ""
        return f"destroy {target}{blind}" if named and kind != "group" else ""

    def _whole(self, group: str) -> str:
        """The consent to a cluster's end, which says so if its etcd is lost with it."""
        return f"destroy {group}{' without a snapshot of etcd' if self._blind and self._members(group) else ''}"

    @property
    def _blind(self) -> bool:
        """Whether members go, and nobody speaks for the cluster."""
        return self.present is not None and self.present.founded and not self.present.listed

    def _members(self, group: str) -> list[str]:
        ever = {*self.fleet.etcd.bootstrap, *self.fleet.etcd.added}
        machines = (target.split("/") for target in self.ours if target.startswith(f"{group}/machine/"))
        return [name for _, _, name in machines if name in ever]

    def _etcd(self, going: Mapping[str, str]) -> tuple[Step, ...]:
        """Members leave one at a time while others stay; where all go, a snapshot is what is left of them."""
        names = {target.split("/")[2]: consent for target, consent in going.items() if "/machine/" in target}
        members = [name for name in names if name in {*self.fleet.etcd.bootstrap, *self.fleet.etcd.added}]
        if self._blind and (stay := [one.name for one in self.fleet.etcd.members if self._stays(one.name, going)]):
            assert self.present is not None  # noqa: S101 - it is what is blind
            why = f"etcd has no quorum or cannot be asked, and {', '.join(stay)} would stay: {self.present.sentence}"
            return tuple(Step(f"etcd/member/{name}", "blocked", "it would leave etcd", why) for name in members)
        if not members or self.present is None or not self.present.listed:
            return ()
        if self.present.voters - {*members}:
            return leaving(self.fleet, members, self.present, names)
        desired = {"kind": "snapshot", "name": "all"}
        what = "a snapshot of etcd, checked, encrypted to ssh_keys"
        return (Step("etcd/snapshot/all", "create", what, "all of etcd goes", desired=desired),)

    def _stays(self, member: str, going: Mapping[str, str]) -> bool:
        """Whether its machine stays, or the disk with its data while its cluster is not meant to go."""
        cluster = self.fleet.cluster_of(member).name
        machine, disk = f"{cluster}/machine/{member}", f"{cluster}/disk/{member}-etcd"
        if machine in self.ours:
            return machine not in going
        return disk in self.ours and disk not in going and cluster not in self.patterns

    def _steps(self, going: Mapping[str, str], etcd: Sequence[Step]) -> Iterator[Step]:
        """Each resource after those that use it, a machine after its member; interfaces go with their machines."""
        gone = {step.desired.get("name", ""): step.target for step in etcd if step.action != "create"}
        snapshots = tuple(step.target for step in etcd if step.target == "etcd/snapshot/all")
        for target, consent in going.items():
            group, kind, name = target.split("/")
            if kind == "interface" and f"{group}/machine/{name.removesuffix('-nic')}" in going:
                continue
            before = tuple(one for one in going if one.split("/")[0] == group and one.split("/")[1] in _AFTER[kind])
            etcds = (*snapshots, *((gone[name],) if name in gone else ())) if kind == "machine" else ()
            what, interrupts = _WORDS.get(kind, f"the {kind}"), name if kind == "machine" else ""
            why = "named in `destroy`"
            yield destroyed(target, self.ours[target], what, why, interrupts, consent, (*before, *etcds))

    def _groups(self, going: Mapping[str, str]) -> Iterator[Step]:
        """A group goes with its cluster if it is ours, and nothing is left in it."""
        for target in [one for one in self.ours if "/group/" in one and one.split("/")[0] in self.patterns]:
            group = target.split("/")[0]
            held = [one for one, body in self.ours.items() if group_of(body, one.split("/")[0]).lower() == group]
            inside = [one for one in held if one != target]
            if left := [one for one in inside if one not in going]:
                why = f"it holds what stays: {', '.join(one.removeprefix(f'{group}/') for one in left)}"
                yield Step(target, "keep", "the resource group", why, told=True)
            elif foreign := self.others.get(group, ()):
                why = f"it holds what is not ours: {', '.join(foreign)}"
                yield Step(target, "keep", "the resource group", why, told=True)
            else:
                consent, after = self._whole(group), tuple(inside)
                yield destroyed(target, self.ours[target], _WORDS["group"], "nothing is left in it", "", consent, after)

    def _told(self, going: Mapping[str, str]) -> Iterator[Step]:
        """What stays of a cluster that goes, and what was named and is not there."""
        for target in (target for target in _given(self.fleet) if target.split("/")[0] in self.patterns):
            yield Step(target, "keep", "the resource group", "it was given, and is not ours: it stays", told=True)
        for target in self.ours:
            group, kind, _ = target.split("/")
            if group in self.patterns and kind in ("address", "disk") and target not in going:
                why = f"it stays, and goes on costing; to destroy it as well: destroy: [{target}]"
                yield Step(target, "keep", _WORDS[kind], why, told=True)
        for pattern in self.patterns:
            if not any(one.split("/")[0] == pattern or fnmatchcase(one, pattern) for one in self.ours):
                yield Step(pattern, "keep", "named in `destroy`", "nothing of that name is there", told=True)


def strange(patterns: Sequence[str], targets: Collection[str]) -> list[str]:
    """Those that name none of these targets: a pattern is for what is in a cluster, and a group goes with that."""
    inside = [one for one in targets if "/group/" not in one]
    clusters = {one.split("/")[0] for one in targets}
    return [p for p in patterns if p not in clusters and not ("/" in p and any(fnmatchcase(one, p) for one in inside))]


def refused(patterns: Sequence[str], there: Collection[str]) -> BadInput:
    """What is to be said of names that nobody knows: what they may be."""
    clusters = sorted({one.split("/")[0] for one in there})
    begun = {one.split("/")[0] for one in patterns if "/" in one}
    inside = [one for one in there if one.split("/")[0] in begun and "/group/" not in one]
    more = f" and {len(inside) - _NAMED} more" if len(inside) > _NAMED else ""
    listed = f", or of them {', '.join(inside[:_NAMED])}{more}" if inside else ", or what is in them (NAME/disk/*)"
    remedy = f"there are {', '.join(clusters)}{listed}" if clusters else "nothing is there to be destroyed"
    found = f"destroy: {', '.join(patterns)}: neither there, nor in the parameters, nor in a record"
    return BadInput("planning deploy-azure", found, remedy)


def ours(fleet: Fleet, observed: Observed) -> dict[str, Mapping[str, Any]]:
    """All that is there and bears this environment's tags, by target; never a group that was given."""
    bodies, given = {**observed.bodies, **observed.strays}, _given(fleet)
    return {t: body for t, body in sorted(bodies.items()) if t not in given and _is_ours(fleet, t, body)}


def named(target: str, patterns: Sequence[str]) -> bool:
    """Whether a machine is one of those that these patterns destroy, if it is there."""
    return any(fnmatchcase(target, one) if "/" in one else target.startswith(f"{one}/") for one in patterns)


def afterwards(fleet: Fleet, patterns: Sequence[str]) -> str:
    """What is to be said in the parameters once this is gone while others stay; empty if no machine goes, or all do."""
    clusters = {
        one.name: [host.name for host in one.hosts if named(f"{one.name}/machine/{host.name}", patterns)]
        for one in fleet.clusters
    }
    going = [name for names in clusters.values() for name in names]
    if not going or len(going) == len(list(fleet.hosts)):
        return ""
    whole = [one.name for one in fleet.clusters if len(clusters[one.name]) == len(one.hosts)]
    single = [name for cluster, names in clusters.items() if cluster not in whole for name in names]
    out = [
        *(f"{name} out of fleet.clusters" for name in whole),
        *(f"{name} out of its cluster's hosts" for name in single),
    ]
    text = (
        f"Once it is gone, the parameters still ask for it, and the next plan would make it anew: take {', '.join(out)}"
    )
    members = [member.name for member in fleet.etcd.members if member.name in going]
    if not members:
        return text
    removed = ", ".join([*fleet.etcd.removed, *members])
    return f"{text}, and say who has left etcd:\nfleet:\n  etcd:\n    removed: [{removed}]"


def _given(fleet: Fleet) -> tuple[str, ...]:
    """The groups that are not ours."""
    return tuple(f"{one.name}/group/{one.resource_group}" for one in fleet.clusters if one.resource_group)


def members_going(fleet: Fleet, patterns: Sequence[str], observed: Observed) -> bool:
    """Whether a machine goes that may be a member of etcd, so that etcd has to be asked first."""
    removal = Removal.of(fleet, patterns, observed, {}, None)
    ever = {*fleet.etcd.bootstrap, *fleet.etcd.added}
    return any("/machine/" in one and one.split("/")[2] in ever and removal.consent(one) for one in removal.ours)


def _is_ours(fleet: Fleet, target: str, body: Mapping[str, Any]) -> bool:
    tags = body.get("tags") or {}
    deployment = str(tags.get(DEPLOYMENT, "")).lower()
    return tags.get(ENVIRONMENT) == fleet.environment and deployment == target.split("/", maxsplit=1)[0].lower()
