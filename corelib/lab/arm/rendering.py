"""Resources as Azure shows them: with ids, states, etags and back references, and never with what is write-only."""

from __future__ import annotations

import copy
from typing import Any

from .cloud import Cloud
from .kinds import Back, Kind
from .store import Link, Resource, children


def render(cloud: Cloud, kind: Kind, resource: Resource, expand: str = "") -> dict[str, Any]:
    """The body of an answer about `resource`; `expand` names a view that is shown only on request."""
    properties = {**copy.deepcopy(dict(resource.properties)), "provisioningState": resource.state}
    body = {"name": resource.id.name, "id": str(resource.id), "type": kind.type, **copy.deepcopy(dict(resource.fields))}
    if kind.has_etag:
        body["etag"] = etag(kind, resource)
    view = dict(kind.view(cloud, resource))
    properties |= view.pop("properties", {})
    _dress_children(kind, resource, properties)
    _point_back(cloud, kind, resource, properties)
    if expand in kind.expand:
        properties[expand] = kind.expand[expand](resource)
    return {**body, **view, "properties": properties}


def etag(kind: Kind, resource: Resource) -> str:
    """Its etag: weak in the network provider, strong in compute."""
    return f'W/"{resource.etag}"' if kind.namespace == "Microsoft.Network" else f'"{resource.etag}"'


def summary(kind: Kind, resource: Resource) -> dict[str, Any]:
    """What the list of a group's resources shows of each."""
    fields = {k: v for k, v in resource.fields.items() if k in ("location", "tags", "sku", "zones")}
    body = {"id": str(resource.id), "name": resource.id.name, "type": kind.type, **fields}
    return {**body, "provisioningState": resource.state}


def _dress_children(kind: Kind, resource: Resource, properties: dict[str, Any]) -> None:
    for collection in kind.collections:
        properties[collection] = children(properties, collection)
        for child in properties[collection]:
            child["etag"] = etag(kind, resource)
            child["properties"]["provisioningState"] = resource.state
    for rule in properties.get("defaultSecurityRules", []):
        rule["etag"] = etag(kind, resource)
        rule["properties"]["provisioningState"] = resource.state


def _point_back(cloud: Cloud, kind: Kind, resource: Resource, properties: dict[str, Any]) -> None:
    if not kind.backs:
        return
    links = list(cloud.store.links(resource.id.subscription))
    for back in kind.backs:
        if not back.at:
            _add(properties, back, links, str(resource.id))
        for child in children(properties, back.at) if back.at else []:
            _add(child["properties"], back, links, child["id"])


def _add(properties: dict[str, Any], back: Back, links: list[Link], target: str) -> None:
    found = [k.source for k in links if k.target.lower() == target.lower() and k.collection == back.collection]
    if found and back.many:
        properties[back.name] = [{"id": source} for source in found]
    elif found:
        properties[back.name] = {"id": found[0]}
