"""A request's body, read: what a resource is to become, or a Failure in Resource Manager's words."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from . import catalogue, schema
from .failure import Failure
from .ids import ResourceId
from .kinds import SHOWN, Change, Kind
from .store import Resource, children


def read(kind: Kind, resource_id: ResourceId, body: Any, before: Resource | None) -> Change:
    """The change that a PUT asks for. Read-only members are ignored, unknown ones refused."""
    given = {k: copy.deepcopy(v) for k, v in _object(body).items() if k not in SHOWN and v is not None}
    _refuse_unknown(given, kind.fields, kind.type)
    properties = {k: v for k, v in _object(given.pop("properties", {})).items() if v is not None}
    shown = kind.readonly | {back.name for back in kind.backs if not back.at}
    properties = {k: v for k, v in properties.items() if k not in shown}
    _refuse_unknown(properties, kind.properties, f"{kind.type} properties")
    location = catalogue.region(given.get("location"), kind.type)
    if before and before.fields["location"] != location:
        raise _elsewhere(before, location)
    for collection in kind.collections:
        if collection in properties:
            properties[collection] = [
                _child(kind, resource_id, collection, c) for c in children(properties, collection)
            ]
            _refuse_twins(collection, properties[collection])
    schema.check(kind.type, {**given, "location": location, "properties": properties})
    if before:
        properties |= {k: v for k, v in before.properties.items() if k in kind.readonly}
    return Change(resource_id, {**given, "location": location}, properties, before)


def patched(before: Resource, body: Any) -> dict[str, Any]:
    """The body of a PUT that does what a PATCH asks for: properties are merged, other members replaced."""
    given = _object(body)
    merged = _merge(copy.deepcopy(dict(before.properties)), given.get("properties", {}))
    return {**before.fields, **{k: v for k, v in given.items() if k != "properties"}, "properties": merged}


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        text = "The request content was invalid and could not be deserialized: an object was expected."
        raise Failure(400, "InvalidRequestContent", text)
    return body


def _refuse_unknown(given: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    for name in given:
        if name not in known:
            text = f"Could not find member '{name}' on object of type '{what}'. Path '{name}'."
            text = f"The request content was invalid and could not be deserialized: '{text}'."
            raise Failure(400, "InvalidRequestContent", text)


def _child(kind: Kind, parent: ResourceId, collection: str, given: dict[str, Any]) -> dict[str, Any]:
    name = given.get("name")
    if not name or not isinstance(name, str):
        text = f"Cannot parse the request: an element of '{collection}' of {parent} has no name."
        raise Failure(400, "InvalidRequestFormat", text)
    shown = {back.name for back in kind.backs if back.at == collection} | {"provisioningState"}
    properties = {k: v for k, v in _object(given.get("properties", {})).items() if v is not None and k not in shown}
    rest = {k: v for k, v in given.items() if k not in SHOWN and k != "properties" and v is not None}
    identity = {"name": name, "id": f"{parent}/{collection}/{name}", "type": f"{kind.type}/{collection}"}
    return {**identity, **rest, "properties": properties}


def _refuse_twins(collection: str, items: list[dict[str, Any]]) -> None:
    names = [item["name"].lower() for item in items]
    for name in names:
        if names.count(name) > 1:
            text = f"Cannot parse the request: two elements of '{collection}' are named '{name}'."
            raise Failure(400, "InvalidRequestFormat", text)


def _elsewhere(before: Resource, location: str) -> Failure:
    text = f"The resource '{before.id.name}' already exists in location '{before.fields['location']}' in resource group"
    text += f" '{before.id.group}'. A resource with the same name cannot be created in location '{location}'."
    return Failure(409, "InvalidResourceLocation", f"{text} Please select a new resource name.")


def _merge(node: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(node) if isinstance(node, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged
