"""The overlay's part of the user-data: what brings it up on a host, and the unit that etcd waits for. Pure.

Neither passwords nor private keys are in user-data, which every process on the host can read (Azure's metadata
service): they are brought after the boot, and a path unit starts the rest as soon as they are there.
"""

from __future__ import annotations

from ...fleet import Overlay
from . import weave, wireguard
from .part import Order, Part, Port
from .peers import Peers

__all__ = ["Order", "Part", "Peers", "Port", "order", "part", "ports"]

_KINDS = {"weave": weave.part, "wireguard": wireguard.part}


def part(overlay: Overlay, host: str, peers: Peers, starts: tuple[str, ...]) -> Part:
    """The files and units that bring the overlay up on one host; `starts` are the units that run on it."""
    kind = _KINDS.get(overlay.kind)
    return Part() if kind is None or host not in peers else kind(overlay, peers[host], peers, starts)


def ports(overlay: Overlay, number: int, *, first: bool) -> tuple[Port, ...]:
    """Where other sites reach a cluster's host, by its number (from 1 on), at the cluster's reserved address."""
    if overlay.kind == "weave":
        return weave.PORTS if first else ()  # they ask the first one to be let in; the mesh does the rest
    if overlay.kind == "wireguard":
        return (Port("wireguard", "Udp", wireguard.PORT + number - 1),)
    return ()


def order(overlay: Overlay) -> Order:
    """What has to be up before anything uses the overlay's addresses."""
    if overlay.kind == "weave":
        return Order(requires=weave.BRIDGE, wants=weave.UNIT)
    if overlay.kind == "wireguard":
        return Order(wants=wireguard.UNIT, started=True)
    return Order(wants=overlay.unit)
