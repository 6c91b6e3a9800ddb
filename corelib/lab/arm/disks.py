"""The disks of a machine: the ones that are made with it, and the ones that are attached to it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from .cloud import Cloud
from .failure import Failure, invalid_parameter
from .ids import ResourceId, parse
from .kinds import Change
from .sizes import check_premium
from .store import Resource

_IMAGE_GB = 30  # what the image's own disk has


def create_and_check(cloud: Cloud, change: Change) -> None:
    """Every disk of a machine exists, or is about to, and belongs to it alone; Failure otherwise."""
    storage = change.properties["storageProfile"] = {**change.properties["storageProfile"]}
    if not storage.get("osDisk"):
        raise invalid_parameter("Required parameter 'osDisk' is missing (null).", "osDisk")
    storage["osDisk"] = _system_disk(cloud, change, dict(storage["osDisk"]))
    storage["dataDisks"] = [_data_disk(cloud, change, dict(disk)) for disk in storage.get("dataDisks") or []]
    for disk in (storage["osDisk"], *storage["dataDisks"]):
        check_premium(change.properties["hardwareProfile"]["vmSize"], disk["managedDisk"].get("storageAccountType", ""))
    luns = [disk["lun"] for disk in storage["dataDisks"]]
    if len(set(luns)) != len(luns):
        text = f"A disk at LUN {next(lun for lun in luns if luns.count(lun) > 1)} already exists."
        raise invalid_parameter(text, "dataDisk.lun")


def named_by_lun(properties: Any) -> tuple[str, ...]:
    """The names of a machine's data disks, by LUN."""
    disks = sorted(properties["storageProfile"].get("dataDisks", []), key=lambda disk: int(disk["lun"]))
    return tuple(disk["managedDisk"]["id"].rsplit("/", 1)[-1] for disk in disks)


def _system_disk(cloud: Cloud, change: Change, disk: dict[str, Any]) -> dict[str, Any]:
    before = (change.kept("storageProfile") or {}).get("osDisk")
    if before:
        return {**before, **disk, "managedDisk": {**before["managedDisk"], **(disk.get("managedDisk") or {})}}
    if disk.get("createOption") != "FromImage":
        text = f"The value '{disk.get('createOption')}' of parameter 'osDisk.createOption' is not supported here."
        raise invalid_parameter(text, "osDisk.createOption")
    name = disk.setdefault("name", f"{change.id.name}_OsDisk_1_{uuid.uuid4().hex}")
    disk["osType"] = "Linux"
    disk.setdefault("diskSizeGB", _IMAGE_GB)
    disk.setdefault("deleteOption", "Detach")
    made = _make(cloud, change, name, disk, {"createOption": "FromImage"})
    return {**disk, "managedDisk": made}


def _data_disk(cloud: Cloud, change: Change, disk: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(disk.get("lun"), int):
        raise invalid_parameter("Required parameter 'dataDisk.lun' is missing (null).", "dataDisk.lun")
    disk.setdefault("caching", "None")
    disk.setdefault("deleteOption", "Detach")
    reference = disk.get("managedDisk") or {}
    if "id" in reference:
        return {**disk, **_attach(cloud, change, reference)}
    if disk.get("createOption") != "Empty":
        raise invalid_parameter(
            "Required parameter 'dataDisk.managedDisk.id' is missing (null).", "dataDisk.managedDisk.id"
        )
    name = disk.setdefault("name", f"{change.id.name}_DataDisk_{disk['lun']}_{uuid.uuid4().hex}")
    return {**disk, "managedDisk": _make(cloud, change, name, disk, {"createOption": "Empty"})}


def _attach(cloud: Cloud, change: Change, reference: dict[str, Any]) -> dict[str, Any]:
    target = parse(reference["id"])
    found = cloud.store.find(target) if target else None
    if found is None:
        raise Failure(404, "NotFound", f"Disk {reference['id']} is not found.", "dataDisk.managedDisk.id")
    owner = next((k.source for k in cloud.store.links_to(found) if k.source.lower() != change.id.key), None)
    if owner:
        text = f"Disk '{found.id.name}' cannot be attached as the disk is already owned by VM '{owner}'."
        raise Failure(409, "ConflictingUserInput", text, "dataDisk.managedDisk.id")
    if found.fields.get("zones") and found.fields["zones"] != change.fields.get("zones"):
        text = f"Disk {found.id} cannot be attached to the VM because it is in another zone than the VM."
        raise Failure(400, "BadRequest", text, "dataDisk.managedDisk.id")
    sku = {"storageAccountType": found.fields["sku"]["name"]}
    return {"name": found.id.name, "diskSizeGB": found.properties["diskSizeGB"], "managedDisk": {**reference, **sku}}


def _make(cloud: Cloud, change: Change, name: str, disk: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """A disk that comes into being with its machine; it is kept when the request as a whole is accepted."""
    resource_id = change.id.sibling("Microsoft.Compute", "disks", name)
    if cloud.store.find(resource_id):
        text = f"The disk {name} already exists in resource group {change.id.group}."
        raise Failure(409, "ConflictingUserInput", text, "disk.name")
    sku = (disk.get("managedDisk") or {}).get("storageAccountType", "Standard_LRS")
    change.disks.append(_new_disk(change, resource_id, sku, disk, source))
    return {"id": str(resource_id), "storageAccountType": sku}


def _new_disk(
    change: Change, resource_id: ResourceId, sku: str, disk: dict[str, Any], source: dict[str, Any]
) -> Resource:
    fields = {"location": change.location, "sku": {"name": sku, "tier": sku.split("_", maxsplit=1)[0]}}
    if change.fields.get("zones"):
        fields["zones"] = change.fields["zones"]
    properties = {
        "creationData": source,
        "diskSizeGB": disk.get("diskSizeGB", _IMAGE_GB),
        "uniqueId": str(uuid.uuid4()),
        "timeCreated": datetime.now(UTC).isoformat(),
    }
    return Resource(resource_id, fields, properties, "Succeeded")
