"""The kinds of resources, as data: what they may hold, what Azure adds, how they answer, when they cannot go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .cloud import Cloud
from .failure import Failure
from .ids import ResourceId
from .store import Link, Resource

COMMON = frozenset({"location", "tags", "properties"})
SHOWN = frozenset({"id", "name", "type", "etag", "systemData", "resources", "managedBy"})  # read-only: ignored in a PUT


@dataclass(slots=True)
class Change:
    """A resource as it is to become: what was asked for, to be completed or refused by its kind's `prepare`."""

    id: ResourceId
    fields: dict[str, Any]
    properties: dict[str, Any]
    before: Resource | None
    secret: dict[str, Any] = field(default_factory=dict)
    power: str = ""
    disks: list[Resource] = field(default_factory=list)  # made together with a machine

    @property
    def location(self) -> str:
        """Its region."""
        return str(self.fields["location"])

    def kept(self, name: str) -> Any:
        """A property as it was before, or None."""
        return self.before.properties.get(name) if self.before else None


@dataclass(frozen=True, slots=True)
class Back:
    """A read-only reference that Azure shows: who, of `collection`, refers to this (or to a child in `at`)."""

    at: str
    name: str
    collection: str
    many: bool = True


def _nothing(cloud: Cloud, change: Change) -> None:
    """Most kinds need no completion."""


@dataclass(frozen=True)
class Kind:
    """One kind of resource; `type` as Azure writes it."""

    type: str
    properties: frozenset[str]
    fields: frozenset[str] = COMMON
    collections: tuple[str, ...] = ()
    readonly: frozenset[str] = frozenset()
    backs: tuple[Back, ...] = ()
    created: int = 201
    updated: int = 200
    deleted: int = 202
    immediate: bool = False
    has_etag: bool = True
    prepare: Callable[[Cloud, Change], None] = _nothing
    in_use: Callable[[Resource, list[Link]], Failure | None] = lambda _resource, _links: None
    finish: Callable[[Cloud, Resource, Resource | None], None] = lambda _cloud, _resource, _before: None
    remove: Callable[[Cloud, Resource], None] = lambda _cloud, _resource: None
    view: Callable[[Cloud, Resource], Mapping[str, Any]] = lambda _cloud, _resource: {}
    expand: Mapping[str, Callable[[Resource], Any]] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The provider's name."""
        return self.type.split("/")[0]

    @property
    def collection(self) -> str:
        """The last part of the type, as it stands in a path."""
        return self.type.split("/")[1]

    @property
    def pace(self) -> Literal["network", "compute"]:
        """Which of the timings its operations take."""
        return "compute" if self.collection == "virtualMachines" else "network"


def words(text: str) -> frozenset[str]:
    """A set of names, written as text."""
    return frozenset(text.split())


def refuse_when_used(status: int, code: str, sentence: str) -> Callable[[Resource, list[Link]], Failure | None]:
    """A rule for deletion: refused while anything refers to the resource; `{id}` and `{user}` name both."""

    def in_use(resource: Resource, links: list[Link]) -> Failure | None:
        if not links:
            return None
        return Failure(status, code, sentence.format(id=resource.id, name=resource.id.name, user=links[0].source))

    return in_use
