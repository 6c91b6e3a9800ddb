"""`current` → a version: what a plan shows and an approval covers is exact. Pure.

A machine that stays keeps the version that it was made from: hosts update themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .facts import Image
from .needs import LATEST, Urn, reference, urn
from .resource import SPECIFICATION, Observed, Resource, is_anew, specification


def pinned(resources: tuple[Resource, ...], observed: Observed, images: Mapping[Urn, Image]) -> tuple[Resource, ...]:
    """The resources, each machine's image in one version; where none is known, as they were."""
    return tuple(_pinned(one, observed, images) if one.kind == "machine" else one for one in resources)


def _pinned(machine: Resource, observed: Observed, images: Mapping[Urn, Image]) -> Resource:
    if reference(machine)["version"] != LATEST:
        return machine
    body = observed.bodies.get(machine.target)
    known = images.get(urn(machine))
    if body is not None and not is_anew(machine, body):
        version = body["properties"]["storageProfile"]["imageReference"]["version"]
    else:
        version = known.version if known else ""
    return _with(machine, str(version)) if version else machine


def _with(machine: Resource, version: str) -> Resource:
    properties = machine.body["properties"]
    storage = properties["storageProfile"]
    image = {**storage["imageReference"], "version": version}
    body: dict[str, Any] = {
        **machine.body,
        "properties": {**properties, "storageProfile": {**storage, "imageReference": image}},
    }
    bare = {**body, "properties": {**body["properties"], "osProfile": _public(body["properties"]["osProfile"])}}
    return replace(machine, body={**body, "tags": {**body["tags"], SPECIFICATION: specification(bare)}})


def _public(profile: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in profile.items() if key != "customData"}
