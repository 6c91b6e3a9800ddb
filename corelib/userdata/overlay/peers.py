"""Who is on the overlay, and where one reaches another: by name in the same cluster, by reserved address from outside.

The name of a machine resolves inside its own virtual network (Azure's DNS); from outside, all hosts of a cluster share
its reserved address (or have one each), and have their ports by their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address

from ...fleet import Fleet

_FIRSTS = 3  # one may be down, and one may be rebooting


@dataclass(frozen=True, slots=True)
class Site:
    """One host on the overlay. `cluster` is empty for a dedicated one, `public` as long as nobody knows it.

    `holder` is what has the address: the cluster, or the host itself.
    """

    name: str
    address: IPv4Address
    cluster: str
    number: int
    public: str
    holder: str = ""

    def seen_from(self, other: Site) -> str:
        """Where another host reaches this one; empty if that is not known yet."""
        return self.name if self.cluster and self.cluster == other.cluster else self.public


class Peers(dict[str, Site]):
    """Every host on the overlay by name, in the fleet's order."""

    @classmethod
    def of(cls, fleet: Fleet, addresses: Mapping[str, str]) -> Peers:
        """Those of a fleet; `addresses` are the reserved ones (`Cluster.reserved`) that are known."""
        found = cls()
        for cluster in fleet.clusters:
            for host in cluster.hosts:
                number, reserved = cluster.numbers[host.name] - 1, cluster.reserved(host.name)
                public, holder = addresses.get(reserved, ""), reserved.rpartition("/")[2]
                found[host.name] = Site(host.name, host.address, cluster.name, number, public, holder)
        for number, one in enumerate(one for one in fleet.dedicated if one.overlay_address is not None):
            assert one.overlay_address is not None  # noqa: S101 - just asked
            found[one.name] = Site(one.name, one.overlay_address, "", number, str(one.address))
        return found

    @cached_property
    def firsts(self) -> dict[str, list[Site]]:
        """The first hosts of every cluster, at most three; the dedicated ones are under the empty name."""
        found: dict[str, list[Site]] = {}
        for site in self.values():
            near = found.setdefault(site.cluster, [])
            near.extend([site] if len(near) < _FIRSTS else [])
        return found


def unknown(site: Site) -> str:
    """What stands in a draft for an address that is not known: no name that resolves."""
    return f"UNKNOWN-{site.holder}"
