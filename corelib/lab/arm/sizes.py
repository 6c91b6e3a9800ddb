"""Machine sizes: what each can do, where and in which zones it is to be had (Resource SKUs API, 2026; an excerpt).

Only sizes that a small host would use are here, and some that cannot carry one, so that a client can be seen to notice:
without Premium disks, for Arm64, with NVMe disks only. Any other is refused as Azure refuses an unknown one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .account import Account
from .catalogue import REGIONS, ZONAL
from .failure import Failure, invalid_parameter
from .kinds import Change


class Size(NamedTuple):
    """What a size has; `controllers` are those of its disks."""

    cores: int
    memory_gb: int
    family: str
    premium: bool = True
    controllers: tuple[str, ...] = ("SCSI",)
    generations: tuple[str, ...] = ("V1", "V2")
    architecture: str = "x64"
    regions: tuple[str, ...] = REGIONS


SIZES = {
    "Standard_B2als_v2": Size(2, 4, "standardBasv2Family"),
    "Standard_B2as_v2": Size(2, 8, "standardBasv2Family"),
    "Standard_B2ls_v2": Size(2, 4, "standardBsv2Family"),
    "Standard_B2s_v2": Size(2, 8, "standardBsv2Family"),
    "Standard_B2ts_v2": Size(2, 1, "standardBsv2Family"),
    "Standard_B4s_v2": Size(4, 16, "standardBsv2Family"),
    "Standard_D2_v5": Size(2, 8, "standardDv5Family", premium=False),
    "Standard_D2ds_v5": Size(2, 8, "standardDDSv5Family"),
    "Standard_D2ps_v5": Size(2, 8, "standardDPSv5Family", generations=("V2",), architecture="Arm64"),
    "Standard_D2s_v5": Size(2, 8, "standardDSv5Family"),
    "Standard_D2s_v6": Size(
        2, 8, "standardDSv6Family", controllers=("NVMe",), generations=("V2",), regions=("westeurope", "northeurope")
    ),
    "Standard_D4s_v5": Size(4, 16, "standardDSv5Family"),
}


def skus(account: Account, location: str | None) -> list[dict[str, Any]]:
    """Resource SKUs of virtual machines, in one region or in all; those that are restricted too, and said to be."""
    places = [place for place in REGIONS if location in (None, place)]
    return [_sku(account, name, place) for place in places for name in SIZES if place in SIZES[name].regions]


def check(account: Account, change: Change, size: Any) -> Size:
    """The size that a machine asks for; Failure in Compute's words if it is not to be had there."""
    offered = [name for name, one in SIZES.items() if change.location in one.regions]
    if size not in offered:
        text = f"The value {size} provided for the VM size is not valid. The valid sizes in the current region are:"
        raise invalid_parameter(f"{text} {', '.join(offered)}.", "vmSize")
    closed, zones = account.restriction(change.location, size), change.fields.get("zones") or []
    if closed is not None and (not closed or set(closed) & set(zones)):
        text = f"The requested size for resource '{change.id}' is currently not available in location"
        text += f" '{change.location}' zones '{','.join(zones)}' for subscription '{change.id.subscription}'. Please"
        text += " try another size or deploy to a different location or zones."
        raise Failure(409, "SkuNotAvailable", f"{text} See https://aka.ms/azureskunotavailable for details.")
    return SIZES[size]


def check_image(size: str, generation: str, architecture: str) -> None:
    """Failure unless a size can boot an image of that generation and architecture from a SCSI disk."""
    able = SIZES[size]
    if architecture != able.architecture:
        text = f"Cannot create a VM of size '{size}' because this VM size only supports a CPU Architecture of"
        text += f" '{able.architecture}', but an image or disk with CPU Architecture '{architecture}' was given. Please"
        text += " check that the CPU Architecture of the image or disk is compatible with that of the VM size."
        raise Failure(400, "BadRequest", text)
    if generation not in able.generations:
        text = f"The selected VM size '{size}' cannot boot Hypervisor Generation '{generation[1:]}'. If this was a"
        text += " Create operation please check that the Hypervisor Generation of the Image matches the Hypervisor"
        raise Failure(400, "BadRequest", f"{text} Generation of the selected VM Size.")
    if "SCSI" not in able.controllers:
        text = f"The VM size '{size}' cannot boot with OS image or disk. Please check that disk controller types"
        text += " supported by the OS image or disk is one of the supported disk controller types for the VM size"
        raise invalid_parameter(f"{text} '{size}'.")


def check_premium(size: str, kind: str) -> None:
    """Failure if a disk of that kind of storage cannot be attached to a machine of that size."""
    if kind.startswith("Premium") and not SIZES[size].premium:
        text = f"Requested operation cannot be performed because storage account type '{kind}' is not supported for"
        raise invalid_parameter(f"{text} VM size '{size}'.")


def _sku(account: Account, name: str, location: str) -> dict[str, Any]:
    size = SIZES[name]
    values = {
        "vCPUs": size.cores,
        "MemoryGB": size.memory_gb,
        "PremiumIO": size.premium,
        "HyperVGenerations": ",".join(size.generations),
        "CpuArchitectureType": size.architecture,
        "DiskControllerTypes": ", ".join(size.controllers),
        "MaxDataDiskCount": 4,
    }
    zones = list("123") if location in ZONAL else []
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "tier": "Standard",
        "size": name.removeprefix("Standard_"),
        "family": size.family,
        "locations": [location],
        "locationInfo": [{"location": location, "zones": zones, "zoneDetails": []}],
        "capabilities": [{"name": k, "value": str(v)} for k, v in values.items()],
        "restrictions": _restrictions(account.restriction(location, name), location),
    }


def _restrictions(zones: tuple[str, ...] | None, location: str) -> list[dict[str, Any]]:
    if zones is None:
        return []
    info: dict[str, Any] = {"locations": [location]}
    kind = "Zone" if zones else "Location"
    if zones:
        info["zones"] = list(zones)
    return [
        {
            "type": kind,
            "values": [location],
            "restrictionInfo": info,
            "reasonCode": "NotAvailableForSubscription",
        }
    ]
