"""A resource in a few words, as a plan shows it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .resource import USER_DATA, Resource

MACHINE = "the machine, with its system disk and its network interface"  # what goes with one
_RANGES = 6  # that a sentence names; all are in the exact content


def what(resource: Resource) -> str:
    """The resource in a few words."""
    properties = resource.body.get("properties", {})
    words: dict[str, Callable[[], str]] = {
        "group": lambda: f"resource group in {resource.body['location']}",
        "security-group": lambda: f"inbound: {_inbound(properties['securityRules'])}; nothing else",
        "network": lambda: f"{properties['addressSpace']['addressPrefixes'][0]}, one subnet",
        "address": lambda: "reserved (static) public address",
        "load-balancer": lambda: f"SSH to each host: {_ports(properties['inboundNatRules'])}; and the way out",
        "availability-set": lambda: "availability set",
        "disk": lambda: f"etcd's data disk, {properties['diskSizeGB']} GB, {resource.body['sku']['name']}",
        "interface": lambda: _interface(properties["ipConfigurations"][0]["properties"]),
        "machine": lambda: _machine(resource.body, resource.body["tags"][USER_DATA]),
    }
    return words[resource.kind]()


def _interface(configuration: Mapping[str, Any]) -> str:
    address = configuration.get("publicIPAddress")
    with_it = f"with {address['id'].rpartition('/')[2]}" if address else "without a public address of its own"
    return f"network interface {with_it}"


def _machine(body: Mapping[str, Any], user_data: str) -> str:
    properties, zone = body["properties"], "".join(f" in zone {name}" for name in body.get("zones", ()))
    size, image = properties["hardwareProfile"]["vmSize"], properties["storageProfile"]["imageReference"]
    return f"{size}{zone}, {image['sku']} {image['version']}, user-data {user_data[:12]}"


def _inbound(rules: list[dict[str, Any]]) -> str:
    """Each rule by its name and from where it lets in: of the overlay's that is its own hosts."""
    return ", ".join(f"{rule['name']} from {_sources(rule['properties'])}" for rule in rules)


def _sources(rule: Mapping[str, Any]) -> str:
    ranges = rule.get("sourceAddressPrefixes") or [rule["sourceAddressPrefix"]]
    more = len(ranges) - _RANGES
    return " and ".join(ranges[:_RANGES]) + (f" and {more} more" if more > 0 else "")


def _ports(rules: list[dict[str, Any]]) -> str:
    ssh = [rule["properties"]["frontendPort"] for rule in rules if rule["properties"]["backendPort"] == 22]
    others = len(rules) - len(ssh)
    shown = ", ".join(map(str, ssh)) if len(ssh) <= 4 else f"{min(ssh)} to {max(ssh)}"
    return shown + (f"; {others} ports of the overlay" if others else "")
