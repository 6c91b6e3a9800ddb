"""Quotas per region: what is used, what is allowed (Compute and Network Usage APIs), and the refusal beyond it.

Of the network's quotas only that of public addresses is enforced; the others are shown.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from .account import Account
from .cloud import Cloud
from .failure import Failure
from .kinds import Change
from .sizes import SIZES, Size
from .store import Resource

CORES = 100  # per family and region, and in all: what a subscription has before it asks for more is of that order
ADDRESSES = 100
_NETWORK = {  # by type, the names under which it is counted, in words, and the limit
    "publicIPAddresses": (
        ("PublicIPAddresses", "Public IP Addresses", ADDRESSES),
        ("StaticPublicIPAddresses", "Static Public IP Addresses", ADDRESSES),
        ("StandardSkuPublicIpAddresses", "Public IPv4 Addresses - Standard", ADDRESSES),
    ),
    "virtualNetworks": (("VirtualNetworks", "Virtual Networks", 1000),),
    "networkSecurityGroups": (("NetworkSecurityGroups", "Network Security Groups", 5000),),
    "networkInterfaces": (("NetworkInterfaces", "Network Interfaces", 65_536),),
    "loadBalancers": (("LoadBalancers", "Load Balancers", 1000),),
}


def compute(cloud: Cloud, subscription: str, location: str) -> list[dict[str, Any]]:
    """Cores, machines, sets and premium disks against their quotas; cores per family too."""
    account, used = cloud.account(subscription), _cores(cloud, subscription, location)
    count = Counter(r.id.types[0] for r in _here(cloud, subscription, location))
    premium = sum(1 for r in _here(cloud, subscription, location) if _premium(r))
    rows = [
        ("availabilitySets", "Availability Sets", count["availabilitySets"], 2500),
        ("cores", "Total Regional vCPUs", sum(used.values()), CORES),
        ("virtualMachines", "Virtual Machines", count["virtualMachines"], 25_000),
        ("PremiumDiskCount", "Premium Storage Managed Disks", premium, 50_000),
    ]
    families = sorted({size.family for size in SIZES.values()})
    rows += [(family, f"{family} vCPUs", used[family], CORES) for family in families]
    return [_row(account, location, *row) for row in rows]


def network(cloud: Cloud, subscription: str, location: str) -> list[dict[str, Any]]:
    """Addresses, networks and the rest against their quotas."""
    account = cloud.account(subscription)
    count = Counter(r.id.types[0] for r in _here(cloud, subscription, location))
    base = f"/subscriptions/{subscription}/providers/Microsoft.Network/locations/{location}/usages"
    rows = [(name, text, count[kind], limit) for kind, names in _NETWORK.items() for name, text, limit in names]
    return [{"id": f"{base}/{row[0]}", **_row(account, location, *row)} for row in rows]


def check_cores(cloud: Cloud, change: Change, size: Size) -> None:
    """Failure if a machine that is new, or of another size than before, needs more cores than are left."""
    used = _cores(cloud, change.id.subscription, change.location)
    if change.before:
        before = SIZES[change.before.properties["hardwareProfile"]["vmSize"]]
        used[before.family] -= before.cores
        if before.cores >= size.cores and before.family == size.family:
            return
    account, place = cloud.account(change.id.subscription), change.location
    for name, key, now in (
        ("Total Regional", "cores", sum(used.values())),
        (size.family, size.family, used[size.family]),
    ):
        limit = account.limit(place, key, CORES)
        if now + size.cores > limit:
            raise _exceeded(name, place, limit, now, size.cores)


def check_address(cloud: Cloud, change: Change) -> None:
    """Failure if a new public address is one too many."""
    if change.before:
        return
    here = _here(cloud, change.id.subscription, change.location)
    used, account = sum(1 for r in here if r.id.types[0] == "publicIPAddresses"), cloud.account(change.id.subscription)
    limit = min(account.limit(change.location, name, usual) for name, _, usual in _NETWORK["publicIPAddresses"])
    if used + 1 > limit:
        text = f"Cannot create more than {limit} public IP addresses for this subscription in this region."
        raise Failure(400, "PublicIPCountLimitReached", text)


def _exceeded(name: str, location: str, limit: int, used: int, needed: int) -> Failure:
    text = f"Operation could not be completed as it results in exceeding approved {name} Cores quota. Additional"
    text += f" details - Deployment Model: Resource Manager, Location: {location}, Current Limit: {limit}, Current"
    text += f" Usage: {used}, Additional Required: {needed}, (Minimum) New Limit Required: {used + needed}. Setup"
    text += " Alerts when Quota reaches threshold. Learn more at https://aka.ms/quotamonitoringalerting . Please read"
    text += (
        " more about quota limits at https://docs.microsoft.com/en-us/azure/azure-supportability/per-vm-quota-requests"
    )
    return Failure(409, "OperationNotAllowed", text)


def _here(cloud: Cloud, subscription: str, location: str) -> list[Resource]:
    return [r for r in cloud.store.resources(subscription) if r.fields["location"] == location]


def _cores(cloud: Cloud, subscription: str, location: str) -> Counter[str]:
    """Cores by family: machines count from their request on, switched off or not."""
    used: Counter[str] = Counter()
    for resource in _here(cloud, subscription, location):
        if resource.id.types[0] == "virtualMachines":
            size = SIZES[resource.properties["hardwareProfile"]["vmSize"]]
            used[size.family] += size.cores
    return used


def _premium(resource: Resource) -> bool:
    sku = resource.fields.get("sku") or {}
    return resource.id.types[0] == "disks" and str(sku.get("name", "")).startswith("Premium")


def _row(account: Account, location: str, name: str, text: str, used: int, usual: int) -> dict[str, Any]:
    limit = account.limit(location, name, usual)
    return {"name": {"value": name, "localizedValue": text}, "unit": "Count", "currentValue": used, "limit": limit}
