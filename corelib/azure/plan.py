"""Desired and observed resources → a plan. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from .. import userdata
from ..fleet import Fleet
from ..plan import Change, Plan, Step
from .compare import compared, kept_tags
from .resource import DEPLOYMENT, ENVIRONMENT, USER_DATA, Resource

CUSTOM_DATA_LIMIT = 65_535  # bytes before base64 (Azure: osProfile.customData)
POWER = "power state"  # a change that is no property: a machine is started
_IN_PLACE = {"group", "security-group", "network", "address", "load-balancer", "interface", "availability-set"}
_UNDER_WAY = ("Creating", "Updating")


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there: the body of every desired target that exists, as Azure answers it; the power state of machines;
    and the targets that are this environment's by their tags, and not desired (any more)."""

    bodies: Mapping[str, Mapping[str, Any]]
    power: Mapping[str, str] = field(default_factory=dict)  # running, stopped, deallocated, …
    strays: tuple[str, ...] = ()


def plan(
    fleet: Fleet,
    desired: tuple[Resource, ...],
    observed: Observed,
    code: str,
    endpoint: str,
    refused: tuple[Step, ...] = (),
    *,
    deployed: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The steps from what was observed to what is desired, in their order; only the refused ones, if there are any.

    `deployed` are user-data documents that machines were given once, by their SHA-256, as far as they are known.
    """
    assert fleet.azure is not None  # noqa: S101 - clusters without it are refused with the parameters
    target = {"endpoint": endpoint, "tenant": fleet.azure.tenant, "subscription": fleet.azure.subscription}
    steps = [_step(one, observed, fleet.environment, deployed) for one in desired]
    steps += [_stray(one) for one in observed.strays]
    return Plan("deploy-azure", fleet.environment, target, code, refused or tuple(steps))


def _step(resource: Resource, observed: Observed, environment: str, deployed: Mapping[str, str]) -> Step:
    what = _what(resource)
    step = Step(resource.target, "create", what, "it is not there", after=resource.after, desired=_content(resource))
    size = len(_custom_data(resource))
    if size > CUSTOM_DATA_LIMIT:
        why = f"its user-data has {size} bytes, and Azure takes at most {CUSTOM_DATA_LIMIT}"
        return replace(step, action="blocked", why=why)
    body = observed.bodies.get(resource.target)
    if body is None:
        return step
    tags = body.get("tags") or {}
    if (tags.get(ENVIRONMENT), tags.get(DEPLOYMENT)) != (environment, resource.body["tags"][DEPLOYMENT]):
        why = "something of this name exists and is not ours (its tags do not say so): rename it, or the cluster"
        return replace(step, action="blocked", why=why)
    changes = (*compared(resource, body), *_switched_off(observed.power.get(resource.target, "")))
    return _against(replace(step, changes=changes), resource, body, deployed)


def _against(step: Step, resource: Resource, body: Mapping[str, Any], deployed: Mapping[str, str]) -> Step:
    """The step for a resource of ours that exists, and differs in `step.changes`."""
    state = body.get("properties", {}).get("provisioningState", "Succeeded")
    if state == "Deleting":
        return replace(step, action="blocked", why="it is being deleted: plan again when it is gone")
    if state in _UNDER_WAY or (state != "Succeeded" and resource.kind in _IN_PLACE):
        return replace(step, why=f"it was begun and is {state}", changes=())
    if any(change.name == f"tags.{USER_DATA}" for change in step.changes):
        return _other_user_data(step, resource, body["tags"].get(USER_DATA, ""), deployed)
    if resource.kind not in _IN_PLACE and not all(_takes(change) for change in step.changes):
        return replace(step, action="blocked", why="it differs in what cannot be changed in place yet")
    if not step.changes and state == "Succeeded":
        return replace(step, action="keep", why="it is as desired")
    why = "it differs" if state == "Succeeded" else f"its provisioning ended as {state}: it is put again"
    return replace(step, action="change", why=why, desired=_content(resource, kept_tags(resource, body)))


def _takes(change: Change) -> bool:
    """Whether a machine or a disk takes a change in place."""
    return change.name == POWER or change.name.startswith("tags.")


def _switched_off(power: str) -> tuple[Change, ...]:
    """Somebody has stopped a machine that is to run; one that starts or is just made is on its way."""
    return (Change(POWER, power, "running"),) if power in ("stopped", "deallocated") else ()


def _other_user_data(step: Step, resource: Resource, old: str, deployed: Mapping[str, str]) -> Step:
    """A machine whose user-data is not the desired one: harmless if only a member that starts without data reads it."""
    interrupts = f"etcd's member {resource.name}"
    if old in deployed:
        found = userdata.differences(deployed[old], _custom_data(resource).decode(errors="replace"))
        if all(one.matters == "bootstrap" for one in found):
            told = "; ".join(map(str, found)) or "the layout only"
            return replace(step, action="keep", why=f"stale, and harmless: {told}", told=True)
        changes = tuple(Change(one.where, one.old, one.new) for one in found)
        step = replace(step, changes=changes)
    why = "its user-data differs, which only a new machine can take; replacing one is not supported yet"
    return replace(step, action="blocked", why=why, interrupts=interrupts)


def _stray(target: str) -> Step:
    why = "ours, and not in the parameters any more: it stays, and goes on costing; deploy-azure removes nothing yet"
    return Step(target, "keep", "no longer desired", why, told=True)


def _content(resource: Resource, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    body = resource.public if tags is None else {**resource.public, "tags": dict(tags)}
    return {"kind": resource.kind, "group": resource.group, "name": resource.name, "body": body}


def _custom_data(resource: Resource) -> bytes:
    return base64.b64decode(resource.body.get("properties", {}).get("osProfile", {}).get("customData", ""))


def _what(resource: Resource) -> str:
    """The resource in a few words."""
    properties = resource.body.get("properties", {})
    words: dict[str, Callable[[], str]] = {
        "group": lambda: f"resource group in {resource.body['location']}",
        "security-group": lambda: f"inbound: {_names(properties['securityRules'])}; nothing else",
        "network": lambda: f"{properties['addressSpace']['addressPrefixes'][0]}, one subnet",
        "address": lambda: "reserved (static) public address",
        "load-balancer": lambda: f"SSH to each host: {_ports(properties['inboundNatRules'])}; and the way out",
        "availability-set": lambda: "availability set",
        "disk": lambda: f"etcd's data disk, {properties['diskSizeGB']} GB, {resource.body['sku']['name']}",
        "interface": lambda: "network interface without a public address of its own",
        "machine": lambda: _machine(properties, resource.body["tags"][USER_DATA]),
    }
    return words[resource.kind]()


def _machine(properties: Mapping[str, Any], user_data: str) -> str:
    image = properties["storageProfile"]["imageReference"]
    return f"{properties['hardwareProfile']['vmSize']}, {image['sku']} {image['version']}, user-data {user_data[:12]}"


def _names(items: list[dict[str, Any]]) -> str:
    return ", ".join(item["name"] for item in items)


def _ports(rules: list[dict[str, Any]]) -> str:
    ssh = [rule["properties"]["frontendPort"] for rule in rules if rule["properties"]["backendPort"] == 22]
    others = len(rules) - len(ssh)
    return ", ".join(map(str, ssh)) + (f"; {others} ports of the overlay" if others else "")
