"""What a subscription offers and has used: itself, rights, providers, sizes, quotas, images and their terms."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

from . import catalogue, images, quotas, sizes
from .account import REGISTERED
from .cloud import Cloud, Reply, Request
from .failure import Failure
from .paging import page


def get(cloud: Cloud, _request: Request, subscription: str) -> Reply:
    """Read a subscription: every GUID names one, unless the lab was told otherwise."""
    account = cloud.account(subscription)
    body = {"id": f"/subscriptions/{subscription}", "subscriptionId": subscription, "tenantId": account.tenant}
    rest = {"displayName": "Lab", "state": account.state, "authorizationSource": "RoleBased"}
    policies = {"locationPlacementId": "Public_2014-09-01", "quotaId": "Lab", "spendingLimit": "Off"}
    return Reply(200, {**body, **rest, "subscriptionPolicies": policies})


def locations(cloud: Cloud, request: Request, subscription: str) -> Reply:
    """List the regions."""
    items = [{"id": f"/subscriptions/{subscription}/locations/{n}", "name": n} for n in catalogue.REGIONS]
    return page(cloud.url, request, items)


def permissions(cloud: Cloud, request: Request, subscription: str, **_group: str) -> Reply:
    """What the caller may do, there and below (Permissions API)."""
    account = cloud.account(subscription)
    found = {"actions": list(account.actions), "notActions": list(account.not_actions)}
    return page(cloud.url, request, [{**found, "dataActions": [], "notDataActions": []}])


def provider(cloud: Cloud, _request: Request, subscription: str, namespace: str) -> Reply:
    """A provider, and whether it is registered."""
    return Reply(200, _provider(cloud, subscription, catalogue.namespace(namespace)))


def providers(cloud: Cloud, request: Request, subscription: str) -> Reply:
    """All providers."""
    return page(cloud.url, request, [_provider(cloud, subscription, named) for named in catalogue.PROVIDERS])


def register(cloud: Cloud, _request: Request, subscription: str, namespace: str) -> Reply:
    """Begin to register a provider: it is Registering, and after a while Registered."""
    return _move(cloud, subscription, catalogue.namespace(namespace), "Registering", REGISTERED)


def unregister(cloud: Cloud, _request: Request, subscription: str, namespace: str) -> Reply:
    """Begin to unregister a provider that nothing uses."""
    named = catalogue.namespace(namespace)
    if any(r.id.namespace.lower() == named.lower() for r in cloud.store.resources(subscription)):
        text = f"Cannot unregister resource provider '{named}' because the subscription has resources of it."
        raise Failure(409, "CannotUnregisterResourceProvider", text)
    return _move(cloud, subscription, named, "Unregistering", "Unregistered")


def skus(cloud: Cloud, request: Request, subscription: str) -> Reply:
    """Machine sizes; the only filter, as in Azure, is `location eq '…'`."""
    text = request.query.get("$filter")
    found = re.fullmatch(r"location eq '([^']*)'", text.strip()) if text else None
    if text and not found:
        raise Failure(400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string.")
    place = found[1].replace(" ", "").lower() if found else None
    return page(cloud.url, request, sizes.skus(cloud.account(subscription), place))


def compute_usages(cloud: Cloud, request: Request, subscription: str, location: str) -> Reply:
    """Compute's quotas in a region."""
    place = catalogue.region(location, "Microsoft.Compute/locations/usages")
    return page(cloud.url, request, quotas.compute(cloud, subscription, place))


def network_usages(cloud: Cloud, request: Request, subscription: str, location: str) -> Reply:
    """The network's quotas in a region."""
    place = catalogue.region(location, "Microsoft.Network/locations/usages")
    return page(cloud.url, request, quotas.network(cloud, subscription, place))


def image_versions(_cloud: Cloud, request: Request, **place: str) -> Reply:
    """The versions of an image, oldest first or as asked for: a bare list, as Azure answers."""
    newest = images.find({**_words(place), "version": "latest"})
    versions = list(newest.of.versions)
    if request.query.get("$orderby", "").lower() == "name desc":
        versions.reverse()
    top = int(request.query.get("$top", len(versions)))
    return Reply(200, [_entry(place, newest._replace(version=one)) for one in versions[:top]])


def image_version(_cloud: Cloud, _request: Request, version: str, **place: str) -> Reply:
    """One version of an image, and what it needs."""
    image = images.find({**_words(place), "version": version})
    return Reply(200, {**_entry(place, image), "properties": images.shown(image)})


def terms(cloud: Cloud, _request: Request, subscription: str, publisher: str, offer: str, plan: str) -> Reply:
    """The terms of a plan, and whether they were accepted."""
    return Reply(200, images.agreement(cloud.account(subscription), subscription, publisher, offer, plan))


def accept(cloud: Cloud, request: Request, subscription: str, publisher: str, offer: str, plan: str) -> Reply:
    """Accept, or no longer accept, the terms of a plan."""
    account, word = cloud.account(subscription), f"{publisher}/{offer}/{plan}"
    images.agreement(account, subscription, publisher, offer, plan)
    others = tuple(one for one in account.accepted if one.lower() != word.lower())
    agreed = ((request.body or {}).get("properties") or {}).get("accepted")
    cloud.accounts[subscription.lower()] = replace(account, accepted=(*others, word) if agreed else others)
    return terms(cloud, request, subscription, publisher, offer, plan)


def _provider(cloud: Cloud, subscription: str, named: str) -> dict[str, object]:
    return catalogue.provider(subscription, named, cloud.account(subscription).registration(named))


def _move(cloud: Cloud, subscription: str, named: str, now: str, later: str) -> Reply:
    """A registration on its way: nobody but the clock ends it."""

    def state(word: str) -> None:
        account = cloud.account(subscription)
        others = {key: value for key, value in account.providers.items() if key.lower() != named.lower()}
        cloud.accounts[subscription.lower()] = replace(account, providers={**others, named: word})

    if cloud.account(subscription).registration(named) != later:
        state(now)
        asyncio.get_running_loop().call_later(cloud.timing.real(cloud.timing.register), state, later)
    return Reply(200, _provider(cloud, subscription, named))


def _words(place: dict[str, str]) -> dict[str, str]:
    return {name: place[name] for name in ("publisher", "offer", "sku")}


def _entry(place: dict[str, str], image: images.Image) -> dict[str, object]:
    location = catalogue.region(place["location"], "Microsoft.Compute/locations")
    base = f"/Subscriptions/{place['subscription']}/Providers/Microsoft.Compute/Locations/{location}"
    path = f"/Publishers/{image.publisher}/ArtifactTypes/VMImage/Offers/{image.offer}/Skus/{image.sku}"
    return {"id": f"{base}{path}/Versions/{image.version}", "name": image.version, "location": location}
