"""A resource in a few words, as a plan shows it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .resource import USER_DATA, Resource


def what(resource: Resource) -> str:
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
        "interface": lambda: _interface(properties["ipConfigurations"][0]["properties"]),
        "machine": lambda: _machine(properties, resource.body["tags"][USER_DATA]),
    }
    return words[resource.kind]()


def _interface(configuration: Mapping[str, Any]) -> str:
    address = configuration.get("publicIPAddress")
    with_it = f"with {address['id'].rpartition('/')[2]}" if address else "without a public address of its own"
    return f"network interface {with_it}"


def _machine(properties: Mapping[str, Any], user_data: str) -> str:
    image = properties["storageProfile"]["imageReference"]
    return f"{properties['hardwareProfile']['vmSize']}, {image['sku']} {image['version']}, user-data {user_data[:12]}"


def _names(items: list[dict[str, Any]]) -> str:
    return ", ".join(item["name"] for item in items)


def _ports(rules: list[dict[str, Any]]) -> str:
    ssh = [rule["properties"]["frontendPort"] for rule in rules if rule["properties"]["backendPort"] == 22]
    others = len(rules) - len(ssh)
    shown = ", ".join(map(str, ssh)) if len(ssh) <= 4 else f"{min(ssh)} to {max(ssh)}"
    return shown + (f"; {others} ports of the overlay" if others else "")
