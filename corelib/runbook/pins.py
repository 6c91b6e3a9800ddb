"""Host keys of Azure's machines: pinned on first contact, for as long as the machine is the same one. Pure.

Azure tells nobody a machine's host key, so the first contact is taken on trust, and said. From then on only that key
is accepted, until the inventory names another machine (`vm_id`) in that place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..report import Finding

# Of the inventory: by host the `fingerprint` of its `key`, and the `vm_id` of the machine that showed it.
PART = "host_keys"

Part = Mapping[str, Mapping[str, Any]]


def pinned(hosts: Part, kept: Part) -> dict[str, str]:
    """The host key that each host must have, by name; those that are met for the first time are not in it."""
    same = (name for name, one in hosts.items() if name in kept and kept[name]["vm_id"] == one["vm_id"])
    return {name: str(kept[name]["fingerprint"]) for name in same}


def remembered(hosts: Part, kept: Part, learnt: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Any]:
    """The part of the inventory with the fingerprints that were learnt, and the public `keys` of all who were met."""
    met = {
        name: {"fingerprint": learnt.get(name) or kept[name]["fingerprint"], "key": key, "vm_id": hosts[name]["vm_id"]}
        for name, key in keys.items()
    }
    return {**kept, **met}


def said(hosts: Part, kept: Part, learnt: Mapping[str, str]) -> Iterator[Finding]:
    """What an operator is told of each key that is taken on trust."""
    remedy = "to be sure, compare it on the host's console: ssh-keygen -lf of /etc/ssh/ssh_host_*_key.pub"
    for name, key in sorted(learnt.items()):
        message = f"its host key {key} was seen for the first time and is pinned from now on"
        if name in kept:
            old, new = kept[name], hosts[name]
            message = (
                f"its machine was replaced (VM id {old['vm_id']} → {new['vm_id']}), so its host key {key} is pinned "
                f"in place of {old['fingerprint']}"
            )
        yield Finding("info", name, message, remedy)
