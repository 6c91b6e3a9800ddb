"""What a deployment would use of a subscription: rights, providers, quotas, sizes, images. Pure.

Looked at is all that is desired and not there, machines that wait for a later stage included: what their stage would
lack is to be known before the first one is approved.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .resource import TYPES, Kind, Observed, Resource, is_anew

LATEST = "latest"  # Compute's word for the newest version of an image

# What a PUT of each kind needs the right to (Azure RBAC: resource provider operations): its own, and to be referred to.
_JOINS: dict[Kind, tuple[str, ...]] = {
    "security-group": ("join/action",),
    "network": ("subnets/join/action",),
    "address": ("join/action",),
    "load-balancer": ("backendAddressPools/join/action", "inboundNatRules/join/action"),
    "interface": ("join/action",),
}
GROUP_WRITE = "Microsoft.Resources/subscriptions/resourceGroups/write"

# Under which names each kind is counted (Usage APIs of Compute and Network).
_COUNTED: dict[Kind, tuple[str, ...]] = {
    "security-group": ("NetworkSecurityGroups",),
    "network": ("VirtualNetworks",),
    "address": ("PublicIPAddresses", "StaticPublicIPAddresses", "StandardSkuPublicIpAddresses"),
    "load-balancer": ("LoadBalancers",),
    "interface": ("NetworkInterfaces",),
    "availability-set": ("availabilitySets",),
    "machine": ("virtualMachines",),
}


class Urn(NamedTuple):
    """An image without its version, in one location."""

    location: str
    publisher: str
    offer: str
    sku: str

    def __str__(self) -> str:
        return f"{self.publisher}:{self.offer}:{self.sku}"


@dataclass(frozen=True, slots=True)
class Needs:
    """What is desired, what of it is not there, and the size now of machines that are made anew or get another one."""

    desired: tuple[Resource, ...]
    coming: tuple[Resource, ...]
    sizes: Mapping[str, str]

    def __bool__(self) -> bool:
        """False if nothing is to be made."""
        return bool(self.coming or self.sizes)

    def machines(self) -> tuple[Resource, ...]:
        """The machines that are to be made, or made another."""
        changing = {*self.sizes, *(one.target for one in self.coming)}
        return tuple(one for one in self.desired if one.kind == "machine" and one.target in changing)

    def rights(self) -> dict[str, tuple[str, ...]]:
        """The rights that are needed, by resource group; in the subscription (an empty name) where it is to be made."""
        new = {one.group for one in self.coming if one.kind == "group"}
        found: defaultdict[str, set[str]] = defaultdict(set)
        for one in self.coming:
            found["" if one.group in new else one.group] |= _rights(one.kind)
        for one in self.machines():
            found["" if one.group in new else one.group] |= _rights("machine")
        return {scope: tuple(sorted(actions)) for scope, actions in found.items()}

    def namespaces(self) -> tuple[str, ...]:
        """The providers of what is coming."""
        kinds = {one.kind for one in (*self.coming, *self.machines())}
        return tuple(sorted({TYPES[kind].split("/")[0] for kind in kinds if kind in TYPES}))

    def locations(self) -> tuple[str, ...]:
        """Where it is to be."""
        return tuple(sorted({location(one) for one in (*self.coming, *self.machines())}))

    def images(self) -> dict[Urn, str]:
        """The images of those machines, each with its version, or `latest`."""
        return {urn(one): reference(one)["version"] for one in self.machines()}

    def counted(self) -> Counter[tuple[str, str]]:
        """How many more of what each location is to hold, by the names of its quotas; cores apart."""
        found: Counter[tuple[str, str]] = Counter()
        for one in self.coming:
            for name in _COUNTED.get(one.kind, ()):
                found[location(one), name] += 1
            found[location(one), "PremiumDiskCount"] += sum(kind.startswith("Premium") for kind in storage(one))
        return +found


def needs(desired: tuple[Resource, ...], observed: Observed) -> Needs:
    """What is needed to come from what was observed to what is desired."""
    bodies = observed.bodies
    there = [(one, bodies[one.target]) for one in desired if one.kind == "machine" and one.target in bodies]
    sizes = {one.target: _size(body) for one, body in there if is_anew(one, body) or _size(body) != size(one)}
    return Needs(desired, tuple(one for one in desired if one.target not in bodies and not one.given), sizes)


def location(one: Resource) -> str:
    """Where a resource is to be."""
    return str(one.body["location"])


def size(machine: Resource) -> str:
    """A machine's size."""
    return str(machine.body["properties"]["hardwareProfile"]["vmSize"])


def _size(body: Mapping[str, Any]) -> str:
    return str(body["properties"]["hardwareProfile"]["vmSize"])


def zones(one: Resource) -> tuple[str, ...]:
    """The zones of a resource."""
    return tuple(one.body.get("zones", ()))


def reference(machine: Resource) -> Mapping[str, Any]:
    """A machine's image, with its version."""
    found: Mapping[str, Any] = machine.body["properties"]["storageProfile"]["imageReference"]
    return found


def urn(machine: Resource) -> Urn:
    """A machine's image, without its version."""
    image = reference(machine)
    return Urn(location(machine), image["publisher"], image["offer"], image["sku"])


def storage(one: Resource) -> tuple[str, ...]:
    """The kinds of storage of the disks that come with a resource: a disk itself, a machine's system disk."""
    if one.kind == "disk":
        return (str(one.body["sku"]["name"]),)
    if one.kind != "machine":
        return ()
    disk = one.body["properties"]["storageProfile"]["osDisk"].get("managedDisk", {})
    return (str(disk.get("storageAccountType", "")),)


def _rights(kind: Kind) -> set[str]:
    if kind not in TYPES:
        return {GROUP_WRITE}
    return {f"{TYPES[kind]}/{end}" for end in ("write", *_JOINS.get(kind, ()))}
