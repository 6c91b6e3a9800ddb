"""What was deployed, as the other runbooks need it: addresses, ports, ids. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..fleet import Cluster, Fleet, Host
from .desired import ssh_port
from .resource import ENVIRONMENT, USER_DATA, Observed


def inventory(fleet: Fleet, observed: Observed) -> dict[str, Any]:
    """By cluster its reserved address, by host its addresses, SSH port and machine; what is not there is left out.

    `addresses` are those of hosts that have their own, by `Cluster.reserved`.
    """
    hosts = {
        host.name: _host(cluster, host, observed.bodies)
        for cluster in fleet.clusters
        for host in cluster.hosts
        if _is_ours(fleet, observed.bodies.get(f"{cluster.name}/machine/{host.name}", {}))
    }
    known = addresses(fleet, observed)
    own = {name: address for name, address in known.items() if "/" in name}
    shared = {name: {"address": address} for name, address in known.items() if name not in own}
    return {"clusters": shared, "hosts": hosts} | ({"addresses": own} if own else {})


def _is_ours(fleet: Fleet, body: Mapping[str, Any]) -> bool:
    return bool((body.get("tags") or {}).get(ENVIRONMENT) == fleet.environment)


def machine(fleet: Fleet, observed: Observed, host: str, key: str) -> str:
    """A tag or a property of a host's machine; empty if there is none."""
    body = observed.bodies.get(f"{fleet.cluster_of(host).name}/machine/{host}", {})
    return str((body.get("tags") or {}).get(key) or body.get("properties", {}).get(key, ""))


def addresses(fleet: Fleet, observed: Observed) -> dict[str, str]:
    """The reserved addresses that are there, by `Cluster.reserved`."""
    places = ((cluster, host.name) for cluster in fleet.clusters for host in cluster.hosts)
    found = {cluster.reserved(host): _address(cluster, host, observed.bodies) for cluster, host in places}
    return {name: address for name, address in found.items() if address}


def _host(cluster: Cluster, host: Host, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    machine = bodies[f"{cluster.name}/machine/{host.name}"]
    interface = bodies.get(f"{cluster.name}/interface/{host.name}-nic", {}).get("properties", {})
    configuration = (interface.get("ipConfigurations") or [{}])[0].get("properties", {})
    return {
        "cluster": cluster.name,
        "overlay_address": str(host.address),
        "private_address": configuration.get("privateIPAddress", ""),
        "public_address": _address(cluster, host.name, bodies),
        "ssh_port": ssh_port(cluster, host.name),
        "vm_id": machine.get("properties", {}).get("vmId", ""),
        "location": machine["location"],
        "zones": machine.get("zones", []),
        "user_data": machine["tags"].get(USER_DATA, ""),
    }


def _address(cluster: Cluster, host: str, bodies: Mapping[str, Mapping[str, Any]]) -> str:
    owner = host if cluster.public_address == "host" else cluster.name
    address = bodies.get(f"{cluster.name}/address/{owner}-ip", {})
    return str(address.get("properties", {}).get("ipAddress", ""))
