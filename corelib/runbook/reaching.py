"""How verify-etcd gets to the members and their hosts: which ways the parameters and the inventory allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..fleet import Fleet
from ..report import Finding
from . import pins
from .inventory import Inventory

if TYPE_CHECKING:
    from ..etcd.asking import AskHost
    from ..etcd.intended import Intended
    from ..etcd.reach import Login
    from ..etcd.way import Way

_HERE = "from this machine, at the rendered addresses"
_THROUGH = "from this machine over SSH, at each member through its own host"


@dataclass(frozen=True, slots=True)
class Reached:
    """What leads to the members, who tells of their hosts, what was said meanwhile, and from where is looked."""

    intended: Intended
    looked: str = _HERE
    ways: Mapping[str, Way] = field(default_factory=dict)
    hosts: Mapping[str, AskHost] = field(default_factory=dict)
    said: tuple[Finding, ...] = ()


@contextmanager
def reach(fleet: Fleet, intended: Intended, inventory: Inventory, secret: Callable[[str], str]) -> Iterator[Reached]:
    """Log in to the hosts of the members, where that is asked for or can be had beside.

    Raises BadInput where the members are to be reached through hosts that nobody knows, or with a key that is none.
    """
    deployed = inventory.read("azure").get("hosts", {})
    known = {m.name: deployed[m.name] for m in intended.members if deployed.get(m.name, {}).get("public_address")}
    key = fleet.azure.login_key if fleet.azure else None
    strict = fleet.access == "ssh"
    if strict and not known:
        remedy = "run deploy-azure first, or bring that file from where it was run"
        raise BadInput("reaching the members through their hosts", f"{inventory.path} knows no host", remedy)
    if key is None or not known:
        yield Reached(intended)
        return
    from ..etcd.onhost import on_hosts  # noqa: PLC0415 - asyncssh and the user-data are slow to load, and only for SSH
    from ..etcd.reach import Hosts  # noqa: PLC0415

    kept = inventory.read(pins.PART)
    try:
        hosts = Hosts(_logins(known, pins.pinned(known, kept)), secret(key))
    except BadInput as problem:
        if strict:
            raise
        yield Reached(intended, said=(Finding("warning", "hosts", f"were not asked: {problem.found}", problem.remedy),))
        return
    on = on_hosts(fleet)
    asked = replace(intended, hosts=on, unit=on[intended.members[0].name].unit, logins=_typed(known))
    with hosts:
        said = tuple(pins.said(known, kept, hosts.learnt))
        if hosts.learnt:
            inventory.write(pins.PART, pins.remembered(known, kept, hosts.learnt))
        if strict:
            asked = replace(asked, only_from_hosts=True)
            yield Reached(asked, _THROUGH, hosts.ways(intended.members), hosts.asks(on), said)
        else:
            yield Reached(asked, f"{_HERE}, and at their hosts over SSH", {}, hosts.asks(on), said)


def _logins(known: Mapping[str, Any], pinned: Mapping[str, str]) -> dict[str, Login]:
    from ..etcd.reach import Login  # noqa: PLC0415 - as above

    return {name: Login(one["public_address"], one["ssh_port"], pinned.get(name, "")) for name, one in known.items()}


def _typed(known: Mapping[str, Any]) -> dict[str, str]:
    """How a person logs in."""
    return {name: f"ssh -p {one['ssh_port']} core@{one['public_address']}" for name, one in known.items()}
