"""Resources as values, in Resource Manager's own terms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "group",
    "security-group",
    "network",
    "address",
    "load-balancer",
    "availability-set",
    "disk",
    "interface",
    "machine",
]

TYPES: dict[Kind, str] = {
    "security-group": "Microsoft.Network/networkSecurityGroups",
    "network": "Microsoft.Network/virtualNetworks",
    "address": "Microsoft.Network/publicIPAddresses",
    "load-balancer": "Microsoft.Network/loadBalancers",
    "availability-set": "Microsoft.Compute/availabilitySets",
    "disk": "Microsoft.Compute/disks",
    "interface": "Microsoft.Network/networkInterfaces",
    "machine": "Microsoft.Compute/virtualMachines",
}

# Tags that say whose a resource is and what it was made from.
OWNER, ENVIRONMENT, DEPLOYMENT = "runbooks-owner", "runbooks-environment", "runbooks-deployment"
SPECIFICATION, USER_DATA = "runbooks-specification", "runbooks-user-data"
REPLACES = "runbooks-replaces"  # of a machine and its disk: the one in whose place they were made


@dataclass(frozen=True, slots=True)
class Resource:
    """One desired resource: `target` names it for good, `body` is what a PUT sends, `after` the targets it needs.

    What is `given` is not ours: it has to be there, and is left as it is.
    """

    target: str
    kind: Kind
    group: str
    name: str
    body: Mapping[str, Any]
    after: tuple[str, ...] = ()
    host: str = ""  # the one that it belongs to; empty: its cluster's
    given: bool = False

    @property
    def cluster(self) -> str:
        """The cluster that it belongs to, which may be in a resource group of another name."""
        return self.target.split("/", maxsplit=1)[0]

    @property
    def public(self) -> dict[str, Any]:
        """The body with the custom data replaced by its digest, which is what plans and records show."""
        body: dict[str, Any] = json.loads(json.dumps(self.body))
        profile = body.get("properties", {}).get("osProfile", {})
        if "customData" in profile:
            profile["customData"] = f"sha256:{self.body['tags'][USER_DATA]}"
        return body


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there: the body of every desired target that exists, as Azure answers it; the power state of machines;
    and what is this environment's by its tags, and not desired (any more), by target."""

    bodies: Mapping[str, Mapping[str, Any]]
    power: Mapping[str, str] = field(default_factory=dict)  # running, stopped, deallocated, …
    strays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def is_anew(one: Resource, body: Mapping[str, Any]) -> bool:
    """Whether what is there is the one that goes, for a machine or disk that is made anew."""
    generation = one.body["tags"].get(REPLACES, "")
    return bool(generation) and (body.get("tags") or {}).get(REPLACES) != generation


def resource_id(subscription: str, group: str, kind: Kind, name: str) -> str:
    """The id of a resource (Resource Manager: fully qualified resource id)."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{TYPES[kind]}/{name}"


def group_of(body: Mapping[str, Any], otherwise: str = "") -> str:
    """The resource group in the id of what is there (Resource Manager: fully qualified resource id)."""
    words = str(body["id"]).split("/")
    return words[4] if len(words) > 4 else otherwise


def specification(body: Mapping[str, Any]) -> str:
    """SHA-256 over a body without its tags and custom data, shortened to 32 hex digits; tags hold 256 characters."""
    bare = {key: value for key, value in body.items() if key != "tags"}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:32]
