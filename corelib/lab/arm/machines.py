"""Virtual machines: what a request must hold, what is fixed at creation, what comes and goes with a machine.

Custom data is write-only: a machine keeps it to hand it to its host and to refuse a changed one, and never shows it
(Compute API, OSProfile). A machine's host boots when its creation completes; switching a machine off or on changes
what Azure would show of it, while its host runs on: the lab has no power switch.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..site import Machine
from . import catalogue, images, quotas, sizes
from .balancers import way_in
from .cloud import Cloud
from .disks import create_and_check, named_by_lun
from .failure import Failure, change_not_allowed, invalid_parameter
from .ids import parse
from .kinds import Change
from .store import Resource

CUSTOM_DATA_LIMIT = 65_535  # bytes, decoded (Compute API, OSProfile.customData)
_MERGED = ("hardwareProfile", "storageProfile", "osProfile", "networkProfile", "securityProfile", "diagnosticsProfile")
_SECRETS = ("customData", "adminPassword")
_FIXED = (  # paths that no later request may change
    "osProfile.computerName",
    "osProfile.adminUsername",
    "osProfile.linuxConfiguration.disablePasswordAuthentication",
    "osProfile.linuxConfiguration.ssh.publicKeys",
    "storageProfile.imageReference.publisher",
    "storageProfile.imageReference.offer",
    "storageProfile.imageReference.sku",
    "storageProfile.imageReference.version",
    "storageProfile.osDisk.createOption",
    "storageProfile.osDisk.name",
    "securityProfile.securityType",
    "availabilitySet.id",
)


def prepare(cloud: Cloud, change: Change) -> None:
    """Complete and check a machine; Failure in Compute's words."""
    _keep_omitted(change)
    _take_secrets(change)
    if change.before:
        _check_fixed(change, change.before)
    _check_login(change)
    _check_placement(change)
    _check_offer(cloud, change)
    if (_at(change.properties, "securityProfile.securityType") or "Standard") != "Standard":
        raise Failure(400, "BadRequest", "Use of TrustedLaunch setting is not supported for the provided image.")
    _check_interfaces(cloud, change)
    create_and_check(cloud, change)
    change.properties["vmId"] = change.kept("vmId") or str(uuid.uuid4())
    change.properties["timeCreated"] = change.kept("timeCreated") or datetime.now(UTC).isoformat()
    change.power = change.before.power if change.before else ""


def power_on(cloud: Cloud, resource: Resource, before: Resource | None) -> None:
    """The end of a creation: the host boots with exactly what a cloud hands to it."""
    if before is not None and before.power:
        return
    machine = Machine(
        name=resource.id.name,
        host_name=_at(resource.properties, "osProfile.computerName"),
        custom_data=resource.secret.get("customData", b""),
        distribution=images.find(_at(resource.properties, "storageProfile.imageReference")).of.distribution,
        data_disks=named_by_lun(resource.properties),
        ssh=way_in(cloud, resource),
    )
    cloud.hosts.boot(machine)
    cloud.store.keep(replace(resource, power="running"))


def remove(cloud: Cloud, gone: Resource) -> None:
    """The end of a deletion: the host is gone, and with it what was to be deleted together with the machine."""
    cloud.hosts.destroy(gone.id.name)
    storage = gone.properties["storageProfile"]
    doomed = [d["managedDisk"] for d in (storage["osDisk"], *storage.get("dataDisks", [])) if _goes(d)]
    doomed += [n for n in gone.properties["networkProfile"]["networkInterfaces"] if _goes(n.get("properties") or n)]
    for reference in doomed:
        target = parse(reference["id"])
        if target:
            cloud.store.drop(target)


def shown(resource: Resource) -> dict[str, Any]:
    """The instance view: what the machine is doing now."""
    state = resource.state.lower()
    statuses = [{"code": f"ProvisioningState/{state}", "level": "Info", "displayStatus": f"Provisioning {state}"}]
    if resource.power:
        text = f"VM {resource.power}"
        statuses.append({"code": f"PowerState/{resource.power}", "level": "Info", "displayStatus": text})
    computer = _at(resource.properties, "osProfile.computerName")
    return {"computerName": computer, "hyperVGeneration": "V2", "disks": [], "statuses": statuses}


def _goes(part: dict[str, Any]) -> bool:
    return str(part.get("deleteOption", "Detach")).lower() == "delete"


def _at(node: Any, path: str) -> Any:
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _keep_omitted(change: Change) -> None:
    for name in _MERGED:
        if change.properties.get(name) is None and change.kept(name) is not None:
            change.properties[name] = change.kept(name)
    if change.before and "zones" not in change.fields and "zones" in change.before.fields:
        change.fields["zones"] = change.before.fields["zones"]


