"""Carrying out a plan: idempotent PUTs, as parallel as the graph of what needs what allows.

A step begins only when `watch` has taken its `begin`, and all that it comes after is done. What fails stops what
depends on it; the rest is finished. A watch that raises Halt at a `begin` ends it all: what is under way is finished,
and nothing new begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from typing import Any

from azure.core.polling import LROPoller

from ..errors import RunbookError, TimedOut
from ..plan import Plan, Progress, Step, Watch
from .client import Cloud, told
from .plan import POWER
from .resource import Kind, Resource

DEADLINE = 1800.0  # seconds for one resource; a machine's provisioning is given up by Azure itself before that
_PAUSE = 1.0  # seconds between two words about what is waited for

Put = Callable[[Cloud, Resource, Mapping[str, Any], Callable[[Any], None]], LROPoller[Any] | None]


class ApplyFailed(RunbookError):
    """Some steps failed; what did not depend on them was done."""


def apply(
    plan: Plan, desired: tuple[Resource, ...], cloud: Cloud, watch: Watch, workers: int = 16, deadline: float = DEADLINE
) -> None:
    """Do every pending step of the plan. Raises ApplyFailed naming each target that failed or was not begun."""
    by_target = {resource.target: resource for resource in desired}
    pending = {step.target: step for step in plan.pending}

    def one(target: str) -> None:
        _one(cloud, by_target[target], pending[target], watch, deadline)

    failed = _walk({target: set(step.after) & set(pending) for target, step in pending.items()}, one, workers)
    if failed:
        raise _failure(plan, pending, failed)


def _walk(graph: Mapping[str, set[str]], one: Callable[[str], None], workers: int) -> dict[str, str]:
    """Call `one` for every target, after all that it comes after; returns what each failed one said."""
    order = TopologicalSorter(graph)
    order.prepare()
    failed: dict[str, str] = {}
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(max_workers=workers) as pool:  # its end waits for what is under way
        while order.is_active():
            running |= {pool.submit(one, target): target for target in order.get_ready()}
            if not running:
                break  # what is left needs what failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _settle(future, running.pop(future), order, failed)
    return failed


def _settle(future: Future[None], target: str, order: TopologicalSorter[str], failed: dict[str, str]) -> None:
    problem = future.exception()
    if problem is None:
        order.done(target)
    elif isinstance(problem, RunbookError):
        failed[target] = problem.found
    else:
        raise problem


def _failure(plan: Plan, pending: Mapping[str, Step], failed: Mapping[str, str]) -> ApplyFailed:
    lines = [f"{target}: {problem}" for target, problem in failed.items()]
    waiting = sorted(target for target in pending if _needs(target, pending, set(failed)))
    if waiting:
        lines.append(f"not begun, because they need what failed: {', '.join(waiting)}")
    return ApplyFailed(
        f"applying {plan.runbook} in {plan.environment}",
        "\n".join(lines),
        f"remove the cause, then run again with approved_plan {plan.digest}: it goes on with what is left",
    )


def _needs(target: str, pending: Mapping[str, Step], failed: set[str]) -> bool:
    """True if a step comes after a failed one, at any distance."""
    return target not in failed and any(
        one in failed or (one in pending and _needs(one, pending, failed)) for one in pending[target].after
    )


def _one(cloud: Cloud, resource: Resource, step: Step, watch: Watch, deadline: float) -> None:
    """Put one resource and wait until it is there; tells `watch` each state, with the ids of Azure's requests."""
    requests: list[str] = []

    def seen(response: Any) -> None:
        requests.append(str(response.http_response.headers.get("x-ms-request-id", "")))

    watch(Progress(resource.target, "begin", step.action))
    try:
        with told(f"putting {resource.target}"):
            body = _body(resource, step)
            poller = _PUTS[resource.kind](cloud, resource, body, seen)
            if poller is not None:
                _wait(poller, resource.target, watch, deadline)
            if any(change.name == POWER for change in step.changes):
                started = cloud.compute.virtual_machines.begin_start(
                    resource.group, resource.name, raw_response_hook=seen
                )
                _wait(started, resource.target, watch, deadline)
    except RunbookError as problem:
        watch(Progress(resource.target, "failed", problem.found, {"requests": requests}))
        raise
    watch(Progress(resource.target, "done", "", {"requests": requests}))


def _wait(poller: LROPoller[Any], target: str, watch: Watch, deadline: float) -> None:
    """Wait for an operation, saying so. Raises TimedOut after the deadline: what Azure does then is unknown."""
    end = time.monotonic() + deadline
    poller.wait(timeout=min(_PAUSE, deadline))
    while not poller.done():
        if time.monotonic() > end:
            found = f"it is {poller.status()} after {deadline:.0f} s; whether it ends well is unknown"
            raise TimedOut(f"putting {target}", found, "look again later: running again observes first")
        watch(Progress(target, "wait", f"Azure says {poller.status()}"))
        poller.wait(timeout=_PAUSE)
    poller.result()


def _body(resource: Resource, step: Step) -> Mapping[str, Any]:
    """What is sent: with the tags of the plan, which keep those of others; custom data only to a machine that is new,
    as a machine's can never be changed."""
    body: dict[str, Any] = {**resource.body, "tags": step.desired["body"]["tags"]}
    if resource.kind == "machine" and step.action == "change":
        profile = {k: v for k, v in body["properties"]["osProfile"].items() if k != "customData"}
        body["properties"] = {**body["properties"], "osProfile": profile}
    return body


def _at_once(operations: Callable[[Cloud], Any]) -> Put:
    """The PUT of a kind that is there when it answers."""

    def put(cloud: Cloud, resource: Resource, body: Mapping[str, Any], seen: Callable[[Any], None]) -> None:
        place = (resource.name,) if resource.kind == "group" else (resource.group, resource.name)
        operations(cloud).create_or_update(*place, body, raw_response_hook=seen)

    return put


def _begin(operations: Callable[[Cloud], Any]) -> Put:
    """The PUT of a kind whose creation is a long-running operation."""

    def put(
        cloud: Cloud, resource: Resource, body: Mapping[str, Any], seen: Callable[[Any], None]
    ) -> LROPoller[Any] | None:
        begin = operations(cloud).begin_create_or_update
        poller: LROPoller[Any] = begin(resource.group, resource.name, body, raw_response_hook=seen)
        return poller

    return put


_PUTS: dict[Kind, Put] = {
    "group": _at_once(lambda cloud: cloud.resources.resource_groups),
    "availability-set": _at_once(lambda cloud: cloud.compute.availability_sets),
    "security-group": _begin(lambda cloud: cloud.network.network_security_groups),
    "network": _begin(lambda cloud: cloud.network.virtual_networks),
    "address": _begin(lambda cloud: cloud.network.public_ip_addresses),
    "load-balancer": _begin(lambda cloud: cloud.network.load_balancers),
    "interface": _begin(lambda cloud: cloud.network.network_interfaces),
    "disk": _begin(lambda cloud: cloud.compute.disks),
    "machine": _begin(lambda cloud: cloud.compute.virtual_machines),
}
