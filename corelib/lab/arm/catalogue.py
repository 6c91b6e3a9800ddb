"""What the stand-in offers: regions and providers. A small, dated excerpt; `sizes` and `images` hold the rest."""

from __future__ import annotations

from typing import Any

from .failure import Failure

ZONAL = ("eastus", "eastus2", "germanywestcentral", "northeurope", "westeurope", "westus2", "westus3")
REGIONS = (*ZONAL, "germanynorth", "westus")  # the last two have no zones

PROVIDERS = {  # namespace: API version, types
    "Microsoft.Authorization": ("2022-04-01", ("permissions",)),
    "Microsoft.Compute": (
        "2026-04-01",
        ("availabilitySets", "disks", "virtualMachines", "locations/operations", "locations/usages"),
    ),
    "Microsoft.MarketplaceOrdering": ("2021-01-01", ("offertypes",)),
    "Microsoft.Network": (
        "2026-03-01",
        (
            "loadBalancers",
            "locations/usages",
            "natGateways",
            "networkInterfaces",
            "networkSecurityGroups",
            "publicIPAddresses",
            "virtualNetworks",
        ),
    ),
    "Microsoft.Resources": ("2025-04-01", ("resourceGroups", "subscriptions", "resources")),
}
ALWAYS = ("microsoft.authorization", "microsoft.marketplaceordering", "microsoft.resources")  # need no registration


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


def namespace(text: str) -> str:
    """A provider's name as Azure writes it; Failure if there is no such provider."""
    named = {name.lower(): name for name in PROVIDERS}.get(text.lower())
    if named is None:
        raise Failure(404, "InvalidResourceNamespace", f"The resource namespace '{text}' is invalid.")
    return named


def provider(subscription: str, named: str, state: str) -> dict[str, Any]:
    """A provider as Azure shows it, in a state of registration."""
    version, kinds = PROVIDERS[named]
    return {
        "id": f"/subscriptions/{subscription}/providers/{named}",
        "namespace": named,
        "registrationPolicy": "RegistrationFree" if named.lower() in ALWAYS else "RegistrationRequired",
        "registrationState": state,
        "resourceTypes": [
            {"resourceType": kind, "locations": list(REGIONS), "apiVersions": [version]} for kind in kinds
        ],
    }
