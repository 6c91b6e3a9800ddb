"""Addresses in virtual networks: subnets inside their network, private addresses inside their subnet.

Azure keeps the first four addresses of a subnet and the last one (Virtual Network FAQ), so the first one handed out
ends in .4 for a /24.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Any

from .cloud import Cloud
from .failure import Failure
from .ids import parse
from .kinds import Change
from .store import child_of, children


def network(text: Any, what: str) -> IPv4Network:
    """A prefix; Failure InvalidAddressPrefixFormat when it is none."""
    try:
        return IPv4Network(str(text))
    except ValueError:
        text = f"Address prefix {text} of resource {what} is not formatted correctly. It should follow CIDR notation,"
        raise Failure(400, "InvalidAddressPrefixFormat", f"{text} for example 10.0.0.0/24.") from None


def prefix(subnet: dict[str, Any]) -> Any:
    """A subnet's prefix, given alone or as a list of one."""
    properties = subnet.get("properties", {})
    return properties.get("addressPrefix") or next(iter(properties.get("addressPrefixes") or []), None)


def check_network(change: Change) -> None:
    """A virtual network has prefixes, and its subnets lie inside them without overlapping."""
    space = (change.properties.get("addressSpace") or {}).get("addressPrefixes") or []
    if not space:
        text = f"Address space is not specified for virtual network {change.id}."
        raise Failure(400, "VnetAddressSpaceNotSpecified", text)
    ranges = [network(text, str(change.id)) for text in space]
    subnets = [(s["name"], network(prefix(s), s["id"])) for s in children(change.properties, "subnets")]
    for name, inner in subnets:
        if not any(inner.subnet_of(outer) for outer in ranges) or inner.prefixlen > 29:
            text = f"Subnet '{name}' is not valid in virtual network '{change.id.name}'."
            raise Failure(400, "NetcfgInvalidSubnet", text)
    for (one, a), (other, b) in combinations(subnets, 2):
        if a.overlaps(b):
            text = f"Subnet '{one}' is not valid because its IP address range overlaps with that of subnet '{other}'"
            raise Failure(400, "NetcfgSubnetRangesOverlap", f"{text} in virtual network '{change.id.name}'.")


def assign(cloud: Cloud, change: Change) -> None:
    """Every configuration of an interface gets an address of its subnet, keeping the one that it has."""
    for config in children(change.properties, "ipConfigurations"):
        properties = config["properties"]
        reference = properties.get("subnet") or {}
        if "id" not in reference:
            text = f"Subnet reference is required for ipConfiguration {config['id']}."
            raise Failure(400, "SubnetReferenceRequired", text)
        inside = _range(cloud, reference["id"])
        taken = set(_taken(cloud, change, reference["id"]))
        properties.setdefault("privateIPAllocationMethod", "Dynamic")
        properties.setdefault("privateIPAddressVersion", "IPv4")
        properties["privateIPAddress"] = str(_choose(inside, taken, _wanted(change, config), config["id"]))


def _wanted(change: Change, config: dict[str, Any]) -> str | None:
    properties = config["properties"]
    if properties["privateIPAllocationMethod"].lower() == "static":
        return str(properties.get("privateIPAddress") or "")
    before = child_of(change.before.properties, ["ipConfigurations"], [config["name"]]) if change.before else None
    held = before["properties"] if before else {}
    same = held.get("subnet", {}).get("id", "").lower() == properties["subnet"]["id"].lower()
    return held.get("privateIPAddress") if same else None


def _choose(inside: IPv4Network, taken: set[str], wanted: str | None, config: str) -> IPv4Address:
    usable = range(int(inside.network_address) + 4, int(inside.broadcast_address))
    if wanted is None:
        free = (address for address in map(IPv4Address, usable) if str(address) not in taken)
        found = next(free, None)
        if found is None:
            text = f"Subnet with address prefix {inside} does not have enough capacity for 1 IP addresses."
            raise Failure(400, "SubnetIsFull", text)
        return found
    try:
        address = IPv4Address(wanted)
    except ValueError:
        text = f"IP address '{wanted}' of {config} is not formatted correctly."
        raise Failure(400, "InvalidIPAddressFormat", text) from None
    if int(address) not in usable:
        text = f"Private static IP address {address} does not belong to the range of subnet prefix {inside}."
        raise Failure(400, "PrivateIPAddressNotInSubnet", text)
    if str(address) in taken:
        text = f"IP configuration {config} is using the private IP address {address} which is already allocated."
        raise Failure(400, "PrivateIPAddressIsAllocated", text)
    return address


def _range(cloud: Cloud, subnet: str) -> IPv4Network:
    target = parse(subnet)
    top = cloud.store.find(target.top) if target else None
    child = child_of(top.properties, target.types[1:], target.names[1:]) if top and target else None
    if child is None:
        raise Failure(400, "InvalidResourceReference", f"Resource {subnet} was not found.")
    return network(prefix(dict(child)), subnet)


def _taken(cloud: Cloud, change: Change, subnet: str) -> Iterable[str]:
    """The addresses of a subnet that other interfaces, and the configurations placed so far, hold."""
    others = [r.properties for r in cloud.store if r.id.key != change.id.key]
    for properties in others:
        for config in children(properties, "ipConfigurations"):
            held = config.get("properties", {})
            if (held.get("subnet") or {}).get("id", "").lower() == subnet.lower():
                yield held.get("privateIPAddress", "")
