"""How a step is done at Azure: idempotent PUTs, DELETEs, and waiting for what they begin.

A request whose answer does not say what it did is not sent again before a look: what is under way is waited for, and
only what is missing or differs is asked for once more. A resume does the same with what an earlier run has begun: so
no request is made while the first is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from ..errors import Refused
from ..plan import Step
from .client import Cloud, Unknown, told
from .compare import compared
from .executor import Act, Pauses, Telling
from .observe import contents
from .operation import Waiting
from .resource import Kind, Resource
from .rhythm import Rhythm
from .steps import POWER, SIZE, UNDER_WAY

DEADLINE = 1800.0  # seconds for one operation; a machine's provisioning is given up by Azure itself before that
_LOOKS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each look at what became of a request
_AT_ONCE: frozenset[Kind] = frozenset({"group", "availability-set"})  # there when their PUT answers

Headers = Mapping[str, str]
Look = Generator[float, None, bool]
"""A look, in pauses: whether everything is as wanted."""


def acts(cloud: Cloud, desired: tuple[Resource, ...], deadline: float = DEADLINE) -> Act:
    """What does the steps about resources: those of `desired` are put, others can only be deleted."""
    by_target = {resource.target: resource for resource in desired}
    waiting = Waiting(cloud, Rhythm(cloud.pace.reads), deadline)

    def act(step: Step, telling: Telling) -> Pauses:
        at = _At(cloud, step, telling, waiting)
        return at.delete() if step.action == "destroy" else at.put(by_target[step.target])

    return act


@dataclass(frozen=True, slots=True)
class _At:
    """One step about one resource."""

    cloud: Cloud
    step: Step
    telling: Telling
    waiting: Waiting

    def put(self, resource: Resource) -> Pauses:
        """Put a resource and wait until it is there; a machine that is off is started."""
        body, changed = _body(resource, self.step), {change.name for change in self.step.changes}
        if SIZE in changed:
            deallocate = self.cloud.compute.virtual_machines.begin_deallocate
            yield from self._surely(lambda: self._send(deallocate, polling=False), self._may_be_asked)
        yield from self._surely(lambda: self._put(body), lambda: self._is_there(resource), look=self.step.under_way)
        if changed & {POWER, SIZE}:
            start = self.cloud.compute.virtual_machines.begin_start
            yield from self._surely(lambda: self._send(start, polling=False), self._may_be_asked)

    def delete(self) -> Pauses:
        """Delete what the step names, and wait until it is gone; what is gone already is as wanted (204)."""
        if self._kind == "group" and (inside := contents(self.cloud, self._place[0])):
            # It would take along what was put there since the plan.
            found = f"it is not empty: {', '.join(inside)}"
            raise Refused(self._doing, found, "look at the plan again: it says what stays")
        yield from self._surely(self._delete, self._is_gone, look=self.step.under_way)

    def _surely(self, send: Callable[[], Headers], wanted: Callable[[], Look], *, look: bool = False) -> Pauses:
        """Send a request, if a look first does not find what is wanted, and wait; look wherever it is not known."""
        for pause in _LOOKS:
            try:
                return (yield from self._once(send, wanted if look else None))
            except Unknown as problem:
                self.telling.waits(f"{problem.found}: what became of it is looked at in {pause:.0f} s")
                look = True
            yield pause
        return (yield from self._once(send, wanted))

    def _once(self, send: Callable[[], Headers], wanted: Callable[[], Look] | None) -> Pauses:
        with told(self._doing):
            if wanted is None or not (yield from wanted()):
                yield from self.waiting.until_ended(send(), self._kind, self.telling, self._doing)

    def _send(self, call: Callable[..., Any], *more: Any, **options: Any) -> Headers:
        """One request about the resource; the headers of its answer."""
        answers: list[Any] = []

        def seen(response: Any) -> None:
            self.telling.seen(response)
            answers.append(response.http_response)

        hooks = {"raw_response_hook": seen, "on_wait": self.telling.waits, "on_send": self.telling.sends}
        call(*self._place, *more, **hooks, **options)
        headers: Headers = answers[-1].headers
        return headers

    def _put(self, body: Mapping[str, Any]) -> Headers:
        if self._kind in _AT_ONCE:
            return self._send(self._operations.create_or_update, body)
        return self._send(self._operations.begin_create_or_update, body, polling=False)

    def _delete(self) -> Headers:
        if self._kind == "availability-set":
            return self._send(self._operations.delete)
        return self._send(self._operations.begin_delete, polling=False)

    def _is_there(self, resource: Resource) -> Look:
        body = yield from self._settled()
        return body is not None and _state(body) == "Succeeded" and not compared(resource, body)

    def _is_gone(self) -> Look:
        return (yield from self._settled()) is None

    def _may_be_asked(self) -> Look:
        """Switching a machine on that is on, or off, does nothing: it may be asked for again, once nothing else is
        under way."""
        yield from self._settled()
        return False

    def _settled(self) -> Generator[float, None, Mapping[str, Any] | None]:
        """The resource, once nothing is under way on it; None if it is not there."""
        clock = self.cloud.pace.clock
        begun = clock.now()
        while (body := self._get()) is not None and (state := _state(body)) in (*UNDER_WAY, "Deleting"):
            self.waiting.still(state, begun, self.telling, self._doing)
            yield self.waiting.rhythm.look(clock.now() - begun)
        return body

    def _get(self) -> Mapping[str, Any] | None:
        seen, say = self.telling.seen, self.telling.waits
        try:
            body: Mapping[str, Any] = self._operations.get(*self._place, raw_response_hook=seen, on_wait=say).as_dict()
        except ResourceNotFoundError:
            return None
        return body

    @property
    def _kind(self) -> Kind:
        kind: Kind = self.step.desired["kind"]
        return kind

    @property
    def _place(self) -> tuple[str, ...]:
        group, name = self.step.desired["group"], self.step.desired["name"]
        return (name,) if self._kind == "group" else (group, name)

    @property
    def _operations(self) -> Any:
        return _OPERATIONS[self._kind](self.cloud)

    @property
    def _doing(self) -> str:
        return f"{'deleting' if self.step.action == 'destroy' else 'putting'} {self.step.target}"


def _body(resource: Resource, step: Step) -> Mapping[str, Any]:
    """What is sent: with the tags of the plan, which keep those of others; custom data only to a machine that is new,
    as a machine's can never be changed."""
    body: dict[str, Any] = {**resource.body, "tags": step.desired["body"]["tags"]}
    if resource.kind == "machine" and step.action == "change":
        profile = {k: v for k, v in body["properties"]["osProfile"].items() if k != "customData"}
        body["properties"] = {**body["properties"], "osProfile": profile}
    return body


def _state(body: Mapping[str, Any]) -> str:
    return str(body.get("properties", {}).get("provisioningState", "Succeeded"))


_OPERATIONS: dict[Kind, Callable[[Cloud], Any]] = {
    "group": lambda cloud: cloud.resources.resource_groups,
    "availability-set": lambda cloud: cloud.compute.availability_sets,
    "security-group": lambda cloud: cloud.network.network_security_groups,
    "network": lambda cloud: cloud.network.virtual_networks,
    "address": lambda cloud: cloud.network.public_ip_addresses,
    "load-balancer": lambda cloud: cloud.network.load_balancers,
    "interface": lambda cloud: cloud.network.network_interfaces,
    "disk": lambda cloud: cloud.compute.disks,
    "machine": lambda cloud: cloud.compute.virtual_machines,
}