def _take_secrets(change: Change) -> None:
    """Move what is write-only out of what is shown; a changed custom data is refused, an omitted one is kept."""
    profile = dict(change.properties.get("osProfile") or {})
    given = {name: profile.pop(name) for name in _SECRETS if profile.get(name) is not None}
    if "customData" in given:
        given["customData"] = _decode(given["customData"])
    kept = dict(change.before.secret) if change.before else {}
    if change.before and given.get("customData", kept.get("customData")) != kept.get("customData"):
        raise change_not_allowed("osProfile.customData")
    change.properties["osProfile"] = {"computerName": change.id.name, **profile}
    change.secret = {**given, **kept}


def _decode(text: Any) -> bytes:
    try:
        data = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_parameter("Custom data in OSProfile must be in Base64 encoding.", "customData") from None
    if len(data) > CUSTOM_DATA_LIMIT:
        text = f"Custom data in OSProfile must be in Base64 encoding and with a maximum length of {CUSTOM_DATA_LIMIT}"
        raise invalid_parameter(f"{text} bytes; it has {len(data)}.", "customData")
    return data


def _check_fixed(change: Change, before: Resource) -> None:
    for path in _FIXED:
        new, old = _at(change.properties, path), _at(before.properties, path)
        if new is not None and str(new).lower() != str(old).lower():
            raise change_not_allowed(path)
    if change.fields.get("zones", []) != before.fields.get("zones", []):
        raise change_not_allowed("zones")


def _check_offer(cloud: Cloud, change: Change) -> None:
    """The size and the image are to be had, fit each other, and are within quota; `latest` is told as what it is."""
    account, name = cloud.account(change.id.subscription), _at(change.properties, "hardwareProfile.vmSize")
    size = sizes.check(account, change, name)
    image = images.find(_at(change.properties, "storageProfile.imageReference"))
    sizes.check_image(name, image.generation, "x64")
    images.check_plan(account, str(change.id), image, change.fields.get("plan"))
    quotas.check_cores(cloud, change, size)
    storage = change.properties["storageProfile"]
    reference = {**storage["imageReference"], "exactVersion": image.version}
    change.properties["storageProfile"] = {**storage, "imageReference": reference}


def _check_login(change: Change) -> None:
    """Someone must be able to log in: by key, or by a password that is allowed."""
    profile = change.properties["osProfile"]
    if not profile.get("adminUsername"):
        raise invalid_parameter("Required parameter 'adminUsername' is missing (null).", "adminUsername")
    linux = profile.get("linuxConfiguration") or {}
    keys = _at(linux, "ssh.publicKeys") or []
    for key in keys:
        if not str(key.get("keyData", "")).startswith(("ssh-rsa ", "ssh-ed25519 ")):
            text = "The value of parameter linuxConfiguration.ssh.publicKeys.keyData is invalid."
            raise invalid_parameter(text, "linuxConfiguration.ssh.publicKeys.keyData")
    if linux.get("disablePasswordAuthentication") and not keys:
        text = "Authentication using either SSH or by user name and password must be enabled in Linux profile."
        raise invalid_parameter(text, "linuxConfiguration")
    if not linux.get("disablePasswordAuthentication") and "adminPassword" not in change.secret:
        raise invalid_parameter("Required parameter 'adminPassword' is missing (null).", "adminPassword")


def _check_placement(change: Change) -> None:
    zones = change.fields.get("zones") or []
    if zones and change.properties.get("availabilitySet"):
        text = "Virtual machines cannot be in an availability set and in an availability zone at the same time."
        raise invalid_parameter(text, "zones")
    if zones and (change.location not in catalogue.ZONAL or len(zones) > 1 or zones[0] not in ("1", "2", "3")):
        text = f"The zone(s) '{','.join(zones)}' for resource '{change.id}' is not supported. The supported zones for"
        offered = "1,2,3" if change.location in catalogue.ZONAL else ""
        raise Failure(400, "InvalidAvailabilityZone", f"{text} location '{change.location}' are '{offered}'")


def _check_interfaces(cloud: Cloud, change: Change) -> None:
    references = _at(change.properties, "networkProfile.networkInterfaces") or []
    if not references:
        raise invalid_parameter("Virtual machine must have at least one network interface.", "networkProfile")
    for reference in references:
        target = parse(reference["id"])
        interface = cloud.store.find(target) if target else None
        users = [k.source for k in (cloud.store.links_to(interface) if interface else [])]
        other = next((user for user in users if user.lower() != change.id.key), None)
        if other:
            text = f"Network Interface {reference['id']} is used by existing resource {other}."
            raise Failure(400, "NicInUse", text)
