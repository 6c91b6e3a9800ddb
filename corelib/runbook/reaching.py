"""How verify-etcd gets to the members and their hosts: which ways the parameters and the inventory allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BadInput
from ..etcd.samples import NOTHING
from ..report import Finding
from . import pins
from .inventory import Inventory
from .subject import Subject

if TYPE_CHECKING:
    from ..etcd.asking import AskHost
    from ..etcd.intended import Intended
    from ..etcd.reach import Login
    from ..etcd.way import Way
    from ..ssh import Shell

_HERE = "from this machine, at the rendered addresses"
_PAUSE_S = 1.0
_THROUGH = "from this machine over SSH, at each member through its own host"


class Reached(NamedTuple):
    """What leads to the members, who tells of their hosts, what was said meanwhile, and from where is looked."""

    intended: Intended
    looked: str = _HERE
    ways: Mapping[str, Way] = NOTHING
    hosts: Mapping[str, AskHost] = NOTHING
    said: tuple[Finding, ...] = ()
    learnt: bool = False  # a host key was met for the first time
    shells: Mapping[str, Shell] = NOTHING
    silent: Mapping[str, str] = NOTHING  # hosts that did not let us in, and why


@contextmanager
def reach(
    subject: Subject, intended: Intended, inventory: Inventory, secret: Callable[[str], str]
) -> Iterator[Reached]:
    """Log in to the hosts of the members, where that is asked for or can be had beside.

    Raises BadInput where the members are to be reached through hosts that nobody knows, or with a key that is none.
    """
    known = _known(intended, inventory)
    key, strict = subject.login_key, subject.access == "ssh"
    if strict and not known:
        remedy = "run deploy-azure first, or bring that file from where it was run"
        raise BadInput("reaching the members through their hosts", f"{inventory.path} knows no host", remedy)
    if not key or not known:
        yield Reached(intended)
        return
    from ..etcd.reach import Hosts  # noqa: PLC0415 - asyncssh is slow to load, and only for SSH

    kept = inventory.read(pins.PART)
    try:
        hosts = Hosts(_logins(known, pins.pinned(known, kept)), secret(key))
    except BadInput as problem:
        if strict:
            raise
        yield Reached(intended, said=(Finding("warning", "hosts", f"were not asked: {problem.found}", problem.remedy),))
        return
    on = subject.hosts
    asked = intended._replace(hosts=on, unit=on[intended.members[0].name].unit, logins=_typed(known))
    with hosts:
        said = tuple(pins.said(known, kept, hosts.learnt))
        met = pins.remembered(known, kept, hosts.learnt, hosts.keys)
        if met != kept:
            inventory.write(pins.PART, met)
        if strict:
            asked = asked._replace(only_from_hosts=True)
            looked, ways = _THROUGH, hosts.ways(intended.members)
        else:
            looked, ways = f"{_HERE}, and at their hosts over SSH", {}
        yield Reached(
            asked, looked, ways, hosts.asks(on), said, bool(hosts.learnt), shells=hosts.shells, silent=hosts.silent
        )


def meet(subject: Subject, inventory: Inventory, secret: Callable[[str], str], patience: float) -> tuple[Finding, ...]:
    """Pin the host keys of the members' machines that nobody has met yet; what is to be said of that.

    The sooner after they were made, the less there is to be taken on trust. Whoever does not answer within `patience`
    seconds is met by whoever verifies etcd.
    """
    said, end = dict[str, Finding](), time.monotonic() + patience
    while unmet := _unmet(subject, inventory):
        try:
            with reach(subject, subject.intended, inventory, secret) as reached:
                said |= {f"{one.where} {one.message}": one for one in reached.said}
        except BadInput as problem:
            return (*said.values(), Finding("warning", "hosts", f"were not met: {problem.found}", problem.remedy))
        silent = ", ".join(f"{name} ({why})" for name, why in reached.silent.items() if name in unmet)
        if not silent:
            break
        if time.monotonic() > end:
            words = f"do not answer yet: {silent}; their host keys are not pinned"
            return (*said.values(), Finding("info", "hosts", words, "verify-etcd pins them"))
        time.sleep(_PAUSE_S)
    return tuple(said.values())


def _unmet(subject: Subject, inventory: Inventory) -> tuple[str, ...]:
    """The machines of members whose host keys are not pinned; none where nobody could log in."""
    known = _known(subject.intended, inventory)
    pinned = pins.pinned(known, inventory.read(pins.PART))
    return tuple(name for name in known if name not in pinned) if subject.login_key else ()


def _known(intended: Intended, inventory: Inventory) -> dict[str, Any]:
    """What is known of the members' machines, of those that have a public address."""
    deployed = inventory.read("azure").get("hosts", {})
    return {m.name: deployed[m.name] for m in intended.members if deployed.get(m.name, {}).get("public_address")}


def _logins(known: Mapping[str, Any], pinned: Mapping[str, str]) -> dict[str, Login]:
    from ..etcd.reach import Login  # noqa: PLC0415 - as above

    return {name: Login(one["public_address"], one["ssh_port"], pinned.get(name, "")) for name, one in known.items()}


def _typed(known: Mapping[str, Any]) -> dict[str, str]:
    """How a person logs in."""
    return {name: f"ssh -p {one['ssh_port']} core@{one['public_address']}" for name, one in known.items()}
