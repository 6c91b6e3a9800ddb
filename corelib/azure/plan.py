"""Desired and observed resources → a plan. Pure.

Only what we set is compared: what Azure adds by itself is not a difference. A machine's custom data can be neither
read nor changed; its digest is in a tag of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..fleet import Fleet
from ..plan import Change, Plan, Step
from .resource import DEPLOYMENT, ENVIRONMENT, SPECIFICATION, USER_DATA, Resource

CUSTOM_DATA_LIMIT = 65_535  # bytes before base64 (Azure: osProfile.customData)
_IN_PLACE = {"group", "security-group", "network", "address", "load-balancer", "interface", "availability-set"}


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there: the body of every desired target that exists, as Azure answers it."""

    bodies: Mapping[str, Mapping[str, Any]]


def plan(
    fleet: Fleet,
    desired: tuple[Resource, ...],
    observed: Observed,
    code: str,
    endpoint: str,
    refused: tuple[Step, ...] = (),
) -> Plan:
    """The steps from what was observed to what is desired, in their order; only the refused ones, if there are any."""
    assert fleet.azure is not None  # noqa: S101 - clusters without it are refused with the parameters
    target = {"endpoint": endpoint, "tenant": fleet.azure.tenant, "subscription": fleet.azure.subscription}
    steps = (_step(resource, observed.bodies.get(resource.target), fleet.environment) for resource in desired)
    return Plan("deploy-azure", fleet.environment, target, code, refused or tuple(steps))


def _step(resource: Resource, body: Mapping[str, Any] | None, environment: str) -> Step:
    what = _what(resource)
    step = Step(resource.target, "create", what, "it is not there", after=resource.after, desired=_content(resource))
    size = _custom_data_size(resource)
    if size > CUSTOM_DATA_LIMIT:
        why = f"its user-data has {size} bytes, and Azure takes at most {CUSTOM_DATA_LIMIT}"
        return replace(step, action="blocked", why=why)
    return step if body is None else _against(step, resource, body, environment)


def _against(step: Step, resource: Resource, body: Mapping[str, Any], environment: str) -> Step:
    """The step for a resource that exists."""
    tags = body.get("tags") or {}
    if (tags.get(ENVIRONMENT), tags.get(DEPLOYMENT)) != (environment, resource.body["tags"][DEPLOYMENT]):
        why = "something of this name exists and is not ours (its tags do not say so): rename it, or the cluster"
        return replace(step, action="blocked", why=why)
    state = body.get("properties", {}).get("provisioningState", "Succeeded")
    if state == "Succeeded":
        return _compared(step, resource, body)
    if state in ("Creating", "Updating") or resource.kind in _IN_PLACE:
        return replace(step, why=f"it was begun and is {state}")
    return replace(step, action="blocked", why=f"it is {state}: look at it in the portal, delete it, then plan again")


def _compared(step: Step, resource: Resource, body: Mapping[str, Any]) -> Step:
    """The step for a resource of ours that is in order."""
    changes = tuple(differences(_comparable(resource), body))
    if not changes:
        return replace(step, action="keep", why="it is as desired")
    if f"tags.{USER_DATA}" in {change.name for change in changes}:
        why = "its user-data differs, which only a new machine can take; replacing one is not supported yet"
        return replace(step, action="blocked", why=why, changes=changes, interrupts=f"etcd's member {resource.name}")
    if resource.kind not in _IN_PLACE and any(not change.name.startswith("tags.") for change in changes):
        return replace(step, action="blocked", why="it differs in what cannot be changed in place yet", changes=changes)
    return replace(step, action="change", why="it differs", changes=changes)


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[Change]:
    """Where `found` differs from `wanted`, by what is in `wanted` alone; lists of named things are compared by name."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, value in wanted.items():
            yield from differences(value, found.get(key), f"{path}.{key}" if path else key)
    elif isinstance(wanted, list) and isinstance(found, list):
        yield from _list_differences(wanted, found, path)
    elif not _same(wanted, found, path):
        yield Change(path, found, wanted)


def _list_differences(wanted: list[Any], found: list[Any], path: str) -> Iterator[Change]:
    if all(isinstance(item, Mapping) and "name" in item for item in [*wanted, *found]) and wanted:
        by_name = {str(item["name"]).lower(): item for item in found}
        for item in wanted:
            yield from differences(item, by_name.pop(str(item["name"]).lower(), None), f"{path}[{item['name']}]")
        for name, item in by_name.items():
            yield Change(f"{path}[{name}]", item, None)
    elif len(wanted) != len(found):
        yield Change(path, found, wanted)
    elif all(isinstance(item, Mapping) and set(item) == {"id"} for item in [*wanted, *found]):
        old, new = (sorted(str(one["id"]).lower() for one in some) for some in (found, wanted))
        if old != new:  # references have no order either
            yield Change(f"{path}.id", old, new)
    elif all(isinstance(item, str) for item in [*wanted, *found]):
        if sorted(wanted) != sorted(found):  # sets: Azure keeps no order of prefixes and zones
            yield Change(path, found, wanted)
    else:
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")


def _same(wanted: Any, found: Any, path: str) -> bool:
    """Equal, letters' case apart where Azure does not keep it: ids, and names of enumerations; never keys and tags."""
    kept = path.startswith("tags.") or path.endswith((".keyData", ".path", ".computerName", ".adminUsername"))
    if not kept and isinstance(wanted, str) and isinstance(found, str):
        return wanted.lower() == found.lower()
    return bool(wanted == found)


def _comparable(resource: Resource) -> dict[str, Any]:
    """The body without what Azure never returns, and without our own digest of it, which says nothing new."""
    body = resource.public
    body["tags"].pop(SPECIFICATION)
    body.get("properties", {}).get("osProfile", {}).pop("customData", None)
    return body


def _content(resource: Resource) -> dict[str, Any]:
    return {"kind": resource.kind, "group": resource.group, "name": resource.name, "body": resource.public}


def _custom_data_size(resource: Resource) -> int:
    encoded = resource.body.get("properties", {}).get("osProfile", {}).get("customData", "")
    return len(str(encoded)) // 4 * 3 - str(encoded).count("=")


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
