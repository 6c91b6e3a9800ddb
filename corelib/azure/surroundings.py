"""Asking a subscription what it is and allows, all at once: never a call for each machine. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import quote

from azure.core.exceptions import ResourceNotFoundError
from azure.core.rest import HttpRequest

from ..errors import ServiceFailed
from .client import Cloud, NotRegistered, told
from .facts import Facts, Image, Right, Size, Subscription, Usage
from .needs import LATEST, Needs, Urn

Question = tuple[str, str | Urn, Callable[[], Any]]  # the kind of its answer, about what, how it is asked


def ask(cloud: Cloud, subscription: str, needs: Needs) -> Facts:
    """What is needed to judge `needs`; nothing is asked if nothing is needed.

    A question that Azure refuses to answer is silent. Raises LoginFailed, Unreachable, TimedOut.
    """
    if not needs:
        return Facts()
    silent: dict[str, str] = {}
    found = _all(list(_questions(cloud, subscription, needs)), silent)
    compute, network = found.get("compute", {}), found.get("network", {})
    usages = {name: {**compute.get(name, {}), **network.get(name, {})} for name in needs.locations()}
    return Facts(
        found.get("subscription", {}).get(""),
        found.get("rights", {}),
        found.get("providers", {}),
        {name: rows for name, rows in usages.items() if rows},
        found.get("sizes", {}),
        found.get("images", {}),
        silent,
    )


def _questions(cloud: Cloud, subscription: str, needs: Needs) -> Iterator[Question]:
    yield "subscription", "", partial(_subscription, cloud, subscription)
    for scope in needs.rights():
        yield "rights", scope, partial(_rights, cloud, subscription, scope)
    for namespace in needs.namespaces():
        yield "providers", namespace, partial(_provider, cloud, namespace)
    for location in needs.locations():
        yield "compute", location, partial(_usages, cloud.compute.usage.list, location)
        yield "network", location, partial(_usages, cloud.network.usages.list, location)
        if needs.machines():
            yield "sizes", location, partial(_sizes, cloud, location)
    for urn, version in needs.images().items():
        yield "images", urn, partial(_image, cloud, subscription, urn, version)


def _all(questions: list[Question], silent: dict[str, str]) -> dict[str, dict[Any, Any]]:
    """The answers, by kind and about what; why there is none goes to `silent`."""
    answers: dict[str, dict[Any, Any]] = {}
    with ThreadPoolExecutor(max_workers=8) as pool:
        asked = [(kind, about, pool.submit(_one, kind, about, call)) for kind, about, call in questions]
    for kind, about, future in asked:
        try:
            answers.setdefault(kind, {})[about] = future.result()
        except NotRegistered:
            continue  # which is what the question about the provider itself is told
        except ServiceFailed as problem:
            silent[f"{kind} {about}".strip()] = problem.found
    return answers


def _one(kind: str, about: object, call: Callable[[], Any]) -> Any:
    with told(f"asking Azure about {kind} {about}".strip()):
        return call()


def _get(cloud: Cloud, path: str) -> Any:
    """What the SDK's packages have no call for."""
    response = cloud.resources.send_request(HttpRequest("GET", path))
    response.raise_for_status()
    return response.json()


def _subscription(cloud: Cloud, subscription: str) -> Subscription:
    body = _get(cloud, f"/subscriptions/{subscription}?api-version=2022-12-01")
    return Subscription(str(body.get("state", "")), str(body.get("tenantId", "")))


def _rights(cloud: Cloud, subscription: str, group: str) -> tuple[Right, ...]:
    scope = f"/subscriptions/{subscription}" + (f"/resourceGroups/{quote(group)}" if group else "")
    next_page, found = f"{scope}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01", []
    while next_page:
        body = _get(cloud, next_page)
        found += [Right(tuple(one["actions"]), tuple(one.get("notActions", ()))) for one in body["value"]]
        next_page = body.get("nextLink", "")
    return tuple(found)


def _provider(cloud: Cloud, namespace: str) -> str:
    return str(cloud.resources.providers.get(namespace).registration_state)


def _usages(listing: Callable[[str], Iterable[Any]], location: str) -> dict[str, Usage]:
    bodies = (row.as_dict() for row in listing(location))
    return {body["name"]["value"]: _usage(body) for body in bodies}


def _usage(body: Mapping[str, Any]) -> Usage:
    return Usage(body["name"].get("localizedValue", ""), int(body["currentValue"]), int(body["limit"]))


def _sizes(cloud: Cloud, location: str) -> dict[str, Size]:
    skus = (one.as_dict() for one in cloud.compute.resource_skus.list(filter=f"location eq '{location}'"))
    return {str(sku["name"]).lower(): _size(sku) for sku in skus if sku.get("resourceType") == "virtualMachines"}


def _size(sku: Mapping[str, Any]) -> Size:
    able = {one["name"]: one["value"] for one in sku.get("capabilities", ())}
    closed = [one for one in sku.get("restrictions", ()) if one.get("type") == "Location"]
    by_zone = [one for one in sku.get("restrictions", ()) if one.get("type") == "Zone"]
    return Size(
        family=str(sku.get("family", "")),
        cores=int(able.get("vCPUs", 0)),
        zones=frozenset(zone for info in sku.get("locationInfo", ()) for zone in info.get("zones", ())),
        closed=bool(closed),
        closed_zones=frozenset(zone for one in by_zone for zone in one.get("restrictionInfo", {}).get("zones", ())),
        premium=able.get("PremiumIO") == "True",
        controllers=_words(able.get("DiskControllerTypes", "SCSI")),  # sizes before NVMe say nothing
        generations=_words(able.get("HyperVGenerations", "V1")),
        architecture=able.get("CpuArchitectureType", "x64"),
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(","))


def _image(cloud: Cloud, subscription: str, urn: Urn, version: str) -> Image:
    images = cloud.compute.virtual_machine_images
    try:
        versions = tuple(sorted((str(one.name) for one in images.list(*urn)), key=_numbers))
    except ResourceNotFoundError:  # no such publisher, offer or sku there
        versions = ()
    meant = (versions[-1] if versions else "") if version == LATEST else version
    if meant not in versions:
        return Image(versions)
    body = images.get(*urn, meant).as_dict().get("properties", {})
    plan = body.get("plan")
    named = (str(plan["publisher"]), str(plan["product"]), str(plan["name"])) if plan else None
    return Image(
        versions,
        meant,
        body.get("hyperVGeneration", ""),
        body.get("architecture", "x64"),
        body.get("imageDeprecationStatus", {}).get("imageState", "Active"),
        named,
        named is not None and _accepted(cloud, subscription, named),
    )


def _accepted(cloud: Cloud, subscription: str, plan: tuple[str, str, str]) -> bool:
    publisher, offer, name = map(quote, plan)
    place = f"/subscriptions/{subscription}/providers/Microsoft.MarketplaceOrdering/offerTypes/virtualmachine"
    path = f"{place}/publishers/{publisher}/offers/{offer}/plans/{name}/agreements/current?api-version=2021-01-01"
    return bool(_get(cloud, path).get("properties", {}).get("accepted"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
