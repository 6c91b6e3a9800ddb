"""What a part of the user-data consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Part:
    """Files and units, in the order in which they are written and started.

    `secret` is the file that has to be brought; `unknown` are the clusters, or hosts, whose addresses are not known.
    """

    files: tuple[dict[str, Any], ...] = ()
    units: tuple[dict[str, Any], ...] = ()
    secret: str = ""
    unknown: tuple[str, ...] = ()


class Port(NamedTuple):
    """A port of a host that is open to the other sites; `protocol` as Azure writes it."""

    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Order:
    """What a unit that uses the overlay comes after; empty: nothing. `started`: the overlay starts it.

    What brings the address by itself is required. What depends on other machines is wanted only: a host that boots
    alone must not keep etcd from being tried again (the shipped unit does, every 10 s) until the overlay is there.
    """

    requires: str = ""
    wants: str = ""
    started: bool = False
