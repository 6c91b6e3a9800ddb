"""What the stand-in offers: regions, machine sizes, images, quotas, provider registrations. A small, dated excerpt.

Sizes, zones and quotas are as Azure lists them (Resource SKUs and Usage APIs, 2026); only the sizes that a small host
would use are here, and any other is refused as Azure refuses an unknown one.
"""

from __future__ import annotations

import re
from typing import Any

from .failure import Failure

TENANT = "00000000-0000-0000-0000-0000000001ab"  # the one tenant of every lab

ZONAL = ("eastus", "eastus2", "germanywestcentral", "northeurope", "westeurope", "westus2", "westus3")
REGIONS = (*ZONAL, "germanynorth", "westus")  # the last two have no zones

SIZES = {  # name: (cores, memory GiB, family)
    "Standard_B2als_v2": (2, 4, "standardBasv2Family"),
    "Standard_B2as_v2": (2, 8, "standardBasv2Family"),
    "Standard_B2ls_v2": (2, 4, "standardBsv2Family"),
    "Standard_B2s_v2": (2, 8, "standardBsv2Family"),
    "Standard_B2ts_v2": (2, 1, "standardBsv2Family"),
    "Standard_B4s_v2": (4, 16, "standardBsv2Family"),
    "Standard_D2ds_v5": (2, 8, "standardDDSv5Family"),
    "Standard_D2s_v5": (2, 8, "standardDSv5Family"),
    "Standard_D4s_v5": (4, 16, "standardDSv5Family"),
}
QUOTA = 100  # cores per family and region

IMAGES = {  # publisher: (offers, channels, distribution)
    "kinvolk": (
        ("flatcar-container-linux-corevm-amd64", "flatcar-container-linux-free", "flatcar-container-linux"),
        ("stable", "beta", "alpha", "lts", "lts2024"),
        "flatcar",
    ),
    "coreos": (("coreos",), ("stable", "beta", "alpha"), "coreos"),
}
VERSIONS = ("4459.2.1", "4593.1.0", "4628.0.0", "4757.1.0")

PROVIDERS = {
    "Microsoft.Compute": (
        "2026-04-01",
        ("availabilitySets", "disks", "virtualMachines", "locations/operations", "locations/usages"),
    ),
    "Microsoft.Network": (
        "2026-03-01",
        (
            "loadBalancers",
            "natGateways",
            "networkInterfaces",
            "networkSecurityGroups",
            "publicIPAddresses",
            "virtualNetworks",
        ),
    ),
    "Microsoft.Resources": ("2025-04-01", ("resourceGroups", "subscriptions", "resources")),
}


def region(text: Any, what: str) -> str:
    """A location in Azure's normal form; Failure if it is missing or not offered."""
    if not isinstance(text, str) or not text:
        raise Failure(400, "LocationRequired", "The location property is required for this definition.")
    name = text.replace(" ", "").lower()
    if name not in REGIONS:
        offered = ",".join(REGIONS)
        text = f"The provided location '{text}' is not available for resource type '{what}'."
        text += f" List of available regions for the resource type is '{offered}'."
        raise Failure(400, "LocationNotAvailableForResourceType", text)
    return name


def distribution(image: Any) -> str:
    """Which distribution an image reference boots; Failure PlatformImageNotFound."""
    words = [
        str((image if isinstance(image, dict) else {}).get(k, "")) for k in ("publisher", "offer", "sku", "version")
    ]
    publisher, offer, sku, version = (word.lower() for word in words)
    offers, channels, name = IMAGES.get(publisher, ((), (), ""))
    known = offer in offers and sku.removesuffix("-gen2") in channels
    if not known or not re.fullmatch(r"latest|\d+\.\d+\.\d+", version):
        text = f"The platform image '{':'.join(words)}' is not available. Verify that all fields in the storage profile"
        text += " are correct. For more details about storage profile information, please refer to"
        raise Failure(404, "PlatformImageNotFound", f"{text} https://aka.ms/storageprofile", "imageReference")
    return name


def skus(location: str | None) -> list[dict[str, Any]]:
    """Resource SKUs of virtual machines, in one region or in all."""
    return [_sku(name, place) for place in REGIONS if location in (None, place) for name in SIZES]


def usages(used: dict[str, int], machines: int) -> list[dict[str, Any]]:
    """Usage against quota in a region; `used` counts cores per family."""
    rows = [("cores", "Total Regional vCPUs", sum(used.values())), ("virtualMachines", "Virtual Machines", machines)]
    families = sorted({family for _, _, family in SIZES.values()})
    rows += [(family, f"{family} vCPUs", used.get(family, 0)) for family in families]
    return [
        {"name": {"value": k, "localizedValue": text}, "unit": "Count", "currentValue": n, "limit": _limit(k)}
        for k, text, n in rows
    ]


def provider(subscription: str, namespace: str) -> dict[str, Any]:
    """A provider's registration; Failure if there is no such provider."""
    named = {name.lower(): name for name in PROVIDERS}.get(namespace.lower())
    if named is None:
        raise Failure(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    version, kinds = PROVIDERS[named]
    return {
        "id": f"/subscriptions/{subscription}/providers/{named}",
        "namespace": named,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": "Registered",
        "resourceTypes": [
            {"resourceType": kind, "locations": list(REGIONS), "apiVersions": [version]} for kind in kinds
        ],
    }


def _limit(name: str) -> int:
    return 25_000 if name == "virtualMachines" else QUOTA


def _sku(name: str, location: str) -> dict[str, Any]:
    cores, memory, family = SIZES[name]
    values = {
        "vCPUs": cores,
        "MemoryGB": memory,
        "PremiumIO": True,
        "HyperVGenerations": "V1,V2",
        "MaxDataDiskCount": 4,
    }
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "tier": "Standard",
        "size": name.removeprefix("Standard_"),
        "family": family,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": list("123") if location in ZONAL else [], "zoneDetails": []}],
        "capabilities": [{"name": k, "value": str(v)} for k, v in values.items()],
        "restrictions": [],
    }
