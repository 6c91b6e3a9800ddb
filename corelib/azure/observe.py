"""Looking at what is there: lists by page, group by group, never a call for each machine. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .client import Cloud, told
from .plan import Observed
from .resource import Kind, Resource


def observe(cloud: Cloud, desired: Iterable[Resource]) -> Observed:
    """The bodies of all desired targets that exist. Raises LoginFailed, Unreachable, TimedOut, ServiceFailed."""
    wanted = {(one.group.lower(), one.kind, one.name.lower()): one.target for one in desired}
    groups = sorted({group for group, _, _ in wanted})
    with told("looking at the resource groups"):
        present = {str(group.name).lower(): group.as_dict() for group in cloud.resources.resource_groups.list()}
    found: dict[tuple[str, Kind, str], Mapping[str, Any]] = {
        (group, "group", group): present[group] for group in groups if group in present
    }
    kinds = sorted({kind for _, kind, _ in wanted if kind != "group"})
    with ThreadPoolExecutor(max_workers=8) as pool:
        work = [(group, kind) for group in groups if group in present for kind in kinds]
        for (group, kind), bodies in zip(work, pool.map(lambda pair: _list(cloud, *pair), work), strict=True):
            found |= {(group, kind, str(body["name"]).lower()): body for body in bodies}
    return Observed({target: found[key] for key, target in wanted.items() if key in found})


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
