"""Looking at what is there: lists by page, group by group, never a call for each machine. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from .client import Cloud, NotRegistered, told
from .resource import DEPLOYMENT, ENVIRONMENT, TYPES, Kind, Observed, Resource, group_of

Place = tuple[str, Kind, str]  # group, kind and name, in lower case


def observe(cloud: Cloud, desired: Iterable[Resource], environment: str) -> Observed:
    """All desired targets that exist, and what else bears the environment's tags.

    Looked at are the groups that are ours, those that are desired or given, and those that hold anything of ours.
    Raises LoginFailed, Unreachable, TimedOut, ServiceFailed.
    """
    wanted: dict[str, Place] = {one.target: (one.group.lower(), one.kind, one.name.lower()) for one in desired}
    with told("looking at the resource groups"):
        present = {str(group.name).lower(): group.as_dict() for group in cloud.resources.resource_groups.list()}
    looked = {name for name, body in present.items() if _ours(body, environment)}
    looked |= {group for group, _, _ in wanted.values()}
    with ThreadPoolExecutor(max_workers=8) as pool:
        power, holding = pool.submit(_power, cloud), pool.submit(_holding, cloud, environment)

        def look(groups: list[str]) -> dict[Place, Mapping[str, Any]]:
            found: dict[Place, Mapping[str, Any]] = {(group, "group", group): present[group] for group in groups}
            work = [(group, kind) for group in groups for kind in TYPES]
            for (group, kind), bodies in zip(work, pool.map(lambda pair: _list(cloud, *pair), work), strict=True):
                found |= {(group, kind, str(body["name"]).lower()): body for body in bodies}
            return found

        found = look([name for name in present if name in looked])
        found |= look([name for name in present if name in holding.result() - looked])
    places = {*wanted.values()}
    strays = (place for place, body in found.items() if place not in places and _ours(body, environment))
    return Observed(
        {target: found[place] for target, place in wanted.items() if place in found},
        {target: power.result().get(place, "") for target, place in wanted.items() if place[1] == "machine"},
        {_target(place, found[place]): found[place] for place in sorted(strays)},
    )


def _target(place: Place, body: Mapping[str, Any]) -> str:
    """A stray's target begins with the cluster that its tags name; in a group that was given, nothing else tells."""
    group, kind, _ = place
    cluster = str((body.get("tags") or {}).get(DEPLOYMENT) or group).lower()
    return "/".join((group if "/" in cluster else cluster, kind, str(body["name"])))


def _holding(cloud: Cloud, environment: str) -> set[str]:
    """The groups that hold anything that bears the environment's tag, whosever they are (Resources: list, by tag)."""
    tagged = f"tagName eq '{ENVIRONMENT}' and tagValue eq '{environment}'"
    with told("looking for what bears our tags"):
        return {group_of(one.as_dict()).lower() for one in cloud.resources.resources.list(filter=tagged)}


def others(cloud: Cloud, groups: Iterable[str], ours: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """What is in these resource groups and neither among `ours` nor one of their machines' system disks, by group.

    Raises as `observe` does.
    """
    known = {str(body["id"]).lower() for body in ours.values()}
    for body in ours.values():
        system = body.get("properties", {}).get("storageProfile", {}).get("osDisk", {}).get("managedDisk") or {}
        known.add(str(system.get("id", "")).lower())
    return {group: [one for one in contents(cloud, group) if one.lower() not in known] for group in groups}


def contents(cloud: Cloud, group: str) -> list[str]:
    """The ids of all that is in a resource group, whatever its kind."""
    with told(f"looking at what is in {group}"):
        return [str(one.id) for one in cloud.resources.resources.list_by_resource_group(group)]


def _ours(body: Mapping[str, Any], environment: str) -> bool:
    return (body.get("tags") or {}).get(ENVIRONMENT) == environment


def _power(cloud: Cloud) -> dict[Place, str]:
    """The power state of every machine of the subscription (Compute: list all, statusOnly), a call for each page."""
    found: dict[Place, str] = {}
    with told("looking at what the machines do"), suppress(NotRegistered):  # then there are none
        for machine in cloud.compute.virtual_machines.list_all(status_only="true"):
            body = machine.as_dict()
            codes = [one.get("code", "") for one in body["properties"].get("instanceView", {}).get("statuses", ())]
            state = next((code.removeprefix("PowerState/") for code in codes if code.startswith("PowerState/")), "")
            found[group_of(body).lower(), "machine", str(body["name"]).lower()] = state
    return found


def _list(cloud: Cloud, group: str, kind: Kind) -> list[dict[str, Any]]:
    listing: dict[Kind, Callable[[str], Iterable[Any]]] = {
        "security-group": cloud.network.network_security_groups.list,
        "network": cloud.network.virtual_networks.list,
        "address": cloud.network.public_ip_addresses.list,
        "load-balancer": cloud.network.load_balancers.list,
        "interface": cloud.network.network_interfaces.list,
        "availability-set": cloud.compute.availability_sets.list,
        "disk": cloud.compute.disks.list_by_resource_group,
        "machine": cloud.compute.virtual_machines.list,
    }
    # A group that is being deleted may be gone by now, and all that was in it.
    with told(f"looking at the {kind}s in {group}"), suppress(NotRegistered, ResourceNotFoundError):
        return [one.as_dict() for one in listing[kind](group)]
    return []
