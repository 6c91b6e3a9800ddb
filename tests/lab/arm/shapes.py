"""The SDK's models as data: what an object of each type may hold, of which type, what it must hold, what is read-only.

`python -m tests.lab.arm.shapes` writes the stand-in's copy anew, so that it needs no SDK itself.
"""

from __future__ import annotations

import json
import sys
import types
import typing
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from azure.mgmt.compute import models as compute
from azure.mgmt.network import models as network

from corelib.lab.arm import schema

FILE = Path(schema.__file__).parents[1] / "files" / "arm-shapes.json"
KINDS: dict[str, Any] = {
    "Microsoft.Compute/availabilitySets": compute.AvailabilitySet,
    "Microsoft.Compute/disks": compute.Disk,
    "Microsoft.Compute/virtualMachines": compute.VirtualMachine,
    "Microsoft.Network/loadBalancers": network.LoadBalancer,
    "Microsoft.Network/natGateways": network.NatGateway,
    "Microsoft.Network/networkInterfaces": network.NetworkInterface,
    "Microsoft.Network/networkSecurityGroups": network.NetworkSecurityGroup,
    "Microsoft.Network/publicIPAddresses": network.PublicIPAddress,
    "Microsoft.Network/virtualNetworks": network.VirtualNetwork,
}
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", datetime: "string", bytes: "string"}


def shapes() -> dict[str, dict[str, dict[str, str]]]:
    """By provider and type its members; each kind of resource has its own name as a type."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for kind, model in KINDS.items():
        provider, _, top = kind.partition("/")
        known, left = found.setdefault(provider, {}), [(top, model)]
        while left:
            name, one = left.pop()
            if name not in known:
                known[name], more = _members(one)
                left += more
    return {provider: dict(sorted(types_.items())) for provider, types_ in sorted(found.items())}


def _members(model: Any) -> tuple[dict[str, str], list[tuple[str, Any]]]:
    """A type's members, and the types that they lead to."""
    model.__new__(model)  # the SDK collects a model's fields when the first one is made
    hints = typing.get_type_hints(model, {**vars(sys.modules[model.__module__]), "_models": _models(model)})
    members, more = {}, []
    for attribute, field in model._attr_to_rest_field.items():
        if field._visibility == ["read"]:
            members[field._rest_name] = "-"
            continue
        word, inner = _word(hints[attribute])
        members[field._rest_name] = word + ("" if type(None) in typing.get_args(hints[attribute]) else "!")
        more += [(one.__name__, one) for one in inner]
    return dict(sorted(members.items())), more


def _models(model: Any) -> Any:
    return compute if model.__module__.startswith("azure.mgmt.compute") else network


def _word(hint: Any) -> tuple[str, list[Any]]:
    """A type in a word: `string`, `[Subnet]` a list of them, `{string}` a mapping to them."""
    options = [one for one in typing.get_args(hint) if one is not type(None)]
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return ("string", []) if str in options else _word(options[0])
    if origin in (list, Sequence):
        word, inner = _word(options[0])
        return f"[{word}]", inner
    if origin is dict:
        word, inner = _word(options[1])
        return f"{{{word}}}", inner
    if hint in _SCALARS:
        return _SCALARS[hint], []
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "string", []
    return (hint.__name__, [hint]) if hint.__module__.endswith("._models") else ("any", [])


def text() -> str:
    """The file's text: a line for each type."""
    providers = []
    for provider, known in shapes().items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(members)}" for name, members in known.items())
        providers.append(f" {json.dumps(provider)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(providers) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text())
