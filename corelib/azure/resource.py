"""Resources as values, in Resource Manager's own terms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Resource:
    """One desired resource: `target` names it for good, `body` is what a PUT sends, `after` the targets it needs."""

    target: str
    kind: Kind
    group: str
    name: str
    body: Mapping[str, Any]
    after: tuple[str, ...] = ()

    @property
    def public(self) -> dict[str, Any]:
        """The body with the custom data replaced by its digest, which is what plans and records show."""
        body: dict[str, Any] = json.loads(json.dumps(self.body))
        profile = body.get("properties", {}).get("osProfile", {})
        if "customData" in profile:
            profile["customData"] = f"sha256:{self.body['tags'][USER_DATA]}"
        return body


def resource_id(subscription: str, group: str, kind: Kind, name: str) -> str:
    """The id of a resource (Resource Manager: fully qualified resource id)."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{TYPES[kind]}/{name}"


def specification(body: Mapping[str, Any]) -> str:
    """SHA-256 over a body without its tags and custom data, shortened to 32 hex digits; tags hold 256 characters."""
    bare = {key: value for key, value in body.items() if key != "tags"}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:32]
