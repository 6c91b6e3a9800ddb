"""What is intended now: who must be in the cluster, how it was founded, and what its parts must be able to do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..member import Member
from .samples import NOTHING

if TYPE_CHECKING:
    from ..fleet import Fleet

QUOTA_MB = 2048  # etcd's own limit of its data, where none is chosen


class OnHost(NamedTuple):
    """What a member's host must show: etcd's unit, where its data lie, whether on a disk of their own, its environment.

    `data_dir` and `environment` are those of the rendered user-data.
    """

    unit: str
    data_dir: str
    data_disk: bool = False
    environment: Mapping[str, str] = NOTHING


class Intended(NamedTuple):
    """`members` are those of now, `founders` those of the bootstrap; `sites` says where each member stands.

    `awaiting` are members whose machines do not exist yet: that they are silent is no fault. `gone` are those that had
    machines, which somebody has taken away. `joining` came after the bootstrap, and may be on their way into the
    cluster; `leaving` are to be members no more. `seen` are the members as the cluster has listed them when it was seen
    to serve; empty: nobody has seen that.
    """

    members: tuple[Member, ...]
    founders: tuple[Member, ...]
    token: str
    heartbeat_ms: int = 100  # etcd's own timing, where none is chosen
    election_ms: int = 1000
    quota_mb: int = QUOTA_MB
    sites: Mapping[str, str] = NOTHING
    awaiting: frozenset[str] = frozenset()
    joining: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    leaving: tuple[str, ...] = ()
    unit: str = "etcd-member.service"  # what runs etcd on a host
    logins: Mapping[str, str] = NOTHING  # how a person logs in to each host, as typed
    certificates: tuple[str, str, str] | None = None  # CA, certificate and key, as typed; None: plain http
    user: str = ""  # of etcd's own authentication
    only_from_hosts: bool = False  # the members' addresses are reachable from their hosts only
    hosts: Mapping[str, OnHost] = NOTHING  # of the hosts that can be asked about their member

    @classmethod
    def of(cls, fleet: Fleet) -> Intended:
        """What a fleet asks for, whether its machines exist or not."""
        etcd, tls = fleet.etcd, fleet.etcd.tls
        return cls(
            members=etcd.members,
            founders=etcd.founders,
            token=etcd.token,
            heartbeat_ms=etcd.heartbeat_ms,
            election_ms=etcd.election_ms,
            quota_mb=etcd.quota_mb or QUOTA_MB,
            sites={host.name: cluster.name for cluster in fleet.clusters for host in cluster.hosts},
            joining=frozenset(etcd.added),
            leaving=etcd.removed,
            certificates=(_typed(tls.ca), _typed(tls.certificate), _typed(tls.key)) if tls else None,
            user=etcd.login.user if etcd.login else "",
        )

    def with_machines(self, deployed: Collection[str], gone: Collection[str] = ()) -> Intended:
        """The same where only these hosts have machines yet, and those had some."""
        without = {one.name for one in self.members if one.name not in deployed}
        return self._replace(awaiting=frozenset(without.difference(gone)), gone=frozenset(without.intersection(gone)))


def _typed(reference: str) -> str:
    """What a shell takes as the file behind a reference."""
    kind, _, rest = reference.partition(":")
    return rest if kind == "file" else f"<(printenv {rest})"
