"""Looking at what is there: lists by page, group by group, never a call for each machine. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .client import Cloud, told
from .plan import Observed
from .resource import ENVIRONMENT, TYPES, Kind, Resource

Place = tuple[str, Kind, str]  # group, kind and name, in lower case


def observe(cloud: Cloud, desired: Iterable[Resource], environment: str) -> Observed:
    """All desired targets that exist, and what else bears the environment's tags.

    Raises LoginFailed, Unreachable, TimedOut, ServiceFailed.
    """
    wanted = {(one.group.lower(), one.kind, one.name.lower()): one.target for one in desired}
    with told("looking at the resource groups"):
        present = {str(group.name).lower(): group.as_dict() for group in cloud.resources.resource_groups.list()}
    groups = [name for name, body in present.items() if _ours(body, environment) or (name, "group", name) in wanted]
    found: dict[Place, Mapping[str, Any]] = {(group, "group", group): present[group] for group in groups}
    with ThreadPoolExecutor(max_workers=8) as pool:
        power = pool.submit(_power, cloud)
        work = [(group, kind) for group in groups for kind in TYPES]
        for (group, kind), bodies in zip(work, pool.map(lambda pair: _list(cloud, *pair), work), strict=True):
            found |= {(group, kind, str(body["name"]).lower()): body for body in bodies}
    strays = (place for place, body in found.items() if place not in wanted and _ours(body, environment))
    return Observed(
        {target: found[key] for key, target in wanted.items() if key in found},
        {target: power.result().get(key, "") for key, target in wanted.items() if key[1] == "machine"},
        tuple(sorted("/".join((group, kind, str(found[group, kind, name]["name"]))) for group, kind, name in strays)),
    )


def _ours(body: Mapping[str, Any], environment: str) -> bool:
    return (body.get("tags") or {}).get(ENVIRONMENT) == environment


def _power(cloud: Cloud) -> dict[Place, str]:
    """The power state of every machine of the subscription (Compute: list all, statusOnly), a call for each page."""
    found: dict[Place, str] = {}
    with told("looking at what the machines do"):
        for machine in cloud.compute.virtual_machines.list_all(status_only="true"):
            body = machine.as_dict()
            codes = [one.get("code", "") for one in body["properties"].get("instanceView", {}).get("statuses", ())]
            state = next((code.removeprefix("PowerState/") for code in codes if code.startswith("PowerState/")), "")
            found[_group(body["id"]), "machine", str(body["name"]).lower()] = state
    return found


def _group(resource: str) -> str:
    """The resource group in an id (Resource Manager: fully qualified resource id)."""
    return resource.split("/")[4].lower()


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
    with told(f"looking at the {kind}s in {group}"):
        return [one.as_dict() for one in listing[kind](group)]
