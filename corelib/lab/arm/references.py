"""References between resources: what is referred to must exist, be there in time, and be in the same region."""

from __future__ import annotations

from .failure import Failure
from .ids import ResourceId, parse
from .kinds import Change
from .store import Link, Resource, Store, child_of, walk

_TYPES = {  # the property that holds a reference: the collection that it must point into
    "availabilitySet": "availabilitySets",
    "backendAddressPool": "backendAddressPools",
    "frontendIPConfiguration": "frontendIPConfigurations",
    "frontendIPConfigurations": "frontendIPConfigurations",
    "loadBalancerBackendAddressPools": "backendAddressPools",
    "loadBalancerInboundNatRules": "inboundNatRules",
    "managedDisk": "disks",
    "natGateway": "natGateways",
    "networkInterfaces": "networkInterfaces",
    "networkSecurityGroup": "networkSecurityGroups",
    "probe": "probes",
    "publicIPAddress": "publicIPAddresses",
    "publicIpAddresses": "publicIPAddresses",
    "subnet": "subnets",
}


def check(store: Store, change: Change) -> None:
    """Every reference of `change` is good; Failure otherwise, in the words of its provider."""
    for link in walk(change.properties, str(change.id), change.id.types[0], "properties"):
        target = parse(link.target)
        if target is None:
            raise _malformed(link)
        if target.top.key == change.id.key:
            if child_of(change.properties, target.types[1:], target.names[1:]) is None:
                raise _missing(change.id, link)
        else:
            _check_other(store, change, link, target)


def _check_other(store: Store, change: Change, link: Link, target: ResourceId) -> None:
    top = store.find(target.top)
    if top is None or not store.exists(target) or not _fits(link, target):
        raise _missing(change.id, link)
    if top.fields["location"] != change.location:
        raise _missing(change.id, link)
    if top.state not in ("Succeeded", "Updating"):
        raise _not_provisioned(link, top)


def _fits(link: Link, target: ResourceId) -> bool:
    name = link.path.rsplit(".", 1)[-1].split("[")[0]
    return target.types[-1].lower() == _TYPES.get(name, target.types[-1]).lower()


def _malformed(link: Link) -> Failure:
    text = (
        f"Property id '{link.target}' at path '{link.path}' is invalid. Expect fully qualified resource Id that start"
    )
    text += " with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'."
    return Failure(400, "LinkedInvalidPropertyId", text)


def _missing(holder: ResourceId, link: Link) -> Failure:
    text = f"Resource {link.target} referenced by resource {link.source} was not found. Please make sure that the"
    text += " referenced resource exists, and that both resources are in the same region."
    if holder.namespace.lower() == "microsoft.compute" and link.path.endswith("managedDisk"):
        return Failure(404, "NotFound", f"Disk {link.target} is not found.", link.path.removeprefix("properties."))
    return Failure(400, "InvalidResourceReference", text)


def _not_provisioned(link: Link, top: Resource) -> Failure:
    text = f"Cannot proceed with operation because resource {top.id} used by resource {link.source} is not in Succeeded"
    return Failure(409, "ReferencedResourceNotProvisioned", f"{text} state. Resource is in {top.state} state.")
