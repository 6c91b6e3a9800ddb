"""What a subscription offers and has used: itself, its providers, sizes, quotas, images."""

from __future__ import annotations

import re
from collections import Counter

from . import catalogue
from .cloud import Cloud, Reply, Request
from .failure import Failure
from .paging import page


def get(subscription: str) -> Reply:
    """Read a subscription: every GUID names one."""
    body = {"id": f"/subscriptions/{subscription}", "subscriptionId": subscription, "tenantId": catalogue.TENANT}
    rest = {"displayName": "Lab", "state": "Enabled", "authorizationSource": "RoleBased"}
    policies = {"locationPlacementId": "Public_2014-09-01", "quotaId": "Lab", "spendingLimit": "Off"}
    return Reply(200, {**body, **rest, "subscriptionPolicies": policies})


def locations(cloud: Cloud, request: Request, subscription: str) -> Reply:
    """List the regions."""
    items = [{"id": f"/subscriptions/{subscription}/locations/{n}", "name": n} for n in catalogue.REGIONS]
    return page(cloud.url, request, items)


def provider(subscription: str, namespace: str) -> Reply:
    """A provider's registration."""
    return Reply(200, catalogue.provider(subscription, namespace))


def providers(cloud: Cloud, request: Request, subscription: str) -> Reply:
    """All providers' registrations."""
    return page(cloud.url, request, [catalogue.provider(subscription, name) for name in catalogue.PROVIDERS])


def skus(cloud: Cloud, request: Request) -> Reply:
    """Machine sizes; the only filter, as in Azure, is `location eq '…'`."""
    text = request.query.get("$filter")
    found = re.fullmatch(r"location eq '([^']*)'", text.strip()) if text else None
    if text and not found:
        raise Failure(400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string.")
    return page(cloud.url, request, catalogue.skus(found[1].replace(" ", "").lower() if found else None))


def usages(cloud: Cloud, request: Request, subscription: str, location: str) -> Reply:
    """Cores and machines used in a region, against their quotas."""
    place = catalogue.region(location, "Microsoft.Compute/locations/usages")
    here = [r for r in cloud.store.resources(subscription) if r.id.types[0] == "virtualMachines"]
    sizes = [r.properties["hardwareProfile"]["vmSize"] for r in here if r.fields["location"] == place]
    used: Counter[str] = Counter()
    for size in sizes:
        cores, _, family = catalogue.SIZES[size]
        used[family] += cores
    return page(cloud.url, request, catalogue.usages(used, len(sizes)))


def image_versions(subscription: str, location: str, publisher: str, offer: str, sku: str) -> Reply:
    """The versions of an image: a bare list, as Azure answers."""
    return Reply(200, [_image(subscription, location, (publisher, offer, sku, v)) for v in catalogue.VERSIONS])


def image_version(subscription: str, location: str, publisher: str, offer: str, sku: str, version: str) -> Reply:
    """One version of an image."""
    return Reply(200, _image(subscription, location, (publisher, offer, sku, version)))


def _image(subscription: str, location: str, words: tuple[str, str, str, str]) -> dict[str, object]:
    place = catalogue.region(location, "Microsoft.Compute/locations")
    publisher, offer, sku, version = words
    catalogue.distribution({"publisher": publisher, "offer": offer, "sku": sku, "version": version})
    base = f"/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{place}"
    path = f"/Publishers/{publisher}/ArtifactTypes/VMImage/Offers/{offer}/Skus/{sku}/Versions/{version}"
    return {"id": base + path, "name": version, "location": place}
