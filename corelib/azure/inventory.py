"""What was deployed, as the other runbooks need it: addresses, ports, ids. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..fleet import Cluster, Fleet, Host
from .desired import ssh_port
from .plan import Observed
from .resource import USER_DATA


def inventory(fleet: Fleet, observed: Observed) -> dict[str, Any]:
    """By cluster its reserved address, by host its addresses, SSH port and machine; what is not there is left out."""
    hosts = {
        host.name: _host(cluster, host, observed.bodies)
        for cluster in fleet.clusters
        for host in cluster.hosts
        if f"{cluster.name}/machine/{host.name}" in observed.bodies
    }
    known = {name: {"address": address} for name, address in addresses(fleet, observed).items()}
    return {"clusters": known, "hosts": hosts}


def addresses(fleet: Fleet, observed: Observed) -> dict[str, str]:
    """The reserved address of every cluster that has one."""
    found = ((cluster.name, _address(cluster, observed.bodies)) for cluster in fleet.clusters)
    return {name: address for name, address in found if address}


def _host(cluster: Cluster, host: Host, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    machine = bodies[f"{cluster.name}/machine/{host.name}"]
    interface = bodies.get(f"{cluster.name}/interface/{host.name}-nic", {}).get("properties", {})
    configuration = (interface.get("ipConfigurations") or [{}])[0].get("properties", {})
    return {
        "cluster": cluster.name,
        "overlay_address": str(host.address),
        "private_address": configuration.get("privateIPAddress", ""),
        "public_address": _address(cluster, bodies),
        "ssh_port": ssh_port(cluster, host.name),
        "vm_id": machine.get("properties", {}).get("vmId", ""),
        "location": machine["location"],
        "zones": machine.get("zones", []),
        "user_data": machine["tags"].get(USER_DATA, ""),
    }


def _address(cluster: Cluster, bodies: Mapping[str, Mapping[str, Any]]) -> str:
    address = bodies.get(f"{cluster.name}/address/{cluster.name}-ip", {})
    return str(address.get("properties", {}).get("ipAddress", ""))
