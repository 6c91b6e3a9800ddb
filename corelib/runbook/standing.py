"""What is remembered of an environment's machines and of its etcd, so that what is lost never looks as if it never was.

Two words in the inventory: `gone` in its part of Azure are hosts whose machines somebody has taken away; the part
`etcd` has who was in the cluster when it was seen to serve, and that cluster's id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..etcd.identity import identities, shown
from ..etcd.intended import Intended
from .inventory import Inventory

PART = "etcd"


def seen(intended: Intended, inventory: Inventory) -> frozenset[str]:
    """Who was in this very cluster when it was seen to serve; empty: nobody has seen that."""
    kept = inventory.read(PART)
    return frozenset(kept["members"]) if kept.get("cluster") == _cluster(intended) else frozenset()


def remember(intended: Intended, members: Collection[str], inventory: Inventory) -> None:
    """Keep who is in the cluster, which serves; where nobody serves, what is known stays."""
    content = {"cluster": _cluster(intended), "members": sorted(members)}
    if members and inventory.read(PART) != content:
        inventory.write(PART, content)


def forget(inventory: Inventory) -> None:
    """Neither a machine nor a disk of the cluster is left: what comes next is another one, with the same id."""
    if inventory.read(PART):
        inventory.write(PART, {})


def with_gone(found: Mapping[str, Any], before: Mapping[str, Any], ours: Collection[str]) -> dict[str, Any]:
    """What is found of Azure, and which of `ours` were there `before` and are not any more. Pure."""
    gone = {*before.get("hosts", {}), *before.get("gone", ())}.intersection(ours).difference(found["hosts"])
    return {**found, **({"gone": sorted(gone)} if gone else {})}


def _cluster(intended: Intended) -> str:
    return shown(identities(intended.founders, intended.token).cluster)
