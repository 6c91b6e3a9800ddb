"""What exists: resource groups and resources, in memory, per subscription; and who refers to whom.

A reference is any object in a resource's properties that has an `id`, unless it is a child of the resource itself (a
subnet, a pool, a rule: it has a `name`, and its id lies below its parent's), stored inline. From that one rule follow
"does what is referred to exist", "is it in use", and the read-only back references that Azure shows.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .failure import Failure, group_not_found
from .ids import ResourceId


@dataclass(frozen=True, slots=True)
class Link:
    """A reference: which object (`source`, an element of `collection`) refers to which id, and where in the body."""

    source: str
    collection: str
    target: str
    path: str


def new_etag() -> str:
    """The mark of one version of a resource."""
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Resource:
    """One resource. `fields` are the top-level members besides properties; `secret` is write-only and never shown."""

    id: ResourceId
    fields: Mapping[str, Any]
    properties: Mapping[str, Any]
    state: str
    secret: Mapping[str, Any] = field(default_factory=dict)
    power: str = ""
    etag: str = field(default_factory=new_etag)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """All references that this resource holds."""
        return tuple(walk(self.properties, str(self.id), self.id.types[0], "properties"))


@dataclass(frozen=True, slots=True)
class Group:
    """A resource group."""

    subscription: str
    name: str
    location: str
    tags: Mapping[str, str]
    state: str = "Succeeded"
    managed_by: str | None = None


class Store:
    """Groups and resources by folded id, in the order in which they were made."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], Group] = {}
        self._resources: dict[str, Resource] = {}

    def groups(self, subscription: str) -> list[Group]:
        """The groups of a subscription."""
        return [g for g in self._groups.values() if g.subscription == subscription.lower()]

    def find_group(self, subscription: str, name: str) -> Group | None:
        """A group, or None."""
        return self._groups.get((subscription.lower(), name.lower()))

    def group(self, subscription: str, name: str) -> Group:
        """A group; Failure ResourceGroupNotFound."""
        found = self.find_group(subscription, name)
        if found is None:
            raise group_not_found(name)
        return found

    def keep_group(self, group: Group) -> Group:
        """Add or replace a group."""
        self._groups[group.subscription, group.name.lower()] = group
        return group

    def drop_group(self, group: Group) -> None:
        """Remove a group and all that is in it."""
        for resource in self.resources(group.subscription, group.name):
            self.drop(resource.id)
        self._groups.pop((group.subscription, group.name.lower()), None)

    def resources(self, subscription: str, group: str | None = None) -> list[Resource]:
        """The resources of a subscription, or of one group of it."""
        name = group.lower() if group else None
        mine = (r for r in self._resources.values() if r.id.subscription.lower() == subscription.lower())
        return [r for r in mine if name is None or r.id.group.lower() == name]

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._resources.values()))

    def find(self, resource_id: ResourceId) -> Resource | None:
        """A resource, or None."""
        return self._resources.get(resource_id.key)

    def keep(self, resource: Resource) -> Resource:
        """Add or replace a resource."""
        self._resources[resource.id.key] = resource
        return resource

    def drop(self, resource_id: ResourceId) -> None:
        """Remove a resource, if it is there."""
        self._resources.pop(resource_id.key, None)

    def exists(self, target: ResourceId) -> bool:
        """True if this resource, or this child of a resource, exists."""
        top = self.find(target.top)
        return top is not None and child_of(top.properties, target.types[1:], target.names[1:]) is not None

    def links(self, subscription: str) -> Iterator[Link]:
        """All references that the resources of a subscription hold."""
        for resource in self.resources(subscription):
            yield from resource.links

    def links_to(self, resource: Resource) -> list[Link]:
        """The references to a resource or its children, held by other resources."""
        own, inside = resource.id.key, resource.id.key + "/"
        held = self.links(resource.id.subscription)
        pointing = (k for k in held if k.target.lower() == own or k.target.lower().startswith(inside))
        return [k for k in pointing if k.source.lower() != own and not k.source.lower().startswith(inside)]


def walk(node: Any, source: str, collection: str, path: str) -> Iterator[Link]:
    """The references in `node`, with the innermost named child that holds each as their source."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from walk(item, source, collection, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    if isinstance(node.get("id"), str):
        if "name" in node and node["id"].lower().startswith(source.lower() + "/"):
            source, collection = node["id"], node["id"].split("/")[-2]
        else:
            yield Link(source, collection, node["id"], path)
    for name, value in node.items():
        yield from walk(value, source, collection, f"{path}.{name}")


def child_of(properties: Mapping[str, Any], types: Sequence[str], names: Sequence[str]) -> Mapping[str, Any] | None:
    """The inline child at that path below `properties` (which is itself the answer to an empty path), or None."""
    if not types:
        return properties
    collection = {name.lower(): name for name in properties}.get(types[0].lower(), "")
    for child in children(properties, collection):
        if str(child.get("name", "")).lower() == names[0].lower():
            return child if len(types) == 1 else child_of(child.get("properties", {}), types[1:], names[1:])
    return None


def children(properties: Mapping[str, Any], collection: str) -> list[dict[str, Any]]:
    """The inline children in `collection`; Failure if it is not a list of objects."""
    found = properties.get(collection) or []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Failure(
            400, "InvalidRequestFormat", f"Cannot parse the request: '{collection}' is not a list of objects."
        )
    return found
