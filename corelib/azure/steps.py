"""What becomes of each desired resource, against what is there: one step, or two where something goes first. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import userdata
from ..fleet import Fleet
from ..plan import Change, Step
from ..userdata.difference import Difference
from .compare import compared, kept_tags
from .moves import Moves, old_machine
from .resource import DEPLOYMENT, ENVIRONMENT, REPLACES, USER_DATA, Observed, Resource, group_of, is_anew
from .words import what

CUSTOM_DATA_LIMIT = 65_535  # bytes before base64 (Azure: osProfile.customData)
POWER = "power state"  # a change that is no property: a machine is started
SIZE = "properties.hardwareProfile.vmSize"  # a change for which a machine is switched off and on
UNDER_WAY = ("Creating", "Updating")
_IN_PLACE = {"group", "security-group", "network", "address", "load-balancer", "interface", "availability-set"}


@dataclass(frozen=True, slots=True)
class Steps:
    """All that the steps of one plan are made from."""

    fleet: Fleet
    observed: Observed
    deployed: Mapping[str, str]
    moves: Moves
    elsewhere: Mapping[str, Mapping[str, Any]]  # what is desired, and stands in another resource group

    def of(self, resource: Resource) -> Iterator[Step]:
        """What becomes of one desired resource, and of what stands in its place."""
        body = self.observed.bodies.get(resource.target)
        if resource.given:
            yield _given(resource, body)
            return
        step = self._compared(resource, body)
        if body is not None and step.action != "blocked":
            if is_anew(resource, body):
                old = self._old(resource, body)
                yield old
                step = replace(self._new(resource), why=f"in place of {old.target.rpartition('/')[2]}")
            elif resource.kind == "interface" and self._stands(resource):
                step = replace(self._new(resource), why="the one that is there goes with its machine")
        after = (*step.after, *self.moves.after.get(resource.target, ()), *self._vacated(resource))
        yield replace(step, after=after)

    def _new(self, resource: Resource) -> Step:
        words, after = what(resource), resource.after
        step = Step(resource.target, "create", words, "it is not there", after=after, desired=_content(resource))
        size = len(_custom_data(resource))
        if size > CUSTOM_DATA_LIMIT:
            why = f"its user-data has {size} bytes, and Azure takes at most {CUSTOM_DATA_LIMIT}"
            return replace(step, action="blocked", why=why)
        return step

    def _compared(self, resource: Resource, body: Mapping[str, Any] | None) -> Step:
        step = self._new(resource)
        if body is None and (elsewhere := self.elsewhere.get(resource.target)) is not None:
            why = (
                f"it stands in the resource group {group_of(elsewhere)}, and stays there: name that one, or destroy it"
            )
            return replace(step, action="blocked", why=why, after=())
        if body is None or step.action == "blocked":
            return step
        tags = body.get("tags") or {}
        if (tags.get(ENVIRONMENT), tags.get(DEPLOYMENT)) != (
            self.fleet.environment,
            resource.body["tags"][DEPLOYMENT],
        ):
            why = "something of this name exists and is not ours (its tags do not say so): rename it, or the cluster"
            return replace(step, action="blocked", why=why)
        changes = (*compared(resource, body), *_switched_off(self.observed.power.get(resource.target, "")))
        return self._against(replace(step, changes=changes), resource, body)

    def _against(self, step: Step, resource: Resource, body: Mapping[str, Any]) -> Step:
        """The step for a resource of ours that exists, and differs in `step.changes`."""
        state = body.get("properties", {}).get("provisioningState", "Succeeded")
        if is_anew(resource, body):
            return step
        if state == "Deleting":
            return replace(step, action="blocked", why="it is being deleted: plan again when it is gone")
        if state in UNDER_WAY or (state != "Succeeded" and resource.kind in _IN_PLACE):
            return replace(step, why=f"it was begun and is {state}", changes=(), under_way=state in UNDER_WAY)
        if any(change.name == f"tags.{USER_DATA}" for change in step.changes):
            step = self._other_user_data(step, resource, body["tags"].get(USER_DATA, ""))
        elif resource.kind not in _IN_PLACE and not all(_takes(change) for change in step.changes):
            step = replace(step, action="blocked", why=_unchangeable(resource))
        return step if step.action == "blocked" else self._in_place(step, resource, body, state)

    def _in_place(self, step: Step, resource: Resource, body: Mapping[str, Any], state: str) -> Step:
        """The step for what can be changed as it is, or needs no change."""
        if not step.changes and state == "Succeeded":
            return replace(step, action="keep", why=step.why if step.told else "it is as desired")
        why = "it differs" if state == "Succeeded" else f"its provisioning ended as {state}: it is put again"
        if any(change.name == SIZE for change in step.changes):
            step = replace(step, interrupts=f"{resource.name}: it is switched off, and on again")
        return replace(step, action="change", why=why, desired=_content(resource, kept_tags(step, resource, body)))

    def _old(self, resource: Resource, body: Mapping[str, Any]) -> Step:
        """The machine or disk that goes first."""
        generation, host = self.moves.anew[resource.host], resource.host
        target, machine = old_machine(resource.target, generation), f"{resource.cluster}/machine/{host}"
        after = self.moves.after.get(target, ())
        size, given = body.get("properties", {}).get("hardwareProfile", {}).get("vmSize"), body["tags"].get(USER_DATA)
        words, interrupts = f"{size}, user-data {str(given)[:12]}, with its system disk and its interface", host
        if resource.kind == "disk":
            after = (old_machine(machine, generation), *after)
            words, interrupts = "etcd's data disk, with what is on it", ""
        desired = {"kind": resource.kind, "group": resource.group, "name": resource.name}
        why, consent = f"{host} is made anew, on a blank disk", f"replace {host}"
        under_way = _is_going(body)
        return Step(target, "destroy", words, why, interrupts, consent, after, desired=desired, under_way=under_way)

    def _stands(self, interface: Resource) -> bool:
        """Whether the machine that takes this interface along is still to go."""
        generation = self.moves.anew.get(interface.host, "")
        body = self.observed.bodies.get(f"{interface.cluster}/machine/{interface.host}")
        return bool(generation) and body is not None and (body.get("tags") or {}).get(REPLACES) != generation

    def _vacated(self, resource: Resource) -> tuple[str, ...]:
        """What must be gone before this can be changed or made: whose place it takes, and who still uses it."""
        generation = self.moves.anew.get(resource.host, "")
        if resource.kind in ("machine", "disk") and generation:
            return (old_machine(resource.target, generation),)
        if resource.kind == "interface" and generation:
            return (old_machine(f"{resource.cluster}/machine/{resource.host}", generation),)
        if resource.kind == "load-balancer":
            return tuple(one for one in self.observed.strays if one.startswith(f"{resource.cluster}/"))
        return ()

    def _other_user_data(self, step: Step, resource: Resource, old: str) -> Step:
        """A machine whose user-data is not the desired one: harmless if only a member that starts without data reads
        it; then it stays as it is, and so does the tag that says what it was given."""
        if old in self.deployed:
            found = userdata.differences(self.deployed[old], _custom_data(resource).decode(errors="replace"))
            if all(one.matters == "bootstrap" for one in found):
                told = _told(found)
                rest = tuple(change for change in step.changes if change.name != f"tags.{USER_DATA}")
                if not all(map(_takes, rest)):
                    return replace(step, action="blocked", why=_unchangeable(resource), changes=rest)
                return replace(step, why=f"stale, and harmless: {told}", told=True, changes=rest)
            changes = tuple(Change(one.where, one.old, one.new) for one in found)
            step = replace(step, changes=changes)
        why = f"its user-data differs, which only a new machine can take: replace: [{resource.name}]"
        return replace(step, action="blocked", why=why, interrupts=f"etcd's member {resource.name}")


def _given(group: Resource, body: Mapping[str, Any] | None) -> Step:
    """A resource group that is somebody else's: it is there, or nothing can be put into it."""
    found = Step(group.target, "keep", "resource group that was given", "not ours: it stays as it is", told=True)
    if body is None:
        place = f"--name {group.name} --location {group.body['location']}"
        why = f"it is not there, or not for this login to see: have it made (az group create {place}), or take "
        return replace(found, action="blocked", why=f"{why}resource_group out of the parameters: then one is made")
    if _is_going(body):
        return replace(found, action="blocked", why="it is being deleted: name another, or plan again when it is gone")
    return found


def destroyed(
    target: str, body: Mapping[str, Any], what: str, why: str, interrupts: str, consent: str, after: tuple[str, ...]
) -> Step:
    """The step that deletes something that is there and ours."""
    cluster, kind, _ = target.split("/")
    desired = {"kind": kind, "group": group_of(body, cluster), "name": body["name"], "id": body["id"]}
    under_way = _is_going(body)
    return Step(target, "destroy", what, why, interrupts, consent, after, desired=desired, under_way=under_way)


def _is_going(body: Mapping[str, Any]) -> bool:
    return bool(body.get("properties", {}).get("provisioningState") == "Deleting")


def _told(found: Sequence[Difference]) -> str:
    """What differs, without its values: a list of members would fill the screen."""
    names = ", ".join(dict.fromkeys(one.where.rpartition(", ")[2] for one in found))
    return f"{names}, only read where etcd starts without data" if names else "the layout only"


def _takes(change: Change) -> bool:
    """Whether a machine or a disk takes a change in place."""
    return change.name in (POWER, SIZE) or change.name.startswith("tags.")


def _unchangeable(resource: Resource) -> str:
    if resource.kind == "machine":
        return f"it differs in what only a new machine can have: replace: [{resource.name}]"
    return f"it differs in what only a new disk can have: replace: [{resource.host}]"


def _switched_off(power: str) -> tuple[Change, ...]:
    """Somebody has stopped a machine that is to run; one that starts or is just made is on its way."""
    return (Change(POWER, power, "running"),) if power in ("stopped", "deallocated") else ()


def _content(resource: Resource, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    body = resource.public if tags is None else {**resource.public, "tags": dict(tags)}
    return {"kind": resource.kind, "group": resource.group, "name": resource.name, "body": body}


def _custom_data(resource: Resource) -> bytes:
    return base64.b64decode(resource.body.get("properties", {}).get("osProfile", {}).get("customData", ""))
