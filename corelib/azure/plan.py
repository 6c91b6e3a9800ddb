"""Desired and observed resources → a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from ..fleet import Fleet
from ..plan import Plan, Step
from .moves import Moves
from .resource import Observed, Resource
from .steps import Steps, destroyed
from .words import MACHINE

NONE = Moves()


def plan(  # noqa: PLR0913 - what is wanted, what is there, and for what it is; the rest has defaults
    fleet: Fleet,
    desired: tuple[Resource, ...],
    observed: Observed,
    code: str,
    endpoint: str,
    refused: tuple[Step, ...] = (),
    *,
    deployed: Mapping[str, str] = MappingProxyType({}),
    moves: Moves = NONE,
) -> Plan:
    """The steps from what was observed to what is desired, in their order; only the refused ones, if there are any.

    `deployed` are user-data documents that machines were given once, by their SHA-256, as far as they are known;
    `moves` say which members of etcd come and go with the machines.
    """
    wanted = {one.target for one in desired}
    elsewhere = {target: body for target, body in observed.strays.items() if target in wanted}
    others = {target: body for target, body in observed.strays.items() if target not in wanted}
    observed = replace(observed, strays=others)
    each = Steps(fleet, observed, deployed, moves, elsewhere)
    steps = (*(step for one in desired for step in each.of(one)), *moves.steps, *strays(fleet, observed, moves))
    warnings = tuple(
        f"SSH to the hosts of {cluster.name} is open to {wide}: {wide.num_addresses:,} addresses (ssh_from)"
        for cluster in fleet.clusters
        for wide in cluster.open_to
    )
    at = where(fleet, endpoint)
    return Plan("deploy-azure", fleet.environment, at, code, refused or ordered(steps), warnings=warnings)


def where(fleet: Fleet, endpoint: str) -> dict[str, str]:
    """What a plan is for, beside its steps."""
    assert fleet.azure is not None  # noqa: S101 - clusters without it are refused with the parameters
    return {"endpoint": endpoint, "tenant": fleet.azure.tenant, "subscription": fleet.azure.subscription}


def strays(fleet: Fleet, observed: Observed, moves: Moves) -> Iterator[Step]:
    """What is ours and no longer desired: the machines of hosts that left the parameters go, the rest is told."""
    clusters = {cluster.name.lower() for cluster in fleet.clusters}
    leaves = {step.desired.get("name"): step.target for step in moves.steps if step.action == "destroy"}
    for target, body in observed.strays.items():
        group, kind, name = target.split("/")
        host = name.removesuffix("-nic")
        machine = f"{group}/machine/{host}"
        if group not in clusters or kind not in ("machine", "interface"):
            yield Step(target, "keep", "no longer desired", _COSTS, told=True)
        elif kind == "machine":
            why, after = f"{host} is not in the parameters any more", (leaves.get(host, ""),)
            yield destroyed(target, body, MACHINE, why, host, f"destroy {host}", after)
        elif machine not in observed.strays:
            yield destroyed(target, body, "network interface", "its machine is gone", "", "", ())


_COSTS = "ours, and not in the parameters any more: it stays, and goes on costing; to destroy it, name it in `destroy`"


def ordered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The same steps, each after all that it comes after, and otherwise as they were."""
    by_target = {step.target: step for step in steps}
    found: dict[str, Step] = {}
    for first in by_target.values():
        stack = [first]
        while stack:
            before = [by_target[one] for one in stack[-1].after if one in by_target and one not in found]
            if before and stack[-1].target not in found:
                stack.extend(before)
            else:
                step = stack.pop()
                found.setdefault(step.target, step)
    return tuple(found.values())
