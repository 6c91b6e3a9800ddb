"""Microsoft.Compute: disks, availability sets and machines, as kinds."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .cloud import Cloud
from .failure import Failure, invalid_parameter
from .kinds import COMMON, Back, Change, Kind, refuse_when_used, words
from .machines import power_on, prepare, remove, shown
from .store import Link, Resource

_SKUS = (
    "Standard_LRS",
    "StandardSSD_LRS",
    "StandardSSD_ZRS",
    "Premium_LRS",
    "Premium_ZRS",
    "PremiumV2_LRS",
    "UltraSSD_LRS",
)


def _disk(_cloud: Cloud, change: Change) -> None:
    properties = change.properties
    source = properties.get("creationData") or change.kept("creationData")
    if not source or "createOption" not in source:
        raise invalid_parameter("Required parameter 'creationData' is missing (null).", "creationData")
    properties["creationData"] = source
    size, before = properties.get("diskSizeGB"), change.kept("diskSizeGB")
    if source["createOption"] == "Empty" and not isinstance(size, int):
        raise invalid_parameter("Required parameter 'disk.diskSizeGB' is missing (null).", "disk.diskSizeGB")
    if before and size and size < before:
        text = f"Disk {change.id.name} cannot be made smaller: from {before} to {size} GB is not allowed."
        raise Failure(409, "OperationNotAllowed", text, "disk.diskSizeGB")
    sku = change.fields.setdefault("sku", {"name": "Standard_LRS"})
    if sku.get("name") not in _SKUS:
        raise invalid_parameter(f"The value '{sku.get('name')}' of parameter 'sku.name' is not valid.", "sku.name")
    sku["tier"] = sku["name"].split("_")[0].removesuffix("SSD").removesuffix("V2")
    properties["timeCreated"] = change.kept("timeCreated") or datetime.now(UTC).isoformat()
    properties["uniqueId"] = change.kept("uniqueId") or str(uuid.uuid4())
    properties["diskSizeBytes"] = (size or before or 0) * 2**30


def _availability_set(_cloud: Cloud, change: Change) -> None:
    change.fields.setdefault("sku", {"name": "Classic"})
    change.properties.setdefault("platformUpdateDomainCount", 5)
    change.properties.setdefault("platformFaultDomainCount", 3)


def _attached(resource: Resource, links: list[Link]) -> Failure | None:
    if not links:
        return None
    return Failure(409, "OperationNotAllowed", f"Disk {resource.id.name} is attached to VM {links[0].source}.")


def _ownership(cloud: Cloud, resource: Resource) -> Mapping[str, Any]:
    owner = next((link.source for link in cloud.store.links_to(resource)), None)
    state = {"diskState": "Attached" if owner else "Unattached"}
    return {"managedBy": owner, "properties": state} if owner else {"properties": state}


KINDS = (
    Kind(
        "Microsoft.Compute/disks",
        words(
            "osType hyperVGeneration purchasePlan supportedCapabilities creationData diskSizeGB diskIOPSReadWrite"
            " diskMBpsReadWrite encryption maxShares networkAccessPolicy tier burstingEnabled publicNetworkAccess"
            " dataAccessAuthMode optimizedForFrequentAttach securityProfile supportsHibernation"
        ),
        COMMON | words("sku zones"),
        readonly=words(
            "timeCreated uniqueId diskSizeBytes provisioningState diskState diskMBpsReadOnly diskIOPSReadOnly"
            " propertyUpdatesInProgress completionPercent LastOwnershipUpdateTime"
        ),
        created=202,
        updated=202,
        has_etag=False,
        prepare=_disk,
        remove=lambda cloud, gone: cloud.hosts.erase(gone.id.name),
        view=_ownership,
        in_use=_attached,
    ),
    Kind(
        "Microsoft.Compute/availabilitySets",
        words("platformUpdateDomainCount platformFaultDomainCount proximityPlacementGroup scheduledEventsPolicy"),
        COMMON | words("sku"),
        readonly=words("statuses provisioningState"),
        backs=(Back("", "virtualMachines", "virtualMachines"),),
        created=200,
        deleted=200,
        immediate=True,
        has_etag=False,
        prepare=_availability_set,
        in_use=refuse_when_used(
            409,
            "OperationNotAllowed",
            "Availability Set '{name}' cannot be deleted. Before deleting an Availability Set please ensure that it"
            " does not contain any VM.",
        ),
    ),
    Kind(
        "Microsoft.Compute/virtualMachines",
        words(
            "hardwareProfile storageProfile additionalCapabilities osProfile networkProfile securityProfile"
            " diagnosticsProfile availabilitySet proximityPlacementGroup priority evictionPolicy billingProfile"
            " licenseType extensionsTimeBudget userData scheduledEventsProfile scheduledEventsPolicy"
        ),
        COMMON | words("zones plan identity"),
        readonly=words("vmId timeCreated instanceView provisioningState resiliencyProfile"),
        prepare=prepare,
        finish=power_on,
        remove=remove,
        expand={"instanceView": shown},
    ),
)
