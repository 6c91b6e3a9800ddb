"""Switching machines on and off: what Azure shows of them changes; their hosts run on (the lab has no power switch)."""

from __future__ import annotations

from dataclasses import replace

from .cloud import Cloud, Reply, Request
from .failure import Failure
from .ids import ResourceId
from .machines import shown
from .resources import find, polling, start

_ACTIONS = {"start": "running", "restart": "running", "poweroff": "stopped", "deallocate": "deallocated"}


def act(cloud: Cloud, request: Request, target: ResourceId, action: str) -> Reply:
    """Do `action` to a machine."""
    kind, machine = find(cloud, target)
    power = _ACTIONS.get(action.lower())
    if kind.collection != "virtualMachines" or power is None:
        raise Failure(404, "InvalidResourceType", f"'{action}' is nothing that can be done to a {kind.type} here.")
    if not machine.power or cloud.operations.running(machine.id.key):
        text = f"Operation '{action}' is not allowed on VM '{machine.id.name}' while another operation is under way."
        raise Failure(409, "OperationNotAllowed", text)
    if action.lower() == "restart" and machine.power != "running":
        text = f"Cannot restart VM '{machine.id.name}' because it is not running."
        raise Failure(409, "OperationNotAllowed", text)
    cloud.store.keep(replace(machine, state="Updating"))
    operation = start(cloud, request, machine, kind, lambda: _switch(cloud, target, power))
    return Reply(202, None, polling(cloud, request, operation, location=True))


def view(cloud: Cloud, target: ResourceId) -> Reply:
    """A machine's instance view."""
    return Reply(200, shown(find(cloud, target)[1]))


def _switch(cloud: Cloud, target: ResourceId, power: str) -> None:
    machine = cloud.store.find(target)
    if machine is not None:
        cloud.store.keep(replace(machine, power=power))
