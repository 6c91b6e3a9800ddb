"""Where what was observed differs from what is desired. Pure.

Only what we set is compared, and what would open a host if somebody else set it: what Azure adds by itself is not a
difference. A machine's custom data can be neither read nor changed; its digest is in a tag of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..plan import Change, Step
from .resource import SPECIFICATION, USER_DATA, Resource

_WAYS_IN = ("publicIPAddress", "loadBalancerBackendAddressPools", "loadBalancerInboundNatRules")  # of an interface


def compared(resource: Resource, body: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every difference of a resource that exists, by the path of its property."""
    return (*differences(_comparable(resource), body), *_uninvited(resource, body.get("properties", {})))


def kept_tags(step: Step, resource: Resource, body: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a change: ours, and those that others gave it, which a PUT without them would take away.

    A machine whose user-data is stale and stays keeps the tag that says what it was given.
    """
    there = body.get("tags") or {}
    stale = {USER_DATA: there[USER_DATA]} if step.told and USER_DATA in there else {}
    return {**there, **resource.body["tags"], **stale}


def _uninvited(resource: Resource, properties: Mapping[str, Any]) -> Iterator[Change]:
    """What we do not name and want absent: ways in that somebody opened by hand, or that we no longer want."""
    kind = resource.kind
    if kind == "interface":
        (wanted,) = resource.body["properties"]["ipConfigurations"]
        for one in properties.get("ipConfigurations", ()):
            for name in _WAYS_IN if one["name"] == wanted["name"] else ():
                found = one.get("properties", {}).get(name)
                if found and name not in wanted["properties"]:
                    old = found["id"] if isinstance(found, Mapping) else [each["id"] for each in found]
                    yield Change(f"properties.ipConfigurations[{one['name']}].properties.{name}", old, None)
    if kind == "load-balancer":
        for name in ("loadBalancingRules", "inboundNatPools"):
            for one in properties.get(name) or ():
                yield Change(f"properties.{name}[{one['name']}]", one.get("properties", {}), None)
    if kind == "network":
        for one in properties.get("virtualNetworkPeerings") or ():
            remote = one.get("properties", {}).get("remoteVirtualNetwork")
            yield Change(f"properties.virtualNetworkPeerings[{one['name']}]", remote, None)


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
