"""One etcd member, its ports, and how many of them are a quorum.

Apart from the fleet, whose models take longer to load than etcd takes to be asked.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal, NamedTuple

CLIENT_PORT, PEER_PORT = 2379, 2380  # etcd's registered ports (IANA)
LEGACY_CLIENT_PORT, LEGACY_PEER_PORT = 4001, 7001  # what etcd used before 2.0, kept by the reference deployment


class Member(NamedTuple):
    """One etcd member: the host's name and its address on the overlay; `https` where the cluster speaks TLS."""

    name: str
    address: IPv4Address
    scheme: Literal["http", "https"] = "http"

    @property
    def peer_url(self) -> str:
        """What the other members call it."""
        return f"{self.scheme}://{self.address}:{PEER_PORT}"

    @property
    def client_url(self) -> str:
        """What clients call it."""
        return f"{self.scheme}://{self.address}:{CLIENT_PORT}"


def quorum(members: int) -> int:
    """How many of `members` voters must agree (etcd FAQ: (n/2)+1)."""
    return members // 2 + 1
